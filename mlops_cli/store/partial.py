"""A large object that comes from elsewhere, gone on with where an earlier command was broken off.

What has come lies in the cache's folder of temporaries, under a name that says which object it is the beginning of, and not
whose it is: what nobody goes on with is swept after seven days.  It is believed for nothing: all of it is hashed.
"""
from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from mlops_cli.core.digest import Digest, Hasher, digest_of, hasher
from mlops_cli.core.layout import TEMPORARY
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio import locks, ops, temporaries
from mlops_cli.store import ingest
from mlops_cli.store.beside import Flowing
from mlops_cli.store.local import LocalStore
from mlops_cli.store.objects import Damaged

if TYPE_CHECKING:
    from mlops_cli.store.twins import Twins

LARGE = 64 << 20  # bytes from which on it is worth it
_BLOCK = 1 << 20

Rest = Callable[[int], Generator[bytes, None, None]]


def name_of(digest: Digest) -> str:
    """The name of the beginning of an object."""
    return f'{temporaries.BEGUN}{digest.hex}'


def bring(store: LocalStore, digest: Digest, size: int, rest: Rest, came: Callable[[int], object],
          wanted: bool = False) -> None:  # fmt: skip
    """Stores an object of so many bytes; it gets its name with the batch.  ``rest``: what follows on so many bytes of it.
    ``came``: told of bytes as they are there.  ``wanted``: by the workspace, of which the store's twins know.

    Raises Damaged and, of the disk here, OSError, after which the next call begins anew; what ``rest`` raises, after which it
    goes on."""
    fd = _opened(store, path := f'{TEMPORARY}/{name_of(digest)}')
    if fd is None:  # somebody else is bringing it, or began it
        store.put([(digest, _told(rest(0), came))])
        return
    _finish(store, fd, path, size, rest, came, digest, store.twins if wanted else None)


def gather(store: LocalStore, source: str, size: int, rest: Rest, came: Callable[[int], object]) -> ObjectRef:
    """Stores so many bytes of which nobody says beforehand what they hash to; else as :func:`bring`.  ``source``: says which
    they are, and never stands for others.  Nothing could tell a beginning that a power cut left torn, so that none outlives the
    machine's start.

    Raises what ``rest`` raises, OSError."""
    label = digest_of(f'{temporaries.boot()}\n{size}\n{source}'.encode())
    fd = _opened(store, path := f'{TEMPORARY}/{name_of(label)}')
    if fd is None:
        return store.add_chunks(_told(rest(0), came))
    return ObjectRef(_finish(store, fd, path, size, rest, came), size, 'file')


def _finish(store: LocalStore, fd: int, path: str, size: int, rest: Rest, came: Callable[[int], object],
            wanted: Digest | None = None, twins: Twins | None = None) -> Digest:  # fmt: skip
    """The object that the beginning in ``path`` and its rest are.  Raises Damaged if that is not the one that is wanted."""
    twin = None
    try:
        seen, done = _begun(fd, size)
        came(done)
        twin = twins.begin(wanted, size, fd) if twins is not None and wanted is not None and not done else None
        with _writing(fd, twin is not None and store.batch.durability != 'none') as write, closing(rest(done)) as chunks:
            for chunk in chunks:
                part = memoryview(chunk)
                if twin is not None:
                    twin.write(part)
                write(part)
                seen.update(part)
                came(len(part))
        digest = Digest(seen.hexdigest())
        if wanted is not None and digest != wanted:
            raise Damaged(wanted, f'its bytes hash to {digest.hex[:8]}...', 'what was sent')
        with ops.Naming(fd):
            level = ingest.level_of(os.pread(fd, _BLOCK, 0))
        present = store.sound(digest) and store.freshen(digest)
        own = f'{TEMPORARY}/{temporaries.new_name()}'
        ops.rename(path, own, src_dir_fd=store.root.fd, dst_dir_fd=store.root.fd)  # nobody else goes on with it from here
        if twin is not None:
            twin.keep()
    except BaseException as error:
        if twin is not None:
            twin.drop()
        if isinstance(error, (Damaged, OSError)):  # it would keep the room that a full disk lacks, or be unreadable each time
            store.drop(path)
        os.close(fd)
        raise
    if present:
        os.close(fd)
        store.drop(own)
    else:
        store.adopt(digest, fd, own, level)
    return digest


@contextmanager
def _writing(fd: int, straight: bool) -> Iterator[Callable[[memoryview], object]]:
    """``straight``: past memory, where that can be.  What has come is there at the end, also after an error."""
    if straight:
        from mlops_cli.store.straight import Straight  # nothing is brought twice without

        with Straight(fd) as out:
            if out.on:
                yield out.write
                return
    yield Flowing(fd).write


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
