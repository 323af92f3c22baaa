"""What a file or folder is that lies anywhere, as the store would have it.  Stores nothing, follows no link in a folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.paths import Root
from mlops_cli.store.ingest import hash_open_file
from mlops_cli.store.tree import Link, build, link_problem

FILES = 200_000  # in a folder that is hashed


def hashed(
    path: str, counts: Callable[[str, bool], bool] = lambda _path, _is_folder: True, project: str = ''
) -> ObjectRef:
    """The content at an absolute path; a link there is followed.  ``counts``: of a path in that folder, and whether it is a
    folder, whether it is part of the content.  ``project``: the absolute path of one that is not to lie in it.

    Raises UserError for a pipe or device, for what no stored folder can hold, and for more than 200,000 files; OSError."""
    path = os.path.realpath(path)
    if project and f'{os.path.realpath(project)}/'.startswith(f'{path.rstrip("/")}/'):
        raise UserError(f'{path} is where this project lies', exit_code=ExitCode.REFUSED, hint='name a file or a folder in it')
    if stat.S_ISDIR(os.lstat(path).st_mode):
        with Root(path) as root:
            return _hash_folder(root, path, counts)
    with Root(os.path.dirname(path)) as root:
        return _hash_file(root, os.path.basename(path))


def _hash_file(root: Root, name: str) -> ObjectRef:
    fd = root.open(name, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return hash_open_file(fd, name)[0]
    finally:
        os.close(fd)


def _hash_folder(root: Root, shown: str, counts: Callable[[str, bool], bool]) -> ObjectRef:
    content: dict[str, ObjectRef | Link] = {}
    files: list[str] = []  # read once all are known: of a disk, or of /proc, too many to be one stored folder
    waiting = ['']
    while waiting:
        folder = waiting.pop()
        above = f'{folder}/' if folder else ''
        entries = [entry for entry in root.scandir(folder) if counts(f'{above}{entry.name}', entry.is_dir())]
        if folder and not entries:
            content[folder] = build({})[0]
        for entry in entries:
            path = f'{above}{entry.name}'
            if len(content) + len(files) > FILES:
                raise UserError(f'{shown} has more than {FILES:,} files', exit_code=ExitCode.REFUSED, hint='name one in it')
            if entry.is_symlink():
                link = content[path] = Link(root.readlink(path))
                if problem := link_problem(link.target, path.count('/')):
                    raise _unstorable(shown, f'{path}: {problem}')
            elif entry.is_dir():
                waiting.append(path)
            else:
                files.append(path)
    for path in files:
        content[path] = _hash_file(root, path)
    try:
        return build(content)[0]
    except ValueError as error:
        raise _unstorable(shown, str(error)) from error


def _unstorable(shown: str, problem: str) -> UserError:
    return UserError(f'{shown} is no folder that could be stored: {problem}', exit_code=ExitCode.REFUSED)
