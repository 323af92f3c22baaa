"""What becomes of an attempt that ended: its outputs taken in, its inputs looked at again, its result recorded."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable
from stat import S_ISDIR, S_ISREG, S_IXUSR
from typing import Any

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass, replace
from mlops_cli.core.clock import iso
from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.events import StageEnded
from mlops_cli.core.job import COST_SUFFIX, Outcome
from mlops_cli.core.patterns import pattern
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.units import show_size
from mlops_cli.fingerprint.environment import environment_of
from mlops_cli.fingerprint.moved import means_the_same, moved
from mlops_cli.fingerprint.written import later_than, left_alone, state_of
from mlops_cli.fsio.errors import machine_error
from mlops_cli.job.log import tail
from mlops_cli.plan.model import Rival
from mlops_cli.records import metrics
from mlops_cli.records.pins import Pin
from mlops_cli.run import aside, checkpoint, unimportable
from mlops_cli.run.attempt import Attempt, undo
from mlops_cli.run.place import place
from mlops_cli.run.remarks import rivals
from mlops_cli.run.report import Settled
from mlops_cli.run.session import Session
from mlops_cli.run.sources import keep_sources
from mlops_cli.run.states import State
from mlops_cli.store.ingest import Added
from mlops_cli.store.local import LocalStore
from mlops_cli.store.objects import Damaged, MissingObject
from mlops_cli.store.results import ResultEntry
from mlops_cli.store.tree import within
from mlops_cli.usage.series import SIZE_LIMIT, SUFFIX

TAIL_LINES = 20
NOTHING = ObjectRef(digest_of(b''), 0, 'file')
MISSING = pattern(r'No such file|not found|No module named|FileNotFoundError|does not exist', re.IGNORECASE)
APART = 'it ran in a folder of its own, which holds only what it declares: deps, code, params'
Metrics = tuple[tuple[str, str, float | int], ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """Outputs that are in the store.  ``added``: what the index may remember; ``error``: why they could not be taken.
    ``stopped``: they were not waited for.  ``spent``: what it said that it spent, as plain JSON."""

    outputs: tuple[tuple[str, ObjectRef], ...] = ()
    numbers: Metrics = ()
    notes: tuple[str, ...] = ()
    added: tuple[Added, ...] = ()
    error: UserError | None = None
    stopped: bool = False
    spent: tuple[Any, ...] = ()


class Unwanted(Exception):
    """Outputs are not to be stored any more: the run was asked to end, and has waited long enough."""


def outputs_missing(session: Session, attempt: Attempt) -> tuple[str, ...]:
    """Declared outputs that the attempt did not make."""
    prefix = f'{attempt.folder}/' if attempt.folder else ''
    return tuple(output.path for output in attempt.stage.outputs if session.root.stat(prefix + output.path) is None)


def outputs_size(session: Session, attempt: Attempt, folder_size: int) -> int | None:
    """Bytes of the declared outputs, a folder counted as ``folder_size``; None if the attempt did not make them all."""
    prefix = f'{attempt.folder}/' if attempt.folder else ''
    size = 0
    for output in attempt.stage.outputs:
        status = session.root.stat(prefix + output.path)
        if status is None:
            return None
        size += folder_size if S_ISDIR(status.st_mode) else status.st_size
    return size


def bring(session: Session, attempt: Attempt, outputs: Iterable[tuple[str, ObjectRef]] | None) -> None:
    """Puts what an executor brought into the store to where the stage would have made it; None: it lies there already.  What
    somebody saved there meanwhile is kept.

    Raises MissingObject, Damaged, UserError for a path that the stage does not declare, OSError."""
    declared = {output.path for output in attempt.stage.outputs}
    brought = dict(outputs or ())
    for path in brought:
        if path not in declared:
            raise UserError(f'the executor brought {path}, which is no output of the stage', hint='ask who makes the executor')
    if not attempt.folder:
        for kept in place(session, f'{attempt.id}-brought', brought.items(), attempt.stage.name):
            session.note(f'what stood at an output and is nowhere else was kept: {kept}', attempt.stage.name)
        return
    for path, ref in brought.items():  # in a folder of our own
        session.store.materialise(ref, session.root, f'{attempt.folder}/{path}', replace=True)
        session.workspace.forget(f'{attempt.folder}/{path}')


def take_in(session: Session, attempt: Attempt, go_on: Callable[[], object] = lambda: None) -> Taken:
    """Outputs into the store, and the numbers in them.  Touches nothing but the store, so it may run in a thread.
    ``go_on``: called often, to raise Unwanted.

    Raises OSError when this machine cannot store them."""
    prefix = f'{attempt.folder}/' if attempt.folder else ''
    found: list[tuple[str, ObjectRef]] = []
    numbers: list[tuple[str, str, float | int]] = []
    notes: list[str] = []
    all_added: list[Added] = []
    for output in attempt.stage.outputs:
        try:
            added = session.store.add_path(session.root, prefix + output.path, known=session.known, go_on=go_on)
        except Unwanted:
            return Taken(stopped=True)
        except UserError as error:
            return Taken(error=error)
        except PermissionError as error:  # the stage's doing, so not the end of the stages beside it
            return Taken(error=machine_error(error, f'keep {output.path}'))
        all_added.append(added)
        found.append((output.path, added.ref))
    for output in attempt.stage.read_as('metric'):
        try:
            ref = within(dict(found), output.path, session.store.read)
            if ref is not None and ref.kind != 'tree':
                numbers += [(output.path, name, value) for name, value in scalars(session.store, output.path, ref)]
        except UserError as error:
            notes.append(str(error))
    return Taken(tuple(sorted(found)), tuple(sorted(numbers)), tuple(notes), tuple(all_added))


def scalars(store: LocalStore, path: str, ref: ObjectRef) -> tuple[tuple[str, float | int], ...]:
    """The numbers in a stored file of metrics.  Raises UserError."""
    if ref.size > metrics.LIMIT:
        raise UserError(f'{path} has {show_size(ref.size)}, too much for a file of metrics')
    return metrics.scalars(store.read(ref.digest), path)


def settle(session: Session, attempt: Attempt, outcome: Outcome, taken: Taken | None) -> Settled:
    """What the attempt came to.  ``taken``: its outputs, if it ended well and made them all.

    Raises OSError and UserError when this machine cannot store the result; the attempt is then undone."""
    spent = _spent(session, attempt)
    if outcome.ending == 'cancelled' or (taken is not None and taken.stopped):
        return _failed(session, attempt, outcome, 'interrupted', state=State.INTERRUPTED)
    if not outcome.succeeded:
        code = outcome.details.get('code', ExitCode.UNREACHABLE) if _of_the_host(attempt, outcome) else None
        return _failed(session, attempt, outcome, *_what_failed(attempt, outcome), code=code)
    if taken is None:
        gone = ', '.join(outputs_missing(session, attempt)[:3])
        where = f', with wdir {attempt.stage.wdir} in front' if attempt.stage.wdir != '.' else ''
        return _failed(
            session, attempt, outcome, f'it ended well but did not make {gone}', f'paths are relative to the project{where}'
        )
    if taken.error is not None:
        code = taken.error.exit_code if attempt.job.host else None
        return _failed(session, attempt, outcome, taken.error.message, taken.error.hint,
                       code=code if code == ExitCode.UNREACHABLE else None)
    if not attempt.folder:
        for added in taken.added:
            session.index.put_added(added)
        for path, _ in taken.outputs:
            session.workspace.forget(path)
    if late := _touched_after(session, outcome, taken):
        text = f'its outputs were written after it had ended: {", ".join(late[:3])}'
        return _failed(session, attempt, outcome, text, 'let nothing else write there')
    with session.workspace.looking():
        changed = _changed_inputs(session, attempt)
        data = tuple(path for path in changed if path not in attempt.draft.code)
        again = () if data else _written_again(session, attempt, changed)  # what changed may be nothing that can be looked at
    if data:
        return _failed(
            session,
            attempt,
            outcome,
            f'its inputs changed while it ran: {", ".join(data[:3])}',
            'let nothing write there during a run; a stage must not change its own inputs',
        )
    if outcome.killed:
        taken = replace(taken, notes=(*taken.notes, f'left {outcome.killed} processes behind, which were ended'))
    return _record(session, attempt, outcome, replace(taken, spent=spent), code=changed, again=again)


def _of_the_host(attempt: Attempt, outcome: Outcome) -> bool:
    return bool(attempt.job.host) and outcome.ending in ('lost', 'not-started')


def _what_failed(attempt: Attempt, outcome: Outcome) -> tuple[str, str]:
    if outcome.ending == 'timeout':
        if outcome.message:
            return outcome.message, 'raise timeout, or the limit: mlops hosts add --submit --time=...'
        return 'took longer than its timeout', 'raise timeout, or set checkpoint so that it can go on where it stopped'
    if outcome.ending in ('lost', 'not-started'):
        host = attempt.job.host
        hint = str(outcome.details.get('hint') or '')
        if host and outcome.details.get('code', ExitCode.UNREACHABLE) == ExitCode.UNREACHABLE:
            hint = hint or f'mlops hosts check {host} tells what is wrong there'
        return outcome.message or outcome.ending, hint
    code = outcome.exit_code or 0
    if code > 128:
        return f'ended by signal {code - 128}', 'signal 9 is often the kernel, out of memory' if code == 137 else ''
    if code == 127 and attempt.job.host:
        host = attempt.job.host
        hint = f'is that program on {host}? mlops hosts add {host} URL --path FOLDER says where (URL: mlops hosts list)'
        return 'exit 127', hint
    return f'exit {code}', APART if attempt.folder else ''


def _changed_inputs(session: Session, attempt: Attempt) -> tuple[str, ...]:
    """Paths and parameters that are no longer what the key was made of."""
    if attempt.folder:
        return ()
    draft = attempt.draft
    changed = [
        name
        for name in moved(session.describer, draft, {**draft.inputs, **draft.elsewhere})
        if name not in draft.code or not means_the_same(session.describer, draft, name)
    ]
    for path, ref in attempt.inputs.items():
        session.workspace.forget(path)
        try:
            if session.held(path) == ref:
                continue
        except UserError:  # such as a link in its place
            pass
        changed.append(path)
    return tuple(changed)


def _written_again(session: Session, attempt: Attempt, changed: Collection[str]) -> tuple[str, ...]:
    """Inputs that hold what they held, but were written meanwhile: changed, perhaps, and changed back."""
    workspace = session.workspace
    return tuple(
        path
        for path, held in attempt.states.items()
        if path not in changed
        and not left_alone(held.state, state_of(workspace, path, ignore=held.ignore))
        and workspace.ref(path, ignore=held.ignore) == held.content  # else what is new in it does not count
    )


def _touched_after(session: Session, outcome: Outcome, taken: Taken) -> tuple[str, ...]:
    """Outputs that somebody else wrote to, once all processes of the attempt were gone and before they were in the store."""
    if outcome.gone_ns is None or not session.own_clock:
        return ()
    return later_than(session.workspace, taken.added, outcome.gone_ns)


def _entry(session: Session, attempt: Attempt, outcome: Outcome, taken: Taken, suspect: bool) -> ResultEntry:
    """The result as the store keeps it, with what explains it."""
    assert attempt.step.manifest is not None
    sources, manifest = keep_sources(session, attempt.draft, attempt.step.manifest)
    return ResultEntry(
        key=attempt.key,
        outputs=taken.outputs,
        created=iso(session.now()),
        seconds=outcome.usage.seconds,
        metrics={f'{file}:{name}': value for file, name, value in taken.numbers},
        log=_log(session, attempt),
        manifest=manifest,
        sources=sources,
        environment=_environment(session, attempt),
        origin=dict(session.origin),
        usage={**outcome.usage.to_json(), **_series(session, attempt), **({'spent': [*taken.spent]} if taken.spent else {})},
        code_bytes=tuple(sorted(attempt.draft.code.items())),
        discovered=_discovered(session, attempt),
        suspect=suspect,
    )


def _discovered(session: Session, attempt: Attempt) -> tuple[tuple[str, Digest], ...]:
    """What it was seen to read and nobody declares; if nobody looked on, what an earlier attempt was seen to read."""
    found = session.watch.discovered(attempt.id) if session.watch is not None else None
    if found is None and (discovered := session.discovered()) is not None:
        found = discovered.again(attempt.key)
    return found or ()


def _log(session: Session, attempt: Attempt) -> ObjectRef:
    """What it printed, in the store.  That most small stages print nothing is seen without opening a file."""
    facts = session.logs.stat(attempt.log)
    if facts is not None and S_ISREG(facts.st_mode) and not facts.st_size and not facts.st_mode & S_IXUSR:
        if not session.logs.kept_nothing or not session.store.freshen(NOTHING.digest):
            session.store.add_bytes(b'')
            session.logs.kept_nothing = True
        return NOTHING
    return session.store.add_file(session.root, attempt.log)


def _spent(session: Session, attempt: Attempt) -> tuple[Any, ...]:
    """What it said that it spent, if anything."""
    path = f'{attempt.log}{COST_SUFFIX}'
    facts = session.logs.stat(path)
    if facts is None or not S_ISREG(facts.st_mode) or not facts.st_size:
        return ()
    from mlops_cli.run.accounting import take_spent

    return tuple(one.to_json() for one in take_spent(session, attempt.stage.name, path))


def _series(session: Session, attempt: Attempt) -> dict[str, Any]:
    """What it consumed over time, in the store, if it took long enough for that."""
    path = f'{attempt.log}{SUFFIX}'
    facts = session.logs.stat(path)
    if facts is None or not S_ISREG(facts.st_mode) or not 0 < facts.st_size <= SIZE_LIMIT:
        return {}
    return {'series': session.store.add_file(session.root, path).to_json()}


def _environment(session: Session, attempt: Attempt) -> dict[str, Any]:
    """What it was made under.  Where somebody else's executor started it, only that is known."""
    if executor := attempt.job.host or session.origin.get('executor'):
        return {'executor': executor}
    return environment_of(attempt.draft.found, session.environ)


def _record(
    session: Session, attempt: Attempt, outcome: Outcome, taken: Taken, code: tuple[str, ...], again: tuple[str, ...]
) -> Settled:
    """Result and pin on their way to the disk; the attempt is over once they are durable.  ``code``: what changed of it;
    ``again``: inputs that were written and are what they were.  With any of them the result is kept apart."""
    assert attempt.step.manifest is not None
    name, seconds, usage = attempt.stage.name, outcome.usage.seconds, outcome.usage.to_json()
    suspect = bool(code or again)
    entry = _entry(session, attempt, outcome, taken, suspect)
    session.results.put(entry)
    others: tuple[Rival, ...] = ()
    if not suspect:
        pins, entries = session.pins.of_key(attempt.key), session.results.lookup(attempt.key)
        if (discovered := session.discovered()) is not None:
            pins, entries = discovered.counting(attempt.key, pins), discovered.counting(attempt.key, entries)
        others = rivals(attempt.stage, taken.outputs, taken.numbers, pins, entries)
    pin = ''
    if not suspect and not session.trial:
        made = Pin(attempt.step.manifest, taken.outputs, taken.numbers)
        pin = session.pins.add(name, made, session.batch, after=lambda: _finish(session, attempt)) or ''
    if not pin:
        _finish(session, attempt)
    if attempt.folder and not suspect and not session.trial:
        place(session, f'{attempt.id}-outputs', taken.outputs, name)
    state, message, hint = State.DONE, '', ''
    if suspect:
        state, hint = State.FAILED, 'its result is kept apart and never used by itself; run again'
        message = f'its code changed while it ran: {", ".join(code[:3])}'
        if not code:
            message = f'written while it ran, so it may have read something else: {", ".join(again[:3])}'
    ended = StageEnded(
        name,
        state,
        seconds,
        outcome.exit_code,
        taken.outputs,
        taken.numbers,
        message,
        hint,
        attempt.log,
        (),
        taken.notes,
        usage,
    )
    outputs = () if suspect else taken.outputs
    return Settled(name, state, seconds, outputs, ended, entry.entry8, usage, outcome.exit_code, pin, others)


def _finish(session: Session, attempt: Attempt) -> None:
    """The result is durable: what was aside is dropped or kept, checkpoints go, the attempt is over."""
    if path := attempt.stage.checkpoint:
        checkpoint.take_back(session, attempt.key, f'{attempt.folder}/{path}' if attempt.folder else path, succeeded=True)
    if attempt.folder:
        session.root.remove_tree(f'{layout.WORK}/{attempt.id}')
    elif attempt.before:
        for path in aside.finish(session.root, attempt.id, session.run, attempt.before, session.is_saved):
            session.note(f'an output that was nowhere else was kept: {path}', attempt.stage.name)
    session.tell_journal({'do': 'end', 'attempt': attempt.id, 'key': str(attempt.key)})


def _bring_checkpoint(session: Session, attempt: Attempt, ref: ObjectRef) -> tuple[str, ...]:
    """So that it can go on here, or on another host.  It stays on the one it was on, so what cannot be brought is only told."""
    try:
        checkpoint.bring(session, attempt.key, ref)
    except (MissingObject, Damaged, UserError, OSError) as error:
        return (f'its checkpoint is on {attempt.job.host} and could not be brought: {error}',)
    return ()


def _failed(
    session: Session, attempt: Attempt, outcome: Outcome, message: str, hint: str = '', *, state: State = State.FAILED,
    code: int | None = None,
) -> Settled:
    """Puts the previous outputs back; what the attempt left goes to ``.mlops/local/failed``.  ``code``: the exit code that
    says whose fault it was, where that was not the stage's."""
    stage = attempt.stage
    notes: tuple[str, ...] = ()
    if (kept := outcome.details.get('checkpoint')) is not None:
        notes = _bring_checkpoint(session, attempt, kept)
    left = undo(session, attempt.id, stage, attempt.key, attempt.folder, attempt.clear)
    if left:
        notes = (*notes, f'partial outputs are in {aside.failed_folder(session.run, stage.name)}')
    kept = [path for path, ref in attempt.before.items() if ref is not None]
    if kept:
        notes = (*notes, 'the outputs it had before are back in place')
    said = tuple(tail(os.path.join(session.root.path, attempt.log), TAIL_LINES))
    apart = hint == APART
    if apart and not MISSING.search('\n'.join(said)):
        hint = ''
    if not hint or apart:
        hint = unimportable.hint(stage, attempt.draft.found, said, hint) or hint
    ended = StageEnded(
        stage.name,
        state,
        outcome.usage.seconds,
        outcome.exit_code,
        message=message,
        hint=hint,
        log=attempt.log,
        tail=said,
        notes=notes,
        usage=outcome.usage.to_json(),
        blocked=code == ExitCode.WRONG_INPUT,
        unreachable=code == ExitCode.UNREACHABLE,
    )
    return Settled(stage.name, state, outcome.usage.seconds, (), ended, '', outcome.usage.to_json(), outcome.exit_code)
