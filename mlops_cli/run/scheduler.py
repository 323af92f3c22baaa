"""Makes a plan happen: decides each stage once the stages before it are settled, starts what fits, takes results in.

One thread, one loop; only the taking-in of large outputs runs beside it.  Knows no commands, prints nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from mlops_cli.core.classes import dataclass, field, replace
from mlops_cli.core.errors import UserError
from mlops_cli.core.events import RunStopping, StageEnded, StageRetried, StageStarted, StageWaiting
from mlops_cli.core.job import Outcome
from mlops_cli.executors.base import Handle
from mlops_cli.fingerprint.moved import moved
from mlops_cli.fingerprint.stage import Draft
from mlops_cli.pipeline.spec import Stage
from mlops_cli.plan.facts import Facts, Wishes
from mlops_cli.plan.forecast import critical_paths
from mlops_cli.plan.model import Plan, Step, Verdict
from mlops_cli.plan.planner import decide, inputs_of
from mlops_cli.run import attempt as attempts
from mlops_cli.run.attempt import Attempt
from mlops_cli.run.capacity import Capacity, refusal
from mlops_cli.run.causes import advice, cause_of
from mlops_cli.run.claims import Claims
from mlops_cli.run.hosts import refusal as refused_there
from mlops_cli.run.place import place
from mlops_cli.run.placed import remember
from mlops_cli.run.progress import Watched
from mlops_cli.run.report import Settled
from mlops_cli.run.session import Session
from mlops_cli.run.settle import Taken, Unwanted, bring, outputs_size, settle, take_in
from mlops_cli.run.states import State
from mlops_cli.store.objects import Damaged, MissingObject

if TYPE_CHECKING:  # slow to load, and needed for large outputs alone
    from concurrent.futures import Future, ThreadPoolExecutor

LARGE = 4 << 20  # bytes of outputs from which taking in goes to a thread of its own
TICK = 0.2  # seconds between looks at locks, threads and interruptions
LONG = 2.0  # seconds of work that are worth a flush of their own
AGAIN = 3  # times that one stage is decided again because its inputs turned out damaged


@dataclass(frozen=True, slots=True)
class Options:
    """``interrupted``: 0 none, 1 stop starting and end what runs, 2 end it now.  ``unaffordable``: why nothing more is
    to start after a stage that ran, '' if it may."""

    keep_going: bool = False
    interrupted: Callable[[], int] = lambda: 0
    lock_timeout: float | None = None
    unaffordable: Callable[[Settled], str] | None = None


@dataclass
class Progress:
    """One stage's way through the run.  ``drafts``: whence its draft comes, when it is first asked for."""

    name: str
    drafts: Mapping[str, Draft]
    state: State = State.WAITING
    step: Step | None = None
    settled: Settled | None = None
    tries: int = 0
    again: int = 0
    queued_since: float | None = None
    told_waiting: float = 0.0
    blockers: set[str] = field(default_factory=set)
    _draft: Draft | None = None

    @property
    def draft(self) -> Draft:
        if self._draft is None:
            self._draft = self.drafts[self.name]
        return self._draft

    @draft.setter
    def draft(self, draft: Draft) -> None:
        self._draft = draft


class Scheduler:
    """Runs the stages of one plan.  ``after``: stage -> stages of the plan it comes after."""

    def __init__(
        self,
        session: Session,
        plan: Plan,
        drafts: Mapping[str, Draft],
        facts: Facts,
        wishes: Wishes,
        capacity: Capacity,
        claims: Claims,
        options: Options,
    ) -> None:
        self.session, self.facts, self.wishes = session, facts, wishes
        self.capacity, self.claims, self.options = capacity, claims, options
        self.plan = plan
        self.planned = plan.by_name
        self.watch = Watched(session.root, session.redact, session.executor)
        self.order: Sequence[str] = [step.stage for step in plan.steps]
        self.stages = {name: Progress(name, drafts) for name in self.order}
        self.after = {name: [other for other in plan.edges.get(name, ()) if other in self.stages] for name in self.order}
        self.following: dict[str, list[str]] = {name: [] for name in self.order}
        for name, others in self.after.items():
            self.stages[name].blockers = set(others)
            for other in others:
                self.following[other].append(name)
        typical = {step.stage: step.estimate.typical or 0.01 for step in plan.steps}
        self.priority = critical_paths(self.order, typical, self.following)
        self.steps: dict[str, Step] = {}
        self.ready: list[tuple[float, str]] = []
        self.queued: list[tuple[bool, float, str]] = []  # a heap: (to run, not restored; priority; stage)
        self.running: dict[str, Attempt] = {}
        self.handles: dict[str, Handle] = {}
        self.taking_in: dict[Future[Taken], tuple[Attempt, Outcome]] = {}
        self.stopping = False
        self.refused = ''
        self.killed = 0
        self.patient_until = float('inf')  # for what is being taken in, on the session's clock
        self.pool: ThreadPoolExecutor | None = None

    def run(self) -> dict[str, Settled]:
        """Until every stage is settled.  Raises what a full disk or a damaged store raises, after ending what runs."""
        for name in self.order:
            if not self.stages[name].blockers:
                self._make_ready(name)
        try:
            while self._step():
                pass
        except BaseException:
            self._abandon()
            raise
        finally:
            if self.pool is not None:
                self.pool.shutdown()
            self.capacity.close()
        self._skip_rest()
        return {name: progress.settled for name, progress in self.stages.items() if progress.settled is not None}

    def _step(self) -> bool:
        self._look_for_interruption()
        while self.ready:
            self._decide(heappop(self.ready)[1])
        if self.queued and not self.stopping:
            self._start_queued()
        if self.ready:
            return True
        if not self.running and not self.taking_in and (not self.queued or self.stopping):
            return False
        self._wait()
        for future in [future for future in self.taking_in if future.done()]:
            self._settle(*self.taking_in.pop(future), future.result())
        if self.session.batch.flush_if_due() or not len(self.session.batch):
            self.claims.flushed()
        return True

    def _wait(self) -> None:
        """For whatever comes first; shorter where something else than a stage's end may come."""
        for found in self.watch.look(time.monotonic()):
            self.session.emit(found)
        others = bool(self.taking_in) or (bool(self.queued) and not self.stopping)
        if self.running:
            for outcome in self.session.executor.poll(TICK / 8 if others else TICK):
                self._ended(outcome)
        elif self.taking_in:
            from concurrent.futures import FIRST_COMPLETED, wait

            wait(self.taking_in, TICK, return_when=FIRST_COMPLETED)
        else:
            time.sleep(TICK / 4)  # another command holds what is queued

    def _make_ready(self, name: str) -> None:
        self.stages[name].state = State.READY
        heappush(self.ready, (-self.priority[name], name))

    def _decide(self, name: str) -> None:
        """Early cutoff: what a stage needs is known now, so its verdict is."""
        progress = self.stages[name]
        step = self._planned(progress) or decide(
            progress.draft, inputs_of(progress.draft, self.steps, self.facts), self.facts, self.wishes
        )
        if step.verdict is Verdict.FRESH and progress.step is not None:  # it waited, and another command was first
            step = replace(step, run=step.run or self._maker(step))
        progress.step = self.steps[name] = step
        if step.verdict is Verdict.FRESH:
            told = self.planned[name].verdict is Verdict.FRESH
            ended = None if told else StageEnded(name, State.FRESH, 0.0, outputs=step.outputs)
            self._conclude(name, Settled(name, State.FRESH, 0.0, step.outputs, ended))
        elif step.verdict is Verdict.BLOCKED:
            reason = step.reasons[0] if step.reasons else None
            message = f'{reason.subject}: {reason.detail}' if reason else 'an input is missing'
            hint = advice(reason.kind, reason.subject, reason.detail) if reason else 'mlops plan tells which'
            self._block(name, message, hint)
        elif step.verdict is Verdict.RUN and (error := self._refusal(progress.draft.stage)):
            self._block(name, error.message, error.hint)
        elif self.stopping:
            progress.state = State.SKIPPED
        else:
            self._queue(name)

    def _refusal(self, stage: Stage) -> UserError | None:
        host = self.session.routes.of(stage)
        here = self.capacity.machine
        return refused_there(stage, host, here, self.session.routes) if host else refusal(stage, here)

    def _planned(self, progress: Progress) -> Step | None:
        """What the plan says where it still holds: of a stage that is fresh, as are all before it, since nothing was waited
        for; and of one that needs nothing of another one and is to run, which is looked at again when it starts, with its
        locks held."""
        step = self.planned[progress.name]
        if progress.step is not None or progress.again:
            return None
        if step.verdict is Verdict.FRESH:
            return step if all(self._is_fresh_as_planned(other) for other in self.after[progress.name]) else None
        new = step.verdict is Verdict.RUN and step.manifest is not None
        return step if new and self.claims.enabled and not progress.draft.holes and not step.waits_for else None

    def _is_fresh_as_planned(self, name: str) -> bool:
        planned = self.planned[name]
        return planned.verdict is Verdict.FRESH and self.stages[name].step is planned

    def _maker(self, step: Step) -> str:
        """The id of the run that made what is here, as far as the store tells."""
        results = self.facts.results(step.manifest.digest) if step.manifest is not None else ()
        return next((one.run for one in results if one.outputs == step.outputs), '')

    def _block(self, name: str, message: str, hint: str) -> None:
        """It cannot be started at all."""
        ended = StageEnded(name, State.FAILED, 0.0, message=message, hint=hint, blocked=True)
        self._conclude(name, Settled(name, State.FAILED, 0.0, event=ended))

    def _start_queued(self) -> None:
        """What is only to be restored first, then the longest remaining path; what does not fit, or is held by another
        command, waits.  Looks no further once all places are taken: the queue may be long, and this happens often."""
        waiting: list[tuple[bool, float, str]] = []
        while self.queued and not (self.queued[0][0] and self.capacity.full):
            entry = heappop(self.queued)
            if not self._try_start(entry[2]):
                waiting.append(entry)
        for entry in waiting:
            heappush(self.queued, entry)

    def _queue(self, name: str) -> None:
        progress = self.stages[name]
        progress.state = State.QUEUED
        runs = progress.step is not None and progress.step.verdict is Verdict.RUN
        heappush(self.queued, (runs, -self.priority[name], name))

    def _try_start(self, name: str) -> bool:
        progress = self.stages[name]
        step = progress.step
        assert step is not None
        runs = step.verdict is Verdict.RUN
        stage = progress.draft.stage
        grant = self.capacity.take(stage, elsewhere=bool(self.session.routes.named(stage))) if runs else None
        if runs and grant is None:
            if self.capacity.short_of_gpus:
                self._tell_waiting(progress, 'another run or program, which has the GPUs')
            return False
        if not self.claims.take(progress.draft, step):
            self.capacity.give_back(name)
            self._tell_waiting(progress, self.claims.holder(progress.draft))
            return False
        self._forget_outputs(progress.draft)  # what stands there now is what must not be lost
        try:
            if self.claims.enabled and self._changed_meanwhile(name):
                self._give_back(name)
                self._make_ready(name)
                return True
            if not runs:
                self._restore(name, step)
                return True
            assert grant is not None
            made = inputs_of(progress.draft, self.steps, self.facts)
            attempt = attempts.begin(
                self.session, step, progress.draft, {p: r for p, r in made.items() if r is not None}, grant, progress.tries + 1
            )
        except UserError as error:
            self._give_back(name)
            if isinstance(error, MissingObject | Damaged) and progress.again < AGAIN:
                # The store has put a damaged object aside by now, so the next decision may be another one.
                progress.again += 1
                self.session.note(f'{error.message}; deciding again', name)
                self._again(name)
                return True
            ended = StageEnded(name, State.FAILED, 0.0, message=error.message, hint=error.hint)
            self._conclude(name, Settled(name, State.FAILED, 0.0, event=ended))
            return True
        progress.tries += 1
        progress.state = State.RUNNING
        self.running[attempt.id] = attempt
        stage = attempt.stage
        where = (f'{attempt.folder}/{stage.progress}' if attempt.folder else stage.progress) if stage.progress else ''
        self.watch.begin(attempt.id, name, where, self.session.now())
        self.session.emit(StageStarted(name, progress.tries, attempt.log, step.estimate.typical, where))
        self.handles[attempt.id] = self.session.executor.submit(attempt.job)
        return True

    def _again(self, name: str) -> None:
        """Decides a stage again; after the stages before it whose outputs turned out to be nowhere, which then run."""
        progress = self.stages[name]
        held, stored = self.session.held, self.session.stored
        lost = [
            other
            for other in self.after[name]
            if other in self.steps and any(held(path) != ref and not stored((ref,)) for path, ref in self.steps[other].outputs)
        ]
        progress.state, progress.blockers = State.WAITING, set(lost)
        for other in lost:
            del self.steps[other]
            self.stages[other].settled = None
            self._again(other)
        if not lost:
            self.session.workspace.forget()
            progress.draft = self.session.describer.describe(progress.draft.stage)
            self._make_ready(name)

    def _changed_meanwhile(self, name: str) -> bool:
        """With the locks held: did another command, or the user, change what this was decided on?  Then decide again."""
        progress = self.stages[name]
        waited = progress.queued_since is not None
        progress.queued_since = None
        draft = progress.draft
        fresh = draft
        if waited or moved(self.session.describer, draft, draft.inputs):
            self.session.pins.refresh()
            self.session.workspace.forget()
            fresh = self.session.describer.describe(draft.stage)
        assert progress.step is not None and progress.step.manifest is not None
        known = (
            progress.step.verdict is Verdict.RUN
            and self.wishes.lookup
            and name not in self.wishes.forced
            and not draft.stage.always_changed
            and bool(self.facts.results(progress.step.manifest.digest))
        )
        if fresh.entries == draft.entries and not waited and not known:
            return False
        progress.draft = fresh
        self._forget_outputs(draft)
        step = decide(fresh, inputs_of(fresh, self.steps, self.facts), self.facts, self.wishes)
        return step != progress.step

    def _forget_outputs(self, draft: Draft) -> None:
        for output in draft.stage.outputs:
            self.session.workspace.forget(output.path)

    def _tell_waiting(self, progress: Progress, holder: str) -> None:
        now = self.session.now()
        if progress.queued_since is None:
            progress.queued_since = progress.told_waiting = now
            seconds = 0.0
        else:
            seconds = now - progress.queued_since
            if self.options.lock_timeout is not None and seconds >= self.options.lock_timeout:
                raise self.claims.timeout(progress.draft, holder, seconds)
            if now - progress.told_waiting < 60:
                return
            progress.told_waiting = now
        self.session.emit(StageWaiting(progress.draft.stage.name, holder, seconds))

    def _restore(self, name: str, step: Step) -> None:
        kept: tuple[str, ...] = ()
        if not self.session.trial:
            identity = attempts.attempt_id(self.session.run, name, 0)
            kept = place(self.session, identity, step.outputs, name)
        if step.manifest is not None:
            self.session.results.freshen(step.manifest.digest)
        entry8, numbers, pin = self.claims.pin_restored(name, step)
        notes = tuple(f'what stood there and is nowhere else was kept: {path}' for path in kept)
        saved = round(step.estimate.typical or 0.0, 3)
        ended = StageEnded(name, State.RESTORED, saved, None, step.outputs, numbers, notes=(*step.notes, *notes))
        self.claims.give_back_when_flushed(name)
        self._conclude(name, Settled(name, State.RESTORED, saved, step.outputs, ended, entry8, pin=pin))

    def _ended(self, outcome: Outcome) -> None:
        attempt = self.running.pop(outcome.attempt)
        self.watch.end(attempt.id, attempt.stage.name)
        try:
            brought = self.session.executor.collect(self.handles.pop(outcome.attempt))
            bring(self.session, attempt, brought)
            if brought is not None:
                outcome = replace(outcome, gone_ns=None)  # what stands there was written later, by us
            size = outputs_size(self.session, attempt, LARGE) if outcome.succeeded else None
        except UserError as error:  # a link stands where a folder of an output should, or what it made cannot be brought
            self._settle(attempt, outcome, Taken(error=error))
            return
        if size is None:
            self._settle(attempt, outcome, None)
            return
        if not attempt.stage.mutex:
            self.capacity.give_back(attempt.stage.name)  # the next one runs while this one's outputs are taken in
            self._look_for_interruption()
            if self.queued and not self.stopping:
                self._start_queued()
        if size >= LARGE:
            if self.pool is None:
                from concurrent.futures import ThreadPoolExecutor

                self.pool = ThreadPoolExecutor(2, 'take-in')
            self.taking_in[self.pool.submit(take_in, self.session, attempt, self._go_on)] = (attempt, outcome)
        else:
            self._settle(attempt, outcome, take_in(self.session, attempt))

    def _settle(self, attempt: Attempt, outcome: Outcome, taken: Taken | None) -> None:
        settled = settle(self.session, attempt, outcome, taken)
        name = attempt.stage.name
        progress = self.stages[name]
        self.capacity.give_back(name)
        self.claims.give_back_when_flushed(name) if settled.state.good else self.claims.give_back(name)
        retry = attempt.stage.retry
        if (
            settled.state is State.FAILED
            and progress.tries <= retry.maximum
            and not self.stopping
            and settled.event is not None
        ):
            from mlops_cli.run.accounting import tried

            cause = cause_of(settled.event)
            if not retry.causes or cause in retry.causes:
                tried(self.session, settled)
                self.session.emit(_retried(settled, progress.tries, retry.maximum + 1))
                self._queue(name)
                return
        if settled.seconds >= LONG:
            self.session.batch.flush()
            self.claims.flushed()
        self._conclude(name, settled)

    def _give_back(self, name: str) -> None:
        self.capacity.give_back(name)
        self.claims.give_back(name)

    def _conclude(self, name: str, settled: Settled) -> None:
        progress = self.stages[name]
        progress.state, progress.settled = settled.state, settled
        if settled.state.good and progress.step is not None:
            self.steps[name] = replace(progress.step, outputs=settled.outputs, verdict=Verdict.FRESH)
            self._remember(name, settled, progress.step)
        if settled.event is not None:
            self.session.emit(settled.event)
        if settled.state.good:
            for other in self.following[name]:
                self.stages[other].blockers.discard(name)
                if not self.stages[other].blockers and self.stages[other].state is State.WAITING:
                    self._make_ready(other)
        elif settled.state is State.FAILED and not self.options.keep_going:
            self.stopping = True
        if self.options.unaffordable is not None and not self.stopping and (why := self.options.unaffordable(settled)):
            self.refused, self.stopping = why, True
            self.session.note(why)

    def _remember(self, name: str, settled: Settled, step: Step) -> None:
        frozen = self.session.describer.pipeline.stages[name].frozen
        if self.session.trial or frozen or step.manifest is None:
            return
        run = self.session.run if settled.state is State.DONE else step.run
        remember(self.session.index, name, step.manifest.digest, settled.outputs, run)

    def _look_for_interruption(self) -> None:
        level = self.options.interrupted()
        if level <= self.killed:
            return
        self.killed = level
        self.stopping = True
        grace = max((attempt.stage.grace_seconds for attempt, _ in self.taking_in.values()), default=0.0)
        self.patient_until = self.session.now() + (grace if level == 1 else 0.0)
        self.session.emit(RunStopping(self.session.run, level))
        for handle in self.handles.values():
            self.session.executor.cancel(handle, force=level > 1)

    def _go_on(self) -> None:
        """For the threads that take outputs in: who asked this to stop waits for them as long as for a stage to end."""
        if self.session.now() >= self.patient_until:
            raise Unwanted

    def _abandon(self) -> None:
        """Something of ours failed: end what runs; the journal undoes it."""
        for handle in self.handles.values():
            self.session.executor.cancel(handle, force=True)

    def _skip_rest(self) -> None:
        for name, progress in self.stages.items():
            if progress.settled is None:
                progress.state = State.SKIPPED
                progress.settled = Settled(name, State.SKIPPED, 0.0)


def _retried(settled: Settled, attempt: int, most: int) -> StageRetried:
    message = settled.event.message if settled.event else ''
    return StageRetried(settled.stage, attempt, most, settled.seconds, settled.exit_code, message)
