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


def rows(folder: Path, page: str) -> list[tuple[str, ...]]:
    """The cells of the table.  What was not tried, or not all of it, says so.  ``page``: the one that has the table so far:
    what was counted elsewhere is in it alone."""
    results = Results(folder)
    stood = standing(page)
    found = []
    for row in all_rows():
        for name in row.tools:
            title = row.title if name == row.tools[0] else ''
            cells = chosen(_cells(row, name, results, folder), stood.get((row.name, name)))
            found.append((row.name, title, *cells))
    return found


def standing(page: str) -> dict[tuple[str, str], tuple[str, ...]]:
    """(row, tool) -> the cells of the table in a page, from the tool on."""
    _, _, rest = page.partition(BEGIN)
    found = {}
    for line in rest.partition(END)[0].splitlines():
        cells = [cell.strip() for cell in line.split('|')[1:-1]]
        if len(cells) == len(HEADS) and cells[0] not in (HEADS[0], '---'):
            found[cells[0], cells[2]] = tuple(cells[2:])
    return found


def chosen(new: tuple[str, ...], old: tuple[str, ...] | None) -> tuple[str, ...]:
    """Which cells to show: those of this machine, unless it counted nothing, or a part of what stands as counted to its end
    and nothing bad in it.  As :meth:`Results.newest` does between versions."""

    def counted(cells: tuple[str, ...]) -> bool:
        return cells[1][:1].isdigit()

    def bad(cells: tuple[str, ...]) -> bool:
        return any(cell.strip('0') for cell in cells[2:2 + len(Bad)])

    if old is None or not counted(old):
        return new
    if not counted(new):
        return old
    return old if '(' in new[1] and '(' not in old[1] and not bad(new) else new


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
    page = PAGE.read_text()
    lines = [' | '.join(('', *cells, '')).strip() for cells in (HEADS, ('---',) * len(HEADS), *rows(folder, page))]
    text = '\n'.join([*lines, '', *textwrap.wrap(_where(folder), 150)])
    before, _, rest = page.partition(BEGIN)
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
