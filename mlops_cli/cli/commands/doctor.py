"""``mlops doctor``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import Annotated, Any

from mlops_cli.checks.doctor.facts import Facts, Finding
from mlops_cli.checks.doctor.gather import look
from mlops_cli.checks.doctor.rules import CHECKS, applies, examine
from mlops_cli.cli import context, exits, options
from mlops_cli.cli.console import out_lines, print_json, width
from mlops_cli.cli.finding import find_project
from mlops_cli.cli.screens.doctor import doctor_lines
from mlops_cli.core.errors import ExitCode

EXITS = exits.line(failed='something is wrong')


def command(
    remotes: Annotated[
        bool, options.Option('--remotes', help='Connect to each remote, and say whether it can be read and written.')
    ] = False,
    json: options.Json = False,
) -> int:
    """What is wrong here, a line each with what mends it; with -v also what was looked at and is right.

    Changes nothing, runs nothing of the project, connects to nothing but with --remotes, which writes a few bytes to each and
    takes them away again.

    Example:  mlops doctor -v
    """
    here = os.getcwd()
    facts = look(here, find_project(here), os.environ, time.time(), remotes=remotes)
    found = examine(facts)
    if json:
        print_json(_document(facts, found))
    else:
        right = [check.about for check in _right(facts, found)] if context.current.verbose else []
        out_lines(doctor_lines(found, right, width(sys.stdout)))
    return ExitCode.FAILED if any(one.level == 'wrong' for one in found) else ExitCode.DONE


def _right(facts: Facts, found: Sequence[Finding]) -> list[Any]:
    said = {one.check for one in found}
    return [check for check in CHECKS if applies(check, facts) and check.name not in said]


def _document(facts: Facts, found: Sequence[Finding]) -> dict[str, Any]:
    return {
        'schema': 'mlops/doctor/v1',
        'rows': [
            {'check': one.check, 'level': one.level, 'text': one.text, 'fix': one.fix, 'where': one.where} for one in found
        ],
        'right': [check.name for check in _right(facts, found)],
    }
