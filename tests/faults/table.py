"""The table of docs/guarantees.md: what was tried, and what came of it."""

from __future__ import annotations

import os
import platform
import textwrap
from pathlib import Path

from tests.faults.base import Bad, Row
from tests.faults.results import Results, Tried
from tests.faults.rows import all_rows
from tests.faults.tools import REPOSITORY, Tool, Unavailable, tool

PAGE = REPOSITORY / 'docs/guarantees.md'
BEGIN, END = '<!-- counts: written by tests/faults/run --table -->', '<!-- end of counts -->'
HEADS = ('row', 'what is done', 'tool', 'tried', *(kind.value for kind in Bad), 'heals in', 'of')


def rows(folder: Path) -> list[tuple[str, ...]]:
    """The cells of the table.  What was not tried, or not all of it, says so."""
    results = Results(folder)
    found = []
    for row in all_rows():
        for name in row.tools:
            title = row.title if name == row.tools[0] else ''
            found.append((row.name, title, *_cells(row, name, results, folder)))
    return found


def _cells(row: Row, name: str, results: Results, folder: Path) -> tuple[str, ...]:
    none = ('',) * (len(Bad) + 2)
    if why := row.lacks():
        return (name, f'not run: {why}', *none)
    try:
        who = tool(name, folder)
    except Unavailable as error:
        return (name, f'not run: {error}', *none)
    full = results.newest(row, who, True)
    if full.verdicts:
        return counts(who, full)
    fast = results.newest(row, who, False)
    return counts(who, fast, 'the fast tier') if fast.verdicts else (name, 'not tried', *none)


def counts(who: Tool, tried: Tried, *which: str) -> tuple[str, ...]:
    """The cells from the tool on.  ``which``: what to say of how many it were, beside whether those are all."""
    verdicts = [*tried.verdicts.values()]
    said = [*which, *([] if tried.complete else [f'{len(verdicts):,} of {tried.cases:,} cases'])]
    part = f' ({", ".join(said)})' if said else ''
    kinds = (f'{sum(one.bad.get(kind.value, 0) for one in verdicts):,}' for kind in Bad)
    heal = max(one.heal for one in verdicts)
    return (who.name, f'{sum(one.tried for one in verdicts):,}{part}', *kinds, f'{heal:.2f} s' if heal else '', tried.commit)


def write(folder: Path) -> None:
    """Put the table between its marks in docs/guarantees.md, and print it."""
    lines = [' | '.join(('', *cells, '')).strip() for cells in (HEADS, ('---',) * len(HEADS), *rows(folder))]
    text = '\n'.join([*lines, '', *textwrap.wrap(_where(folder), 150)])
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f'{before}{BEGIN}\n{text}\n{END}{after}')
    print(text)


def _where(folder: Path) -> str:
    """Where it was counted."""
    try:
        other = f'DVC {tool("dvc", folder).version}'
    except Unavailable:
        other = 'no DVC'
    system = f'Python {platform.python_version()}, Linux {platform.release().partition("-")[0]}, {os.cpu_count()} cores'
    return (
        'Of: the last commit to the code of mlops before the row was counted, or the version of DVC. '
        f'{other}, {system}.'
    )
