"""Markdown that what stands in it cannot break out of: mentions, links, HTML, tables, commands of forges and of CI logs.

Whatever a branch could have chosen is shown as code, with every character that means something to any of those that read it
written as an entity.  In code, forges look for no mentions, references or links."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlops_cli.core.patterns import pattern

LONGEST = 120  # characters of one value
REPLACED = '\ufffd'
# What does not show, or turns around what does; as the terminal has it, and line ends as well.
HIDDEN = pattern(
    '[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f'
    '\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff\ud800-\udfff]'
)
_ACTIVE = pattern(r'([\\`*_{}\[\]()<>#+!|~&])')
_BEGINS = pattern(r'\A(?=[-=])|\A([0-9]+)(?=[.)](?:\s|\Z))')  # a list, a rule, a heading
# What forges look for in the text that is left when no Markdown is: no backslash keeps it from them, but code does.
_FOUND = pattern(r'(?i:[@#]|://|www\.|\bgh-[0-9])')
_BLANK = pattern(r'[\t\r\n ]+')


def foreign(value: object, most: int = LONGEST) -> str:
    """Anything, as code that means nothing but itself."""
    text = HIDDEN.sub(REPLACED, str(value))
    if len(text) > most:
        text = text[: most - 1] + '\u2026'
    return f'<code>{"".join(map(_entity, text))}</code>'


def plain(text: str) -> str:
    """Text that is shown as it is, on one line: no markup, no link, no picture, no mention, no control character."""
    text = HIDDEN.sub(REPLACED, _BLANK.sub(' ', text).strip())
    return foreign(text, len(text)) if _FOUND.search(text) else _BEGINS.sub(r'\1\\', _ACTIVE.sub(r'\\\1', text))


def _entity(character: str) -> str:
    plain = character.isalnum() or character == ' ' or ord(character) > 0x2000
    return character if plain else f'&#{ord(character)};'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """``head`` and ``rows``: Markdown already; a name that ends in ``:`` heads a column that is set to the right."""
    titles = [name.rstrip(':') for name in head]
    rules = ['--:' if name.endswith(':') else '---' for name in head]
    return [_row(titles), _row(rules), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f'| {" | ".join(cells)} |'


def folded(summary: str, lines: Sequence[str]) -> list[str]:
    """Lines that are shown when somebody asks.  ``summary``: Markdown already."""
    return [f'<details><summary>{summary}</summary>', '', *lines, '', '</details>'] if lines else []
