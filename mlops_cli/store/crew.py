"""Many small files read, hashed, stored or placed by processes beside this one: twice as fast on two processors.

Processes, not threads: each of the calls is so short that threads only take turns.  They know nothing but what they are sent,
and what they cannot do in the ordinary way is left to it; if one of them dies, all that they did is.
"""
from __future__ import annotations

import marshal
import os
import select
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from mlops_cli.core.errors import UserError
from mlops_cli.core.states import RECORD_BYTES
from mlops_cli.fsio import temporaries
from mlops_cli.fsio.paths import Root
from mlops_cli.store.hand import LEFT, Limits
from mlops_cli.store.shelf import Shelf
from mlops_cli.store.staging import Stage

ENOUGH = 2000  # files from which it pays to start processes, which takes some 30 ms of each
_MOST = 4  # processes: more of them wait for each other in the kernel
_PIECE = 256  # files of a piece of work
_PIECE_TEXT = 8 << 10  # characters of their names
_AHEAD = 3  # pieces that a process has before it, which a pipe mostly holds
_CODE = 'import sys; sys.path[:] = sys.argv[9:]; from mlops_cli.store.hand import main; main(sys.argv[1:9])'
_PLACING = 'import sys; sys.path[:] = sys.argv[6:]; from mlops_cli.store.hand_out import main; main(sys.argv[1:6])'

_HEAD = 5  # bytes of an answer before its records, as marshal writes them

Records = dict[str, bytes]
Work = Iterable[tuple[str, list[str]]]


class CrewLost(Exception):
    """A process of the crew ended early, or said what it never says: nothing that any of them did counts."""


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


class _Crew:
    """``work``: folders and names of files in them, in the order in which they will be asked for, each folder once.
    ``start``: makes one more process.

    Use as a context manager, which ends the processes."""

    _text = _PIECE_TEXT
    _ahead = _AHEAD
    _run = 1  # pieces of one folder that one process gets after each other

    def __init__(self, work: Work, start: Callable[[], Any]) -> None:
        self._work = _pieces(work, self._text)
        self._start = start
        self._hands: list[_Hand] = []
        self._open: deque[tuple[str, list[str], bool, int]] = deque()
        self._done: dict[str, Records] = {}
        self._next = self._given = 0
        self.count = 0  # files that they did something with

    def __enter__(self) -> Self:
        try:
            for _ in range(min(_MOST, processors())):
                self._hands.append(_Hand(self._start()))
        except OSError:
            self._end()
            raise CrewLost from None
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        for hand in self._hands:
            hand.process.kill()
        for hand in self._hands:
            hand.close()
            hand.process.wait()
        self._hands.clear()

    def records(self, folder: str) -> Records:
        """Of the files of a folder that they did not leave, by name; each folder can be asked for once.  Raises CrewLost."""
        while folder not in self._done:
            self._fill()
            if not self._open:
                return {}
            self._collect()
        return self._done.pop(folder)

    def finish(self) -> None:
        """Wait until all have ended well.  Raises CrewLost."""
        for hand in self._hands:
            hand.process.stdin.close()
        if self._open or any(hand.process.wait() for hand in self._hands):
            raise CrewLost

    def _fill(self) -> None:
        while len(self._open) < self._ahead * len(self._hands) and (piece := next(self._work, None)) is not None:
            place = self._next % len(self._hands)
            self._hands[place].send(_message(*piece[:2]))
            self._open.append((*piece, place))
            self._given += 1
            if piece[2] or self._given == self._run:  # the last of its folder
                self._next, self._given = self._next + 1, 0

    def _collect(self) -> None:
        """The answers for the pieces of the next folder, which come in order."""
        found: Records = {}
        while True:
            folder, names, last, hand = self._open.popleft()
            answer = self._hands[hand].receive(len(names) * RECORD_BYTES, self._hands)
            self._fill()
            for name, start in zip(names, range(0, len(answer), RECORD_BYTES), strict=True):
                record = answer[start:start + RECORD_BYTES]
                if record != LEFT:
                    found[name] = record
            if last:
                self.count += len(found)
                self._done[folder] = found
                return


class Crew(_Crew):
    """Reads files.  ``stage``: where they go as objects; None to hash only.  ``limits``: which files count as settled."""

    def __init__(self, root: Root, work: Work, limits: Limits, shelf: Shelf | None = None, stage: Stage | None = None) -> None:
        arguments = (root, limits, shelf.root.fd if shelf else -1, stage.fd if stage else -1)
        super().__init__(work, lambda: _start(*arguments))


class Placers(_Crew):
    """Writes files.  ``place``: a descriptor of the folder in which those of the work are, made before they are asked for; in
    place of names the work has what :func:`mlops_cli.store.hand_out.item` makes.  ``ways``: to bring a file, best first, of
    hardlink and copy.  ``modes``: of copies of files and of executables, less the umask."""

    _text = 3 * _PIECE_TEXT
    _ahead = 8
    _run = 8  # who makes names in a folder keeps others from doing so

    def __init__(self, cache: int, place: int, work: Work, ways: Sequence[str], modes: tuple[int, int]) -> None:
        words = [str(cache), str(place), ','.join(ways), *map(str, modes)]
        super().__init__(work, lambda: _start_with(_PLACING, words, [cache, place]))


class _Hand:
    """A process of the crew.  Pipes hold 64 KiB, or a page where a user has many.  So no write ever waits, for the process may
    itself wait until its answer is read: what a pipe does not take is sent while an answer is awaited."""

    def __init__(self, process: Any) -> None:
        self.process = process
        self._unsent = b''
        self._input, self._output = process.stdin.fileno(), process.stdout.fileno()
        os.set_blocking(self._input, False)

    def send(self, message: bytes) -> None:
        """Raises CrewLost."""
        self._unsent += message
        self._push()

    def _push(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._input, self._unsent):]
        except BlockingIOError:
            return
        except OSError:
            raise CrewLost from None

    def receive(self, size: int, hands: list[_Hand]) -> bytes:
        """The next answer, which has this size.  ``hands``: who is sent the rest of what there is for them meanwhile.
        Raises CrewLost."""
        wanted = size + _HEAD
        parts = []
        try:
            while wanted:
                if any(hand._unsent for hand in hands):
                    self._wait(hands)
                part = os.read(self._output, wanted)
                if not part:
                    raise CrewLost
                parts.append(part)
                wanted -= len(part)
            answer = marshal.loads(b''.join(parts))
        except (OSError, EOFError, ValueError, TypeError):
            raise CrewLost from None
        if type(answer) is not bytes or len(answer) != size:
            raise CrewLost
        return answer

    def _wait(self, hands: list[_Hand]) -> None:
        """Until there is something to read."""
        while True:
            poll = select.poll()
            poll.register(self._output, select.POLLIN)
            waiting = {hand._input: hand for hand in hands if hand._unsent}
            for fd in waiting:
                poll.register(fd, select.POLLOUT)
            ready = [fd for fd, _ in poll.poll()]
            for fd in ready:
                if fd in waiting:
                    waiting[fd]._push()
            if self._output in ready:
                return

    def close(self) -> None:
        """Let go of the pipes."""
        self.process.stdin.close()
        self.process.stdout.close()


def _message(folder: str, names: list[str]) -> bytes:
    """A piece of work as it is sent: names as the file system has them, whatever encoding either side takes them to be in."""
    return marshal.dumps((os.fsencode(folder), os.fsencode('\0'.join(names))))


def _pieces(work: Work, text: int) -> Iterator[tuple[str, list[str], bool]]:
    """Folder, names, and whether they are its last.  ``text``: characters of names in one at most."""
    for folder, names in work:
        start = 0
        while start < len(names):
            part = names[start:start + _PIECE]
            while sum(map(len, part)) > text:
                part = part[:len(part) // 2]
            start += len(part)
            yield folder, part, start == len(names)


def _start(root: Root, limits: Limits, cache: int, stage: int) -> Any:
    words = map(str, (root.path, root.fd, cache, stage, *limits, marshal.dumps(dict(root.elsewhere)).hex()))
    return _start_with(_CODE, [*words], [fd for fd in (root.fd, cache, stage) if fd >= 0])


def _start_with(code: str, words: list[str], fds: list[int]) -> Any:
    import subprocess  # most commands have no use for it

    return subprocess.Popen(
        [sys.executable, '-I', '-S', '-X', 'utf8', '-c', code, *words, *filter(os.path.isabs, sys.path)],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=fds,
    )


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
            fd = root.open_dir_to_read(folder)
        except (OSError, UserError):
            continue
        try:
            facts = os.fstat(fd)
            with os.scandir(fd) as entries:
                for entry in entries:
                    if entry.name.startswith(temporaries.PREFIX):
                        continue  # what a killed command of ours may have left
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
