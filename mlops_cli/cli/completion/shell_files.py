"""Puts the completion script where a person's shell finds it.  Written only when asked for by name."""

from __future__ import annotations

import os
from collections.abc import Mapping

from mlops_cli.cli.completion.shells import SCRIPTS
from mlops_cli.core.errors import UserError
from mlops_cli.fsio import ops
from mlops_cli.fsio.atomic import write_file

PARENTS = 10  # processes that are asked which shell this is
LIMIT = 16 << 20


def shell_of_user(environ: Mapping[str, str]) -> str:
    """The shell that this was typed into, else the one of the account.  Raises UserError for one that we have no script for."""
    pid, found = os.getppid(), ''
    for _ in range(PARENTS):
        name, pid = _process(pid)
        if name in SCRIPTS:
            return name
        if pid <= 1:
            break
    found = os.path.basename(environ.get('SHELL', ''))
    if found in SCRIPTS:
        return found
    raise UserError(
        f'no completion for {found or "this shell"}: there is one for {", ".join(SCRIPTS)}',
        hint='name yours: SHELL=zsh mlops --show-completion',
    )


def _process(pid: int) -> tuple[str, int]:
    """A process's name and its parent; ('', 0) where /proc does not say."""
    try:
        with open(f'/proc/{pid}/stat', encoding='utf-8', errors='replace') as file:
            before, _, after = file.read(4096).rpartition(')')
    except OSError:
        return '', 0
    return before.partition('(')[2].lstrip('-'), int(after.split()[1])


def install(shell: str, environ: Mapping[str, str]) -> str:
    """Writes the script and, for shells that look into no folder by themselves, the line that reads it; what was done.

    Raises UserError, OSError."""
    home = os.path.expanduser('~')
    script, start, lines = _places(shell, home, environ)
    folder, name = os.path.split(script)
    os.makedirs(folder, exist_ok=True)
    write_file(os.path.realpath(folder), name, SCRIPTS[shell].encode())
    told = [f'wrote {script}']
    if start and (missing := [line for line in lines if line not in _text(start)]):
        fd = ops.open_append(os.path.realpath(start), 0o644)  # people keep such files elsewhere, behind links
        try:
            ops.write(fd, ''.join(f'\n{line}' for line in missing).encode() + b'\n')
        finally:
            os.close(fd)
        told.append(f'added to {start}: {"; ".join(missing)}')
    return '\n'.join([*told, 'Tab completes in the next shell that you open.'])


def _places(shell: str, home: str, environ: Mapping[str, str]) -> tuple[str, str, list[str]]:
    """(script, file that a new shell reads, lines it needs)."""
    data = environ.get('XDG_DATA_HOME') or os.path.join(home, '.local/share')
    settings = environ.get('XDG_CONFIG_HOME') or os.path.join(home, '.config')
    if shell == 'fish':
        return os.path.join(settings, 'fish/completions/mlops.fish'), '', []
    if shell == 'zsh':
        dots = environ.get('ZDOTDIR') or home
        folder = os.path.join(dots, '.zfunc')
        line = f'fpath=({_word(folder)} $fpath); autoload -Uz compinit; compinit'
        return os.path.join(folder, '_mlops'), os.path.join(dots, '.zshrc'), [line]
    script = os.path.join(data, 'bash-completion/completions/mlops')
    return script, os.path.join(home, '.bashrc'), [f'. {_word(script)}']


def _word(path: str) -> str:
    from shlex import quote

    return quote(path)


def _text(path: str) -> str:
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            return file.read(LIMIT)
    except FileNotFoundError:
        return ''
