"""Whether anybody wrote to what a stage reads while it ran, told from states alone: what holds in the end what it held before
may have held something else in between.

An edit that leaves a file's ``ctime`` as it was is not seen: only one within the same tick of the file system's clock could.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from typing import NamedTuple

from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.core.states import SIGNATURE
from mlops_cli.fingerprint.files import Workspace
from mlops_cli.fsio import temporaries
from mlops_cli.store.ingest import Added
from mlops_cli.store.shelf import linked_digest

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Whose times come from the clock that we ask, too: those of hosts, servers and programs may differ from it.
LOCAL = frozenset(('ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'tmpfs', 'overlay', 'f2fs', 'bcachefs', 'zfs'))


class FolderState(NamedTuple):
    """``files``: stands for the states of the files and links in it that count.  ``names``: for the names of all in it.
    ``own``: its inode and times."""

    files: bytes
    names: bytes
    own: tuple[int, int, int]


State = dict[str, os.stat_result | FolderState | None]  # by path: what was looked at; None: it could not be


def state_of(workspace: Workspace, path: str, *, ignore: bool = True) -> State:
    """The state of all that ``workspace.ref`` reads for a path.  Costs one look at each file and opens none."""
    found: State = {}
    _look(workspace, path, ignore, found)
    return found


def left_alone(before: State, after: State) -> bool:
    """Whether nobody wrote in between.  Of a folder of which names that do not count came or went it cannot be told whether
    others did and are gone again: it then counts as left alone."""
    return before.keys() == after.keys() and all(_same(one, after[path]) for path, one in before.items())


def _same(one: os.stat_result | FolderState | None, two: os.stat_result | FolderState | None) -> bool:
    if isinstance(one, FolderState) and isinstance(two, FolderState):
        return one.files == two.files and (one.own == two.own or one.names != two.names)
    if isinstance(one, os.stat_result) and isinstance(two, os.stat_result):
        linked = two.st_nlink > 1 and stat.S_ISREG(two.st_mode)
        return _state(one, linked) == _state(two, linked)
    return one is two


def _state(facts: os.stat_result, linked: bool) -> bytes:
    """``linked``: it has other names, and that one more came or went changes its ctime.  One that also nobody may write is an
    object of the cache, whose mtime says when somebody last relied on it."""
    touched, changed = facts.st_mtime_ns, facts.st_ctime_ns
    if linked:
        changed = 0
        touched = touched if facts.st_mode & 0o222 else 0
    return SIGNATURE.pack(facts.st_dev, facts.st_ino, facts.st_size, touched, changed, facts.st_mode)


def _look(workspace: Workspace, path: str, ignore: bool, found: State) -> None:
    try:
        place, facts = path, _plain(workspace, path)
        if facts is None or stat.S_ISLNK(facts.st_mode):
            if facts is not None:
                found[path] = facts
                target = workspace.root.readlink(path)
                if workspace.objects and linked_digest(workspace.objects, target) is not None:
                    return
            place, facts = workspace.resolve(path)
        if place in found:
            return
        if facts is not None and stat.S_ISDIR(facts.st_mode):
            found[place] = None  # a link in it may lead back here
            _folder(workspace, workspace.root.open_dir_to_read(place), '' if place == '.' else place, ignore, found)
        else:
            found[place] = facts
    except (OSError, UserError):  # it is being swapped, or leads out: the look at its content tells
        found[path] = None


def _plain(workspace: Workspace, path: str) -> os.stat_result | None:
    """Its lstat; None where nothing is, or a folder on the way is a link."""
    try:
        return workspace.lstat(path)
    except UserError:
        return None


def _folder(workspace: Workspace, fd: int, rel: str, ignore: bool, found: State) -> None:
    """``fd``: is taken over.  ``ignore``: as Workspace.ref has it.  Raises OSError."""
    counts = workspace.ignore if ignore else None
    may_ignore = counts.may_ignore if counts is not None else str
    packed = SIGNATURE.pack
    names: list[bytes] = []
    parts: list[bytes] = []
    folders: list[str] = []
    try:
        own = os.fstat(fd)
        with os.scandir(fd) as found_here:
            entries = list(found_here)
        for entry in entries:  # once for each file of the stage's inputs: every line counts
            name = entry.name
            encoded = name.encode('utf-8', 'surrogateescape')
            names.append(encoded)
            is_folder = entry.is_dir(follow_symlinks=False)
            if may_ignore(name) and ((counts and counts.entry_ignored(rel, name, is_folder)) or _is_ours(name)):
                continue
            if is_folder:
                folders.append(name)
                continue
            facts = entry.stat(follow_symlinks=False)
            mode = facts.st_mode
            if facts.st_nlink > 1 and stat.S_ISREG(mode):
                state = _state(facts, True)
            else:
                state = packed(facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, mode)
            parts.append(encoded + b'\0' + state)
            if ignore and stat.S_ISLNK(mode):
                _look(workspace, f'{rel}/{name}' if rel else name, ignore, found)
        times = own.st_ino, own.st_mtime_ns, own.st_ctime_ns
        found[rel or '.'] = FolderState(_digest(parts), _digest(names), times)
        for name in folders:
            path = f'{rel}/{name}' if rel else name
            _folder(workspace, os.open(name, _FOLDER, dir_fd=fd), path, ignore, found)
    finally:
        os.close(fd)


def _is_ours(name: str) -> bool:
    return name.startswith(temporaries.PREFIX) and bool(temporaries.owner_in(name))


def _digest(parts: list[bytes]) -> bytes:
    return bytes.fromhex(digest_of(b'\0'.join(sorted(parts))).hex)


def later_than(workspace: Workspace, added: Iterable[Added], moment_ns: int) -> tuple[str, ...]:
    """Of files as they were when they were added to the store, and of the folders they lie in: paths of those written or put
    there after a moment of this machine's clock."""
    late: list[str] = []
    for one in added:
        late += [path for path, facts, _ in one.files if facts.st_ctime_ns > moment_ns]
        folders = {path.rpartition('/')[0] for path, _, _ in one.files} if one.ref.kind == 'tree' else set()
        for folder, records in one.records.items():
            folders.add(folder)
            late += [f'{folder}/{name}' for name, record in records.items() if SIGNATURE.unpack_from(record)[4] > moment_ns]
        for folder in sorted(folders):
            facts = workspace.root.stat(folder)
            if facts is not None and facts.st_ctime_ns > moment_ns:
                late.append(folder)
    return tuple(late)

