"""No page points at what is not there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.tour import ROOT

LINK = re.compile(r'\]\(([^)#\s]+)(?:#[^)]*)?\)')
ANCHOR = re.compile(r'\]\(([^)#\s]*)#([^)]+)\)')
FENCE = re.compile(r'(?ms)^```.*?^```$')


def pages() -> list[Path]:
    listed = subprocess.run(['git', 'ls-files', '-z', '*.md'], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in listed.split('\0') if name]


@pytest.mark.parametrize('page', pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if '://' not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def anchors(page: Path) -> set[str]:
    """The names that a forge gives a page's headings."""
    headings = re.findall(r'(?m)^#{1,6} (.*)$', FENCE.sub('', page.read_text()))
    plain = (re.sub(r'\[([^]]*)\]\([^)]*\)', r'\1', heading).replace('`', '') for heading in headings)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).strip().replace(' ', '-') for heading in plain}


@pytest.mark.parametrize('page', pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_into_pages_lead_to_headings(page: Path) -> None:
    links = [(path, anchor) for path, anchor in ANCHOR.findall(FENCE.sub('', page.read_text())) if '://' not in path]
    inside = [(page.parent / path if path else page, anchor) for path, anchor in links if path.endswith('.md') or not path]
    assert [(str(target), anchor) for target, anchor in inside if anchor not in anchors(target)] == []


@pytest.mark.parametrize('contents', ['docs/README.md', 'docs/decisions/README.md', 'docs/formats/README.md'])
def test_every_page_is_in_a_list_of_contents(contents: str) -> None:
    """A page below a folder with a list of its own stands in that one."""
    page = ROOT / contents
    linked = {(page.parent / link).resolve() for link in LINK.findall(page.read_text())}
    lists = {one.parent for one in pages() if one.name == 'README.md'}

    def nearest(one: Path) -> Path:
        start = one.parent.parent if one.name == 'README.md' else one.parent
        return next(folder for folder in (start, *start.parents) if folder in lists)

    below = [one for one in pages() if one != page and page.parent in one.parents]
    mine = [one for one in below if nearest(one) == page.parent]
    assert len(mine) > 5
    assert [str(one.relative_to(ROOT)) for one in mine if one.resolve() not in linked] == []
