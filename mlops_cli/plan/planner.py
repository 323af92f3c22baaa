"""Decides what is to become of each stage.  Touches nothing: all it knows comes in as Facts.

``decide`` looks at one stage whose inputs are settled; ``make_plan`` goes through all of them in order, and the
scheduler asks ``decide`` again for a stage once the stages before it are done (that is early cutoff).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from mlops_cli.core.classes import replace
from mlops_cli.core.manifest import Manifest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint.stage import Draft, fill
from mlops_cli.plan.facts import Facts, Known, Wishes
from mlops_cli.plan.known import known, looks_up
from mlops_cli.plan.model import Plan, Reason, Step, Verdict
from mlops_cli.plan.reasons import NEVER_RUN, discovered_notes, discovered_reasons, nearest, reasons_for, static_reasons

ABSENT = 'neither here nor in this cache'
NOT_STORED = 'its recorded content is not in this cache'


_NONE_SETTLED: Mapping[str, Step] = {}


def _as_it_is(_draft: Draft, step: Step) -> Step:
    return step


def make_plan(
    name: str,
    drafts: Mapping[str, Draft],
    order: Sequence[str],
    edges: Mapping[str, tuple[str, ...]],
    facts: Facts,
    wishes: Wishes,
    notes: tuple[str, ...] = (),
    seen: Callable[[Draft, Step], Step] = _as_it_is,
    settled: Mapping[str, Step] = _NONE_SETTLED,
    touched: Collection[str] = (),
) -> Plan:
    """``order``: stages to plan, topological.  ``edges``: stage -> stages it comes after (data and ``needs``).
    ``seen``: takes each step as it is decided, and returns the one that the stages after it are to see.
    ``settled``: what was decided of stages that were fresh; they need deciding again if they are ``touched``, or if a stage
    before them leads to something else.

    A producer outside ``order`` counts with what the workspace holds."""
    steps: dict[str, Step] = {}
    as_before: set[str] = set()  # those that lead to what they led to when the stages after them were settled
    for stage in order:
        if stage in settled and stage not in touched and as_before.issuperset(edges.get(stage, ())):
            steps[stage] = settled[stage]
            as_before.add(stage)
            continue
        draft = drafts[stage]
        undecided = tuple(
            producer
            for producer in draft.producers
            if producer in steps and steps[producer].verdict in (Verdict.RUN, Verdict.MAYBE, Verdict.BLOCKED)
        )
        if undecided:
            step = _undecided(draft, undecided, steps, facts, wishes)
        else:
            step = decide(draft, inputs_of(draft, steps, facts), facts, wishes)
        steps[stage] = step = seen(draft, step)
        if step.verdict is Verdict.FRESH and stage in settled and settled[stage].outputs == step.outputs:
            as_before.add(stage)
    return Plan(name, tuple(steps.values()), {stage: edges.get(stage, ()) for stage in order}, notes)


def inputs_of(draft: Draft, steps: Mapping[str, Step], facts: Facts) -> dict[str, ObjectRef | None]:
    """Output path -> reference for the holes of a draft; None where a producer outside the plan left nothing."""
    found: dict[str, ObjectRef | None] = {}
    for hole in draft.holes:
        if hole.producer in steps:
            found[hole.output] = steps[hole.producer].made.get(hole.output)
        else:
            found[hole.output] = facts.held(hole.output)
    return found


def _undecided(draft: Draft, waits_for: tuple[str, ...], steps: Mapping[str, Step], facts: Facts, wishes: Wishes) -> Step:
    stage = draft.stage
    estimate = facts.estimate(stage.name)
    if stage.frozen:
        return _frozen(draft, None, facts, wishes)
    if (draft.missing and not _all_recorded(draft)) or any(steps[name].verdict is Verdict.BLOCKED for name in waits_for):
        return Step(stage.name, Verdict.BLOCKED, _missing_reasons(draft), waits_for, notes=draft.unknown, estimate=estimate)
    wished = _wished(draft, wishes)
    history: tuple[Known, ...] = facts.history(stage.name)
    reasons = wished or static_reasons(draft, history, facts)
    if wished or not _usable(draft, history, facts, wishes):
        reasons = reasons or _lost(history, facts)
        return Step(stage.name, Verdict.RUN, reasons, waits_for, notes=draft.unknown, estimate=estimate)
    certain = bool(reasons) and all(steps[name].verdict is Verdict.RUN or steps[name].certain for name in waits_for)
    return Step(
        stage.name, Verdict.MAYBE, reasons, waits_for, certain=bool(reasons) or certain, notes=draft.unknown, estimate=estimate
    )


def _usable(draft: Draft, history: tuple[Known, ...], facts: Facts, wishes: Wishes) -> bool:
    """Some recorded result of the stage could still be what its inputs lead to.  False is certain: it will have to run."""
    declared = frozenset(output.path for output in draft.stage.outputs)
    if all(facts.held(path) is not None for path in declared):
        return True
    if not looks_up(draft.stage, wishes):
        return False
    return any(facts.stored(tuple(ref for _, ref in old.outputs)) for old in history) or facts.restorable(declared)


def _lost(history: tuple[Known, ...], facts: Facts) -> tuple[Reason, ...]:
    """What is recorded of the outputs, and can be had nowhere."""
    gone = {path: facts.held(path) for old in history for path, ref in old.outputs if facts.held(path) != ref}
    return tuple(
        Reason('output', path, detail=ABSENT if held is None else NOT_STORED)
        for path, held in gone.items()
    )


def _all_recorded(draft: Draft) -> bool:
    return all(path in draft.elsewhere for path in draft.missing)


def _missing_reasons(draft: Draft) -> tuple[Reason, ...]:
    kinds = {
        path: ('code' if path in {e.name for e in draft.entries if e.kind == 'code'} else 'data') for path in draft.missing
    }
    return tuple(
        Reason('code' if kinds[path] == 'code' else 'data', path, None, None, 'missing, and no stage makes it')
        for path in draft.missing
    )


def _wished(draft: Draft, wishes: Wishes) -> tuple[Reason, ...]:
    if draft.stage.name in wishes.forced:
        return (Reason('forced', '', detail='asked for with --force'),)
    if draft.stage.always_changed:
        return (Reason('forced', '', detail='always_changed: true'),)
    return ()


def decide(draft: Draft, made: Mapping[str, ObjectRef | None], facts: Facts, wishes: Wishes) -> Step:
    """The verdict on a stage whose inputs are known.  ``made``: output path of a producer -> what it made."""
    stage = draft.stage
    lost = tuple(path for path, ref in made.items() if ref is None)
    missing = tuple(path for path in draft.missing if path not in draft.elsewhere)
    if lost or missing:
        if stage.frozen:
            return _frozen(draft, None, facts, wishes)
        reasons = tuple(
            Reason('data', path, detail='missing; the stage that makes it is not part of this run') for path in lost
        )
        return Step(
            stage.name, Verdict.BLOCKED, _missing_reasons(replace(draft, missing=missing)) + reasons, notes=draft.unknown
        )
    manifest = fill(draft, {path: ref for path, ref in made.items() if ref is not None}, facts.read)
    if stage.frozen:
        return _frozen(draft, manifest, facts, wishes)
    wished = _wished(draft, wishes)
    if not wished and (found := known(draft, manifest, facts, wishes)):
        return replace(found, notes=(*found.notes, *discovered_notes(facts.seen(manifest.digest))))
    if lost := tuple(path for path, ref in draft.tracked.items() if not facts.stored((ref,))):
        reasons = tuple(Reason('data', path, detail='tracked, but neither here nor in this cache') for path in lost)
        return Step(stage.name, Verdict.BLOCKED, reasons, notes=draft.unknown)
    return _to_run(draft, manifest, wished, facts)


def _frozen(draft: Draft, manifest: Manifest | None, facts: Facts, wishes: Wishes) -> Step:
    """A frozen stage is what the workspace holds; where that is not all there, what its key is known to lead to."""
    stage = draft.stage
    held = tuple((output.path, ref) for output in stage.outputs if (ref := facts.held(output.path)) is not None)
    if len(held) == len(stage.outputs):
        return Step(stage.name, Verdict.FRESH, (), (), manifest, held, notes=('frozen: not checked, never run',))
    if manifest is not None and (found := known(draft, manifest, facts, wishes)):
        return found
    absent = {output.path for output in stage.outputs} - {path for path, _ in held}
    reasons = tuple(Reason('output', path, detail='absent, and the stage is frozen') for path in sorted(absent))
    return Step(stage.name, Verdict.BLOCKED, reasons, notes=('frozen: not checked, never run',))


def _to_run(draft: Draft, manifest: Manifest, wished: tuple[Reason, ...], facts: Facts) -> Step:
    stage = draft.stage
    reasons = wished
    history: tuple[Known, ...] = facts.history(stage.name)
    if not reasons:
        old = nearest(manifest, history, facts.held)
        reasons = (NEVER_RUN,) if old is None else reasons_for(manifest, old, facts)
        if old is not None and not reasons:
            reasons = discovered_reasons(facts.seen(manifest.digest)) or _lost((old,), facts)
    return Step(stage.name, Verdict.RUN, reasons, (), manifest, notes=draft.unknown, estimate=facts.estimate(stage.name))
