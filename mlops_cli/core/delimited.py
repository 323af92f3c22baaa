"""What parts the cells of a table of text, and numbers with a decimal comma: spreadsheets of many countries write both."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mlops_cli.core.patterns import pattern

SEPARATORS = (',', ';', '\t')  # where two give as many columns, the first of them
_QUOTED = pattern(r'"[^"]*"?')
_DECIMAL = pattern(r'[+-]?(?:\d+,\d+|\d+|,\d+)(?:[eE][+-]?\d{1,4})?|[+-]?(?:nan|inf|infinity)', re.IGNORECASE | re.ASCII)


def separator(path: str, first: str, *, header: bool = True) -> str:
    """Of ``.tsv`` the tab; else what gives the ``first`` line the most cells, of comma, semicolon and tab in that order.

    What stands between quotes is not counted.  ``header`` False: the line holds data, so ``1,5;2,5`` is two numbers and not
    three cells."""
    if path.lower().endswith('.tsv'):
        return '\t'
    if not header:
        found = cells(first, ';')
        if len(found) > 1 and all(decimal(cell) is not None for cell in found):
            return ';'
    return max(SEPARATORS, key=_QUOTED.sub('', first).count)


def cells(line: str, delimiter: str) -> Sequence[str]:
    """Of one line, without the blanks around them; none where it is no CSV."""
    import csv  # few commands read tables

    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def decimal(text: str) -> float | None:
    """``0,25`` as 0.25; whole numbers, NaN and infinities too.  None for all else, ``0.25`` and ``1.234,5`` among them."""
    text = text.strip()
    return float(text.replace(',', '.')) if _DECIMAL.fullmatch(text) else None
