"""``mlops gate``."""

from __future__ import annotations

import os
import stat
from typing import Annotated, Any

from mlops_cli.checks.gate import evaluate, read_metrics
from mlops_cli.cli import exits, options
from mlops_cli.cli.console import out, print_json
from mlops_cli.cli.finding import find_project
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.layout import OBJECTS
from mlops_cli.core.paths import inside
from mlops_cli.core.patterns import pattern
from mlops_cli.fsio.paths import Root

LIMIT = 16 << 20
_OBJECT = pattern(rf'/{OBJECTS}/[0-9a-f]{{2}}/[0-9a-f]{{62}}\Z')

EXITS = exits.line(ExitCode.REFUSED, failed='the gate does not hold')


def command(
    expression: Annotated[
        str, options.Argument(metavar='EXPR', help='Such as "best.json:accuracy >= 0.95 and best.json:loss < 0.3".')
    ],
    json: options.Json = False,
) -> int:
    """An expression over metrics files that must hold: exit 0 if it does, 1 if not.  Also as the command of a stage.

    Example:  mlops gate "best.json:accuracy >= 0.95"
    """
    result = evaluate(expression, _read)
    if json:
        print_json(
            {
                'schema': 'mlops/gate/v1',
                'passed': result.passed,
                'expression': result.expression,
                'values': dict(result.values),
                'text': result.text,
            }
        )
    else:
        out(result.text)
    return ExitCode.DONE if result.passed else ExitCode.FAILED


def _read(file: str) -> Any:
    """A metrics file, relative to the current folder, as where a stage's command stands.  Raises UserError."""
    try:
        fd = _open(file)
        with open(fd, 'rb') as opened:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise UserError(f'{file} is not a regular file', exit_code=ExitCode.REFUSED, hint='name a file of metrics')
            data = opened.read(LIMIT + 1)
    except OSError as error:
        beside = (
            sorted(name for name in os.listdir(os.path.dirname(file) or '.') if name.endswith('.json'))
            if os.path.isdir(os.path.dirname(file) or '.')
            else []
        )
        raise UserError(
            f'{file}: {error.strerror}', hint=f'there are {", ".join(beside[:5])}' if beside else f'looked in {os.getcwd()}'
        ) from error
    return read_metrics(data, file)


def _open(file: str) -> int:
    """A descriptor, without waiting for anybody.  What a name in the project leads to has to lie in it, or be an object of a
    cache: a branch may bring links.  Names that lead elsewhere by themselves are a person's own.  Raises OSError, UserError."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    project = os.path.realpath(find_project(os.getcwd()) or '/')
    here = os.path.normpath(os.path.join(os.path.realpath(os.getcwd()), file))
    there = os.path.realpath(file)
    if not inside(here, project) or here == there:
        return os.open(file, flags)
    if inside(there, project):
        with Root(project) as root:
            return root.open(os.path.relpath(there, project), os.O_RDONLY)
    if _OBJECT.search(there):
        return os.open(there, flags | os.O_NOFOLLOW)
    raise UserError(
        f'refused to read {file}: it is a symbolic link, or lies behind one, that leads out of the project',
        exit_code=ExitCode.REFUSED,
        hint='put the file itself there, or name the one that it leads to',
    )
