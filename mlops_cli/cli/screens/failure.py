"""What a person needs to know about a stage that failed: what ran, what it said, why it ran, what to try, where the rest is."""

from __future__ import annotations

from collections.abc import Sequence

from mlops_cli.checks import gate
from mlops_cli.cli.console import Line, clip, one_line, plain, wrap
from mlops_cli.cli.words import command_line, reason
from mlops_cli.core.errors import Where
from mlops_cli.core.events import StageEnded
from mlops_cli.pipeline.spec import Stage
from mlops_cli.plan.model import Step
from mlops_cli.run.causes import ADVICE, cause_of

LABEL = 13  # columns of what stands before a text
TAIL = 12  # lines of its log that are shown
TRACEBACK = 'Traceback (most recent call last):'
REASONS = 3
CAUSES = {
    'oom': 'out of memory',
    'cuda': 'a CUDA error',
    'disk': 'the disk is full',
    'network': 'the network failed',
    'nan': 'the numbers went wrong',
    'preempted': 'preempted',
}
# What the advice is about.
KEYS = {'oom': 'resources', 'timeout': 'timeout', 'network': 'retry', 'preempted': 'retry', 'killed': 'resources'}


def message(event: StageEnded) -> str:
    """Why it failed, in a few words: ``out of memory (exit 1)``; of a gate what it says."""
    cause = CAUSES.get(cause_of(event), '')
    if event.unreachable and cause == CAUSES['disk']:
        cause = 'the disk there is full'
    said = one_line(event.message)
    if event.unreachable and cause == CAUSES['network'] and said.startswith('on the host: '):
        cause = ''  # that it could be asked says that the network is there
    last = next((line for line in reversed(event.tail) if line.strip()), '')
    if not cause and last.startswith(gate.FAILED):
        return one_line(plain(last))
    return f'{cause} ({said})' if cause and cause not in said else said


def place(event: StageEnded, stage: Stage) -> Where:
    """The place in the pipeline file that the advice is about: the key if it is there, else what failed."""
    missing = 'did not make' in event.message and 'outs' in stage.places
    key = 'outs' if missing else KEYS.get(cause_of(event), 'cmd')
    return stage.places.get(key) or stage.places.get('cmd') or stage.places.get('argv') or stage.where


def failure(event: StageEnded, stage: Stage, step: Step | None, columns: int) -> list[Line]:
    """The paragraph about one failed stage."""
    lines = [Line(text) for text in wrap(f'{one_line(event.stage)} failed: {command_line(stage.command)}', columns)[:4]]
    lines[0] = Line(lines[0].text, 'failed')
    lines += [Line(f'  | {clip(one_line(plain(text).expandtabs(4)), max(columns - 4, 76))}') for text in tail(event.tail)]
    reasons = [reason(one) for one in step.reasons] if step else []
    more = [f'and {len(reasons) - REASONS} more: mlops explain {one_line(event.stage)}'] if len(reasons) > REASONS else []
    lines += _rows('ran because', [*reasons[:REASONS], *more], columns)
    where = place(event, stage)
    shown = f'({one_line(str(where))})' if where.file else ''
    advice = one_line(event.hint or ADVICE.get(cause_of(event), ''))
    lines += _rows('try', [f'{advice}   {shown}'.rstrip()], columns) if advice else _rows('where', [shown.strip('()')], columns)
    lines += _rows('whole log', [f'mlops logs {one_line(event.stage)}'] if event.log else [], columns)
    lines += _rows('kept' if event.log else 'note', [one_line(note) for note in event.notes], columns)
    return lines


def _rows(name: str, texts: Sequence[str], columns: int) -> list[Line]:
    lines = [line for text in texts if text for line in _kept_blanks(text, max(columns - LABEL - 2, 30))]
    return [Line(f'  {"" if index else name:<{LABEL}}{text}') for index, text in enumerate(lines)]


def _kept_blanks(text: str, columns: int) -> list[str]:
    """A text that fits stays as it is, with its wide gaps."""
    return [text] if len(text) <= columns else wrap(text, columns)


def tail(lines: Sequence[str]) -> Sequence[str]:
    """The last lines that say something: of a traceback all there is, and no blank ones at the end."""
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    begin = max(0, end - TAIL)
    tracebacks = [index for index in range(end) if lines[index].strip() == TRACEBACK]
    return lines[tracebacks[-1] if tracebacks else begin : end]
