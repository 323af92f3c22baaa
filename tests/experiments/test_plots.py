"""The plots of a state: what stages list, read in spite of each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mlops_cli.core.errors import UserError
from mlops_cli.experiments import plots
from mlops_cli.experiments.plots import choose, paired, plots_at
from mlops_cli.experiments.plots_values import Broken, Drawing, Lines, Picture, Plot
from mlops_cli.experiments.points import find_point
from mlops_cli.run.workbench import Workbench
from tests.experiments.test_plots_read import png
from tests.support.project import Project

PIPELINE = """\
stages:
  draw:
    cmd: rm -rf p more && cp -r src p && mkdir more && cp p/good.csv more/b.csv && cp p/good.csv more/a.csv && touch more/x
    deps: [src]
    plots:
      - {p: {title: Folder}}
      - {more: {x: step, y: loss}}
  table:
    cmd: cp src/good.csv out.csv
    deps: [src/good.csv]
    outs: [out.csv]
"""
GOOD = 'step,loss\n1,0.5\n2,0.25\n'


@pytest.fixture
def drawn(project: Project) -> Project:
    project.write('pipeline.yaml', PIPELINE)
    project.write('src/good.csv', GOOD)
    project.write('src/bad.csv', 'a,b\n1\n')
    project.write('src/pic.png', png(4, 4))
    project.write('src/sub/deep.jsonl', '{"step": 1, "loss": 2}\n')
    project.run()
    project.commit('first')
    return project


@contextmanager
def opened(project: Project) -> Iterator[Workbench]:
    bench = project.open()
    try:
        yield bench
    finally:
        bench.close()


def at(project: Project, word: str = 'workspace', *names: str, **settings: Any) -> tuple[Plot, ...]:
    with opened(project) as bench:
        point = find_point(bench, word)
        return plots_at(bench, point, choose(bench, names, [point.pipeline], settings))


def told(found: tuple[Plot, ...]) -> list[tuple[str, str]]:
    """(path, what it is)."""
    return [(one.path, type(one.drawing.content).__name__) for one in found]


def problem(plot: Plot) -> str:
    assert isinstance(plot.drawing.content, Broken)
    return plot.drawing.content.problem


@pytest.mark.parametrize('word', ['workspace', 'HEAD'])
def test_all_files_of_folders_and_one_broken_one(drawn: Project, word: str) -> None:
    found = at(drawn, word)
    assert told(found) == [
        ('p/bad.csv', 'Broken'),
        ('p/good.csv', 'Lines'),
        ('p/pic.png', 'Picture'),
        ('p/sub/deep.jsonl', 'Lines'),
        ('more/a.csv', 'Lines'),
        ('more/b.csv', 'Lines'),
    ]
    assert problem(found[0]) == 'line 2: a row has 1 cell, the first row has 2'
    assert [one.drawing.title for one in found[:2]] == ['Folder: bad.csv', 'Folder: good.csv']
    assert {one.point for one in found} == {found[0].point} and found[0].point.startswith(word)


def test_a_run_has_plots_too(drawn: Project) -> None:
    with opened(drawn) as bench:
        run = next(bench.runs.newest()).short
    assert told(at(drawn, run)) == told(at(drawn))


def test_what_is_asked_for(drawn: Project) -> None:
    assert told(at(drawn, 'workspace', 'p/good.csv')) == [('p/good.csv', 'Lines')]
    assert told(at(drawn, 'HEAD', 'more')) == [('more/a.csv', 'Lines'), ('more/b.csv', 'Lines')]
    assert told(at(drawn, 'HEAD', 'table')) == []  # lists nothing under plots
    assert told(at(drawn, 'HEAD', 'out.csv')) == [('out.csv', 'Lines')]  # but what it made can be drawn
    assert told(at(drawn, 'workspace', 'src/good.csv')) == [('src/good.csv', 'Lines')]  # as any file here
    (found,) = at(drawn, 'workspace', 'p/good.csv', kind='bar', x='step', y=['loss'])
    assert type(found.drawing.content).__name__ == 'Bars'
    (found,) = at(drawn, 'workspace', 'p/god.csv')  # it could be there
    assert problem(found) == 'not in the workspace: mlops run draw'
    with pytest.raises(UserError, match='no stage, instance or output') as error:
        at(drawn, 'workspace', 'ot.csv')
    assert 'did you mean out.csv' in error.value.hint


def test_nothing_leads_out_of_the_project(drawn: Project, tmp_path: Any) -> None:
    (tmp_path / 'secret.csv').write_text(GOOD)
    for word in ('../secret.csv', str(tmp_path / 'secret.csv'), 'src/../../secret.csv'):
        with pytest.raises(UserError):
            at(drawn, 'workspace', word)
    (drawn.path / 'link.csv').symlink_to(tmp_path / 'secret.csv')
    (found,) = at(drawn, 'workspace', 'link.csv')
    assert 'symbolic link' in problem(found)
    (drawn.path / 'p' / 'good.csv').unlink()
    (drawn.path / 'p' / 'good.csv').symlink_to(tmp_path / 'secret.csv')
    with pytest.raises(UserError, match='is a symbolic link to'):  # no output can be one, so there is no state to speak of
        at(drawn, 'workspace', 'p')
    os.mkfifo(drawn.path / 'p' / 'pipe.csv')
    with opened(drawn) as bench:
        assert sorted(plots._in_workspace(bench, 'p')) == ['p/bad.csv', 'p/pic.png', 'p/sub/deep.jsonl']


def test_what_is_not_there_says_where_it_is_missing(drawn: Project) -> None:
    (drawn.path / 'out.csv').unlink()
    (found,) = at(drawn, 'workspace', 'out.csv')
    assert problem(found) == 'not in the workspace: mlops run table'
    drawn.write('src/good.csv', GOOD + '3,0.1\n')
    drawn.commit('inputs without a run')
    (found,) = at(drawn, 'HEAD', 'out.csv')
    assert problem(found) == f'nothing recorded for table at {found.point}'
    for path in (drawn.path / '.mlops' / 'cache').rglob('*'):
        if path.is_file() and path.read_bytes() == GOOD.encode():
            path.unlink()
    with opened(drawn) as bench:
        run = next(bench.runs.newest()).short
    (found,) = at(drawn, run, 'out.csv')
    assert 'not in this cache' in problem(found)
    assert 'p/pic.png' in [one.path for one in at(drawn, run) if not one.broken]  # the others are shown all the same


def test_each_revision_is_drawn_by_its_own_declaration(drawn: Project) -> None:
    drawn.write('pipeline.yaml', PIPELINE.replace('{x: step, y: loss}', '{x: loss, y: step, kind: scatter}'))
    now, then = at(drawn, 'workspace', 'more/a.csv')[0], at(drawn, 'HEAD', 'more/a.csv')[0]
    assert (now.drawing.x_label, then.drawing.x_label) == ('loss', 'step')
    assert isinstance(now.drawing.content, Lines) and not now.drawing.content.joined


def test_limits_are_told_in_a_plot_of_their_own(drawn: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, 'FILES', 1)
    found = at(drawn, 'workspace', 'draw')
    assert told(found) == [('p/bad.csv', 'Broken'), ('p', 'Broken'), ('more/a.csv', 'Lines'), ('more', 'Broken')]
    assert problem(found[1]) == 'left out: 3 more files in this folder'
    monkeypatch.setattr(plots, 'FILES', 60)
    monkeypatch.setattr(plots, 'TOTAL', 30)
    assert [path for path, kind in told(at(drawn)) if kind != 'Broken'] == ['p/good.csv']
    monkeypatch.setattr(plots, 'PLOTS', 3)
    assert problem(at(drawn)[-1]) == 'more than 3 plots'


def test_a_file_of_no_kind(drawn: Project) -> None:
    drawn.write('pipeline.yaml', 'stages: {a: {cmd: echo x > notes.txt, plots: [notes.txt]}}\n')
    drawn.run()
    (found,) = at(drawn)
    assert problem(found) == 'not a kind of file that can be shown'


# Two points


def plot(path: str, point: str, content: Any = None, part: str = '') -> Plot:
    return Plot('s', path, point, Drawing(path, content or Picture('image/png', point.encode()), part=part))


def test_the_same_plots_are_paired_and_order_is_that_of_after() -> None:
    before = (plot('old.csv', 'A'), plot('b.csv', 'A'), plot('a.csv', 'A', part='x'), plot('a.csv', 'A', part='y'))
    after = (plot('a.csv', 'B', part='x'), plot('new.csv', 'B'), plot('b.csv', 'B'))
    found = paired(before, after)
    assert [tuple(one.key[1:] if one else None for one in pair) for pair in found] == [
        (('a.csv', 'x'), ('a.csv', 'x')),
        (None, ('new.csv', '')),
        (('b.csv', ''), ('b.csv', '')),
        (('old.csv', ''), None),
        (('a.csv', 'y'), None),
    ]


@pytest.mark.parametrize('turned', [False, True])
def test_a_broken_side_stands_beside_each_plot_of_the_other(turned: bool) -> None:
    good = (plot('a.csv', 'A', part='x'), plot('a.csv', 'A', part='y'))
    bad = (plot('a.csv', 'B', Broken('no such column')),)
    found = paired(bad, good) if turned else paired(good, bad)
    assert len(found) == 2 and all(None not in pair for pair in found)
    assert paired(bad, bad) == ((bad[0], bad[0]),)
