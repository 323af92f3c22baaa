"""Columns that fit: the least important ones give way first.  Values in, lines out."""

from __future__ import annotations

from collections.abc import Sequence

from mlops_cli.cli.console import cells, clip, pad
from mlops_cli.core.classes import dataclass

GAP = 2


@dataclass(frozen=True, slots=True)
class Column:
    """``right``: numbers.  ``least``: columns it needs at least; 0: as many as its widest cell.  ``optional``: left out where
    there is no room, those that come last first."""

    name: str
    right: bool = False
    least: int = 0
    optional: bool = False


def table(head: Sequence[Column], rows: Sequence[Sequence[str]], columns: int, indent: int = 2) -> list[str]:
    """A header and the rows; empty columns are left out.  Columns with ``least`` are cut where there is no room."""
    kept = [index for index, column in enumerate(head) if any(row[index] for row in rows) or not column.optional]
    wanted = {index: max([cells(head[index].name), *(cells(row[index]) for row in rows)]) for index in kept}

    def needed(of: Sequence[int]) -> int:
        return indent + sum(min(wanted[i], head[i].least) if head[i].least else wanted[i] for i in of) + GAP * (len(of) - 1)

    for index in reversed(kept):
        if needed(kept) <= columns:
            break
        if head[index].optional:
            kept = [other for other in kept if other != index]
    spare = columns - needed(kept)
    widths: dict[int, int] = {}
    for index in kept:
        width = min(wanted[index], head[index].least) if head[index].least else wanted[index]
        more = min(wanted[index] - width, max(spare, 0))
        widths[index], spare = width + more, spare - more
    lines = [[column.name for column in head], *rows]
    return [
        (' ' * indent + (' ' * GAP).join(pad(clip(line[i], widths[i]), widths[i], right=head[i].right) for i in kept)).rstrip()
        for line in lines
    ]
