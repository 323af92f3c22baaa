"""What is known of a key: which of its recorded results counts, what the others are, and who said so.  Touches nothing.

Of several results of one key, one that somebody accepted counts (the last of them); else the one that the workspace holds;
else one that is pinned in git, the one with the smallest digest; else one made under the same environment; else the earliest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlops_cli.core.classes import dataclass, replace
from mlops_cli.core.manifest import Manifest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint.stage import Draft
from mlops_cli.pipeline.spec import Stage
from mlops_cli.plan.facts import Acceptance, Computed, Facts, Wishes
from mlops_cli.plan.model import Blessing, Metrics, Reason, Rival, Step, Surrounding, Verdict
from mlops_cli.plan.reasons import held_state, reasons_for
from mlops_cli.plan.sentences import run_name
from mlops_cli.store.results import outputs_digest

Outputs = tuple[tuple[str, ObjectRef], ...]
NAMES = {'python': 'Python', 'platform': 'platform', 'gpu_driver': 'GPU driver'}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One recorded result of a key.  ``outs8``: tells it from the others."""

    outputs: Outputs
    metrics: Metrics
    pinned: bool
    computed: Computed | None = None

    @property
    def outs8(self) -> str:
        return outputs_digest(self.outputs).hex[:8]


def known(draft: Draft, manifest: Manifest, facts: Facts, wishes: Wishes) -> Step | None:
    """Fresh or restore, if the key is known and its outputs can be had."""
    stage, key = draft.stage, manifest.digest
    declared = {output.path for output in stage.outputs}
    pins = [pin for pin in facts.pins(key) if {path for path, _ in pin.outputs} == declared]
    accepted = facts.accepted(key)
    if len(pins) == 1 and not accepted and _is_held(pins[0].outputs, facts):  # as of nearly all stages
        return Step(stage.name, Verdict.FRESH, (), (), manifest, pins[0].outputs, 'pin', notes=draft.unknown)
    candidates = [Candidate(pin.outputs, pin.metrics, True) for pin in pins]
    acceptance, chosen = _chosen(accepted, candidates)
    held = next((one for one in _first(chosen, candidates) if _is_held(one.outputs, facts)), None)
    looking = looks_up(stage, wishes)
    if held is not None and (chosen in (None, held) or not looking or not _stored(_outputs(chosen), facts)):
        step = Step(stage.name, Verdict.FRESH, (), (), manifest, held.outputs, 'pin', notes=draft.unknown)
        if chosen not in (None, held) and looking:
            step = replace(step, notes=(*step.notes, 'the result that was accepted is not in this cache; another one is here'))
        return _told(step, held, candidates, acceptance if chosen == held else None, facts, draft)
    if not looking:
        return None
    candidates = _with_results(candidates, facts.results(key), declared)
    acceptance, chosen = _chosen(accepted, candidates)
    for one in _first(chosen, _in_order(candidates, draft, facts)):
        if _stored(one.outputs, facts):
            step = _restore(draft, manifest, one, facts, wishes, accepted=one == chosen)
            return _told(step, one, candidates, acceptance if one == chosen else None, facts, draft)
    for result in _same_bytes(draft, manifest, facts):
        if {path for path, _ in result.outputs} == declared and _stored(result.outputs, facts):
            return _restore(draft, manifest, Candidate(result.outputs, result.metrics, False, result), facts, wishes)
    return None


def looks_up(stage: Stage, wishes: Wishes) -> bool:
    """Whether results are looked up for the stage: what it persists is nobody else's to give."""
    return wishes.lookup and not any(output.persist for output in stage.outputs)


def _outputs(one: Candidate | None) -> Outputs:
    return one.outputs if one is not None else ()


def _is_held(outputs: Outputs, facts: Facts) -> bool:
    return all(facts.held(path) == ref for path, ref in outputs)


def _stored(outputs: Outputs, facts: Facts) -> bool:
    return facts.stored(tuple(ref for _, ref in outputs))


def _chosen(acceptances: Sequence[Acceptance], candidates: Iterable[Candidate]) -> tuple[Acceptance | None, Candidate | None]:
    """The last acceptance, and the result that it is about; nothing where that is recorded nowhere."""
    if not acceptances:
        return None, None
    last = acceptances[-1]
    return last, next((one for one in candidates if outputs_digest(one.outputs) == last.outputs), None)


def _first(chosen: Candidate | None, candidates: Iterable[Candidate]) -> list[Candidate]:
    return [*([chosen] if chosen is not None else []), *(one for one in candidates if one != chosen)]


def _with_results(candidates: Sequence[Candidate], results: Sequence[Computed], declared: set[str]) -> list[Candidate]:
    """The pinned ones with what the store knows of them, then those that only the store knows."""
    by_outputs = {result.outputs: result for result in results}
    found = [replace(one, computed=by_outputs.pop(one.outputs, None)) for one in candidates]
    return found + [
        Candidate(result.outputs, result.metrics, False, result)
        for result in by_outputs.values()
        if {path for path, _ in result.outputs} == declared
    ]


def _in_order(candidates: Sequence[Candidate], draft: Draft, facts: Facts) -> list[Candidate]:
    """Pinned ones first, then those made under the environment that is here, then the earliest."""
    if sum(not one.pinned for one in candidates) < 2:
        return list(candidates)  # the environment decides nothing, so it is not asked for
    here = facts.surroundings(draft.stage.name)
    return sorted(candidates, key=lambda one: (not one.pinned, not one.pinned and bool(_differences(one, here))))


def _differences(one: Candidate, here: Mapping[str, Any]) -> tuple[Surrounding, ...]:
    return differences(one.computed.environment, here) if one.computed is not None else ()


def differences(then: Mapping[str, Any], here: Mapping[str, Any]) -> tuple[Surrounding, ...]:
    """How an environment differs from the one here, both as results-v1 has them; nothing where one is unknown."""
    if not then or not here:
        return ()
    found = [
        Surrounding(shown, str(then[name]), _text(here.get(name)))
        for name, shown in NAMES.items()
        if then.get(name) and then[name] != here.get(name)
    ]
    before, after = (each.get('packages') for each in (then, here))
    if isinstance(before, dict) and isinstance(after, dict):
        found += [
            Surrounding(name, _text(before.get(name)), _text(after.get(name)))
            for name in sorted(before.keys() | after.keys(), key=str)
            if before.get(name) != after.get(name)
        ]
    return tuple(found)


def _text(value: object) -> str | None:
    return str(value) if value else None


def _told(
    step: Step, one: Candidate, candidates: Sequence[Candidate], acceptance: Acceptance | None, facts: Facts, draft: Draft
) -> Step:
    """The step, with what else is recorded for its key and who accepted it."""
    others = [other for other in candidates if other.outputs != one.outputs]
    if acceptance is not None:
        blessing = Blessing(
            acceptance.who,
            acceptance.host,
            acceptance.when,
            acceptance.reason,
            acceptance.kind,
            acceptance.run,
            len(others) + 1,
            acceptance.differed,
        )
        return replace(step, accepted=blessing)
    if not others or any(output.persist for output in draft.stage.outputs):
        return step
    assert step.manifest is not None
    key = step.manifest.digest
    known_runs = {result.outputs: result.run for result in facts.results(key)}

    def maker(outputs: Outputs, outs8: str) -> str:
        return known_runs.get(outputs) or facts.maker(key, outs8)

    return replace(
        step,
        run=step.run or maker(one.outputs, one.outs8),
        rivals=tuple(rival(one, other, maker(other.outputs, other.outs8), draft.stage) for other in others),
    )


def rival(one: Candidate, other: Candidate, run: str = '', stage: Stage | None = None) -> Rival:
    """How another result differs from one.  ``stage``: says which differences of metrics do not matter."""
    mine, theirs = dict(one.outputs), dict(other.outputs)
    here = {(file, name): number for file, name, number in one.metrics}
    there = {(file, name): number for file, name, number in other.metrics}
    differs = tuple(path for path in sorted(mine.keys() | theirs.keys()) if mine.get(path) != theirs.get(path))
    metrics = tuple(
        (file, name, here.get((file, name)), there.get((file, name)))
        for file, name in sorted(here.keys() | there.keys())
        if here.get((file, name)) != there.get((file, name))
    )
    measured = {output.path: output.metric for output in stage.outputs if output.role == 'metric'} if stage else {}
    tolerated = bool(metrics) and all(path in measured for path in differs)
    for file, name, before, after in metrics:
        metric = measured.get(file)
        limit = metric.tolerance.get(name) if metric else None
        tolerated &= limit is not None and None not in (before, after) and abs((before or 0) - (after or 0)) <= limit
    return Rival(other.outs8, run, differs, metrics, tolerated)


def _restore(draft: Draft, manifest: Manifest, one: Candidate, facts: Facts, wishes: Wishes, *, accepted: bool = False) -> Step:
    name = draft.stage.name
    differing = [(path, facts.held(path)) for path, ref in one.outputs if facts.held(path) != ref] if not wishes.trial else []
    recorded = {item for pin in facts.history(name) for item in pin.outputs}
    if differing and (placed := facts.placed(name)):
        recorded.update(placed.outputs)
    by_hand = tuple(path for path, ref in differing if ref is not None and (path, ref) not in recorded)
    reasons: tuple[Reason, ...] = ()
    if by_hand:
        reasons = tuple(Reason('output', path, detail='changed by hand') for path in by_hand)
    elif old := held_state(manifest, facts.history(name), facts.held):
        reasons = reasons_for(manifest, old, facts)
    if not reasons:
        reasons = tuple(
            Reason('output', path, detail='absent' if held is None else _other(name, path, held, manifest, facts, accepted))
            for path, held in differing
        )
    computed = one.computed
    return Step(
        name,
        Verdict.RESTORE,
        reasons,
        (),
        manifest,
        one.outputs,
        'pin' if one.pinned else 'result',
        computed.origin if computed else '',
        notes=draft.unknown,
        changed_by_hand=by_hand,
        estimate=facts.estimate(name),
        run=computed.run if computed else '',
        surroundings=_differences(one, facts.surroundings(name)) if computed and computed.environment else (),
    )


def _other(name: str, path: str, held: ObjectRef, manifest: Manifest, facts: Facts, accepted: bool) -> str:
    """What stands at an output instead of the result that counts."""
    same_key = any((path, held) in pin.outputs for pin in facts.pins(manifest.digest))
    if same_key:
        return 'not the result that was accepted' if accepted else 'of an earlier state'
    placed = facts.placed(name)
    if placed is None or (path, held) not in placed.outputs:
        return 'of an earlier state'
    return f'of another state (made by {run_name(placed.run)})' if placed.run else 'of another state'


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
