"""The page of a graph in a real browser without a network: nothing is asked for, nothing fails, it can be used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.report.dag import Drawing
from mlops_cli.report.dag_page import dag_page
from tests.report.test_dag import drawing, some
from tests.report.test_dag_text import HOSTILE, hostile
from tests.support.browser import LEFT_OUT, chromium, opened

pytestmark = [pytest.mark.full, LEFT_OUT]


@pytest.fixture(scope='module')
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


def shown(browser: Any, tmp_path: Path, drawn: Drawing, **surroundings: Any) -> Any:
    """The page of a drawing, on which nothing went wrong."""
    file = tmp_path / 'graph.html'
    file.write_text(dag_page(drawn, ['Said about it.']), errors='strict')
    page, wrong, asked = opened(browser, file, **{'viewport': {'width': 1300, 'height': 900}, **surroundings})
    assert (wrong, asked) == ([], [file.as_uri()])
    page.wrong = wrong
    return page


def visible(page: Any) -> int:
    """How many nodes lie at least partly in what is shown of the picture."""
    count: int = page.evaluate(
        """() => { const frame = document.getElementById('canvas').getBoundingClientRect();
        return [...document.querySelectorAll('g.box')].filter(box => { const at = box.getBoundingClientRect();
          return at.width > 4 && at.right > frame.left
             && at.left < frame.right && at.bottom > frame.top && at.top < frame.bottom;
        }).length; }"""
    )
    return count


@pytest.mark.parametrize('scheme', ['light', 'dark'])
@pytest.mark.parametrize('count', [1, 10, 100, 1000])
def test_nodes_are_to_be_seen(browser: Any, tmp_path: Path, count: int, scheme: str) -> None:
    page = shown(browser, tmp_path, some(count), color_scheme=scheme)
    assert page.locator('g.box').count() == count
    assert visible(page) >= min(count, 10)
    size = page.evaluate("document.querySelector('g.box text').getBoundingClientRect().height")
    assert size >= 7  # it starts where names can be read
    page.click('#fit')
    assert visible(page) == count or count == 1000
    colours = page.evaluate(
        "[getComputedStyle(document.querySelector('g.box text')).fill, getComputedStyle(document.body).backgroundColor]"
    )
    assert colours[0] != colours[1]
    assert page.wrong == []
    page.context.close()


def test_names_fit_into_their_boxes(browser: Any, tmp_path: Path) -> None:
    page = shown(browser, tmp_path, some(60))
    wide = page.evaluate(
        """() => [...document.querySelectorAll('g.box')].filter(box => box.querySelector('text').getBBox().width
        > box.querySelector('rect').getBBox().width).map(box => box.textContent)"""
    )
    assert wide == []
    page.context.close()


def test_a_click_tells_what_is_known_and_shows_what_belongs_together(browser: Any, tmp_path: Path) -> None:
    page = shown(browser, tmp_path, drawing('a>b b>c a>d', 'e'))
    page.click('g.box[data-id="b"]')
    assert 'b' in page.inner_text('#panel h3') and 'a' in page.inner_text('#panel') and 'c' in page.inner_text('#panel')
    far = page.evaluate("[...document.querySelectorAll('g.box.far')].map(box => box.dataset.id)")
    assert sorted(far) == ['d', 'e']
    page.click('g.box[data-id="e"]')
    assert 'e' in page.inner_text('#panel h3')
    page.keyboard.press('Escape')
    page.click('#canvas', position={'x': 5, 'y': 5})
    assert page.locator('g.box.far').count() == 0 and not page.is_visible('#panel')
    assert page.wrong == []
    page.context.close()


def test_what_was_clicked_stays_in_sight(browser: Any, tmp_path: Path) -> None:
    """The panel takes room from the picture."""
    page = shown(browser, tmp_path, drawing(' '.join(f's{n}>s{n + 1}' for n in range(9))))
    page.click('g.box[data-id="s8"]')
    assert page.is_visible('#panel')
    assert page.evaluate(
        """() => document.querySelector('g.box.chosen').getBoundingClientRect().right
        <= document.getElementById('canvas').getBoundingClientRect().right"""
    )
    page.context.close()


def test_it_is_found_zoomed_and_moved(browser: Any, tmp_path: Path) -> None:
    page = shown(browser, tmp_path, some(1000))
    page.fill('#find', 'stage-777')
    assert page.inner_text('#hits') == '1 match'
    assert page.evaluate(
        """() => { const frame = document.getElementById('canvas').getBoundingClientRect();
        const at = document.querySelector('g.box.found').getBoundingClientRect();
        return at.left >= frame.left && at.right <= frame.right && at.top >= frame.top && at.bottom <= frame.bottom; }"""
    )
    page.fill('#find', '')
    before = page.get_attribute('svg.dag', 'viewBox')
    page.mouse.move(400, 500)
    page.mouse.wheel(0, -300)
    page.wait_for_function('before => document.querySelector("svg.dag").getAttribute("viewBox") !== before', arg=before)
    zoomed = page.get_attribute('svg.dag', 'viewBox')
    assert float(zoomed.split()[2]) < float(before.split()[2])
    page.mouse.down()
    page.mouse.move(300, 450)
    page.mouse.up()
    moved = page.get_attribute('svg.dag', 'viewBox')
    assert float(moved.split()[0]) > float(zoomed.split()[0]) and moved.split()[2] == zoomed.split()[2]
    assert page.locator('g.box.chosen').count() == 0  # that was no click
    page.focus('g.box')
    page.keyboard.press('Enter')
    assert page.locator('g.box.chosen').count() == 1
    assert page.wrong == []
    page.context.close()


def test_hostile_names_do_nothing(browser: Any, tmp_path: Path) -> None:
    page = shown(browser, tmp_path, hostile())
    assert page.locator('g.box').count() == len(HOSTILE)
    for number in range(len(HOSTILE)):
        page.evaluate(f"document.getElementById('n{number}').dispatchEvent(new MouseEvent('click', {{bubbles: true}}))")
    page.fill('#find', '<script>')
    assert page.inner_text('#hits') == '1 match'
    assert page.wrong == []
    page.context.close()


def test_without_scripts_everything_is_there(browser: Any, tmp_path: Path) -> None:
    page = shown(browser, tmp_path, drawing('a>b b>c'), java_script_enabled=False)
    assert page.is_visible('g.box[data-id="c"]') and page.is_visible('#details') and not page.is_visible('#tools')
    page.context.close()


def test_on_paper(browser: Any, tmp_path: Path) -> None:
    page = shown(browser, tmp_path, drawing('a>b b>c'))
    page.emulate_media(media='print')
    assert page.is_visible('#details') and not page.is_visible('#tools')
    page.context.close()


@pytest.mark.parametrize('width', [400, 800, 1900])
def test_nothing_sticks_out(browser: Any, tmp_path: Path, width: int) -> None:
    page = shown(browser, tmp_path, some(30), viewport={'width': width, 'height': 700})
    page.evaluate("document.getElementById('n3').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    assert page.evaluate('document.documentElement.scrollWidth') <= width
    page.context.close()
