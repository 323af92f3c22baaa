"""Packs: what goes in comes out, under one name whoever packs it, and nothing damaged is taken for a pack."""
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.store import packs
from mlops_cli.store.packs import Index, MalformedPack, Packed, Packing


def packed(*contents: bytes) -> tuple[Digest, bytes, bytes]:
    packing = Packing()
    for data in contents:
        packing.add(digest_of(data), data)
    return packing.finish()


def taken(index: Index, pack: bytes) -> dict[Digest, bytes]:
    return {row.digest: pack[row.offset:row.offset + row.size] for row in index}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=30))
def test_all_of_it_comes_out(contents: list[bytes]) -> None:
    name, pack, index = packed(*contents)
    wanted = {digest_of(data): data for data in contents}
    assert taken(Index(name, index), pack) == wanted
    assert pack.endswith(index + len(index).to_bytes(8, 'big') + packs.PREFIX)
    assert Index(name, index).pack_size == len(pack)
    assert packed(*contents) == (name, pack, index)
    names = {packs.name_bytes(digest) for digest in wanted}
    assert {row.name for row in Index(name, index).find(names)} == names == set(Index(name, index).names())


def test_vector() -> None:
    """As docs/formats/remote.md has it."""
    name, pack, index = packed(b'hello\n', b'')
    assert name.hex == 'd659fcb60eccc518c8704cdd757fe89bec330d447e20f65070d064eb4d06f4fd'
    assert (len(pack), len(index)) == (150, 108)


def test_twice_the_same_is_once_and_a_large_one_does_not_fit() -> None:
    packing = Packing()
    packing.add(digest_of(b'a'), b'a')
    packing.add(digest_of(b'a'), b'a')
    assert len(packing) == 1
    large = bytes(packs.SMALL + 1)
    with pytest.raises(ValueError, match='too many'):
        packing.add(digest_of(large), large)


def test_an_index_that_lies_is_none() -> None:
    name, _, index = packed(b'one', b'two')
    rows = list(Index(name, index))
    for data in (index[:-1], index + b'\0', index[:30] + b'x' + index[31:], b''):
        with pytest.raises(MalformedPack):
            Index(name, data)
    for wrong in (
        [rows[0], rows[0]._replace(offset=99)],  # a hole
        [rows[0], rows[1]._replace(offset=rows[0].offset)],  # one over the other
        [Packed(rows[0].name, len(packs.PREFIX), packs.SMALL + 1)],
        [rows[0], rows[1], Packed(rows[0].name, 20, 0)],  # a name twice
    ):
        data = packs.encode_index(wrong)
        with pytest.raises(MalformedPack):
            Index(digest_of(data), data)
    data = index.replace(packs.INDEX_PREFIX, b'mlops pack-index-v2\n')
    with pytest.raises(MalformedPack, match='version'):
        Index(digest_of(data), data)


def test_pieces() -> None:
    rows = [Packed(b'', 14, 10), Packed(b'', 24, 6), Packed(b'', 100, 5), Packed(b'', 205, 5)]
    assert [(start, end, len(of)) for start, end, of in packs.spans(rows, 80)] == [(14, 105, 3), (205, 210, 1)]
    assert [(start, end) for start, end, _ in packs.spans(rows, 0)] == [(14, 30), (100, 105), (205, 210)]
    assert list(packs.spans([], 5)) == []
