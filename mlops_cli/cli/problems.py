"""Tells of records that cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_cli.cli.console import Line, say
from mlops_cli.core.units import plural

if TYPE_CHECKING:
    from mlops_cli.records.history import Problem

SHOWN = 3  # that are named


def tell_problems(problems: tuple[Problem, ...]) -> None:
    """Damaged records count for nothing; who reads them is told which."""
    for problem in problems[:SHOWN]:
        say(Line(f'note: {problem.path} is left out: {problem.text}', 'note:'))
    if len(problems) > SHOWN:
        say(Line(f'note: {plural(len(problems) - SHOWN, "more record")} left out, too', 'note:'))
