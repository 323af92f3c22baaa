"""The status page."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_cli.cli.console import cells
from mlops_cli.cli.screens.status import status_lines
from mlops_cli.cli.standing import Standing, Working
from mlops_cli.cli.uncommitted import Uncommitted
from mlops_cli.plan.model import Plan, Reason
from tests.cli.values import DEPTH, GROUPS, NOW, TRAIN, blocked_plan, mixed_plan, plan, run_record, step

UNKNOWN = 'scripts/prepare.sh calls python, and what a shell script calls is not followed'


def page(of: Plan, columns: int = 80, everything: bool = False, **standing: Any) -> list[Any]:
    standing.setdefault('branch', 'deeper-trees')
    standing.setdefault('last', run_record())
    return status_lines(of, Standing(NOW, **standing), GROUPS, columns, everything=everything)


@pytest.mark.parametrize('columns', [80, 200])
def test_a_page_with_every_section(pinned, columns: int) -> None:
    steps = [*mixed_plan().steps]
    steps[1] = step(
        TRAIN[0],
        'restore',
        Reason('output', 'models/logistic-1.skops', detail='changed by hand'),
        changed_by_hand=('models/logistic-1.skops',),
        notes=(
            (
                'not deterministic: 2 different results are recorded for the same inputs '
                '(to keep one, delete the pins of the others in .mlops/stages)'
            ),
        ),
    )
    steps[0] = step(
        'prepare', 'fresh', notes=('scripts/prepare.sh calls python, and what a shell script calls is not followed',)
    )
    lines = page(
        plan(*steps),
        columns,
        running=(Working(TRAIN[3], NOW - 130, 'gpu1', 4711, 'step 4,100, loss 0.31'), Working('select', None, '', 0, '')),
        uncommitted=Uncommitted(
            ('.mlops/stages/a.json', '.mlops/stages/b.json'), ('params.yaml', 'src/train.py'), ('data/raw',), ('secret.py',)
        ),
        data={'data/images': '5,012 new, 3 changed', 'data/labels.csv': 'not here'},
        cosmetic=('src/digits/model.py',),
        unknown_code=(UNKNOWN,),
    )
    text = [line.text for line in lines]
    clock = next(line for line in text if 'gpu1 since' in line)
    text[text.index(clock)] = clock[: clock.index('since') + 6] + 'HH:MM' + clock[clock.index('since') + 11 :]
    pinned(f'status-full-{columns}', text)
    assert all(cells(line) <= columns for line in text)


def test_commands_take_paths_with_spaces_as_one_word() -> None:
    steps = [step('prepare', 'fresh', changed_by_hand=('my out.csv',))]
    text = '\n'.join(
        line.text
        for line in page(
            plan(*steps),
            120,
            uncommitted=Uncommitted(('.mlops/stages/a.json',), ('tr ain.py',), ('raw [1].csv',)),
            data={'da ta/x': '1 new', "it's": 'not here'},
            old={'o ld': 'added 40 days ago, max_age 30d'},
        )
    )
    for command in (
        "git add .mlops 'tr ain.py'",
        "mlops add 'raw [1].csv'",
        "mlops add 'da ta/x'",
        "mlops checkout 'da ta/x'",
        "mlops checkout 'it'\"'\"'s'",
        "mlops add 'o ld'",
        "mlops checkout --force 'my out.csv'",
    ):
        assert f'{command})' in text, text


def test_nothing_to_say(pinned) -> None:
    pinned('status-fresh', page(plan(*(step(name, 'fresh') for name in ('prepare', *TRAIN)))))


@pytest.mark.parametrize('columns', [80, 200])
def test_blocked(pinned, columns: int) -> None:
    pinned(f'status-blocked-{columns}', page(blocked_plan(), columns))


@pytest.mark.parametrize(
    ('standing', 'head'),
    [
        ({'branch': None, 'last': None}, 'Not in a git repository, no run yet.'),
        ({'branch': '', 'commit': 'abcdef0123456789', 'last': None}, 'On no branch, commit abcdef01, no run yet.'),
        ({'last': run_record('failed')}, 'Branch deeper-trees, last run 7k2m9q4c 5 min ago, failed.'),
    ],
)
def test_heads(standing: dict[str, Any], head: str) -> None:
    shown = page(plan(step('prepare', 'fresh')), **standing)[0].text
    assert shown.split(' ago')[0].rstrip('0123456789 minhdays') == head.split(' ago')[0].rstrip('0123456789 minhdays')


def test_long_lists_end_somewhere() -> None:
    names = tuple(f's{n}' for n in range(100))
    steps = [step(name, 'run', DEPTH) for name in names]
    text = [line.text for line in page(plan(*steps, edges={}))]
    assert '  and 70 more (mlops plan)' in text and len(text) < 40
    assert len(page(plan(*steps, edges={}), everything=True)) > 100


def test_a_narrow_page_fits() -> None:
    long = 'train_with_a_very_long_name_for_a_stage@1'
    steps = [*mixed_plan().steps, step(long, 'run', DEPTH)]
    lines = page(
        plan(*steps),
        40,
        running=(Working(long, NOW - 130, 'gpu1', 4711, 'step 4,100, loss 0.31'), Working('select', None, '', 0, '')),
        uncommitted=Uncommitted(('.mlops/stages/a.json',), ('params.yaml', 'src/train.py'), ('data/raw',), ('secret.py',)),
        data={'data/images': '5,012 new, 3 changed'},
        unknown_code=(UNKNOWN,),
    )
    text = [line.text for line in lines]
    assert '  train_with_a_very…name_for_a_stage@1' in text
    assert [line for line in text if cells(line) > 40] == ['    train_with_a_very_long_name_for_a_stage@1'], 'a command to copy'
