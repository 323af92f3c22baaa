"""What runs now, as lines."""

from __future__ import annotations

import pytest

from mlops_cli.cli.console import cells
from mlops_cli.cli.screens.run_board import BAR, Board, bar
from mlops_cli.core.events import Note, RunStarted, StageProgress, StageQueued, StageRetried, StageStarted, StageWaiting
from tests.cli.values import RUN, ended


def board(total: int = 8) -> Board:
    made = Board()
    made.listen(RunStarted(RUN, 'digits', total, 0, 4), 0.0)
    return made


def test_half_way(pinned) -> None:
    now = board()
    now.listen(StageStarted('prepare', 1, 'log'), 0.0)
    now.listen(ended('prepare'), 1.8)
    now.listen(StageStarted('train@logistic-1', 1, 'log', 30.0), 2.0)
    now.listen(StageStarted('train@logistic-2', 1, 'log', None), 2.0)
    now.listen(StageStarted('train@forest-1', 1, 'log', 0.2), 4.9)
    now.listen(Note('x'), 5.0)
    last = {'train@logistic-1': 'epoch 7  loss 0.412', 'train@logistic-2': '\x1b[31mred\x1b[0m\u202e'}
    lines = now.lines(14.0, 80, 20, last)
    pinned('board-80', lines)
    pinned('board-200', now.lines(3700.0, 200, 20, {'train@logistic-1': 'x' * 300}))
    assert [one.stage for one in now.long_ones(5.0)] == ['train@logistic-1', 'train@logistic-2']


@pytest.mark.parametrize('columns', [40, 80, 200])
@pytest.mark.parametrize('rows', [3, 10, 50])
def test_it_never_takes_more_room_than_there_is(columns: int, rows: int) -> None:
    now = board(1000)
    for number in range(40):
        now.listen(StageStarted(f'{"数据" * number}-{number}', 1, 'log', float(number)), 0.0)
    lines = now.lines(99.0, columns, rows, {f'{"数据" * 3}-3': '🎉' * 99})
    assert len(lines) <= max(rows, 2) and all(cells(line.text) <= columns for line in lines)
    assert sum('more' in line.text for line in lines) == (rows < 42)


def test_nothing_runs_nothing_moves() -> None:
    assert board().lines(1.0, 80, 20, {}) == []


def test_waiting_for_another_command_is_counted() -> None:
    now = board(2)
    now.listen(StageWaiting('a', 'pid 1', 0.0), 0.0)
    assert now.lines(1.0, 80, 20, {})[-1].text == '  0 of 2 done, 2 waiting'


def test_counts_name_failures_apart() -> None:
    now = board(3)
    now.listen(StageStarted('a', 1, 'l'), 0.0)
    now.listen(ended('a', 'failed'), 1.0)
    now.listen(StageStarted('b', 1, 'l'), 1.0)
    assert now.counts() == '  0 of 3 done, 1 failed, 1 running, 1 waiting'


def test_a_heartbeat_says_how_long() -> None:
    now = board()
    assert now.heartbeat(0.0) == ''
    for number in range(6):
        now.listen(StageStarted(f't@{number}', 1, 'l', 1200.0 if not number else None), 0.0)
    assert now.heartbeat(725.0) == (
        'running t@0 12m of ~20m00s, t@1 12m, t@2 12m, t@3 12m and 2 more; 0 of 8 done, 6 running, 2 waiting'
    )


def test_stages_that_say_how_far_they_are(pinned) -> None:
    now = board()
    now.listen(StageStarted('known', 1, 'log', 30.0, 'p'), 0.0)
    now.listen(StageProgress('known', (('step', 4100), ('loss', 0.41234)), None, None), 1.0)
    now.listen(StageStarted('counted', 1, 'log', 30.0, 'p'), 0.0)
    now.listen(StageProgress('counted', (('epoch', 2.0), ('loss', 1.5), ('lr', 1e-05)), 2.0, 40.0), 10.0)
    now.listen(StageProgress('counted', (('epoch', 7.0), ('loss', 0.412), ('lr', 1e-05)), 7.0, 40.0), 60.0)
    now.listen(StageStarted('first', 1, 'log', None, 'p'), 0.0)
    now.listen(StageProgress('first', (('epoch\x1b[2J', '\u202ex\n'), ('a', float('nan'))), None, None), 1.0)
    now.listen(StageProgress('gone', (('epoch', 1),)), 1.0)
    lines = now.lines(60.0, 80, 20, {'known': 'printed'})
    pinned('board-progress-80', lines)
    assert now.running['counted'].whole() == pytest.approx(60 + 33 * 10)  # five epochs in 50 seconds
    assert now.heartbeat(120.0) == (
        'running known 2m (step 4,100, loss 0.4123), counted 2m of ~6m30s (epoch 7 of 40, loss 0.412, lr 1e-05), '
        'first 2m (epoch�[2J �x⏎, a nan); 0 of 8 done, 3 running, 5 waiting'
    )


def test_between_two_attempts_nothing_runs() -> None:
    now = board(1)
    now.listen(StageStarted('a', 1, 'l'), 0.0)
    now.listen(StageRetried('a', 1, 3, 1.0, 1, 'exit 1'), 1.0)
    assert now.counts() == '  0 of 1 done, 1 waiting'


def test_what_comes_out_fresh_waits_no_more() -> None:
    now = board(2)
    now.listen(ended('a'), 1.0)
    now.listen(ended('b', 'fresh'), 1.0)
    assert now.counts() == '  2 of 2 done'


@pytest.mark.parametrize('share', [-1.0, 0.0, 0.5, 0.99, 1.0, 25.0])
def test_a_bar_is_never_full_before_the_end(share: float) -> None:
    assert len(bar(share)) == BAR + 2 and '.' in bar(share)


def test_what_waits_where_it_was_handed_to_does_not_run() -> None:
    now = board(3)
    for name in 'ab':
        now.listen(StageStarted(name, 1, 'l', 30.0), 0.0)
    now.listen(StageQueued('a', 'Slurm: others are before it\x1b[0m', 5.0), 5.0)
    assert [one.stage for one in now.long_ones(9.0)] == ['b']
    lines = [line.text for line in now.lines(10.0, 80, 20, {})]
    assert lines[0].split() == ['waiting', 'a', '0:10', 'Slurm:', 'others', 'are', 'before', 'it\ufffd[0m'], lines
    assert lines[1].split()[:2] == ['running', 'b'] and lines[2] == '  0 of 3 done, 1 running, 2 waiting'
    assert now.heartbeat(60.0).startswith('running b 1m') and '; waiting a 1m (Slurm: others' in now.heartbeat(60.0)
    now.listen(StageQueued('a', '', 65.0), 65.0)
    assert now.lines(70.0, 80, 20, {})[0].text.split()[:3] == ['running', 'a', '0:05']
