"""No page points at what is not there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.tour import ROOT

LINK = re.compile(r'\]\(([^)#\s]+)(?:#[^)]*)?\)')


def pages() -> list[Path]:
    listed = subprocess.run(['git', 'ls-files', '-z', '*.md'], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in listed.split('\0') if name]


@pytest.mark.parametrize('page', pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if '://' not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []
