"""Hashes large files through a memory map, on all cores: twice as fast as reading them.

Whoever cuts a mapped file short kills the process that reads the map, so that is a process of its own: if it dies, the file is
read in the ordinary way, which then meets the change."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress

from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.states import pack
from mlops_cli.fsio import filesystem

MAPPED = 256 << 20  # bytes from which another process pays: making one takes as long as hashing a tenth of that
_CODE = f"""\
import os, sys
fd, sys.path = int(sys.argv[1]), sys.argv[2:]
from mlops_cli.core.digest import digest_of_file
size = os.fstat(fd).st_size
print(digest_of_file(f'{filesystem.DESCRIPTORS}/{{fd}}', threads=-1), size, os.fstat(fd).st_size)
"""


_REST_NS = 2_000_000_000  # how long nobody may have touched a file that is hashed ahead: a later change then shows in its times
_ahead: tuple[bytes, int, int] | None = None  # the state of the file that is hashed ahead, the process, where its answer comes


def begin(fd: int) -> bool:
    """Hash a large file while the rest of this program is still being loaded; who asks for it later waits for that.  One file
    at a time.  False, and nothing begun, where that could not be told from a change, or where this
    process has, or may have, other threads.

    Call :func:`abandon` before the end."""
    global _ahead
    facts = os.fstat(fd)
    rested = max(facts.st_mtime_ns, facts.st_ctime_ns) < time.time_ns() - _REST_NS
    if _ahead or not rested or facts.st_size < MAPPED or filesystem.probe(fd).network or not _alone():
        return False
    answer, say = os.pipe()
    try:
        process = os.fork()  # a tenth of the time of a new program
    except OSError:
        os.close(answer)
        os.close(say)
        return False
    if process == 0:
        _answer(fd, say)
    os.close(say)
    _ahead = pack(facts), process, answer
    return True


def _alone() -> bool:
    """Whether this process has one thread, those of libraries counted: a fork of one with more may wait forever for the others,
    as for those that hash."""
    try:
        return len(os.listdir('/proc/self/task')) == 1
    except OSError:
        return False


def _answer(fd: int, say: int) -> None:
    """In the process that hashes: never returns."""
    code = 1
    try:
        import signal
        from mmap import PROT_READ, mmap

        # While it hashes, nothing of Python runs that could see to them.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        for each in {0, 1, 2} - {fd, say}:  # who waits for the end of our output does not wait for this
            with suppress(OSError):
                os.close(each)
        size = os.fstat(fd).st_size
        # Never closed: to take 4 GiB of map apart takes 35 ms, and nobody has to wait for that.
        seen = mmap(fd, size, prot=PROT_READ)
        digest = digest_of(seen, threads=-1)
        os.write(say, f'{digest} {size} {os.fstat(fd).st_size}\n'.encode())
        code = 0
    finally:
        os._exit(code)


def abandon() -> None:
    """End what was begun and has not been asked for."""
    global _ahead
    if _ahead is not None:
        from signal import SIGKILL

        (_, process, answer), _ahead = _ahead, None
        with suppress(ProcessLookupError):
            os.kill(process, SIGKILL)
        os.close(answer)
        os.waitpid(process, 0)


def _begun(fd: int) -> tuple[Digest, int] | None:
    """What was begun, if it is this file, still in the state it was in then."""
    global _ahead
    if _ahead is None or _ahead[0] != pack(os.fstat(fd)):
        return None
    _, process, answer = _ahead
    try:
        with open(answer, 'rb', closefd=False) as said:
            found = said.readline()
    except BaseException:
        abandon()
        raise
    _ahead = None
    os.close(answer)
    threading.Thread(target=os.waitpid, args=(process, 0), daemon=True).start()  # it ends by itself: see _answer
    return _parsed(found)


def _parsed(answer: bytes) -> tuple[Digest, int] | None:
    """None of an answer that is not whole, or where the file had another size afterwards."""
    words = answer.decode().split() if answer.endswith(b'\n') else []
    return (Digest.parse(words[0]), int(words[1])) if len(words) == 3 and words[1] == words[2] else None


def hash_mapped(fd: int, size: int) -> tuple[Digest, int] | None:
    """(digest, bytes) of a whole file of about that size; None where it has to be read: it is small, lies on a network, where a
    map is slow, or is being changed."""
    if size < MAPPED or filesystem.probe(fd).network:
        return None
    if found := _begun(fd):
        return found
    import subprocess  # few files are that large

    try:
        done = subprocess.run(
            [sys.executable, '-I', '-S', '-c', _CODE, str(fd), *filter(os.path.isabs, sys.path)],
            pass_fds=(fd,),
            capture_output=True,
            check=False,
        )
    except OSError:
        return None
    return None if done.returncode else _parsed(done.stdout)
