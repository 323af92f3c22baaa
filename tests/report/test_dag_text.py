"""Graphs as text: Mermaid held to a strict grammar, dot to Graphviz's quoting, lanes to what they mean."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from itertools import pairwise

import pytest

from mlops_cli.report.dag import Drawing, Edge, Node
from mlops_cli.report.dag_text import depth_first, dot, lanes, mermaid, tree
from tests.report.test_dag import drawing, some

HOSTILE = [
    'train@a"b',
    "it's",
    'a]b["c',
    'x -->|y| z',
    '<script>alert(1)</script>',
    '&amp; &#34; #35;',
    '%%{init: {}}%%',
    'end',
    'subgraph x',
    'graph TD',
    '\U0001f600 caf\u00e9 \u6570\u636e',
    'back\\slash',
    '`tick` $x$ **bold** _under_',
    'a;b',
    'tab\there',
    'line\nfeed',
    '\x1b[31mred',
    '\u202eturned',
    '\udcff',
    'x' * 300,
]

# The subset of Mermaid's flowcharts that is written: every line is one of these and nothing else.
_TEXT = r'(?:[A-Za-z0-9 _./@*=(),:+\-]|#[0-9]{1,7};|<br/>|[^\x00-\x9f])*'
_STYLE = r'(?:fill|stroke|color|stroke-dasharray):[#0-9a-f ]+'
_MERMAID = [
    re.compile(rf'    (n[0-9]+)\["{_TEXT}"\]'),
    re.compile(rf'    (n[0-9]+)\(\["{_TEXT}"\]\)'),
    re.compile(r'    (n[0-9]+) --> (n[0-9]+)'),
    re.compile(rf'    classDef [a-z]+ {_STYLE}(?:,{_STYLE})*'),
    re.compile(r'    class (n[0-9]+(?:,n[0-9]+)*) [a-z]+'),
]


def check_mermaid(text: str) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """(id -> label as a reader sees it, edges).  Fails on anything but the subset, or an id that is used before it is said."""
    head, *lines = text.removesuffix('\n').split('\n')
    assert head == 'flowchart LR'
    labels: dict[str, str] = {}
    edges = []
    for line in lines:
        found = next((match for pattern in _MERMAID if (match := pattern.fullmatch(line))), None)
        assert found, f'not of the subset: {line!r}'
        if '-->' in line and '"' not in line:
            assert found[1] in labels and found[2] in labels
            edges.append((found[1], found[2]))
        elif '"' in line:
            assert found[1] not in labels and line.count('"') == 2
            labels[found[1]] = re.sub(r'#(\d+);', lambda match: chr(int(match[1])), line.split('"')[1])
        elif line.startswith('    class '):
            assert all(name in labels for name in found[1].split(','))
    return labels, edges


def hostile() -> Drawing:
    nodes = [
        Node(f'id of {name}', name, note=name, kind=('stage', 'data', 'unknown', 'target')[n % 4])
        for n, name in enumerate(HOSTILE)
    ]
    return Drawing('"] --> ["', tuple(nodes), tuple(Edge(one.id, two.id) for one, two in pairwise(nodes)))


def test_mermaid_is_what_it_claims_to_be() -> None:
    labels, edges = check_mermaid(mermaid(drawing('prepare>train train>select', 'alone')))
    assert list(labels.values()) == ['prepare', 'train', 'select', 'alone'] and edges == [('n0', 'n1'), ('n1', 'n2')]


def test_no_name_breaks_out_of_mermaid() -> None:
    labels, edges = check_mermaid(mermaid(hostile()))
    assert len(edges) == len(HOSTILE) - 1
    for name, label in zip(HOSTILE, labels.values(), strict=True):
        plain = re.sub('[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ud800-\udfff]', '\ufffd', name)
        assert label == f'{plain}<br/>{plain}'


def test_states_are_classes() -> None:
    drawn = Drawing(
        'x', (Node('a', 'a', state='fresh', note='fresh'), Node('b', 'b', state='run'), Node('c', 'c', state='no"such'))
    )
    text = mermaid(drawn)
    check_mermaid(text)
    assert 'class n0 fresh' in text and 'class n1 run' in text and 'such' not in text


_QUOTED = r'"(?:[^"\\\n]|\\.)*"'
_DOT = [
    re.compile(r'    rankdir=LR;'),
    re.compile(r'    node \[shape=box, style=rounded\];'),
    re.compile(rf'    n\d+ \[label={_QUOTED}(?:, (?:shape=note|style="rounded,dashed"|penwidth=2))*\];'),
    re.compile(r'    n\d+ -> n\d+;'),
]


def test_no_name_breaks_out_of_dot() -> None:
    head, *lines, tail = dot(hostile()).removesuffix('\n').split('\n')
    assert re.fullmatch(rf'digraph {_QUOTED} \{{', head) and tail == '}'
    for line in lines:
        assert any(pattern.fullmatch(line) for pattern in _DOT), line


@pytest.mark.skipif(shutil.which('dot') is None, reason='Graphviz is not installed')
def test_graphviz_reads_it() -> None:
    done = subprocess.run(['dot', '-Tsvg'], input=dot(hostile()).encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def drawn_lanes(drawn: Drawing, most: int = 12) -> list[str]:
    return [f'{front}{f" {node.label}" if node else ""}' for front, node in lanes(drawn, most)]


def test_lanes_of_a_diamond() -> None:
    assert drawn_lanes(drawing('a>b a>c b>d c>d d>e')) == [
        '○ a',
        '├─╮',
        '│ ○ b',
        '○ │ c',
        '├─╯',
        '○ d',
        '│',
        '○ e',
    ]


def test_lanes_that_pass_are_not_joined() -> None:
    assert drawn_lanes(drawing('a>z b>c b>d', 'x'))[:7] == ['○ a', '│', '○ z', '○ b', '├─╮', '│ ○ c', '○ d']
    text = drawn_lanes(drawing('r>a r>b r>c r>d a>z b>z c>z d>z x>b'))
    assert text[-2:] == ['├─┴─┴─╯', '○ z']


def test_lanes_mark_what_nodes_are() -> None:
    nodes = (Node('a', 'a', 'data'), Node('b', 'b', count=3), Node('c', 'c', 'target'), Node('d', 'd', 'unknown'))
    assert [front for front, _ in lanes(Drawing('x', nodes))] == ['□', '●', '◉', '◌']


def reached(drawn: Drawing) -> set[tuple[str, str]]:
    """The edges that a reader follows in the lanes: from each mark down its lane, along every joint."""
    found: set[tuple[str, str]] = set()
    lines = list(lanes(drawn, 200))
    owners: dict[int, str] = {}
    waiting: set[str] = set()
    for front, node in lines:
        cells = {at // 2: sign for at, sign in enumerate(front) if at % 2 == 0 and sign != ' '}
        if node is None:
            joined = [at for at, sign in cells.items() if sign in '├┤╰╯┴┼' and at in owners]
            waiting = {owners[at] for at in joined}
            owners = {at: name for at, name in owners.items() if cells.get(at) in ('│', '├', '┤', '┼')}
            continue
        (mine,) = [at for at, sign in cells.items() if sign in '○●□◉◌']
        sources = waiting | ({owners[mine]} if mine in owners else set())
        found |= {(source, node.id) for source in sources}
        waiting = set()
        owners = {at: name for at, name in owners.items() if at != mine and cells.get(at) == '│'}
        owners[mine] = node.id
    return found


@pytest.mark.parametrize('seed', range(30))
def test_lanes_show_every_edge_and_no_other(seed: int) -> None:
    drawn = some(random.Random(seed).randrange(2, 25), seed)
    assert reached(drawn) == {(edge.source, edge.target) for edge in drawn.pairs()}


def test_too_many_lanes_are_refused_and_drawn_as_a_tree() -> None:
    drawn = drawing(' '.join(f's{n}>t{n} t{n}>u' for n in range(20)) + ' ' + ' '.join(f's{n}>v' for n in range(20)))
    with pytest.raises(ValueError, match='too many lanes'):
        list(lanes(drawn, 5))
    found = list(tree(drawn))
    assert len(found) == len(drawn.nodes)
    last = next(others for _, node, others in found if node.label == 'u')
    assert len(last) == 19


def test_a_tree() -> None:
    text = [
        f'{front}{node.label}{f" after {others}" if others else ""}' for front, node, others in tree(drawing('a>b a>c b>d c>d'))
    ]
    assert text == ['a', '├─ b', '└─ c', "   └─ d after ('b',)"]


def test_nodes_that_wait_for_each_other() -> None:
    drawn = drawing('a>b b>a')
    with pytest.raises(ValueError, match='wait for each other'):
        depth_first(drawn.nodes, drawn.pairs())
