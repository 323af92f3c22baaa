"""The stages as a drawing in lanes.  Values in, lines out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlops_cli.cli.console import Line, cells, clip, one_line, wrap
from mlops_cli.report.dag import Drawing, Node
from mlops_cli.report.dag_text import lanes, legend, tree

LEAST = 48  # columns that are left for names


def graph_lines(drawing: Drawing, made: Mapping[str, Sequence[str]], columns: int) -> list[Line]:
    """``made``: id of a node -> what it makes.  One line for each node, and those that join lanes."""
    try:
        drawn = list(lanes(drawing, max((columns - LEAST) // 2, 4)))
    except ValueError:
        return _tree_lines(drawing, made, columns)
    lines = [Line(front) if node is None else _line(front, node, made, columns) for front, node in drawn]
    said = legend(drawing)
    return [*lines, Line(''), *map(Line, wrap(said, columns))] if said else lines


def _line(front: str, node: Node, made: Mapping[str, Sequence[str]], columns: int, also: str = '') -> Line:
    text = f'{front}  {one_line(node.label)}' if front[-1:].strip() else f'{front}{one_line(node.label)}'
    if node.note:
        text += f'  {one_line(node.note)}'
    text += also
    outputs = ', '.join(map(one_line, made.get(node.id, ())))
    room = columns - cells(text) - 4
    if outputs and room >= 8:
        text += f'  → {clip(outputs, room)}'
    return Line(text, node.state if node.note == node.state else '')


def _tree_lines(drawing: Drawing, made: Mapping[str, Sequence[str]], columns: int) -> list[Line]:
    lines = []
    for front, node, others in tree(drawing):
        names = ', '.join(map(one_line, others[:3])) + (f' and {len(others) - 3} more' if len(others) > 3 else '')
        lines.append(_line(front, node, made, columns, f'  (also after {names})' if others else ''))
    return lines
