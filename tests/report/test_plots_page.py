"""The page of plots, read as a browser would."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mlops_cli.experiments.metrics import Change, Comparison, Missing, Value, Values
from mlops_cli.experiments.plots_values import (
    Bars,
    Broken,
    Confusion,
    Content,
    Drawing,
    Histogram,
    Lines,
    Picture,
    Plot,
    Series,
)
from mlops_cli.report import plots_page as module
from mlops_cli.report.plots_draw import panels
from mlops_cli.report.plots_page import plots_page
from tests.report.test_page import HOSTILE, Reader

LABELS = ('main (1a2b3c4)', 'workspace')
LINE = Lines((Series('loss', (1.0, 2.0), (0.5, 0.25)),))
OTHER = Lines((Series('loss', (1.0, 2.0), (0.6, 0.35)),))
PICTURE = Picture('image/svg+xml', b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')


def plot(content: Content, path: str = 'p.csv', stage: str = 'train', title: str = '', **more: Any) -> Plot:
    return Plot(stage, path, 'workspace', Drawing(title or path, content, **more))


def one(*plots: Plot, **more: Any) -> str:
    return plots_page('Plots of x', [(None, found) for found in plots], ('', 'workspace'), single=True, **more)


def figures(text: str) -> list[str]:
    return re.findall(r'<figure.*?</figure>', text, re.DOTALL)


def test_everything_of_others_is_text() -> None:
    contents: list[Content] = [
        Lines((Series(HOSTILE, (1.0,), (1.0,)),)),
        Bars((HOSTILE,), ((HOSTILE, (1.0,)),)),
        Histogram(((HOSTILE, (1.0, 2.0)),)),
        Confusion((HOSTILE,), ((1.0,),)),
        Broken(HOSTILE, HOSTILE),
        PICTURE,
    ]
    plots = [
        plot(c, HOSTILE, HOSTILE, HOSTILE, x_label=HOSTILE, y_label=HOSTILE, part=HOSTILE, notes=(HOSTILE,)) for c in contents
    ]
    change = Change(HOSTILE, HOSTILE, HOSTILE, None, None, True, None, 0.0, 'gone', HOSTILE, HOSTILE)
    numbers = Comparison((change,), (Missing(HOSTILE, HOSTILE, HOSTILE, HOSTILE),))
    values = Values((Value(HOSTILE, HOSTILE, HOSTILE, None, True, 'max', 0.0, HOSTILE),), numbers.missing)
    for text in (
        plots_page(HOSTILE, [(a, b) for a in plots for b in plots], (HOSTILE, HOSTILE), metrics=numbers),
        plots_page(HOSTILE, [(None, a) for a in plots], ('', HOSTILE), metrics=values, single=True),
    ):
        found = Reader(text)
        tags = {tag for tag, _ in found.tags}
        assert 'script' not in tags and 'iframe' not in tags and 'object' not in tags
        assert not any(name.startswith('on') for _, given in found.tags for name in given)
        addresses = [v or '' for _, given in found.tags for name, v in given.items() if name in ('src', 'href', 'xlink:href')]
        assert all(address.startswith(('data:', '#plot-')) for address in addresses)
        text.encode()


def test_pictures_are_shown_where_they_can_do_nothing() -> None:
    (figure,) = figures(one(plot(PICTURE, 'p.svg')))
    assert '<img src="data:image/svg+xml;base64,' in figure and 'alert' not in figure


def test_a_broken_plot_is_a_sentence_beside_the_others() -> None:
    broken, whole = figures(one(plot(Broken('line 3: a row has 1 cell', 'quote it')), plot(LINE)))
    assert 'line 3: a row has 1 cell.<br>quote it' in broken and '<svg' not in broken
    assert '<svg' in whole and 'class="note"' not in whole


def test_lines_of_two_points_are_drawn_over_each_other() -> None:
    (figure,) = figures(plots_page('T', [(plot(OTHER), plot(LINE))], LABELS))
    assert figure.count('<svg') == 1 and 'main (1a2b3c4)' in figure and 'line old' in figure


def test_what_is_the_same_is_drawn_once() -> None:
    (figure,) = figures(plots_page('T', [(plot(PICTURE), plot(PICTURE))], LABELS))
    assert figure.count('<img') == 1 and 'the same at both' in figure


@pytest.mark.parametrize(
    ('before', 'after', 'captions'),
    [
        (PICTURE, Picture('image/svg+xml', b'<svg/>'), LABELS),
        (Broken('gone'), LINE, LABELS),
        (LINE, Bars(('a',), (('n', (1.0,)),)), LABELS),
        (None, LINE, LABELS),
        (LINE, None, LABELS),
        (Lines(LINE.series, names=('a', 'b')), LINE, LABELS),
        (Confusion(('a',), ((1.0,),)), Confusion(('a', 'b'), ((1.0, 0.0), (0.0, 2.0))), (*LABELS, 'difference')),
    ],
)
def test_what_does_not_fit_together_stands_side_by_side(before: Any, after: Any, captions: tuple[str, ...]) -> None:
    found = panels(Drawing('p', before) if before else None, Drawing('p', after) if after else None, LABELS)
    assert len(found) == len(captions)
    assert all(panel.caption.startswith(caption) for panel, caption in zip(found, captions, strict=True))


@pytest.mark.parametrize(
    ('before', 'after', 'told'),
    [
        (
            Bars(('a', 'b'), (('n', (1.0, 2.0)),)),
            Bars(('b', 'c'), (('n', (3.0, 4.0)),)),
            ['a\nmain (1a2b3c4): 1', 'c\nworkspace: 4'],
        ),
        (Histogram((('n', (1.0,)),)), Histogram((('n', (1.0, 2.0)),)), ['workspace: 1']),
        (
            Lines((Series('n', (0.0, 1.0), (1.0, 2.0)),), names=('mon', 'tue')),
            Lines((Series('n', (0.0, 1.0), (5.0, 6.0)),), names=('tue', 'wed')),
            ['tue\nmain (1a2b3c4): 2\nworkspace: 5', 'mon\nmain (1a2b3c4): 1'],
        ),
        (Lines((*LINE.series, Series('acc', (1.0,), (1.0,)))), LINE, ['loss, main (1a2b3c4): 0.5', 'acc, main (1a2b3c4): 1']),
        (Lines(LINE.series, False), Lines(OTHER.series, False), ['main (1a2b3c4): 1, 0.5']),
    ],
)
def test_what_fits_together_shares_its_axes(before: Content, after: Content, told: list[str]) -> None:
    (panel,) = panels(Drawing('p', before), Drawing('p', after), LABELS)
    assert panel.caption == '' and all(text in panel.chart for text in told)


def test_instances_are_drawn_together_too() -> None:
    text = one(plot(LINE, 'a.csv', 'train@1', 'Loss'), plot(OTHER, 'b.csv', 'train@2', 'Loss'))
    shared, *alone = figures(text)
    assert '2 instances together' in shared and len(alone) == 2
    assert '<h2>train</h2>' in text and text.count('<h2>') == 1
    many = one(*(plot(LINE, f'{n}.csv', f'train@{n}', 'Loss') for n in range(9)))
    assert len(figures(many)) == 9  # too many to be told apart


def test_a_page_of_many_plots_begins_with_a_list_of_them() -> None:
    text = one(*(plot(LINE if n else Broken('x'), f'{n}.csv') for n in range(8)))
    names = re.findall(r'<a href="#(plot-\d)">(.*?)</a>', text)
    assert [name for _, name in names] == [f'{n}.csv' for n in range(8)]
    assert all(f'id="{target}"' in text for target, _ in names) and text.count('(broken)') == 1
    assert '<nav>' not in one(plot(LINE))


def test_pictures_have_a_limit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, 'PICTURES', 100)
    first, second = figures(one(plot(PICTURE, 'a.svg'), plot(PICTURE, 'b.svg')))
    assert '<img' in first and '<img' not in second and 'Left out' in second


def test_metrics_stand_on_top_with_what_differs_first() -> None:
    rows = (
        Change('train', 'm.json', 'loss', 0.5, 0.6, False, 'min', 0.0, 'worse'),
        Change('train', 'm.json', 'accuracy', 0.9, 0.95, True, 'max', 0.0, 'better'),
        Change('train', 'm.json', 'n', 3, 3, False, None, 0.0, 'same'),
        Change('train', 'm.json', 'bad', 1.0, None, False, 'max', 0.0, 'gone', '', 'NaN', True),
    )
    missing = (Missing('select', '', 'main (1a2b3c4)', 'nothing recorded for this state'),)
    text = plots_page('T', [(plot(OTHER), plot(LINE))], LABELS, metrics=Comparison(rows, missing))
    head = text.partition('<h2>train</h2>')[0]
    found = [re.sub('<[^>]+>', ' ', row).split() for row in re.findall('<tr>.*?</tr>', head)]
    assert found[1:4] == [
        ['train', 'loss', '0.5', '0.6', '+0.1', 'worse'],
        ['train', 'accuracy', '0.9', '0.95', '+0.05', 'better'],
        ['train', 'bad', '1', '–', 'gone', '(NaN)'],
    ]
    assert '1 number, the same or within tolerance' in head
    assert 'select at main (1a2b3c4): nothing recorded for this state' in head
    assert text.count('class="bad"') == 2 and text.count('class="good"') == 1


def test_no_plots() -> None:
    assert 'No stage lists a file under plots.' in one()
