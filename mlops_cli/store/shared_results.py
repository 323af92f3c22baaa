"""Results in a remote: what keys led to, each below the tier of who wrote it (docs/formats/remote.md).

Objects say by their name what they are; a result is only somebody's word.  So who may be believed is asked before, by the tier,
and what is read is then held against its name.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

from mlops_cli.core.digest import Digest
from mlops_cli.core.layout import RESULTS
from mlops_cli.store.bucket import Absent, Bucket, side_by_side
from mlops_cli.store.results import SIZE_LIMIT, ResultEntry, decode, encode

TRUSTED = 'trusted'
_TIER = re.compile(r'trusted|pr/[0-9]{1,12}|user/[a-z0-9][a-z0-9._-]{0,63}')


def check_tier(text: str) -> str:
    """Raises ValueError."""
    if not _TIER.fullmatch(text):
        raise ValueError(f'{text!r} is none of trusted, pr/NUMBER, user/NAME')
    return text


class SharedResults:
    """``read``: tiers whose results are believed, the first before the others.  ``write``: the tier of who this is; '' for
    who only reads."""

    def __init__(self, bucket: Bucket, read: Sequence[str], write: str) -> None:
        self._bucket = bucket
        self.read, self.write = tuple(map(check_tier, read)), check_tier(write) if write else ''

    def lookup(self, key: Digest) -> list[ResultEntry]:
        """What is there of a key, and sound.  Raises Unreachable."""
        found: dict[str, ResultEntry] = {}
        for tier in self.read:
            for listed in self._bucket.list(f'{RESULTS}/{tier}/{key.hex[:2]}/{key.hex[2:]}'):
                if listed.size <= SIZE_LIMIT and (entry := self._get(listed.key)) is not None and entry.key == key:
                    found.setdefault(entry.entry8, entry)
        return [*found.values()]

    def these(self, wanted: Iterable[tuple[Digest, str]]) -> Iterator[ResultEntry]:
        """Results by key and the first eight digits of their outputs, as far as there are.  Raises Unreachable."""
        asked = {*wanted}
        where: dict[tuple[Digest, str], str] = {}
        for tier in self.read:
            for name, key in self._names(tier):
                if name in asked:
                    where.setdefault(name, key)
        with closing(side_by_side(lambda item: (item[0], self._get(item[1])), where.items())) as brought:
            for name, entry in brought:
                if entry is not None and (entry.key, entry.entry8) == name:
                    yield entry

    def put(self, entries: Iterable[ResultEntry]) -> int:
        """Send those that are not there; how many.  Their objects are there already.  Raises Unreachable."""
        there = {name for name, _ in self._names(self.write)}
        new = [entry for entry in entries if (entry.key, entry.entry8) not in there]
        with closing(side_by_side(self._put, new)) as done:
            return sum(done)

    def _put(self, entry: ResultEntry) -> bool:
        return self._bucket.put_new(result_key(self.write, entry.key, entry.entry8), encode(entry))

    def _get(self, key: str) -> ResultEntry | None:
        try:
            data = self._bucket.get(key)
            entry = decode(data) if len(data) <= SIZE_LIMIT else None
        except (Absent, ValueError):
            return None
        return entry if entry is not None and not entry.suspect and key.endswith(f'/{entry.entry8}.json') else None

    def _names(self, tier: str) -> Iterator[tuple[tuple[Digest, str], str]]:
        """((key, first digits of the outputs), where it is) of all results of a tier."""
        folder = f'{RESULTS}/{tier}'
        for listed in self._bucket.list(folder):
            parts = listed.key.removeprefix(f'{folder}/').split('/')
            if len(parts) == 3 and parts[2].endswith('.json') and listed.size <= SIZE_LIMIT:
                try:
                    yield (Digest.parse(f'blake3:{parts[0]}{parts[1]}'), parts[2].removesuffix('.json')), listed.key
                except ValueError:
                    continue


def result_key(tier: str, key: Digest, outs8: str) -> str:
    return f'{RESULTS}/{tier}/{key.hex[:2]}/{key.hex[2:]}/{outs8}.json'
