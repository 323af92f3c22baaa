"""Where nodes stand: nothing over another thing, everything right of what it comes from, few crossings; and quickly."""

from __future__ import annotations

import random
import time
from itertools import combinations, pairwise

import pytest

from mlops_cli.report.dag import Box, Drawing, Edge, Layout, Node, layout, ranks, shown
from mlops_cli.report.dag_order import crossings, ordered
from mlops_cli.report.dag_rows import rows


def drawing(text: str, *alone: str) -> Drawing:
    """``a>b b>c`` and nodes of their own."""
    edges = [Edge(*pair.split('>')) for pair in text.split()]
    names = dict.fromkeys([*(name for edge in edges for name in (edge.source, edge.target)), *alone])
    return Drawing('a graph', tuple(Node(name, name) for name in names), tuple(edges))


def some(count: int, seed: int = 1) -> Drawing:
    """As pipelines are: most stages read one of the few before them."""
    chance = random.Random(seed)
    nodes = tuple(
        Node(f's{n}', f'stage-{n}' + '-long' * (n % 4), note='run' if n % 2 else '', count=1 + n % 3) for n in range(count)
    )
    edges = []
    for n in range(1, count):
        for _ in range(chance.choice((1, 1, 2, 3))):
            edges.append(Edge(f's{max(0, n - 1 - int(chance.expovariate(1 / (3 + count / 30))))}', f's{n}'))
    return Drawing('many', nodes, tuple(edges))


def apart(one: Box, two: Box) -> bool:
    return one.x + one.width < two.x or two.x + two.width < one.x or one.y + one.height < two.y or two.y + two.height < one.y


def check(found: Layout, drawn: Drawing) -> None:
    """What must hold of every layout."""
    assert set(found.boxes) == {node.id for node in drawn.nodes}
    for one, two in combinations(found.boxes.values(), 2):
        assert apart(one, two)
    for box in found.boxes.values():
        assert box.x >= 0 and box.y >= 0 and box.x + box.width <= found.width and box.y + box.height <= found.height
    assert sorted((one, two) for one, two, _ in found.lines) == sorted((e.source, e.target) for e in drawn.pairs())
    for one, two, points in found.lines:
        start, end = (found.boxes[one], points[0]), (found.boxes[two], points[-1])
        for box, (x, y) in (start, end):
            assert box.y <= y <= box.y + box.height and (abs(x - box.x) < 1e-6 or abs(x - box.x - box.width) < 1e-6)
        assert all(0 <= x <= found.width and 0 <= y <= found.height for x, y in points)


@pytest.mark.parametrize('text', ['a>b', 'a>b b>c a>c', 'a>b a>c a>d b>e c>e d>e', 'a>c b>c c>d c>e', 'a>b c>d e>f f>g e>g'])
def test_small_graphs(text: str) -> None:
    drawn = drawing(text, 'alone', 'too')
    found = layout(drawn)
    check(found, drawn)
    for edge in drawn.edges:
        assert found.boxes[edge.source].x + found.boxes[edge.source].width < found.boxes[edge.target].x


@pytest.mark.parametrize('count', [1, 2, 10, 100])
@pytest.mark.parametrize('seed', [1, 2, 3])
def test_random_graphs(count: int, seed: int) -> None:
    drawn = some(count, seed)
    check(layout(drawn), drawn)


def test_nothing_at_all() -> None:
    assert layout(Drawing('none', ())).boxes == {}


def test_lines_pass_no_box() -> None:
    """A long edge goes round what stands between its ends."""
    for seed in range(5):
        drawn = some(40, seed)
        found = layout(drawn)
        for one, two, points in found.lines:
            for (x1, y1), (x2, y2) in pairwise(points):
                if y1 == y2:
                    for name, box in found.boxes.items():
                        if name not in (one, two):
                            assert not (box.y < y1 < box.y + box.height and x1 < box.x + box.width and x2 > box.x), (seed, name)


def test_a_cycle_is_drawn_all_the_same() -> None:
    drawn = drawing('a>b b>c c>a c>d')
    found = layout(drawn)
    check(found, drawn)
    both = drawing('a>b b>a')
    check(layout(both), both)


def test_edges_that_lead_nowhere_are_left_out() -> None:
    drawn = Drawing('x', (Node('a', 'a'), Node('b', 'b')), (Edge('a', 'a'), Edge('a', 'b'), Edge('a', 'b'), Edge('a', 'gone')))
    assert [(edge.source, edge.target) for edge in drawn.pairs()] == [('a', 'b')]
    check(layout(drawn), drawn)


def test_the_same_drawing_stands_the_same() -> None:
    assert layout(some(60)) == layout(some(60))


def test_layers() -> None:
    assert ranks(['a', 'b', 'c', 'd'], [('a', 'b'), ('b', 'c'), ('d', 'c')]) == {'a': 0, 'b': 1, 'c': 2, 'd': 1}
    assert ranks([], []) == {}


def test_crossings_that_can_be_avoided_are() -> None:
    after = {'a': ['z'], 'b': ['y'], 'c': ['x']}
    layers = [['a', 'b', 'c'], ['x', 'y', 'z']]
    assert crossings(layers, after) == 3
    assert crossings(ordered(layers, after), after) == 0


def test_a_chain_is_drawn_straight() -> None:
    found = layout(drawing('a>b b>c c>d'))
    assert len({box.y for box in found.boxes.values()}) == 1


def test_rows_keep_order_and_distance() -> None:
    layers = [['a'], ['b', 'c', 'd']]
    middle = rows(layers, {'a': ['b', 'c', 'd']}, dict.fromkeys('abcd', 30.0), 10.0, frozenset('abcd'))
    assert middle['b'] + 40 <= middle['c'] + 1e-6 and middle['c'] + 40 <= middle['d'] + 1e-6
    assert middle['a'] == pytest.approx(middle['c'], abs=0.5)


def test_long_labels_are_cut() -> None:
    assert shown('x' * 100) == 'x' * 33 + '…' and shown('short') == 'short'


def test_a_thousand_nodes_take_no_time() -> None:
    """Measured: 0.2 s."""
    drawn = some(1000)
    begin = time.process_time()
    found = layout(drawn)
    assert time.process_time() - begin < 3
    assert len(found.boxes) == 1000


def test_a_long_chain_whose_ends_read_the_first() -> None:
    """Each edge would be led through hundreds of layers: the ways are shared."""
    count = 400
    edges = tuple(Edge(f's{n}', f's{n + 1}') for n in range(count - 1)) + tuple(Edge('s0', f's{n}') for n in range(2, count))
    drawn = Drawing('chain', tuple(Node(f's{n}', f's{n}') for n in range(count)), edges)
    begin = time.process_time()
    found = layout(drawn)
    assert time.process_time() - begin < 3 and len(found.lines) == 2 * count - 3
