"""Starts one process of a stage, finding its program as a shell would.  Knows nothing of jobs.

posix_spawn, not fork: it shares our memory until the exec, so it costs the same however large the caller is.
It has no working directory of its own; the caller must have one thread, for we step into the folder and out again.
"""
from __future__ import annotations

import errno
import os

from mlops_cli.job.signals import SIGKILL, SIGSTOP, valid_signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_EXECUTABLE = 126
NOT_FOUND = 127
_SHELL = [b'/bin/sh', b'-e', b'-c']
_PLAIN = b'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:,@%+=- \t'  # mean themselves in any shell
# What some shell does itself, or takes for a part of its language.
_OF_SHELLS = frozenset(
    b'. : alias autoload bg bind break builtin bye caller case cd chdir command compgen complete compopt continue coproc '
    b'declare dirs disable disown do done echo elif else emulate enable esac eval exec exit export false fc fg fi float for '
    b'foreach function functions getconf getopts hash help hist history if in integer jobs kill let limit local logout mapfile '
    b'nocorrect noglob newgrp popd print printf pushd pwd read readarray readonly rehash repeat return select set setopt shift '
    b'shopt source suspend test then time times trap true type typeset ulimit umask unalias unfunction unset unsetopt until '
    b'wait whence where which while'.split())
_DEFAULT_SIGNALS = valid_signals() - {SIGKILL, SIGSTOP}


class NotStarted(Exception):
    """Why.  ``exit_code``: what a shell would return for a command that is not there or cannot be run; None where the
    command was not to blame."""

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code


def shown(path: bytes) -> str:
    """For messages."""
    return path.decode('utf-8', 'backslashreplace')


def start(argv: list[bytes], environment: Mapping[bytes, bytes], directory: bytes, output: int) -> int:
    """Starts ``argv`` in a session of its own and returns its pid.

    ``output`` becomes its stdout and stderr, our stdin its stdin; everything else we have open must be close-on-exec.
    Its signals are as in a fresh login, its environment is ``environment`` and nothing else.  A shell that would do nothing but
    find one program and become it is left out, with the same result.  Raises NotStarted."""
    try:
        os.chdir(directory)
    except (OSError, ValueError) as error:
        raise NotStarted(f'cannot enter the folder {shown(directory)}: {_reason(error)}') from error
    try:
        path = environment.get(b'PATH', os.fsencode(os.defpath))
        if (words := _plain_words(argv, environment)) is not None:
            try:
                return _spawn(find(words[0], path), words, _as_of_shell(environment), output)
            except NotStarted:  # the shell says it in its own words
                pass
        program = find(argv[0], path)
        return _spawn(program, argv, environment, output)
    finally:
        os.chdir('/')  # so that we keep no folder of the user's busy


def _plain_words(argv: list[bytes], environment: Mapping[bytes, bytes]) -> list[bytes] | None:
    """The words of a script that is one program with its arguments and nothing that means something to a shell."""
    if len(argv) != 4 or argv[:3] != _SHELL:
        return None
    text = argv[3].strip(b' \t\n')
    words = text.split()
    if not words or text.translate(None, _PLAIN) or b'=' in words[0] or words[0][0] in b'%+-,@' or words[0] in _OF_SHELLS:
        return None
    if any(word[0] == 0x3D for word in words) or b'PATH' not in environment:  # a shell has a PATH of its own
        return None
    function = b'BASH_FUNC_' + words[0]
    return None if function + b'%%' in environment or function + b'()' in environment else words


def _as_of_shell(environment: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
    """What a shell started in the current folder gives to its programs: PWD says where they are."""
    here = environment.get(b'PWD', b'')
    try:
        if here.startswith(b'/') and os.path.samefile(here, b'.') and b'/.' not in here:
            return environment
    except (OSError, ValueError):
        pass
    return {**environment, b'PWD': os.getcwdb()}


def find(name: bytes, path: bytes) -> bytes:
    """The program that ``name`` means in the current folder with ``PATH`` as given.  Raises NotStarted."""
    if b'/' in name:
        return name
    blocked = None
    for folder in path.split(b':'):
        candidate = (folder or b'.') + b'/' + name
        if name and b'\0' not in candidate and os.path.isfile(candidate):
            if os.access(candidate, os.X_OK):
                return candidate
            blocked = blocked or candidate
    if blocked:
        raise NotStarted(f'{shown(blocked)} is not executable', NOT_EXECUTABLE)
    raise NotStarted(f'command not found: {shown(name)} (PATH is {shown(path)})', NOT_FOUND)


def _spawn(program: bytes, argv: list[bytes], environment: Mapping[bytes, bytes], output: int) -> int:
    actions = [(os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)]
    try:
        return os.posix_spawn(program, argv, environment, file_actions=actions, setsid=True, setsigmask=(),
                              setsigdef=_DEFAULT_SIGNALS)
    except ValueError as error:
        raise NotStarted(f'cannot start {shown(program)}: {error}') from error
    except OSError as error:
        if error.errno == errno.ENOEXEC and program != b'/bin/sh':
            return _spawn(b'/bin/sh', [b'/bin/sh', _script(program), *argv[1:]], environment, output)
        raise _explained(program, error) from error


def _script(program: bytes) -> bytes:
    """A text without a ``#!`` line is a shell script; anything with a NUL in its first line is not."""
    with open(program, 'rb') as stream:
        if b'\0' in stream.read(256).partition(b'\n')[0]:
            raise NotStarted(f'{shown(program)} is a program for another kind of machine', NOT_EXECUTABLE)
    return program


def _explained(program: bytes, error: OSError) -> NotStarted:
    name = shown(program)
    if error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
        return NotStarted(f'this machine cannot start another process: {_reason(error)}')
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        if os.path.exists(program):
            return NotStarted(f'{name}: the interpreter that its first line names does not exist', NOT_FOUND)
        return NotStarted(f'command not found: {name} (looked from {os.getcwd()})', NOT_FOUND)
    if os.path.isdir(program):
        return NotStarted(f'{name} is a folder', NOT_EXECUTABLE)
    if error.errno == errno.EACCES:
        return NotStarted(f'{name} is not executable', NOT_EXECUTABLE)
    return NotStarted(f'cannot run {name}: {_reason(error)}', NOT_EXECUTABLE)


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
