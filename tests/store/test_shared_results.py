"""Results in a remote: each below the tier of who wrote it, believed by who may, and only as what its name says."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_cli.core.classes import replace
from mlops_cli.core.digest import digest_of
from mlops_cli.core.refs import ObjectRef
from mlops_cli.store.bucket import FolderBucket
from mlops_cli.store.results import ResultEntry, encode
from mlops_cli.store.shared_results import SharedResults, check_tier, result_key

KEY = digest_of(b'key')
ENTRY = ResultEntry(KEY, (('out.txt', ObjectRef(digest_of(b'out'), 3, 'file')),), '2026-11-20T10:15:22Z')
OTHER = replace(ENTRY, outputs=(('out.txt', ObjectRef(digest_of(b'other'), 5, 'file')),))


@pytest.fixture
def bucket(tmp_path: Path) -> FolderBucket:
    return FolderBucket(str(tmp_path / 'remote'))


def test_what_was_sent_is_found_by_who_believes_its_tier(bucket: FolderBucket) -> None:
    assert SharedResults(bucket, ['trusted'], 'pr/7').put([ENTRY, OTHER]) == 2
    assert SharedResults(bucket, ['trusted'], 'pr/7').put([ENTRY, OTHER]) == 0
    assert SharedResults(bucket, ['trusted', 'pr/7'], '').lookup(KEY) == sorted([ENTRY, OTHER], key=lambda one: one.entry8)
    for tiers in (['trusted'], ['trusted', 'pr/77'], ['trusted', 'user/ada']):
        assert SharedResults(bucket, tiers, '').lookup(KEY) == []
    asked = {(KEY, ENTRY.entry8), (KEY, '00000000')}
    assert [*SharedResults(bucket, ['pr/7'], '').these(asked)] == [ENTRY]


def test_the_first_tier_counts(bucket: FolderBucket) -> None:
    mine = replace(ENTRY, origin={'who': 'mallory'})
    SharedResults(bucket, [], 'user/mallory').put([mine])
    SharedResults(bucket, [], 'trusted').put([ENTRY])
    assert SharedResults(bucket, ['trusted', 'user/mallory'], '').lookup(KEY) == [ENTRY]


@pytest.mark.parametrize(
    ('key', 'data'),
    [
        (digest_of(b'another key'), encode(ENTRY)),
        (KEY, encode(ENTRY)[:-1]),
        (KEY, encode(replace(ENTRY, suspect=True))),
        (KEY, b'x' * ((1 << 20) + 1)),
        (KEY, encode(OTHER)),
        (KEY, b'[' * 100_000),
    ],
)
def test_what_its_name_does_not_say_is_not_there(bucket: FolderBucket, key: object, data: bytes) -> None:
    assert isinstance(key, type(KEY))
    bucket.put(result_key('trusted', key, ENTRY.entry8), data)
    shared = SharedResults(bucket, ['trusted'], '')
    assert shared.lookup(key) == [] and [*shared.these([(key, ENTRY.entry8)])] == []


@pytest.mark.parametrize('tier', ['', 'trusted/', 'pr/x', 'pr/', 'user/', 'user/../trusted', 'user/A', 'other', 'user/.x'])
def test_tiers_that_are_none(tier: str) -> None:
    with pytest.raises(ValueError, match='none of'):
        check_tier(tier)
