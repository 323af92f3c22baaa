"""Compares what was made anew with what was recorded, stage by stage, and says what differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import UserError
from mlops_cli.core.manifest import Manifest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.experiments.model import UNKNOWN, StagePoint
from mlops_cli.experiments.reproduce.model import Changed, Judged, Judgement, Number, Verdict, folded_environment
from mlops_cli.experiments.trees import counts
from mlops_cli.fingerprint.environment import environment_of
from mlops_cli.pipeline.spec import Output, Stage
from mlops_cli.run.report import Report
from mlops_cli.run.settle import scalars
from mlops_cli.run.states import State
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.objects import Damaged, MissingObject

READ = 64 << 20  # bytes of an output that are compared byte for byte
LINES = 4 << 20  # and in which lines are counted
UNDONE: Mapping[State, Judgement] = {
    State.FAILED: 'failed',
    State.SKIPPED: 'skipped',
    State.INTERRUPTED: 'interrupted',
}


def judge(
    bench: Workbench, anew: Workbench, stages: Sequence[str], expected: Mapping[str, StagePoint], report: Report
) -> Verdict:
    """``bench``: whose cache may hold what was recorded; ``anew``: in which it was run.  ``stages``: topological."""
    found: dict[str, Judged] = {}
    for name in stages:
        found[name] = _stage(bench, anew, name, expected.get(name), report, found)
    return Verdict(tuple(found.values()))


def _stage(
    bench: Workbench,
    anew: Workbench,
    name: str,
    recorded: StagePoint | None,
    report: Report,
    before: Mapping[str, Judged],
) -> Judged:
    stage, settled = anew.pipeline.stages[name], report.settled.get(name)
    environment = _environment(anew, name, recorded)
    if settled is None or settled.state in UNDONE:
        event = settled.event if settled is not None else None
        verdict = UNDONE[settled.state] if settled is not None else 'interrupted'
        told = (event.message, event.tail) if event is not None else ('', ())
        return Judged(name, verdict, environment=environment, message=told[0], tail=tuple(told[1]))
    if recorded is None or recorded.state == UNKNOWN or (stage.outputs and not recorded.outputs):
        return Judged(name, 'unrecorded', len(settled.outputs), seconds=settled.seconds)
    seconds, took = settled.seconds, recorded.seconds
    made = dict(settled.outputs)
    differing = [path for path in sorted({*recorded.outputs, *made}) if recorded.outputs.get(path) != made.get(path)]
    if not differing:
        return Judged(name, 'identical', len(made), environment=environment, seconds=seconds, recorded_seconds=took)
    numbers = tuple(_numbers(anew, stage, recorded, made))
    step = report.steps.get(name) or report.plan.by_name[name]
    inputs = _inputs(recorded, step.manifest)
    metrics = {output.path for output in stage.outputs if output.role == 'metric'}
    within = metrics.issuperset(differing) and {one.file for one in numbers} == {*differing} and all(n.within for n in numbers)
    verdict = 'within' if within else _why(inputs, anew.edges.get(name, ()), before)
    changed = tuple(_changed(bench, anew, path, recorded.outputs.get(path), made.get(path)) for path in differing)
    return Judged(name, verdict, len(made), changed, numbers, environment, inputs, seconds, took)


def _why(inputs: Sequence[str], earlier: Sequence[str], before: Mapping[str, Judged]) -> Judgement:
    if not inputs:
        return 'different'
    follows = any(name in before and before[name].verdict not in ('identical', 'unrecorded') for name in earlier)
    return 'follows' if follows else 'inputs'


def _inputs(recorded: StagePoint, manifest: Manifest | None) -> tuple[str, ...]:
    """The names of what the two keys were made of that differs; empty where the keys are equal."""
    if manifest is None or recorded.key is None or manifest.digest == recorded.key:
        return ()
    if recorded.manifest is None:
        return ('its inputs',)
    return tuple(dict.fromkeys(one.entry.name for one in manifest.changes_since(recorded.manifest))) or ('its inputs',)


def _numbers(
    anew: Workbench, stage: Stage, recorded: StagePoint, made: Mapping[str, ObjectRef]
) -> Iterator[Number]:
    """Of each file of metrics that differs: the numbers that do, and if none does, nothing."""
    for output in stage.outputs:
        if output.role != 'metric' or recorded.outputs.get(output.path) == made.get(output.path):
            continue
        one = {name: value for file, name, value in recorded.metrics if file == output.path}
        two = dict(_scalars(anew, output, made.get(output.path)))
        tolerance = output.metric.tolerance if output.metric is not None else {}
        for name in sorted(one.keys() | two.keys()):
            if one.get(name) != two.get(name):
                yield Number(output.path, name, one.get(name), two.get(name), tolerance.get(name, 0.0))


def _scalars(anew: Workbench, output: Output, ref: ObjectRef | None) -> Sequence[tuple[str, float | int]]:
    if ref is None or ref.kind == 'tree':
        return ()
    try:
        return scalars(anew.store, output.path, ref)
    except UserError:
        return ()


def _environment(anew: Workbench, name: str, recorded: StagePoint | None) -> tuple[tuple[str, Any, Any], ...] | None:
    if recorded is None or not recorded.environment:
        return None
    here = environment_of(anew.drafts[name].found, anew.environ)
    if 'executor' in recorded.environment:
        return (('executor', recorded.environment['executor'], None),)
    return tuple(folded_environment(dict(recorded.environment), here))


def _changed(bench: Workbench, anew: Workbench, path: str, one: ObjectRef | None, two: ObjectRef | None) -> Changed:
    if one is None or two is None or 'tree' in (one.kind, two.kind):
        inside = None
        if one is not None and two is not None and one.kind == two.kind:
            inside = counts(one.digest, two.digest, lambda digest: _either(bench, anew, digest))
        return Changed(path, one, two, inside=inside)
    after = _bytes(anew, two)
    names = after is not None and anew.root.path.encode() in after
    before = _bytes(bench, one)
    if before is None or after is None:
        return Changed(path, one, two, names_folder=names)
    at = _first_difference(before, after)
    line = before.count(b'\n', 0, at) + 1 if at < LINES and b'\0' not in before[:LINES] else None
    return Changed(path, one, two, at, line, names_folder=names)


def _either(bench: Workbench, anew: Workbench, digest: Digest) -> bytes:
    """Raises MissingObject, Damaged."""
    try:
        return anew.store.read(digest)
    except (MissingObject, Damaged):
        return bench.store.read(digest)


def _bytes(bench: Workbench, ref: ObjectRef) -> bytes | None:
    if ref.size <= READ:
        with suppress(MissingObject, Damaged):
            return bench.store.read(ref.digest)
    return None


def _first_difference(one: bytes, two: bytes) -> int:
    """Halves what is left: comparing slices is quick."""
    low, high = 0, min(len(one), len(two))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == two[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
