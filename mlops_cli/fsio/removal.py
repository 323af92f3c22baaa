"""Remove a folder with all that is in it, through descriptors only.  Knows nothing about roots or what is worth keeping."""
from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from mlops_cli.fsio import ops

_LISTABLE = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEPEST = 48  # levels held open at once; what lies deeper is first moved up, so that descriptors do not run out


def remove_tree(name: str, dir_fd: int) -> None:
    """Remove ``name`` in the folder ``dir_fd``: a file, a link (not followed) or a folder and all in it.

    Folders without write permission are given it.  Raises OSError; FileNotFoundError if there is no such name, EXDEV for a
    file system mounted inside, before anything of that is touched."""
    facts = ops.lstat(name, dir_fd)
    if not stat.S_ISDIR(facts.st_mode):
        ops.unlink(name, dir_fd=dir_fd)
        return
    top = _open(name, dir_fd, facts.st_dev)
    try:
        _empty(top, top, 0, facts.st_dev)
    finally:
        os.close(top)
    ops.rmdir(name, dir_fd=dir_fd)


def _open(name: str, dir_fd: int, device: int) -> int:
    """The folder, writable by us; the caller closes."""
    try:
        fd = ops.open_with(name, _LISTABLE, dir_fd=dir_fd)
    except PermissionError:
        ops.chmod(name, 0o700, dir_fd=dir_fd)
        fd = ops.open_with(name, _LISTABLE, dir_fd=dir_fd)
    try:
        facts = ops.fstat(fd)
        if facts.st_dev != device:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), ops.full_path(name, dir_fd))
        if stat.S_IMODE(facts.st_mode) & 0o700 != 0o700 and facts.st_uid == os.geteuid():
            ops.fchmod(fd, stat.S_IMODE(facts.st_mode) | 0o700)
    except OSError:
        os.close(fd)
        raise
    return fd


def _empty(fd: int, top: int, depth: int, device: int) -> None:
    """Remove all in the folder ``fd``; what is moved up lands in ``top``, which is read again until it is empty."""
    while True:
        with ops.Naming(fd), os.scandir(fd) as found:
            entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
        if not entries:
            return
        for name, is_folder in entries:
            with suppress(FileNotFoundError):  # somebody else removes here too
                if not is_folder:
                    ops.unlink(name, dir_fd=fd)
                elif depth < _DEEPEST:
                    _empty_folder(name, fd, top, depth, device)
                    ops.rmdir(name, dir_fd=fd)
                else:
                    _move_up(name, fd, top)
        if fd != top:
            return


def _empty_folder(name: str, dir_fd: int, top: int, depth: int, device: int) -> None:
    fd = _open(name, dir_fd, device)
    try:
        _empty(fd, top, depth + 1, device)
    finally:
        os.close(fd)


def _move_up(name: str, fd: int, top: int) -> None:
    number = 0
    while True:
        try:
            ops.rename(name, f'.deep-{number}', src_dir_fd=fd, dst_dir_fd=top)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            number += 1
