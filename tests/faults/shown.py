"""What text does where it is shown: as Markdown of a forge, as HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from markdown_it import MarkdownIt

OURS = {'code', 'details', 'summary'}
MARKER = re.compile(r'\A<!-- (?:mlops ci report [0-9a-f]{16}|made by mlops) -->')
# What a forge makes of plain text: mentions, references, addresses.
_BY_FORGES = re.compile(r'(?<![\w`])@\w|(?<!\w)#\d|(?<!\w)GH-\d|www\.\w|(?:https?|ftp)://|\w@\w+\.\w', re.IGNORECASE)
# Control characters, and what turns text around or does not show.
_UNSEEN = re.compile('[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff'
                     '\U000e0000-\U000e007f\ud800-\udfff]')


def acting(markdown: str) -> list[str]:
    """What a page in Markdown does beside saying something: links, pictures, HTML, mentions, a table that is torn."""
    found = [f'character {one!r}' for one in _UNSEEN.findall(markdown)]
    html = MarkdownIt('commonmark', {'html': True}).enable('table').enable('strikethrough').render(MARKER.sub('', markdown))
    page = _Page()
    page.feed(html)
    page.close()
    return [*found, *page.wrong]


def scripted(html: str) -> list[str]:
    """What a page or a picture does beside showing something: it asks the network, runs a script, sends a form."""
    page = _Elements()
    page.feed(html)
    page.close()
    hidden = (one for one in _UNSEEN.findall(html) if one not in '\u200c\u200d')  # joiners are part of words
    return [*(f'character {one!r}' for one in hidden), *page.wrong]


class _Elements(HTMLParser):
    ACTIVE = frozenset({'script', 'iframe', 'object', 'embed', 'form', 'base', 'foreignobject', 'image', 'a', 'use', 'set'})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            leads = name.endswith(('href', 'src', 'action', 'srcset')) and not (value or '').startswith(('data:', '#'))
            if name.startswith('on') or leads or (name == 'http-equiv' and value != 'Content-Security-Policy'):
                self.wrong.append(f'<{tag} {name}={value!r}>')
        if tag in self.ACTIVE:
            self.wrong.append(f'<{tag}>')

    def handle_comment(self, data: str) -> None:
        self.wrong.append(f'a comment {data[:40]!r}')


class _Page(HTMLParser):
    """``wrong``: elements that no page of ours has, text outside of code that a forge makes something of."""

    USUAL = frozenset({'p', 'h1', 'h2', 'h3', 'table', 'thead', 'tbody', 'tr', 'th', 'td', 'strong', 'ul', 'li', 'br', *OURS})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []
        self._code = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        others = [name for name, _ in attrs if name not in ('style',)]
        if tag not in self.USUAL or others:
            self.wrong.append(f'<{tag} {" ".join(others)}>')
        self._code += tag == 'code'

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag == 'code'

    def handle_comment(self, data: str) -> None:
        self.wrong.append(f'a comment {data[:40]!r}')

    def handle_data(self, data: str) -> None:
        if not self._code and (found := _BY_FORGES.search(data)):
            self.wrong.append(f'{data[max(0, found.start() - 20) : found.end() + 20]!r} outside of code')
