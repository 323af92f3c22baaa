"""What is printed in large pieces, and measured and encoded the quick way, is what one thing after the other gives."""

from __future__ import annotations

import io
import json
import random
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from mlops_cli.cli import console
from mlops_cli.cli.console import Line, cells, clip, out, out_lines, pad, print_json
from mlops_cli.cli.screens.runs_list import list_lines
from mlops_cli.cli.tables import GAP, Column, table
from tests.cli.values import NOW, listed

TEXTS = (
    '', 'a', 'ada', '12.5', 'failed', 'łódź', '日本語', 'Ａ', 'né\u0301e',
    '👩\u200d🔬', '\u00a0', '  blanks  ', 'x' * 30, '日' * 12, '…', '~',
)  # fmt: skip
UNSAFE = ('esc\x1b[31mred', 'bidi\u202e', 'two\nlines', 'tab\t', '\x7f', '\ud800', '→ ●')


def by_cells(head: Sequence[Column], rows: Sequence[Sequence[str]], columns: int, indent: int) -> list[str]:
    """A table, each cell of which is looked at by itself."""
    kept = [i for i, column in enumerate(head) if not column.optional or any(row[i] for row in rows)]
    wanted = [max(cells(text) for text in (column.name, *(row[i] for row in rows))) for i, column in enumerate(head)]
    least = [min(wanted[i], column.least or wanted[i]) for i, column in enumerate(head)]

    def spare() -> int:
        return columns - indent - sum(least[i] for i in kept) - GAP * (len(kept) - 1)

    for i in kept[::-1]:
        if spare() < 0 and head[i].optional:
            kept.remove(i)
    room, widths = max(spare(), 0), dict.fromkeys(kept, 0)
    for i in kept:
        widths[i] = least[i] + min(wanted[i] - least[i], room)
        room -= widths[i] - least[i]
    lines = []
    for line in ([column.name for column in head], *rows):
        shown = [pad(clip(line[i], widths[i]), widths[i], right=head[i].right) for i in kept]
        lines.append((' ' * indent + (' ' * GAP).join(shown)).rstrip())
    return lines


@pytest.mark.parametrize('seed', range(60))
def test_a_table_is_as_cell_by_cell(seed: int) -> None:
    chance = random.Random(seed)
    texts = TEXTS if seed % 3 else [text for text in TEXTS if text.isascii()]
    head = [
        Column(chance.choice(TEXTS), chance.random() < 0.4, chance.choice((0, 0, 1, 4, 9)), chance.random() < 0.5)
        for _ in range(chance.randrange(1, 9))
    ]
    rows = [[chance.choice(texts) for _ in head] for _ in range(chance.randrange(12))]
    for columns in (1, 12, 40, 77, 200):
        assert table(head, rows, columns) == by_cells(head, rows, columns, 2)
        assert table(head, rows, columns, 0) == by_cells(head, rows, columns, 0)


class Stream(io.StringIO):
    """Standard output."""

    def __init__(self, encoding: str, watched: bool) -> None:
        super().__init__()
        self.says, self.watched = encoding, watched

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.says

    def isatty(self) -> bool:
        return self.watched


@pytest.mark.parametrize('encoding', ['utf-8', 'ascii'])
@pytest.mark.parametrize('watched', [True, False])
@pytest.mark.parametrize('foreign', [True, False])
def test_many_lines_at_once_are_as_one_by_one(
    monkeypatch: pytest.MonkeyPatch, encoding: str, watched: bool, foreign: bool
) -> None:
    monkeypatch.delenv('NO_COLOR', raising=False)
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.setattr(console, 'PIECE', 7)
    chance = random.Random(1)
    lines: list[str | Line] = []
    for _ in range(50):
        text = ' '.join(chance.choices((*TEXTS, *UNSAFE), k=4))
        lines.append(chance.choice((text, Line(text, chance.choice(('failed', 'killed'))), Line(text, '', 'green'))))
    printed = []
    for whole in (lines, iter(lines)):
        monkeypatch.setattr(sys, 'stdout', stream := Stream(encoding, watched))
        out_lines(whole, foreign=foreign)
        printed.append(stream.getvalue())
    monkeypatch.setattr(sys, 'stdout', stream := Stream(encoding, watched))
    for line in lines:
        out(line, foreign=foreign)
    assert printed == [stream.getvalue()] * 2
    assert ('\x1b[31mfailed\x1b[0m' in printed[0]) is watched and '\x1b[31mred' not in printed[0]


def test_lines_that_are_not_known_yet_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, 'stdout', stream := Stream('utf-8', False))

    def lines() -> Any:
        yield 'first'
        assert stream.getvalue() == 'first\n'
        yield 'second'

    out_lines(lines())
    assert stream.getvalue() == 'first\nsecond\n'


@pytest.mark.parametrize(
    'document',
    [
        {},
        {'a': 1, 'b': None, 'c': 'ü"\\\n\x1b', 'd': 1e300, 'e': float('nan'), 'f': -float('inf'), 'g': True, 'h': 0.1},
        {'rows': [], 'none': {}, 'tuple': (), 'more': [[], {}]},
        {'rows': [{}, {'a': 1, 'b': 'ü, \n": '}, {'a': [1, 2], 'b': {}}, {'a': {'b': [{'c': 1}]}}], 'rest': [1, 'a', [2]]},
        {'rows': [{'a': 1}, 2, {'path': io.StringIO}], 'deep': {'rows': [{'a': 1}, {'b': [True, None]}]}},
        {'rows': tuple({'number': number, 'text': 'x' * number} for number in range(1203))},
    ],
)
def test_a_document_is_as_the_standard_library_writes_it(document: Any, capsys: pytest.CaptureFixture[str]) -> None:
    print_json(document)
    assert capsys.readouterr().out == json.dumps(document, indent=1, default=str) + '\n'
    if rows := document.get('rows'):
        print_json({'rows': iter(rows)})
        assert capsys.readouterr().out == json.dumps({'rows': rows}, indent=1, default=str) + '\n'


def test_the_word_of_a_line_says_how_its_run_ended() -> None:
    """Whatever else stands there."""
    endings = ('done', 'failed', 'killed', 'interrupted')
    rows = [
        listed(id=f'20261120T10152{n}Z-7k2m9q4{n}', ended=ended, params={'how': endings[n - 1]})
        for n, ended in enumerate(endings)
    ]
    lines = list_lines(rows, frozenset(), ('ended', 'param.how'), NOW, 100)
    assert [line.word for line in lines[1:]] == ['done', 'failed', 'killed', 'stopped']


def test_many_runs_are_listed_as_a_few() -> None:
    """What is made once for all that are alike is what each would have by itself."""
    chance = random.Random(3)
    rows = []
    for number in range(60):
        counts = {state: chance.randrange(3) for state in ('done', 'restored', 'failed', 'skipped', 'interrupted')}
        ago = chance.choice((5.0, 4000.0, 1e5, 1.296e5, 2.1e5, 2.5e5, 1e6)) * chance.uniform(0.9, 1.1)
        rows.append(
            listed(
                id=f'20261120T1015{number:02}Z-7k2m9q4c', counts=counts, fresh=chance.randrange(3), who=chance.choice(TEXTS),
                ended=chance.choice(('done', 'killed')), seconds=chance.random(), overlay=(),
            )._replace(began=NOW - ago)
        )  # fmt: skip
    chosen = ('when', 'who', 'stages', 'seconds', 'ended')
    together = [line.text.split() for line in list_lines(rows, frozenset(), chosen, NOW, 200)[1:]]
    assert together == [list_lines([row], frozenset(), chosen, NOW, 200)[1].text.split() for row in rows]
