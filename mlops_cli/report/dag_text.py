"""A graph as text: for Mermaid, for Graphviz, and for a terminal.  Values in, text out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mlops_cli.core.patterns import pattern
from mlops_cli.report.dag import Drawing, Edge, Node

MOST_LANES = 12  # beside each other in a terminal
_PLAIN = pattern(r'[A-Za-z0-9 _./@*=(),:+-]')
_CONTROL = pattern('[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]')
_SHAPES = {'stage': ('["', '"]'), 'target': ('["', '"]'), 'data': ('(["', '"])'), 'unknown': ('["', '"]')}
_GOOD, _WARN = 'fill:#e3f4e8,stroke:#0a7a3d,color:#1b1f24', 'fill:#fff1d6,stroke:#8a5a00,color:#1b1f24'
_BAD = 'fill:#fde5df,stroke:#b8321f,color:#1b1f24'
_STATES = {
    'same': _GOOD,
    'follows': _WARN,
    'diverged': _BAD,
    'unstable': _BAD,
    'fresh': _GOOD,
    'present': _GOOD,
    'restore': 'fill:#e2effc,stroke:#0b62b5,color:#1b1f24',
    'run': _WARN,
    'past': _WARN,
    'maybe': 'fill:#fffaf0,stroke:#8a5a00,color:#1b1f24,stroke-dasharray:4 3',
    'blocked': _BAD,
    'declared': _GOOD,
    'undeclared': _BAD,
    'unseen': _WARN,
}


def mermaid(drawing: Drawing) -> str:
    """For a fenced ``mermaid`` block.  Names cannot end their quotes: what is not plain is written as its number."""
    ids = {node.id: f'n{number}' for number, node in enumerate(drawing.nodes)}
    lines = ['flowchart LR']
    for node in drawing.nodes:
        before, behind = _SHAPES.get(node.kind, _SHAPES['stage'])
        text = _entity(node.label) + (f'<br/>{_entity(node.note)}' if node.note else '')
        lines.append(f'    {ids[node.id]}{before}{text}{behind}')
    lines += [f'    {ids[edge.source]} --> {ids[edge.target]}' for edge in drawing.pairs()]
    for state in dict.fromkeys(node.state for node in drawing.nodes if node.state in _STATES):
        members = ','.join(ids[node.id] for node in drawing.nodes if node.state == state)
        lines += [f'    classDef {state} {_STATES[state]}', f'    class {members} {state}']
    return '\n'.join(lines) + '\n'


def _entity(text: str) -> str:
    """``#34;`` for a quotation mark, as Mermaid reads it; for HTML and Markdown it means nothing either."""
    text = _CONTROL.sub('\ufffd', text)
    return ''.join(one if _PLAIN.fullmatch(one) or ord(one) > 0x9F else f'#{ord(one)};' for one in text)


def dot(drawing: Drawing) -> str:
    """For Graphviz."""
    ids = {node.id: f'n{number}' for number, node in enumerate(drawing.nodes)}
    lines = [f'digraph {_quoted(drawing.title)} {{', '    rankdir=LR;', '    node [shape=box, style=rounded];']
    for node in drawing.nodes:
        label = '\\n'.join(_inner(text) for text in (node.label, node.note) if text)
        shape = ', shape=note' if node.kind == 'data' else ', style="rounded,dashed"' if node.kind == 'unknown' else ''
        strong = ', penwidth=2' if node.kind == 'target' else ''
        lines.append(f'    {ids[node.id]} [label="{label}"{shape}{strong}];')
    lines += [f'    {ids[edge.source]} -> {ids[edge.target]};' for edge in drawing.pairs()]
    return '\n'.join([*lines, '}']) + '\n'


def _inner(text: str) -> str:
    return _CONTROL.sub('\ufffd', text).replace('\\', '\\\\').replace('"', '\\"')


def _quoted(text: str) -> str:
    return f'"{_inner(text)}"'


def lanes(drawing: Drawing, most: int = MOST_LANES) -> Iterator[tuple[str, Node | None]]:
    """For a terminal: what stands in front of a node, and the node, from what comes first down; None in rows that only join
    lanes.  A lane leads from a node to all that reads it.

    Raises ValueError where more than ``most`` would stand beside each other, or where nodes wait for each other."""
    pairs = drawing.pairs()
    order = depth_first(drawing.nodes, pairs)
    before: dict[str, list[str]] = {node.id: [] for node in drawing.nodes}
    readers: dict[str, int] = {node.id: 0 for node in drawing.nodes}
    for edge in pairs:
        before[edge.target].append(edge.source)
        readers[edge.source] += 1
    open_lanes: list[str] = []  # the node that each lane comes from, '' for a free one
    last = ''  # the node in the row above
    for node in order:
        sources = set(before[node.id])
        coming = [column for column, source in enumerate(open_lanes) if source in sources]
        for source in sources:
            readers[source] -= 1
        ending = [column for column in coming if not readers[open_lanes[column]]]
        free = next((column for column, source in enumerate(open_lanes) if not source), len(open_lanes))
        mine = ending[0] if ending else free
        if mine == len(open_lanes):
            open_lanes.append('')
        if len(open_lanes) > most:
            raise ValueError('too many lanes')
        if coming and coming != [mine]:
            yield _joint(open_lanes, coming, ending, mine), None
        elif coming and last in sources:  # else a chain would look like stages that have nothing to do with each other
            yield ' '.join('│' if source else ' ' for source in open_lanes).rstrip(), None
        for column in ending:
            open_lanes[column] = ''
        marks = [_mark(node) if column == mine else '│' if source else ' ' for column, source in enumerate(open_lanes)]
        yield ' '.join(marks).rstrip(), node
        last = node.id
        open_lanes[mine] = node.id if readers[node.id] else ''
        while open_lanes and not open_lanes[-1]:
            open_lanes.pop()


MARKS = {
    '○': 'a stage',
    '●': 'a stage with instances',
    '□': 'data',
    '◉': 'what was asked about',
    '◌': 'made by nobody recorded here',
}


def legend(drawing: Drawing) -> str:
    """What the marks mean, where there is more than one kind of them; else nothing."""
    used = {_mark(node) for node in drawing.nodes}
    return ', '.join(f'{mark} {text}' for mark, text in MARKS.items() if mark in used) if len(used) > 1 else ''


def _mark(node: Node) -> str:
    return {'data': '□', 'target': '◉', 'unknown': '◌'}.get(node.kind, '●' if node.count > 1 else '○')


_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_CORNERS = {
    0: ' ', _UP | _DOWN: '│', _LEFT | _RIGHT: '─', _DOWN | _RIGHT: '╭', _DOWN | _LEFT: '╮', _UP | _RIGHT: '╰', _UP | _LEFT: '╯',
    _UP | _DOWN | _RIGHT: '├', _UP | _DOWN | _LEFT: '┤', _DOWN | _LEFT | _RIGHT: '┬', _UP | _LEFT | _RIGHT: '┴',
    _UP | _DOWN | _LEFT | _RIGHT: '┼',
}  # fmt: skip


def _joint(open_lanes: Sequence[str], coming: Sequence[int], ending: Sequence[int], mine: int) -> str:
    """The row in which lanes come together above a node."""
    left, right = min([*coming, mine]), max([*coming, mine])
    cells = []
    for column, source in enumerate(open_lanes):
        sides = _UP if source else 0
        if (source and column not in ending) or column == mine:
            sides |= _DOWN
        across = (_LEFT if left < column <= right else 0) | (_RIGHT if left <= column < right else 0)
        passing = source and column != mine and column not in coming  # the row goes behind it
        cells.append('│' if passing else _CORNERS[sides | across])
        cells.append('─' if left <= column < right else ' ')
    return ''.join(cells).rstrip()


def tree(drawing: Drawing) -> Iterator[tuple[str, Node, tuple[str, ...]]]:
    """For a terminal, where lanes would be too many: what stands in front, the node, and what else it comes after.

    A node hangs below the last that it comes after.  Raises ValueError where nodes wait for each other."""
    pairs = drawing.pairs()
    order = depth_first(drawing.nodes, pairs)
    place = {node.id: number for number, node in enumerate(order)}
    before: dict[str, list[str]] = {node.id: [] for node in order}
    for edge in pairs:
        before[edge.target].append(edge.source)
    below: dict[str, list[Node]] = {node.id: [] for node in order}
    for node in order:
        if before[node.id]:
            below[max(before[node.id], key=place.__getitem__)].append(node)
    stack = [(node, '', '') for node in reversed(order) if not before[node.id]]
    while stack:
        node, first, rest = stack.pop()
        others = sorted(before[node.id], key=place.__getitem__)[:-1]
        yield first, node, tuple(order[place[name]].label for name in others)
        children = below[node.id]
        for number, child in reversed(list(enumerate(children))):
            last = number == len(children) - 1
            stack.append((child, rest + ('└─ ' if last else '├─ '), rest + ('   ' if last else '│  ')))


def depth_first(nodes: Sequence[Node], pairs: Sequence[Edge]) -> list[Node]:
    """Each node after those it comes from, and soon after the last of them.  Raises ValueError for a cycle."""
    by_id: Mapping[str, Node] = {node.id: node for node in nodes}
    waits = {node.id: 0 for node in nodes}
    after: dict[str, list[str]] = {node.id: [] for node in nodes}
    for edge in pairs:
        waits[edge.target] += 1
        after[edge.source].append(edge.target)
    ready = [node.id for node in reversed(nodes) if not waits[node.id]]
    order: list[Node] = []
    while ready:
        name = ready.pop()
        order.append(by_id[name])
        for other in reversed(after[name]):
            waits[other] -= 1
            if not waits[other]:
                ready.append(other)
    if len(order) < len(nodes):
        raise ValueError('nodes that wait for each other')
    return order
