"""Text for terminals: nothing that acts or hides, and columns that are right."""

from __future__ import annotations

import io
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_cli.cli import console
from mlops_cli.cli.console import Line, out
from mlops_cli.cli.console.text import ascii_marks, cells, clip, fill, no_command, one_line, pad, plain, safe, wrap
from mlops_cli.report.dag_text import _CORNERS, MARKS
from tests.cli.hostile import HOSTILE, harmless


def test_safe_keeps_what_people_write() -> None:
    text = 'Grüße, 数据, данные, ‘quotes’, tab\tand\nline, emoji 🎉, e\u0301'
    assert safe(text) == text


@pytest.mark.parametrize('text', HOSTILE)
def test_nothing_hostile_survives(text: str) -> None:
    assert harmless(safe(text)), repr(safe(text))
    assert harmless(plain(text)), repr(plain(text))
    assert '\n' not in one_line(text) and '\t' not in one_line(text) and harmless(one_line(text))


@given(st.text())
def test_no_text_at_all_gets_through_with_a_control_character(text: str) -> None:
    for shown in (safe(text), plain(text), one_line(text)):
        assert not [c for c in shown if unicodedata.category(c) in ('Cc', 'Cs') and c not in '\t\n']
        assert harmless(shown)


@pytest.mark.parametrize(
    ('text', 'shown'),
    [
        ('\x1b[1;31mred\x1b[0m', 'red'),
        ('\x1b]0;title\x07after', 'after'),
        ('\x1b]8;;https://e.org\x1b\\link\x1b]8;;\x1b\\', 'link'),
        ('\x1bPq#0;2;0;0;0\x1b\\sixel', 'sixel'),
        ('\x9b2Jcleared', 'cleared'),
        ('\x1b(Bplain', 'plain'),
        ('half \x1b[', 'half '),
        ('\x1b', '\ufffd'),
        ('epoch 3 \x1b[K', 'epoch 3 '),
    ],
)
def test_plain_leaves_whole_sequences_out(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize(
    ('text', 'columns'),
    [('abc', 3), ('', 0), ('数据', 4), ('🎉.txt', 6), ('e\u0301', 1), ('ａ', 2), ('한글', 4), ('…', 1), ('\u2764\ufe0f', 1)],
)
def test_columns_of_wide_and_combined_characters(text: str, columns: int) -> None:
    assert cells(text) == columns


@given(st.text(), st.integers(1, 40))
def test_clip_never_takes_more_columns_than_there_are(text: str, columns: int) -> None:
    shown = clip(text, columns)
    assert cells(shown) <= max(columns, 1)
    assert shown == text or (shown.endswith('…') and text.startswith(shown[:-1]))


@given(st.text(), st.integers(0, 40))
def test_pad_fills_to_the_column(text: str, columns: int) -> None:
    assert cells(pad(text, columns)) == max(columns, cells(text))
    assert pad(text, columns, right=True).endswith(text)


def test_fill_breaks_between_words_only() -> None:
    assert fill(['alpha', 'beta', 'gamma'], 12) == ['alpha, beta,', 'gamma']
    assert fill(['a' * 30, 'b'], 10) == ['a' * 30 + ',', 'b']
    assert fill([], 10) == []


@given(st.lists(st.text('abc数', min_size=1, max_size=12)), st.integers(4, 40))
def test_fill_loses_nothing(words: list[str], columns: int) -> None:
    lines = fill(words, columns, separator=' ')
    assert ' '.join(lines).split() == words
    assert all(cells(line) <= columns for line in lines if ' ' in line)


def test_wrap_breaks_at_blanks() -> None:
    assert wrap('one two three four', 9) == ['one two', 'three', 'four']


def test_where_only_ascii_is_seen_our_marks_are_plain_and_as_wide() -> None:
    marks = ''.join({*MARKS, *_CORNERS.values(), '…', '⏎', '→', '│', '\ufffd'})
    plain_marks = ascii_marks(marks)
    assert plain_marks.isascii() and cells(plain_marks) == cells(marks)
    assert ascii_marks('日本.csv') == '日本.csv'  # names are left alone


@pytest.mark.parametrize(('variable', 'seen'), [('C', False), ('POSIX', False), ('C.UTF-8', True), ('', True)])
def test_lines_are_plain_in_the_c_locale(variable: str, seen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('LC_CTYPE', 'LANG'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('LC_ALL', variable)
    stream = io.TextIOWrapper(io.BytesIO(), encoding='utf-8')
    monkeypatch.setattr('sys.stdout', stream)
    out(Line('│ a…'))
    out('│ printed', foreign=True)
    stream.seek(0)
    assert stream.read().splitlines() == ['│ a…' if seen else '| a~', '│ printed']


@pytest.mark.parametrize(
    ('text', 'shown'),
    [
        ('::error::x', ': :error::x'),
        ('one\n  \t::set-env name=A::x', 'one\n  \t: :set-env name=A::x'),
        ('a ##[group]x', 'a ## [group]x'),
        ('::::a', ': :::a'),
        ('module::function', 'module::function'),
        ('# [a]', '# [a]'),
    ],
)
def test_a_ci_finds_no_command(text: str, shown: str) -> None:
    assert no_command(text) == shown


def test_what_is_printed_commands_no_ci(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv('GITHUB_ACTIONS', raising=False)
    console.out('::error::x', foreign=True)
    monkeypatch.setenv('GITHUB_ACTIONS', 'true')
    console.out('::error::x', foreign=True)
    console.say('  ::error::x')
    console.print_json({'schema': 'x', 'text': '##[error]'})
    shown = capsys.readouterr()
    assert shown.out.split('\n')[:2] == ['::error::x', ': :error::x'] and shown.err == '  : :error::x\n'
    assert '##[' not in shown.out and json.loads(shown.out.partition('\n')[2].partition('\n')[2])['text'] == '##[error]'
