"""The headings of logs: whose they are, how that went.  Values in, text out."""

from __future__ import annotations

from mlops_cli.cli.console import one_line
from mlops_cli.cli.words import ago, progress_words
from mlops_cli.core.events import StageProgress
from mlops_cli.core.units import show_seconds
from mlops_cli.run.printed import Log

ENDED = {'interrupted': 'stopped', 'killed': 'killed with its run', 'failed': 'failed', 'done': 'done'}


def heading(log: Log, now: float, progress: StageProgress | None = None) -> str:
    """``train@2, run 7k2m9q4c, 2 h ago: failed with exit 1 after 4.2s``."""
    one = log.attempt
    number = f', attempt {one.number}' if one.number > 1 else ''
    head = f'{one_line(log.stage)}, run {one_line(log.short)}{number}'
    if one.state == 'running' and one.began is not None:
        said = ''.join(f', {part}' for part in progress_words(progress)) if progress else ''
        return f'{head}, running for {show_seconds(max(0.0, now - one.began))}{said}'
    ended = None if one.began is None else max(0.0, now - one.began - (one.seconds or 0.0))
    when = '' if ended is None else f', {ago(ended)}'
    return f'{head}{when}{_how(log)}'


def _how(log: Log) -> str:
    one = log.attempt
    if not one.state:
        return ''
    word = ENDED.get(one.state, one.state)
    code = f' with exit {one.exit_code}' if one.exit_code is not None else ''
    took = f' after {show_seconds(one.seconds)}' if one.seconds else ''
    return f': {word}{code}{took}'
