"""The far side of crew.py: a process that reads and hashes small files of a project, and writes them into a staging folder.

Takes pieces of work from its standard input, answers each on its standard output, ends when the input does.  Both speak
marshal: only this program talks to itself here.  Names come as bytes, since the two may differ in how they decode them.
"""
from __future__ import annotations

import marshal
import os
import signal
import stat
import sys

from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.core.states import RECORD_BYTES, pack, raw_record
from mlops_cli.fsio.paths import Root
from mlops_cli.store.shelf import SMALL
from mlops_cli.store.staging import Writer, descriptors

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
LEFT = bytes(RECORD_BYTES)  # the answer for a file that is not small, not regular, not there or does not hold still
_OTHERS = 32  # descriptors that this process needs beside those of the folders it writes into
Limits = tuple[int, int, int]  # as Moment: device, and before when a file on it, or elsewhere, must have been touched last


def main(words: list[str]) -> None:
    """``words``: the path of the project, descriptors of it, of the cache and of the staging folder (-1: hash only), then the
    limits, and what of the project lies elsewhere."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the command, which ends us
    project, cache, stage, device, before, foreign = map(int, words[1:7])
    root = _opened(words[0], marshal.loads(bytes.fromhex(words[7])))
    if not os.path.samestat(os.fstat(root.fd), os.fstat(project)):
        raise SystemExit(1)  # it was moved away
    umask = os.umask(0)
    writer = None
    if stage >= 0:
        writer = Writer(stage, cache, exact=True, folder_mode=0o755 & ~umask, most_open=descriptors() - _OTHERS)
    work, answers = sys.stdin.buffer, sys.stdout.buffer
    while True:
        try:
            folder, names = marshal.load(work)
        except EOFError:
            return
        marshal.dump(read_all(root, folder, names.split(b'\0'), writer, (device, before, foreign)), answers)
        answers.flush()


def _opened(path: str, elsewhere: dict[str, str]) -> Root:
    if not elsewhere:
        return Root(path)
    from mlops_cli.fsio.elsewhere import Linked

    return Linked(path, elsewhere)


def read_all(root: Root, folder: bytes, names: list[bytes], writer: Writer | None, limits: Limits) -> bytes:
    """The records of the files of these names, one after the other; LEFT for those that the ordinary way has to look at.
    Raises OSError where they cannot be written."""
    try:
        fd = root.open_dir_to_read(os.fsdecode(folder))
    except (OSError, UserError):
        return LEFT * len(names)
    try:
        return b''.join([_read(fd, name, writer, limits) for name in names])
    finally:
        os.close(fd)


def _read(folder: int, name: bytes, writer: Writer | None, limits: Limits) -> bytes:
    """Runs once for each file: every line in it counts."""
    try:
        fd = os.open(name, _READ, dir_fd=folder)
    except OSError:
        return LEFT
    try:
        before = os.fstat(fd)
        size = before.st_size
        if size > SMALL or not stat.S_ISREG(before.st_mode):
            return LEFT
        data = os.read(fd, size + 1)
        after = os.fstat(fd)
    except OSError:
        return LEFT
    finally:
        os.close(fd)
    state = pack(after)
    if len(data) != size or state != pack(before):
        return LEFT
    digest = digest_of(data).hex
    if writer is not None and not writer.put(digest, data):
        return LEFT
    limit = limits[1] if after.st_dev == limits[0] else limits[2]
    settled = after.st_mtime_ns < limit and after.st_ctime_ns < limit
    return raw_record(state, bytes.fromhex(digest), bool(after.st_mode & stat.S_IXUSR), settled)
