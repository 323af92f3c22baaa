"""Charts as SVG: whole documents whatever they are drawn from."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_cli.experiments.plots_read import BIGGEST
from mlops_cli.report import svg
from mlops_cli.report.svg import Axes, Group, Line, bars, confusion, document, histogram, lines

NAN = math.nan
NAME = '{http://www.w3.org/2000/svg}'
HOSTILE = '</svg><script>alert(1)</script>"\' onload="x" &amp; ]]> \x1b[2J\x00 \u202e \ud800'
numbers = st.one_of(st.floats(-BIGGEST, BIGGEST), st.just(NAN))
finite = st.floats(-BIGGEST, BIGGEST)
words = st.text(max_size=30)


def parsed(text: str) -> ET.Element:
    """The chart as XML; only what draws is in it, all of it at places that are numbers."""
    root = ET.fromstring(text.encode())
    assert root.tag == f'{NAME}svg'
    for element in root.iter():
        assert element.tag.removeprefix(NAME) in {'svg', 'g', 'rect', 'line', 'path', 'circle', 'text', 'title', 'style'}
        assert not any(name.startswith('on') or 'href' in name for name in element.attrib)
        for name in ('x', 'y', 'x1', 'x2', 'y1', 'y2', 'cx', 'cy', 'width', 'height'):
            number = float(element.get(name, '0').removesuffix('%'))
            assert math.isfinite(number) and (number >= 0 or name not in ('width', 'height'))
        assert not re.search('nan|inf', element.get('d', '').lower())
    return root


def texts(root: ET.Element) -> list[str]:
    return [element.text or '' for element in root.iter(f'{NAME}text')]


def titles(root: ET.Element) -> list[str]:
    return [element.text or '' for element in root.iter(f'{NAME}title')]


def test_a_line_tells_its_values() -> None:
    root = parsed(lines([Line('loss', [1.0, 2.0, 3.0], [0.5, 0.25, 0.1], 0)], Axes('step', 'loss')))
    assert titles(root) == ['1\nloss: 0.5', '2\nloss: 0.25', '3\nloss: 0.1']
    assert {'step', 'loss', '0.1', '0.5', '1.0', '3.0'} <= set(texts(root))
    (path,) = root.iter(f'{NAME}path')
    assert path.get('d', '').count('L') == 2 and path.get('class') == 'line'


def test_two_points_are_told_apart_without_colour() -> None:
    root = parsed(lines([Line('main', [1.0, 2.0], [1.0, 2.0], 0, True), Line('now', [1.0, 2.0], [2.0, 3.0], 0)], Axes()))
    assert [path.get('class') for path in root.iter(f'{NAME}path')] == ['line old', 'line']
    assert {'main', 'now'} <= set(texts(root)) and '1\nmain: 1\nnow: 2' in titles(root)
    assert '.old{stroke-dasharray' in svg.STYLE


def test_a_gap_stays_a_gap_and_a_lone_point_is_seen() -> None:
    x = [float(n) for n in range(100)]
    y = [1.0] * 40 + [NAN] * 10 + [2.0] + [NAN] * 9 + [1.0] * 40
    root = parsed(lines([Line('y', x, y, 0)], Axes()))
    (path,) = root.iter(f'{NAME}path')
    assert path.get('d', '').count('M') == 3
    assert len([one for one in root if one.tag == f'{NAME}circle']) == 1


def test_names_below_the_axis() -> None:
    root = parsed(lines([Line('visits', [0.0, 1.0], [1.0, 2.0], 0)], Axes('day'), names=('mon', 'tue')))
    assert {'mon', 'tue'} <= set(texts(root)) and 'mon\nvisits: 1' in titles(root)
    many = parsed(bars([f'category {n}' for n in range(30)], [Group('n', [1.0] * 30, 0)], Axes()))
    assert any('rotate' in one.get('transform', '') for one in many.iter(f'{NAME}text'))


def test_bars_begin_at_nothing() -> None:
    root = parsed(bars(['a', 'b'], [Group('n', [2.0, -1.0], 0), Group('old', [1.0, NAN], 0, True)], Axes()))
    found = [one for one in root.iter(f'{NAME}rect') if one.get('class') == 'mark']
    assert [one.find(f'{NAME}title').text for one in found] == ['a\nn: 2', 'a\nold: 1', 'b\nn: -1']  # type: ignore[union-attr]
    up, half, down = (float(one.get('height', '')) for one in found)
    assert up == pytest.approx(2 * half, abs=0.2) and down == pytest.approx(half, abs=0.2)


def test_histograms_of_two_points_share_their_bins() -> None:
    one, two = [float(n % 10) for n in range(100)], [float(n % 20) for n in range(100)]
    root = parsed(histogram([Group('before', one, 0, True), Group('after', two, 0)], Axes('score')))
    assert len([1 for one in root.iter(f'{NAME}path')]) == 1  # the outline of before
    assert '-0.5 to 0.5\nafter: 5' in titles(root) and 'before' in titles(root)


def test_a_confusion_matrix_says_what_each_cell_is() -> None:
    root = parsed(confusion(['cat', 'dog'], [[8.0, 2.0], [0.0, 5.0]], Axes()))
    assert titles(root) == [
        'actual cat, predicted cat: 8',
        'actual cat, predicted dog: 2',
        'actual dog, predicted cat: 0',
        'actual dog, predicted dog: 5',
    ]
    assert {'actual', 'predicted', '8', '2', '5'} <= set(texts(root)) and '0' not in texts(root)
    change = parsed(confusion(['cat', 'dog'], [[3.0, -3.0], [2.0, 0.0]], Axes(), difference=True))
    colours = [one.get('style') for one in change.iter(f'{NAME}rect')]
    assert colours == ['fill:var(--c0)', 'fill:var(--c0)', 'fill:var(--c1)', 'fill:var(--c0)']
    assert {'+3', '-3', '+2'} <= set(texts(change))


def test_texts_of_others_stay_texts() -> None:
    axes = Axes(HOSTILE, HOSTILE, HOSTILE)
    for chart in (
        lines([Line(HOSTILE, [1.0], [1.0], 0), Line('b', [1.0], [2.0], 1)], axes),
        lines([Line(HOSTILE, [0.0], [1.0], 0)], axes, names=(HOSTILE,)),
        lines([Line(HOSTILE, [0.0], [1.0], 0)], axes, joined=False),
        bars([HOSTILE], [Group(HOSTILE, [1.0], 0)], axes),
        histogram([Group(HOSTILE, [1.0, 2.0], 0)], axes),
        confusion([HOSTILE], [[1.0]], axes),
    ):
        assert '<script' not in chart
        parsed(chart).iter()
        parsed(document(chart))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(words, st.lists(st.tuples(numbers, numbers), max_size=8)), max_size=4), words, st.booleans())
def test_any_lines_and_points(some: list[tuple[str, list[tuple[float, float]]]], name: str, joined: bool) -> None:
    series = [Line(n, [x for x, _ in p], [y for _, y in p], i, bool(i % 2)) for i, (n, p) in enumerate(some)]
    parsed(lines(series, Axes(name, name, name), joined=joined))


@settings(max_examples=60, deadline=None)
@given(st.lists(words, min_size=1, max_size=6), st.data())
def test_any_bars_and_matrices(names: list[str], data: st.DataObject) -> None:
    row = st.lists(numbers, min_size=len(names), max_size=len(names))
    parsed(bars(names, [Group('a', data.draw(row), 0), Group('b', data.draw(row), 1, True)], Axes()))
    counts = st.lists(st.floats(0, 1e9), min_size=len(names), max_size=len(names))
    parsed(confusion(names, [data.draw(counts) for _ in names], Axes()))
    changes = st.lists(st.floats(-1e9, 1e9), min_size=len(names), max_size=len(names))
    parsed(confusion(names, [data.draw(changes) for _ in names], Axes(), difference=True))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(finite, max_size=20), min_size=1, max_size=3))
def test_any_histogram(some: list[list[float]]) -> None:
    parsed(histogram([Group(f'h{i}', one, i, i == 1) for i, one in enumerate(some)], Axes()))


def test_a_file_of_its_own_has_its_style_inside() -> None:
    text = document(lines([Line('a', [1.0], [1.0], 0)], Axes()))
    assert text.startswith('<?xml') and 'prefers-color-scheme:dark' in text and parsed(text) is not None


def test_the_palette_can_be_told_apart_from_its_ground() -> None:
    """A contrast of 3 to 1 at least, as WCAG wants of what has to be seen."""

    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    assert all((1.05) / (light(colour) + 0.05) >= 3 for colour in svg.LIGHT)
    assert all((light(colour) + 0.05) / (light('#14171b') + 0.05) >= 3 for colour in svg.DARK)
