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
    return laid_out(head, [[row[index] for row in rows] for index in range(len(head))], columns, indent)


def laid_out(head: Sequence[Column], texts: Sequence[Sequence[str]], columns: int, indent: int = 2) -> list[str]:
    """As table(), of the texts of each column."""
    kept = [index for index, column in enumerate(head) if any(texts[index]) or not column.optional]
    wanted = {index: max(cells(head[index].name), widest(texts[index])) for index in kept}

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
    if not kept:
        return [''] * (1 + max(map(len, texts), default=0))
    shown = [_cut([head[i].name, *texts[i]], wanted[i], widths[i], head[i].right) for i in kept]
    line = ' ' * indent + (' ' * GAP).join([form for form, _ in shown])
    return [(line % cells_of).rstrip() for cells_of in zip(*[column for _, column in shown], strict=True)]


def widest(texts: Sequence[str]) -> int:
    """Columns that the widest of them takes."""
    if ''.join(texts).isascii():
        return max(map(len, texts), default=0)
    return max(map(cells, texts), default=0)


def _cut(texts: list[str], wanted: int, width: int, right: bool) -> tuple[str, list[str]]:
    """How a column's texts, of which the widest takes as much as is wanted, are put into a line, and these texts."""
    if wanted > width:
        texts = [clip(text, width) for text in texts]
    if ''.join(texts).isascii():
        return f'%{"" if right else "-"}{width or ""}s', texts
    return '%s', [pad(text, width, right=right) for text in texts]
