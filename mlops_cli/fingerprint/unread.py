"""A folder of thousands of files that nobody has read yet, read by a crew of processes while it is listed here.

Only takes time from whoever looks at the folder: a record counts if it is of the very state that the look finds."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mlops_cli.core.errors import UserError
from mlops_cli.fingerprint.ignore import Ignore
from mlops_cli.fingerprint.index import Index
from mlops_cli.fsio.paths import Root
from mlops_cli.store.ahead import Ahead
from mlops_cli.store.tree import DEPTH_LIMIT

Read = Callable[[str], dict[str, bytes]]


@contextmanager
def reading(root: Root, rel: str, ignore: Ignore | None, index: Index) -> Iterator[Read | None]:
    """Within, a function from the path of a folder, ``rel`` or below it, to the records of its files by name, as far as
    they were read; None where a crew is not worth it."""
    view = bytes.fromhex(ignore.digest.hex) if ignore else b''
    if index.stat_filter is not None or index.seal(rel, view) is not None:
        yield None
        return
    from mlops_cli.store.crew import ENOUGH, Crew, CrewLost  # only for what is looked at for the first time

    unread = Unread(root, rel, ignore, index)
    if not unread.enough(ENOUGH):
        yield None
        return
    moment = index.moment()
    lost = False

    def read(folder: str) -> dict[str, bytes]:
        nonlocal lost
        if lost or not unread.has(folder):
            return {}
        try:
            return crew.records(folder)
        except CrewLost:  # the ordinary way reads what is left
            lost = True
            return {}

    try:
        with Crew(root, unread, (moment.device, moment.before_ns, moment.foreign_before_ns)) as crew:
            yield read
    except CrewLost:
        yield None


class Unread(Ahead):
    """The folders of which the index has no file, those in a folder before it, in the order in which a scan settles them."""

    def __init__(self, root: Root, rel: str, ignore: Ignore | None, index: Index) -> None:
        super().__init__()
        self._root, self._ignore, self._index = root, ignore, index
        self._walk = self._below(rel, 0)

    def step(self) -> tuple[str, list[str], bool] | None:
        found = next(self._walk, None)
        return (*found, bool(found[1]) and not self._index.folder(found[0])) if found is not None else None

    def _below(self, rel: str, depth: int) -> Iterator[tuple[str, list[str]]]:
        """Each folder with the names of the files in it that count.  What cannot be listed is left to the scan."""
        files: list[str] = []
        folders: list[str] = []
        try:
            fd = self._root.open_dir_to_read(rel)
        except (OSError, UserError):
            return
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    is_folder = entry.is_dir(follow_symlinks=False)
                    if self._counts(rel, entry.name, is_folder):
                        if is_folder:
                            folders.append(entry.name)
                        elif entry.is_file(follow_symlinks=False):
                            files.append(entry.name)
        except OSError:
            return
        finally:
            os.close(fd)
        if depth < DEPTH_LIMIT:
            for name in folders:
                yield from self._below(f'{rel}/{name}' if rel else name, depth + 1)
        yield rel, files

    def _counts(self, folder: str, name: str, is_folder: bool) -> bool:
        ignore = self._ignore
        return ignore is None or not ((is_folder or ignore.may_ignore(name)) and ignore.entry_ignored(folder, name, is_folder))
