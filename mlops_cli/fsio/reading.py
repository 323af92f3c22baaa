"""Many files looked at or read one after the other, with as few calls of the kernel as there can be."""
from __future__ import annotations

import os
import stat
from contextlib import suppress

from mlops_cli.core.errors import UserError
from mlops_cli.fsio import paths
from mlops_cli.fsio.paths import Root

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
LARGEST = 64 << 10  # bytes
FOLDERS = 128  # held open at a time


class Nearby:
    """Many paths, the way to each of their folders walked once.  Not for long: folders may be swapped meanwhile."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self._folders: dict[str, int] = {}

    def __enter__(self) -> Nearby:
        return self

    def __exit__(self, *_: object) -> None:
        while self._folders:  # each taken out first: who is interrupted here comes here again
            os.close(self._folders.popitem()[1])

    def stat(self, rel: str) -> os.stat_result | None:
        """As Root.stat."""
        folder, _, name = rel.rpartition('/')
        fd = self._folders.get(folder)
        if fd is None:
            fd = self._enter(folder, rel)
        if fd is None or name in ('', '.', '..') or '\0' in name or rel in self.root.elsewhere:
            return self.root.stat(rel)
        if paths.asked is not None:
            paths.asked.add((self.root.path, rel, False))
        try:
            return os.stat(name, dir_fd=fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            error.filename = self.root.full(rel)
            raise

    def parent(self, rel: str, *, create: bool = False, mode: int = 0o755) -> tuple[int, str]:
        """What is within Root.parent, as that raises; the descriptor is good until the next call."""
        folder, _, name = rel.rpartition('/')
        fd = self._folders.get(folder)
        if fd is None or name in ('', '.', '..') or '\0' in name:
            if len(self._folders) >= FOLDERS:
                self.__exit__()
            with self.root.parent(rel, create, mode) as (found, name):
                fd = self._folders[folder] = os.dup(found)
        return fd, name

    def _enter(self, folder: str, rel: str) -> int | None:
        """None where that is not possible: then Root.stat says why."""
        if len(self._folders) >= FOLDERS:
            self.__exit__()
        with suppress(OSError, UserError), self.root.parent(rel) as (fd, _):
            self._folders[folder] = os.dup(fd)
        return self._folders.get(folder)


def read_plain(folder: int, name: str) -> bytes | None:
    """The content of a small regular file.  ``folder``: descriptor of the folder that it lies in.

    None where it is anything else, or is not there: then atomic.read_file says what it is."""
    try:
        fd = os.open(name, _READ, dir_fd=folder)
    except OSError:
        return None
    try:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > LARGEST:
            return None
        data = os.read(fd, facts.st_size + 1)
        return data if len(data) == facts.st_size else None
    except OSError:
        return None
    finally:
        os.close(fd)
