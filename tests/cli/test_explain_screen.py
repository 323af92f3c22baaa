"""The explanation of one stage."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_cli.cli.console import cells
from mlops_cli.cli.explanation import Explanation, Row
from mlops_cli.cli.screens.explain import explain_lines
from mlops_cli.plan.model import Reason
from tests.cli.values import DEPTH, FIT, GROUPS, TRAIN, step

SAME = (
    Row('command', 'cmd', 'same', None, '{"cmd":"python -m digits.train","shell":"/bin/sh -e"}'),
    Row('code', 'src/digits/__init__.py', 'same', None, 'blake3:' + 'a' * 64),
    Row('data', 'data/prepared', 'same', None, 'blake3:' + 'b' * 64),
    Row('environment', 'secret:TOKEN', 'same', None, 'true'),
    Row('environment', 'SEED', 'same', None, 'absent'),
    Row('output', 'models/f.skops', 'same', None, '{"persist":false}'),
)
CHANGED = (
    Row('command', 'cmd', 'changed', '{"cmd":"python a.py"}', '{"cmd":"python b.py"}'),
    Row('code', 'src/digits/model.py', 'changed', 'blake3:' + 'c' * 64, 'blake3:' + 'd' * 64),
    Row('code', 'src/digits/new.py', 'new', None, 'blake3:' + 'e' * 64),
    Row('param', 'params.yaml:train', 'changed', '{"depth":8,"rate":1}', '{"depth":12,"rate":2}'),
    Row('param', 'params.yaml:trainer', 'gone', '1', None),
    Row('data', 'data/prepared', 'changed', 'blake3:' + 'b' * 64, 'blake3:' + 'f' * 64),
)
REASONS = (
    Reason('command', '', 'python a.py', 'python b.py'),
    FIT,
    Reason('code', 'src/digits/new.py', None, 'eeee', 'new'),
    DEPTH,
    Reason('param', 'train.rate', '1', '2'),
    Reason('param', 'trainer', '1', None),
    Reason('data', 'data/prepared', 'bbbb', 'ffff', '3 changed, 1 new'),
)


def shown(one: Explanation, columns: int = 80, **options: Any) -> list[Any]:
    lines = explain_lines(one, GROUPS, columns, **options)
    assert options.get('everything') or all(cells(line.text) <= columns for line in lines)
    return lines


@pytest.mark.parametrize('columns', [80, 200])
def test_what_changed_comes_first(pinned, columns: int) -> None:
    one = Explanation(
        step(TRAIN[2], 'run', *REASONS),
        (*CHANGED, *SAME[2:]),
        REASONS,
        'blake3:' + '1' * 64,
        held=True,
        unknown=('scripts/train.sh calls python, and what a shell script calls is not followed; list it under code',),
        python='/usr/bin/python3',
        files=tuple(f'src/digits/m{n}.py' for n in range(9)),
        modules=('numpy', 'sklearn'),
    )
    pinned(f'explain-changed-{columns}', shown(one, columns))


def test_everything(pinned) -> None:
    rows = (*CHANGED, *SAME[2:])
    one = Explanation(step(TRAIN[2], 'run', *REASONS), rows, REASONS, 'blake3:' + '1' * 64, files=('a.py',) * 9)
    pinned('explain-changed-verbose', shown(one, 100, everything=True))


def test_a_fresh_stage_lists_what_it_is_made_of(pinned) -> None:
    pinned('explain-fresh', shown(Explanation(step(TRAIN[2], 'fresh'), SAME, files=('src/digits/__init__.py',))))


def test_a_stage_that_never_ran(pinned) -> None:
    pinned('explain-never', shown(Explanation(step('prepare', 'run', Reason('never-run', '', detail='never run')), SAME)))


def test_one_whose_inputs_are_not_settled(pinned) -> None:
    one = Explanation(
        step('select', 'maybe', waits_for=TRAIN), SAME[:1], (), 'blake3:' + '2' * 64, True, undecided=('models/forest-1.skops',)
    )
    pinned('explain-maybe', shown(one))


def test_a_restore_tells_what_would_be_brought_back(pinned) -> None:
    one = Explanation(
        step(TRAIN[2], 'restore', DEPTH, origin='run 6hx2aa8k (ben, gpu1)', notes=('not deterministic: 2 results',)),
        (CHANGED[3], *SAME),
        (DEPTH, Reason('param', 'train.rate', '2', '1')),
        'blake3:' + '3' * 64,
    )
    pinned('explain-restore', shown(one))


def test_outputs_that_are_gone_are_the_only_difference() -> None:
    gone = Reason('output', 'models/f.skops', detail='absent')
    lines = shown(Explanation(step(TRAIN[2], 'restore', gone), SAME, (gone,), 'blake3:' + '4' * 64))
    assert any('nothing differs but the outputs: output models/f.skops: absent' in line.text for line in lines)
