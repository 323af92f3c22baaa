"""The console script.  What needs no command line library is answered before one is imported."""
from __future__ import annotations

import os
import sys


def main() -> None:
    """Runs the command line in ``sys.argv`` and exits with its code."""
    arguments = sys.argv[1:]
    if arguments in (['--version'], ['-V']):
        from mlops_cli import __version__
        print(f'mlops {__version__}')
        sys.exit(0)
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


if __name__ == '__main__':
    main()
