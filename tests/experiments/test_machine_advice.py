"""Advice on machines: from recorded runs and a price book, with the numbers, or with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import validate

from mlops_cli.core.clock import iso, run_id
from mlops_cli.core.digest import digest_of
from mlops_cli.experiments.machine_advice import Hint, machine_advice
from mlops_cli.fsio.durable import Batch
from mlops_cli.records.accounts import Account
from mlops_cli.records.runs import Run, Runs, StageRun
from tests.cli.contract import SCHEMAS
from tests.support.project import Project

GIB = 1 << 30
NOW = 1_790_000_000.0
PIPELINE = """\
stages:
  prepare: {cmd: "true", outs: [a]}
  train: {cmd: "true", outs: [b], resources: {gpus: 2, cpus: 4}}
  long: {cmd: "true", outs: [c], checkpoint: kept}
"""
PRICES = """\
prices:
  vm: {hour: 4, cpus: 32, memory: 128GiB, spot_hour: 1}
  small: {hour: 0.5, cpus: 4, memory: 16GiB, committed_hour: 0.2}
  H100: {gpu_hour: 4, gpu_memory: 80GiB, committed_hour: 2}
  L4: {gpu_hour: 1, gpu_memory: 24GiB}
hosts: {gpus: {url: "ssh://ada@gpus.example.org"}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = Project(tmp_path / 'p')
    found.write('pipeline.yaml', PIPELINE)
    found.write('.mlops/config.yaml', PRICES)
    return found


def ran(project: Project, stage: str, days: int, seconds: float, cpus: float, memory: float, **usage: float) -> None:
    """A run so many days ago."""
    gpus = 'gpu_seconds' in usage
    known = {'cpu_seconds': cpus * seconds, 'memory_peak_bytes': memory * GIB, **usage}
    one = StageRun(stage, 'done', digest_of(stage.encode()), '0123abcd', seconds, 0, known)
    at = NOW - days * 86400
    account = Account({0: ('gpus', 2, 'H100')}, {}, {}) if gpus else None
    run = Run(run_id(at, bytes([days] * 8)), iso(at), seconds, 'done', (one,), host='vm', account=account)
    bench = project.open()
    with Batch('none') as batch:
        Runs(bench.root).add(run, batch)


def told(project: Project) -> dict[tuple[str, str], Hint]:
    bench = project.open()
    return {(one.of, one.what): one for one in machine_advice(bench, bench.order, NOW)}


def test_a_smaller_machine_would_do(project: Project) -> None:
    for days in (1, 2, 3):
        ran(project, 'prepare', days, 3600.0 * days, 2.0, 8.0)
    one = told(project)['prepare', 'machine']
    assert (one.now, one.wanted, one.runs, one.cost, one.instead) == ('vm', 'small', 3, 8.0, 1.0)
    assert one.share == {'cpus': pytest.approx(0.5), 'memory': pytest.approx(0.5)} and '50% of its cpus' in one.why


def test_since_which_run_it_does_not_fit_any_more(project: Project) -> None:
    for days in (1, 2, 3, 4):
        ran(project, 'prepare', days, 3600.0, 2.0, 60.0 if days == 1 else 8.0)
    one = told(project)['prepare', 'machine']
    assert one.wanted == '' and 'small: too small (memory)' in one.why
    (newest, *_) = project.open().runs.newest()
    assert one.vanished.startswith(f'until run {newest.short} (2.0 processors, 64 GB')
    assert one.vanished.endswith('it was: small')


def test_without_numbers_there_is_a_reason(project: Project) -> None:
    assert not {what for of, what in told(project) if of == 'prepare'}  # never ran
    ran(project, 'prepare', 1, 3600.0, 2.0, 8.0)
    assert told(project)['prepare', 'machine'].why == 'fewer than 3 runs of it are known'
    project.write('.mlops/config.yaml', 'prices: {elsewhere: {hour: 1}}\n')
    ran(project, 'prepare', 2, 3600.0, 2.0, 8.0)
    ran(project, 'prepare', 3, 3600.0, 2.0, 8.0)
    assert told(project)['prepare', 'machine'].why == 'nobody says what an hour of vm costs'
    project.write('.mlops/config.yaml', '')
    assert not told(project)


def test_spot_is_for_what_is_short_or_keeps_a_checkpoint(project: Project) -> None:
    for days in (1, 2, 3):
        ran(project, 'prepare', days, 7200.0, 30.0, 8.0)
    for days in (4, 5, 6):
        ran(project, 'long', days, 7200.0, 30.0, 8.0)
    found = told(project)
    assert found['prepare', 'spot'].wanted == '' and 'no checkpoint' in found['prepare', 'spot'].why
    assert (found['long', 'spot'].wanted, found['long', 'spot'].cost, found['long', 'spot'].instead) == ('spot', 8.0, 2.0)
    for days in (7, 8, 9):
        ran(project, 'prepare', days, 600.0, 30.0, 8.0)
    assert told(project)['prepare', 'spot'].wanted == ''  # the longest counts


def test_gpus_that_are_idle_or_wait(project: Project) -> None:
    for days in (1, 2, 3):  # of two GPUs 10 % busy, 24 GiB of both together; all four processors busy
        ran(project, 'train', days, 1000.0, 4.0, 8.0, gpu_seconds=200.0, gpus=2, gpu_memory_peak_bytes=24 * GIB)
    found = told(project)
    machine, idle, waits = found['train', 'machine'], found['train', 'gpu'], found['train', 'input']
    assert (machine.now, machine.wanted) == ('H100', 'L4') and machine.share == {'gpu_memory': 0.5}
    assert machine.cost == pytest.approx(2 * 4 * 1000 / 3600) and machine.instead == pytest.approx(2 * 1000 / 3600)
    assert idle.wanted == 'gpu_memory: 15GiB' and '10% of the time' in idle.why
    assert waits.wanted == 'cpus: 8' and 'what loads the data' in waits.why
    beside = 'prices:\n  gpus: {watts: 500, kwh: 0.3, cpu_hour: 0.01}\n'
    project.write('.mlops/config.yaml', PRICES.replace('prices:\n', beside))
    assert told(project)['train', 'machine'].wanted == 'L4'  # what the machine costs beside its GPUs stays the same
    for days in (4, 5, 6, 7):
        ran(project, 'train', days, 1000.0, 1.0, 8.0, gpu_seconds=1900.0, gpus=2, gpu_memory_peak_bytes=24 * GIB)
    found = told(project)
    assert found['train', 'gpu'].wanted == '' == found['train', 'input'].wanted
    assert '95% of the time' in found['train', 'gpu'].why


def test_a_commitment_is_judged_by_the_hours_of_the_runs(project: Project) -> None:
    ran(project, 'train', 10, 86400.0, 1.0, 8.0, gpu_seconds=1.0, gpus=2)
    one = told(project)['H100', 'commitment']  # 48 GPU hours of 240: it pays from half on
    assert (one.wanted, one.cost, one.instead) == ('', 192.0, 480.0) and '48 of 240 hours' in one.why and '50%' in one.why
    for days in range(4, 10):
        ran(project, 'train', days, 86400.0, 1.0, 8.0, gpu_seconds=1.0, gpus=2)
    one = told(project)['H100', 'commitment']
    assert one.wanted == 'committed' and one.used == {'hours': 336.0} and one.instead == 480.0 + 96 * 4
    assert told(project)['small', 'commitment'].wanted == ''


def test_the_command_tells_it(project: Project) -> None:
    for days in (1, 2, 3):
        ran(project, 'prepare', days, 3600.0, 2.0, 8.0)
    said = project.mlops('cost', 'advise').out
    (line,) = [line for line in said.splitlines() if line.startswith('  prepare') and 'machine' in line]
    assert line.split()[:8] == ['prepare', 'machine', 'vm', 'small', '3', '4.00', 'USD', '0.50']
    document = project.mlops('cost', 'advise', '--json').json
    validate(document, json.loads((SCHEMAS / 'cost-advise.v1.json').read_text()))
    (hint,) = [one for one in document['hints'] if one['what'] == 'machine']
    assert hint['saving'] == 3.5 and hint['used']['cpus'] == 2.0
    assert '50% of its cpus' in said and 'no checkpoint' not in said
    assert 'no checkpoint' in ' '.join(project.mlops('cost', 'advise', '-v').out.split())
