"""The plan as a table, at the widths people have."""

from __future__ import annotations

import pytest

from mlops_cli.cli.console import cells
from mlops_cli.cli.rows import rows
from mlops_cli.cli.screens.plan import View, plan_lines
from mlops_cli.plan.model import Plan, Reason
from tests.cli.values import DEPTH, FIT, GROUPS, TRAIN, blocked_plan, mixed_plan, plan, step, took

MANY = {'a': tuple(f'a@{n}' for n in range(400))}


def view(columns: int, everything: bool = False, groups: dict[str, tuple[str, ...]] = GROUPS) -> View:
    return View(groups, columns, 2, 'this machine (8 CPUs, 1 GPU)', everything)


@pytest.mark.parametrize('columns', [80, 200])
def test_a_plan_with_something_of_everything(pinned, columns: int) -> None:
    lines = plan_lines(mixed_plan(), view(columns))
    assert all(cells(line.text) <= columns for line in lines)
    pinned(f'plan-mixed-{columns}', lines)


def test_everything_is_shown_when_asked_for(pinned) -> None:
    pinned('plan-mixed-verbose', plan_lines(mixed_plan(), view(100, everything=True)))


@pytest.mark.parametrize('columns', [80, 200])
def test_what_blocks_is_told_with_a_way_out(pinned, columns: int) -> None:
    pinned(f'plan-blocked-{columns}', plan_lines(blocked_plan(), view(columns)))


def test_all_fresh_says_no_time(pinned) -> None:
    pinned('plan-fresh', plan_lines(plan(*(step(name, 'fresh') for name in ('prepare', *TRAIN))), view(80)))


def test_an_empty_plan() -> None:
    assert [line.text for line in plan_lines(Plan('p', ()), view(80))][-1] == 'No stages.'


def test_like_reasons_of_many_instances_share_a_line(pinned) -> None:
    steps = [step(f'a@{n}', 'run', Reason('command', '', f'echo {n}', f'echo x{n}'), estimate=took(0.01)) for n in range(400)]
    found = plan_lines(plan(*steps, edges={}), view(80, groups=MANY))
    pinned('plan-alike', found)
    assert len(plan_lines(plan(*steps, edges={}), view(80, True, MANY))) > 400


def test_a_few_instances_with_reasons_of_their_own_stay_apart() -> None:
    steps = [step(name, 'run', Reason('data', f'in/{name}', 'a', 'b', 'changed')) for name in TRAIN]
    assert [row.name for row in rows(steps, GROUPS)] == list(TRAIN)


def test_rows_keep_the_order_of_the_plan() -> None:
    found = rows(mixed_plan().steps, GROUPS)
    assert [row.name for row in found] == [
        'prepare',
        'train@logistic-1',
        'train@* (3 of 4)',
        'select',
        'evaluate',
        'validate',
    ]


def test_long_reasons_are_wrapped_then_cut(pinned) -> None:
    long = Reason('command', '', 'python -m digits.train ' + '--option value ' * 8, 'python ' + 'x' * 200)
    many = [Reason('param', f'train.p{n}', str(n), str(n + 1)) for n in range(9)]
    found = plan_lines(plan(step('prepare', 'run', long, *many), step(TRAIN[0], 'run', DEPTH, FIT)), view(80))
    assert all(cells(line.text) <= 80 for line in found)
    pinned('plan-long', found)
