"""``mlops gate``."""

from __future__ import annotations

import os
import stat
from typing import Annotated, Any

from mlops_cli.checks.gate import evaluate, read_metrics
from mlops_cli.cli import exits, options
from mlops_cli.cli.console import out, print_json
from mlops_cli.cli.gate_sources import beyond
from mlops_cli.cli.opening import open_named
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.patterns import pattern

LIMIT = 16 << 20
_PATTERN = pattern(r'[?\[\]{}]')

EXITS = exits.line(ExitCode.UNREACHABLE, ExitCode.REFUSED, failed='the gate does not hold')


def command(
    expression: Annotated[
        str,
        options.Argument(
            metavar='EXPR',
            help='Such as "best.json:accuracy >= 0.95 and best.json:loss < 0.3"; of several files'
            ' "above(out/*/m.json:acc, 0.9)"; of elsewhere best.json@REV:acc, MODEL@ALIAS/best.json:acc.',
        ),
    ],
    first: Annotated[
        bool, options.Option('--first', help='Leave out the conditions that compare with an alias that nobody has held yet.')
    ] = False,
    json: options.Json = False,
) -> int:
    """An expression over metrics files that must hold: exit 0 if it does, 1 if not.  Also as the command of a stage.

    Example:  mlops gate "best.json:accuracy >= 0.95"
    """
    result = evaluate(expression, _read, lambda file, quoted: beyond(file, quoted, _read, LIMIT), first=first)
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
        fd = open_named(file)
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
        found = f'there are {", ".join(beside[:5])}' if beside else f'looked in {os.getcwd()}'
        hint = f'{found}; of ? [ ] {{ }} * only * stands for anything' if _PATTERN.search(file) else found
        raise UserError(f'{file}: {error.strerror}', hint=hint) from error
    return read_metrics(data, file)
