"""Takes out of a host's folder what nobody has used in a long time, and nothing that somebody uses now (docs/formats/host.md).

What goes is renamed into a folder of its own, and removed from there by a process that stays: that may take long."""
from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import UserError
from mlops_cli.core.layout import OBJECTS
from mlops_cli.fsio.locks import try_lock
from mlops_cli.fsio.paths import Root
from mlops_cli.job import environments, lasting
from mlops_cli.job.hosted import ALIVE, JOBS, LEASE
from mlops_cli.store.depot import PACKS

GOING = 'going-v1'
FILES_MOST = 1_000_000  # whose sizes are added up; of more it is said how much that is at least
CONTENTS = (environments.CACHE, PACKS, OBJECTS)


@dataclass(frozen=True, slots=True)
class Item:
    """``kind``: job, environment, packages, cache or contents.  ``used``: seconds since 1970."""

    kind: str
    path: str
    size: int
    used: float


class Clearing:
    """``alone``: nobody else is connected, and no job runs, until this is over."""

    def __init__(self, root: Root, grace_seconds: float, alone: bool) -> None:
        self._root, self._before, self._alone = root, time.time() - grace_seconds, alone
        self._counted = 0
        self.kept: dict[str, int] = {}

    def look(self) -> list[Item]:
        """What would go."""
        kinds = (('job', JOBS), ('environment', environments.FOLDER), ('packages', environments.WHEELS))
        found = [item for kind, folder in kinds for item in self._each(kind, folder)]
        if self._alone:
            found += self._each('cache', lasting.CACHES)
            if not self.kept.get('job') and not self.kept.get('environment') and self._old_contents():
                there = [path for path in CONTENTS if self._is_there(path)]
                found += [Item('contents', path, self._size(path), self._used(path)) for path in there]
        return found

    def carry_out(self, items: list[Item]) -> list[Item]:
        """What went; what is used again by now stays."""
        return [item for item in items if self._goes(item)]

    def _each(self, kind: str, folder: str) -> Iterator[Item]:
        with suppress(FileNotFoundError):
            for entry in self._root.scandir(folder):
                path = f'{folder}/{entry.name}'
                if kind == 'environment' and '.' in entry.name:
                    continue
                with self._locked(kind, path) as free:
                    if free and self._last_use(kind, path) < self._before:
                        yield Item(kind, path, self._size(path), self._last_use(kind, path))
                    else:
                        self.kept[kind] = self.kept.get(kind, 0) + 1

    def _goes(self, item: Item) -> bool:
        with self._locked(item.kind, item.path) as free:
            if not free or self._last_use(item.kind, item.path) >= self._before:
                return False
            if item.kind == 'environment':  # first it is no longer whole
                for suffix in (environments.MADE, environments.LOG, environments.FAILED, environments.SOURCE):
                    self._root.remove_tree(f'{item.path}{suffix}')
            self._root.makedirs(GOING, mode=0o700)
            self._root.rename(item.path, f'{GOING}/{os.urandom(8).hex()}')
            return True

    @contextmanager
    def _locked(self, kind: str, path: str) -> Iterator[bool]:
        """Whether nobody uses it, until the end of the block."""
        lock = {'job': f'{path}/{ALIVE}', 'environment': f'{path}{environments.LOCKED}'}.get(kind)
        if lock is None:
            yield True
            return
        try:
            fd = self._root.open(lock, os.O_RDWR)
        except (FileNotFoundError, NotADirectoryError):
            yield True
            return
        try:
            yield try_lock(fd, exclusive=True)
        finally:
            os.close(fd)

    def _last_use(self, kind: str, path: str) -> float:
        if kind == 'job':
            return max(self._used(f'{path}/{LEASE}'), self._used(path))
        if kind == 'environment':
            return max(self._used(f'{path}{environments.MADE}'), self._used(path))
        return self._used(path)

    def _used(self, path: str) -> float:
        facts = self._root.stat(path)
        return facts.st_mtime if facts is not None else 0.0

    def _is_there(self, path: str) -> bool:
        return self._root.stat(path) is not None

    def _old_contents(self) -> bool:
        """Whether nothing came for long: what is there was sent for jobs that are gone."""
        newest = max((self._newest(path) for path in CONTENTS), default=0.0)
        return newest < self._before

    def _newest(self, path: str) -> float:
        return max((facts.st_mtime for facts in self._walk(path)), default=0.0)

    def _size(self, path: str) -> int:
        return sum(facts.st_blocks * 512 for facts in self._walk(path))

    def _walk(self, path: str) -> Iterator[os.stat_result]:
        """What is there, links not followed."""
        waiting = [self._root.full(path)]
        while waiting and self._counted < FILES_MOST:
            folder = waiting.pop()
            with suppress(OSError):
                facts = os.lstat(folder)
                yield facts
                if stat.S_ISDIR(facts.st_mode):
                    names = os.listdir(folder)
                    self._counted += len(names)
                    waiting += [f'{folder}/{name}' for name in names]


def main(folder: str, _word: str) -> None:
    """A process of its own: removes for good, also what an earlier one was killed over."""
    with Root(folder) as root, suppress(FileNotFoundError):
        for entry in root.scandir(GOING):
            with suppress(OSError, UserError):
                root.remove_tree(f'{GOING}/{entry.name}')
