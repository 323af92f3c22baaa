"""Files of the workspace, as git sees them: tracked, ignored, changed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from mlops_cli.git.program import environment, run
from mlops_cli.git.repository import top

_PATHSPECS = 200  # beyond which git is quicker without: it compares each file with each of them


def tracked(folder: str, paths: Sequence[str] = ()) -> tuple[str, ...]:
    """Files below ``folder`` (or the paths) that git tracks, relative to it, sorted; empty outside a repository."""
    few = len(paths) <= _PATHSPECS
    found = run(folder, ['--literal-pathspecs', 'ls-files', '-z', '--', *(paths if few else ())]) or b''
    names = {os.fsdecode(name) for name in found.split(b'\0') if name}
    if not few and '.' not in paths:  # more of them would not fit into a command line either
        wanted = set(paths)
        names = {name for name in names if name in wanted or not wanted.isdisjoint(_around(name))}
    return tuple(sorted(names))


def ignored(folder: str, paths: Iterable[str]) -> frozenset[str] | None:
    """Those of the paths, relative to ``folder``, that git ignores, whether or not they exist; None outside a repository.

    One process for all of them; paths about which git has no answer (behind a link) cost a few more."""
    listed = list(paths)
    if not listed:
        return frozenset()
    # This command knows no literal pathspecs: "./" keeps a colon in front from meaning something.
    feed = b''.join(b'./' + os.fsencode(path) + b'\0' for path in listed)
    found = run(folder, ['check-ignore', '-z', '--no-index', '--stdin'], feed=feed, accept=(0, 1))
    if found is not None:
        return frozenset(os.fsdecode(name[2:]) for name in found.split(b'\0') if name)
    if top(folder) is None:
        return None
    if len(listed) == 1:
        return frozenset(listed)  # it is nothing that git could take in
    half = len(listed) // 2
    return (ignored(folder, listed[:half]) or frozenset()) | (ignored(folder, listed[half:]) or frozenset())


def changed(folder: str, paths: Sequence[str] = ()) -> tuple[str, ...]:
    """Files below ``folder`` (or the paths) that are untracked or differ from HEAD, relative to it, sorted.

    Submodules are not looked into.  Filters that the repository itself configures are not run, so what they would hide
    counts as changed."""
    prefix = run(folder, ['rev-parse', '--show-prefix'])
    if prefix is None:
        return ()
    status = ['--literal-pathspecs', 'status', '--porcelain=v1', '-z', '--untracked-files=all', '--no-renames']
    arguments = [*status, '--ignore-submodules=all', '--', *(paths or ['.'])]
    found = run(folder, arguments, environ=environment(_own_filters(folder))) or b''
    start = prefix.removesuffix(b'\n')
    names = (item[3:] for item in found.split(b'\0') if len(item) > 3)
    return tuple(sorted(os.fsdecode(name.removeprefix(start)) for name in names if name.startswith(start)))


def lacking(folder: str, paths: Sequence[str]) -> tuple[frozenset[str], frozenset[str]] | None:
    """Of some files and folders below ``folder``, relative to it: those that are untracked or differ from HEAD (folders with
    such a file in them, too), and those that git ignores.  None outside a repository.

    Looks into no folder of which git has nothing, however much lies there.  Filters as in :func:`changed`."""
    prefix = run(folder, ['rev-parse', '--show-prefix'])
    if prefix is None or not paths:
        return None if prefix is None else (frozenset(), frozenset())
    limits = ['--', *(paths if len(paths) <= _PATHSPECS else ['.'])]
    status = ['--literal-pathspecs', 'status', '--porcelain=v1', '-z', '--untracked-files=normal', '--no-renames']
    found = run(folder, [*status, '--ignore-submodules=all', *limits], environ=environment(_own_filters(folder))) or b''
    start = prefix.removesuffix(b'\n')
    items = [os.fsdecode(item[3 + len(start) :]) for item in found.split(b'\0') if item[3:].startswith(start)]
    whole = {item.rstrip('/') for item in items}
    around = {folder for item in whole for folder in _around(item)}
    missing = frozenset(p for p in paths if p in whole or p in around or any(up in whole for up in _around(p)))
    listed = run(folder, ['--literal-pathspecs', 'ls-files', '-z', *limits]) or b''
    known = set(os.fsdecode(listed).split('\0'))
    folders = {name.rpartition('/')[0] for name in known}  # a hundred thousand files lie in few
    known |= folders.union(*map(_around, folders))
    return missing, frozenset(path for path in paths if path not in missing and path not in known)


def last_committed(folder: str, below: str) -> dict[str, int]:
    """File below a folder, both relative to ``folder`` -> when a commit that HEAD knows last changed it, in seconds since 1970;
    empty outside a repository."""
    listing = ['log', '--format=%x01%ct', '--name-only', '--no-renames', '--diff-filter=AM', '--relative', '--', below]
    found: dict[str, int] = {}
    when = 0
    for line in (run(folder, listing) or b'').splitlines():
        if line.startswith(b'\x01'):
            when = int(line[1:])
        elif line:
            found.setdefault(os.fsdecode(line), when)
    return found


def _around(path: str) -> Iterator[str]:
    while '/' in path:
        path = path.rpartition('/')[0]
        yield path


def _own_filters(folder: str) -> list[str]:
    """The names of all settings by which the repository (not its user) has programs run over the content of files."""
    found = run(folder, ['config', '-z', '--show-scope', '--name-only', '--get-regexp', r'^filter\..*'], accept=(0, 1))
    fields = (found or b'').split(b'\0')
    scopes, names = fields[::2], fields[1::2]
    own = {os.fsdecode(name) for scope, name in zip(scopes, names, strict=False) if scope in (b'local', b'worktree')}
    drivers = {name.rpartition('.')[0] for name in own}
    return [f'{driver}.{what}' for driver in sorted(drivers) for what in ('clean', 'smudge', 'process', 'required')]
