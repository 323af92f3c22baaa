"""Questions about a long history of runs."""

from __future__ import annotations

from pathlib import Path

from bench.bounds import Bound, Measure, Race
from bench.measure import Contender
from bench.projects import Projects
from bench.rows.base import Bench, Row
from bench.tools import Ours

RUNS = 10_000
THEIRS = 1_000
REMEMBER = Path(__file__).resolve().parent.parent / 'remember.py'

PIPELINE = """\
version: 1
stages:
  train:
    cmd: cp in.json m.json
    deps: [in.json]
    metrics: [{m.json: {primary: accuracy, goals: {accuracy: max}}}]
"""
LOG_RUNS = """
import sys, mlflow
count, uri = int(sys.argv[1]), sys.argv[2]
mlflow.set_tracking_uri(uri)
mlflow.set_experiment('bench')
for number in range(count):
    with mlflow.start_run():
        mlflow.log_params({'rate': number / count, 'depth': number % 9})
        mlflow.log_metrics({'loss': 1 / (number + 1), 'accuracy': number / count})
"""
LIST_RUNS = """
import sys, mlflow
mlflow.set_tracking_uri(sys.argv[1])
print(len(mlflow.search_runs(experiment_names=['bench'], max_results=50000)), 'runs')
"""


def project(projects: Projects, ours: Ours) -> Path:
    """A project with a long history."""

    def make(folder: Path) -> None:
        projects.repository(folder)
        (folder / 'pipeline.yaml').write_text(PIPELINE)
        (folder / 'in.json').write_text('{"accuracy": 0.5}\n')
        projects.do((ours.program, 'run'), folder)
        projects.do((ours.python, '-P', str(REMEMBER), str(folder), str(RUNS)), folder)

    return projects.settle(ours, projects.keep(ours.own('runs-mlops'), make))


def runs_list(bench: Bench, ours: Ours) -> Race:
    name = f'MLflow, {THEIRS:,} runs'
    folder = project(bench.projects, ours)
    contenders = [
        bench.mlops(ours, folder, 'runs', 'list', expect=f'{RUNS - 19:,} more runs'),
        bench.mlops(ours, folder, 'runs', 'list', '-n', '0', expect='00000000'),
    ]
    bounds = [Bound(one.name, name, 1 / 10) for one in contenders]
    for mlflow in bench.peers('mlflow'):

        def make(folder: Path, python: str = mlflow.python) -> None:
            bench.projects.do((python, '-c', LOG_RUNS, str(THEIRS), f'sqlite:///{folder}/runs.db'), folder)

        theirs = bench.projects.keep('runs-mlflow', make)
        command = (mlflow.python, '-c', LIST_RUNS, f'sqlite:///{theirs}/runs.db')
        contenders.append(Contender(name, command, theirs, expect=f'{THEIRS} runs'))
    return Race(tuple(contenders), tuple(bounds))


def lineage(bench: Bench, ours: Ours) -> Race:
    folder = project(bench.projects, ours)
    contenders = (
        bench.mlops(ours, folder, 'lineage', 'upstream', 'm.json', expect='in.json'),
        bench.mlops(ours, folder, '--version', expect='mlops'),
    )
    return Race(contenders, (Bound(contenders[0].name, 'mlops --version', 0.1, Measure.BEYOND),))


ROWS = (
    Row('runs-list-10000', 'runs list of 10,000 runs', runs_list),
    Row('lineage-10000', 'lineage upstream among 10,000 runs', lineage),
)
