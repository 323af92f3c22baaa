"""What models cost: all that led to them, each result once, and what is not known is counted."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from jsonschema import validate

from mlops_cli.experiments.lineage_records import Records
from mlops_cli.experiments.model_costs import UNKNOWN_INPUTS, UNRECORDED, ModelLedger, model_ledger
from mlops_cli.records.costs import book_of
from tests.cli.contract import SCHEMAS
from tests.support.project import Project

PIPELINE = """\
stages:
  prepare: {cmd: 'cat raw > table', deps: [raw], outs: [table]}
  train:
    matrix: {n: [1, 2]}
    cmd: 'cat table > m${item.n}; echo ${item.n} ${rate} >> m${item.n}'
    deps: [table]
    outs: ['m${item.n}']
  select: {cmd: 'cat m1 m2 > best', deps: [m1, m2], outs: [best], model: {name: digits, path: best}}
  summary: {cmd: 'wc -c table > size', deps: [table], outs: [size], model: {name: sizes, path: size}}
  report: {cmd: 'cat best > r', deps: [best], outs: [r]}
"""
HOUR = 3600.0


@pytest.fixture(scope='module')
def template(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two states of a model, the first of which was made twice.  Every stage is told to have taken an hour on its own."""
    project = Project(tmp_path_factory.mktemp('models') / 'p')
    project.write('pipeline.yaml', PIPELINE)
    project.write('params.yaml', 'rate: 1\n')
    project.write('raw', 'a table of some length, longer than what is equal by chance\n')
    project.write('.mlops/config.yaml', 'prices: {here: {hour: 1, watts: 1000}}\n')
    project.mlops('run', '-q')
    project.mlops('run', '-q', '--force')
    project.write('params.yaml', 'rate: 2\n')
    project.mlops('run', '-q')
    for file in (project.path / '.mlops/runs').rglob('*.json'):
        document = json.loads(file.read_text())
        for row in document['stages']:
            row[4] = HOUR
        document['seconds'] = HOUR * 10
        document['host'] = 'vm'
        file.write_text(json.dumps(document))
    return project


@pytest.fixture
def project(template: Project, tmp_path: Path) -> Project:
    shutil.copytree(template.path, tmp_path / 'copy', symlinks=True)
    return Project(tmp_path / 'copy')


def counted(project: Project) -> ModelLedger:
    bench = project.open()
    with closing(Records(bench)) as records:
        return model_ledger(records, bench.runs.newest(), book_of(bench.config))


def test_a_model_costs_all_that_led_to_it_and_each_result_once(project: Project) -> None:
    found = counted(project)
    digits, sizes = found.ledger.rows['digits'], found.ledger.rows['sizes']
    # rate 1: prepare, two trained, one selected; rate 2: two trained, one selected.  Made again they are the same results.
    assert (digits.stages, digits.amounts, digits.kwh) == (7, {'USD': 7.0}, 7.0)
    assert (sizes.stages, sizes.amounts) == (2, {'USD': 2.0})
    assert found.ledger.total.amounts == {'USD': 8.0}  # prepare led to both; the report is no model
    assert found.ledger.why == {} and digits.unknown == 0


def test_the_last_result_stands_apart(project: Project) -> None:
    digits = counted(project).models[0]
    (newest, *_) = project.open().runs.newest()
    assert (digits.model, digits.results, digits.run) == ('digits', 2, newest.short)
    assert digits.last.amounts == {'USD': 4.0} and digits.last.stages == 4
    project.write('params.yaml', 'rate: 1\n')
    project.mlops('run', '-q')  # restores the older one, which by this is the last that was had
    assert counted(project).models[0].last.amounts == {'USD': 4.0} and counted(project).models[0].run != newest.short


def test_what_is_not_recorded_here_is_counted_as_unknown(project: Project) -> None:
    first = sorted((project.path / '.mlops/runs').rglob('*.json'))[0]
    first.unlink()
    second = sorted((project.path / '.mlops/runs').rglob('*.json'))[0]
    second.unlink()  # both runs that made prepare and the first models
    found = counted(project)
    assert found.ledger.rows['digits'].amounts == {'USD': 3.0}
    assert found.ledger.rows['digits'].unknown == 1  # prepare
    assert found.ledger.why == {UNRECORDED: 2}  # and the stage of the other model


def test_without_pins_and_cache_nobody_knows_what_led_to_it(project: Project) -> None:
    shutil.rmtree(project.path / '.mlops/stages')
    shutil.rmtree(project.path / '.mlops/cache')
    shutil.rmtree(project.path / '.mlops/local', ignore_errors=True)
    found = counted(project)
    assert found.ledger.rows['digits'].amounts == {'USD': 2.0}  # the two results themselves
    assert found.ledger.why[UNKNOWN_INPUTS] == 3


def test_the_command(project: Project) -> None:
    said = project.mlops('cost', 'report', '--by', 'model').out
    assert 'digits' in said and 'the last of 2 results (run ' in said and '4.00 USD' in said
    document = project.mlops('cost', 'report', '--by', 'model', '--json').json
    validate(document, json.loads((SCHEMAS / 'cost-report.v1.json').read_text()))
    assert [(row['model'], row['amount']) for row in document['rows']] == [('digits', 7.0), ('sizes', 2.0)]
    assert document['total'][0]['amount'] == 8.0 and document['models'][0]['amounts'] == {'USD': 4.0}
    assert document['rows'][0]['kwh'] == 7.0 and document['rows'][0]['co2'] is None
    listed = project.mlops('runs', 'list', '--sort', '-cost', '--columns', 'cost', '--json').json['rows']
    assert [row['cost'] for row in listed] == sorted((row['cost'] for row in listed), reverse=True)
    assert 'COST' in project.mlops('runs', 'list', '--sort', 'cost').out
    assert '6.00 USD' in project.mlops('runs', 'list', '--columns', 'cost').out
    project.write('pipeline.yaml', 'stages: {a: {cmd: "echo > x", outs: [x]}}\n')
    none = project.mlops('cost', 'report', '--by', 'model')
    assert 'no stage makes a model' in none.err and none.out == 'Nothing ran.\n'
