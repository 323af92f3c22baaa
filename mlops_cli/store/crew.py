"""Many small files read, hashed and stored by processes beside this one: twice as fast on two processors.

Processes, not threads: each of the calls is so short that threads only take turns.  They know nothing but what they are sent,
and what they cannot do in the ordinary way is left to it; if one of them dies, all that they did is.
"""
from __future__ import annotations

import marshal
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any

from mlops_cli.core.errors import UserError
from mlops_cli.core.states import RECORD_BYTES
from mlops_cli.fsio.paths import Root
from mlops_cli.store.hand import LEFT, Limits
from mlops_cli.store.shelf import Shelf
from mlops_cli.store.staging import Stage

ENOUGH = 2000  # files from which it pays to start processes, which takes some 30 ms of each
_MOST = 4  # processes: more of them wait for each other in the kernel
_PIECE = 256  # files of a piece of work
_PIECE_TEXT = 8 << 10  # characters of their names: all pieces of a process fit into its pipe, so that writing to it never waits
_AHEAD = 3  # pieces that a process has before it
# Arguments: the module, the number of its words, these, and where to import from.
_CODE = ('import sys; end = 3 + int(sys.argv[2]); words = sys.argv[3:end]; sys.path[:], module = sys.argv[end:], sys.argv[1]; '
         '__import__(module, fromlist=["main"]).main(words)')

Records = dict[str, bytes]
Work = Iterable[tuple[str, list[str]]]


class CrewLost(Exception):
    """A process of the crew ended early, or said what it never says: nothing that any of them did counts."""


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


class Hands:
    """The processes: each gets pieces of work in turn.

    ``module``: one of ours; its ``main`` is called with ``words`` as text, and answers on standard output what it reads from
    standard input, until that ends.  ``fds``: descriptors that it gets.  Use as a context manager, which ends the processes.
    All methods raise CrewLost."""

    def __init__(self, module: str, words: Iterable[object], fds: Iterable[int]) -> None:
        self._module, self._words = module, [*map(str, words)]
        self._fds = [fd for fd in fds if fd >= 0]
        self._all: list[Any] = []
        self._open: deque[Any] = deque()  # who has each piece that was sent and not answered
        self._sent = 0

    def __enter__(self) -> Hands:
        try:
            for _ in range(min(_MOST, processors())):
                self._all.append(self._start())
        except OSError:
            self.__exit__()
            raise CrewLost from None
        return self

    def _start(self) -> Any:
        import subprocess  # most commands have no use for it

        words = [self._module, str(len(self._words)), *self._words, *filter(os.path.isabs, sys.path)]
        return subprocess.Popen(
            [sys.executable, '-I', '-S', '-c', _CODE, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=self._fds,
        )

    def __exit__(self, *_: object) -> None:
        for hand in self._all:
            hand.kill()
        for hand in self._all:
            hand.stdout.close()
            with suppress(OSError):  # of what it was still to be told
                hand.stdin.close()
            hand.wait()
        self._all.clear()

    def want(self) -> bool:
        """Whether one of them may soon have nothing to do."""
        return len(self._open) < _AHEAD * len(self._all)

    def send(self, piece: Any) -> None:
        """A piece of work: what marshal knows, of few bytes."""
        hand = self._all[self._sent % len(self._all)]
        try:
            marshal.dump(piece, hand.stdin)
            hand.stdin.flush()
        except OSError:
            raise CrewLost from None
        self._sent += 1
        self._open.append(hand)

    def receive(self) -> Any:
        """The answer to the oldest piece that has none yet."""
        try:
            return marshal.load(self._open.popleft().stdout)
        except (OSError, EOFError, ValueError, TypeError):
            raise CrewLost from None

    def finish(self) -> None:
        """Wait until all have ended well."""
        for hand in self._all:
            try:
                hand.stdin.close()
            except OSError:
                raise CrewLost from None
        if self._open or any(hand.wait() for hand in self._all):
            raise CrewLost


class Crew:
    """``work``: folders and names of files in them, in the order in which they will be asked for, each folder once.
    ``stage``: where they go as objects; None to hash only.  ``limits``: which files count as settled.

    Use as a context manager, which ends the processes."""

    def __init__(self, root: Root, work: Work, limits: Limits, shelf: Shelf | None = None, stage: Stage | None = None) -> None:
        self._work = _pieces(work)
        fds = (root.fd, shelf.root.fd if shelf else -1, stage.fd if stage else -1)
        self._hands = Hands('mlops_cli.store.hand', (root.path, *fds, *limits), fds)
        self._open: deque[tuple[str, list[str], bool]] = deque()
        self._done: dict[str, Records] = {}
        self.count = 0  # files that were read

    def __enter__(self) -> Crew:
        self._hands.__enter__()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self._hands.__exit__()

    def records(self, folder: str) -> Records:
        """Of the files of a folder that were read, by name; each folder can be asked for once.  Raises CrewLost."""
        while folder not in self._done:
            self._fill()
            if not self._open:
                return {}
            self._collect()
        return self._done.pop(folder)

    def finish(self) -> None:
        """Wait until all have ended well.  Raises CrewLost."""
        self._hands.finish()

    def _fill(self) -> None:
        while self._hands.want() and (piece := next(self._work, None)) is not None:
            self._hands.send(piece[:2])
            self._open.append(piece)

    def _collect(self) -> None:
        """The answers for the pieces of the next folder, which come in order."""
        found: Records = {}
        while True:
            folder, names, last = self._open.popleft()
            answer = self._hands.receive()
            if type(answer) is not bytes or len(answer) != len(names) * RECORD_BYTES:
                raise CrewLost
            self._fill()
            for name, start in zip(names, range(0, len(answer), RECORD_BYTES), strict=True):
                record = answer[start:start + RECORD_BYTES]
                if record != LEFT:
                    found[name] = record
            if last:
                self.count += len(found)
                self._done[folder] = found
                return


def _pieces(work: Work) -> Iterator[tuple[str, list[str], bool]]:
    """Folder, names, and whether they are its last."""
    for folder, names in work:
        start = 0
        while start < len(names):
            part = names[start:start + _PIECE]
            while sum(map(len, part)) > _PIECE_TEXT:
                part = part[:len(part) // 2]
            start += len(part)
            yield folder, part, start == len(names)


def survey(root: Root, rel: str) -> Iterator[tuple[str, list[str], int, os.stat_result]]:
    """Each folder from ``rel`` down, a folder before those in it, in the order of names: its path, the names of its regular
    files, sorted, a descriptor of it, good until the next one is asked for, and its state before it was listed.  What cannot be
    listed is left out."""
    waiting = [rel]
    while waiting:
        folder = waiting.pop()
        files: list[str] = []
        folders: list[str] = []
        try:
            fd = root.open_dir(folder)
        except (OSError, UserError):
            continue
        try:
            facts = os.fstat(fd)
            with os.scandir(fd) as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False):
                        files.append(entry.name)
                    elif entry.is_dir(follow_symlinks=False):
                        folders.append(entry.name)
            yield folder, sorted(files), fd, facts
        except OSError:
            continue
        finally:
            os.close(fd)
        waiting += [f'{folder}/{name}' for name in sorted(folders, reverse=True)]
