"""Gathers what the processes of one stage did with files.  Keeps what is not declared, and of the rest that it was used, so
that a stage that opens a million files of a declared folder takes no memory."""

from __future__ import annotations

import os
from collections.abc import Iterable

from mlops_cli.checks.audit.access import Access, Ended, Unseen
from mlops_cli.checks.audit.declared import Declared
from mlops_cli.checks.audit.surroundings import Surroundings

LIMIT = 200_000  # paths that are kept of a stage; what is beyond is counted
READ, WROTE, MADE, RAN, MAYBE, GONE = 1, 2, 4, 8, 16, 32


class Collector:
    """``root``: absolute path of the project.  What it holds is read once all processes are over."""

    def __init__(self, root: str, declared: Declared, around: Surroundings) -> None:
        self._roots = tuple(dict.fromkeys((root, os.path.realpath(root))))
        self._declared = declared
        self._around = around
        self.seen: dict[str, int] = {}  # real path -> what was done with it
        self.spelled: dict[str, str] = {}  # the same -> as a process named it, where that is another
        self.used: set[str] = set()  # inputs that were opened
        self.lists: set[str] = set()  # folders of the project whose names were read
        self.beyond = 0
        self.first = 0  # the process that strace started, as long as it was not said to be over
        self.processes = 0
        self.unseen: set[str] = set()

    def take(self, events: Iterable[Access | Ended | Unseen]) -> None:
        for event in events:
            if isinstance(event, Ended):
                self.processes += event.begun
                if event.begun and not self.first:
                    self.first = event.pid
                elif not event.begun and event.pid == self.first:
                    self.first = 0
            elif isinstance(event, Unseen):
                self.unseen.add(event.what)
            else:
                self._access(event)

    def relative(self, path: str) -> str | None:
        """A path of the project from its root; None for one outside."""
        for root in self._roots:
            if path.startswith(f'{root}/'):
                return path[len(root) + 1 :]
            if path == root:
                return '.'
        return None

    def _access(self, event: Access) -> None:
        name = os.path.normpath(event.name)
        match event.did:
            case 'read' | 'run' | 'update' | 'maybe' | 'write' | 'make':
                self._opened(event.did, name, event.real or os.path.realpath(name))
            case 'list':
                if (folder := self.relative(event.real)) is not None:
                    self._use(folder)
                    self.lists.add(folder) if len(self.lists) < LIMIT else None
            case 'rename':
                self._renamed(_entry(name), _entry(os.path.normpath(event.other)))
            case 'link':
                first, second = os.path.realpath(name), _entry(os.path.normpath(event.other))
                self._opened('read', name, first)
                self._mark_unless(second, MADE | WROTE)
            case 'point':
                self._mark_unless(_entry(name), MADE | WROTE)
            case 'remove':
                self._removed(_entry(name))

    def _opened(self, did: str, name: str, real: str) -> None:
        real = source_of(real)
        name = source_of(name)
        if did == 'run':
            self._around.program(name, real)
        if self._is_nothing(name, real):
            return
        known = self.seen.get(real, 0)
        if did in ('read', 'run'):
            if not known & MADE:
                self._note(name, real, READ | (RAN if did == 'run' else 0))
        elif did == 'make':
            self._note(name, real, WROTE if known & (READ | MAYBE) else WROTE | MADE)
        elif did == 'write':
            self._note(name, real, WROTE)
        elif did == 'maybe':
            self._note(name, real, WROTE if known & MADE else WROTE | MAYBE)
        else:
            self._note(name, real, WROTE if known & MADE else WROTE | READ)

    def _is_nothing(self, name: str, real: str) -> bool:
        """Whether it is declared (and then it was used) or of no interest."""
        for path in dict.fromkeys((name, real)):
            relative = self.relative(path)
            if relative is None:
                continue
            # A link that the stage made among its outputs says nothing of what it leads to.
            if self._use(relative) or (path == real and self._declared.is_output(relative)):
                return True
        if (inside := self.relative(real)) is not None:
            return self._around.of_project(inside)
        return self._around.of_machine(real) or (self.relative(name) is None and self._around.of_machine(name))

    def _use(self, relative: str) -> bool:
        if covering := self._declared.covering(relative):
            self.used.add(covering)
            self.used.add(relative) if len(self.used) < LIMIT and self._declared.globs else None
        return bool(covering)

    def _note(self, name: str, real: str, what: int) -> None:
        self._mark(real, what)
        if name == real or real not in self.seen or self.seen.get(_entry(name), 0) & MADE:
            return
        relative = self.relative(name)
        if relative is None or not self._declared.is_output(relative):  # else the stage made the link
            self.spelled.setdefault(real, name)

    def _mark(self, path: str, what: int) -> None:
        if path not in self.seen and len(self.seen) >= LIMIT:
            self.beyond += 1
            return
        self.seen[path] = self.seen.get(path, 0) | what

    def _renamed(self, old: str, new: str) -> None:
        if old in self.seen:
            moved = {old: self.seen[old]}
        else:  # a folder, perhaps
            moved = {path: what for path, what in self.seen.items() if path.startswith(f'{old}/')}
            if not moved:
                self._mark_unless(old, READ | WROTE | GONE)
                moved = {old: 0}
        for path, what in moved.items():
            if what & MADE:
                self.seen.pop(path, None)
            elif what:
                self.seen[path] = what | GONE
            self._mark_unless(new + path[len(old) :], MADE | WROTE)

    def _mark_unless(self, path: str, what: int) -> None:
        """Marks a path, unless it is declared or of no interest."""
        if not self._is_nothing(path, path):
            self._mark(path, what)

    def _removed(self, path: str) -> None:
        what = self.seen.get(path, 0)
        if what & MADE or what & MAYBE:
            del self.seen[path]
        else:
            self._mark_unless(path, GONE | WROTE)


def source_of(path: str) -> str:
    """A module's source, for what was compiled of it: that is opened in its place."""
    folder, _, name = path.rpartition('/')
    if name.endswith('.pyc') and folder.endswith('/__pycache__'):
        return f'{folder[: -len("/__pycache__")]}/{name.partition(".")[0]}.py'
    return path


def _entry(path: str) -> str:
    """A name itself, be it a link: its folder followed, the last part not."""
    folder, _, name = path.rpartition('/')
    return f'{os.path.realpath(folder or "/").rstrip("/")}/{name}'
