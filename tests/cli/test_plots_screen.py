"""Plots as characters."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from mlops_cli.cli.console import cells
from mlops_cli.cli.screens.plots import Pair, Pen, kind_of, plots_lines
from mlops_cli.experiments.plots_values import (
    Bars,
    Broken,
    Confusion,
    Content,
    Drawing,
    Facts,
    Histogram,
    Lines,
    Picture,
    Plot,
    Series,
)
from tests.cli.hostile import HOSTILE

LABELS = ('HEAD (1a2b3c4)', 'workspace')
X = tuple(float(n) for n in range(40))


def curve(factor: float) -> Lines:
    return Lines((
        Series('train_loss', X, tuple(factor * math.exp(-x / 9) for x in X)),
        Series('val_loss', X, tuple(factor * math.exp(-x / 12) + 0.1 for x in X)),
    ))  # fmt: skip


def contents(factor: float) -> dict[str, Content]:
    values = tuple(factor * math.sin(x) for x in X)
    return {
        'lines.csv': curve(factor),
        'points.csv': Lines((Series('y', X, values),), False),
        'dates.csv': Lines((Series('visits', X[:3], (1.0, 2.0, 3.0)),), names=('2026-01-01', '2026-01-02', '2026-01-03')),
        'bars.csv': Bars(
            ('airplane', 'cat', 'missing'), (('f1', (factor, 0.25, math.nan)), ('recall', (0.5, factor / 2, 0.1)))
        ),
        'histogram.csv': Histogram((('score', values),)),
        'confusion.csv': Confusion(('cat', 'dog'), ((8.0 * factor, 2.0), (0.0, 5.0))),
        'picture.png': Picture('image/png', b'x' * int(1000 * factor), (640, 480)),
        'broken.csv': Broken('line 3: a row has 1 cell, the first row has 2', 'quote cells that hold a comma'),
    }


def plots(factor: float, point: str) -> list[Plot]:
    found = []
    for path, content in contents(factor).items():
        drawing = Drawing(
            'Learning' if path == 'lines.csv' else path, content, 'step', notes=('a note',) if path == 'bars.csv' else ()
        )
        found.append(Plot('train@forest-1' if path < 'd' else 'evaluate', path, point, drawing))
    return sorted(found, key=lambda plot: plot.stage)


def single(factor: float = 1.0) -> list[Pair]:
    return [(None, plot) for plot in plots(factor, 'workspace')]


def both() -> list[Pair]:
    pairs: list[Pair] = list(zip(plots(0.8, LABELS[0]), plots(1.0, LABELS[1]), strict=True))
    lone = Plot('evaluate', 'new.csv', LABELS[1], Drawing('new.csv', curve(1.0)))
    return [*pairs, (None, lone), (lone, Plot('evaluate', 'x', LABELS[1], Drawing('x', Broken('gone'))))]


def pen(columns: int = 80, **more: Any) -> Pen:
    return Pen(columns, LABELS, **{'single': False, 'ascii_only': False, **more})


@pytest.mark.parametrize('big', [False, True])
def test_the_numbers_beside_a_line_are_those_of_the_file(big: bool) -> None:
    content = Lines((Series('y', X[:2], (1.0, 2.0)),), facts={'y': Facts(-7.0, 1.5e308, 3.0, 2)})
    drawn = Drawing('t', content, notes=('y: 2 of 4 values are too large to be drawn',))
    pair: Pair = (None, Plot('', 'p.csv', 'workspace', drawn))
    text = '\n'.join(line.text for line in plots_lines([pair] if big else [pair, pair], pen(single=True)))
    assert 'min -7  max 1.5e308  last 3' in text and '(y: 2 of 4 values are too large to be drawn)' in text


@pytest.mark.parametrize('columns', [80, 200])
@pytest.mark.parametrize('plain', [False, True])
def test_one_point(pinned: Callable[..., None], columns: int, plain: bool) -> None:
    lines = plots_lines(single(), pen(columns, single=True, ascii_only=plain))
    assert all(cells(line.text) <= columns for line in lines)
    assert not plain or ''.join(line.text for line in lines).isascii()
    pinned(f'plots-show-{columns}{"-ascii" if plain else ""}', lines)


@pytest.mark.parametrize('columns', [80, 200])
def test_two_points(pinned: Callable[..., None], columns: int) -> None:
    lines = plots_lines(both(), pen(columns))
    assert all(cells(line.text) <= columns for line in lines)
    pinned(f'plots-diff-{columns}', lines)


@pytest.mark.parametrize('plain', [False, True])
def test_one_alone_is_large(pinned: Callable[..., None], plain: bool) -> None:
    pairs: list[Pair] = [(None, Plot('train', 'p.csv', 'workspace', Drawing('Learning', curve(1.0), 'epoch')))]
    lines = plots_lines(pairs, pen(80, single=True, ascii_only=plain))
    assert all(cells(line.text) <= 80 for line in lines)
    pinned(f'plots-large{"-ascii" if plain else ""}', lines)


def test_too_many_plots_are_counted() -> None:
    lines = plots_lines(single() * 9, pen(single=True))
    assert lines[-1].text.endswith('42 more plots (-v shows them, --html FILE draws them)')


@pytest.mark.parametrize('text', HOSTILE)
def test_names_of_others_do_nothing(text: str) -> None:
    some: list[Content] = [
        Lines((Series(text, (0.0, 1.0), (1.0, 2.0)),), names=(text, text)),
        Bars((text,), ((text, (1.0,)), ('b', (2.0,)))),
        Histogram(((text, (1.0,)),)),
        Confusion((text, 'x'), ((1.0, 2.0), (0.0, 0.0))),
        Broken(text, text),
    ]
    made = [Plot(text, text, text, Drawing(text, content, text, text, text, (text,))) for content in some]
    for pairs in ([(None, one) for one in made], [(one, one) for one in made], [(made[0], None)], [(None, made[0])]):
        for single_point in (True, False):
            if single_point and pairs[0][1] is None:
                continue
            lines = plots_lines(pairs, Pen(80, (text, text), single=single_point, ascii_only=False))
            assert not any('\x1b' in line.text or '\n' in line.text or '\u202e' in line.text for line in lines)


def test_what_a_plot_is_in_one_word() -> None:
    found = [kind_of(content) for content in contents(1.0).values()]
    assert found == ['line', 'scatter', 'line', 'bar', 'histogram', 'confusion', 'picture', 'broken']
