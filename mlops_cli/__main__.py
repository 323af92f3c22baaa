"""The console script.  What needs no command line library is answered before one is imported."""
from __future__ import annotations

import gc
import os
import sys

SYSTEMS = ('linux', 'darwin')  # WSL is the former


def main() -> None:
    """Runs the command line in ``sys.argv`` and exits with its code."""
    arguments = sys.argv[1:]
    gc.set_threshold(50_000, 20, 50)  # what a command makes it mostly keeps to its end: cycles are seldom worth looking for
    if arguments in (['--version'], ['-V']) and _said_version():
        sys.exit(0)
    if refusal := _refusal():
        sys.stderr.write(refusal)
        sys.exit(6)
    if instruction := os.environ.get('_MLOPS_COMPLETE'):
        from mlops_cli.cli.completion import shells
        shells.answer(instruction, os.environ)
        sys.exit(0)
    try:
        if arguments[-1:] in (['-h'], ['--help']) and _said_help(arguments):
            sys.exit(0)
        from mlops_cli.cli.quick.answer import answer
        code = answer(arguments)
        if code is None:
            from mlops_cli.cli import ahead
            ahead.begin(arguments)
            try:
                from mlops_cli.core import collector
                collector.alone = True
                from mlops_cli.cli.app import run
                code = run(arguments)
            finally:
                ahead.end()
    except KeyboardInterrupt:  # while it is still being loaded
        code = 130
    except RuntimeError as error:  # the same, while a class was being made, as Python before 3.12 has it
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        code = 130
    sys.exit(code)


def start() -> None:
    """As main, in a process of its own: ends it without taking apart what was made, which takes longer the more there is."""
    code = 130
    try:
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        else:
            code = 0
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except OSError:
        sys.exit(code)  # the interpreter meets that again, and says so
    except KeyboardInterrupt:  # just before, or just after, there was anything to interrupt
        pass
    os._exit(code)


def _refusal() -> str:
    """Why nothing can be done on this machine; before anything is imported that it lacks."""
    if sys.platform not in SYSTEMS:
        return (f'error: mlops runs on Linux, macOS and WSL, not on {sys.platform}\n'
                '  hint: on Windows, install it inside WSL (wsl --install)\n')
    if (encoding := sys.getfilesystemencoding().lower()) not in ('utf-8', 'utf8'):
        return (f'error: names of files are {encoding} here: mlops needs UTF-8, or they would mean something else elsewhere\n'
                '  hint: export LC_ALL=C.UTF-8, and leave PYTHONUTF8 alone\n')
    return ''


def _said_version() -> bool:
    """False where standard output failed: then the command line library meets that again, and says so."""
    from mlops_cli import __version__
    try:
        print(f'mlops {__version__}', flush=True)
    except OSError:
        return False
    return True


def _said_help(arguments: list[str]) -> bool:
    """False where the command line library has to say it, or meets again that standard output failed."""
    from mlops_cli.cli.helping import page
    text = page(arguments)
    if text:
        from mlops_cli.cli.terminal import prepare
        prepare()
        try:
            print(text, end='', flush=True)
        except OSError:
            return False
    return bool(text)


if __name__ == '__main__':
    start()
