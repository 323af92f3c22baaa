"""Puts stored content into the workspace without destroying what is not stored."""

from __future__ import annotations

from collections.abc import Iterable
from stat import S_ISREG
from typing import TYPE_CHECKING

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.paths import ancestors
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.paths import Root
from mlops_cli.run import aside

if TYPE_CHECKING:
    from mlops_cli.run.session import Session


def place(session: Session, attempt: str, outputs: Iterable[tuple[str, ObjectRef]], stage: str = '') -> tuple[str, ...]:
    """Makes the workspace hold the outputs; where what stood there and is nowhere else was kept.

    A kill in between is undone by the next command, from the journal.  Raises MissingObject, Damaged, UserError, OSError."""
    wanted = dict(outputs)
    for path in wanted:  # it may have been looked at hours ago, when the run was planned
        session.workspace.forget(path)
    before = {path: session.held(path) for path in wanted}
    stale = [path for path, ref in wanted.items() if before[path] != ref]
    if not stale:
        return ()
    check_room(session.root, stale)
    there = [path for path in stale if session.root.stat(path) is not None]
    if there:
        session.tell_journal(
            {'do': 'begin', 'attempt': attempt, 'stage': stage, 'run': session.run, 'outputs': stale, 'kind': 'restore'}
        )
        aside.move(session.root, attempt, there)
    try:
        for path in stale:
            session.workspace.forget(path)
            session.index.put_added(session.store.materialise(wanted[path], session.root, path))
            session.workspace.forget(path)
    except BaseException:
        if there:
            aside.put_back(session.root, attempt, session.run, stage, stale)
            session.tell_journal({'do': 'end', 'attempt': attempt})
        raise
    if not there:
        return ()
    kept = aside.finish(session.root, attempt, session.run, {path: before[path] for path in there}, session.saved)
    session.tell_journal({'do': 'end', 'attempt': attempt})
    return kept


def check_room(root: Root, paths: Iterable[str]) -> None:
    """Raises UserError for a file that stands where a folder of one of the paths has to be."""
    for path in paths:
        for folder in ancestors(path):
            status = root.stat(folder)
            if status is not None and S_ISREG(status.st_mode):
                raise UserError(
                    f'{folder} is a file, and {path} needs a folder there',
                    hint=f'move {folder} away, or give the output another path',
                    exit_code=ExitCode.REFUSED,
                )
