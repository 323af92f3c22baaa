"""Where what will stand in a folder is built before it has its name there.  Knows nothing of what is built."""
from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from mlops_cli.core import layout
from mlops_cli.core.errors import UserError
from mlops_cli.fsio import ops, removal, temporaries
from mlops_cli.fsio.paths import Root

Result = TypeVar('Result')


def build(root: Root, folder: int, make: Callable[[int, str], Result]) -> Result:
    """What ``make(place, name)`` returns: it makes something of that name in that folder, then renames it into ``folder``,
    which lies in the root.

    The place is the project's folder for what is this machine's own: there git does not see what a kill leaves, and the next
    command that writes takes it away.  Where the root has none, or it is on another file system, it is ``folder`` itself.
    After an error, which is raised, what was made is removed, as far as that works."""
    with _own(root, folder) as own:
        if own is not None:
            try:
                return _made(own, make)
            except OSError as error:
                if error.errno != errno.EXDEV:  # one file system may be mounted in two places
                    raise
    return _made(folder, make)


def _made(place: int, make: Callable[[int, str], Result]) -> Result:
    name = temporaries.new_name(temporaries.PREFIX)
    try:
        return make(place, name)
    except BaseException:
        with suppress(OSError):
            removal.remove_tree(name, place)
        raise


class Scratch:
    """The same place, held open for many things.  ``fd``: its descriptor once :meth:`serves` was asked.  To be closed."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._device: int | None = None
        self.fd = -1

    def close(self) -> None:
        fd, self.fd, self._device = self.fd, -1, None
        if fd >= 0:
            os.close(fd)

    def serves(self, folder: int) -> bool:
        """Whether what will stand in ``folder`` can be built there, and not only in that itself."""
        if self._device is None:
            self._device = -1
            with suppress(OSError, UserError):
                self.fd = self._root.open_dir(layout.LOCAL)
                self._device = os.fstat(self.fd).st_dev
        return ops.fstat(folder).st_dev == self._device


@contextmanager
def _own(root: Root, folder: int) -> Iterator[int | None]:
    fd = None
    with suppress(OSError, UserError), root.parent(f'{layout.LOCAL}/-') as (found, _):
        if ops.fstat(found).st_dev == ops.fstat(folder).st_dev:
            fd = os.dup(found)
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)
