"""Where the objects of a cache lie on disk, and nothing unverified leaves here.  Knows nothing of workspaces or trees.

``objects-v1/<2 hex>/<62 hex>``, mode 0444, whole content (docs/formats/objects.md).  New ones wait in ``tmp/`` until their
batch has made them durable; until then they are found there.
"""
from __future__ import annotations

import errno
import itertools
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from mlops_cli.core.digest import Digest, digest_of, hasher
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.layout import CACHE, OBJECTS, TEMPORARY, TRASH
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio import ops, syncing, temporaries
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.store.mapped import MAPPED, hash_mapped
from mlops_cli.store.objects import Damaged, MissingObject

if TYPE_CHECKING:
    from mlops_cli.store.trash import Trash
    from mlops_cli.store.twins import Twins

LARGE = 8 << 20  # bytes from which hashing pays for threads
BLOCK = 8 << 20  # bytes read at a time from large files
BESIDE = 64 << 20  # bytes of a file from which writing it pays for a thread
BESIDE_BLOCK = 2 << 20  # bytes that are written while the next are hashed: two of them stay in the processor's memory
SMALL = 1 << 20  # bytes up to which a file is read whole before anything is written
ALL_CORES = -1
FRESH_SECONDS = 86_400
QUARANTINE = f'{TEMPORARY}/quarantine'

_NOT_OURS = frozenset((errno.EPERM, errno.EACCES, errno.EROFS))
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Verified(Protocol):
    """Remembers which objects were found sound in which state, so that they need not be hashed again before each use."""

    def moment(self) -> Any:
        """A reading of the clock, taken before an object is read, to be handed to set_verified."""

    def settled_before(self, device: int) -> int:
        """When a file on a device must have been touched last, in nanoseconds since 1970, so that who changes it from now on
        changes its times."""

    def is_verified(self, digest: Digest, facts: os.stat_result) -> bool: ...

    def set_verified(self, digest: Digest, facts: os.stat_result, moment: Any) -> None:
        """``facts``: its state, the same before and after it was read."""


def object_path(digest: Digest) -> str:
    """The path of an object, relative to the cache."""
    return f'{OBJECTS}/{digest.hex[:2]}/{digest.hex[2:]}'


def linked_object(objects: str, target: str) -> ObjectRef | None:
    """What a symbolic link stands for that we made into the folder of objects (an absolute path); None for any other link,
    and where the object is gone."""
    digest = linked_digest(objects, target)
    if digest is None:
        return None
    try:
        facts = os.lstat(target)
    except FileNotFoundError:
        return None
    return ObjectRef(digest, facts.st_size, 'file') if stat.S_ISREG(facts.st_mode) else None


def linked_digest(objects: str, target: str) -> Digest | None:
    """The object that a link of ours names, be it there or not; None for any other link."""
    folder, _, name = target.removeprefix(f'{objects}/').partition('/')
    if not target.startswith(f'{objects}/') or len(folder) != 2:
        return None
    try:
        return Digest.parse(f'blake3:{folder}{name}')
    except ValueError:
        return None


class Shelf:
    """``cache``: its folder, made when something is first put there: who only looks leaves nothing behind.  ``batch``: takes
    new objects to their names; whoever made it flushes it."""

    def __init__(self, cache: str | os.PathLike[str], *, batch: Batch, verified: Verified | None = None) -> None:
        self.cache = cache
        self.objects = os.path.abspath(os.path.join(cache, OBJECTS))
        self.batch = batch
        self.verified = verified
        self.twins: Twins | None = None  # of what comes for a workspace
        self._place = Place(cache, OBJECTS, durable=batch.durability != 'none')
        self._lock = threading.Lock()
        self._pending: dict[Digest, str] = {}
        self._quarantined = itertools.count(1)

    def close(self) -> None:
        """Let go of the folder.  What waits in the batch is the batch's."""
        self._place.close()

    @property
    def root(self) -> Root:
        """The folder of the cache, made now if it is not there.  Raises OSError."""
        return self._place.root

    def prepare(self) -> None:
        """Make the folder of the cache and those in it, if absent.  Raises OSError."""
        self._place.prepare()

    @cached_property
    def _trash(self) -> Trash:
        from mlops_cli.store.trash import Trash  # few miss anything where there is one

        return Trash()

    # Looking

    def open(self, digest: Digest) -> tuple[int, os.stat_result]:
        """(descriptor, its stat) of an object, not yet verified; the caller closes.  What gc threw away comes back.

        Raises MissingObject; Damaged, if it is not even a file."""
        found = self._open(digest)
        if found is None and self._place.thrown() and self._trash.bring_back(self.root, object_path(digest)):
            found = self._open(digest)
        if found is None:
            raise MissingObject(digest)
        return found

    def _open(self, digest: Digest) -> tuple[int, os.stat_result] | None:
        for _ in range(2 if self._place.there() else 0):  # between the two looks it may have got its name
            for path in (self._pending.get(digest), object_path(digest)):
                if path is None:
                    continue
                try:
                    fd = ops.open_with(path, _READ, dir_fd=self.root.fd)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    if error.errno != errno.ELOOP:
                        raise
                    raise self.quarantine(digest, 'it is a symbolic link') from None
                facts = ops.fstat(fd)
                if stat.S_ISREG(facts.st_mode):
                    return fd, facts
                os.close(fd)
                raise self.quarantine(digest, 'it is not a file')
        return None

    def stat(self, digest: Digest) -> os.stat_result | None:
        """The lstat of a regular file under that name, pending or published; None if there is none.  What gc threw away comes
        back."""
        facts = self._lstat(object_path(digest))
        if facts is None and (temporary := self._pending.get(digest)) is not None:
            facts = self._lstat(temporary) or self._lstat(object_path(digest))  # between two looks it may have got its name
        if facts is None and self._place.thrown() and self._trash.bring_back(self.root, object_path(digest)):
            facts = self._lstat(object_path(digest))
        return facts if facts is not None and stat.S_ISREG(facts.st_mode) else None

    def _lstat(self, path: str) -> os.stat_result | None:
        if not self._place.there():
            return None
        try:
            return ops.lstat(path, self.root.fd)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            error.filename = self.root.full(path)
            raise

    def is_pending(self, digest: Digest) -> bool:
        """Whether it was added here and has not got its name yet."""
        return digest in self._pending

    def read(self, digest: Digest) -> bytes:
        """The bytes of an object, verified.  Raises MissingObject; Damaged, after putting it aside."""
        fd, facts = self.open(digest)
        try:
            data = read_all(fd, facts.st_size)
        finally:
            os.close(fd)
        if digest_of(data) != digest:
            raise self.quarantine(digest, f'its {len(data)} bytes hash to something else')
        return data

    def read_published(self, digest: Digest, size: int) -> bytes | None:
        """As read, of an object of that size that has its name and is now relied on; None where it is not as it should be:
        read and open say why."""
        if not self._place.there():
            return None
        try:
            fd = os.open(object_path(digest), _READ, dir_fd=self.root.fd)
        except OSError:
            return None
        try:
            data = os.read(fd, size + 1)
            facts = ops.fstat(fd)
        except OSError:
            return None
        finally:
            os.close(fd)
        if len(data) != size or digest_of(data) != digest:
            return None
        self.freshen(digest, facts)
        return data

    def sound(self, digest: Digest, size: int | None = None) -> bool:
        """Whether the object is here and its bytes are right; damaged ones are put aside.  Reads it unless it was found sound
        in this very state.  ``size``: what it must have, if known; one of another size is not the one that is meant."""
        facts = self.stat(digest)
        if facts is None:
            return False
        if size is not None and facts.st_size != size:
            self.sound(digest)  # damaged, it goes; else it is the size that is wrong, as a forged record may have it
            return False
        if self.is_pending(digest):
            return True
        if self.verified and self.verified.is_verified(digest, facts):
            return True
        moment = self.verified.moment() if self.verified else None
        try:
            found = self.digest_on_disk(digest, facts.st_size)
        except FileNotFoundError:
            return False
        if found != digest:
            self.quarantine(digest, f'its {facts.st_size} bytes hash to something else')
            return False
        if self.verified and self.stat(digest) == facts:
            self.verified.set_verified(digest, facts, moment)
        return True

    def digest_on_disk(self, digest: Digest, size: int) -> Digest:
        """What the published bytes under that name hash to.  Raises OSError."""
        fd = ops.open_with(object_path(digest), _READ, dir_fd=self.root.fd)
        try:
            return hash_rest(fd, size)[0]
        finally:
            os.close(fd)

    # Changing

    def new_temporary(self) -> tuple[int, str]:
        """(descriptor, path relative to the cache) of a new file that becomes an object, or is removed by the caller."""
        path = f'{TEMPORARY}/{temporaries.new_name()}'
        return ops.open_new(path, 0o600, dir_fd=self.root.fd), path

    def adopt(self, digest: Digest, fd: int, temporary: str, level: int) -> None:
        """Give a finished temporary its name with the next flush.  Takes over the descriptor.  Raises OSError."""
        try:
            ops.fchmod(fd, 0o444)
        except BaseException:
            os.close(fd)
            self.drop(temporary)
            raise
        with self._lock:
            duplicate = digest in self._pending
            if not duplicate:
                self._pending[digest] = temporary
        if duplicate:
            os.close(fd)
            self.drop(temporary)
            return
        try:
            self.batch.add(temporary, object_path(digest), level, fd=fd, root=self.root, after=lambda: self._named(digest))
        except BaseException:
            self._named(digest)
            raise

    def _named(self, digest: Digest) -> None:
        with self._lock:
            self._pending.pop(digest, None)

    def drop(self, temporary: str) -> None:
        """Remove a temporary that came to nothing."""
        ops.remove_quietly(temporary, dir_fd=self.root.fd)

    def freshen(self, digest: Digest, facts: os.stat_result | None = None) -> bool:
        """Tell gc that somebody relies on this object again; once a day is enough.  False where it is not here, or belongs to
        somebody else, so that gc cannot be told.  ``facts``: its state, if that is known.  Raises OSError."""
        if self.is_pending(digest):
            return True
        facts = facts or self.stat(digest)
        if facts is None:
            return False
        if time.time() - facts.st_mtime <= FRESH_SECONDS:
            return True
        try:
            ops.utime(object_path(digest), dir_fd=self.root.fd)
        except FileNotFoundError:  # gc was faster; whoever looks for it has it again, touched
            return self.stat(digest) is not None
        except OSError as error:
            if error.errno not in _NOT_OURS:
                raise
            return False
        return True

    def quarantine(self, digest: Digest, problem: str) -> Damaged:
        """Put an object aside so that it is never served; returns the error to raise."""
        with self._lock:
            temporary = self._pending.get(digest)
        aside = f'{QUARANTINE}/{digest.hex}-{temporaries.owner()}-{next(self._quarantined)}'
        try:
            self.root.makedirs(QUARANTINE, 0o700)
            ops.rename(temporary or object_path(digest), aside, src_dir_fd=self.root.fd, dst_dir_fd=self.root.fd)
        except FileNotFoundError:
            pass  # another process was faster
        return Damaged(digest, problem)

    def rewritten(self, fd: int, before: os.stat_result) -> bool:
        """Whether what :meth:`open` gave was written to meanwhile: objects never are."""
        del fd, before
        return False

    def remove(self, digest: Digest) -> None:
        """Remove an object's name, if there is one."""
        try:
            ops.unlink(object_path(digest), dir_fd=self.root.fd)
        except FileNotFoundError:
            return

    def listed(self) -> Iterator[Digest]:
        """Every name in the folder of objects that can be an object's; pending ones are not listed."""
        folders = self.root.scandir(OBJECTS) if self._place.there() else []
        for folder in sorted(folders, key=lambda entry: entry.name):
            if len(folder.name) == 2 and folder.is_dir():
                for entry in self.root.scandir(f'{OBJECTS}/{folder.name}'):
                    try:
                        yield Digest.parse(f'blake3:{folder.name}{entry.name}')
                    except ValueError:
                        continue  # not an object, whoever put it here


class Place:
    """The folder of a cache, opened when it is first needed.  ``part``: the folder in it that its user reads.  ``durable``:
    whether it has to survive a power loss once it is made.  Thread safe."""

    def __init__(self, cache: str | os.PathLike[str], part: str, *, durable: bool) -> None:
        self._cache, self._part, self._durable = os.fspath(cache), part, durable
        self._root: Root | None = None
        self._lock = threading.Lock()

    def there(self) -> bool:
        """Whether there is something to read."""
        return self._root is not None or os.path.isdir(os.path.join(self._cache, self._part))

    def thrown(self) -> bool:
        """Whether there is something to read, and something that gc took out of it."""
        return self.there() and os.path.lexists(os.path.join(self._cache, TRASH))

    @property
    def root(self) -> Root:
        """Made now if it is not there.  Raises OSError; UserError (exit 5) for a link in place of a folder in it, and of the
        project's own cache: what is stored, touched or put aside there is somebody else's."""
        if (found := self._root) is not None:
            return found
        with self._lock:
            if self._root is None:
                self._root = self._prepared()
            return self._root

    def prepare(self) -> None:
        """Raises as root."""
        self._prepared().close()

    def _prepared(self) -> Root:
        make_folders(self._cache, durable=self._durable)
        project = self._cache.removesuffix(f'/{CACHE}')
        if project == self._cache:  # a person said where it is, and may have put it behind a link
            root = Root(self._cache)
        else:
            with Root(project) as above:
                root = above.sub(CACHE)
        try:
            for part in (TEMPORARY, self._part):
                if root.stat(part) is None:
                    root.makedirs(part, 0o700)
                    if self._durable:
                        syncing.sync_names(root.fd)
            links = [f'{self._part}/{entry.name}' for entry in root.scandir(self._part) if entry.is_symlink()]
            if links:
                raise UserError(f'refused the cache: {root.full(min(links))} is a symbolic link', exit_code=ExitCode.REFUSED,
                                hint='look at it, then remove it; the next command makes a folder in its place')
        except BaseException:
            root.close()
            raise
        return root

    def close(self) -> None:
        with self._lock:
            if self._root is not None:
                self._root.close()
                self._root = None


def make_folders(path: str, *, durable: bool = True) -> None:
    """A folder of ours and those above it, if absent; with ``durable``, what is made durable in it later will be found.
    Raises OSError."""
    if _is_folder(path):
        return
    if not _is_folder(above := os.path.dirname(path) or '.'):
        make_folders(above, durable=durable)
    try:
        ops.mkdir(path, 0o700)
    except FileExistsError:
        if not _is_folder(path):
            raise
    if not durable:
        return
    fd = os.open(above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        syncing.sync_names(fd)
    finally:
        os.close(fd)


def _is_folder(path: str) -> bool:
    """Raises OSError where that cannot be told."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def read_all(fd: int, size: int) -> bytes:
    """All bytes from here to the end of a file of about that size."""
    with ops.Naming(fd):
        data = os.read(fd, size + 1)
        if len(data) == size:
            return data
        parts = [data]
        while part := os.read(fd, BLOCK):
            parts.append(part)
    return b''.join(parts)


def hash_rest(fd: int, size: int, write: Callable[[memoryview], object] | None = None) -> tuple[Digest, int]:
    """(digest, bytes) from here to the end of a file of about that size; what is hashed is also given to ``write``.

    Read, not mapped, unless it is so large that another process may do that."""
    if size >= MAPPED and write is None and not os.lseek(fd, 0, os.SEEK_CUR) and (found := hash_mapped(fd, size)) is not None:
        return found
    if size <= SMALL:
        data = read_all(fd, size)
        if write:
            write(memoryview(data))
        return digest_of(data), len(data)
    if write and size >= BESIDE:
        return hash_beside(fd, write)
    seen = hasher(threads=ALL_CORES if size >= LARGE else 1)
    view = memoryview(bytearray(min(size, BLOCK)))
    total = 0
    with ops.Naming(fd):
        while count := os.readv(fd, [view]):
            part = view[:count]
            seen.update(part)
            if write:
                write(part)
            total += count
    return Digest(seen.hexdigest()), total


def hash_beside(fd: int, write: Callable[[memoryview], object], block: int = BESIDE_BLOCK) -> tuple[Digest, int]:
    """As hash_rest, with the writing in another thread: it is what takes the time, and hashing by one thread costs less.
    ``block``: bytes that ``write`` gets at a time, at the start of a page; fewer at the end."""
    from mmap import mmap

    from mlops_cli.store.beside import Beside

    seen, total = hasher(), 0
    views = [memoryview(mmap(-1, block)) for _ in range(2)]
    with Beside(write) as beside, ops.Naming(fd):
        while count := os.readv(fd, [views[0]]):
            part = views[0][:count]
            beside.put(part)
            seen.update(part)
            total += count
            views.reverse()
    return Digest(seen.hexdigest()), total
