"""States of the project that people name: the workspace, a git revision, a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlops_cli import git
from mlops_cli.core.classes import replace
from mlops_cli.core.clock import ID_LENGTH
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.manifest import Manifest
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.paths import ancestors
from mlops_cli.core.patterns import pattern
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.units import show_size
from mlops_cli.experiments.model import RECORDED, UNKNOWN
from mlops_cli.experiments.model import WORKSPACE as WORKSPACE
from mlops_cli.experiments.model import Metrics as Metrics
from mlops_cli.experiments.model import Point as Point
from mlops_cli.experiments.model import StagePoint as StagePoint
from mlops_cli.experiments.revisions import revision
from mlops_cli.plan.facts import Wishes
from mlops_cli.plan.model import UNKNOWN as UNKNOWN_TIME
from mlops_cli.plan.model import Step, Verdict
from mlops_cli.plan.planner import make_plan
from mlops_cli.records import metrics
from mlops_cli.records.files import read_small
from mlops_cli.records.runs import Run, StageRun, is_last
from mlops_cli.run.late_metrics import with_late_metrics
from mlops_cli.run.outlook import facts_of
from mlops_cli.run.workbench import Workbench
from mlops_cli.store import manifests
from mlops_cli.store.objects import Damaged, MissingObject
from mlops_cli.store.results import ResultEntry, outputs_digest
from mlops_cli.store.tree import find

_HEX = pattern(r'[0-9a-f]{7,64}')


def find_point(bench: Workbench, word: str) -> Point:
    """``workspace``; a run, or ``last`` and ``last~1``; a git revision; an unambiguous beginning of a run's id: the first
    that fits.

    Raises UserError with the near name and what was tried."""
    if word == WORKSPACE:
        return workspace_point(bench)
    exact = _exact_run(bench, word)
    if exact is not None:
        return run_point(bench, exact)
    try:
        commit = git.resolve(bench.root.path, word)
    except UserError as error:
        return run_point(bench, _begun(bench, word, error))
    return revision_point(bench, word, commit)


def _exact_run(bench: Workbench, word: str) -> Run | None:
    """Only ``last`` and a word as long as an id are looked for: listing a long history takes a while."""
    if is_last(word):
        return bench.runs.find(word)
    if len(word.rpartition('-')[2]) != ID_LENGTH:
        return None
    ids = {run_id for run_id in bench.runs.ids() if word in (run_id, run_id.partition('-')[2])}
    return bench.runs.get(ids.pop()) if len(ids) == 1 else None


def _begun(bench: Workbench, word: str, no_revision: UserError) -> Run:
    """The run whose id begins so, once ``word`` turned out to be no revision."""
    shorts = [run_id.partition('-')[2] for run_id in bench.runs.ids()]
    if word and not word.startswith('-') and any(short.startswith(word.lower()) for short in shorts):
        return bench.runs.find(word)
    near = did_you_mean(word.lower(), [WORKSPACE, *shorts[:200]])
    near = f'{near[:-1]}?  ' if near.startswith('did you mean') else ''
    raise UserError(
        f'{word[:80]!r} is no run and no revision ({no_revision.message})',
        hint=f'{near}name {WORKSPACE}, a run (mlops runs list), or a branch, tag or commit',
    ) from no_revision


def workspace_point(bench: Workbench) -> Point:
    """The present state: what is recorded for it, with the numbers of the metrics files that the workspace holds now; of
    those it lacks, the recorded ones.  Raises UserError."""
    stages = {}
    for step, point in present(bench):
        held, refused = _held_metrics(bench, step.stage, point)
        stages[step.stage] = StagePoint(**{**vars(point), 'metrics': held, 'refused': refused})
    head = git.head(bench.root.path)
    return Point(WORKSPACE, 'workspace', stages, bench.pipeline, commit=head.commit if head else '')


def _held_metrics(bench: Workbench, stage: str, point: StagePoint) -> tuple[Metrics, dict[str, str]]:
    """The numbers, and of each file without any why it was refused."""
    found: list[tuple[str, str, float | int]] = []
    refused: dict[str, str] = {}
    for output in bench.pipeline.stages[stage].read_as('metric'):
        held = bench.workspace.ref(output.path, ignore=False)
        known = [metric for metric in point.metrics if metric[0] == output.path]
        if held is None or (known and held == point.outputs.get(output.path)):
            found += known
        elif held.kind != 'tree' and held.size <= metrics.LIMIT:
            try:
                numbers = metrics.scalars(read_small(bench.root, output.path, metrics.LIMIT), output.path)
            except UserError as error:  # it is being written, or holds no numbers: `metrics show` tells of that
                line = f'line {error.where.line}: ' if error.where and error.where.line else ''
                refused[output.path] = line + error.message.removeprefix('cannot be read: ')
                continue
            found += [(output.path, name, value) for name, value in numbers]
    return tuple(sorted(found)), refused


def revision_point(bench: Workbench, word: str, commit: str) -> Point:
    """What a commit is recorded to lead to.  Raises UserError where its pipeline cannot be read."""
    found = revision(bench, commit, present)
    label = f'{commit[:7]}' if _HEX.fullmatch(word) and commit.startswith(word) else f'{word} ({commit[:7]})'
    return Point(label, 'revision', found.stages, found.pipeline, commit=commit)


def present(bench: Workbench) -> Iterator[tuple[Step, StagePoint]]:
    """Each stage of a project as it is now.  Why a stage is not fresh is not asked: no earlier state is read.

    What is recorded counts whether or not this cache holds it: a fresh clone knows the numbers of its pins.  Only where a key
    cannot be told without looking into a stored folder, what is not held is unknown."""
    facts = replace(facts_of(bench), history=lambda _stage: (), estimate=lambda _stage: UNKNOWN_TIME)
    name, drafts, order, edges = bench.pipeline.name, bench.drafts, bench.order, bench.edges
    try:
        plan = make_plan(name, drafts, order, edges, replace(facts, stored=lambda _refs: True), Wishes())
    except (MissingObject, Damaged):
        plan = make_plan(name, drafts, order, edges, facts, Wishes())
    for step in plan.steps:
        yield step, planned(bench, step)


def planned(bench: Workbench, step: Step) -> StagePoint:
    """A step of a plan as part of a state: recorded if its outputs are known, whether or not they are in place."""
    key = step.manifest.digest if step.manifest is not None else None
    if key is None and step.verdict is Verdict.FRESH:  # a frozen stage: what is there counts
        return StagePoint(step.stage, RECORDED, outputs=step.made)
    if key is not None and step.verdict is Verdict.RUN:  # it is always to run, whatever is recorded
        return _latest(bench, StagePoint(step.stage, UNKNOWN, key, step.manifest))
    if key is None or step.verdict not in (Verdict.FRESH, Verdict.RESTORE):
        partial = Manifest.of(bench.drafts[step.stage].entries) if key is None else None
        return StagePoint(step.stage, UNKNOWN, key, step.manifest, partial=partial)
    outs8 = outputs_digest(step.outputs).hex[:8]
    return recorded(bench, StagePoint(step.stage, RECORDED, key, step.manifest, step.made), outs8)


def _latest(bench: Workbench, point: StagePoint) -> StagePoint:
    """With the result that the workspace holds, else the last one of this key; as it is where there is none."""
    assert point.key is not None
    results = {pin.outs8: dict(pin.outputs) for pin in bench.pins.of_key(point.key)}
    entries = sorted((e for e in bench.results.lookup(point.key) if not e.suspect), key=lambda entry: entry.created)
    results |= {entry.entry8: dict(entry.outputs) for entry in entries}
    held = [
        outs8
        for outs8, outputs in results.items()
        if all(bench.workspace.ref(path, ignore=False) == ref for path, ref in outputs.items())
    ]
    chosen = (held or list(results))[-1:]
    return recorded(bench, replace(point, state=RECORDED), chosen[0]) if chosen else point


def recorded(bench: Workbench, point: StagePoint, outs8: str) -> StagePoint:
    """The same with what pin and result tell of these outputs."""
    assert point.key is not None
    pin = next((pin for pin in bench.pins.of_key(point.key) if pin.outs8 == outs8), None)
    entry = next((e for e in bench.results.lookup(point.key) if e.entry8 == outs8 and not e.suspect), None)
    found = dict(vars(point))
    if pin is not None:
        found |= {'manifest': pin.manifest, 'outputs': dict(pin.outputs), 'metrics': tuple(sorted(pin.metrics))}
    if entry is not None:
        found |= _of_result(bench, entry, found)
    one = StagePoint(**found)
    return replace(one, metrics=with_late_metrics(bench, one.stage, one.outputs, one.metrics))


def _of_result(bench: Workbench, entry: ResultEntry, found: Mapping[str, object]) -> dict[str, object]:
    outputs = dict(entry.outputs)
    return {
        'manifest': found['manifest'] or manifests.found(entry.manifest, bench.store.read),
        'outputs': found['outputs'] or outputs,
        'metrics': found['metrics'] or metrics.recorded(entry.metrics, outputs),
        'seconds': entry.seconds if found['seconds'] is None else found['seconds'],
        'usage': found['usage'] or {name: value for name, value in entry.usage.items() if isinstance(value, int | float)},
        'environment': dict(entry.environment),
        'sources': entry.sources,
        'origin': dict(entry.origin),
    }


def run_point(bench: Workbench, run: Run) -> Point:
    """What a run made and used, as far as its record, the pins and this cache tell."""
    stages = {one.name: _of_run(bench, run, one) for one in run.stages}
    for name, key, outs8 in run.fresh_stages:
        stages.setdefault(name, recorded(bench, StagePoint(name, 'fresh', key), outs8))
    return Point(f'run {run.short}', 'run', stages, bench.pipeline, run, run.commit, run.fresh - len(run.fresh_stages))


def _of_run(bench: Workbench, run: Run, one: StageRun) -> StagePoint:
    numbers = tuple(sorted((file, name, number) for stage, file, name, number in run.metrics if stage == one.name))
    seconds = one.seconds if one.state == 'done' else None
    point = StagePoint(one.name, one.state, one.key, metrics=numbers, seconds=seconds, usage=dict(one.usage))
    return recorded(bench, point, one.outs8) if one.key is not None and one.outs8 else point


def read_output(bench: Workbench, point: Point, path: str, limit: int) -> bytes | None:
    """The bytes of a file that is, or lies in, an output at that point; None where it is not here, or is no file.

    Raises UserError where it is larger than ``limit`` bytes; OSError."""
    if point.kind == 'workspace':
        return _of_workspace(bench, path, limit)
    ref = output_ref(bench, point, path)
    if ref is None or ref.kind == 'tree':
        return None
    if ref.size > limit:
        raise UserError(f'{path} has {show_size(ref.size)}, more than the {show_size(limit)} that are read of such a file')
    data = read_object(bench, ref.digest)
    if data is None and bench.workspace.ref(path, ignore=False) == ref:
        return _of_workspace(bench, path, limit)
    return data


def output_ref(bench: Workbench, point: Point, path: str) -> ObjectRef | None:
    """What an output, or something in one, is at that point; None where that is not known here."""
    for stage in point.stages.values():
        for candidate in (path, *ancestors(path)):
            if candidate in stage.outputs:
                try:
                    return find(stage.outputs[candidate], path[len(candidate) + 1 :], bench.store.read)
                except (MissingObject, Damaged):
                    return None
    return None


def read_object(bench: Workbench, digest: Digest) -> bytes | None:
    """An object's bytes; None where this cache does not have them intact."""
    try:
        return bench.store.read(digest)
    except (MissingObject, Damaged):
        return None


def _of_workspace(bench: Workbench, path: str, limit: int) -> bytes | None:
    if not any(part in bench.describer.makers for part in (path, *ancestors(path))):
        return None
    try:
        return read_small(bench.root, path, limit)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UserError as error:
        if error.exit_code == ExitCode.REFUSED:  # a folder, a link
            return None
        raise
