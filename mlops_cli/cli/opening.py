"""Files that a command is given by name, where it stands: as commands of a stage read them."""

from __future__ import annotations

import os

from mlops_cli.cli.finding import find_project
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.layout import OBJECTS
from mlops_cli.core.paths import inside
from mlops_cli.core.patterns import pattern
from mlops_cli.fsio.paths import Root

_OBJECT = pattern(rf'/{OBJECTS}/[0-9a-f]{{2}}/[0-9a-f]{{62}}\Z')


def is_object(path: str) -> bool:
    """Whether a path is that of an object of a cache."""
    return _OBJECT.search(path) is not None


def open_named(file: str) -> int:
    """A descriptor, without waiting for anybody.  What a name in the project leads to has to lie in it, or be an object of a
    cache: a branch may bring links.  Names that lead elsewhere by themselves are a person's own.  Raises OSError, UserError."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    project = os.path.realpath(find_project(os.getcwd()) or '/')
    here = os.path.normpath(os.path.join(os.path.realpath(os.getcwd()), file))
    there = os.path.realpath(file)
    if not inside(here, project) or here == there:
        return os.open(file, flags)
    if inside(there, project):
        with Root(project) as root:
            return root.open(os.path.relpath(there, project), os.O_RDONLY)
    if is_object(there):
        return os.open(there, flags | os.O_NOFOLLOW)
    raise UserError(
        f'refused to read {file}: it is a symbolic link, or lies behind one, that leads out of the project',
        exit_code=ExitCode.REFUSED,
        hint='put the file itself there, or name the one that it leads to',
    )
