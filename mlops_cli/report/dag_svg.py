"""A drawn graph as SVG: for a page, or as a picture of its own.  Values in, text out."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_cli.report.dag import Box, Drawing, Layout, Node, layout, shown
from mlops_cli.report.page import escape

# The colours of pages (page.py) by name; a picture of its own brings them along.
COLOURS = """
svg.dag{--ground:#fff;--raised:#f6f7f9;--ink:#1b1f24;--soft:#5b6570;--line:#d9dee4;--link:#0b62b5;
--good:#0a7a3d;--bad:#b8321f;--warn:#8a5a00}
@media (prefers-color-scheme:dark){svg.dag{--ground:#14171b;--raised:#1c2026;--ink:#e4e7eb;--soft:#9aa5b1;--line:#343b44;
--link:#6cb2f5;--good:#4cc38a;--bad:#ff8a73;--warn:#f0c25e}}
"""
STYLE = """
.dag{--wire:#8c97a3}
@media (prefers-color-scheme:dark){.dag{--wire:#68737f}}
.dag{font:13px system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif}
.dag .box rect{fill:var(--raised);stroke:var(--soft);stroke-width:1.25}
.dag .box text{fill:var(--ink);font-weight:600}
.dag .box .note{fill:var(--soft);font-weight:400;font-size:11.5px}
.dag .data rect{fill:var(--ground);stroke:var(--line);stroke-width:1.5}
.dag .data text{font-weight:400}
.dag .target rect{stroke:var(--link);stroke-width:2.5}
.dag .unknown rect{fill:var(--ground);stroke-dasharray:4 3}
.dag .wire{fill:none;stroke:var(--wire);stroke-width:1.4}
.dag .tip{fill:var(--wire)}
.dag .bar{stroke:none!important}
.dag .fresh .bar,.dag .present .bar,.dag .same .bar,.dag .declared .bar{fill:var(--good)!important}
.dag .fresh .note,.dag .present .note,.dag .same .note,.dag .declared .note{fill:var(--good)}
.dag .restore .bar{fill:var(--link)!important}
.dag .restore .note{fill:var(--link)}
.dag .run .bar,.dag .maybe .bar,.dag .past .bar,.dag .follows .bar,.dag .unseen .bar{fill:var(--warn)!important}
.dag .run .note,.dag .maybe .note,.dag .past .note,.dag .follows .note,.dag .unseen .note{fill:var(--warn)}
.dag .maybe .bar{opacity:.5}
.dag .blocked .bar,.dag .diverged .bar,.dag .unstable .bar,.dag .undeclared .bar{fill:var(--bad)!important}
.dag .blocked .note,.dag .diverged .note,.dag .unstable .note,.dag .undeclared .note{fill:var(--bad)}
"""
KINDS = frozenset({'stage', 'data', 'target', 'unknown'})
STATES = frozenset([
    'fresh', 'restore', 'run', 'maybe', 'blocked', 'present', 'past', 'same', 'diverged', 'follows', 'unstable', 'declared',
    'undeclared', 'unseen',
])  # fmt: skip


def svg(drawing: Drawing, *, alone: bool = False) -> str:
    """The picture.  ``alone``: as a file of its own, with its colours and a ground."""
    placed = layout(drawing)
    width, height = _number(placed.width), _number(placed.height)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="dag" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(drawing.title)}">'
    )
    parts = [head, f'<title>{escape(drawing.title)}</title>']
    if alone:
        parts += [f'<style>{COLOURS}{STYLE}</style>', '<rect width="100%" height="100%" fill="var(--ground)"/>']
    parts += ['<g class="view">', *_wires(placed), *(_box(node, placed.boxes[node.id], number)
              for number, node in enumerate(drawing.nodes)), '</g>', '</svg>']  # fmt: skip
    return '\n'.join(parts) + '\n'


def _number(value: float) -> str:
    return f'{value:.1f}'.rstrip('0').rstrip('.')


def _wires(placed: Layout) -> Iterator[str]:
    for source, target, points in placed.lines:
        backwards = points[0][0] > points[-1][0]
        yield f'<path class="wire" data-from="{escape(source)}" data-to="{escape(target)}" d="{_path(points)}"/>'
        x, y = points[-1]
        step = 7 if backwards else -7
        yield (
            f'<path class="tip" data-from="{escape(source)}" data-to="{escape(target)}" '
            f'd="M{_number(x)} {_number(y)}l{step} -3.5v7z"/>'
        )


def _path(points: tuple[tuple[float, float], ...]) -> str:
    """Curved between layers, straight within them."""
    x, y = points[0]
    parts = [f'M{_number(x)} {_number(y)}']
    for to_x, to_y in points[1:]:
        if to_y == y:
            parts.append(f'H{_number(to_x)}')
        else:
            half = (x + to_x) / 2
            parts.append(f'C{_number(half)} {_number(y)} {_number(half)} {_number(to_y)} {_number(to_x)} {_number(to_y)}')
        x, y = to_x, to_y
    return ''.join(parts)


def _box(node: Node, box: Box, number: int) -> str:
    kind = node.kind if node.kind in KINDS else 'stage'
    state = f' {node.state}' if node.state in STATES else ''
    x, y, width, height = map(_number, (box.x, box.y, box.width, box.height))
    round_by = '15' if kind == 'data' else '5'
    parts = [f'<g class="box {kind}{state}" id="n{number}" data-id="{escape(node.id)}" tabindex="0">']
    parts.append(f'<title>{escape(_tip(node))}</title>')
    if node.count > 1:
        parts.append(
            f'<rect x="{_number(box.x + 4)}" y="{_number(box.y + 4)}" width="{width}" height="{height}" rx="{round_by}"/>'
        )
    parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{round_by}"/>')
    if state:
        parts.append(f'<rect class="bar" x="{_number(box.x + 4)}" y="{_number(box.y + 6)}" width="3.5" '
                     f'height="{_number(box.height - 12)}" rx="1.75"/>')  # fmt: skip
    middle = _number(box.x + box.width / 2)
    line = box.y + (box.height / 2 + 4.5 if not node.note else 19)
    parts.append(f'<text x="{middle}" y="{_number(line)}" text-anchor="middle">{escape(shown(node.label))}</text>')
    if node.note:
        note = (
            f'<text class="note" x="{middle}" y="{_number(line + 17)}" text-anchor="middle">{escape(shown(node.note))}</text>'
        )
        parts.append(note)
    return ''.join([*parts, '</g>'])


def _tip(node: Node) -> str:
    return '\n'.join([node.label, *([node.note] if node.note else []), *(f'{name}: {text}' for name, text in node.details[:8])])
