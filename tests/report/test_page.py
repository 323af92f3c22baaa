"""Pages that stand alone."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from mlops_cli.report.page import escape, page

HOSTILE = '<script>alert(1)</script>"\' onload=x &amp; \x1b[31m\x00 \u202edlrow \ud800'


class Reader(HTMLParser):
    """What a browser would see: tags with their attributes, and texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_what_is_escaped_is_text_and_nothing_else() -> None:
    found = Reader(f'<p title="{escape(HOSTILE)}">{escape(HOSTILE)}</p>')
    assert [tag for tag, _ in found.tags] == ['p']
    assert list(found.tags[0][1]) == ['title']
    assert found.texts[0].startswith('<script>alert(1)</script>"\'')
    assert not re.search('[\x00\x1b\u202e\ud800]', found.texts[0])
    found.texts[0].encode()  # no lone surrogate is left


def test_ordinary_text_stays_as_it_is() -> None:
    assert escape('train@forest-1 🦉 é ñ 数\n') == 'train@forest-1 🦉 é ñ 数\n'


def test_a_page_asks_for_nothing() -> None:
    found = Reader(page('T <b>', '<p>x</p>'))
    policy = next(one['content'] for tag, one in found.tags if one.get('http-equiv') == 'Content-Security-Policy')
    assert policy is not None and policy.startswith("default-src 'none'") and 'script-src' not in policy
    links = [value for _, one in found.tags for name, value in one.items() if name in ('src', 'href')]
    assert links == ['data:,']
    assert 'T <b>' in found.texts


def test_only_the_script_of_the_page_may_run() -> None:
    text = page('T', '', script='console.log(1)')
    policy = re.search('content="(default-src[^"]*)"', text)
    # openssl dgst -sha256 -binary | base64, of those 14 bytes
    assert policy and "script-src 'sha256-CihokcEcBW4atb/CW/XWsvWwbTjqwQlE9nj9ii5ww5M='" in policy[1]
    assert 'unsafe-inline' not in policy[1].partition('script-src')[2]


@pytest.mark.parametrize('inner', [{'script': 'a</SCRIPT >'}, {'style': '</style>'}, {'script': '<!-- '}])
def test_what_would_end_its_element_is_refused(inner: dict[str, str]) -> None:
    with pytest.raises(ValueError, match='inside its element'):
        page('T', '', **inner)
