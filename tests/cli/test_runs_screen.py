"""Runs that were."""

from __future__ import annotations

import pytest

from mlops_cli.cli.console import cells
from mlops_cli.cli.history import Past, assignments, primary, row
from mlops_cli.cli.screens.runs import list_lines, show_lines
from mlops_cli.cli.tables import Column, table
from mlops_cli.core.digest import digest_of
from mlops_cli.records.runs import StageRun
from tests.cli.values import NOW, TRAIN, digits, run_record

KEY = digest_of(b'key')
USAGE = {'cpu_seconds': 12.5, 'memory_peak_bytes': 310_000_000}
STAGES = (
    StageRun('prepare', 'restored', KEY, 'aaaaaaaa', 0.0, None, {}),
    StageRun(TRAIN[0], 'done', KEY, 'bbbbbbbb', 75.0, 0, USAGE),
    StageRun(TRAIN[1], 'failed', KEY, '', 3.0, 3, USAGE),
    StageRun('select', 'skipped', None, '', 0.0),
)
NUMBERS = (
    (TRAIN[0], 'metrics/logistic-1.json', 'accuracy', 0.95),
    (TRAIN[1], 'metrics/logistic-2.json', 'accuracy', 0.97),
    (TRAIN[0], 'metrics/logistic-1.json', 'loss', 0.3),
)


def some_runs() -> list[tuple[Past, dict[str, float]]]:
    one = Past(run_record('failed', stages=STAGES, fresh=2), NUMBERS, {TRAIN[0]: 310_000})
    two = Past(run_record(overlay=(('params.yaml', 'train.depth', 12), ('other.toml', 'x', 'y'))), (), {})
    three = Past(run_record('interrupted', who='', branch='', host=''), (), {})
    return [(past, primary(digits(), past)) for past in (one, two, three)]


@pytest.mark.parametrize('columns', [50, 80, 200])
def test_the_list(pinned, columns: int) -> None:
    lines = list_lines(some_runs(), NOW, columns)
    assert columns == 50 or all(cells(line.text) <= columns for line in lines)
    pinned(f'runs-list-{columns}', lines)


@pytest.mark.parametrize('columns', [80, 200])
def test_one_run(pinned, columns: int) -> None:
    lines = show_lines(some_runs()[0][0], columns)
    assert all(cells(line.text) <= columns for line in lines)
    pinned(f'runs-show-{columns}', lines)


def test_a_trial_tells_what_was_set() -> None:
    text = [line.text for line in show_lines(some_runs()[1][0], 80)]
    assert '  trial with train.depth=12, other.toml:x=y' in text


def test_the_best_instance_stands_for_all_of_a_stage() -> None:
    past, metrics = some_runs()[0]
    assert metrics == {'accuracy': 0.97}
    later = Past(past.run, (*NUMBERS, ('select', 'best.json', 'accuracy', 0.96)), {})
    assert primary(digits(), later) == {'accuracy': 0.96}
    assert row(past.run, metrics)['metric.accuracy'] == 0.97


def test_assignments() -> None:
    assert assignments([('params.yaml', 'a.b', 1), ('x.toml', 'c', 'd')]) == ['a.b=1', 'x.toml:c=d']


def test_columns_give_way_from_the_last() -> None:
    head = [Column('A'), Column('B', least=4), Column('C', right=True, optional=True), Column('D', optional=True)]
    rows = [['one', 'a long text', '1', ''], ['two', 'x', '22', '']]
    assert table(head, rows, 40) == ['  A    B             C', '  one  a long text   1', '  two  x            22']
    assert table(head, rows, 16) == ['  A    B       C', '  one  a lo…   1', '  two  x      22']
    assert table(head, rows, 12) == ['  A    B', '  one  a lo…', '  two  x']
