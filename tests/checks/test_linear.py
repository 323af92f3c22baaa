"""Patterns without backtracking say what the standard library says, and say it in time."""

from __future__ import annotations

import itertools
import random
import re
import time
import tracemalloc

import pytest

from mlops_cli.checks.linear import Linear


@pytest.mark.parametrize('text', [
    'a*b', '(a|b)*c', 'a{2,3}b?', '[a-c]+', '[^a]*', '(ab|a)(c|bc)', 'a.c', '(?:a?b){1,2}', r'\d+a|\w', '', '(a*)*b', '(|a)b',
    r'[\d-]+', 'a{0}b', '(a|ab)(bc|c)?', r'\S\s*',
])  # fmt: skip
def test_as_the_standard_library(text: str) -> None:
    mine, theirs = Linear(text), re.compile(text, re.ASCII)
    for length in range(5):
        for letters in itertools.product('abc1-', repeat=length):
            value = ''.join(letters)
            assert mine.matches(value) is bool(theirs.fullmatch(value)), value


def test_made_up_patterns() -> None:
    chance = random.Random(1)

    def made(depth: int) -> str:
        kind = chance.randrange(5) if depth else 0
        if kind == 0:
            return chance.choice(['a', 'b', '[ab]', '.', r'\w'])
        if kind == 1:
            return made(depth - 1) + made(depth - 1)
        if kind == 2:
            return f'(?:{made(depth - 1)}|{made(depth - 1)})'
        return f'({made(depth - 1)}){chance.choice(["*", "+", "?", "{1,2}", "{2}", "{1,}"])}'

    for _ in range(150):
        text = made(4)
        mine, theirs = Linear(text), re.compile(text, re.ASCII)
        for length in range(4):
            for letters in itertools.product('abc', repeat=length):
                assert mine.matches(''.join(letters)) is bool(theirs.fullmatch(''.join(letters))), (text, letters)


@pytest.mark.parametrize('text', ['(a*)*b', '(a|a)*b', 'a*a*a*a*a*b', '(a?){100}a{100}b'])
def test_nothing_takes_for_ever(text: str) -> None:
    start = time.process_time()
    assert not Linear(text).matches('a' * 20_000 + 'c')
    assert time.process_time() - start < 5


@pytest.mark.parametrize('text', [
    '(', ')', '[a', '*', 'a**', '(?=a)', r'\1', 'a{3,1}', 'a{1', '^a$', '[b-a]', 'a' * 201, '(a{100}){100}', '\\',
    '(' * 30 + ')' * 30,
])  # fmt: skip
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(ValueError):
        Linear(text)


@pytest.mark.parametrize('text', ['((){999}){999}', '(((|){99}){99}){99}', '((((){999}){999}){999}){999}'])
def test_repetitions_of_nothing(text: str) -> None:
    start = time.process_time()
    with pytest.raises(ValueError, match='repetitions'):
        Linear(text)
    assert time.process_time() - start < 2


def test_what_is_remembered_is_bounded() -> None:
    found, chance = Linear('(a|b)*a(a|b){230}'), random.Random(1)
    tracemalloc.start()
    assert found.matches(''.join(chance.choice('ab') for _ in range(15_000))) in (True, False)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 100 << 20
