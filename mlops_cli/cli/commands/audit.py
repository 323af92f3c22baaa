"""``mlops audit``."""

from __future__ import annotations

import sys
from typing import Annotated

from mlops_cli.cli import exits, options
from mlops_cli.core.errors import ExitCode

EXITS = exits.line(
    ExitCode.REFUSED,
    ExitCode.LOCK_TIMEOUT,
    ExitCode.INTERRUPTED,
    ExitCode.TERMINATED,
    failed='something is not declared, was not seen, or failed',
)


def command(
    stages: options.Stages = None,
    jobs: options.Jobs = 0,
    write: Annotated[bool, options.Option('--write', help='Write what is missing into pipeline.yaml.')] = False,
    output: Annotated[
        list[str] | None,
        options.Option('--output', '-o', metavar='FILE', help='A report: .html, .md or .json. May be repeated.'),
    ] = None,
    json: options.Json = False,
) -> int:
    """Run stages again and list what they open without declaring it, and what they declare without opening it.

    Example:  mlops audit train
    """
    from mlops_cli.cli.auditing import audit

    return audit(tuple(stages or ()), jobs, ('mlops', *sys.argv[1:]), output or (), write=write, json=json)
