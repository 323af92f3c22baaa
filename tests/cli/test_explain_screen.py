"""The explanation of one stage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlops_cli.cli.console import cells
from mlops_cli.cli.explanation import Explanation, Row
from mlops_cli.cli.screens.explain import explain_lines
from mlops_cli.plan.model import Blessing, Reason, Rival, Surrounding
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


RIVALS = (
    Rival(
        '01234567',
        '20261120T091522Z-7k2m9q4c',
        ('metrics/f.json', 'models/f.skops'),
        (('metrics/f.json', 'accuracy', 0.96941, 0.96671), ('metrics/f.json', 'loss', 0.1, None)),
    ),
    Rival('89abcdef', '', ('models/f.skops',)),
)
ELSEWHERE = (
    Surrounding('Python', '3.12.1', '3.11.7'),
    Surrounding('GPU driver', '550.54.15', None),
    *(Surrounding(f'package-{number}', f'{number}.1', f'{number}.2') for number in range(8)),
)
ACCEPTED = Blessing(
    'ada',
    'gpu1',
    '2026-11-20T10:15:22Z',
    'the one in the paper, which nobody could reproduce on the new cards',
    'chosen',
    '20261120T091522Z-7k2m9q4c',
    3,
    (('param', 'train.depth', '8', '12', ''), ('code', 'src/digits/model.py', 'aaaa', 'bbbb', 'function fit changed')),
)


@pytest.mark.parametrize('columns', [80, 200])
def test_results_that_differ(pinned, columns: int) -> None:
    one = Explanation(replace(step(TRAIN[2], 'fresh'), rivals=RIVALS, run='20261120T101522Z-6hx2aa8k'), SAME)
    lines = shown(one, columns)
    pinned(f'explain-rivals-{columns}', lines)
    text = ' '.join(' '.join(line.text.split()) for line in lines)
    assert 'here run 6hx2aa8k accuracy 0.96941' in text and 'also run 7k2m9q4c accuracy 0.96671' in text
    assert 'also an unknown run' in text and 'mlops accept 6hx2aa8k --reason TEXT' in text


@pytest.mark.parametrize('columns', [80, 200])
def test_a_result_from_elsewhere_that_somebody_chose(pinned, columns: int) -> None:
    made = step(TRAIN[2], 'restore', Reason('output', 'models/f.skops', detail='absent'), origin='run 7k2m9q4c (ben, gpu1)')
    one = Explanation(replace(made, surroundings=ELSEWHERE, accepted=ACCEPTED), SAME)
    pinned(f'explain-elsewhere-{columns}', shown(one, columns))
    short, whole = shown(one, columns), shown(one, columns, everything=True)
    assert any('and 4 more (mlops explain -v)' in line.text for line in short)
    assert all(any(f'package-{number} ' in line.text for line in whole) for number in range(8))


def test_metrics_within_their_tolerance_need_no_advice() -> None:
    one = Explanation(replace(step(TRAIN[2], 'fresh'), rivals=(replace(RIVALS[0], tolerated=True),)), SAME)
    text = '\n'.join(line.text for line in shown(one))
    assert 'within the tolerance' in text and 'seed' not in text
