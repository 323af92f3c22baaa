"""Advice on resources: with numbers behind it, or a reason why there is none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from mlops_cli.core.clock import iso, run_id
from mlops_cli.core.digest import digest_of
from mlops_cli.experiments.advice import FEWEST, REMEMBERED, Advice, advise, high
from mlops_cli.fsio.durable import Batch
from mlops_cli.records.runs import Run, Runs, StageRun
from mlops_cli.run.logs import log_path
from mlops_cli.usage.series import HEAD
from tests.support.project import Project

GIB = 1 << 30
PIPELINE = """\
stages:
  wide: {cmd: "true", resources: {cpus: 8, memory: 16GiB}}
  narrow: {cmd: "true", resources: {cpus: 2, memory: 1GiB}}
  plain: {matrix: {seed: [1, 2]}, cmd: "true ${item.seed}"}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = Project(tmp_path / 'p')
    found.write('pipeline.yaml', PIPELINE)
    return found


def ran(project: Project, stage: str, count: int, seconds: float, cpu: float, memory: int | None) -> list[Run]:
    """So many recorded runs of a stage; of what it consumed over time nothing is known."""
    usage = {'cpu_seconds': cpu} | ({'memory_peak_bytes': memory} if memory is not None else {})
    one = StageRun(stage, 'done', digest_of(b'key'), '0123abcd', seconds, 0, usage)
    at = 1_790_000_000.0 + sum(map(ord, stage)) * 1000
    runs = [Run(run_id(at + n, bytes([n] * 8)), iso(at + n), seconds, 'done', (one,)) for n in range(count)]
    bench = project.open()
    with Batch('none') as batch:
        for run in runs:
            Runs(bench.root).add(run, batch)
    return runs


def told(project: Project, *names: str) -> dict[tuple[str, str], Advice]:
    bench = project.open()
    return {(one.stage, one.what): one for one in advise(bench, names or bench.order)}


def test_what_is_declared_and_not_used_could_be_given_to_others(project: Project) -> None:
    ran(project, 'wide', 5, 100.0, 150.0, 2 * GIB)
    found = told(project)
    cpus, memory = found['wide', 'cpus'], found['wide', 'memory']
    assert (cpus.declared, cpus.used, cpus.runs, cpus.wanted) == (8, 1.5, 5, 2)
    assert (memory.declared, memory.used, memory.wanted) == (16 * GIB, 2 * GIB, 2.5 * GIB)


def test_what_is_used_beyond_what_is_declared_is_taken_from_others(project: Project) -> None:
    ran(project, 'narrow', 3, 100.0, 390.0, 2 * GIB)
    ran(project, 'plain@2', 3, 100.0, 390.0, 2 * GIB)
    found = told(project)
    assert found['narrow', 'cpus'].wanted == found['plain', 'cpus'].wanted == 4
    assert found['narrow', 'memory'].wanted == 2.5 * GIB
    plain = found['plain', 'memory']
    assert (plain.wanted, plain.why) == (None, 'it declares none, so nothing is held free for it')


@pytest.mark.parametrize(
    ('count', 'seconds', 'why'),
    [(0, 100.0, 'it has not run yet'), (FEWEST - 1, 100.0, 'fewer than 3 runs of it are known'), (9, 9.0, 'it never took 10s')],
)
def test_without_numbers_there_is_a_reason(project: Project, count: int, seconds: float, why: str) -> None:
    ran(project, 'wide', count, seconds, seconds, GIB)
    for what in ('cpus', 'memory'):
        one = told(project)['wide', what]
        assert one.wanted is None and one.why.startswith(why) and one.runs == count


def test_what_fits_stays(project: Project) -> None:
    ran(project, 'narrow', 5, 100.0, 150.0, GIB - 1)
    assert {(one.wanted, one.why) for one in told(project, 'narrow').values()} == {(None, 'that fits')}
    ran(project, 'wide', 5, 100.0, 640.0, None)
    assert told(project)['wide', 'cpus'].wanted is None
    assert told(project)['wide', 'memory'].why == 'nobody measured what it held'


def test_instances_that_declare_the_same_are_one_and_old_runs_count_no_more(project: Project) -> None:
    ran(project, 'plain@1', REMEMBERED, 100.0, 100.0, GIB)
    assert told(project)['plain', 'cpus'].runs == REMEMBERED
    ran(project, 'plain@2', 2, 100.0, 390.0, GIB)  # newer, so they are among the last twenty
    one = told(project)['plain', 'cpus']
    assert (one.runs, one.used) == (REMEMBERED, 3.9)


def test_a_moment_does_not_count_but_a_hundredth_of_the_time_does(project: Project) -> None:
    """Of a stage that was looked at every second: an import on eight processors, then one for the rest."""

    def rows(busy: int) -> list[tuple[float, float]]:
        cpu, found = 0.0, []
        for second in range(1, 1001):
            cpu += 8.0 if second <= busy else 1.0
            found.append((float(second), cpu))
        return found

    assert high(rows(5)) == 1.0 and high(rows(20)) == 8.0 and high(()) == 0.0
    runs = ran(project, 'wide', 3, 1000.0, 1035.0, GIB)
    for run in runs:
        text = ''.join(f'[{seconds},{cpu},{GIB},0,0]\n' for seconds, cpu in rows(5))
        project.write(log_path(run.id, 'wide'), '')
        project.write(f'{log_path(run.id, "wide")}.usage', HEAD + text.encode())
    assert told(project)['wide', 'cpus'].used == 1.0


def test_the_command_says_it(project: Project) -> None:
    assert project.mlops('cost', 'advise').out.startswith('Nothing to change (')
    ran(project, 'wide', 5, 100.0, 150.0, 2 * GIB)
    out = project.mlops('cost', 'advise').out
    rows: Sequence[str] = [line for line in out.splitlines() if line.startswith('  wide')]
    assert [row.split()[:6] for row in rows] == [
        ['wide', 'cpus', '8', '1.5', '5', '2'],
        ['wide', 'memory', '16GiB', '2048MiB', '5', '2560MiB'],
    ]
    assert 'it has not run yet' in project.mlops('cost', 'advise', '-v').out
    found = json.loads(project.mlops('cost', 'advise', 'wide', '--json').out)
    assert [(row['what'], row['wanted']) for row in found['rows']] == [('cpus', 2), ('memory', 2.5 * GIB)]
    assert project.mlops('cost', 'advise', 'wyde', code=2)
