"""The page and the picture of a graph: well-formed, harmless whatever names there are, and complete without its script."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest

from mlops_cli.report.dag import Drawing, Edge, Node
from mlops_cli.report.dag_page import dag_page
from mlops_cli.report.dag_script import SCRIPT
from mlops_cli.report.dag_svg import svg
from tests.report.test_dag import drawing, some
from tests.report.test_dag_text import HOSTILE, hostile

SVG = '{http://www.w3.org/2000/svg}'


class Elements(HTMLParser):
    """What a browser would make elements and attributes of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.attributes |= {name for name, _ in attrs}


def test_the_picture_is_well_formed_and_holds_every_node() -> None:
    for alone in (True, False):
        tree = ElementTree.fromstring(svg(hostile(), alone=alone))
        boxes = [element for element in tree.iter(f'{SVG}g') if 'box' in element.get('class', '').split()]
        assert len(boxes) == len(HOSTILE)
        texts = [box.findall(f'{SVG}text')[0].text or '' for box in boxes]
        assert texts[0] == 'train@a"b' and texts[4] == '<script>alert(1)</script>'
        assert len([element for element in tree.iter(f'{SVG}path') if element.get('class') == 'wire']) == len(HOSTILE) - 1


def test_a_picture_of_its_own_brings_its_colours() -> None:
    text = svg(drawing('a>b'), alone=True)
    used = set(re.findall(r'var\((--[a-z]+)\)', text))
    assert used <= set(re.findall(r'(--[a-z]+):', text))
    assert 'prefers-color-scheme:dark' in text and 'http' not in text.replace('http://www.w3.org/2000/svg', '')


def test_no_name_becomes_an_element_of_the_page() -> None:
    calm = Drawing('x', tuple(Node(f'n{n}', 'name', node.kind, 'name') for n, node in enumerate(hostile().nodes)))
    calm = Drawing('x', calm.nodes, tuple(Edge(f'n{n}', f'n{n + 1}') for n in range(len(calm.nodes) - 1)))
    one, two = Elements(dag_page(hostile())), Elements(dag_page(calm))
    assert one.tags == two.tags and one.attributes == two.attributes
    assert not any(name.startswith('on') for name in one.attributes)


def test_without_its_script_the_page_tells_everything() -> None:
    nodes = (
        Node('a', 'prepare', details=(('command', 'python prepare.py'), ('makes', 'data/prepared'))),
        Node('b', 'train', note='run', state='run', details=(('params', 'rate 0.1\ndepth 8'),)),
    )
    text = dag_page(
        Drawing('Stages', nodes, (Edge('a', 'b', 'data/prepared'),)), ['2 stages.'], {'run': 'it has to run', 'fresh': 'x'}
    )
    for said in ('python prepare.py', 'rate 0.1\ndepth 8', '2 stages.', 'it has to run', 'prepare (data/prepared)'):
        assert said in text
    assert '<b>fresh</b>' not in text  # no node is in that state
    assert text.count('<article') == 2


def test_the_script_holds_nothing_of_a_project() -> None:
    pages = [dag_page(drawing('a>b')), dag_page(hostile())]
    scripts = [re.findall(r'<script>(.*?)</script>', page, re.DOTALL) for page in pages]
    assert scripts == [[SCRIPT], [SCRIPT]]
    for word in ('innerHTML', 'eval', 'fetch', 'XMLHttpRequest', 'import(', 'document.write', 'outerHTML', 'insertAdjacent'):
        assert word not in SCRIPT


def test_nothing_to_draw() -> None:
    page = dag_page(Drawing('Stages', ()))
    assert 'There is nothing to draw.' in page and '<script>' not in page


@pytest.mark.parametrize('count', [1, 10, 100, 1000])
def test_sizes(count: int) -> None:
    page = dag_page(some(count))
    assert page.count('<article') == count and len(page) < 4_000_000
