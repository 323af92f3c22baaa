"""Puts stored content into the workspace without destroying what is not stored."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable
from stat import S_ISREG
from typing import TYPE_CHECKING

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.paths import ancestors
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.reading import Nearby
from mlops_cli.run import aside

if TYPE_CHECKING:
    from mlops_cli.run.session import Session


def place(session: Session, attempt: str, outputs: Iterable[tuple[str, ObjectRef]], stage: str = '') -> tuple[str, ...]:
    """Makes the workspace hold the outputs; where what stood there and is nowhere else was kept.

    A kill in between is undone by the next command, from the journal.  Raises MissingObject, Damaged, UserError, OSError."""
    wanted = dict(outputs)
    for path in wanted:  # it may have been looked at hours ago, when the run was planned
        session.workspace.forget(path)
    with session.workspace.looking():
        before = {path: session.held(path) for path in wanted}
    stale = [path for path, ref in wanted.items() if before[path] != ref]
    if not stale:
        return ()
    check_room(session.root, stale)
    there = [path for path in stale if session.root.stat(path) is not None]
    end = {'do': 'end', 'attempt': attempt}
    if there:
        session.tell_journal(
            {'do': 'begin', 'attempt': attempt, 'stage': stage, 'run': session.run, 'outputs': stale, 'kind': 'restore'}
        )
    try:
        with session.store.placing(session.root) as placing, placing.building((path, wanted[path]) for path in stale) as built:
            if there:
                aside.move(session.root, attempt, there, session.apart)
            for one in built:
                session.workspace.forget(one.rel)
                session.index.put_added(placing.put(one))
                session.workspace.forget(one.rel)
    except BaseException as error:
        if there:
            root, run, is_saved = session.root, session.run, session.is_saved
            undo(root, attempt, run, stage, stale, there, error, is_saved, lambda: session.tell_journal(end))
        raise
    if not there:
        return ()
    kept = aside.finish(session.root, attempt, session.run, there, session.is_saved)
    session.tell_journal(end)
    return kept


def undo(
    root: Root,
    attempt: str,
    run: str,
    stage: str,
    outputs: Collection[str],
    there: Collection[str],
    error: BaseException,
    is_saved: Callable[[str, Nearby], bool],
    ended: Callable[[], None],
) -> None:
    """Puts back what was at ``there`` after content could not be placed at the outputs because of an error.  What stands there
    and is nowhere else, as ``is_saved`` says, goes to ``.mlops/local/rescue``.

    Raises UserError in its place where somebody saved something at one of the paths meanwhile; that says where it is."""
    from mlops_cli.store.materialise import Taken  # read where something is placed, so here too

    taken = error.rel if isinstance(error, Taken) else ''
    places: dict[str, str] = {}
    mine = [path for path in outputs if path != taken or path in there]  # else it stays
    with Nearby(root) as near:
        theirs = [path for path in mine if near.stat(path) is not None and (path == taken or not is_saved(path, near))]
    aside.put_back(root, attempt, run, stage, mine, places, saved=theirs)
    ended()
    kept = {path: places[path] for path in theirs if path in places}
    if taken in kept:
        is_one = len(kept) == 1
        raise UserError(
            f'{", ".join(kept)} {"was" if is_one else "were"} saved anew while being replaced; what was there before is back, '
            f'what was saved is in {", ".join(kept.values())}',
            hint='to have that in its place: '
            + ', '.join(f'mv {shlex.quote(place)} {shlex.quote(path)}' for path, place in kept.items())
            + '; then do this again',
            exit_code=ExitCode.REFUSED,
        ) from error


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
