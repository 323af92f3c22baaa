"""The table of docs/guarantees.md: what was tried, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.faults.base import Bad, Row, Verdict
from tests.faults.results import Results
from tests.faults.rows import all_rows
from tests.faults.tools import REPOSITORY, Tool, Unavailable, tool

PAGE = REPOSITORY / 'docs/guarantees.md'
BEGIN, END = '<!-- counts: written by tests/faults/run --table -->', '<!-- end of counts -->'
HEADS = ('row', 'what is done', 'tool', 'tried', *(kind.value for kind in Bad), 'heals in')


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
    none = ('',) * (len(Bad) + 1)
    if why := row.lacks():
        return (name, f'not run: {why}', *none)
    try:
        who = tool(name, folder)
    except Unavailable as error:
        return (name, f'not run: {error}', *none)
    full = results.of(row, who, True)
    verdicts = full or results.of(row, who, False)
    return counts(who, [*verdicts.values()]) if verdicts else (name, 'not tried', *none)


def counts(who: Tool, verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    """The cells from the tool on."""
    kinds = (f'{sum(one.bad.get(kind.value, 0) for one in verdicts):,}' for kind in Bad)
    heal = max(one.heal for one in verdicts)
    return (who.name, f'{sum(one.tried for one in verdicts):,}', *kinds, f'{heal:.2f} s' if heal else '')


def write(folder: Path) -> None:
    """Put the table between its marks in docs/guarantees.md, and print it."""
    lines = [' | '.join(('', *cells, '')).strip() for cells in (HEADS, ('---',) * len(HEADS), *rows(folder))]
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f'{before}{BEGIN}\n' + '\n'.join(lines) + f'\n{END}{after}')
    print('\n'.join(lines))
