"""The far side of crew.py's Placers: a process that brings small objects of a cache into folders, each verified first.

As hand.py: takes pieces of work from its standard input, answers each on its standard output, ends when the input does.
"""
from __future__ import annotations

import marshal
import os
import signal
import stat
import sys
import time
from contextlib import suppress

from mlops_cli.core.digest import raw_digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.core.layout import OBJECTS
from mlops_cli.core.states import RECORD_BYTES, pack, raw_record
from mlops_cli.fsio import naming, ops
from mlops_cli.fsio.paths import Root
from mlops_cli.store.shelf import FRESH_SECONDS, SMALL

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
LEFT = bytes(RECORD_BYTES)  # the answer for what is not done: large, not there, damaged, no link possible, no room


def item(digest: str, executable: bool, size: int, name: str) -> str:
    """What is asked for, as text: an object, as what kind of file, and its name.  ``digest``: hex."""
    return f'{digest}{"x" if executable else "f"}{size}/{name}'


def main(words: list[str]) -> None:
    """``words``: descriptors of the cache and of the folder that all is below; ways to bring a file; permissions of copies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the command, which ends us
    cache, place = int(words[0]), int(words[1])
    hand = Hand(cache, Root.of('', place), words[2].split(','), (int(words[3]), int(words[4])))
    work, answers = sys.stdin.buffer, sys.stdout.buffer
    while True:
        try:
            folder, items = marshal.load(work)
        except EOFError:
            return
        marshal.dump(hand.place_all(folder, items.split(b'\0')), answers)
        answers.flush()


class Hand:
    """``ways``: as those of Placers.  ``modes``: of a file, of an executable."""

    def __init__(self, cache: int, place: Root, ways: list[str], modes: tuple[int, int]) -> None:
        self._cache, self._place, self._modes = cache, place, modes
        self._link, self._copy = ways[0] == 'hardlink', ways in (['copy'], ['hardlink', 'copy'])

    def place_all(self, folder: bytes, items: list[bytes]) -> bytes:
        """The records of what was placed, one after the other, as those of materialise.Built; LEFT for what the ordinary way
        has to do."""
        try:
            fd = self._place.open_dir(os.fsdecode(folder))
        except (OSError, UserError):
            return LEFT * len(items)
        fresh = time.time() - FRESH_SECONDS
        try:
            return b''.join([self._place_one(fd, one, fresh) for one in items])
        finally:
            os.close(fd)

    def _place_one(self, folder: int, one: bytes, fresh: float) -> bytes:
        """Runs once for each file: every line in it counts."""
        head, _, name = os.fsdecode(one).partition('/')
        size = int(head[65:])
        if size > SMALL:
            return LEFT
        digest, executable, path = bytes.fromhex(head[:64]), head[64] == 'x', f'{OBJECTS}/{head[:2]}/{head[2:64]}'
        try:
            source = os.open(path, _READ, dir_fd=self._cache)
        except OSError:
            return LEFT
        try:
            facts = os.fstat(source)
            data = os.read(source, size + 1)
        except OSError:
            return LEFT
        finally:
            os.close(source)
        if len(data) != size or raw_digest_of(data) != digest or not stat.S_ISREG(facts.st_mode):
            return LEFT
        if facts.st_mtime < fresh and not naming.freshen(self._cache, path):
            return LEFT
        state, ours = None, False
        if self._link and not executable:
            state = self._linked(path, facts.st_ino, folder, name)
        if state is None and (executable or self._copy):
            state, ours = self._written(data, self._modes[executable], folder, name), True
        return LEFT if state is None else raw_record(state, digest, executable, ours)

    def _linked(self, path: str, inode: int, folder: int, name: str) -> bytes | None:
        """The state of a hard link to what was just read; None where there is none."""
        try:
            ops.link(path, name, src_dir_fd=self._cache, dst_dir_fd=folder)
        except OSError:
            return None
        try:
            facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError:
            facts = None
        if facts is not None and facts.st_ino == inode:
            return pack(facts)
        with suppress(OSError):
            ops.unlink(name, dir_fd=folder)
        return None

    def _written(self, data: bytes, mode: int, folder: int, name: str) -> bytes | None:
        """The state of a new file; None, and nothing is there, where it cannot be written."""
        try:
            target = ops.open_new(name, mode, folder)
        except OSError:
            return None
        try:
            ops.write(target, data)
            return pack(os.fstat(target))
        except OSError:
            with suppress(OSError):
                ops.unlink(name, dir_fd=folder)
            return None
        finally:
            os.close(target)
