"""Decides what is to become of each stage.  Touches nothing: all it knows comes in as Facts.

``decide`` looks at one stage whose inputs are settled; ``make_plan`` goes through all of them in order, and the
scheduler asks ``decide`` again for a stage once the stages before it are done (that is early cutoff).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from mlops_cli.core.manifest import Manifest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint.stage import Draft, fill
from mlops_cli.plan.facts import Computed, Facts, Known, Wishes
from mlops_cli.plan.model import Plan, Reason, Step, Verdict
from mlops_cli.plan.reasons import NEVER_RUN, held_state, nearest, reasons_for, static_reasons

Outputs = tuple[tuple[str, ObjectRef], ...]


def make_plan(
    name: str,
    drafts: Mapping[str, Draft],
    order: Sequence[str],
    edges: Mapping[str, tuple[str, ...]],
    facts: Facts,
    wishes: Wishes,
    notes: tuple[str, ...] = (),
) -> Plan:
    """``order``: stages to plan, topological.  ``edges``: stage -> stages it comes after (data and ``needs``).

    A producer outside ``order`` counts with what the workspace holds."""
    steps: dict[str, Step] = {}
    for stage in order:
        draft = drafts[stage]
        undecided = tuple(
            producer
            for producer in draft.producers
            if producer in steps and steps[producer].verdict in (Verdict.RUN, Verdict.MAYBE, Verdict.BLOCKED)
        )
        if undecided:
            steps[stage] = _undecided(draft, undecided, steps, facts, wishes)
        else:
            steps[stage] = decide(draft, inputs_of(draft, steps, facts), facts, wishes)
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
    reasons = _wished(draft, wishes) or static_reasons(draft, facts.history(stage.name), facts)
    certain = bool(reasons) and all(steps[name].verdict is Verdict.RUN or steps[name].certain for name in waits_for)
    return Step(
        stage.name, Verdict.MAYBE, reasons, waits_for, certain=bool(reasons) or certain, notes=draft.unknown, estimate=estimate
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
    if not wished and (known := _known(draft, manifest, facts, wishes)):
        return known
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
    if manifest is not None and (known := _known(draft, manifest, facts, wishes)):
        return known
    absent = {output.path for output in stage.outputs} - {path for path, _ in held}
    reasons = tuple(Reason('output', path, detail='absent, and the stage is frozen') for path in sorted(absent))
    return Step(stage.name, Verdict.BLOCKED, reasons, notes=('frozen: not checked, never run',))


def _known(draft: Draft, manifest: Manifest, facts: Facts, wishes: Wishes) -> Step | None:
    """Fresh or restore, if the key is known and its outputs can be had."""
    stage = draft.stage
    declared = {output.path for output in stage.outputs}
    persists = any(output.persist for output in stage.outputs)
    pins = [pin for pin in facts.pins(manifest.digest) if {path for path, _ in pin.outputs} == declared]
    notes = draft.unknown
    if len(pins) > 1:
        notes = (
            *notes,
            (
                f'not deterministic: {len(pins)} different results are recorded for the same inputs '
                '(to keep one, delete the pins of the others in .mlops/stages)'
            ),
        )
    for pin in pins:
        if all(facts.held(path) == ref for path, ref in pin.outputs):
            return Step(stage.name, Verdict.FRESH, (), (), manifest, pin.outputs, 'pin', notes=notes)
    if persists or not wishes.lookup:
        return None
    results = facts.results(manifest.digest)
    for pin in pins:
        if _stored(pin.outputs, facts):
            origin = next((result.origin for result in results if result.outputs == pin.outputs), '')
            return _restore(draft, manifest, pin.outputs, 'pin', origin, notes, facts, wishes)
    for result in (*results, *_same_bytes(draft, manifest, facts)):
        if {path for path, _ in result.outputs} == declared and _stored(result.outputs, facts):
            if wishes.environment and result.environment not in ('', wishes.environment):
                notes = (*notes, f'made in another environment: {result.environment}')
            return _restore(draft, manifest, result.outputs, 'result', result.origin, notes, facts, wishes)
    return None


def _stored(outputs: Outputs, facts: Facts) -> bool:
    return facts.stored(tuple(ref for _, ref in outputs))


def _restore(
    draft: Draft,
    manifest: Manifest,
    outputs: Outputs,
    source: str,
    origin: str,
    notes: tuple[str, ...],
    facts: Facts,
    wishes: Wishes,
) -> Step:
    differing = [(path, facts.held(path)) for path, ref in outputs if facts.held(path) != ref] if not wishes.trial else []
    by_hand = _changed_by_hand(draft.stage.name, differing, facts)
    reasons: tuple[Reason, ...] = ()
    if by_hand:
        reasons = tuple(Reason('output', path, detail='changed by hand') for path in by_hand)
    elif old := held_state(manifest, facts.history(draft.stage.name), facts.held):
        reasons = reasons_for(manifest, old, facts)
    if not reasons:
        reasons = tuple(
            Reason('output', path, detail='absent' if held is None else 'of an earlier state') for path, held in differing
        )
    return Step(
        draft.stage.name,
        Verdict.RESTORE,
        reasons,
        (),
        manifest,
        outputs,
        'pin' if source == 'pin' else 'result',
        origin,
        notes=notes,
        changed_by_hand=by_hand,
        estimate=facts.estimate(draft.stage.name),
    )


def _changed_by_hand(stage: str, held: Iterable[tuple[str, ObjectRef | None]], facts: Facts) -> tuple[str, ...]:
    """Paths whose content no recorded state of the stage ever had."""
    there = [(path, ref) for path, ref in held if ref is not None]
    if not there:
        return ()
    recorded = {item for pin in facts.history(stage) for item in pin.outputs}
    return tuple(path for path, ref in there if (path, ref) not in recorded)


def _same_bytes(draft: Draft, manifest: Manifest, facts: Facts) -> Iterable[Computed]:
    """Results whose key differs only in code that has, byte for byte, not changed.

    That happens when the interpreter that read it then, or now, could not parse it."""
    for old in facts.history(draft.stage.name):
        changes = manifest.changes_since(old.manifest)
        if not changes or any(change.entry.kind != 'code' or None in (change.before, change.after) for change in changes):
            continue
        for result in facts.results(old.manifest.digest):
            if all(result.code.get(c.entry.name) == draft.code.get(c.entry.name, ...) for c in changes):
                yield result


def _to_run(draft: Draft, manifest: Manifest, wished: tuple[Reason, ...], facts: Facts) -> Step:
    stage = draft.stage
    reasons = wished
    history: tuple[Known, ...] = facts.history(stage.name)
    if not reasons:
        old = nearest(manifest, history, facts.held)
        reasons = (NEVER_RUN,) if old is None else reasons_for(manifest, old, facts)
        if old is not None and not reasons:
            gone = [path for path, ref in old.outputs if facts.held(path) != ref]
            reasons = tuple(Reason('output', path, detail='its recorded content is not in this cache') for path in gone)
    return Step(stage.name, Verdict.RUN, reasons, (), manifest, notes=draft.unknown, estimate=facts.estimate(stage.name))
