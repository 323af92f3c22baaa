"""Before something that came with a branch is used: has this person, in this clone, said that it may be?"""

from __future__ import annotations

import shlex
import sys
import time

from mlops_cli.cli import context
from mlops_cli.cli.console import Line, one_line, say, terminal
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.paths import Root
from mlops_cli.records import trust
from mlops_cli.records.config import Setting


def require_confirmed(root: Root, setting: Setting, *, yes: bool = False) -> None:
    """Returns if a remote or host may be used: it is this person's own, or confirmed, or is confirmed now.

    ``yes``: the answer, given beforehand; so is the option ``--yes``.  On a terminal it is asked for.  Raises UserError
    (exit 5) where the answer is no, or nobody can be asked."""
    if not trust.needs_confirmation(root, setting):
        return
    subject = trust.subject_of(setting)
    said = f'{subject.kind} {subject.name} leads to {one_line(subject.value.leads_to)}'
    if not (yes or context.current.yes):
        if not (terminal(sys.stdin) and terminal(sys.stderr)):
            raise UserError(
                f'{said}, which came with git and nobody here has confirmed',
                where=setting.where,
                exit_code=ExitCode.REFUSED,
                hint=f'if that is right: mlops config confirm {setting.name} --yes',
            )
        from mlops_cli.cli.agreeing import asked

        say(Line(f'{setting.where}: {said}', ''))
        if not asked("It came with git. Send this project's data there, from this clone?"):
            raise UserError(f'{setting.name} is not confirmed', exit_code=ExitCode.REFUSED, hint='nothing was sent or changed')
    trust.confirm(root, subject, time.time())


def require_source(root: Root, path: str, place: str) -> None:
    """As require_confirmed, for where tracked data comes from: ``path`` is the data's, ``place`` as its source has it."""
    subject = trust.source_at(place)
    if trust.confirmed(root, subject):
        return
    said = f'{one_line(path)} comes from {one_line(place)}'
    if not context.current.yes:
        if not (terminal(sys.stdin) and terminal(sys.stderr)):
            raise UserError(
                f'{said}, which came with git and nobody here has confirmed',
                exit_code=ExitCode.REFUSED,
                hint=f'if that is right: mlops --yes update {shlex.quote(path)}',
            )
        from mlops_cli.cli.agreeing import asked

        if not asked(f'{said}. That came with git. Fetch from there, in this clone?'):
            raise UserError(f'{one_line(place)} is not confirmed', exit_code=ExitCode.REFUSED, hint='nothing was fetched')
    trust.confirm(root, subject, time.time())
