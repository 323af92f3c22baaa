"""Two long texts, told by the words that differ."""

from __future__ import annotations

import pytest

from mlops_cli.core.sources import is_source
from mlops_cli.core.worddiff import MOST_WORDS, changed_words


@pytest.mark.parametrize(
    ('before', 'after', 'found'),
    [
        ('t.py --epochs 20 --lr 0.1', 't.py --epochs 30 --lr 0.1', (('--epochs 20', '30'),)),
        ('t.py --epochs=20 x', 't.py --epochs=30 x', (('--epochs=20', '--epochs=30'),)),
        ('t.py --epochs 20', 't.py --epochs 20 --amp', (('', '--amp'),)),
        ('t.py "a b" c', "t.py 'a d' c", (('"a b"', "'a d'"),)),
        ('t.py a b c', 't.py x b y', (('a', 'x'), ('c', 'y'))),
        ('t.py --layers 1 2 3', 't.py --layers 1 2', (('3', ''),)),
        ('a b c', 'd e f', ()),
        ('a', 'a', ()),
        ('', 'a', ()),
        ('a ' * (MOST_WORDS + 1), 'a', ()),
    ],
)
def test_changed_words(before: str, after: str, found: tuple[tuple[str, str], ...]) -> None:
    assert changed_words(before, after) == found


@pytest.mark.parametrize('path', ['a.py', 'src/run.SH', 'bin/train', '.profile', 'n.ipynb', 'fit.R', 'Makefile'])
def test_source(path: str) -> None:
    assert is_source(path)


@pytest.mark.parametrize('path', ['in.txt', 'data/a.csv', 'x.tar.gz', 'model.bin', 'conf.yaml'])
def test_no_source(path: str) -> None:
    assert not is_source(path)
