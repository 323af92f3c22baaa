"""Exceptions become a message, a hint and an exit code, here and nowhere else."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from mlops_cli import __version__
from mlops_cli.cli import context, ending, exits
from mlops_cli.cli.console import Line, hung_up, one_line, out, print_json, say
from mlops_cli.cli.finding import project_folder
from mlops_cli.core import layout
from mlops_cli.core.errors import ExitCode, UserError, UserErrors
from mlops_cli.core.near import did_you_mean
from mlops_cli.fsio.atomic import write_file
from mlops_cli.fsio.errors import machine_error
from mlops_cli.fsio.paths import Root

CRASH_LIMIT = 1 << 20  # characters of a traceback
_PRINTS = ('mlops_cli.cli', 'click', 'rich', 'typer')
_OF_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF, errno.EAGAIN)


def guarded(call: Callable[[], Any], arguments: Sequence[str]) -> int:
    """Runs the call; the exit code for whatever it returned or raised."""
    try:
        context.begin(arguments)
        result = call()
        if sys.stdout is not None:
            sys.stdout.flush()
        return int(result or 0)
    except UserError as error:
        return _tell(error)
    except BrokenPipeError:
        # No failure of ours, and nothing more to say to it.
        hung_up()
        return 0
    except OSError as error:
        return _tell(machine_error(error, 'write to standard output' if _lost_output(error) else 'go on'))
    except SystemExit:  # the command line library's own way to meet a reader that went away
        hung_up()
        return 0
    except KeyboardInterrupt:
        return _interrupted()
    except ImportError as error:
        return _tell(_unloadable(error))
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is a bug of ours: a log, an invitation, exit 70
        if isinstance(error.__cause__, KeyboardInterrupt):  # while a class was being made, as Python before 3.12 has it
            return _interrupted()
        return _usage(error, arguments) if _is_usage(error) else _crash(arguments)


def _interrupted() -> ExitCode:
    say(Line(ending.WORDS[ending.asked_by]))
    return ExitCode.INTERRUPTED


def _lost_output(error: OSError) -> bool:
    """Whether it is standard output that failed, as on a full disk: whatever is written later then goes nowhere, or the
    interpreter would end with another failure.  Errors of files carry the file's name, and come from elsewhere."""
    if error.filename is not None or error.errno not in _OF_OUTPUT or not _while_printing(error):
        return False
    hung_up()
    context.current.json = False  # there is nobody to read a document
    return True


def _while_printing(error: OSError) -> bool:
    """Whether it came up in what prints: the console, or the flush of what it printed."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return step is not None and step.tb_frame.f_globals.get('__name__', '').startswith(_PRINTS)


def _unloadable(error: ImportError) -> UserError:
    """A part of the program that is loaded when it is first needed, and is not there then."""
    return UserError(
        f'cannot load {error.name or "a part of mlops"}{f" ({error.path})" if error.path else ""}: {error.msg}',
        hint='too many open files (ulimit -n), a failing disk, or a new version is coming in: try again, or reinstall it',
        exit_code=ExitCode.MACHINE,
    )


def _is_usage(error: Exception) -> bool:
    """The command line library raises its own kinds of errors for wrong options."""
    return hasattr(error, 'format_message') and hasattr(error, 'exit_code')


def _usage(error: Any, arguments: Sequence[str]) -> int:
    """What is wrong with the options, in our words."""
    ctx, kind = getattr(error, 'ctx', None), type(error).__name__
    command = next((word for word in arguments if not word.startswith('-')), '')
    path = ctx.command_path if ctx else f'mlops {command}'.strip()
    if kind == 'NoArgsIsHelpError':
        out(error.format_message())
        return ExitCode.DONE
    hint = f'{path} -h shows the options'
    if kind == 'NoSuchOption':
        known = [name for param in ctx.command.get_params(ctx) for name in param.opts if name.startswith('--')] if ctx else []
        near = did_you_mean(error.option_name, known)
        if near.startswith('did you mean'):
            hint = near
        elif any(word.startswith(error.option_name) and ' ' in word for word in arguments):
            hint = f'what begins with a minus and is no option stands behind --: {path} -- "..."'
        return _tell(UserError(f'{path} has no option {error.option_name}', hint=hint))
    if kind == 'MissingParameter' and error.param is not None:
        name = str(error.param.metavar or error.param.human_readable_name)
        return _tell(UserError(f'{name} is missing', hint=f'{_whole(path, ctx, name)}   ({path} -h shows more)'))
    message = error.format_message().rstrip('.')
    if message.startswith('Got unexpected extra argument'):
        message = f'{path} has no use for {message.partition(" (")[2].rstrip(")")}'
    if kind == 'BadParameter' and error.param is not None:
        message = f'{" / ".join(error.param.opts)}: {_plainly(error)}'
    return _tell(UserError(message[:1].lower() + message[1:], hint=hint))


def _whole(path: str, ctx: Any, name: str) -> str:
    """The command with all arguments that it cannot do without: the one that is missing is seldom the first."""
    wanted = [one for one in ctx.command.get_params(ctx) if one.param_type_name == 'argument' and one.required] if ctx else []
    names = [str(one.metavar or one.human_readable_name) for one in wanted]
    return ' '.join([path, *(names if name in names else [name])])


def _plainly(error: Any) -> str:
    """The library's types are for programmers."""
    text: str = error.message.rstrip('.')
    words = {'is not a valid int range': 'is not a whole number', 'is not a valid float': 'is not a number'}
    for theirs, ours in {**words, 'is not a valid int': 'is not a whole number'}.items():
        text = text.replace(theirs, ours)
    return text


def _tell(error: UserError) -> int:
    errors = error.errors if isinstance(error, UserErrors) else (error,)
    _blank(errors)
    told = False
    if context.current.json:
        try:
            print_json(_document(errors))
            told = True
        except BrokenPipeError:
            hung_up()
            told = True
        except OSError:  # then in words, to whoever hears them
            hung_up()
    if not told:
        for one in errors:
            message, *more = str(one).split('\n')
            say(Line(f'error: {message}', 'error:'))
            for line in more:
                say(f'       {line}')
            if one.hint:
                say(Line(f'  hint: {one_line(one.hint)}', 'hint:'))
    return exits.first([one.exit_code for one in errors])


def _blank(errors: Sequence[UserError]) -> None:
    """A message may quote what somebody typed, and stand in the log of a CI."""
    from mlops_cli.core.secrets import Redactor, environment_secrets

    redact = Redactor(environment_secrets(os.environ, ())).redact
    for one in errors:
        one.message, one.hint = redact(one.message), redact(one.hint)


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
    """Writes what a report needs, without the secrets of the environment, and says where."""
    import platform
    import traceback

    from mlops_cli.core.secrets import Redactor, environment_secrets

    last = traceback.format_exc().strip().splitlines()[-1]
    redact = Redactor(environment_secrets(os.environ, ())).redact
    text = redact(
        f'mlops {__version__}, Python {platform.python_version()}, {platform.platform()}\n'
        f'arguments: {list(arguments)!r}\n\n{traceback.format_exc()[-CRASH_LIMIT:]}'
    )
    path = _keep(text.encode('utf-8', 'backslashreplace'))
    if not path:
        say(text)
    error = UserError(
        f'this is a bug of mlops, not of yours: {redact(last)[:300]}',
        hint=f'please report it and attach {path}' if path else 'please report it with the text above',
        exit_code=ExitCode.BUG,
    )
    return _tell(error)


def _keep(data: bytes) -> str:
    """Where a crash log went: into the project, through no link, else into the folder for temporary files; empty: nowhere."""
    name = f'mlops-crash-{time.strftime("%Y%m%dT%H%M%S")}-{os.getpid()}.log'
    try:
        folder = project_folder()
        with Root(folder) as root:
            if root.stat(layout.ROOT) is not None:
                root.makedirs(layout.CRASHES, mode=0o700)
                write_file(root, f'{layout.CRASHES}/{name}', data, 0o600, durable=False)
                return os.path.relpath(root.full(f'{layout.CRASHES}/{name}'))
    except (OSError, UserError):
        pass
    try:
        from tempfile import gettempdir

        path = os.path.join(gettempdir(), name)
    except (OSError, ImportError):  # where nothing can be read any more, it is told only
        return ''
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), 'wb') as file:
            file.write(data)
    except OSError:
        return ''
    return path
