"""How things are said."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from mlops_cli.cli import words
from mlops_cli.cli.app import COMMANDS
from mlops_cli.plan.model import Estimate, Reason
from mlops_cli.store.tree import TreeEntry, encode
from tests.cli.values import DEPTH, FIT, GROUPS, TRAIN, Objects, ref, stage, step, took

# What follows the name in a sentence.
PROSE = {
    *('can', 'cannot', 'did', 'does', 'follows', 'for', 'has', 'here', 'in', 'keeps', 'knows', 'left', 'needs', 'never'),
    *('reads', 'sends', 'that', 'tracks', 'would', 'writes', 'wrote'),
}


def test_no_text_names_a_command_that_does_not_exist() -> None:
    wrong = set()
    for path in (Path(__file__).parents[2] / 'mlops_cli').rglob('*.py'):
        tree = ast.parse(path.read_text())
        prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
                named = re.findall(r'\bmlops (?:-C \S+ )?([a-z]+)(?![a-z]*-v[0-9])', node.value)
                wrong |= {(path.name, name) for name in named if name not in COMMANDS and name not in PROSE}
    wrong.discard(('launchers.py', 'jq'))  # a list of programs
    assert not wrong


@pytest.mark.parametrize(
    ('reason', 'text'),
    [
        (DEPTH, 'param train.depth 8 -> 12'),
        (Reason('param', 'train.depth', None, '12'), 'param train.depth none -> 12'),
        (FIT, 'code src/digits/model.py: function fit changed'),
        (Reason('code', 'a.py', None, 'x', 'new'), 'code a.py new'),
        (Reason('code', 'a.py', 'x', None, 'gone'), 'code a.py gone'),
        (Reason('data', 'd', 'x', 'y', '3 changed, 1 new'), 'data d: 3 changed, 1 new'),
        (Reason('command', '', 'python a.py', 'python b.py'), 'command python a.py -> python b.py'),
        (Reason('output', 'm.bin', detail='changed by hand'), 'output m.bin: changed by hand'),
        (Reason('output', 'm.bin', None, '{"persist":false}'), 'output m.bin is newly declared'),
        (Reason('output', 'm.bin', '{"persist":false}', None), 'output m.bin is no longer declared'),
        (Reason('never-run', '', detail='never run'), 'no result yet'),
        (Reason('forced', '', detail='asked for with --force'), 'asked for with --force'),
        (Reason('environment', 'SEED', 'absent', '7'), 'environment SEED absent -> 7'),
        (Reason('command', '', 'a\nb', 'x' * 200), f'command a⏎b -> {"x" * 59}…'),
    ],
)
def test_reasons(reason: Reason, text: str) -> None:
    assert words.reason(reason) == text


def test_why_a_stage_is_not_fresh() -> None:
    assert words.why(step('a', 'restore', DEPTH, origin='run 6hx2aa8k (ben, gpu1)')) == [
        'same key as run 6hx2aa8k (ben, gpu1)',
        'param train.depth 8 -> 12',
    ]
    assert words.why(step('a', 'restore')) == ['recorded before']
    assert words.why(step('a', 'maybe', waits_for=TRAIN)) == ['if an output of train changes']
    assert words.why(step('a', 'maybe', DEPTH, waits_for=('prepare',))) == ['param train.depth 8 -> 12', 'then after prepare']
    assert words.why(step('a', 'blocked', waits_for=('prepare',))) == ['waits for prepare']
    assert words.why(step('a', 'fresh')) == []


@pytest.mark.parametrize(
    ('names', 'shown'),
    [
        (TRAIN, ['train@*']),
        (TRAIN[:3], ['train@* (3 of 4)']),
        (TRAIN[:2], ['train@logistic-1', 'train@logistic-2']),
        (('prepare', *TRAIN, 'select'), ['prepare', 'train@*', 'select']),
        (('unknown@1', 'unknown@2'), ['unknown@*']),
        ((), []),
    ],
)
def test_names_of_instances_fold(names: tuple[str, ...], shown: list[str]) -> None:
    assert words.fold(names, GROUPS) == shown


@pytest.mark.parametrize(
    ('figure', 'text'),
    [
        (0.969444, '0.9694'),
        (363, '363'),
        (1234567, '1,234,567'),
        (12345.6, '12,346'),
        (1e-9, '1e-09'),
        (-0.5, '-0.5'),
        (0.0, '0'),
    ],
)
def test_numbers_as_people_read_them(figure: float, text: str) -> None:
    assert words.number(figure) == text


def test_what_a_stage_made() -> None:
    train = stage('train@forest-1', outs=['models/f.skops'], metric='m.json')
    outputs = (('m.json', ref('m')), ('models/f.skops', ref('f', 310_000)))
    metrics = (('m.json', 'accuracy', 0.9694), ('m.json', 'loss', 0.1))
    assert words.made(train, outputs, metrics) == ['accuracy 0.9694', 'models/f.skops, 310 kB']
    before = {('m.json', 'accuracy'): 0.9667}
    assert words.made(train, outputs, metrics, before)[0] == 'accuracy 0.9694 (was 0.9667)'
    assert words.made(train, outputs, metrics, {('m.json', 'accuracy'): 0.9694})[0] == 'accuracy 0.9694 (unchanged)'
    plain = stage('x', outs=['a', 'b', 'c'])
    assert words.made(plain, tuple((p, ref(p, 2000)) for p in 'abc'), ()) == ['a, 2.0 kB', 'b, 2.0 kB', 'and 1 more']


def test_files_of_a_folder_are_counted_from_its_nodes() -> None:
    store = Objects()
    inner = encode([TreeEntry('deep.txt', 'file', ref('x').digest, 5)])
    inner_ref = ref(inner.decode(), 5, 'tree')
    store.found[inner_ref.digest] = inner
    top = encode([TreeEntry('a', 'file', ref('a').digest, 1), TreeEntry('sub', 'dir', inner_ref.digest, 5)])
    top_ref = ref(top.decode(), 6, 'tree')
    store.found[top_ref.digest] = top
    assert words.output('data/prepared', top_ref, store) == 'data/prepared, 2 files, 6 B'
    assert words.output('data/prepared', top_ref) == 'data/prepared, 6 B'
    store.found[top_ref.digest] = b'x' * (words.NODE_LIMIT + 1)
    assert words.output('data/prepared', top_ref, store) == 'data/prepared, 6 B'


def test_parts_that_do_not_fit_are_left_out_whole() -> None:
    parts = ['accuracy 0.9694 (was 0.9667)', 'models/forest-1.skops, 310 kB']
    assert words.fitting(parts, None) == '  '.join(parts)
    assert words.fitting(parts, 40) == 'accuracy 0.9694 (was 0.9667) …'
    assert words.fitting(parts, 10) == 'accuracy …'
    assert words.fitting([], 10) == ''


@pytest.mark.parametrize(
    ('estimate', 'text'),
    [
        (Estimate(), ''),
        (took(6.1), '~6.1s'),
        (took(4.2, 7.9), '4.2s-7.9s'),
        (took(0.01, 0.05), '<0.1s'),
        (took(0.01, 2), '0.1s-2.0s'),
        (took(340, 420), '~7m00s'),
    ],
)
def test_times_as_ranges(estimate: Estimate, text: str) -> None:
    assert words.estimate(estimate) == text


def test_clocks() -> None:
    assert [words.clock(s) for s in (3, 75, 3723)] == ['0:03', '1:15', '1:02:03']
    assert [words.minutes(s) for s in (61, 720, 11_100)] == ['1m', '12m', '3h05m']
    assert [words.ago(s) for s in (5, 600, 7200, 259_200)] == ['just now', '10 min ago', '2 h ago', '3 days ago']
