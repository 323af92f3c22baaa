"""git as a program: started with an argument list, never through a shell.

Everything is switched off that the repository's own configuration could make git execute (hooks, monitors, filters,
transports), and what the environment says about which repository is meant: the folder alone decides.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from mlops_cli.core.patterns import pattern
from mlops_cli.fsio.programs import find_program

if TYPE_CHECKING:
    import subprocess  # which is slow to load: a command that asks git nothing does without

SAFE = (
    '--no-optional-locks',
    *('-c', 'safe.bareRepository=explicit'),  # a folder of the project that looks like a repository is none
    *('-c', 'core.fsmonitor=false'),
    *('-c', 'core.hooksPath=/dev/null'),
    *('-c', 'core.sshCommand=false'),
    *('-c', 'protocol.allow=never'),
    *('-c', 'submodule.recurse=false'),
    *('-c', 'core.quotePath=false'),
    *('-c', 'log.showSignature=false'),
)
# GIT_ALLOW_PROTOCOL outranks what the repository allows: a partial clone must not fetch behind anybody's back.
QUIET = {
    'GIT_TERMINAL_PROMPT': '0',
    'GIT_ALLOW_PROTOCOL': 'none',
    'GIT_NO_LAZY_FETCH': '1',
    'GIT_NO_REPLACE_OBJECTS': '1',
    'LC_ALL': 'C',
}
_KEPT = pattern(r'GIT_(CEILING_DIRECTORIES|DISCOVERY_ACROSS_FILESYSTEM|EXEC_PATH|CONFIG_\w+)')  # where, and the user's own


def environment(filters: Iterable[str] = ()) -> dict[str, str]:
    """``filters``: settings to be empty, whatever the repository says."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith('GIT_') or _KEPT.fullmatch(name)}
    environ |= QUIET
    count = environ.get('GIT_CONFIG_COUNT', '')
    number = int(count) if count.isdigit() else 0
    for name in filters:
        value = 'false' if name.endswith('.required') else ''
        environ |= {f'GIT_CONFIG_KEY_{number}': name, f'GIT_CONFIG_VALUE_{number}': value}
        number += 1
    return environ | ({'GIT_CONFIG_COUNT': str(number)} if number else {})


def run(
    folder: str,
    arguments: Sequence[str],
    *,
    feed: bytes = b'',
    accept: tuple[int, ...] = (0,),
    environ: Mapping[str, str] | None = None,
) -> bytes | None:
    """Standard output, or None where git is missing, this is no repository, or the exit code is not accepted."""
    program = find_program('git')
    if program is None:
        return None
    import subprocess

    try:
        done = subprocess.run(
            [program, *SAFE, *arguments], cwd=folder, env=environ or environment(), input=feed, capture_output=True, check=False
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    return done.stdout if done.returncode in accept else None


def ask(folder: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[bytes] | None:
    """What git says to a question, in its own words; None where there is no git.  For those that look after git itself."""
    program = find_program('git')
    if program is None:
        return None
    import subprocess

    return subprocess.run([program, *SAFE, *arguments], cwd=folder, env=environment(), capture_output=True, check=False)
