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
from mlops_cli.core.layout import OBJECTS, REMOTE_GC, RESULTS, ROOTS
from mlops_cli.fsio.locks import try_lock
from mlops_cli.fsio.paths import Root
from mlops_cli.job import environments, lasting
from mlops_cli.job.hosted import ALIVE, JOBS, LEASE, OUTCOME
from mlops_cli.store.depot import PACKS

GOING = 'going-v1'
FILES_MOST = 1_000_000  # whose sizes are added up; of more it is said how much that is at least
LOOKED_AT_MOST = 10_000_000  # until it is known that none is young; of more nobody knows
CONTENTS = (environments.CACHE, PACKS, OBJECTS)
OTHER_USES = (RESULTS, REMOTE_GC, ROOTS)  # what only a remote or a project's cache has
BESIDE = (environments.MADE, environments.LOG, environments.FAILED, environments.SOURCE)  # an environment, behind its name
BEGINS_SECONDS = 60.0  # in which a job that somebody hands in has begun


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
        self.is_remote = any(self._is_there(path) for path in OTHER_USES)  # whose contents are somebody's only ones

    def look(self) -> list[Item]:
        """What would go."""
        kinds = (('job', JOBS), ('environment', environments.FOLDER), ('packages', environments.WHEELS))
        found = [item for kind, folder in kinds for item in self._each(kind, folder)]
        if self._alone:
            found += self._each('cache', lasting.CACHES)
            unused = not self.is_remote and not self.kept.get('job') and not self.kept.get('environment')
            if unused and all(self._is_old(path) for path in CONTENTS):
                there = [path for path in CONTENTS if self._is_there(path)]
                found += [Item('contents', path, self._size(path), self._used(path)) for path in there]
        return found

    def carry_out(self, items: list[Item]) -> list[Item]:
        """What went; what is used again by now stays."""
        return [item for item in items if self._goes(item)]

    def _each(self, kind: str, folder: str) -> Iterator[Item]:
        with suppress(FileNotFoundError):
            found = [entry.name for entry in self._root.scandir(folder)]
            if kind == 'environment':  # also one of which only what lies beside it is left
                found = sorted({name.partition('.')[0] for name in found})
            for name in found:
                path = f'{folder}/{name}'
                with self._locked(kind, path) as free:
                    parts = self._parts(kind, path)
                    if free and not parts:
                        continue
                    if free and self._last_use(kind, path) < self._before:
                        yield Item(kind, path, sum(map(self._size, parts)), self._last_use(kind, path))
                    else:
                        self.kept[kind] = self.kept.get(kind, 0) + 1

    def _parts(self, kind: str, path: str) -> list[str]:
        """What of it is there.  The lock of an environment goes only while nobody can wait for it: of two who lock two files,
        both make it."""
        if kind != 'environment':
            return [path]
        beside = [*BESIDE, *([environments.LOCKED] if self._alone else [])]
        return [part for part in (path, *(f'{path}{suffix}' for suffix in beside)) if self._is_there(part)]

    def _goes(self, item: Item) -> bool:
        with self._locked(item.kind, item.path) as free:
            if not free or self._last_use(item.kind, item.path) >= self._before:
                return False
            parts = self._parts(item.kind, item.path)
            for part in parts[1:] if item.path in parts else parts:  # first an environment is no longer whole
                self._root.remove_tree(part)
            if item.path in parts:
                self._root.makedirs(GOING, mode=0o700)
                self._root.rename(item.path, f'{GOING}/{os.urandom(8).hex()}')
            return True

    @contextmanager
    def _locked(self, kind: str, path: str) -> Iterator[bool]:
        """Whether nobody uses it, until the end of the block."""
        made = f'{environments.FOLDER}/{os.path.basename(path)}{environments.LOCKED}'  # packages are for the one of that name
        lock = {'job': f'{path}/{ALIVE}', 'environment': made, 'packages': made}.get(kind)
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
            begins = 0.0 if self._is_there(f'{path}/{OUTCOME}') else BEGINS_SECONDS  # until then it has no lock yet
            return max(self._used(f'{path}/{LEASE}'), self._used(path)) + begins
        if kind == 'environment':
            return max(self._used(f'{path}{suffix}') for suffix in ('', environments.LOCKED, *BESIDE))
        return self._used(path)

    def _used(self, path: str) -> float:
        facts = self._root.stat(path)
        return facts.st_mtime if facts is not None else 0.0

    def _is_there(self, path: str) -> bool:
        return self._root.stat(path) is not None

    def _is_old(self, path: str) -> bool:
        """Whether nothing came for long: what is there was sent for jobs that are gone."""
        try:
            for number, facts in enumerate(self._walk(path)):
                if facts.st_mtime >= self._before or number >= LOOKED_AT_MOST:
                    return False
        except OSError:
            return False
        return True

    def _size(self, path: str) -> int:
        size = 0
        with suppress(OSError):
            for facts in self._walk(path):
                size += facts.st_blocks * 512
                self._counted += 1
                if self._counted >= FILES_MOST:
                    break
        return size

    def _walk(self, path: str) -> Iterator[os.stat_result]:
        """What is there, links not followed.  Raises OSError for what cannot be looked at."""
        waiting = [self._root.full(path)]
        while waiting:
            folder = waiting.pop()
            with suppress(FileNotFoundError):
                facts = os.lstat(folder)
                yield facts
                if stat.S_ISDIR(facts.st_mode):
                    waiting += [f'{folder}/{name}' for name in os.listdir(folder)]


def main(folder: str, _word: str) -> None:
    """A process of its own: removes for good, also what an earlier one was killed over."""
    with Root(folder) as root, suppress(FileNotFoundError):
        for entry in root.scandir(GOING):
            with suppress(OSError, UserError):
                root.remove_tree(f'{GOING}/{entry.name}')
