"""The door to git: a program started with an argument list, never through a shell.

Everything is switched off that the repository's own configuration could make git execute (hooks, monitors, filters,
transports), and what the environment says about which repository is meant: the folder alone decides.  Where git is missing,
refuses the repository, or there is none, the answers are those of a folder outside any repository.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import IO

from mlops_cli.core import layout
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.paths import check_component, inside
from mlops_cli.fsio import ops
from mlops_cli.fsio.paths import Root

_SAFE = (
    '--no-optional-locks',
    *('-c', 'safe.bareRepository=explicit'),  # a folder of the project that looks like a repository is none
    *('-c', 'core.fsmonitor=false'),
    *('-c', 'core.hooksPath=/dev/null'),
    *('-c', 'core.sshCommand=false'),
    *('-c', 'protocol.allow=never'),
    *('-c', 'submodule.recurse=false'),
    *('-c', 'core.quotePath=false'),
    *('-c', 'log.showSignature=false'),
)
# GIT_ALLOW_PROTOCOL outranks what the repository allows: a partial clone must not fetch behind anybody's back.
_QUIET = {
    'GIT_TERMINAL_PROMPT': '0',
    'GIT_ALLOW_PROTOCOL': 'none',
    'GIT_NO_LAZY_FETCH': '1',
    'GIT_NO_REPLACE_OBJECTS': '1',
    'LC_ALL': 'C',
}
_KEPT = re.compile(r'GIT_(CEILING_DIRECTORIES|DISCOVERY_ACROSS_FILESYSTEM|EXEC_PATH|CONFIG_\w+)')  # where, and the user's own
_REVISION_LENGTH = 1000
_CHUNK = 1 << 20
_LINK_LENGTH = 4095
_PATHSPECS = 200  # beyond which git is quicker without: it compares each file with each of them
_PATHS = 500  # in one command line
# The parts of .mlops that are records; the rest of it is this machine's own, whatever a commit says.
_RECORDS = (
    *(layout.CONFIG, layout.GITIGNORE, layout.STAGES, layout.DATA),
    *(layout.RUNS, layout.KEPT, layout.MODELS, layout.ACCEPTED),
)


@lru_cache(maxsize=8)
def _program(path: str) -> str | None:
    """git's absolute path.  Relative folders of PATH would be folders of the project."""
    for folder in path.split(os.pathsep):
        program = os.path.join(folder, 'git')
        if os.path.isabs(folder) and os.access(program, os.X_OK) and os.path.isfile(program):
            return program
    return None


def _environ(filters: Iterable[str] = ()) -> dict[str, str]:
    """``filters``: settings to be empty, whatever the repository says."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith('GIT_') or _KEPT.fullmatch(name)}
    environ |= _QUIET
    count = environ.get('GIT_CONFIG_COUNT', '')
    number = int(count) if count.isdigit() else 0
    for name in filters:
        value = 'false' if name.endswith('.required') else ''
        environ |= {f'GIT_CONFIG_KEY_{number}': name, f'GIT_CONFIG_VALUE_{number}': value}
        number += 1
    return environ | ({'GIT_CONFIG_COUNT': str(number)} if number else {})


def _run(
    folder: str,
    arguments: Sequence[str],
    *,
    feed: bytes = b'',
    accept: tuple[int, ...] = (0,),
    environ: Mapping[str, str] | None = None,
) -> bytes | None:
    """Standard output, or None where git is missing, this is no repository, or the exit code is not accepted."""
    program = _program(os.environ.get('PATH', os.defpath))
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *_SAFE, *arguments], cwd=folder, env=environ or _environ(), input=feed, capture_output=True, check=False
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    return done.stdout if done.returncode in accept else None


def ask(folder: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[bytes] | None:
    """What git says to a question, in its own words; None where there is no git.  For those that look after git itself."""
    program = _program(os.environ.get('PATH', os.defpath))
    if program is None:
        return None
    return subprocess.run([program, *_SAFE, *arguments], cwd=folder, env=_environ(), capture_output=True, check=False)


def has_repository(folder: str) -> bool:
    """Whether a ``.git`` lies in the folder or above it, whatever git says of it."""
    steps = os.path.abspath(folder).split(os.sep)
    return any(os.path.lexists('/'.join([*steps[:count], '.git'])) for count in range(1, len(steps) + 1))


@dataclass(frozen=True, slots=True)
class Head:
    """``commit`` empty in a repository without one, ``branch`` empty on a detached head."""

    commit: str
    branch: str


def head(folder: str) -> Head | None:
    """None outside a repository."""
    found = _run(folder, ['rev-parse', 'HEAD', '--symbolic-full-name', 'HEAD'])
    if found is None:  # no commit yet, or no repository
        found = _run(folder, ['symbolic-ref', '-q', 'HEAD'], accept=(0, 1))
        if found is None:
            return None
        found = b'\n' + found
    commit, _, name = found.decode(errors='replace').partition('\n')
    return Head(commit, name.strip().removeprefix('refs/heads/') if name.startswith('refs/heads/') else '')


def user_name(folder: str) -> str:
    """The ``user.name`` that commits made here would carry; empty where none is set, or there is no git."""
    found = _run(folder, ['config', '--get', 'user.name'], accept=(0, 1))
    return (found or b'').decode(errors='replace').strip()


def top(folder: str) -> str | None:
    """The folder that holds ``.git``; None outside a repository."""
    found = _run(folder, ['rev-parse', '--show-toplevel'])
    return os.fsdecode(found.removesuffix(b'\n')) if found else None


def tracked(folder: str, paths: Sequence[str] = ()) -> tuple[str, ...]:
    """Files below ``folder`` (or the paths) that git tracks, relative to it, sorted; empty outside a repository."""
    found = _run(folder, ['--literal-pathspecs', 'ls-files', '-z', '--', *paths]) or b''
    return tuple(sorted({os.fsdecode(name) for name in found.split(b'\0') if name}))


def ignored(folder: str, paths: Iterable[str]) -> frozenset[str] | None:
    """Those of the paths, relative to ``folder``, that git ignores, whether or not they exist; None outside a repository.

    One process for all of them; paths about which git has no answer (behind a link) cost a few more."""
    listed = list(paths)
    if not listed:
        return frozenset()
    # This command knows no literal pathspecs: "./" keeps a colon in front from meaning something.
    feed = b''.join(b'./' + os.fsencode(path) + b'\0' for path in listed)
    found = _run(folder, ['check-ignore', '-z', '--no-index', '--stdin'], feed=feed, accept=(0, 1))
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
    prefix = _run(folder, ['rev-parse', '--show-prefix'])
    if prefix is None:
        return ()
    status = ['--literal-pathspecs', 'status', '--porcelain=v1', '-z', '--untracked-files=all', '--no-renames']
    arguments = [*status, '--ignore-submodules=all', '--', *(paths or ['.'])]
    found = _run(folder, arguments, environ=_environ(_own_filters(folder))) or b''
    start = prefix.removesuffix(b'\n')
    names = (item[3:] for item in found.split(b'\0') if len(item) > 3)
    return tuple(sorted(os.fsdecode(name.removeprefix(start)) for name in names if name.startswith(start)))


def lacking(folder: str, paths: Sequence[str]) -> tuple[frozenset[str], frozenset[str]] | None:
    """Of some files and folders below ``folder``, relative to it: those that are untracked or differ from HEAD (folders with
    such a file in them, too), and those that git ignores.  None outside a repository.

    Looks into no folder of which git has nothing, however much lies there.  Filters as in :func:`changed`."""
    prefix = _run(folder, ['rev-parse', '--show-prefix'])
    if prefix is None or not paths:
        return None if prefix is None else (frozenset(), frozenset())
    limits = ['--', *(paths if len(paths) <= _PATHSPECS else ['.'])]
    status = ['--literal-pathspecs', 'status', '--porcelain=v1', '-z', '--untracked-files=normal', '--no-renames']
    found = _run(folder, [*status, '--ignore-submodules=all', *limits], environ=_environ(_own_filters(folder))) or b''
    start = prefix.removesuffix(b'\n')
    items = [os.fsdecode(item[3 + len(start) :]) for item in found.split(b'\0') if item[3:].startswith(start)]
    whole = {item.rstrip('/') for item in items}
    around = {folder for item in whole for folder in _around(item)}
    missing = frozenset(p for p in paths if p in whole or p in around or any(up in whole for up in _around(p)))
    listed = _run(folder, ['--literal-pathspecs', 'ls-files', '-z', *limits]) or b''
    known = {os.fsdecode(name) for name in listed.split(b'\0') if name}
    known |= {folder for name in known for folder in _around(name)}
    return missing, frozenset(path for path in paths if path not in missing and path not in known)


def _around(path: str) -> Iterator[str]:
    while '/' in path:
        path = path.rpartition('/')[0]
        yield path


def _own_filters(folder: str) -> list[str]:
    """The names of all settings by which the repository (not its user) has programs run over the content of files."""
    found = _run(folder, ['config', '-z', '--show-scope', '--name-only', '--get-regexp', r'^filter\..*'], accept=(0, 1))
    fields = (found or b'').split(b'\0')
    scopes, names = fields[::2], fields[1::2]
    own = {os.fsdecode(name) for scope, name in zip(scopes, names, strict=False) if scope in (b'local', b'worktree')}
    drivers = {name.rpartition('.')[0] for name in own}
    return [f'{driver}.{what}' for driver in sorted(drivers) for what in ('clean', 'smudge', 'process', 'required')]


def resolve(folder: str, revision: str) -> str:
    """The commit a revision names.  Raises UserError."""
    if not revision or revision.startswith('-') or '\0' in revision or len(revision) > _REVISION_LENGTH:
        raise UserError(f'not a revision: {revision[:80]!r}', hint='name a commit, branch or tag')
    found = _run(folder, ['rev-parse', '--verify', '-q', '--end-of-options', f'{revision}^{{commit}}'])
    if found:
        return found.decode().split()[-1]
    here = head(folder)
    if here is None:
        said = 'git has no answer here' if has_repository(folder) else 'this is not a git repository'
        raise UserError(f'{said}, so it has no revisions', hint='mlops doctor says why' if 'answer' in said else 'git init')
    if not here.commit and revision in ('HEAD', here.branch):
        raise UserError('this repository has no commit yet', hint='git commit')
    if _run(folder, ['rev-parse', '--is-shallow-repository']) == b'true\n':
        raise UserError(f'this shallow clone has no revision {revision!r}', hint='git fetch --unshallow')
    raise UserError(f'git knows no revision {revision!r}', hint='mlops runs list, git log or git branch show what there is')


def references(folder: str) -> tuple[tuple[str, str], ...]:
    """(short name, ``branch`` or ``tag``) of every branch, here and of remotes, and tag; those last committed to first."""
    kinds = {'refs/heads/': 'branch', 'refs/remotes/': 'branch', 'refs/tags/': 'tag'}
    listing = ['for-each-ref', '--sort=-creatordate', '--count=1000', '--format=%(refname)%00%(symref)', *kinds]
    found: list[tuple[str, str]] = []
    for line in (_run(folder, listing) or b'').splitlines():
        name, _, pointer = line.decode(errors='replace').partition('\0')
        start = next(start for start in kinds if name.startswith(start))
        if not pointer:  # such as origin/HEAD
            found.append((name.removeprefix(start), kinds[start]))
    return tuple(found)


def blobs(folder: str, commit: str, paths: Sequence[str] = ()) -> dict[str, str] | None:
    """Path -> git's name of its content, of the files below ``folder`` (or below the paths) in a commit; None where this clone
    does not have that commit."""
    parts = [paths[start : start + _PATHS] for start in range(0, len(paths), _PATHS)] or [['.']]
    listings = [_run(folder, ['ls-tree', '-r', '-z', commit, '--', *part]) for part in parts]
    if None in listings:
        return None
    entries = (_entry_of(row) for listing in listings for row in (listing or b'').split(b'\0')[:-1])
    return {entry.path: entry.blob for entry in entries if entry.mode.startswith('100')}


# Export


@dataclass(frozen=True, slots=True)
class _Entry:
    mode: str
    blob: str
    path: str


def export(folder: str, commit: str, target: str, skip: Callable[[str], bool] = lambda _: False) -> tuple[str, ...]:
    """Writes what ``commit`` has below ``folder`` into the empty folder ``target``; the paths, relative to it, sorted.

    ``skip``: paths, relative to it, that are left out.
    Content is as committed: no filters, no conversion.  Left out are submodules, links that lead out, and what of ``.mlops``
    is no record.  Raises UserError where the commit or an object of it cannot be read, and (exit 5), before anything is
    written, for a commit with names that git itself would refuse to check out; OSError."""
    commit = resolve(folder, commit)
    listing = _run(folder, ['ls-tree', '-r', '-z', commit])
    if listing is None:
        raise UserError(f'cannot read all of commit {commit[:12]}', hint='git fsck tells what is missing or damaged')
    entries = [entry for entry in map(_entry_of, listing.split(b'\0')[:-1]) if _is_wanted(entry) and not skip(entry.path)]
    files = [entry for entry in entries if entry.mode != '120000']
    links = [entry for entry in entries if entry.mode == '120000']
    written: list[str] = []
    with Root(target) as root, _Blobs(folder) as blobs:
        folders = {''}
        for entry in [*files, *links]:  # links last, so that nothing can be written through one
            with blobs.open(entry, commit) as content:
                if _write(root, entry, content, folders):
                    written.append(entry.path)
    return tuple(sorted(written))


def _entry_of(row: bytes) -> _Entry:
    facts, _, path = row.partition(b'\t')
    mode, _, blob = facts.decode().split()
    return _Entry(mode, blob, os.fsdecode(path))


def _is_wanted(entry: _Entry) -> bool:
    """Raises UserError for a path that must not be written."""
    names = entry.path.split('/')
    if '' in names or '.' in names or '..' in names:
        raise _refuse(entry.path, 'contains an empty, . or .. component')
    for position, name in enumerate(names):
        if name == layout.ROOT:
            if position or not any(inside(entry.path, part) for part in _RECORDS):
                return False
            continue
        try:
            check_component(name)
        except ValueError as error:
            raise _refuse(entry.path, str(error)) from error
    return entry.mode in ('100644', '100755', '100664', '120000')


def _refuse(path: str, problem: str) -> UserError:
    return UserError(
        f'refused the commit: its path {path[:200]!r} {problem}',
        exit_code=ExitCode.REFUSED,
        hint='git would not check it out either: do not trust where it came from',
    )


def _write(root: Root, entry: _Entry, content: _Content, folders: set[str]) -> bool:
    """False for a link that is left out."""
    parent = entry.path.rpartition('/')[0]
    try:
        if entry.mode == '120000':
            to = os.fsdecode(b''.join(content.parts())) if content.size <= _LINK_LENGTH else '/'
            if not _stays_inside(to, entry.path.count('/')):
                return False
            root.makedirs(parent)
            with root.parent(entry.path) as (fd, name):
                ops.symlink(to, name, dir_fd=fd)
            return True
        if parent not in folders:
            root.makedirs(parent)
            folders.add(parent)
        with root.parent(entry.path) as (fd, name):
            file = ops.open_new(name, 0o755 if entry.mode == '100755' else 0o644, dir_fd=fd)
        try:
            for part in content.parts():
                ops.write(file, part)
        finally:
            os.close(file)
    except (FileExistsError, NotADirectoryError) as error:
        raise _refuse(entry.path, 'is there already, perhaps in another case') from error
    return True


def _stays_inside(to: str, depth: int) -> bool:
    """Whether a link leads to something in the tree: relative, ``..`` in front alone and not too many, nothing reserved."""
    names = to.split('/')
    up = 0
    while names and names[0] in ('..', '.'):
        up += names.pop(0) == '..'
    if not to or up > depth or '..' in names or '\0' in to or names[:1] == ['']:
        return False
    try:
        for name in names:
            if name:
                check_component(name)
    except ValueError:
        return False
    return True


class _Content:
    """One blob on its way.  ``size`` in bytes."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self.size = self._left = size
        self._stream = stream

    def parts(self) -> Iterator[bytes]:
        """The rest of it, a piece at a time.  Raises UserError if git ends early."""
        while self._left:
            part = self._stream.read(min(_CHUNK, self._left))
            if not part:
                raise UserError('git ended in the middle of an object', hint='git fsck tells what is missing or damaged')
            self._left -= len(part)
            yield part


class _Blobs:
    """A ``git cat-file`` that is asked for one blob after the other."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> _Blobs:
        program = _program(os.environ.get('PATH', os.defpath)) or 'git'
        arguments, pipe = [program, *_SAFE, 'cat-file', '--batch'], subprocess.PIPE
        self._process = subprocess.Popen(
            arguments, cwd=self._folder, env=_environ(), stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
        )
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        assert process is not None
        process.kill()
        process.communicate()

    @contextmanager
    def open(self, entry: _Entry, commit: str) -> Iterator[_Content]:
        """Raises UserError if it is not here."""
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(entry.blob.encode() + b'\n')
            process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer below is empty then
        facts = process.stdout.readline().split()
        if len(facts) != 3 or facts[1] != b'blob':
            raise UserError(
                f'{entry.path} of commit {commit[:12]} is not in this clone',
                exit_code=ExitCode.UNREACHABLE,
                hint='a partial clone brings it with: git fetch --refetch --no-filter; else git fsck tells more',
            )
        content = _Content(process.stdout, int(facts[2]))
        yield content
        for _ in content.parts():
            pass
        process.stdout.read(1)  # the line feed after it

    def read(self, blob: str, limit: int) -> bytes | None:
        """As :func:`reading` says."""
        try:
            with self.open(_Entry('', blob, blob), '') as content:
                return b''.join(content.parts()) if content.size <= limit else None
        except UserError:
            return None


@contextmanager
def reading(folder: str) -> Iterator[Callable[[str, int], bytes | None]]:
    """Reads contents by git's names of them, of at most so many bytes; None for one that is not here or larger."""
    with _Blobs(folder) as opened:
        yield opened.read


@dataclass(frozen=True, slots=True)
class Described:
    """A commit for people: ``subject`` is the first line of its message."""

    subject: str
    author: str


def describe(folder: str, commit: str) -> Described | None:
    """What a commit says of itself; None where this clone does not have it.  Runs nothing of the repository's.

    Not for hot paths: GitPython takes a tenth of a second to import."""
    if not re.fullmatch(r'[0-9a-f]{40}|[0-9a-f]{64}', commit) or _run(folder, ['cat-file', '-e', commit]) is None:
        return None
    from git import GitError, Repo

    try:
        with Repo(folder, search_parent_directories=True) as repo:
            repo.git.update_environment(**_QUIET)
            found = repo.commit(commit)
            return Described(str(found.summary), str(found.author.name or ''))
    except (GitError, ValueError, OSError):
        return None
