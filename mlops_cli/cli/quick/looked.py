"""Everything that an answer about a project in which nothing is to be done depends on, as absolute paths."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.paths import inside
from mlops_cli.records.config import files as config_files
from mlops_cli.run.workbench import Workbench

NEWEST_RUNS = 200  # records of runs that a command may read
_OF_CACHE = (layout.TEMPORARY, layout.CACHE_LOCKS)  # written by every command that writes, and in no answer
_OWN = (layout.LOCAL, *(f'{layout.CACHE}/{name}' for name in _OF_CACHE))


@dataclass
class Looked:
    """``listed``: folders whose names count, and files whose state does; ``looked``: of folders counts only that they are these
    and no others."""

    looked: set[str] = field(default_factory=set)
    listed: set[str] = field(default_factory=set)


def places(bench: Workbench, asked: set[tuple[str, str, bool]]) -> Looked | None:
    """None where an answer depends on more than files.  ``asked``: as fsio.paths notes it.  Raises OSError."""
    found = Looked()
    root = bench.root.path
    for top, rel, listed in asked:
        if not any(inside(rel, own) for own in (_OWN if top == root else _OF_CACHE)):
            _add(found, top, rel, listed=listed)
    _workspace(bench, found)
    _code(bench, found)
    _records(bench, found)
    for file, _ in config_files(bench.environ):
        found.looked.add(os.path.join(root, file))
    if not (_around(root, found) and _programs(bench, found) and _git(root, found, bench.environ.get('HOME', ''))):
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


def _workspace(bench: Workbench, found: Looked) -> None:
    root, seen = bench.root.path, bench.workspace.seen
    for path in seen.files:
        _add(found, root, path)
    for path in seen.folders:
        _add(found, root, path, listed=True)
    for path, ignored in seen.trees:
        _add(found, root, path, listed=True)
        for below, is_folder in _below(bench, '' if path == '.' else path, ignored):
            (found.listed if is_folder else found.looked).add(f'{root}/{below}')


def _below(bench: Workbench, folder: str, ignored: bool) -> Iterator[tuple[str, bool]]:
    """(path, whether it is a folder) of all that may count in a folder taken as a whole."""
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        with os.scandir(bench.root.full(here)) as entries:
            for entry in entries:
                path = f'{here}/{entry.name}' if here else entry.name
                is_folder = entry.is_dir(follow_symlinks=False)
                if ignored and bench.workspace.ignore.entry_ignored(here, entry.name, is_folder):
                    continue
                yield path, is_folder
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
    """Another program may come to stand before the one that was found."""
    for folder in bench.environ.get('PATH', os.defpath).split(':'):
        if not os.path.isabs(folder):
            return False
        found.listed.add(folder)
        found.looked.add(os.path.realpath(folder))
    return True


def _git(root: str, found: Looked, home: str) -> bool:
    """Where git's head and index are, and what it is told to ignore."""
    folder = root
    while not os.path.lexists(path := os.path.join(folder, '.git')):
        found.looked.add(path)
        if folder == os.path.dirname(folder):
            return True
        folder = os.path.dirname(folder)
    top, own = folder, path
    if os.path.isfile(own):
        with open(own, encoding='utf-8', errors='surrogateescape') as file:
            named = re.fullmatch(r'gitdir: (.*)\n?', file.read(4096))
        if named is None:
            return False
        found.looked.add(own)
        own = os.path.normpath(os.path.join(top, named[1]))
    common = own
    if os.path.isfile(f'{own}/commondir'):
        with open(f'{own}/commondir', encoding='utf-8', errors='surrogateescape') as file:
            common = os.path.normpath(os.path.join(own, file.read(4096).strip()))
    try:
        with open(f'{own}/HEAD', encoding='utf-8', errors='surrogateescape') as file:
            head = file.read(4096)
    except OSError:
        return False
    branch = head.removeprefix('ref: ').strip() if head.startswith('ref: ') else ''
    if os.path.lexists(f'{common}/reftable'):
        return False
    found.looked |= {f'{own}/{name}' for name in ('HEAD', 'index', 'commondir', 'config.worktree')}
    shared = ('config', 'packed-refs', 'info/exclude', 'info/attributes', branch or 'HEAD')
    found.looked |= {f'{common}/{name}' for name in shared}
    found.looked |= {'/etc/gitconfig', '/etc/gitattributes', f'{home}/.gitconfig'}
    settings = os.environ.get('XDG_CONFIG_HOME') or f'{home}/.config'
    found.looked |= {f'{settings}/git/{name}' for name in ('config', 'ignore', 'attributes')}
    folders = {os.path.dirname(path) for path in (*found.looked, *found.listed)} | {root, top}
    for folder in folders:
        mine = folder == top or folder.startswith(f'{top.rstrip("/")}/')
        if mine and not inside(folder, f'{root}/{layout.LOCAL}'):
            found.looked |= {f'{folder}/.gitignore', f'{folder}/.gitattributes'}
    return True
