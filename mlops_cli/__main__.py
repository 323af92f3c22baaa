"""The console script.  What needs no command line library is answered before one is imported."""
from __future__ import annotations

import os
import sys

SYSTEMS = ('linux', 'darwin')  # WSL is the former


def main() -> None:
    """Runs the command line in ``sys.argv`` and exits with its code."""
    arguments = sys.argv[1:]
    if arguments in (['--version'], ['-V']) and _said_version():
        sys.exit(0)
    if sys.platform not in SYSTEMS:  # before anything is imported that they lack
        sys.stderr.write(f'error: mlops runs on Linux, macOS and WSL, not on {sys.platform}\n'
                         '  hint: on Windows, install it inside WSL (wsl --install)\n')
        sys.exit(6)
    if instruction := os.environ.get('_MLOPS_COMPLETE'):
        from mlops_cli.cli.shells import answer
        answer(instruction, os.environ)
        sys.exit(0)
    try:
        from mlops_cli.cli.app import run
        code = run(arguments)
    except KeyboardInterrupt:  # while it is still being loaded
        code = 130
    sys.exit(code)


def _said_version() -> bool:
    """False where standard output failed: then the command line library meets that again, and says so."""
    from mlops_cli import __version__
    try:
        print(f'mlops {__version__}', flush=True)
    except OSError:
        return False
    return True


if __name__ == '__main__':
    main()
