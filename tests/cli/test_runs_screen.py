"""Runs that were."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlops_cli.cli.console import cells
from mlops_cli.cli.screens.runs_list import assignments, list_lines
from mlops_cli.cli.screens.runs_show import show_lines
from mlops_cli.cli.tables import Column, table
from mlops_cli.core.digest import digest_of
from mlops_cli.records.found import Row
from mlops_cli.records.runs import StageRun
from tests.cli.values import NOW, TRAIN, listed, run_record, told

KEY = digest_of(b'key')
USAGE = {'cpu_seconds': 12.5, 'memory_peak_bytes': 310_000_000}
STAGES = (
    StageRun('prepare', 'restored', KEY, 'aaaaaaaa', 0.0, None, {}),
    StageRun(TRAIN[0], 'done', KEY, 'bbbbbbbb', 75.0, 0, USAGE),
    StageRun(TRAIN[1], 'failed', KEY, '', 3.0, 3, USAGE),
    StageRun('select', 'skipped', None, '', 0.0),
)


def some_runs() -> list[Row]:
    """What differs: the metrics, one parameter of two, who and where."""
    metrics = {'accuracy': 0.97, 'loss': 0.3}
    one = listed(
        id='20261120T101522Z-7k2m9q4c', ended='failed', metrics=metrics, params={'rate': 0.1, 'depth': 8}, primary=('accuracy',)
    )
    two = listed(
        id='20261119T101522Z-6hx2aa8k',
        overlay=(('params.yaml', 'rate', 0.2), ('other.toml', 'x', 'y')),
        metrics={'accuracy': 0.95, 'loss': 0.4},
        params={'rate': 0.2, 'depth': 8, 'other.toml:x': 'y'},
        primary=('accuracy',),
    )
    three = listed(id='20261118T101522Z-83fzt5na', ended='interrupted', who='', branch='', host='')
    return [one, two, three]


def test_a_narrow_list_fits() -> None:
    metrics = {'loss_of_the_validation': 0.25, 'accuracy': 0.5}
    one = some_runs()[0]._replace(metrics=metrics, primary=tuple(metrics))
    lines = [line.text for line in list_lines([one], frozenset(), (), NOW, 40)]
    assert all(cells(line) <= 40 for line in lines)
    assert lines[0].split()[:3] == ['RUN', 'WHEN', 'ENDED'] and '0.25' in lines[1] and 'accuracy' not in lines[0]


def test_a_run_on_a_narrow_terminal() -> None:
    run = run_record('failed', stages=STAGES, fresh=2, commit='c' * 40, command=('mlops', 'run', '-j', '4'), saved_seconds=70.0)
    assert all(cells(line.text) <= 40 for line in show_lines(told(run), 40))


@pytest.mark.parametrize('columns', [50, 80, 200])
def test_the_list(pinned, columns: int) -> None:
    rows = some_runs()
    lines = list_lines(rows, frozenset([rows[1].id]), (), NOW, columns)
    assert columns == 50 or all(cells(line.text) <= columns for line in lines)
    pinned(f'runs-list-{columns}', lines)


def test_parameters_are_shown_that_differ() -> None:
    head = list_lines(some_runs(), frozenset(), (), NOW, 200)[0].text
    assert 'rate' in head and 'accuracy' in head and 'loss' in head
    assert 'depth' not in head, 'it is 8 in both'
    alone = list_lines(some_runs()[:1], frozenset(), (), NOW, 200)[0].text
    assert 'accuracy' in alone and 'loss' not in alone, 'nothing to compare: the primary metric only'


def test_what_was_set_is_shown_once() -> None:
    """A column of its own says what was set only where no column of a parameter does."""
    one, two, _ = some_runs()
    other = one._replace(params={**one.params, 'other.toml:x': 'z'})
    head, _, second = (line.text for line in list_lines([one, two], frozenset(), (), NOW, 200))
    assert 'SET' in head and 'other.toml:x=y' in second and 'rate=0.2' not in second, 'rate has a column'
    assert 'SET' not in list_lines([other, two], frozenset(), (), NOW, 200)[0].text


def test_metrics_outrank_everything_that_can_be_looked_up() -> None:
    params = {'learning_rate': 0.1, 'optimizer.schedule.warmup.of.which.steps': 1}
    long = [
        listed(id=f'20261120T10152{n}Z-7k2m9q4{n}', metrics={'mse': 5.0, f'm{n}': 1.0}, params=params | {'learning_rate': n})
        for n in range(3)
    ]
    rows = [row._replace(primary=('mse',), counts={**row.counts, 'failed': n}) for n, row in enumerate(long)]
    head = list_lines(rows, frozenset(row.id for row in rows), (), NOW, 56)[0].text.split()
    assert head[:5] == ['RUN', 'WHEN', 'ENDED', 'mse', 'learning_rate'] and 'STAGES' not in head
    wide = list_lines(rows, frozenset(), (), NOW, 200)
    assert wide[0].text.split()[:7] == ['RUN', 'WHEN', 'ENDED', 'mse', 'learning_rate', 'STAGES', 'TIME']
    assert '2 of 6 failed' in wide[3].text and '1 of 5 failed' in wide[2].text


def test_a_metric_and_a_parameter_of_one_name_are_told_apart() -> None:
    rows = [
        listed(id=f'20261120T10152{n}Z-7k2m9q4{n}', metrics={'a': 1.0, 'mse': n}, params={'mse': n}, primary=())
        for n in range(2)
    ]
    head = list_lines(rows, frozenset(), (), NOW, 100)[0].text.split()
    assert head[3:5] == ['metric.mse', 'param.mse'] and 'a' not in head, 'what differs comes first'


def test_what_was_filtered_by_stays() -> None:
    one = some_runs()[0]._replace(primary=())
    head = list_lines([one], frozenset(), (), NOW, 60, ('metric.loss', 'param.depth', 'host'))[0].text.split()
    assert head[:7] == ['RUN', 'WHEN', 'ENDED', 'accuracy', 'loss', 'depth', 'HOST']
    long = one._replace(params={'optimizer.schedule.warmup.of.which.steps': 1})
    head = list_lines([long], frozenset(), (), NOW, 60, ('param.optimizer.schedule.warmup.of.which.steps',))[0].text
    assert '  …e.warmup.of.which.steps' in head, 'the end of a name tells it from others'


def test_columns_asked_for_are_there_however_narrow_it_is() -> None:
    chosen = ('who', 'param.rate', 'metric.loss', 'started', 'kept', 'set', 'id', 'trial', 'commit', 'interrupted')
    lines = list_lines(some_runs(), frozenset(), chosen, NOW, 40)
    head = ['RUN', 'BY', 'rate', 'loss', 'STARTED', 'KEPT', 'SET', 'ID', 'TRIAL', 'COMMIT', 'INTERRUPTED']
    assert lines[0].text.split() == head
    assert lines[1].text.split()[:4] == ['7k2m9q4c', 'ada', '0.1', '0.3']


@pytest.mark.parametrize('columns', [80, 200])
def test_one_run(pinned, columns: int) -> None:
    run = run_record('failed', stages=STAGES, fresh=2, commit='c' * 40, command=('mlops', 'run', '-j', '4'), saved_seconds=70.0)
    lines = show_lines(told(run), columns)
    assert all(cells(line.text) <= columns for line in lines)
    pinned(f'runs-show-{columns}', lines)


def test_a_trial_tells_what_was_set_and_how_to_take_it_over() -> None:
    run = run_record(overlay=(('params.yaml', 'train.depth', 12), ('other.toml', 'x', 'y')))
    text = [line.text for line in show_lines(told(run, kept=(), edited=()), 80)]
    assert '  trial with train.depth=12, other.toml:x=y' in text
    assert f'  take over  mlops runs apply {run.short}' in text
    assert f'  keep       mlops runs keep {run.short}' in text


def test_where_results_are_gone_that_is_told_and_nothing_to_keep() -> None:
    run = run_record(stages=STAGES[:2])
    found = told(run, kept=())
    gone = replace(found, stages=(found.stages[0], replace(found.stages[1], stored=False)))
    text = '\n'.join(line.text for line in show_lines(gone, 200))
    assert f'this cache does not have all that {TRAIN[0]} made' in text
    assert ', gone' in text and 'runs keep' not in text


def test_a_commit_that_is_not_here() -> None:
    run = run_record(commit='c' * 40)
    for edited, described, said in (
        (None, None, 'cccccccccccc, which this clone does not have'),
        ((), None, 'cccccccccccc, as committed'),
        (('a.py', 'b.py', 'c.py', 'd.py', 'e.py'), None, 'with changes in a.py, b.py, c.py, d.py, 1 more'),
    ):
        text = '\n'.join(line.text for line in show_lines(told(run, edited=edited, described=described), 200))
        assert said in text


def test_assignments() -> None:
    found = assignments([('params.yaml', 'a.b', 1), ('x.toml', 'c', 'd'), ('params.yaml', 'e', True)])
    assert found == ['a.b=1', 'x.toml:c=d', 'e=true']


def test_columns_give_way_from_the_last() -> None:
    head = [Column('A'), Column('B', least=4), Column('C', right=True, optional=True), Column('D', optional=True)]
    rows = [['one', 'a long text', '1', ''], ['two', 'x', '22', '']]
    assert table(head, rows, 40) == ['  A    B             C', '  one  a long text   1', '  two  x            22']
    assert table(head, rows, 16) == ['  A    B       C', '  one  a lo…   1', '  two  x      22']
    assert table(head, rows, 12) == ['  A    B', '  one  a lo…', '  two  x']
