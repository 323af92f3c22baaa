"""Words that name a revision where a run is meant, or a run where a revision is: told with what there is instead."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice

from mlops_cli import git
from mlops_cli.core import layout
from mlops_cli.core.errors import UserError
from mlops_cli.records.runs import Run, id_of
from mlops_cli.run.workbench import Workbench

NAMED = 4  # runs
LOOKED_AT = 200  # of the newest, for those that began on a commit


def find_run(bench: Workbench, word: str) -> Run:
    """As :meth:`Runs.find`; of a word that is a revision, the error tells which runs its commit has to do with."""
    try:
        return bench.runs.find(word)
    except UserError as error:
        if not error.message.startswith('no run '):
            raise
        try:
            commit = git.resolve(bench.root.path, word)
        except UserError:
            raise error from None
        raise _is_revision(bench, word, commit) from error


def _is_revision(bench: Workbench, word: str, commit: str) -> UserError:
    known = 'no run but a commit' if commit.startswith(word) else f'commit {commit[:7]}, no run'
    name = f'{word[:80]!r} is {known}'
    brought = list(islice(_brought(bench, commit), NAMED))
    if brought:
        return UserError(name, hint=f'it brought the record of {", ".join(brought)}: name one of those, or last')
    begun = list(islice(_begun(bench, commit), NAMED))
    if begun:
        return UserError(name, hint=f'on it began {", ".join(begun)}: name one of those, or last')
    return UserError(name, hint='no run belongs to it; mlops runs list shows all')


def _brought(bench: Workbench, commit: str) -> Iterator[str]:
    """The ids, as people type them, of the runs whose records a commit added, newest first."""
    form = ['--root', '--no-commit-id', '--name-only', '--diff-filter=A', '--relative', '-r', '-m', '--first-parent', '-z']
    paths = _said(bench, ['diff-tree', *form, commit, '--', layout.RUNS]).split('\0')
    for path in sorted(paths, reverse=True):
        month, _, name = path.removeprefix(f'{layout.RUNS}/').partition('/')
        if run := id_of(name, month):
            yield run.partition('-')[2]


def _said(bench: Workbench, arguments: Sequence[str]) -> str:
    """What git says; nothing where it has no answer."""
    done = git.ask(bench.root.path, arguments)
    return os.fsdecode(done.stdout) if done is not None and done.returncode == 0 else ''


def _begun(bench: Workbench, commit: str) -> Iterator[str]:
    return (run.short for run in islice(bench.runs.newest(), LOOKED_AT) if run.commit == commit)


def no_revision(bench: Workbench, word: str, error: UserError) -> UserError:
    """What to say where a revision was to be named and ``error`` tells that ``word`` is none: it may name a run."""
    try:
        run = bench.runs.find(word)
    except UserError:
        return error
    said = f'{word[:80]!r} is run {run.short}, no revision'
    if run.overlay:
        return UserError(said, hint=f'it was a trial: mlops runs apply {run.short} takes its results over')
    record = layout.run_record(run.id)
    kept = _said(bench, ['log', '-1', '--format=%H', '--no-renames', '--diff-filter=A', '--', record]).strip()
    if not kept:
        return UserError(said, hint='its record is in no commit yet; without --at, mlops checkout brings the present state')
    return UserError(said, hint=f'mlops checkout --at {kept[:12]} takes the commit that brought its record')
