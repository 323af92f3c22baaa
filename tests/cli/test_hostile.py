"""Names, values, notes and logs that mean harm reach no terminal: no escape, no line that was not ours, nothing hidden."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest

from mlops_cli.cli.console import Line, out, print_json, say
from mlops_cli.cli.documents import plan_document, run_document
from mlops_cli.cli.explanation import Explanation, Row
from mlops_cli.cli.screens import failure as failure_lines
from mlops_cli.cli.screens import run_lines
from mlops_cli.cli.screens.explain import explain_lines
from mlops_cli.cli.screens.plan import View, plan_lines
from mlops_cli.cli.screens.run_board import Board
from mlops_cli.cli.screens.runs_list import list_lines
from mlops_cli.cli.screens.runs_show import show_lines
from mlops_cli.cli.screens.status import status_lines
from mlops_cli.cli.standing import Standing, Working
from mlops_cli.cli.uncommitted import Uncommitted
from mlops_cli.core.errors import Where
from mlops_cli.core.events import RunStarted, StageStarted, StageWaiting, event_document
from mlops_cli.pipeline.spec import Command, Output, Stage
from mlops_cli.plan.model import Blessing, Reason, Rival, Surrounding
from mlops_cli.records.runs import StageRun
from tests.cli.hostile import HOSTILE, harmless
from tests.cli.values import NOW, RUN, ended, listed, plan, ref, report, run_record, settled, step, told, took

FORGED = 'x\n  done      forged        0.1s'


def screens(text: str) -> list[Line]:
    """Every screen, with the text wherever a text from outside can stand."""
    groups = {text: (text,), 'train': ('train@1', 'train@2')}
    reasons = [
        Reason('param', text, text, text),
        Reason('code', text, 'a', 'b', text),
        Reason('data', text, None, None, text),
        Reason('command', '', text, text),
        Reason('environment', text, text, None),
    ]
    steps = [
        step(text, 'run', *reasons, notes=(text,), estimate=took(1, 9)),
        step('train@1', 'restore', reasons[0], origin=text, changed_by_hand=(text,)),
        step('train@2', 'blocked', reasons[2], waits_for=(text,)),
        step('select', 'maybe', waits_for=(text,)),
        replace(step('rest', 'fresh'), accepted=blessed(text), rivals=(other_result(text),), run=f'x-{text}'),
    ]
    steps[1] = replace(steps[1], surroundings=(Surrounding(text, text, text),), accepted=blessed(text), run=text)
    of = plan(*steps, edges={'select': (text,)}, pipeline=text)
    lines = plan_lines(of, View(groups, 80, 2, 'this machine', unknown_code=(text,)))
    working = (Working(text, NOW - 9, text, 1, text), Working(text, None, text, 0, text))
    last = run_record('failed', who=text, host=text, branch=text, command=(text,), overlay=(('params.yaml', text, text),))
    lacking = Uncommitted((text,), (text,), (text,), (text,))
    standing = Standing(NOW, text, text, last, working, lacking, {text: text}, {text: text}, (text,), (text,))
    lines += status_lines(of, standing, groups, 80) + status_lines(of, standing, groups, 200, everything=True)
    lines += events(text, of)
    past = told(
        run_record(stages=(StageRun(text, 'failed', None, '', 1.0, 3, {}),), who=text, branch=text, host=text, command=(text,)),
        text,
    )
    lines += show_lines(past, 80)
    runs = [listed(metrics={text: 0.5}, params={text: text}, who=text, branch=text, overlay=((text, text, text),)), listed()]
    lines += list_lines(runs, frozenset(), (), NOW, 200) + list_lines(runs, frozenset(), (f'param.{text}', 'set'), NOW, 80)
    rows = (
        Row('param', text, 'changed', '1', '2'),
        Row('code', text, 'new', None, 'absent'),
        Row('data', text, 'same', None, '1'),
    )
    one = Explanation(steps[0], rows, tuple(reasons[:2]), 'blake3:' + 'a' * 64, True, (text,), (text,), text, (text,), (text,))
    several = [one, replace(one, step=steps[1]), replace(one, step=steps[4])]
    for each in several:
        lines += explain_lines(each, groups, 80) + explain_lines(each, groups, 80, everything=True)
    return lines


def blessed(text: str) -> Blessing:
    return Blessing(text, text, text, text, 'trusted', f'x-{text}', 2, ((text, text, text, text, text),))


def other_result(text: str) -> Rival:
    return Rival('0123abcd', f'x-{text}', (text,), ((text, text, 0.5, None),))


def events(text: str, of: Any) -> list[Line]:
    made = Stage(text, text, Command('argv', (text, text)), outputs=(Output(text),), where=Where(text, 1, 2))
    failed = ended(
        text, 'failed', message=text, hint=text, log=text, tail=(text, *text.split('\n')), notes=(text,), exit_code=1
    )
    done = ended('rest', outputs=((text, ref('x')),), metrics=((text, text, 0.5),))
    end = report(of, settled(failed, done, skipped=('select',)), 'failed')
    board = Board()
    for event in (RunStarted(RUN, text, 3, 0, 1), StageStarted(text, 1, text, 9.0), StageWaiting('train@1', text, 2.0)):
        board.listen(event, 0.0)
    return [
        *run_lines.started(RunStarted(RUN, text, 3, 1, 2), 80),
        run_lines.waiting(StageWaiting(text, text, 1.0)),
        run_lines.ended(failed, [text, text], 20, 80),
        run_lines.ended(failed, [text], 20, None),
        run_lines.restored_group(run_lines.one_line(text), 3.0, 80),
        *run_lines.skipped(end, [text], {}, 80),
        *failure_lines.failure(failed, made, of.steps[0], 80),
        *map(Line, run_lines.to_fix(end, {}, 80)),
        *board.lines(5.0, 80, 20, {text: text}),
        Line(board.heartbeat(100.0)),
    ]


@pytest.mark.parametrize('text', HOSTILE)
def test_nothing_hostile_is_printed(text: str, capsys: Any) -> None:
    for line in screens(text):
        out(line)
        say(line)
    found = capsys.readouterr()
    assert harmless(found.out) and harmless(found.err) and '\t' not in found.out


@pytest.mark.parametrize('text', [FORGED, 'a\r\nb', '\n\n', '\x0b\x0c', 'x\u2028y\u2029z'])
def test_no_text_makes_a_line_of_its_own(text: str) -> None:
    lines = screens(text)
    assert len(lines) > 50
    assert not [line for line in lines if '\n' in line.text or '\r' in line.text]
    assert not [line for line in lines if line.text.startswith('  done      forged')]


@pytest.mark.parametrize('text', HOSTILE)
def test_documents_are_plain_ascii(text: str, capsys: Any) -> None:
    of = plan(step(text, 'run', Reason('param', text, text, text), notes=(text,)))
    done = ended(text, message=text, notes=(text,), outputs=((text, ref('x')),), metrics=((text, text, 1),))
    for document in (plan_document(of, 'plan'), run_document(report(of, settled(done))), event_document(done, NOW)):
        print_json(document)
    found = capsys.readouterr().out
    assert found.isascii() and '\x1b' not in found and '\x7f' not in found


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError


def test_the_moving_part_is_as_careful(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops_cli.cli.console.moving import Moving

    monkeypatch.setenv('TERM', 'xterm')
    plain, hostile = Terminal(), Terminal()
    for stream, texts in ((plain, ['x'] * len(HOSTILE)), (hostile, HOSTILE)):
        moving = Moving(stream)
        for text in texts:
            moving.show([Line(text.replace('\n', ' ')), Line('  2 of 8 done', 'done')])
            moving.print(Line(text.replace('\n', ' ')[:40], 'done'))
        moving.close()
    assert _sequences(hostile.getvalue()) <= _sequences(plain.getvalue())


def _sequences(text: str) -> set[str]:
    """What the text tells a terminal to do, apart from how often it goes up."""
    import re

    return {re.sub(r'\d+', 'n', found) for found in re.findall('\x1b\\[?[0-9;?]*[A-Za-z]|\x1b[^[]|[\x80-\x9f]|\u202e', text)}
