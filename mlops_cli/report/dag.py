"""Graphs as values, and where their nodes stand when drawn in layers from left to right.  Draws nothing itself.

After Sugiyama: cycles broken, layers by the longest path, long edges led through every layer between, each layer put in the
order with the fewest crossings that sweeps find, and then as close to its neighbours as its order allows.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from mlops_cli.core.classes import dataclass, field
from mlops_cli.report.dag_order import ordered
from mlops_cli.report.dag_rows import rows

LABEL = 34  # characters of a label that are drawn
CHARACTER, WIDE = 7.9, 13.5  # pixels
PADDING, HEIGHT, TALL = 24.0, 32.0, 46.0  # of a box, without and with a note
BETWEEN_LAYERS, BETWEEN_ROWS, LANE = 64.0, 16.0, 10.0
BENDS = 20_000  # points that long edges are led through, at most; the others go straight
MARGIN = 16.0


@dataclass(frozen=True, slots=True)
class Node:
    """``kind``: stage, data, target or unknown.  ``note``: a second line.  ``state``: a word that colour may stress.
    ``count``: how many things one node stands for.  ``details``: (name, text) for whoever asks for more."""

    id: str
    label: str
    kind: str = 'stage'
    note: str = ''
    state: str = ''
    count: int = 1
    details: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """From what is read to what reads it.  ``label``: what flows."""

    source: str
    target: str
    label: str = ''


@dataclass(frozen=True)
class Drawing:
    """Edges of ids that no node has are left out; so are those from a node to itself, and each second one."""

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...] = ()

    def pairs(self) -> list[Edge]:
        """The edges that can be drawn, each pair of nodes once."""
        known = {node.id for node in self.nodes}
        found: dict[tuple[str, str], Edge] = {}
        for edge in self.edges:
            if edge.source != edge.target and edge.source in known and edge.target in known:
                found.setdefault((edge.source, edge.target), edge)
        return list(found.values())


@dataclass(frozen=True, slots=True)
class Box:
    """Pixels from the upper left corner."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Layout:
    """``boxes`` by the node's id.  ``lines``: (source, target, points): from box to box; between the layers they curve."""

    width: float
    height: float
    boxes: Mapping[str, Box]
    lines: tuple[tuple[str, str, tuple[tuple[float, float], ...]], ...]


@dataclass
class _Part:
    """A connected part of the graph: names in layers, and the chains that lead long edges through them."""

    layers: list[list[str]]
    after: dict[str, list[str]]  # between neighbouring layers, bends included
    chains: dict[tuple[str, str], list[str]] = field(default_factory=dict)


def layout(drawing: Drawing) -> Layout:
    """Where everything stands.  Same drawing, same places."""
    sizes = {node.id: _size(node) for node in drawing.nodes}
    pairs = [(edge.source, edge.target) for edge in drawing.pairs()]
    boxes: dict[str, Box] = {}
    lines: list[tuple[str, str, tuple[tuple[float, float], ...]]] = []
    width, top = 0.0, MARGIN
    parts = _components(list(sizes), pairs)
    for names in parts:
        if len(names) > 1:
            right, bottom = _place(names, [pair for pair in pairs if pair[0] in names], sizes, top, boxes, lines)
            width, top = max(width, right), bottom + 2 * BETWEEN_ROWS
    alone = [name for names in parts if len(names) == 1 for name in names]
    right, top = _grid(alone, sizes, top, max(width, 900.0), boxes)
    return Layout(max(width, right) + MARGIN, top - 2 * BETWEEN_ROWS + MARGIN, boxes, tuple(lines))


def _size(node: Node) -> tuple[float, float]:
    longest = max(text_width(shown(node.label)), text_width(shown(node.note)) * 0.88, 48.0)
    return longest + PADDING + (8 if node.state else 0), TALL if node.note else HEIGHT


def shown(text: str) -> str:
    """As much of a text as a box holds."""
    return text if len(text) <= LABEL else f'{text[: LABEL - 1]}…'


def text_width(text: str) -> float:
    """Pixels, about, at 13 pixels a line."""
    return sum(WIDE if unicodedata.east_asian_width(one) in 'WF' else CHARACTER for one in text)


def _components(names: Sequence[str], pairs: Iterable[tuple[str, str]]) -> list[dict[str, None]]:
    """Connected parts, each in the order of the names, the part of the first name first."""
    part = {name: name for name in names}

    def top(name: str) -> str:
        while part[name] != name:
            part[name] = name = part[part[name]]
        return name

    for one, two in pairs:
        part[top(one)] = top(two)
    found: dict[str, dict[str, None]] = {}
    for name in names:
        found.setdefault(top(name), {})[name] = None
    return list(found.values())


def _place(
    names: Mapping[str, None],
    pairs: list[tuple[str, str]],
    sizes: Mapping[str, tuple[float, float]],
    top: float,
    boxes: dict[str, Box],
    lines: list[tuple[str, str, tuple[tuple[float, float], ...]]],
) -> tuple[float, float]:
    """Places one connected part below ``top``; its right and lower end."""
    forward = _without_cycles(names, pairs)
    part = _layered(names, forward)
    part.layers = ordered(part.layers, part.after)
    heights = {name: sizes[name][1] if name in sizes else LANE for layer in part.layers for name in layer}
    centres = rows(part.layers, part.after, heights, BETWEEN_ROWS, frozenset(sizes))
    least = min(centres[name] - heights[name] / 2 for name in centres)
    lefts, rights, x = [], [], MARGIN
    for number, layer in enumerate(part.layers):
        widest = max((sizes[name][0] for name in layer if name in sizes), default=LANE)
        lefts.append(x)
        rights.append(x + widest)
        degree = sum(len(part.after.get(name, ())) for name in layer)
        x += widest + BETWEEN_LAYERS + min(degree, 40) * 1.5
        for name in layer:
            y = centres[name] - least + top
            if name in sizes:
                width, height = sizes[name]
                boxes[name] = Box(lefts[number], y - height / 2, width, height)
    places = {name: number for number, layer in enumerate(part.layers) for name in layer}
    known = set(pairs)
    for one, two in forward:
        points = [(boxes[one].x + boxes[one].width, centres[one] - least + top)]
        points.append((rights[places[one]], points[0][1]))
        for bend in part.chains.get((one, two), ()):
            y = centres[bend] - least + top
            points += [(lefts[places[bend]], y), (rights[places[bend]], y)]
        points.append((boxes[two].x, centres[two] - least + top))
        if (one, two) in known:
            lines.append((one, two, tuple(points)))
        if (two, one) in known:
            lines.append((two, one, tuple(reversed(points))))
    bottom = max(centres[name] + heights[name] / 2 for name in centres) - least + top
    return max(box.x + box.width for name, box in boxes.items() if name in names), bottom


def _without_cycles(names: Iterable[str], pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The edges, those turned round that close a cycle."""
    after: dict[str, list[str]] = {name: [] for name in names}
    for one, two in pairs:
        after[one].append(two)
    state: dict[str, int] = {}
    back: set[tuple[str, str]] = set()
    for start in after:
        if start in state:
            continue
        stack = [(start, iter(after[start]))]
        state[start] = 1
        while stack:
            name, rest = stack[-1]
            other = next(rest, None)
            if other is None:
                state[name] = 2
                stack.pop()
            elif state.get(other) == 1:
                back.add((name, other))
            elif other not in state:
                state[other] = 1
                stack.append((other, iter(after[other])))
    found = {(two, one) if (one, two) in back else (one, two): None for one, others in after.items() for two in others}
    return list(found)


def _layered(names: Iterable[str], pairs: Sequence[tuple[str, str]]) -> _Part:
    rank = ranks(list(names), pairs)
    layers: list[list[str]] = [[] for _ in range(max(rank.values()) + 1)]
    for name in rank:
        layers[rank[name]].append(name)
    part = _Part(layers, {name: [] for name in rank})
    bends: dict[tuple[str, int], str] = {}
    for one, two in sorted(pairs, key=lambda pair: rank[pair[1]] - rank[pair[0]]):
        length = rank[two] - rank[one]
        if length > 1 and len(bends) + length > BENDS:
            continue
        above, chain = one, []
        for level in range(rank[one] + 1, rank[two]):
            if (one, level) not in bends:  # all edges of one node share their way
                bend = bends[one, level] = f'\0{one}\0{level}'
                layers[level].append(bend)
                part.after[bend] = []
                part.after[above].append(bend)
            above = bends[one, level]
            chain.append(above)
        part.after[above].append(two)
        part.chains[one, two] = chain
    return part


def ranks(names: Sequence[str], pairs: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Name -> layer: each right of all that it comes after, and as close to what comes after it as that allows where it is read
    by more than it reads."""
    before: dict[str, list[str]] = {name: [] for name in names}
    after: dict[str, list[str]] = {name: [] for name in names}
    for one, two in pairs:
        after[one].append(two)
        before[two].append(one)
    waits = {name: len(above) for name, above in before.items()}
    order = [name for name, count in waits.items() if not count]
    for name in order:
        for other in after[name]:
            waits[other] -= 1
            if not waits[other]:
                order.append(other)
    rank: dict[str, int] = {}
    for name in order:
        rank[name] = max((rank[other] + 1 for other in before[name]), default=0)
    for name in reversed(order):
        if after[name] and len(after[name]) > len(before[name]):
            rank[name] = min(rank[other] for other in after[name]) - 1
    least = min(rank.values(), default=0)
    return {name: rank[name] - least for name in names}


def _grid(
    names: Sequence[str], sizes: Mapping[str, tuple[float, float]], top: float, width: float, boxes: dict[str, Box]
) -> tuple[float, float]:
    """Nodes that nothing is joined to, row by row; their right end, and where what follows them starts."""
    x, right, tallest = MARGIN, 0.0, 0.0
    for name in names:
        wide, high = sizes[name]
        if x > MARGIN and x + wide > width:
            x, top, tallest = MARGIN, top + tallest + BETWEEN_ROWS, 0.0
        boxes[name] = Box(x, top, wide, high)
        x, right, tallest = x + wide + BETWEEN_ROWS, max(right, x + wide), max(tallest, high)
    return right, top + (tallest + 2 * BETWEEN_ROWS if names else 0.0)
