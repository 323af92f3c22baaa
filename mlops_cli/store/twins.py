"""Large files that come into the store, written a second time meanwhile, for the workspace that waits for them.

A copy made afterwards reads the object, hashes it once more and takes as many pages of memory anew
(docs/decisions/0064)."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from contextlib import suppress

from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import UserError
from mlops_cli.core.states import pack
from mlops_cli.fsio import ops, pieces, temporaries
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.scratch import Scratch
from mlops_cli.store.beside import Beside

MODE = 0o644  # that it is made with; who wants another makes a copy
SPARE = 256 << 20  # bytes of the disk that are left alone


class Twins:
    """``names``: of what the workspace waits for.  As a context manager it takes away what nobody took."""

    def __init__(self, root: Root, names: Collection[str]) -> None:
        self.names = names
        self._root, self._scratch = root, Scratch(root)
        self._whole: dict[Digest, tuple[int, str, bytes]] = {}

    def __enter__(self) -> Twins:
        return self

    def __exit__(self, *_: object) -> None:
        for digest in list(self._whole):
            fd, name, _state = self._whole.pop(digest)
            os.close(fd)
            ops.remove_quietly(name, dir_fd=self._scratch.fd)
        self._scratch.close()

    def begin(self, digest: Digest, size: int, object_fd: int) -> Twin | None:
        """None where nothing is gained: both would share blocks, or there is no room for both at once; or where it cannot be
        made.  ``object_fd``: of the object that is about to be written."""
        name = temporaries.new_name(temporaries.PREFIX)
        with suppress(OSError, UserError):
            if digest in self._whole or not self._scratch.serves(self._root.fd):
                return None
            space = os.fstatvfs(self._scratch.fd)
            if space.f_bavail * space.f_frsize < 2 * size + SPARE:
                return None
            fd = ops.open_new(name, MODE, dir_fd=self._scratch.fd)
            twin = Twin(fd, self._scratch.fd, name, lambda state: self._whole.__setitem__(digest, (fd, name, state)))
            with suppress(OSError):
                if not ops.reflink(object_fd, fd):
                    return twin
            twin.drop()
        return None

    def give(self, digest: Digest, mode: int, folder: int, name: str) -> bool:
        """Put it where its content is wanted.  False, and nothing done, where there is none, or it is not as it was made."""
        if mode != MODE or digest not in self._whole:
            return False
        fd, own, state = self._whole.pop(digest)
        try:
            there = ops.lstat(own, self._scratch.fd)
            if pack(ops.fstat(fd)) == state == pack(there) and there.st_nlink == 1:
                ops.rename_noreplace(own, name, src_dir_fd=self._scratch.fd, dst_dir_fd=folder)
                return True
        except OSError:  # such as another file system: the ordinary way says what is wrong
            pass
        finally:
            os.close(fd)
        ops.remove_quietly(own, dir_fd=self._scratch.fd)
        return False


class Twin:
    """One of them while it is written.  An error of it is nobody's: it is dropped, and there is none."""

    def __init__(self, fd: int, folder: int, name: str, whole: Callable[[bytes], object]) -> None:
        self._fd, self._folder, self._name, self._whole = fd, folder, name, whole
        self._beside = Beside(lambda part: pieces.write(fd, part))
        self._beside.__enter__()
        self._running = True

    def write(self, part: memoryview) -> None:
        """A part that stays as it is until the next one is given, or the end."""
        if self._running:
            try:
                self._beside.put(part)
            except OSError:
                self.drop()

    def keep(self) -> None:
        """All of it is written, and what it was to be."""
        if not self._running:
            return
        try:
            self._end()
        except OSError:
            self.drop()
            return
        self._whole(pack(ops.fstat(self._fd)))

    def drop(self) -> None:
        """There is none; :meth:`keep` does nothing any more."""
        if self._fd < 0:
            return
        with suppress(OSError):
            self._end()
        fd, self._fd = self._fd, -1
        os.close(fd)
        ops.remove_quietly(self._name, dir_fd=self._folder)

    def _end(self) -> None:
        """Raises OSError of what was written last."""
        if self._running:
            self._running = False
            self._beside.__exit__(None, None, None)
