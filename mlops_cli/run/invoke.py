"""One ``mlops run``: heals what was left, plans, runs, records.  The console listens to the events; nothing is printed here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlops_cli import git
from mlops_cli.core import layout
from mlops_cli.core.canonical import canonical_bytes
from mlops_cli.core.classes import dataclass, replace
from mlops_cli.core.clock import iso, run_id
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import UserError, UserErrors
from mlops_cli.core.events import Event, Note, RunEnded, RunStarted
from mlops_cli.core.paths import inside, shell_word
from mlops_cli.core.refs import ObjectRef
from mlops_cli.executors import all as executors
from mlops_cli.fsio.journal import Journal
from mlops_cli.fsio.locks import LockFile
from mlops_cli.pipeline.used import used_by
from mlops_cli.plan.forecast import forecast
from mlops_cli.plan.model import Plan, Step, Verdict
from mlops_cli.records import gitignore
from mlops_cli.records.runs import VALUE_BYTES, Run, StageRun
from mlops_cli.run.capacity import Capacity, Machine, refusal, unsandboxed
from mlops_cli.run.causes import advice
from mlops_cli.run.heal import begin_writing, heal_meanwhile
from mlops_cli.run.hosts import Patience, acquaint, known, routed, told_of
from mlops_cli.run.hosts import refusal as refused_there
from mlops_cli.run.machine import available_for, desk
from mlops_cli.run.outlook import Outlook, look
from mlops_cli.run.person import email, who
from mlops_cli.run.recorder import Recorder, prune
from mlops_cli.run.remarks import remarks, worth_knowing
from mlops_cli.run.report import Report as Report
from mlops_cli.run.report import Settled, stopped_code
from mlops_cli.run.request import ANY, LOCAL, Routes, by_host
from mlops_cli.run.request import Request as Request
from mlops_cli.run.request import chosen as chosen
from mlops_cli.run.request import wishes_of as wishes_of
from mlops_cli.run.states import State
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.results import outputs_digest

if TYPE_CHECKING:  # and what carries a run out is loaded when there is something to do
    from mlops_cli.executors.base import Executor
    from mlops_cli.records.accounts import Account
    from mlops_cli.run.scheduler import Scheduler
    from mlops_cli.run.session import Session
    from mlops_cli.usage.cost import Cost

# What a run may come to need: loaded before it begins, as another version may be installed while it goes on.
LATER = (
    'mlops_cli.run.replay',
    'mlops_cli.store.materialise',
    'mlops_cli.fingerprint.closure',
    'mlops_cli.fingerprint.pyimports',
    'mlops_cli.yamlfile',
)
# The same, but for a run of which it is known that it takes no longer than a minute: few of those need it.
MUCH_LATER = ('mlops_cli.run.accounting',)
SHORT_SECONDS = 60.0
NAMED = 6  # paths in a command
NOT_LOOKED_UP = (
    '--no-cache looks no result up, but the workspace holds the right outputs already, so nothing had to be looked up; '
    'to run the stages all the same: mlops run --force'
)


@dataclass(frozen=True, slots=True)
class Around:
    """What a run is told of the world; as :func:`execute` takes it."""

    emit: Callable[[Event], None]
    now: Callable[[], float]
    clock: Callable[[], float]
    random_bytes: bytes
    interrupted: Callable[[], int]
    stopped_by: Callable[[], int]
    detached: bool
    routes: Routes
    patience: Patience


def execute(
    bench: Workbench,
    request: Request,
    *,
    emit: Callable[[Event], None],
    now: Callable[[], float],
    clock: Callable[[], float],
    random_bytes: bytes,
    interrupted: Callable[[], int] = lambda: 0,
    stopped_by: Callable[[], int] = lambda: 0,
    detached: bool = False,
) -> Report:
    """``clock``: monotonic seconds.  ``interrupted``: how often it was asked to stop; ``stopped_by``: by which signal, 0 for
    Ctrl-C's.  ``detached``: from its terminal.  Raises UserError before anything is touched, OSError."""
    chosen(bench, request)  # an unknown stage, or executor, is told before anything is touched
    if request.executor:
        executors.find(request.executor)
    if request.host not in ('', LOCAL, ANY):
        known(bench, request.host)

    def go_on() -> None:
        if interrupted():
            raise _stopped(stopped_by())

    routes, patience = Routes(bench, request.host), Patience(go_on, lambda text: emit(Note(text)))
    around = Around(emit, now, clock, random_bytes, interrupted, stopped_by, detached, routes, patience)
    with begin_writing(bench, emit, lambda: who(bench.root.path), os.uname().nodename, go_on=go_on) as key_locks:
        return _execute(bench, request, key_locks, around)


def _execute(bench: Workbench, request: Request, key_locks: LockFile, around: Around) -> Report:
    started, began = around.now(), around.clock()
    outlook = look(bench, chosen(bench, request), wishes_of(bench, request))
    available = available_for(bench, outlook.plan, around.routes, request.keep_going)
    acquaint(bench, outlook.plan, around.routes, around.patience)
    _refuse(bench, outlook.plan, request, around.routes, available)
    if bench.config.budgets and not request.over_budget:
        from mlops_cli.run.budget import refuse

        refuse(bench, outlook.plan, request, around.routes, around.now())
    if all(step.verdict is Verdict.FRESH for step in outlook.plan.steps):
        if not request.lookup:
            around.emit(Note(NOT_LOOKED_UP))
        settled = {step.stage: Settled(step.stage, State.FRESH, 0.0, step.outputs) for step in outlook.plan.steps}
        for note in remarks('', settled, outlook.plan.by_name, bench.accepted.of_key, outlook.facts.maker):
            around.emit(note)
        lines = () if bench.overlay else _cover(bench, lambda text: around.emit(Note(text)), [*_to_ignore(bench, settled)])
        return Report(outlook.plan, settled, around.clock() - began, ignored=lines)
    if around.interrupted():
        raise _stopped(around.stopped_by())
    local = executors.create(request.executor or executors.LOCAL, bench.root.full(layout.LOCAL))
    # What cannot be reached is told before anything is touched.
    with closing(routed(local, bench, outlook.plan, around.routes, request.keep_going, around.patience)) as executor:
        return _carried_out(bench, request, outlook, available, executor, key_locks, around, started, began)


def _carried_out(
    bench: Workbench,
    request: Request,
    outlook: Outlook,
    available: Machine,
    executor: Executor,
    key_locks: LockFile,
    around: Around,
    started: float, began: float,
) -> Report:  # fmt: skip
    identity = run_id(started, around.random_bytes)
    jobs = request.jobs or bench.config.jobs or os.cpu_count() or 1
    command = _without_secrets(bench, request.command)
    about = {'host': os.uname().nodename, 'who': who(bench.root.path), 'command': list(command), 'detached': around.detached}
    with suppress(OSError, UserError):  # old folders that cannot be removed do no harm
        prune(bench.root)
    with (
        Journal(layout.JOURNAL, identity, root=bench.root) as journal,
        Recorder(bench.root, identity, about, around.emit, around.now) as recorder,
    ):
        journal.append(_beginning(bench, outlook.plan, identity, started, command))
        session = open_session(bench, identity, journal, request, key_locks, recorder.emit, around, executor)
        try:
            recorder.emit(_announcement(bench, outlook.plan, identity, jobs, around.routes, available))
            for text in worth_knowing(bench, outlook.plan, request):
                recorder.emit(Note(text))
            for line in told_of(executor, bench, outlook.plan, around.routes):
                recorder.emit(Note(line))
            capacity = Capacity(jobs, available, partial(desk, bench, available))
            scheduler = _scheduler(session, bench, outlook, request, capacity, around.interrupted)
            settled = scheduler.run()
            seconds, stopped = round(around.clock() - began, 3), around.interrupted()  # one figure for every screen
            report = _record(bench, session, outlook, settled, request, started, seconds, stopped, scheduler.steps)
            report = replace(report, stopped_by=around.stopped_by(), refused=scheduler.refused)
            bench.batch.close()
        except BaseException:
            with suppress(OSError, UserError):  # what is done counts; its attempts end while there is a journal to tell
                bench.batch.close()
            raise
        finally:
            executor.close()
            session.stage_locks.close()
            session.close()
            bench.index.flush()
        journal.append({'do': 'done', 'run': identity})
        _tell_end(recorder, report, identity)
    return report


def _stopped(number: int) -> UserError:
    return UserError('stopped before anything ran', hint='mlops run begins again', exit_code=stopped_code(number))


def _tell_end(recorder: Recorder, report: Report, identity: str) -> None:
    from mlops_cli.run.replay import report_document

    recorder.report(report_document(report))
    recorder.emit(RunEnded(identity, report.ended, report.seconds, int(report.exit_code)))


def _beginning(bench: Workbench, plan: Plan, identity: str, started: float, command: Sequence[str]) -> dict[str, Any]:
    """What the record of this run will say and nobody else could, should it be killed."""
    head = git.head(bench.root.path)
    values = _values(bench, [step.stage for step in plan.steps])
    short = [list(item) for item in values if len(canonical_bytes(item[2])) <= VALUE_BYTES]
    return {
        'do': 'run',
        'run': identity,
        'started': iso(started),
        'command': list(command),
        'set': [[file, key, value] for (file, key), value in sorted(bench.overlay.items())],
        'who': who(bench.root.path),
        'host': os.uname().nodename,
        'commit': head.commit if head else '',
        'branch': head.branch if head else '',
        'values': short,
        'values_left_out': len(values) - len(short),
    }


def _announcement(bench: Workbench, plan: Plan, identity: str, jobs: int, routes: Routes, available: Machine) -> RunStarted:
    stale = [step for step in plan.steps if step.verdict is not Verdict.FRESH]
    low, high = forecast(plan, jobs)
    elsewhere = by_host(bench, plan, routes)
    running = sum(step.verdict in (Verdict.RUN, Verdict.MAYBE) for step in stale)
    return RunStarted(
        identity,
        bench.pipeline.name,
        len(stale),
        len(plan.steps) - len(stale),
        jobs,
        restore=sum(step.verdict is Verdict.RESTORE for step in stale),
        open=sum(step.verdict is Verdict.MAYBE and not step.certain for step in stale),
        first=all([reason.kind for reason in step.reasons] == ['never-run'] for step in plan.steps),
        cpus=available.cpus,
        gpus=available.gpus,
        low=low,
        high=high,
        trial=bool(bench.overlay),
        stages=tuple(step.stage for step in stale),
        held=tuple(_held(bench, stale)),
        hosts=tuple(elsewhere),
        here=not elsewhere or sum(map(len, elsewhere.values())) < running,
    )


def _held(bench: Workbench, steps: Iterable[Step]) -> Iterable[tuple[str, ObjectRef]]:
    """What the workspace holds of the files of metrics, before stages make them anew."""
    for step in steps:
        for output in bench.pipeline.stages[step.stage].read_as('metric'):
            if (ref := bench.workspace.ref(output.path, ignore=False)) is not None:
                yield output.path, ref


def _refuse(bench: Workbench, plan: Plan, request: Request, routes: Routes, available: Machine) -> None:
    """What can be known to fail is told before anything runs; with ``keep_going`` it fails in its turn, beside the others.

    A stage whose outputs may come from the cache, or turn out to be right, is not known to fail."""
    if request.keep_going:
        return
    errors: list[UserError] = []
    for step in plan.steps:
        stage = bench.pipeline.stages[step.stage]
        runs = step.verdict is Verdict.RUN or (step.verdict is Verdict.MAYBE and step.certain)
        host = routes.of(stage)
        if runs:
            unfit = refused_there(stage, host, available, routes) if host else refusal(stage, available)
            errors += filter(None, (unfit, unsandboxed(bench.environ, stage, request.isolate, host)))
        if step.verdict is Verdict.BLOCKED:
            errors += [
                UserError(
                    f'stage {step.stage} needs {reason.subject}: {reason.detail}',
                    where=stage.places.get('deps', stage.where),
                    hint=advice(reason.kind, reason.subject, reason.detail),
                )
                for reason in step.reasons
            ]
    if errors:
        raise UserErrors(errors)


def open_session(
    bench: Workbench,
    identity: str,
    journal: Journal,
    request: Request,
    key_locks: LockFile,
    emit: Callable[[Event], None],
    around: Around,
    executor: Executor,
) -> Session:
    import shlex

    from mlops_cli.run.session import Session

    return Session(
        identity,
        bench.root,
        bench.workspace,
        bench.index,
        bench.describer,
        bench.store,
        bench.results,
        bench.pins,
        bench.batch,
        journal,
        LockFile(bench.root.full(layout.LOCKS), command=shlex.join(_without_secrets(bench, request.command))),
        key_locks,
        executor,
        emit,
        around.now,
        bench.environ,
        bench.redact,
        around.routes,
        {
            'run': identity,
            'who': who(bench.root.path),
            'email': email(bench.root.path),
            'host': os.uname().nodename,
            'ci': bool(bench.environ.get('CI')),
            **({'executor': request.executor} if request.executor not in ('', executors.LOCAL) else {}),
        },
        bench.overlay,
        isolate=request.isolate,
        adopts=request.lookup,
        watch=request.watch,
        heal=lambda: heal_meanwhile(bench, emit, lambda: who(bench.root.path), os.uname().nodename),
    )


def _scheduler(
    session: Session,
    bench: Workbench,
    outlook: Outlook,
    request: Request,
    capacity: Capacity,
    interrupted: Callable[[], int],
) -> Scheduler:
    from mlops_cli.run.claims import Claims
    from mlops_cli.run.scheduler import Options, Scheduler

    estimates = [step.estimate.typical for step in outlook.plan.steps if step.verdict in (Verdict.RUN, Verdict.MAYBE)]
    quick = all(seconds is not None and seconds < SHORT_SECONDS for seconds in estimates)
    for name in LATER if quick else (*LATER, *MUCH_LATER):
        import_module(name)
    unaffordable = None
    if bench.config.budgets and not request.over_budget:
        from mlops_cli.run.budget import Guard

        unaffordable = Guard(bench, session).unaffordable
    options = Options(request.keep_going, interrupted, request.lock_timeout, unaffordable)
    return Scheduler(
        session, outlook.plan, bench.drafts, outlook.facts, outlook.wishes, capacity, Claims(session), options
    )


def _record(
    bench: Workbench,
    session: Session,
    outlook: Outlook,
    settled: Mapping[str, Settled],
    request: Request,
    started: float,
    seconds: float,
    interrupted: int,
    steps: Mapping[str, Step],
) -> Report:
    ended = 'interrupted' if interrupted else 'failed' if any(not s.state.good for s in settled.values()) else 'done'
    rows = tuple(_stage_run(name, one, steps) for name, one in settled.items() if one.state is not State.FRESH)
    saved = round(sum(one.seconds for one in settled.values() if one.state is State.RESTORED), 3)
    head = git.head(bench.root.path)
    metrics = tuple(
        (name, *number) for name, one in settled.items() if session.trial and one.event for number in one.event.metrics
    )
    run = Run(
        session.run,
        iso(started),
        seconds,
        ended,
        rows,
        sum(one.state is State.FRESH for one in settled.values()),
        saved,
        _without_secrets(bench, request.command),
        str(session.origin['who']),
        str(session.origin['host']),
        head.commit if head else '',
        head.branch if head else '',
        tuple((file, key, value) for (file, key), value in sorted(bench.overlay.items())),
        metrics,
        _versions(),
        fresh_stages=tuple(_fresh(settled, steps)),
        values=_values(bench, [name for name, one in settled.items() if one.state is not State.SKIPPED]),
        account=_account(bench, session, rows),
    )
    record = ''
    if any(one.state not in (State.FRESH, State.SKIPPED) for one in settled.values()):
        record = bench.runs.add(run, bench.batch)
        session.tell_journal({'do': 'recorded'})
    lines = () if session.trial else _cover(bench, session.note, [*_to_ignore(bench, settled)])
    for note in remarks(session.run, settled, steps, bench.accepted.of_key, outlook.facts.maker):
        session.emit(note)
    pins = tuple(one.pin for one in settled.values() if one.pin)
    report = Report(outlook.plan, settled, seconds, run, saved, ended, pins, record, lines, steps)
    return replace(report, costs=_costs(bench, run))


def _costs(bench: Workbench, run: Run) -> dict[str, Cost]:
    if not bench.config.prices and run.account is None:
        return {}
    from mlops_cli.records.costs import book_of, costs_of, says_costs

    book = book_of(bench.config)
    found = zip(run.stages, costs_of(run, book), strict=True) if says_costs(run, book) else ()
    return {one.name: cost for one, cost in found if cost is not None}


def _account(bench: Workbench, session: Session, rows: Sequence[StageRun]) -> Account | None:
    """What follows from the pipeline alone is not known of a stage on this machine without GPUs: most runs need no account."""
    stages = [(stage, session.routes.of(stage)) for row in rows for stage in (bench.pipeline.stages[row.name],)]
    if not (session.tallies or session.origin.get('executor') or any(host or one.resources.gpus for one, host in stages)):
        return None
    from mlops_cli.run.accounting import account_of

    return account_of(session, rows, stages)


def _versions() -> dict[str, str]:
    import platform

    return {'python': platform.python_version(), 'platform': platform.platform()}


def _cover(bench: Workbench, note: Callable[[str], object], paths: list[str]) -> tuple[str, ...]:
    """Lines for git to ignore.  Where they cannot be written the run still counts: a note says what to mend."""
    try:
        lines = gitignore.cover(bench.root, paths)
    except (UserError, OSError) as error:
        note(f'git will see the outputs: {error}')
        return ()
    if lines and (tracked := git.tracked(bench.root.path, paths)):
        held = [path for path in paths if any(inside(one, path) for one in tracked)]
        words = ' '.join(map(shell_word, held[:NAMED]))
        more = '   (mlops doctor names the others)' if len(held) > NAMED else ''
        note(f'git tracks outputs, so branches will conflict in them: git rm -r --cached {words}{more}')
    return lines


def _without_secrets(bench: Workbench, words: Sequence[str]) -> tuple[str, ...]:
    """A command line as it may be kept: values of secret variables, and what looks like a secret, are blanked."""
    return tuple(map(bench.redact, words))


def _values(bench: Workbench, names: Iterable[str]) -> tuple[tuple[str, str, Any], ...]:
    """The parameters that templates of these stages used; texts without secrets."""
    stages = [bench.pipeline.stages[name] for name in names]
    return tuple((file, key, _blanked(bench, value)) for (file, key), (value, _) in sorted(used_by(stages).items()))


def _blanked(bench: Workbench, value: Any) -> Any:
    if isinstance(value, str):
        return bench.redact(value)
    return [_blanked(bench, item) for item in value] if isinstance(value, list | tuple) else value


def _fresh(settled: Mapping[str, Settled], steps: Mapping[str, Step]) -> Iterable[tuple[str, Digest, str]]:
    for name, one in settled.items():
        manifest = steps[name].manifest if name in steps else None
        if one.state is State.FRESH and manifest is not None:
            yield name, manifest.digest, outputs_digest(one.outputs).hex[:8]


def _stage_run(name: str, one: Settled, steps: Mapping[str, Step]) -> StageRun:
    step = steps.get(name)
    key = step.manifest.digest if step is not None and step.manifest is not None else None
    seconds = 0.0 if one.state is State.RESTORED else one.seconds
    return StageRun(name, str(one.state), key, one.entry8, seconds, one.exit_code, one.usage)


def _to_ignore(bench: Workbench, settled: Mapping[str, Settled]) -> Iterable[str]:
    for name, one in settled.items():
        stage = bench.pipeline.stages[name]
        if one.state.good:
            yield from (output.path for output in stage.outputs if output.cache)
        if one.state is not State.SKIPPED:
            yield from stage.caches
            if stage.checkpoint:
                yield stage.checkpoint  # while the stage runs, and after a kill
            if stage.progress and not any(inside(stage.progress, output.path) for output in stage.outputs):
                yield stage.progress
