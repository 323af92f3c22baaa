"""Narrow terminals: lines are broken, names lose their middle, commands stay whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_cli.cli.console import Line, cells
from mlops_cli.cli.narrow import narrowed, shortened


def texts(text: str, columns: int = 40, word: str = '', *, whole: bool = False) -> list[str]:
    return [line.text for line in narrowed([Line(text, word)], columns, whole=whole)]


def test_what_fits_is_left_alone() -> None:
    assert narrowed([Line('  a   b', 'a', 'red')], 40) == [Line('  a   b', 'a', 'red')]


def test_a_sentence_is_broken_below_its_beginning() -> None:
    assert texts('  ' + 'word ' * 12, 30) == ['  word word word word word', '    word word word word word', '    word word']


def test_only_the_line_with_the_word_is_stressed() -> None:
    lines = narrowed([Line('first of many words, and failed among the last of them', 'failed')], 30)
    assert [line.word for line in lines] == ['', 'failed', '']


def test_a_long_name_loses_its_middle_but_not_in_a_command() -> None:
    name = 'train_with_a_very_long_name_for_a_stage@1'
    assert texts(f'  {name}', 40) == ['  train_with_a_very…name_for_a_stage@1']
    assert texts(f'{" " * 20}(mlops logs {name})', 40)[-1].strip() == f'{name})'
    assert texts(f'  {name}', 40, whole=True) == [f'  {name}']


@given(st.text(alphabet='ab日 e\u0301', max_size=120), st.integers(0, 30))
def test_lines_fit(text: str, indent: int) -> None:
    assert all(cells(line) <= 40 for line in texts(' ' * indent + text))


@pytest.mark.parametrize('columns', [3, 8, 9])
def test_shortened(columns: int) -> None:
    assert cells(shortened('abcdefghijkl', columns)) == columns
    assert shortened('abc', columns) == 'abc'
