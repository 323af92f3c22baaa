"""What the doctor says: a line for each thing, and below it what mends it.  Values in, lines out."""

from __future__ import annotations

from collections.abc import Sequence

from mlops_cli.checks.doctor.facts import Finding
from mlops_cli.cli.console import Line, one_line, wrap
from mlops_cli.core.units import plural

WORDS = {'wrong': 'wrong', 'note': 'note:'}
INDENT = 8


def doctor_lines(found: Sequence[Finding], right: Sequence[str], columns: int) -> list[Line]:
    """``right``: what was looked at and is so."""
    lines: list[Line] = [Line(f'  right {one_line(text)}') for text in right]
    for one in found:
        where = f'{one_line(one.where)}: ' if one.where else ''
        first, *more = wrap(f'{where}{one_line(one.text)}', columns - INDENT)
        word = WORDS[one.level]
        lines.append(Line(f'  {word:<6}{first}', word))
        lines += [Line(f'{" " * INDENT}{line}') for line in more]
        if one.fix:
            lines.append(Line(f'{" " * INDENT}fix: {one_line(one.fix)}'))
    wrong = sum(one.level == 'wrong' for one in found)
    notes = len(found) - wrong
    if not found:
        return [*lines, Line('Nothing is wrong here.', 'done')]
    parts = ([f'{plural(wrong, "thing")} wrong'] if wrong else ['Nothing wrong']) + ([plural(notes, 'note')] if notes else [])
    return [*lines, Line(f'{", ".join(parts)}.')]
