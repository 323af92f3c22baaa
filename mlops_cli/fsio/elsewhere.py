"""A project some of whose data lies elsewhere, such as on a shared disk, behind a link that its user confirmed.

There it is read as if it lay in the project, and never written: whatever would make, move or remove a name behind the link is
refused.  Counts only while the link still says what was confirmed; another one is a link like any other.
"""
from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio import paths
from mlops_cli.fsio.paths import Parent, Root, components

_FOLDER = getattr(os, 'O_PATH', os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Linked(Root):
    """``elsewhere``: relative path of a link -> absolute path, without a link in it, of the file or folder that it leads to."""

    def __init__(self, path: str | os.PathLike[str], elsewhere: Mapping[str, str]) -> None:
        super().__init__(path)
        self.elsewhere = dict(elsewhere)

    def _split(self, names: list[str]) -> tuple[str, list[str]] | None:
        """(where the link leads, the names behind it); None where no link of ours is on the way."""
        for end in range(1, len(names) + 1):
            link = '/'.join(names[:end])
            target = self.elsewhere.get(link)
            if target is not None and self._says(link) == target:
                return target, names[end:]
        return None

    def _says(self, link: str) -> str | None:
        """What a link says; None where there is none."""
        with suppress(OSError, UserError), Parent(self, components(link), False, 0) as (fd, name):
            return os.readlink(name, dir_fd=fd)
        return None

    def _descend(self, names: list[str], create: bool, mode: int) -> int:
        split = self._split(names)
        if split is None:
            return super()._descend(names, create, mode)
        if create:
            raise _read_only('/'.join(names), split[0])
        return _enter(*split)

    def parent(self, rel: str, create: bool = False, mode: int = 0o755) -> Parent:
        split = self._split(components(rel))
        if split is not None and split[1]:  # else it is the link itself, which is the project's
            raise _read_only(rel, split[0])
        return super().parent(rel, create, mode)

    def parent_to_read(self, rel: str) -> Parent:
        split = self._split(components(rel))
        return super().parent(rel) if split is None else _Behind(self, *split)

    def open_dir(self, rel: str = '') -> int:
        if (split := self._split(components(rel))) is not None:
            raise _read_only(rel, split[0])
        return super().open_dir(rel)

    def open_dir_to_read(self, rel: str = '') -> int:
        return super().open_dir(rel)

    def stat(self, rel: str) -> os.stat_result | None:
        target = self.elsewhere.get(rel)
        if target is None or self._says(rel) != target:
            return super().stat(rel)
        if paths.asked is not None:
            paths.asked.add((self.path, rel, False))
        try:
            return os.lstat(target)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def stat_many(self, rels: Iterable[str]) -> list[os.stat_result | None]:
        return [self.stat(rel) for rel in rels]


class _Behind(Parent):
    """As Parent, of a path that lies elsewhere."""

    __slots__ = ('_target',)

    def __init__(self, root: Root, target: str, behind: list[str]) -> None:
        super().__init__(root, behind, False, 0)
        self._target = target

    def __enter__(self) -> tuple[int, str]:
        *folders, name = self._names or [os.path.basename(self._target)]
        self._fd = _enter(self._target if self._names else os.path.dirname(self._target), folders)
        return self._fd, name


def _enter(target: str, names: list[str]) -> int:
    """A descriptor of a folder elsewhere; the caller closes.  Raises as Root does, for links in it too."""
    try:
        fd = os.open(target, _FOLDER)
    except OSError as error:
        if error.errno == errno.ELOOP:  # it was a folder when it was confirmed
            error = NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), target)
        raise error
    with Root.of(target, fd) as root:
        return root._descend(list(names), False, 0)


def _read_only(rel: str, target: str) -> UserError:
    return UserError(f'{rel} lies elsewhere, in {target}, which is read and never written', exit_code=ExitCode.REFUSED,
                     hint='to have it in the project instead: remove the link, copy it here, mlops add')
