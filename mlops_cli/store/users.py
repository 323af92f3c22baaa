"""Who uses a cache: the projects whose records name what is in it, and the processes that write into it at the moment.

gc asks both: what a project names stays, and so does what a writer may have begun to rely on since it started
(docs/formats/trash.md).
"""
from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator

from mlops_cli.core.canonical import document
from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.layout import PROJECTS, TEMPORARY
from mlops_cli.fsio import ops, temporaries
from mlops_cli.fsio.atomic import read_file, write_file
from mlops_cli.fsio.paths import Root

SCHEMA = 'mlops/project/v1'
LIMIT = 1 << 16  # bytes of a file
SUFFIX = '.json'


@dataclass(frozen=True, slots=True)
class Project:
    """``path``: absolute.  ``in_git``: whether it lay in a git repository when it was registered.  ``file``: where that is
    written, relative to the cache."""

    path: str
    in_git: bool
    file: str


def _written(cache: str, project: str) -> str:
    """A project that holds the cache is named from there, so that both can be moved together."""
    cache, project = os.path.realpath(cache), os.path.realpath(project)
    return os.path.relpath(project, cache) if f'{cache}/'.startswith(f'{project}/') else project


def _file_of(written: str) -> str:
    return f'{PROJECTS}/{digest_of(os.fsencode(written)).hex[:16]}{SUFFIX}'


def file_of(cache: str, project: str) -> str:
    """Where it is written that a project uses a cache, relative to that."""
    return _file_of(_written(cache, project))


def register(cache: Root, project: str, in_git: Callable[[], bool]) -> None:
    """Note that a project uses this cache; a stat where that is known.  Raises OSError, UserError for a link."""
    written = _written(cache.path, project)
    file = _file_of(written)
    if cache.stat(file) is None:
        write_file(cache, file, document({'schema': SCHEMA, 'path': written, 'git': in_git()}))


def projects(cache: Root) -> tuple[Project, ...]:
    """All that ever used this cache and were not forgotten.  Raises UserError (exit 5) for a file that cannot be read."""
    try:
        names = sorted(entry.name for entry in cache.scandir(PROJECTS))
    except FileNotFoundError:
        return ()
    return tuple(_read(cache, f'{PROJECTS}/{name}') for name in names if name.endswith(SUFFIX))


def _read(cache: Root, file: str) -> Project:
    try:
        found = json.loads(read_file(cache, file, LIMIT))
        if not isinstance(found, dict) or found.get('schema') != SCHEMA:
            raise ValueError('not of a version that is known here')
        path, in_git = found['path'], found['git']
        if not isinstance(path, str) or not isinstance(in_git, bool) or _file_of(path) != file:
            raise ValueError('its name does not fit what is in it')
    except (ValueError, KeyError, RecursionError) as error:
        raise UserError(f'{cache.full(file)}, which names a project that uses this cache, cannot be read: {error}',
                        hint='if you know each project that uses the cache: remove that file, and in each of them: mlops run',
                        exit_code=ExitCode.REFUSED) from None
    return Project(os.path.normpath(os.path.join(os.path.realpath(cache.path), path)), in_git, file)


def forget(cache: Root, path: str) -> bool:
    """Take a project out of the list; whether it was in it.  Raises OSError, UserError."""
    wanted = {os.path.abspath(path), os.path.realpath(path)}
    found = [project for project in projects(cache) if project.path in wanted]
    for project in found:
        cache.unlink(project.file)
    return bool(found)


def begin(cache: Root) -> str:
    """Mark when this process began to rely on what is in the cache: a temporary of its own, to be made before it looks at
    anything; its path in the cache, for :func:`end`.  After a kill it goes as all temporaries do.  Raises OSError."""
    mark = f'{TEMPORARY}/{temporaries.new_name()}'
    with cache.parent(mark) as (folder, name):
        os.close(ops.open_new(name, dir_fd=folder))
    return mark


def end(cache: str, mark: str) -> None:
    """This process relies on nothing in the cache any more."""
    ops.remove_quietly(os.path.join(cache, mark))


def writers(cache: Root, is_alive: Callable[[str], bool]) -> Iterator[tuple[str, int]]:
    """(owner, when it began as the clock of the file system has it, in ns) of all other processes that write at the moment.

    ``is_alive``: whether the owner of a temporary runs; asked once for each."""
    known: dict[str, bool] = {temporaries.owner(): False}
    began: dict[str, int] = {}
    for entry in cache.scandir(TEMPORARY, stats=True):
        owner = temporaries.owner_in(entry.name)
        if owner is None:
            continue
        if owner not in known:
            known[owner] = is_alive(owner)
        if known[owner]:
            began[owner] = min(began.get(owner, 1 << 63), entry.stat().st_mtime_ns)
    yield from began.items()


def now_ns(cache: Root) -> int:
    """What time the file system of the cache thinks it is.  Raises OSError."""
    with cache.parent(f'{TEMPORARY}/{temporaries.new_name()}') as (folder, name):
        fd = ops.open_new(name, dir_fd=folder)
        try:
            return ops.fstat(fd).st_mtime_ns
        finally:
            os.close(fd)
            ops.unlink(name, dir_fd=folder)
