"""Plans, events and reports made by hand, for screens that need nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from mlops_cli.core.clock import from_iso
from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import Where
from mlops_cli.core.events import StageEnded
from mlops_cli.core.manifest import Manifest, value_entry
from mlops_cli.core.refs import ObjectRef
from mlops_cli.experiments.points import Point, StagePoint
from mlops_cli.experiments.told import StageTold, Told
from mlops_cli.git.commits import Described
from mlops_cli.pipeline.spec import Command, Metric, Output, Pipeline, Stage
from mlops_cli.plan.model import Estimate, Plan, Reason, Step, Verdict
from mlops_cli.records.found import Row
from mlops_cli.records.kept import Keep
from mlops_cli.records.runs import Run, StageRun
from mlops_cli.run.invoke import Report
from mlops_cli.run.report import Settled
from mlops_cli.run.states import State

RUN = '20261120T101522Z-7k2m9q4c'
TRAIN = ('train@logistic-1', 'train@logistic-2', 'train@forest-1', 'train@forest-2')
NAMES = ('prepare', *TRAIN, 'select', 'evaluate', 'validate')
EDGES = {
    'prepare': (),
    **dict.fromkeys(TRAIN, ('prepare',)),
    'select': TRAIN,
    'evaluate': ('select',),
    'validate': ('select',),
}
NOW = 1795170000.0
DEPTH = Reason('param', 'train.depth', '8', '12')
FIT = Reason('code', 'src/digits/model.py', 'aaaa', 'bbbb', 'function fit changed')


def ref(text: str, size: int | None = None, kind: str = 'file') -> ObjectRef:
    return ObjectRef(digest_of(text.encode()), len(text) if size is None else size, kind)  # type: ignore[arg-type]


def stage(name: str, command: str = 'true', outs: Sequence[str] | None = None, metric: str = '') -> Stage:
    outputs = [Output(path) for path in ([f'{name}.out'] if outs is None else outs)]
    if metric:
        outputs.append(Output(metric, 'metric', metric=Metric('accuracy', {'accuracy': 'max'})))
    where = Where('pipeline.yaml', 14, 5)
    return Stage(
        name,
        name.partition('@')[0],
        Command('shell', (command,)),
        outputs=tuple(outputs),
        where=Where('pipeline.yaml', 12, 3),
        places={'cmd': where},
    )


def digits() -> Pipeline:
    stages = [
        stage('prepare', 'python src/prepare.py', ['data/prepared']),
        *(
            stage(
                name,
                f'python -m digits.train --model {name[6:-2]} --seed {name[-1]}',
                [f'models/{name[6:]}.skops'],
                f'metrics/{name[6:]}.json',
            )
            for name in TRAIN
        ),
        stage('select', 'python -m digits.select', ['best.skops'], 'best.json'),
        stage('evaluate', 'python -m digits.evaluate', ['plots/confusion.svg']),
        stage('validate', 'mlops gate "best.json:accuracy >= 0.95"', []),
    ]
    return Pipeline('digits', {one.name: one for one in stages}, ('pipeline.yaml', 'params.yaml'))


GROUPS = digits().groups


def took(low: float, high: float | None = None) -> Estimate:
    return Estimate(low, high if high is not None else low, high if high is not None else low, 'history')


def step(name: str, verdict: Verdict | str, *reasons: Reason, **more: Any) -> Step:
    verdict = Verdict(verdict)
    if verdict in (Verdict.FRESH, Verdict.RESTORE, Verdict.RUN):
        more.setdefault('manifest', Manifest.of([value_entry('command', 'cmd', name)]))
    return Step(name, verdict, tuple(reasons), **more)


def plan(*steps: Step, edges: Mapping[str, tuple[str, ...]] = EDGES, pipeline: str = 'digits') -> Plan:
    return Plan(pipeline, steps, {one.stage: edges.get(one.stage, ()) for one in steps})


def mixed_plan() -> Plan:
    """Something of everything."""
    return plan(
        step('prepare', 'fresh'),
        step('train@logistic-1', 'restore', DEPTH, origin='run 6hx2aa8k (ben, gpu1)', estimate=took(2, 3)),
        step('train@logistic-2', 'run', DEPTH, FIT, estimate=took(340, 420)),
        step('train@forest-1', 'run', DEPTH, FIT, estimate=took(360, 380)),
        step('train@forest-2', 'run', DEPTH, FIT, estimate=took(350, 360)),
        step('select', 'maybe', waits_for=TRAIN, estimate=took(0.9, 1.1)),
        step('evaluate', 'maybe', waits_for=('select',), estimate=took(1.3)),
        step(
            'validate',
            'maybe',
            Reason('command', '', 'mlops gate "best.json:accuracy >= 0.95"', 'mlops gate "best.json:accuracy >= 0.97"'),
            waits_for=('select',),
            certain=True,
            estimate=took(0.02),
        ),
    )


def blocked_plan() -> Plan:
    missing = Reason('data', 'data/digits.csv', detail='missing, and no stage makes it')
    return plan(
        step('prepare', 'blocked', missing, notes=('scripts/prepare.sh calls python, which is not followed',)),
        *(step(name, 'blocked', waits_for=('prepare',)) for name in TRAIN),
        step('select', 'blocked', waits_for=TRAIN),
    )


def ended(name: str, state: State | str = State.DONE, seconds: float = 1.8, **more: Any) -> StageEnded:
    return StageEnded(name, str(State(state)), seconds, **more)


def settled(*events: StageEnded, fresh: Sequence[str] = (), skipped: Sequence[str] = ()) -> dict[str, Settled]:
    found = {name: Settled(name, State.FRESH, 0.0) for name in fresh}
    found |= {one.stage: Settled(one.stage, State(one.state), one.seconds, one.outputs, one) for one in events}
    return found | {name: Settled(name, State.SKIPPED, 0.0) for name in skipped}


def run_record(ended_as: str = 'done', **more: Any) -> Run:
    more.setdefault('stages', (StageRun('prepare', 'done', None, '', 1.8, 0, {'cpu_seconds': 1.2}),))
    return Run(RUN, '2026-11-20T10:15:22Z', 9.4, ended_as, **{'who': 'ada', 'host': 'gpu1', 'branch': 'main', **more})


def report(of: Plan, settled_stages: Mapping[str, Settled], ended_as: str = 'done', **more: Any) -> Report:
    more.setdefault('run', run_record(ended_as))
    more.setdefault('steps', of.by_name)
    return Report(of, settled_stages, 9.4, ended=ended_as, **more)


class Objects:
    """A store of what was put into it."""

    def __init__(self) -> None:
        self.found: dict[Any, bytes] = {}

    def read(self, digest: Any) -> bytes:
        return self.found[digest]


def bench(pipeline: Pipeline | None = None, **more: Any) -> Any:
    """As much of a workbench as a screen asks for."""
    parts: dict[str, Any] = {
        'pipeline': pipeline or digits(),
        'workspace': SimpleNamespace(ref=lambda path, ignore=True: None),
        'pins': SimpleNamespace(of_stage=lambda name: ()),
        'runs': SimpleNamespace(ids=lambda: iter((RUN,)), last_of_workspace=lambda _held: RUN),
        'results': SimpleNamespace(lookup=lambda key: ()),
        'drafts': {},
        'store': Objects(),
        'root': SimpleNamespace(path='/project', full=lambda path: f'/nowhere/{path}'),
    }
    return SimpleNamespace(**{**parts, **more})


def listed(**more: Any) -> Row:
    """A run as the tables know it."""
    counts = {'done': 1, 'restored': 1, 'failed': 0, 'skipped': 0, 'interrupted': 0}
    usual: dict[str, Any] = {
        'id': RUN, 'started': '2026-11-20T10:15:22Z', 'ended': 'done', 'seconds': 9.4, 'who': 'ada', 'host': 'gpu1',
        'branch': 'main', 'commit': 'c' * 40, 'fresh': 2, 'saved_seconds': 60.0, 'cpu_seconds': 12.5, 'counts': counts,
    }  # fmt: skip
    found = {**usual, **more}
    return Row(began=from_iso(found.pop('started')), **found)


def told(run: Run, text: str = '', **more: Any) -> Told:
    """What is known of a run; ``text``: a name that each of its stages' outputs, metrics and reasons has."""
    stages = []
    for one in run.stages:
        good = one.state in ('done', 'restored')
        outputs = {text or f'{one.name}.out': ref(one.name, 310_000)} if good else {}
        numbers = ((text or 'metrics.json', text or 'accuracy', 0.95),) if good or text else ()
        point = StagePoint(one.name, one.state, one.key, None, outputs, numbers)
        why = (Reason('param', text or 'train.depth', '8', text or '12'), FIT) if one.state == 'done' or text else ()
        stages.append(StageTold(one, point, good or None, 'here', why, '6hx2aa8k' if why else ''))
    described = Described(text or 'Try a higher rate', text or 'Ada')
    kept = (Keep(run.id, text or 'the paper', 'ada', '2026-11-20T10:15:22Z'),)
    facts: dict[str, Any] = {'kept': kept, 'described': described}
    point = Point(f'run {run.short}', 'run', {one.run.name: one.point for one in stages}, digits(), run, run.commit)
    return Told(run, point, tuple(stages), **{**facts, 'edited': (text or 'src/train.py',), **more})
