"""What the options before the command say, for the one command that this process runs."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from mlops_cli.core.errors import UserError


@dataclass
class Globals:
    """``json``: machine output was asked for, so errors take that form too."""

    quiet: bool = False
    verbose: bool = False
    json: bool = False
    command: str = ''


current = Globals()


def enter(directory: str, *, quiet: bool, verbose: bool) -> None:
    """Takes the global options.  Raises UserError where DIR is no folder."""
    current.quiet, current.verbose = quiet, verbose
    if directory:
        try:
            os.chdir(directory)
        except OSError as error:
            raise UserError(f'-C {directory}: {error.strerror}', hint='name a folder that exists') from error


def refuse_unknown(name: str, commands: Collection[str], habits: Mapping[str, str]) -> None:
    """Raises UserError for a word that is no command, with the one that was meant."""
    if not name or name in commands or name.startswith('-'):
        return
    if name in habits:
        raise UserError(f'there is no command {name!r}', hint=f'here it is called: mlops {habits[name]}')
    near = get_close_matches(name, commands, 1)
    raise UserError(
        f'there is no command {name!r}', hint=f'did you mean: mlops {near[0]}' if near else 'mlops -h lists them all'
    )
