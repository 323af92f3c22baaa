"""What commits hold, and what they say of themselves.  Content is as committed: no filters, no conversion."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO

from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.programs import find_program
from mlops_cli.git.program import QUIET, SAFE, environment, run

_CHUNK = 1 << 20
_PATHS = 500  # in one command line


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a commit: a file, a link, a submodule.  ``mode``: as git writes it; ``blob``: git's name of its content."""

    mode: str
    blob: str
    path: str


def entry_of(row: bytes) -> Entry:
    """Of one row of ``git ls-tree -z``."""
    facts, _, path = row.partition(b'\t')
    mode, _, blob = facts.decode().split()
    return Entry(mode, blob, os.fsdecode(path))


def blobs(folder: str, commit: str, paths: Sequence[str] = ()) -> dict[str, str] | None:
    """Path -> git's name of its content, of the files below ``folder`` (or below the paths) in a commit; None where this clone
    does not have that commit."""
    parts = [paths[start : start + _PATHS] for start in range(0, len(paths), _PATHS)] or [['.']]
    listings = [run(folder, ['ls-tree', '-r', '-z', commit, '--', *part]) for part in parts]
    if None in listings:
        return None
    entries = (entry_of(row) for listing in listings for row in (listing or b'').split(b'\0')[:-1])
    return {entry.path: entry.blob for entry in entries if entry.mode.startswith('100')}


def entry_at(folder: str, commit: str, path: str) -> Entry | None:
    """What lies at a path below ``folder`` in a commit: a file, a link (mode 120000), a folder (040000), a submodule (160000);
    None for nothing."""
    rows = (run(folder, ['--literal-pathspecs', 'ls-tree', '-z', commit, '--', path]) or b'').split(b'\0')[:-1]
    return next((entry for entry in map(entry_of, rows) if entry.path == path), None)


def names_at(folder: str, commits: Sequence[str], path: str) -> set[str]:
    """The names of what a folder, ``path`` below ``folder``, holds in any of these commits.  Asks git once for all of them, and
    once more for each state that differs."""
    prefix = run(folder, ['rev-parse', '--show-prefix'])
    if prefix is None or b'\n' in prefix[:-1] or not commits:
        return set()
    start = prefix.removesuffix(b'\n')
    feed = b''.join(b'%s:%s%s\n' % (commit.encode(), start, path.encode()) for commit in commits)
    said = run(folder, ['cat-file', '--batch-check=%(objectname) %(objecttype)'], feed=feed) or b''
    trees = {line.split()[0].decode() for line in said.splitlines() if line.endswith(b' tree')}
    listings = (run(folder, ['ls-tree', '--name-only', '-z', tree]) or b'' for tree in sorted(trees))
    return {os.fsdecode(name) for listing in listings for name in listing.split(b'\0') if name}


class Content:
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


class Blobs:
    """A ``git cat-file`` that is asked for one blob after the other."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Blobs:
        program = find_program('git')
        if program is None:
            raise FileNotFoundError('git is not installed')
        arguments, pipe = [program, *SAFE, 'cat-file', '--batch'], subprocess.PIPE
        self._process = subprocess.Popen(
            arguments, cwd=self._folder, env=environment(), stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
        )
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        assert process is not None
        process.kill()
        process.communicate()

    @contextmanager
    def open(self, entry: Entry, commit: str) -> Iterator[Content]:
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
        content = Content(process.stdout, int(facts[2]))
        yield content
        for _ in content.parts():
            pass
        process.stdout.read(1)  # the line feed after it

    def read(self, blob: str, limit: int) -> bytes | None:
        """As :func:`reading` says."""
        try:
            with self.open(Entry('', blob, blob), '') as content:
                return b''.join(content.parts()) if content.size <= limit else None
        except UserError:
            return None


@contextmanager
def reading(folder: str) -> Iterator[Callable[[str, int], bytes | None]]:
    """Reads contents by git's names of them, of at most so many bytes; None for one that is not here or larger."""
    with Blobs(folder) as opened:
        yield opened.read


@dataclass(frozen=True, slots=True)
class Described:
    """A commit for people: ``subject`` is the first line of its message."""

    subject: str
    author: str


def describe(folder: str, commit: str) -> Described | None:
    """What a commit says of itself; None where this clone does not have it.  Runs nothing of the repository's.

    Not for hot paths: GitPython takes a tenth of a second to import."""
    if not re.fullmatch(r'[0-9a-f]{40}|[0-9a-f]{64}', commit) or run(folder, ['cat-file', '-e', commit]) is None:
        return None
    # Else it takes the first of PATH, in whose relative folders strangers may have put one.
    os.environ.setdefault('GIT_PYTHON_GIT_EXECUTABLE', find_program('git') or 'git')
    from git import GitError, Repo

    try:
        with Repo(folder, search_parent_directories=True) as repo:
            repo.git.update_environment(**QUIET)
            found = repo.commit(commit)
            return Described(str(found.summary), str(found.author.name or ''))
    except (GitError, ValueError, OSError):
        return None
