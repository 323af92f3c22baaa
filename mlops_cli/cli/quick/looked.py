"""Everything that an answer about a project in which nothing is to be done depends on, as absolute paths."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from mlops_cli import git
from mlops_cli.cli.quick.repository import repository, rules
from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.digest import Digest
from mlops_cli.core.paths import inside
from mlops_cli.fingerprint.ignore import ALWAYS
from mlops_cli.records.config import files as config_files
from mlops_cli.run.workbench import Workbench
from mlops_cli.store import users

NEWEST_RUNS = 200  # records of runs that a command may read
_OF_CACHE = (layout.TEMPORARY, layout.CACHE_LOCKS, layout.TRASH, layout.ROOTS)  # written by commands, and in no answer
_OWN = (layout.LOCAL, *(f'{layout.CACHE}/{name}' for name in _OF_CACHE))


@dataclass
class Looked:
    """``listed``: folders whose names count, and files whose state does; ``looked``: of folders counts only that they are these
    and no others."""

    looked: set[str] = field(default_factory=set)
    listed: set[str] = field(default_factory=set)


def places(bench: Workbench, asked: set[tuple[str, str, bool]], keys: Iterable[Digest]) -> Looked | None:
    """None where an answer depends on more than files.  ``asked``: as fsio.paths notes it.  ``keys``: of which results may have
    been looked up.  Raises OSError."""
    found = Looked()
    root = bench.root.path
    for top, rel, listed in asked:
        if rel == layout.TRUST:  # where it is: no link is followed without it, and who confirms one records data
            found.looked |= {f'{top}/{rel}'} if os.path.lexists(f'{top}/{rel}') else set()
        elif inside(rel, layout.REMOTES) or not any(inside(rel, own) for own in (_OWN if top == root else _OF_CACHE)):
            _add(found, top, rel, listed=listed)
    top = _top(root, found)
    _workspace(bench, found, bool(top))
    _code(bench, found)
    _records(bench, found)
    found.listed |= {f'{bench.config.cache}/{layout.RESULTS}/{name}' for name in {key.hex[:2] for key in keys}}
    _add(found, bench.config.cache, users.file_of(bench.config.cache, root))  # a run registers a project that gc has forgotten
    for file, _ in config_files(bench.environ):
        found.looked.add(os.path.join(root, file))
    if not (_around(root, found) and _programs(bench, found)):
        return None
    if top and not _git(root, top, found, bench.environ.get('HOME', '')):
        return None
    found.looked -= found.listed
    return found


def _add(found: Looked, top: str, rel: str, *, listed: bool = False) -> None:
    """A path and the folders on the way to it, none of which may become a link."""
    parts = [] if rel in ('', '.') else rel.split('/')
    path = top
    (found.listed if listed and not parts else found.looked).add(path)
    for number, part in enumerate(parts, 1):
        path = f'{path}/{part}'
        (found.listed if listed and number == len(parts) else found.looked).add(path)


def _workspace(bench: Workbench, found: Looked, in_git: bool) -> None:
    """``in_git``: git tells of files that do not count for mlops, too."""
    root, seen = bench.root.path, bench.workspace.seen
    for path in seen.files:
        _add(found, root, path)
    for path in seen.folders:
        _add(found, root, path, listed=True)
    left_out: list[tuple[str, bool]] = []
    for path, ignored in seen.trees:
        _add(found, root, path, listed=True)
        _walk(bench, found, ['' if path == '.' else path], left_out if ignored else None)
    if left_out and in_git:
        known = git.ignored(root, [path for path, _ in left_out]) or frozenset()
        tracked = {above for path in git.tracked(root) for above in _steps(path)} if known else set()
        counting = [(path, is_folder) for path, is_folder in left_out if path not in known or path in tracked]
        found.listed |= {f'{root}/{path}' for path, is_folder in counting if is_folder}
        found.looked |= {f'{root}/{path}' for path, is_folder in counting if not is_folder}
        _walk(bench, found, [path for path, is_folder in counting if is_folder], None)


def _steps(path: str) -> Iterator[str]:
    """The path, and the folders above it."""
    while path:
        yield path
        path = path.rpartition('/')[0]


def _walk(bench: Workbench, found: Looked, waiting: list[str], left_out: list[tuple[str, bool]] | None) -> None:
    """Adds all that may count in folders taken as a whole.  ``left_out``: gathers what does not count for mlops, as (path,
    whether it is a folder); None: all counts."""
    root = bench.root.path
    while waiting:
        here = waiting.pop()
        with os.scandir(bench.root.full(here)) as entries:
            for entry in entries:
                path = f'{here}/{entry.name}' if here else entry.name
                is_folder = entry.is_dir(follow_symlinks=False)
                if left_out is not None and bench.workspace.ignore.entry_ignored(here, entry.name, is_folder):
                    if entry.name not in ALWAYS:
                        left_out.append((path, is_folder))
                    continue
                (found.listed if is_folder else found.looked).add(f'{root}/{path}')
                if is_folder:
                    waiting.append(path)


def _code(bench: Workbench, found: Looked) -> None:
    root = bench.root.path
    for draft in bench.drafts.values():
        if draft.found is None:
            continue
        for path in (*draft.found.files, *draft.found.absent):
            _add(found, root, path)
        for path in draft.found.folders:
            _add(found, root, path, listed=True)
        for path in draft.found.consulted:
            if os.path.isabs(path):
                found.listed.add(path)
            else:
                _add(found, root, path, listed=True)
        if draft.found.python:
            found.looked |= {draft.found.python, os.path.realpath(draft.found.python)}


def _records(bench: Workbench, found: Looked) -> None:
    """All that git may have an opinion of, the runs but the newest by their names alone."""
    root = bench.root.path
    own = {layout.LOCAL, layout.CACHE}
    waiting = [layout.ROOT]
    while waiting:
        folder = waiting.pop()
        found.listed.add(f'{root}/{folder}')
        with os.scandir(f'{root}/{folder}') as entries:
            for entry in entries:
                path = f'{folder}/{entry.name}'
                if entry.is_dir(follow_symlinks=False):
                    waiting += [] if path in own else [path]
                elif not inside(path, layout.RUNS):
                    found.looked.add(f'{root}/{path}')
    for number, run in enumerate(bench.runs.ids()):
        if number == NEWEST_RUNS:
            break
        found.looked.add(f'{root}/{layout.run_record(run)}')
    found.listed.add(f'{root}/{layout.JOURNAL}')


def _around(root: str, found: Looked) -> bool:
    """No other pipeline may lie above; and nobody may be at work, or have died at it."""
    folder = root
    while folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
        path = os.path.join(folder, layout.PIPELINE_FILE)
        if os.path.lexists(path):
            return False
        found.looked.add(path)
    try:
        return not os.listdir(f'{root}/{layout.JOURNAL}')
    except FileNotFoundError:
        return True


def _programs(bench: Workbench, found: Looked) -> bool:
    """Another program may come to stand before the one that was found, or one that is there may become one."""
    for folder in bench.environ.get('PATH', os.defpath).split(':'):
        if not os.path.isabs(folder):
            return False
        found.listed.add(folder)
        found.looked.add(os.path.realpath(folder))
        found.looked.add(os.path.join(folder, 'git'))
    return True


def _top(root: str, found: Looked) -> str:
    """The folder that holds ``.git``; empty outside a repository."""
    folder = root
    while not os.path.lexists(path := os.path.join(folder, '.git')):
        found.looked.add(path)
        if folder == os.path.dirname(folder):
            return ''
        folder = os.path.dirname(folder)
    return folder


def _git(root: str, top: str, found: Looked, home: str) -> bool:
    """What git reads; what it may have been told about what mlops itself does not look at, too."""
    read = repository(root, home, top, os.path.join(top, '.git'))
    if read is None:
        return False
    found.looked |= read
    folders = {os.path.dirname(path) for path in (*found.looked, *found.listed)} | {root, top}
    found.looked.update(rules(top, folders, f'{root}/{layout.LOCAL}'))
    return True
