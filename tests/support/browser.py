"""A real browser without a network, for tests of pages.

Needs Chromium and PyPI's playwright.  Where they are missing the tests fail, unless MLOPS_NO_BROWSER=1 leaves them out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

LEFT_OUT = pytest.mark.skipif(os.environ.get('MLOPS_NO_BROWSER') == '1', reason='MLOPS_NO_BROWSER=1')


@contextmanager
def chromium() -> Iterator[Any]:
    """Started, headless."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.fail('the browser tests need PyPI playwright (pip install playwright), or MLOPS_NO_BROWSER=1 to leave them out')
    program = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
    if program is None:
        pytest.fail('the browser tests need Chromium (apt install chromium), or MLOPS_NO_BROWSER=1 to leave them out')
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=['--no-sandbox', '--disable-gpu'])
        try:
            yield started
        finally:
            started.close()


def opened(browser: Any, file: Path, **surroundings: Any) -> tuple[Any, list[str], list[str]]:
    """The page, what went wrong on it, what it asked for."""
    wrong: list[str] = []
    asked: list[str] = []
    page = browser.new_context(**{'offline': True, **surroundings}).new_page()
    page.on('console', lambda message: wrong.append(f'{message.type}: {message.text}'))
    page.on('pageerror', lambda error: wrong.append(str(error)))
    page.on('dialog', lambda dialog: wrong.append(f'dialog: {dialog.message}'))
    page.on('request', lambda request: asked.append(request.url) if not request.url.startswith('data:') else None)
    page.goto(file.as_uri())
    page.wait_for_load_state('load')
    return page, wrong, asked
