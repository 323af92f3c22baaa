"""Two states compared, on the screen."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_cli.cli.console import Line, cells, out
from mlops_cli.cli.screens.runs_diff import diff_lines
from mlops_cli.core.digest import digest_of
from mlops_cli.experiments.code import FileChange
from mlops_cli.experiments.compare import Difference, StageChange, UsageChange, ValueChange
from mlops_cli.experiments.metrics import Change, Comparison
from mlops_cli.experiments.points import Point, StagePoint
from mlops_cli.experiments.trees import Counts, PathChange
from tests.cli.hostile import HOSTILE, harmless
from tests.cli.values import TRAIN, digits, run_record

ONE, TWO = digest_of(b'one'), digest_of(b'two')


def difference(text: str = '', **more: Any) -> Difference:
    """Something of everything; ``text`` wherever a text from outside can stand."""
    train = StagePoint(TRAIN[0], 'done')
    before = Point(text if text else 'main (1a2b3c4)', 'revision', {TRAIN[0]: train}, digits(), commit='1a2b3c4' * 5)
    after = Point('run 7k2m9q4c', 'run', {TRAIN[0]: train}, digits(), run_record(), absent=2)
    code = ('--- a', '+++ b', '@@ -1,3 +1,3 @@', f' def fit(x):{text}', f'-\treturn {text or 1}', f'+\treturn {text or 2}')
    long = ('--- a', '+++ b', *(f'+line {n}' for n in range(60)))
    files = tuple(('added' if n % 2 else 'removed', text or f'img/{n}.png', None, 1000 * n) for n in range(8))
    facts: dict[str, Any] = {
        'stages': (
            *(StageChange(name, 'changed', train, train) for name in TRAIN),
            StageChange('prepare', 'same', train, train),
            StageChange(text or 'select', 'added', None, train),
            StageChange('evaluate', 'unknown', train, train, text or 'failed in run 7k2m9q4c'),
        ),
        'params': (
            ValueChange(text or 'train.depth', 8, 12, TRAIN),
            ValueChange('train.model', text or 'forest', {'of': [1, None]}, (TRAIN[0],)),
            ValueChange('new', None, True, ('select',)),
            ValueChange('rate', None, text or 0.1, ('select',), (False, True)),
        ),
        'commands': (ValueChange('cmd', text or 'python -m digits.train', 'python -m digits.train --fast', TRAIN),),
        'code': (
            FileChange(text or 'src/model.py', 'changed', code, 1, 1),
            FileChange('src/long.py', 'added', long, 60, 0),
            FileChange('src/gone.py', 'removed', note=text or 'its source is not in this cache'),
        ),
        'data': (
            PathChange(text or 'data/images', ONE, TWO, inside=Counts(5012, 3, 1, files), stages=('prepare',)),
            PathChange('data/labels.csv', ONE, TWO, stages=('prepare',)),
            PathChange('data/new.csv', None, TWO, stages=('prepare',)),
        ),
        'environment': (ValueChange(text or 'numpy', '1.26.4', text or '2.1.0', TRAIN),),
        'outputs': (
            PathChange(text or 'best.skops', ONE, TWO, 310_000, 312_000),
            PathChange('same-size.bin', ONE, TWO, 3, 3),
            PathChange('gone.txt', ONE, None, 12, None),
        ),
        'metrics': Comparison(
            (
                Change('select', 'best.json', text or 'accuracy', 0.95, 0.97, True, 'max', 0.01, 'better'),
                Change('select', 'best.json', 'loss', 0.2, 0.2, False, 'min', 0.0, 'same'),
            ),
            (),
        ),
        'usage': (
            UsageChange(TRAIN[0], 'seconds', 75.0, 12.5),
            UsageChange(TRAIN[0], 'cpu_seconds', 300.0, 25.0),
            UsageChange('select', 'seconds', None, 1.0),
        ),
    }
    return Difference(before, after, **{**facts, **more})


EMPTY = dict.fromkeys(('params', 'commands', 'code', 'data', 'environment', 'outputs', 'usage'), ())


@pytest.mark.parametrize('columns', [50, 80, 200])
def test_something_of_everything(pinned: Any, columns: int) -> None:
    lines = diff_lines(difference(), columns, code=True, whole=False)
    assert columns == 50 or all(cells(line.text) <= columns for line in lines)
    pinned(f'runs-diff-{columns}', lines)


def test_all_of_it_where_that_is_asked_for() -> None:
    some = [line.text for line in diff_lines(difference(), 80, code=True, whole=False)]
    whole = [line.text for line in diff_lines(difference(), 80, code=True, whole=True)]
    assert any('and 50 lines more: --code shows all' in text for text in some)
    assert '      +line 59' in whole and '      +line 59' not in some
    assert any('loss' in text for text in whole) and not any('loss' in text for text in some)


def test_no_code_names_the_files_only() -> None:
    text = [line.text for line in diff_lines(difference(), 80, code=False, whole=False)]
    assert '  ~ src/model.py  +1 -1' in text and not any('return' in line for line in text)


def test_nothing_differs() -> None:
    same = difference(**EMPTY, stages=(StageChange('prepare', 'same', None, None),), metrics=Comparison((), ()))
    assert same.empty
    lines = diff_lines(same, 80, code=True, whole=False)
    assert 'Nothing differs in what went in or came out.' in [line.text for line in lines]


def test_within_tolerance_counts_as_the_same() -> None:
    row = Change('select', 'best.json', 'accuracy', 0.95, 0.951, True, 'max', 0.01, 'within')
    found = difference(**EMPTY, stages=(StageChange('select', 'same', None, None),), metrics=Comparison((row,), ()))
    assert found.empty
    assert any('within tolerance' in line.text for line in diff_lines(found, 80, code=True, whole=False))


def test_added_and_removed_lines_have_a_colour() -> None:
    styles = {line.text.strip()[:1]: line.style for line in diff_lines(difference(), 80, code=True, whole=False) if line.style}
    assert styles == {'@': 'cyan', '-': 'red', '+': 'green'}


@pytest.mark.parametrize('text', HOSTILE)
@pytest.mark.parametrize('columns', [80, 200])
def test_nothing_hostile_is_printed(text: str, columns: int, capsys: Any) -> None:
    for line in diff_lines(difference(text), columns, code=True, whole=columns == 200):
        assert '\n' not in line.text and '\r' not in line.text
        out(line)
    found = capsys.readouterr()
    assert harmless(found.out) and '\t' not in found.out


def test_colour_is_for_terminals(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr('mlops_cli.cli.terminal.terminal', lambda stream: True)
    out(Line('      +a line', '', 'green'))
    assert capsys.readouterr().out == '\x1b[32m      +a line\x1b[0m\n'
    monkeypatch.setenv('NO_COLOR', '1')
    out(Line('      +a line', '', 'green'))
    assert capsys.readouterr().out == '      +a line\n'
