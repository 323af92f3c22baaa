"""A large object that comes from elsewhere, gone on with where an earlier command was broken off.

What has come lies in the cache's folder of temporaries, under a name that says which object it is the beginning of, and not
whose it is: what nobody goes on with is swept after seven days.  It is believed for nothing: all of it is hashed.
"""
from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Generator, Iterable
from contextlib import closing, suppress

from mlops_cli.core.digest import Digest, Hasher, hasher
from mlops_cli.core.layout import TEMPORARY
from mlops_cli.fsio import locks, ops, temporaries
from mlops_cli.store import ingest
from mlops_cli.store.beside import Flowing
from mlops_cli.store.local import LocalStore
from mlops_cli.store.objects import Damaged

LARGE = 64 << 20  # bytes from which on it is worth it
_BLOCK = 1 << 20

Rest = Callable[[int], Generator[bytes, None, None]]


def name_of(digest: Digest) -> str:
    """The name of the beginning of an object."""
    return f'{temporaries.BEGUN}{digest.hex}'


def bring(store: LocalStore, digest: Digest, size: int, rest: Rest, came: Callable[[int], object]) -> None:
    """Stores an object of so many bytes; it gets its name with the batch.  ``rest``: what follows on so many bytes of it.
    ``came``: told of bytes as they are there.

    Raises Damaged and, of the disk here, OSError, after which the next call begins anew; what ``rest`` raises, after which it
    goes on."""
    path = f'{TEMPORARY}/{name_of(digest)}'
    fd = _opened(store, path)
    if fd is None:  # somebody else is bringing it, or began it
        store.put([(digest, _told(rest(0), came))])
        return
    try:
        seen, done = _begun(fd, size)
        came(done)
        flowing = Flowing(fd)
        with closing(rest(done)) as chunks:
            for chunk in chunks:
                seen.update(chunk)
                flowing.write(chunk)
                came(len(chunk))
        if seen.hexdigest() != digest.hex:
            raise Damaged(digest, f'its bytes hash to {seen.hexdigest()[:8]}...', 'what was sent')
        with ops.Naming(fd):
            level = ingest.level_of(os.pread(fd, _BLOCK, 0))
        present = store.sound(digest) and store.freshen(digest)
        own = f'{TEMPORARY}/{temporaries.new_name()}'
        ops.rename(path, own, src_dir_fd=store.root.fd, dst_dir_fd=store.root.fd)  # nobody else goes on with it from here
    except BaseException as error:
        if isinstance(error, (Damaged, OSError)):  # it would keep the room that a full disk lacks, or be unreadable each time
            store.drop(path)
        os.close(fd)
        raise
    if present:
        os.close(fd)
        store.drop(own)
    else:
        store.adopt(digest, fd, own, level)


def _opened(store: LocalStore, path: str) -> int | None:
    """A descriptor of the beginning, empty if there is none, which is ours alone; None where another has it."""
    cache = store.root.fd
    try:
        fd = ops.open_with(path, os.O_RDWR | os.O_CREAT, 0o600, dir_fd=cache)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.ELOOP, errno.EISDIR):
            return None
        raise
    with suppress(OSError):  # a disk without locks; or who had it is done with it
        if locks.try_lock(fd, exclusive=True):
            mine, there = ops.fstat(fd), ops.lstat(path, cache)
            if stat.S_ISREG(mine.st_mode) and mine.st_nlink == 1 and os.path.samestat(mine, there):
                return fd
    os.close(fd)
    return None


def _begun(fd: int, size: int) -> tuple[Hasher, int]:
    """(what has seen the beginning, its bytes); the next write goes behind it."""
    if ops.fstat(fd).st_size > size:
        ops.truncate(fd, 0)
    seen, done = hasher(), 0
    os.lseek(fd, 0, os.SEEK_SET)
    with ops.Naming(fd):
        while part := os.read(fd, _BLOCK):
            seen.update(part)
            done += len(part)
    return seen, done


def _told(chunks: Iterable[bytes], came: Callable[[int], object]) -> Iterable[bytes]:
    for chunk in chunks:
        came(len(chunk))
        yield chunk
