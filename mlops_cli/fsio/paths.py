"""Paths inside a folder, resolved by walking it: no component is a symbolic link, none leads out, whatever anybody swaps
meanwhile.  Knows nothing about which names the project reserves.

Only the folder's own descriptor is kept: a resolved path is never remembered, since what it led to may be swapped.
"""
from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import groupby
from typing import Literal

from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio import ops, removal

_FOLDER = getattr(os, 'O_PATH', os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LISTABLE = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK

# What roots are asked for, while somebody wants to know: (path of the root, relative path, whether it is listed).
asked: set[tuple[str, str, bool]] | None = None

_NO_NAMES = frozenset(('', '.', '..'))
EntryType = Literal['file', 'dir', 'link', 'other']


@dataclass(frozen=True, slots=True)
class FolderEntry:
    """One name in a folder.  ``facts``: its lstat, if it was asked for."""

    name: str
    type: EntryType
    facts: os.stat_result | None = None

    def is_file(self) -> bool:
        return self.type == 'file'

    def is_dir(self) -> bool:
        return self.type == 'dir'

    def is_symlink(self) -> bool:
        return self.type == 'link'

    def stat(self) -> os.stat_result:
        """The lstat taken when the folder was read.  Raises ValueError if scandir was not asked for it."""
        if self.facts is None:
            raise ValueError('scandir was called without stats=True')
        return self.facts


def components(rel: str) -> list[str]:
    """The names of a relative path; none for ``''`` and ``'.'``, the folder itself.

    Raises UserError (exit 5) for absolute paths and for ``..``, ``.``, empty names and NUL in it."""
    if rel in ('', '.'):
        return []
    names = rel.split('/')
    if '' not in names and '.' not in names and '..' not in names and '\0' not in rel:
        return names
    for name in names:
        if name in ('', '.', '..') or '\0' in name:
            what = 'an absolute path' if rel.startswith('/') else f'the component {name!r} in it'
            raise UserError(f'refused the path {rel!r}: {what} could lead out of the project', exit_code=ExitCode.REFUSED,
                            hint='write the path relative to the project root, without empty, . or .. components')
    return names


def _refuse_link(rel: str, link: str) -> UserError:
    what = 'is a symbolic link' if link == rel else f'leads through the symbolic link {link!r}'
    return UserError(f'refused the path {rel!r}: it {what}', exit_code=ExitCode.REFUSED,
                     hint='put a real file or folder there, or name the path that the link leads to')


class Root:
    """A folder held open, and what happens inside it.

    ``path``: the folder as it was given, absolute.  ``fd``: its descriptor, for ``dir_fd``.  The folder itself may be reached
    through links; below it none is followed: a path with one raises UserError (exit 5).  Otherwise methods raise OSError.
    ``elsewhere``: links that lead out and are followed all the same, see fsio.elsewhere."""

    elsewhere: Mapping[str, str] = {}

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(os.fspath(path))
        self.fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    @classmethod
    def of(cls, path: str, fd: int) -> Root:
        """A folder of which there is a descriptor, here taken over.  ``path``: for messages."""
        root = cls.__new__(cls)
        root.path, root.fd = path, fd
        return root

    def __enter__(self) -> Root:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f'Root({self.path!r})'

    def close(self) -> None:
        """Let go of the folder; twice does no harm."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def full(self, rel: str) -> str:
        """The absolute path, for messages and for programs that need one; nothing is resolved or checked."""
        return os.path.join(self.path, rel) if rel not in ('', '.') else self.path

    # Walking

    def _descend(self, names: list[str], create: bool, mode: int) -> int:
        """A new descriptor of the folder that ``names`` lead to; the caller closes."""
        if len(names) == 1 and not create:  # the most frequent by far
            try:
                return os.open(names[0], _FOLDER, dir_fd=self.fd)
            except OSError as error:
                self._explain(error, self.fd, names, 0)
                raise
        here = os.dup(self.fd) if not names else self.fd
        for position, name in enumerate(names):
            try:
                there = self._step(here, name, create, mode)
            except OSError as error:
                self._explain(error, here, names, position)
                raise
            finally:
                if here != self.fd:
                    os.close(here)
            here = there
        return here

    @staticmethod
    def _step(here: int, name: str, create: bool, mode: int) -> int:
        try:
            return os.open(name, _FOLDER, dir_fd=here)
        except FileNotFoundError:
            if not create:
                raise
        with suppress(FileExistsError):  # another process was faster
            ops.mkdir(name, mode, dir_fd=here)
        return os.open(name, _FOLDER, dir_fd=here)

    def _explain(self, error: OSError, here: int, names: list[str], position: int) -> None:
        """Raise UserError if the component is a link; else set the full path in ``error``."""
        rel = '/'.join(names[:position + 1])
        if error.errno in (errno.ENOTDIR, errno.ELOOP) and _is_link(names[position], here):
            raise _refuse_link('/'.join(names), rel) from None
        error.filename = self.full(rel)

    def parent(self, rel: str, create: bool = False, mode: int = 0o755) -> Parent:
        """Within: (descriptor of the folder that holds ``rel``, last name), for calls with ``dir_fd``.

        ``create``: make missing folders, with ``mode`` less the umask.  Raises UserError for ``''``."""
        names = components(rel)
        if not names:
            raise UserError(f'refused the path {rel!r}: it is the project root itself', exit_code=ExitCode.REFUSED,
                            hint='name a path inside the project')
        return Parent(self, names, create, mode)

    def parent_to_read(self, rel: str) -> Parent:
        """As parent, for who makes, moves and removes nothing there."""
        return self.parent(rel)

    # Reading

    def open(self, rel: str, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
        """Open a file; the caller closes, and checks S_ISREG (a FIFO opens at once: O_NONBLOCK is added for reading)."""
        if flags & os.O_ACCMODE == os.O_RDONLY:
            flags |= os.O_NONBLOCK
            if asked is not None:
                asked.add((self.path, rel, False))
        with self.parent_to_read(rel) if flags & os.O_ACCMODE == os.O_RDONLY else self.parent(rel) as (fd, name):
            try:
                return ops.open_with(name, flags, mode, dir_fd=fd)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR) and _is_link(name, fd):
                    raise _refuse_link(rel, rel) from None
                error.filename = self.full(rel)
                raise

    def open_dir(self, rel: str = '') -> int:
        """A descriptor of a folder that can be listed and fsynced; the caller closes."""
        if asked is not None:
            asked.add((self.path, rel, True))
        if not components(rel):
            return ops.open_with('.', _LISTABLE, dir_fd=self.fd)
        return self.open(rel, os.O_RDONLY | os.O_DIRECTORY)

    def open_dir_to_read(self, rel: str = '') -> int:
        """As open_dir, for who makes, moves and removes nothing there."""
        return self.open_dir(rel)

    def sub(self, rel: str, *, create: bool = False, mode: int = 0o755) -> Root:
        """A folder inside as a Root of its own."""
        if create:
            self.makedirs(rel, mode)
        return Root.of(self.full(rel), self.open_dir(rel))

    def stat(self, rel: str) -> os.stat_result | None:
        """lstat, None if absent or if a component before it is no folder."""
        if asked is not None:
            asked.add((self.path, rel, False))
        if rel in ('', '.'):
            return os.fstat(self.fd)
        *folders, name = components(rel)
        fd = self.fd
        try:
            if folders:
                fd = self._descend(folders, False, 0)
            return os.stat(name, dir_fd=fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            error.filename = self.full(rel)
            raise
        finally:
            if fd != self.fd:
                os.close(fd)

    def stat_many(self, rels: Iterable[str]) -> list[os.stat_result | None]:
        """As stat for each, in a quarter of the time where paths that follow each other are in one folder (sort them)."""
        found: list[os.stat_result | None] = []
        for start, group in groupby(rels, key=_start_of):
            paths = list(group)
            if asked is not None:
                asked.update((self.path, path, False) for path in paths)
            names = [path[len(start) :] for path in paths]
            if not _NO_NAMES.isdisjoint(names) or '\0' in ''.join(names):
                found += map(self.stat, paths)
                continue
            try:
                with self.parent(paths[0]) as (fd, _), ops.Naming(fd):
                    found += [_stat_in(fd, name) for name in names]
            except (FileNotFoundError, NotADirectoryError):
                found += [None] * len(paths)
        return found

    def exists(self, rel: str) -> bool:
        """Whether anything has that name, be it a link that leads nowhere."""
        return self.stat(rel) is not None

    def readlink(self, rel: str) -> str:
        """What a symbolic link says."""
        if asked is not None:
            asked.add((self.path, rel, False))
        with self.parent_to_read(rel) as (fd, name):
            try:
                return os.readlink(name, dir_fd=fd)
            except OSError as error:
                error.filename = self.full(rel)
                raise

    def scandir(self, rel: str = '', *, stats: bool = False) -> list[FolderEntry]:
        """The names in a folder, in no order; with ``stats`` each with its lstat.  What vanishes meanwhile is left out."""
        fd = self.open_dir_to_read(rel)
        try:
            return list(read_folder(fd, stats=stats))
        finally:
            os.close(fd)

    # Changing

    def makedirs(self, rel: str, mode: int = 0o755) -> None:
        """Make a folder and those above it, if absent; ``mode`` less the umask."""
        names = components(rel)
        os.close(self._descend(names, True, mode))

    def rename(self, source: str, target: str) -> None:
        """Rename inside the folder; replaces a file."""
        with self.parent(source) as (source_fd, source_name), self.parent(target) as (target_fd, target_name):
            ops.rename(source_name, target_name, src_dir_fd=source_fd, dst_dir_fd=target_fd)

    def exchange(self, one: str, two: str) -> None:
        """Swap two names in one step.  ENOTSUP where the system lacks it."""
        with self.parent(one) as (one_fd, one_name), self.parent(two) as (two_fd, two_name):
            ops.exchange(one_name, two_name, src_dir_fd=one_fd, dst_dir_fd=two_fd)

    def unlink(self, rel: str) -> None:
        """Remove a file or link."""
        with self.parent(rel) as (fd, name):
            ops.unlink(name, dir_fd=fd)

    def remove_tree(self, rel: str) -> None:
        """Remove a file, link or folder with all that is in it, if present.  Links are removed, not followed; folders without
        write permission are given it; another file system mounted inside is refused (OSError EXDEV)."""
        try:
            with self.parent(rel) as (fd, name):
                removal.remove_tree(name, fd)
        except FileNotFoundError:
            return


class Parent:
    """What :meth:`Root.parent` returns: opened when it is entered, closed when it is left."""

    __slots__ = ('_create', '_fd', '_mode', '_names', '_root')

    def __init__(self, root: Root, names: list[str], create: bool, mode: int) -> None:
        self._root, self._names, self._create, self._mode = root, names, create, mode
        self._fd = -1

    def __enter__(self) -> tuple[int, str]:
        name = self._names.pop()
        if not self._names:
            return self._root.fd, name
        self._fd = self._root._descend(self._names, self._create, self._mode)
        return self._fd, name

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def _start_of(rel: str) -> str:
    """All but its last name."""
    return rel[: rel.rfind('/') + 1]


def _stat_in(fd: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _is_link(name: str, dir_fd: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode)
    except OSError:
        return False


def read_folder(fd: int, *, stats: bool = False) -> Iterator[FolderEntry]:
    """The entries of an open folder; with ``stats`` each with its lstat.  Raises OSError."""
    with ops.Naming(fd), os.scandir(fd) as found:
        for entry in found:
            kind: EntryType = ('link' if entry.is_symlink() else 'dir' if entry.is_dir(follow_symlinks=False)
                               else 'file' if entry.is_file(follow_symlinks=False) else 'other')
            if not stats:
                yield FolderEntry(entry.name, kind)
                continue
            try:
                facts = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield FolderEntry(entry.name, kind, facts)
