"""The page of plots in a real browser without a network: nothing is asked for, nothing fails, everything is to be seen."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.experiments.test_plots_read import png
from tests.support.browser import LEFT_OUT, chromium, opened
from tests.support.project import Project

pytestmark = [pytest.mark.full, LEFT_OUT]

HOSTILE_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20" onload="alert(1)"><script>fetch("http://127.0.0.1:9/x")'
    '</script><image href="http://127.0.0.1:9/y.png" width="9" height="9"/><rect width="%s" height="20" fill="teal"/></svg>'
)
PIPELINE = """\
stages:
  draw:
    cmd: rm -rf p && cp -r src p && cp src/m.json m.json
    deps: [src]
    metrics: [{m.json: {primary: accuracy, goals: {accuracy: max}}}]
    plots:
      - {p/lines.csv: {title: "Loss & <script>alert(1)</script>"}}
      - p/bars.csv
      - p/confusion.csv
      - {p/histogram.csv: {kind: histogram}}
      - {p/scatter.csv: {kind: scatter, x: a, y: b}}
      - p/picture.png
      - p/hostile.svg
      - p/broken.csv
"""


@pytest.fixture(scope='module')
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


def sources(project: Project, factor: float) -> None:
    rows = range(1, 30)
    project.write('src/lines.csv', 'step,loss\n' + ''.join(f'{n},{factor / n}\n' for n in rows))
    project.write('src/bars.csv', f'name,f1\ncat,{factor}\ndog,0.5\n')
    project.write('src/confusion.csv', 'actual,predicted\n' + 'cat,cat\n' * int(factor * 9) + 'cat,dog\ndog,dog\n')
    project.write('src/histogram.csv', 'score\n' + ''.join(f'{n * factor % 7}\n' for n in rows))
    project.write('src/scatter.csv', 'a,b\n' + ''.join(f'{n},{n * factor}\n' for n in rows))
    project.write('src/picture.png', png(8, int(8 * factor)))
    project.write('src/hostile.svg', HOSTILE_SVG % int(40 * factor))
    project.write('src/broken.csv', 'a,b\n1\n')
    project.write('src/m.json', f'{{"accuracy": {factor}}}')


@pytest.fixture(scope='module')
def pages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(of one point, of two)."""
    project = Project(tmp_path_factory.mktemp('browser') / 'project')
    project.init_git()
    project.write('pipeline.yaml', PIPELINE)
    sources(project, 1.0)
    project.run()
    project.commit('first')
    sources(project, 0.5)
    project.run()
    project.mlops('plots', 'show', '--html', 'show.html')
    project.mlops('plots', 'diff', '--html', 'diff.html')
    return project.path / 'show.html', project.path / 'diff.html'


@pytest.mark.parametrize('which', [0, 1], ids=['show', 'diff'])
@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_every_plot_is_to_be_seen(browser: Any, pages: tuple[Path, Path], which: int, scheme: str) -> None:
    page, wrong, asked = opened(browser, pages[which], color_scheme=scheme, viewport={'width': 1200, 'height': 900})
    assert (wrong, asked) == ([], [pages[which].as_uri()])
    figures = page.query_selector_all('figure')
    assert len(figures) == 8
    for figure in figures[:7]:
        drawn = figure.query_selector_all('svg.chart, img')
        assert drawn
        for one in drawn:
            box = one.bounding_box()
            assert (
                box is not None
                and box['width'] >= (150 if one.evaluate('e => e.tagName') != 'IMG' else 4)
                and box['height'] >= 4
            )
    assert all(page.eval_on_selector_all('img', 'all => all.map(e => e.complete && e.naturalWidth > 0)'))
    assert 'line 2: a row has 1 cell, the first row has 2' in figures[7].inner_text()
    assert 'Loss & <script>alert(1)</script>' in figures[0].inner_text()
    ground = page.evaluate('getComputedStyle(document.body).backgroundColor')
    assert ground == ('rgb(255, 255, 255)' if scheme == 'light' else 'rgb(20, 23, 27)')
    page.context.close()


@pytest.mark.parametrize('width', [360, 800, 1800])
def test_nothing_sticks_out(browser: Any, pages: tuple[Path, Path], width: int) -> None:
    page, _, _ = opened(browser, pages[1], viewport={'width': width, 'height': 700})
    assert page.evaluate('document.documentElement.scrollWidth') <= width
    page.context.close()


def test_a_point_tells_its_values_when_pointed_at(browser: Any, pages: tuple[Path, Path]) -> None:
    page, _, _ = opened(browser, pages[1], viewport={'width': 1200, 'height': 900})
    strip = page.query_selector('figure .strip')
    dot = strip.query_selector('circle')
    assert dot.evaluate('e => getComputedStyle(e).opacity') == '0'
    strip.hover()
    assert dot.evaluate('e => getComputedStyle(e).opacity') == '1'
    told = strip.query_selector('title').text_content()
    assert 'workspace: 0.5' in told and 'HEAD' in told
    page.context.close()


def test_the_policy_stops_what_would_come_in(browser: Any, pages: tuple[Path, Path], tmp_path: Path) -> None:
    """Were there a hole in what is escaped, the page's policy would still let no script and no request through."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        server.setblocking(False)
        address = f'http://127.0.0.1:{server.getsockname()[1]}/x.png'
        hole = f'<script>document.title = "pwned"</script><img src="{address}" onerror="document.title = \'pwned\'">'
        spoilt = tmp_path / 'spoilt.html'
        spoilt.write_text(pages[0].read_text().replace('<footer>', f'{hole}<footer>'))
        page, wrong, _ = opened(browser, spoilt, offline=False)
        assert page.title() == 'Plots of project'
        assert len([text for text in wrong if 'Content Security Policy' in text]) >= 2
        with pytest.raises(BlockingIOError):
            server.accept()  # nobody has called
        page.context.close()
