"""Branches that share a line say nothing of one result that is true of another."""

from __future__ import annotations

from mlops_cli.cli.screens.branches import Branch, draw, folded


def result(name: str, run: str, mse: int, below: list[Branch] | None = None) -> Branch:
    facts = [('command', [f'train {name}']), ('code', ['train.py']), ('metrics', [f'mse {mse}', 'n 3'])]
    said = f'run {run}'
    return Branch(f'{name}  {said}', name, facts, below or [], run=f'0-{run}', said=said, origin=run)


def drawn(branches: list[Branch]) -> list[str]:
    return [line.text for branch in folded(branches) for line in draw(branch, 80)]


def test_only_instances_of_one_run_share_a_branch_and_each_keeps_its_numbers() -> None:
    found = drawn([result(f'train@{name}', 'aaaa', name) for name in (13, 5, 7)] + [result('train@9', 'bbbb', 9)])
    assert found == [
        'train@* (3) run aaaa',
        '   instances    5, 7, 13',
        '   command      3 different ones: --full shows them',
        '   code         train.py',
        '   metrics      n 3',
        '                5: mse 5',
        '                7: mse 7',
        '                13: mse 13',
        'train@9 run bbbb',
        '   command      train train@9',
        '   code         train.py',
        '   metrics      mse 9, n 3',
    ]


def test_many_instances_are_counted() -> None:
    found = drawn([result(f'train@{name}', 'aaaa', name) for name in range(40)])
    assert '   instances    0, 1, 2, 3, 4, 5, 34 more' in found
    assert '                5: mse 5' in found and '                34 more: --full shows them' in found


def test_results_of_many_runs_are_told_apart_by_their_run() -> None:
    branches = [result('train', run, mse) for run, mse in (('aaaa', 1), ('bbbb', 2), ('cccc', 3))]
    for one in branches:
        one.origin = ''
    found = drawn(branches)
    assert 'in 3 runs, the last cccc' in found[0]
    assert '                run bbbb: mse 2' in found


def test_what_was_drawn_above_hangs_below_the_first_of_many_alone() -> None:
    above = [Branch('data from prepare, as above', 'prepare', lead='data')]
    found = drawn([result('train@5', 'aaaa', 5, above[:]), result('train@9', 'aaaa', 9, above[:])])
    assert sum('as above' in row for row in found) == 1
    assert 'train@9 run aaaa, read the same as train@5' in found
