"""Exceptions become a message, a hint and an exit code, here and nowhere else."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from mlops_cli import __version__
from mlops_cli.cli import context
from mlops_cli.cli.console import print_json, say
from mlops_cli.core import layout
from mlops_cli.core.errors import ExitCode, UserError, UserErrors
from mlops_cli.fsio.ops import machine_error


def guarded(call: Callable[[], Any], arguments: Sequence[str]) -> int:
    """Runs the call; the exit code for whatever it returned or raised."""
    context.current.json = '--json' in arguments
    try:
        result = call()
        sys.stdout.flush()
        return int(result or 0)
    except UserError as error:
        return _tell(error)
    except BrokenPipeError:
        # The reader went away, as ``| head`` does: no failure of ours, and nothing more to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _tell(machine_error(error, 'working'))
    except KeyboardInterrupt:
        say('interrupted')
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is a bug of ours: a log, an invitation, exit 70
        return _usage(error) if _is_usage(error) else _crash(arguments)


def _is_usage(error: Exception) -> bool:
    """The command line library raises its own kinds of errors for wrong options."""
    return hasattr(error, 'format_message') and hasattr(error, 'exit_code')


def _usage(error: Any) -> int:
    ctx = getattr(error, 'ctx', None)
    hint = f'{ctx.command_path} -h shows the options' if ctx else 'mlops -h shows the commands'
    return _tell(UserError(error.format_message().rstrip('.'), hint=hint))


def _tell(error: UserError) -> int:
    errors = error.errors if isinstance(error, UserErrors) else (error,)
    if context.current.json:
        print_json(_document(errors))
    else:
        for one in errors:
            say(f'error: {one}')
            if one.hint:
                say(f'  hint: {one.hint}')
    return errors[0].exit_code


def _document(errors: Sequence[UserError]) -> dict[str, Any]:
    first, *others = [
        {
            'code': int(one.exit_code),
            'message': one.message,
            'hint': one.hint,
            'where': {'file': one.where.file, 'line': one.where.line, 'column': one.where.column} if one.where else None,
        }
        for one in errors
    ]
    return {'schema': 'mlops/error/v1', **first, **({'more': others} if others else {})}


def _crash(arguments: Sequence[str]) -> int:
    text = (
        f'mlops {__version__}, Python {platform.python_version()}, {platform.platform()}\n'
        f'arguments: {list(arguments)!r}\n\n{traceback.format_exc()}'
    )
    folder = layout.CRASHES if os.path.isdir(layout.LOCAL) else tempfile.gettempdir()
    path = os.path.join(folder, f'mlops-crash-{time.strftime("%Y%m%dT%H%M%S")}-{os.getpid()}.log')
    try:
        os.makedirs(folder, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), 'w') as file:
            file.write(text)
    except OSError:
        path = ''
        say(text)
    error = UserError(
        'this is a bug of mlops, not of yours: ' + traceback.format_exc().strip().splitlines()[-1][:300],
        hint=f'please report it and attach {path}' if path else 'please report it with the text above',
        exit_code=ExitCode.BUG,
    )
    return _tell(error)
