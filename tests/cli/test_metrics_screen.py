"""Metrics of one point and of two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mlops_cli.cli.console import cells
from mlops_cli.cli.screens.metrics import diff_lines, show_lines
from mlops_cli.core.units import show_change
from mlops_cli.experiments.metrics import Change, Comparison, Missing, Value, Values
from mlops_cli.report.metrics_tables import metrics_tables
from tests.cli.hostile import HOSTILE
from tests.cli.values import GROUPS, TRAIN

LABELS = ('HEAD (1a2b3c4)', 'workspace')


def value(stage: str, name: str, number: float | None, note: str = '', **more: Any) -> Value:
    given: dict[str, Any] = {'primary': name == 'accuracy', 'goal': None, 'tolerance': 0.0, **more}
    return Value(stage, f'metrics/{stage.partition("@")[2] or stage}.json', name, number, **given, note=note)


def change(stage: str, name: str, before: float | None, after: float | None, verdict: Any, *notes: str, **more: Any) -> Change:
    given: dict[str, Any] = {'primary': name == 'accuracy', 'goal': None, 'tolerance': 0.0, **more}
    given |= dict(zip(('before_note', 'after_note'), notes, strict=False))
    return Change(stage, f'metrics/{stage.partition("@")[2] or stage}.json', name, before, after, verdict=verdict, **given)


def shown() -> Values:
    rows = [
        value(stage, name, 0.95 + place / 300)
        for place, stage in enumerate(TRAIN)
        for name in ('accuracy', 'loss', 'train_accuracy', 'macro avg.precision', 'macro avg.recall', 'weighted avg.f1-score')
    ]
    rows += [
        value('select', 'accuracy', 0.9833, goal='max'),
        value('select', 'loss', None, 'NaN', goal='min'),
        value('select', 'n', 4),
    ]
    missing = [Missing('evaluate', '', 'workspace', 'nothing recorded for this state')]
    return Values(tuple(rows), tuple(missing))


def compared() -> Comparison:
    rows = [change(stage, 'accuracy', 0.95, 0.95 + place / 300, 'better') for place, stage in enumerate(TRAIN[1:], 1)]
    rows += [change(TRAIN[0], 'accuracy', 0.95, 0.9, 'worse')]
    rows += [change(stage, 'loss', 0.25, 0.25, 'same') for stage in TRAIN]
    rows += [
        change('select', 'accuracy', 0.9833, 0.9834, 'within', tolerance=0.001),
        change('select', 'loss', 0.123456789, 0.123456799, 'worse'),
        change('select', 'candidates', 4, 12_000, 'changed'),
        change('select', 'f1', None, 0.5, 'new', 'not in the file'),
        change('select', 'auc', 0.5, None, 'gone', '', 'NaN', lost=True),
        change('select', 'old', 0.5, None, 'gone', '', 'not in the file'),
        *(change('evaluate', name, 1, 1, 'same') for name in ('accuracy', 'loss')),
    ]
    missing = [Missing(stage, f'{stage}.json', LABELS[0], 'not in this cache') for stage in TRAIN]
    return Comparison(tuple(rows), tuple(missing))


@pytest.mark.parametrize('columns', [80, 200])
def test_one_point(pinned: Callable[..., None], columns: int) -> None:
    lines = show_lines(shown(), 'workspace', GROUPS, columns)
    assert all(cells(line.text) <= columns for line in lines)
    pinned(f'metrics-show-{columns}', lines)


@pytest.mark.parametrize('columns', [80, 200])
def test_two_points(pinned: Callable[..., None], columns: int) -> None:
    lines = diff_lines(compared(), LABELS, GROUPS, columns)
    assert all(cells(line.text) <= columns for line in lines)
    pinned(f'metrics-diff-{columns}', lines)


def test_everything_shows_what_is_folded() -> None:
    rows = tuple(change(f'train@{n}', 'accuracy', 0.5, 0.5, 'same') for n in range(30))
    short = [line.text for line in diff_lines(Comparison(rows, ()), LABELS, {}, 80)]
    long = [line.text for line in diff_lines(Comparison(rows, ()), LABELS, {}, 80, everything=True)]
    assert len(short) < 8 < 30 < len(long)
    values = tuple(value(f'train@{n}', 'accuracy', 0.5) for n in range(30))
    assert any('6 more instances (-v' in line.text for line in show_lines(Values(values, ()), 'x', {}, 80))


def test_of_many_rows_the_telling_ones_are_kept() -> None:
    rows = [change('t', f'm{n}', 1.0, 1.0, 'same') for n in range(60)]
    rows[59] = change('t', 'm59', 1.0, 0.5, 'worse')
    text = '\n'.join(line.text for line in diff_lines(Comparison(tuple(rows), ()), LABELS, {}, 80))
    assert 'm59' in text and 'and 36 more metrics' in text


def test_what_is_nowhere_is_told_once() -> None:
    rows = tuple(change(stage, 'accuracy', None, None, 'same', 'x', 'x', goal='max', lost=True) for stage in TRAIN)
    missing = tuple(Missing(stage, '', point, 'nothing recorded for this state') for point in LABELS for stage in TRAIN)
    lines = [line.text for line in diff_lines(Comparison(rows, missing), LABELS, GROUPS, 100)]
    assert lines == [f'No numbers at {point} for train@*: nothing recorded for this state.' for point in LABELS]


def test_nothing_differs() -> None:
    lines = diff_lines(Comparison((), ()), LABELS, {}, 80, changed_only=True)
    assert [line.text for line in lines] == ['No metric differs between HEAD (1a2b3c4) and workspace.']


def test_small_differences_are_to_be_seen() -> None:
    text = '\n'.join(line.text for line in diff_lines(compared(), LABELS, GROUPS, 80))
    assert '0.12345679  0.1234568' in text and '+1e-08' in text


@pytest.mark.parametrize(('number', 'text'), [(0.5, '+0.5'), (-3, '-3'), (12_345.6, '+12,346'), (1e-9, '+1e-09')])
def test_signs(number: float, text: str) -> None:
    assert show_change(number) == text


@pytest.mark.parametrize('text', HOSTILE)
def test_names_of_others_do_nothing(text: str) -> None:
    rows = (change(text, text, 0.5, None, 'gone', text, text), change(f'{text}@a', text, 0.5, 0.6, 'better'))
    lines = diff_lines(Comparison(rows, (Missing(text, text, text, text),)), (text, text), {}, 80)
    lines += show_lines(Values((value(text, text, None, text),), (Missing(text, '', text, text),)), text, {}, 80)
    assert not any('\x1b' in line.text or '\n' in line.text or '\u202e' in line.text for line in lines)


def test_where_nothing_has_a_goal_it_says_how_to_give_one() -> None:
    def text(*rows: Change) -> str:
        return '\n'.join(line.text for line in diff_lines(Comparison(rows, ()), LABELS, GROUPS, 100))

    mse = change('select', 'mse', 570.0, 592.8, 'changed')
    assert 'in pipeline.yaml:\n  metrics: [{metrics/select.json: {goals: {mse: min}}}]' in text(mse)
    assert '{FILE: {goals: {"macro avg.recall": max}}}' in text(change(TRAIN[0], 'macro avg.recall', 1, 2, 'changed'))
    assert 'hint' not in text(mse, change('select', 'f1', 1, 1, 'same', goal='max')), 'who gave one knows how'
    assert 'hint' not in text(change('select', 'mse', 1, 1, 'same'))


def test_a_page_shows_the_digits_of_the_terminal() -> None:
    row = change('select', 'mse', 570.0, 592.849, 'worse', goal='min')
    close = change('select', 'mae', 0.123456789, 0.123456799, 'worse', goal='min')
    page = metrics_tables(Comparison((row, close), ()))
    terminal = '\n'.join(line.text for line in diff_lines(Comparison((row, close), ()), LABELS, GROUPS, 100))
    for figure in ('+22.8', '592.8', '570', '0.12345679', '0.1234568', '+1e-08'):
        assert f'>{figure}<' in page and f' {figure} ' in terminal, figure
