"""Questions that a person answers with yes or no."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mlops_cli.cli import context
from mlops_cli.cli.console import Line, say, terminal
from mlops_cli.core.errors import ExitCode, UserError


def asked(question: str) -> bool:
    """Whether the answer is yes; no answer is no."""
    sys.stderr.write(f'{question} [y/N] ')
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ('y', 'yes')


def agreed(question: str, lines: Sequence[str | Line], repeat: str, json: bool) -> None:
    """Returns if somebody says yes to what ``lines`` tell, or said so before (--yes).  ``repeat``: the command that does it
    without being asked.  Raises UserError (exit 5)."""
    if context.current.yes:
        return
    for line in lines if not json else ():
        say(line)
    if json or not (terminal(sys.stdin) and terminal(sys.stderr)):
        raise UserError(question, exit_code=ExitCode.REFUSED, hint=f'to do it without being asked: {repeat}')
    if not asked(f'{question}?'):
        raise UserError('nothing was changed', exit_code=ExitCode.REFUSED, hint='--dry-run tells what could go')
