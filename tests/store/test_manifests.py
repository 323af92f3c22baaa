"""What a result keeps of its key: short manifests as rows, long ones as an object, and what is neither."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.manifest import Entry, Manifest, value_entry
from mlops_cli.core.refs import ObjectRef
from mlops_cli.store import manifests
from mlops_cli.store.objects import Damaged, MissingObject

SHORT = Manifest.of(
    [
        Entry('data', 'a b.csv', digest_of(b'data')),
        value_entry('param', 'p.yaml:x', {'é': [1, 1.0, None, True]}),
        value_entry('param', 'p.yaml:nothing', None),
    ]
)
LONG = Manifest.of([Entry('data', f'd/{number}', digest_of(b'%d' % number)) for number in range(manifests.SHORT_ROWS + 1)])
WIDE = Manifest.of([Entry('data', 'd' * (manifests.SHORT_TEXT + 1), digest_of(b''))])


def nothing(_digest: Digest) -> bytes:
    raise AssertionError('nothing is to be read')


def an_object(data: bytes) -> tuple[ObjectRef, Callable[[Digest], bytes]]:
    ref = ObjectRef(digest_of(data), len(data), 'file')
    return ref, lambda digest: {ref.digest: data}[digest]


def test_a_short_one_is_its_rows_and_comes_back_through_json() -> None:
    assert manifests.is_short(SHORT)
    rows = manifests.rows_of(SHORT)
    assert manifests.decode(rows, nothing) == SHORT
    again = tuple(json.loads(json.dumps(rows)))
    assert manifests.decode(again, nothing).digest == SHORT.digest


@pytest.mark.parametrize('made', [LONG, WIDE, SHORT])
def test_a_long_one_is_an_object(made: Manifest) -> None:
    assert manifests.is_short(made) == (made is SHORT)
    ref, read = an_object(manifests.encode(made))
    assert manifests.decode(ref, read) == made == manifests.found(ref, read)


BROKEN: list[Any] = [
    [],
    {},
    {'schema': 'mlops/manifest/v2', 'entries': []},
    {'schema': manifests.SCHEMA},
    {'schema': manifests.SCHEMA, 'entries': {}},
    *({'schema': manifests.SCHEMA, 'entries': [row]} for row in (
        0, [], ['data', 'x'], ['data', 'x', 'blake3:0'], ['no kind', 'x', str(digest_of(b''))],
        ['data', 0, str(digest_of(b''))], ['param', 'x', str(digest_of(b'')), 1, 2],
        ['param', 'x', str(digest_of(b'')), float('nan')],
    )),
    {'schema': manifests.SCHEMA, 'entries': [['data', 'twice', str(digest_of(b''))], ['data', 'twice', str(digest_of(b'1'))]]},
]  # fmt: skip


@pytest.mark.parametrize('value', BROKEN)
def test_what_is_none_is_refused(value: Any) -> None:
    ref, read = an_object(json.dumps(value).encode())
    with pytest.raises(ValueError, match=r'not|two'):
        manifests.decode(ref, read)
    assert manifests.found(ref, read) is None


@pytest.mark.parametrize('data', [b'', b'\xff', b'[' * 100_000])
def test_neither_are_bytes_that_are_no_json(data: bytes) -> None:
    ref, read = an_object(data)
    assert manifests.found(ref, read) is None


@pytest.mark.parametrize('error', [MissingObject(digest_of(b'x')), Damaged(digest_of(b'x'), 'size')])
def test_one_that_this_cache_has_lost_is_none(error: Exception) -> None:
    ref, _ = an_object(b'x')

    def lost(_digest: Digest) -> bytes:
        raise error

    assert manifests.found(ref, lost) is None
    assert manifests.found(None, nothing) is None


def test_a_huge_one_is_not_read() -> None:
    assert manifests.found(ObjectRef(digest_of(b''), manifests.LIMIT + 1, 'file'), nothing) is None
