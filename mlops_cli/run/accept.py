"""``mlops accept``: what lies there, or what a run made, becomes the recorded result.  Nothing is run.

What this does to a project is a pin, a result and an acceptance: three files of which git has two.  To take it back, take
these two out of git again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass, field, replace
from mlops_cli.core.clock import from_iso, iso
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import ExitCode, UserError, UserErrors
from mlops_cli.core.events import Event, Note
from mlops_cli.core.manifest import Manifest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.secrets import Redactor, environment_secrets
from mlops_cli.core.units import show_size
from mlops_cli.fingerprint.moved import moved
from mlops_cli.fingerprint.stage import Draft, read_file
from mlops_cli.fsio.locks import LockFile
from mlops_cli.plan.facts import Wishes
from mlops_cli.plan.model import Metrics, Reason, Rival, Step, Verdict
from mlops_cli.plan.select import select
from mlops_cli.records import gitignore, metrics
from mlops_cli.records.accepted import Accepted, check_reason, clipped, differences
from mlops_cli.records.pins import Pin
from mlops_cli.run.heal import begin_writing
from mlops_cli.run.killed import refuse_pending, touching
from mlops_cli.run.outlook import look
from mlops_cli.run.person import email
from mlops_cli.run.placed import remember
from mlops_cli.run.recover import Undone
from mlops_cli.run.sources import keep_sources
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.results import ResultEntry, outputs_digest

Outputs = tuple[tuple[str, ObjectRef], ...]
ACCEPTED, TRUSTED, CHOSEN = 'accepted', 'trusted', 'chosen'


@dataclass(frozen=True, slots=True)
class Author:
    """``now``: seconds since 1970."""

    who: str
    host: str
    now: float
    reason: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would be recorded for a stage.  ``kind``: accepted, trusted or chosen.  ``was``: the plan's verdict.  ``differs``:
    what differs from the state that was recorded.  ``instead``: the results it is preferred to.  ``run``: the id of the run
    that made the outputs, as far as that is known."""

    stage: str
    kind: str
    manifest: Manifest
    outputs: Outputs
    metrics: Metrics = ()
    was: str = ''
    differs: tuple[Reason, ...] = ()
    instead: tuple[Rival, ...] = ()
    run: str = ''
    entry: ResultEntry | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """``pin`` and ``record``: paths of what was written, ``pin`` empty where it stood there before."""

    proposal: Proposal
    pin: str = ''
    record: str = ''


@dataclass
class Keeper:
    """What keeping the sources of a result needs."""

    bench: Workbench
    trees: dict[tuple[tuple[str, ObjectRef], ...], ObjectRef] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.workspace, self.describer, self.store = self.bench.workspace, self.bench.describer, self.bench.store


# The present outputs


def propose(bench: Workbench, names: Sequence[str]) -> tuple[Proposal, ...]:
    """What accepting the stages would record, topological.  Changes nothing.

    Raises UserErrors naming every stage that cannot be accepted, and what to do first."""
    refuse_pending(bench.root, _paths(bench, names))
    return _propose(bench, names)


def _paths(bench: Workbench, names: Sequence[str]) -> tuple[str, ...]:
    """What the stages make, and what they read that other stages make."""
    mine = [output.path for name in names for output in bench.pipeline.stages[name].outputs]
    before = {producer for name in names for producer in bench.edges.get(name, ())}
    return (*mine, *(output.path for name in sorted(before) for output in bench.pipeline.stages[name].outputs))


def _propose(bench: Workbench, names: Sequence[str], reason: str = '') -> tuple[Proposal, ...]:
    """``reason``: stages that were accepted for it are no mistake, so that a command that was killed can be given again: none
    is proposed then."""
    wanted = frozenset(names)
    found: dict[str, Proposal] = {}
    errors: list[UserError] = []
    fresh: list[UserError] = []
    again: list[str] = []
    steps: dict[str, Step] = {}

    def seen(draft: Draft, step: Step) -> Step:
        steps[step.stage] = step
        if step.stage in wanted:
            try:
                if step.verdict is Verdict.FRESH and not step.rivals:
                    is_again = bool(reason) and step.accepted is not None and step.accepted.reason == reason
                    again.append(step.stage) if is_again else fresh.append(_nothing(draft, step))
                else:
                    found[step.stage] = _proposal(bench, draft, step, steps)
                    step = replace(step, verdict=Verdict.FRESH, outputs=found[step.stage].outputs)
            except UserError as error:
                errors.append(error)
        steps[step.stage] = step
        return step

    order = select(bench.pipeline, bench.edges, bench.order, names)
    look(bench, order, Wishes(), seen)
    if errors or not (found or again):
        raise UserErrors(errors or fresh) if len(errors or fresh) > 1 else (errors or fresh)[0]
    return tuple(found.values())


def _nothing(draft: Draft, step: Step) -> UserError:
    if draft.stage.frozen:
        return UserError(f'{step.stage} is frozen: what lies there counts already', where=draft.stage.where)
    if step.accepted is not None:
        text = f'{step.stage} is up to date: {step.accepted.who or "somebody"} accepted it on {step.accepted.when[:10]}'
        return UserError(text, hint='there is nothing to accept')
    return UserError(f'{step.stage} is up to date: there is nothing to accept', hint='mlops status tells what is not')


def _proposal(bench: Workbench, draft: Draft, step: Step, steps: Mapping[str, Step]) -> Proposal:
    """Raises UserError with what stands in the way."""
    stage = draft.stage
    if stage.always_changed:
        raise UserError(
            f'{stage.name} is always_changed: it runs each time, whatever is recorded',
            where=stage.places.get('always_changed', stage.where),
            hint='take always_changed away to have its results count',
        )
    if step.verdict is Verdict.BLOCKED and step.reasons:
        gone = ', '.join(dict.fromkeys(reason.subject for reason in step.reasons[:3]))
        raise refused(f'{stage.name} cannot be accepted: its input {gone} is missing', 'bring it back, or take it out of deps')
    if step.verdict in (Verdict.MAYBE, Verdict.BLOCKED) or step.manifest is None:
        raise _upstream(stage.name, step, steps)
    stale = [name for name in draft.producers if name in steps and steps[name].verdict is not Verdict.FRESH]
    if stale:
        raise _upstream(stage.name, replace(step, waits_for=tuple(stale)), steps)
    held = {output.path: bench.workspace.ref(output.path, ignore=False) for output in stage.outputs}
    if missing := [path for path, ref in held.items() if ref is None]:
        raise refused(
            f'{stage.name} cannot be accepted: its output {", ".join(missing[:3])} is missing',
            f'mlops run {stage.name} makes it',
        )
    outputs = tuple(sorted((path, ref) for path, ref in held.items() if ref is not None))
    kind = CHOSEN if step.verdict is Verdict.FRESH else ACCEPTED
    instead = step.rivals
    if step.verdict is Verdict.RESTORE:
        differs = tuple(path for path, ref in outputs if step.made.get(path) != ref)
        instead = (Rival(outputs_digest(step.outputs).hex[:8], step.run, differs), *instead)
    maker = step.run if kind == CHOSEN else _maker(bench, stage.name, outputs)
    numbers = _numbers(bench, stage.name)[0]
    return Proposal(stage.name, kind, step.manifest, outputs, numbers, str(step.verdict), step.reasons, instead, maker)


def refused(message: str, hint: str) -> UserError:
    """The error (exit 5) for what is not accepted, to protect who accepts it."""
    return UserError(message, hint=hint, exit_code=ExitCode.REFUSED)


def _upstream(name: str, step: Step, steps: Mapping[str, Step]) -> UserError:
    """The stages before it that have to be settled first: the first of each chain, for the others follow."""
    causes: dict[str, None] = {}
    todo = list(step.waits_for)
    while todo:
        one = steps.get(todo.pop(0))
        if one is None:
            continue
        if one.waits_for:
            todo += one.waits_for
        else:
            causes[one.stage] = None
    first = ' '.join(list(causes)[:3] or step.waits_for[:3])
    return refused(
        f'{name} cannot be accepted before {first.replace(" ", ", ")}: what it was made from is not up to date',
        f'mlops run {first}, or accept both: mlops accept {first} {name} --reason ...',
    )


def _maker(bench: Workbench, stage: str, outputs: Outputs) -> str:
    """The run that made these bytes for another key, as far as the store tells; empty where they were made by hand."""
    for pin in bench.pins.of_stage(stage):
        if tuple(sorted(pin.outputs)) == outputs:
            for entry in bench.results.lookup(pin.key):
                if entry.outputs == outputs and (run := str(entry.origin.get('run', ''))):
                    return run
    return ''


def accept(bench: Workbench, names: Sequence[str], author: Author, emit: Callable[[Event], None]) -> tuple[Done, ...]:
    """Records the present outputs of the stages as the results of their present state.  All of them or none.

    What was accepted for the same reason already is left as it is: nothing is done then.  Raises UserError, OSError."""
    reason = recordable(bench, author.reason)
    _propose(bench, names, reason)  # what cannot be is told before anything is touched

    def allowed(undone: Undone) -> None:
        if met := touching(undone.outputs, _paths(bench, names)):
            raise _put_back(undone, met)

    with begin_writing(bench, emit, lambda: author.who, author.host, allowed), _locked(bench, names):
        bench.pins.refresh()
        proposals = _propose(bench, names, reason)
        keeper = Keeper(bench)
        taken = [_take_in(bench, one) for one in proposals]
        for one in taken:
            for problem in _numbers(bench, one.stage)[1]:
                emit(Note(problem, one.stage))
        for one in proposals:
            draft = bench.drafts[one.stage]
            if changed := moved(bench.describer, draft, draft.inputs):
                raise refused(f'{one.stage}: {changed[0]} changed while it was being accepted', 'try again')
        done = tuple(_record(bench, one, replace(author, reason=reason), keeper) for one in taken)
        bench.batch.flush()
        bench.index.flush()
        gitignore.cover(bench.root, [output.path for name in names for output in _cached(bench, name)])
    return done


def _put_back(undone: Undone, path: str) -> UserError:
    """What was to be accepted is not what lies there now."""
    place = undone.kept.get(path)
    took = f'what stood at {path} is now {place}' if place else f'{path} is again as it was before that run'
    return refused(
        f'nothing is accepted: run {undone.short} was killed here while {undone.stage} ran, its outputs were put back; {took}',
        'look again: to accept what stood there, move it back first' if place else 'look again, then accept once more',
    )


def _cached(bench: Workbench, stage: str) -> Iterator[Any]:
    return (output for output in bench.pipeline.stages[stage].outputs if output.cache)


def recordable(bench: Workbench, text: str) -> str:
    """As it may be recorded: what looks like a secret is blanked.  Raises UserError."""
    declared = {name for stage in bench.pipeline.stages.values() for name in stage.secrets}
    return Redactor(environment_secrets(bench.environ, declared)).redact(check_reason(text))


@contextmanager
def _locked(bench: Workbench, names: Sequence[str]) -> Iterator[None]:
    """While no other command runs the stages, or writes what they read.  Raises UserError (exit 5) if one does."""
    with LockFile(layout.LOCKS, root=bench.root) as locks:
        held: list[str] = []
        try:
            for name, exclusive in _locks(bench, names):
                if not (locks.try_exclusive(name) if exclusive else locks.try_shared(name)):
                    raise running(locks, name)
                held.append(name)
            yield
        finally:
            for name in reversed(held):
                locks.release(name)


def _locks(bench: Workbench, names: Sequence[str]) -> list[tuple[str, bool]]:
    """(name, exclusive) of the locks that running the stages would take."""
    mine = {output.path for name in names for output in bench.pipeline.stages[name].outputs}
    inputs = {hole.output for name in names for hole in bench.drafts[name].holes} - mine
    paths = [(f'path/{path}', path in mine) for path in sorted(mine | inputs)]
    return [*((f'stage/{name}', True) for name in names), *paths]


def running(locks: LockFile, name: str) -> UserError:
    """The error for a lock that somebody holds."""
    kind, _, what = name.partition('/')
    found = locks.holder(name)
    who = f' ({found.get("command", "mlops")}, pid {found.get("pid")} on {found.get("host")})' if found else ''
    text = f'{what} runs right now{who}' if kind == 'stage' else f'a stage that runs right now uses {what}{who}'
    return refused(text, 'wait for it to end: mlops status shows what runs')


def _take_in(bench: Workbench, one: Proposal) -> Proposal:
    """The outputs into the store, and the numbers in them.  Raises UserError where they change meanwhile."""
    stage = bench.pipeline.stages[one.stage]
    found: list[tuple[str, ObjectRef]] = []
    for output in stage.outputs:
        bench.workspace.forget(output.path)
        added = bench.store.add_path(bench.root, output.path, known=bench.index.get)
        bench.index.put_added(added)
        bench.workspace.forget(output.path)
        found.append((output.path, added.ref))
    outputs = tuple(sorted(found))
    if outputs != one.outputs:
        path = next(path for path, ref in outputs if dict(one.outputs)[path] != ref)
        raise refused(f'{one.stage}: {path} changed while it was being accepted', 'try again when nothing writes there')
    return replace(one, outputs=outputs)


def _numbers(bench: Workbench, name: str) -> tuple[Metrics, list[str]]:
    """The numbers in the stage's files of metrics as they lie there, and why some cannot be read."""
    numbers: list[tuple[str, str, float | int]] = []
    problems = []
    for output in bench.pipeline.stages[name].read_as('metric'):
        ref = bench.workspace.ref(output.path, ignore=False)
        if ref is None or ref.kind == 'tree':
            continue
        try:
            if ref.size > metrics.LIMIT:
                raise UserError(f'{output.path} has {show_size(ref.size)}, too much for a file of metrics')
            found = metrics.scalars(read_file(bench.workspace, output.path), output.path)
        except UserError as error:
            problems.append(str(error))
            continue
        numbers += [(output.path, number, value) for number, value in found]
    return tuple(sorted(numbers)), problems


def _record(bench: Workbench, one: Proposal, author: Author, keeper: Keeper) -> Done:
    """Result, pin and acceptance on their way to the disk."""
    key = one.manifest.digest
    if not any(entry.outputs == one.outputs and not entry.suspect for entry in bench.results.lookup(key)):
        sources, manifest = keep_sources(keeper, bench.drafts[one.stage], one.manifest)
        said = {'who': author.who, 'when': iso(author.now), 'reason': author.reason, 'run': one.run}
        ci = bool(bench.environ.get('CI'))
        who = {'who': author.who, 'email': email(bench.root.path), 'host': author.host}
        origin = {'run': '', **who, 'ci': ci, 'accepted': said}
        bench.results.put(
            ResultEntry(
                key,
                one.outputs,
                iso(author.now),
                metrics={f'{file}:{name}': value for file, name, value in one.metrics},
                manifest=manifest,
                sources=sources,
                origin=origin,
                code_bytes=tuple(sorted(bench.drafts[one.stage].code.items())),
            )
        )
    remember(bench.index, one.stage, key, one.outputs, one.run)
    return write(bench, one, author)


def write(bench: Workbench, one: Proposal, author: Author) -> Done:
    """The acceptance and the pin, on their way to the disk."""
    pin = Pin(one.manifest, one.outputs, one.metrics)
    accepted = Accepted(
        one.stage,
        one.manifest.digest,
        outputs_digest(one.outputs),
        pin.file_name(one.stage),
        clipped(author.who),
        clipped(author.host),
        _after(bench, one.manifest.digest, author.now),
        author.reason,
        one.run,
        one.kind,
        differences([(r.kind, r.subject, r.before, r.after, r.detail) for r in one.differs]),
    )
    record = bench.accepted.add(accepted, bench.batch)  # first, so that a kill leaves no pin of which nobody knows the reason
    return Done(one, bench.pins.add(one.stage, pin, bench.batch) or '', record)


def _after(bench: Workbench, key: Digest, now: float) -> str:
    """The time of an acceptance: later than those that it is to outdo, whatever the clocks of their machines said."""
    known = bench.accepted.of_key(key)
    return iso(max(now, from_iso(known[-1].when) + 1) if known else now)
