"""Which plots a table makes."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mlops_cli.core.errors import UserError
from mlops_cli.experiments import plots_choose
from mlops_cli.experiments.plots_choose import POINTS, drawings, sampled, thinned
from mlops_cli.experiments.plots_read import Table, read_table
from mlops_cli.experiments.plots_values import Bars, Broken, Confusion, Facts, Histogram, Lines, Series

NAN = math.nan


def table(**columns: list[Any]) -> Table:
    cells = {name: tuple(float(v) if isinstance(v, int) else v for v in values) for name, values in columns.items()}
    return Table(cells, len(next(iter(cells.values()))))


def kinds(of: Table, **settings: Any) -> list[tuple[str, str]]:
    """(content, part) of each drawing."""
    return [(type(one.content).__name__, one.part) for one in drawings(of, settings, 'p.csv')]


def test_columns_over_a_step_are_lines_and_splits_share_one() -> None:
    of = table(epoch=[1, 2], train_loss=[3.0, 2.0], val_loss=[3.5, 2.5], lr=[0.1, 0.01], note=['a', 'b'])
    found = drawings(of, {}, 'p.csv')
    assert [one.part for one in found] == ['train_loss, val_loss', 'lr']
    assert [one.x_label for one in found] == ['epoch', 'epoch'] and [one.y_label for one in found] == ['', 'lr']
    assert isinstance(found[0].content, Lines) and found[0].content.joined
    assert found[0].content.series[1] == Series('val_loss', (1.0, 2.0), (3.5, 2.5))


def test_without_a_step_rows_are_counted() -> None:
    (found,) = drawings(table(loss=[3.0, 2.0]), {}, 'p.csv')
    assert isinstance(found.content, Lines) and found.content.series[0].x == (0.0, 1.0) and found.x_label == 'row'


def test_names_of_rows_are_bars_but_dates_follow_each_other() -> None:
    assert kinds(table(label=['cat', 'dog'], f1=[0.5, 0.6], recall=[0.1, 0.2])) == [('Bars', '')]
    (found,) = drawings(table(day=['2026-01-01', '2026-01-02'], visits=[1, 2]), {'x': 'day', 'y': 'visits'}, 'p.csv')
    assert isinstance(found.content, Lines) and found.content.names == ('2026-01-01', '2026-01-02')


@pytest.mark.parametrize(
    ('columns', 'settings'),
    [
        ({'actual': ['a', 'b', 'b'], 'predicted': ['a', 'a', 'b']}, {}),
        ({'y_true': ['a', 'b', 'b'], 'y_pred': ['a', 'a', 'b'], 'score': [0.1, 0.2, 0.3]}, {}),
        ({'one': ['a', 'b', 'b'], 'two': ['a', 'a', 'b'], 'id': [1, 2, 3]}, {'x': 'one', 'y': 'two'}),
        ({'one': ['a', 'b', 'b'], 'two': ['a', 'a', 'b']}, {'kind': 'confusion'}),
        ({'one': ['a', 'b', 'b'], 'two': ['a', 'a', 'b']}, {'template': 'confusion', 'x': 'one', 'y': 'two'}),
        ({'actual': ['a', 'b', 'b'], 'predicted': ['a', 'a', 'b'], 'count': [1, 1, 1]}, {}),
    ],
)
def test_two_columns_of_labels_are_a_confusion_matrix(columns: dict[str, Any], settings: dict[str, Any]) -> None:
    (found,) = drawings(table(**columns), settings, 'p.csv')
    assert found.content == Confusion(('a', 'b'), ((1.0, 0.0), (1.0, 1.0)))


def test_labels_that_are_numbers_are_sorted_as_such() -> None:
    (found,) = drawings(table(actual=[10, 9, 2], predicted=[10, 2, 2]), {}, 'p.csv')
    assert isinstance(found.content, Confusion) and found.content.labels == ('2', '9', '10')


def test_measured_numbers_are_no_labels() -> None:
    assert kinds(table(actual=[0.5, 0.25], predicted=[0.4, 0.3])) == [('Lines', 'actual'), ('Lines', 'predicted')]


def test_too_many_labels_leave_the_frequent_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots_choose, 'LABELS', 2)
    (found,) = drawings(table(actual=['a', 'b', 'b', 'c', 'c'], predicted=['b', 'b', 'c', 'c', 'c']), {}, 'p.csv')
    assert isinstance(found.content, Confusion) and found.content.labels == ('b', 'c')
    assert found.notes == ('the 2 most frequent of 3 labels',)


def test_what_is_declared_counts() -> None:
    of = table(step=[1, 2], a=[3.0, 2.0], b=[1.0, 1.5])
    settings = {'x': 'a', 'y': ['b', 'step'], 'title': 'T', 'x_label': 'X', 'y_label': 'Y', 'kind': 'scatter'}
    (found,) = drawings(of, settings, 'p.csv')
    assert (found.title, found.x_label, found.y_label) == ('T', 'X', 'Y')
    assert isinstance(found.content, Lines) and not found.content.joined
    assert [one.name for one in found.content.series] == ['b', 'step'] and found.content.series[0].x == (3.0, 2.0)
    assert kinds(of, kind='histogram', x='a') == [('Histogram', '')]
    assert kinds(of, template='bar_horizontal', x='step', y='a') == [('Bars', '')]
    assert kinds(of, template='linear', x='step', y='a') == [('Lines', '')]
    assert kinds(of, template='somebody/own.json', x='step', y='a') == [('Lines', '')]
    assert kinds(of, kind='bar', template='scatter', x='step', y='a') == [('Bars', '')]


def test_lines_go_from_left_to_right() -> None:
    (found,) = drawings(table(step=[3, 1, 2, None], y=[30, 10, 20, 99]), {'x': 'step', 'y': 'y'}, 'p.csv')
    assert isinstance(found.content, Lines) and found.content.series[0] == Series('y', (1.0, 2.0, 3.0), (10.0, 20.0, 30.0))


@pytest.mark.parametrize(
    ('columns', 'settings', 'words', 'hint'),
    [
        ({'loss': [1.0]}, {'y': 'los'}, "no column 'los'", 'did you mean loss?'),
        ({'loss': [1.0]}, {'x': 'epoch'}, "no column 'epoch'", 'columns: loss'),
        ({'name': ['a', 'a']}, {}, 'no column of numbers', 'columns: name'),
        ({'step': [1, 2], 'loss': [1.0, 'oops']}, {'y': 'loss'}, "the column 'loss' holds text, as 'oops'", 'as y'),
        ({'step': [1, 2], 'loss': [None, None]}, {'y': 'loss'}, "the column 'loss' holds no number", 'as y'),
        ({'a': ['x'], 'b': ['y'], 'c': ['z']}, {'kind': 'confusion'}, 'actual and the predicted', 'kind: confusion'),
    ],
)
def test_what_cannot_be_drawn_is_told(columns: dict[str, Any], settings: dict[str, Any], words: str, hint: str) -> None:
    with pytest.raises(UserError) as told:
        drawings(table(**columns), settings, 'p.csv')
    assert words in told.value.message and hint in told.value.hint


def test_numbers_that_are_none_are_counted_or_leave_nothing() -> None:
    (found,) = drawings(table(step=[1, 2, 3, 4], y=[1.0, NAN, math.inf, None]), {}, 'p.csv')
    assert found.notes == ('y: 2 of 4 values are NaN and infinite',)
    (found,) = drawings(table(step=[1, 2], y=[NAN, NAN]), {}, 'p.csv')
    assert isinstance(found.content, Broken) and 'all numbers are NaN' in found.content.problem
    (found,) = drawings(table(step=[1], y=[NAN]), {}, 'p.csv')
    assert isinstance(found.content, Broken) and 'the only number is NaN' in found.content.problem
    (found,) = drawings(table(step=[NAN], y=[1.0]), {'x': 'step'}, 'p.csv')
    assert isinstance(found.content, Broken)


def test_what_is_told_covers_every_finite_number() -> None:
    (found,) = drawings(table(step=[4, 1, 2, NAN, 3], y=[1.7e308, 0.5, -1e308, -1.5e308, None]), {}, 'p.csv')
    assert isinstance(found.content, Lines) and found.content.facts == {'y': Facts(-1.5e308, 1.7e308, 1.7e308, 3)}
    assert found.notes == (
        'y: 3 of 5 values are too large to be drawn',
        'step: 1 of 5 values is NaN, so its row is not drawn',
    )
    many = table(x=list(range(9000)), y=[0.0] * 8999 + [7.0], z=[NAN] + [1.0] * 8999)
    (found,) = drawings(many, {'x': 'x', 'y': ['y', 'z'], 'kind': 'scatter'}, 'p.csv')
    assert isinstance(found.content, Lines) and max(found.content.series[0].y) == 0.0  # one of three is drawn
    assert found.content.facts == {'y': Facts(0.0, 7.0, 7.0), 'z': Facts(1.0, 1.0, 1.0, 1)}
    (found,) = drawings(table(name=['a', 'b'], y=[math.inf, 2.0]), {}, 'p.csv')
    assert isinstance(found.content, Bars) and found.content.facts == {'y': Facts(2.0, 2.0, 2.0, 1)}
    (found,) = drawings(table(y=[1e305, NAN]), {}, 'p.csv')
    assert isinstance(found.content, Broken) and 'NaN, infinite, too large to be drawn or missing' in found.content.problem
    (found,) = drawings(table(actual=['a', 'b'], predicted=['a', 'a'], count=[3, NAN]), {}, 'p.csv')
    assert isinstance(found.content, Confusion) and found.content.left_out == 1
    assert found.notes == ('count: 1 of 2 values is NaN',)


def test_long_lines_keep_their_peaks() -> None:
    rows = 100_000
    y = [0.0] * rows
    y[77_777], y[5] = 9.0, -9.0
    found = thinned(Series('y', tuple(map(float, range(rows))), tuple(y)))
    assert len(found.x) <= POINTS + 2
    assert max(found.y) == 9.0 and found.x[found.y.index(9.0)] == 77_777.0 and min(found.y) == -9.0
    assert (found.x[0], found.x[-1]) == (0.0, rows - 1.0) and list(found.x) == sorted(found.x)
    gap = thinned(Series('y', tuple(map(float, range(rows))), (1.0,) * 50_000 + (NAN,) * 40_000 + (2.0,) * 10_000))
    assert any(math.isnan(number) for number in gap.y)
    assert len(sampled(Series('y', found.x * 10, found.y * 10)).x) <= POINTS


def test_the_thinning_is_told() -> None:
    data = 'step,loss\n' + ''.join(f'{row},{row % 7}\n' for row in range(9000))
    (found,) = drawings(read_table(data.encode(), 'p.csv'), {}, 'p.csv')
    assert found.notes == ('9,000 points; drawn are the lowest and the highest of every 5',)


def test_too_much_of_anything_is_told() -> None:
    wide = table(step=[1, 2], **{f'metric{number}': [1, 2] for number in range(20)})
    found = drawings(wide, {}, 'p.csv')
    assert len(found) == plots_choose.PARTS and '8 more plots of this file left out' in found[-1].notes[-1]
    many = drawings(wide, {'y': [f'metric{number}' for number in range(20)]}, 'p.csv')
    assert len(many) == 1 and many[0].notes == ('the first 12 of 20 columns',)
    bars = drawings(table(name=[f'n{i}' for i in range(100)], y=[1] * 100), {'kind': 'bar', 'x': 'name', 'y': 'y'}, 'p.csv')
    assert isinstance(bars[0].content, Bars) and len(bars[0].content.categories) == 60
    assert bars[0].notes == ('the first 60 of 100 bars',)


def test_histograms_keep_the_numbers() -> None:
    (found,) = drawings(table(score=[1.0, NAN, 3.0]), {'kind': 'histogram'}, 'p.csv')
    assert found.content == Histogram((('score', (1.0, 3.0)),), {'score': Facts(1.0, 3.0, 3.0, 1)}) and found.x_label == 'score'
