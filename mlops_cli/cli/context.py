"""What the options before the command say, for the one command that this process runs."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence

from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import UserError
from mlops_cli.core.near import did_you_mean
from mlops_cli.fsio.patience import limit_waiting


@dataclass
class Globals:
    """``json``: machine output was asked for, so errors take that form too.  ``yes``: what would be asked is answered so.
    ``lock_timeout``: seconds to wait for another command at most; None: as long as it takes.  ``started_in``: where the user
    stands, which ``-C`` does not change."""

    quiet: bool = False
    verbose: bool = False
    json: bool = False
    yes: bool = False
    lock_timeout: float | None = None
    started_in: str = ''


current = Globals()


def begin(arguments: Collection[str]) -> None:
    """A fresh start, before the arguments are understood."""
    current.quiet = current.verbose = current.yes = False
    wait_at_most(None)
    current.json = '--json' in arguments
    try:
        current.started_in = os.path.realpath(os.getcwd())
    except OSError as error:
        raise UserError('the folder you are in is gone', hint='cd to one that exists, or name it with -C') from error


def enter(directory: str) -> None:
    """Goes where ``-C`` says.  Raises UserError where that is no folder."""
    if directory:
        try:
            os.chdir(directory)
        except OSError as error:
            raise UserError(f'-C {directory}: {error.strerror}', hint='name a folder that exists') from error


def elsewhere(root: str) -> str:
    """The project's folder, as seen from where the user stands, if that is not there: a subfolder, or ``-C``.  The shorter way
    to say it, as what is longer than a line would be cut."""
    real = os.path.realpath(root)
    if current.started_in in ('', real):
        return ''
    return min(os.path.relpath(real, current.started_in), root, key=len)


def typed(program: str, folder: str) -> str:
    """``git``, or ``git -C FOLDER``: how to begin a command that names paths of the project.  ``folder``: of elsewhere."""
    if not folder:
        return program
    import shlex

    return f'{program} -C {shlex.quote(folder)}'


def keep_it(root: str, files: str) -> str:
    """``Keep it: git add FILES && git commit``, as it can be typed where the user stands.  ``files``: quoted."""
    git = typed('git', elsewhere(root))
    return f'Keep it: {git} add {files} && {git} commit'


def wait_at_most(seconds: float | None) -> None:
    """As ``--lock-timeout`` says, whatever the command waits for.  Raises UserError for less than nothing."""
    if seconds is not None and not seconds >= 0:
        raise UserError(f'--lock-timeout {seconds:g} is below 0', hint='0 waits for nobody')
    current.lock_timeout = seconds
    limit_waiting(seconds)


def refuse_unknown(
    words: Sequence[str], commands: Collection[str], habits: Mapping[str, str], of: str = 'mlops', otherwise: str = ''
) -> None:
    """Raises UserError for a word that is no command, with the one that was meant; ``otherwise``: where none is near.

    ``habits``: what other tools call something, in one word or two -> how it is called here, or a sentence in brackets."""
    name = words[0] if words else ''
    if not name or name in commands or name.startswith('-'):
        return
    for typed in (' '.join(words[:2]), name):
        if typed in habits:
            meant = habits[typed]
            hint = meant.strip('()') if meant.startswith('(') else f'here it is called: {of} {meant}'
            raise UserError(f'there is no command {typed!r}', hint=hint)
    near = did_you_mean(name, commands)
    hint = f'{of} -h lists them all'
    if near.startswith('did you mean '):
        hint = f'did you mean: {of} {near[13:-1]}'
    elif otherwise:
        import shlex  # for mistakes only

        hint = f'say: {of} {otherwise} {shlex.join(words)}'
    raise UserError(f'{of} has no command {name!r}', hint=hint)
