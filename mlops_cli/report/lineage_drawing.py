"""Lineage as a drawing.  Values in, values out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mlops_cli.core.units import show_size
from mlops_cli.experiments.lineage_diff import LineageDiff, Pair
from mlops_cli.experiments.lineage_model import Downstream, Made, Source, Target, Upstream
from mlops_cli.plan.model import Reason
from mlops_cli.report.dag import Drawing, Edge, Node
from mlops_cli.report.lineage_facts import is_data, maker_facts, result_facts

FOLD = 8  # instances of one stage from which they share a node
FILES = 12  # inputs of one result from which those that no stage made share a node
LISTED = 40  # texts of one row of details
STATES = {'present': 'the present state leads to it', 'past': 'no longer the present state'}
PARTS = {
    'same': 'the same',
    'diverged': 'they part here',
    'follows': 'only what it read differs',
    'unstable': 'the same key, other outputs',
    'unknown': 'not recorded here',
}
KINDS = {'tracked': 'tracked data', 'file': 'a file of the project', 'unknown': 'made by nobody recorded here'}
TARGET = 'target'


def upstream_drawing(found: Upstream, *, full: bool = False) -> Drawing:
    """``full``: every instance and every file a node of its own."""
    node_of, nodes = _results(found.results, found.target, full)
    edges: dict[tuple[str, str], dict[str, None]] = {}
    data: dict[str, Node] = {}
    for identity, sources in found.sources.items():
        for source in sources:
            if source.makers and source.makers[0] in node_of:
                edges.setdefault((node_of[source.makers[0]], node_of[identity]), {})[source.entry.name] = None
        outside = [source for source in sources if is_data(source.entry) and source.kind in KINDS and not source.makers]
        for node in _data(outside, node_of[identity], full):
            data.setdefault(node.id, node)
            edges[node.id, node_of[identity]] = {}
    shown = [*data.values(), *nodes]
    if found.target.kind in ('output', 'file', 'digest') and found.target.makers:
        shown.append(_target(found.target))
        for maker in dict.fromkeys(found.target.makers):
            edges[node_of[maker], TARGET] = {}
    return Drawing(f'Upstream of {found.target.word}', tuple(shown), _edges(edges))


def downstream_drawing(found: Downstream, *, full: bool = False) -> Drawing:
    node_of, nodes = _results(found.results, found.target, full)
    edges: dict[tuple[str, str], dict[str, None]] = {}
    for use in found.uses:
        edges.setdefault((node_of.get(use.of, TARGET), node_of[use.by]), {})[use.entry.name] = None
    shown = [_target(found.target), *nodes]
    return Drawing(f'Downstream of {found.target.word}', tuple(shown), _edges(edges))


def diff_drawing(found: LineageDiff) -> Drawing:
    """A node for each pair, and for each result without a partner."""
    nodes = [_pair(number, pair) for number, pair in enumerate(found.pairs)]
    for made, later in found.alone:
        details = (('run', _run(made)), *((word, _some(texts)) for word, texts in result_facts(made, full=True)))
        where = f'only before the {"second" if later else "first"}'
        nodes.append(Node(f'{made.id}', made.name, 'unknown', note=where, details=details))
    edges = [Edge(str(read), str(reader)) for reader, read in found.reads]
    return Drawing(f'From {found.before.word} to {found.after.word}', tuple(nodes), tuple(edges))


def _pair(number: int, pair: Pair) -> Node:
    one, two = pair.before, pair.after
    name = two.name if one.name == two.name else f'{one.name}, {two.name}'
    rows = [('first', _run(one)), ('second', _run(two))]
    rows += [(reason.kind, _reason(reason)) for reason in pair.own]
    rows += [('read', f'{name}, which differs because of a stage before') for name in pair.follows]
    rows += [('made under', f'{name} {before} -> {after}') for name, before, after in pair.environment]
    return Node(str(number), name, note=PARTS[pair.state], state=pair.state, details=tuple(rows))


def _reason(reason: Reason) -> str:
    values = f'{reason.before or "none"} -> {reason.after or "none"}' if reason.kind not in ('data', 'code') else ''
    return ' '.join(text for text in (reason.subject, values, reason.detail) if text)


def _edges(found: Mapping[tuple[str, str], Iterable[str]]) -> tuple[Edge, ...]:
    return tuple(Edge(one, two, _some(list(labels))) for (one, two), labels in found.items())


def _target(target: Target) -> Node:
    return Node(TARGET, target.word, TARGET, details=(('is', target.title), *(('', text) for text in target.said)))


def _results(results: Mapping[str, Made], target: Target, full: bool) -> tuple[dict[str, str], list[Node]]:
    """(id -> node, nodes): instances of one stage that are many, or older results of one stage, share a node."""
    groups: dict[tuple[str, bool | None], list[str]] = {}
    for identity, made in results.items():
        groups.setdefault((made.stage.partition('@')[0] or f'\0{identity}', made.present), []).append(identity)
    node_of: dict[str, str] = {}
    nodes: list[Node] = []
    for (group, _), members in groups.items():
        if len(members) >= FOLD and not full:
            node = f'{group}@*{results[members[0]].present}'
            node_of |= dict.fromkeys(members, node)
            nodes.append(_folded(node, group, [results[one] for one in members]))
        else:
            node_of |= {one: one for one in members}
            nodes += [_result(results[one]) for one in members]
    if target.kind in ('stage', 'run'):
        nodes = [_marked(node) if any(node_of.get(one) == node.id for one in target.makers) else node for node in nodes]
    return node_of, nodes


def _marked(node: Node) -> Node:
    return Node(node.id, node.label, TARGET, node.note, node.state, node.count, node.details)


def _state(made: Made) -> str:
    return '' if made.present is None else 'present' if made.present else 'past'


def _run(made: Made) -> str:
    run = f'run {made.maker.short}' if made.maker.short else 'made by nobody recorded here'
    return ', '.join([run, *maker_facts(made)])


def _result(made: Made) -> Node:
    run = f'run {made.maker.short}' if made.maker.short else 'made by nobody recorded here'
    rows = [('run', _run(made)), *((word, _some(texts)) for word, texts in result_facts(made, full=True))]
    return Node(made.id, made.name, note=_noted(run, made), state=_state(made), details=tuple(rows))


def _noted(note: str, made: Made) -> str:
    return f'{note}, {_state(made)}' if _state(made) else note


def _folded(node: str, group: str, members: Sequence[Made]) -> Node:
    stages = dict.fromkeys(made.stage for made in members)
    results = '' if len(stages) == len(members) else f', {len(members)} results'
    label = f'{group}@* ({len(stages)}){results}' if len(stages) > 1 else f'{members[0].stage} ({len(members)} results)'
    runs = dict.fromkeys(made.maker.short for made in members if made.maker.short)
    rows = [('stages', _some(list(stages))), ('runs', _some(list(runs)))]
    found: dict[str, dict[str, None]] = {}
    for made in members:
        for word, texts in result_facts(made):
            found.setdefault(word, {}).update(dict.fromkeys(texts))
    rows += [(word, _some(list(texts))) for word, texts in found.items()]
    note = f'run {next(iter(runs))}' if len(runs) == 1 else f'{len(runs)} runs'
    return Node(node, label, note=_noted(note, members[0]), state=_state(members[0]), count=len(members), details=tuple(rows))


def _data(sources: Sequence[Source], reader: str, full: bool) -> list[Node]:
    if len(sources) >= FILES and not full:
        names = [source.entry.name for source in sources]
        rows = (('files', _some(names)),)
        return [Node(f'files of {reader}', f'{len(names)} files', 'data', note=names[0], count=len(names), details=rows)]
    return [_datum(source) for source in sources]


def _datum(source: Source) -> Node:
    size = f', {show_size(source.ref.size)}' if source.ref is not None else ''
    rows = [('is', KINDS[source.kind] + size), ('digest', str(source.entry.digest))]
    if source.now in ('changed', 'gone'):
        rows.append(('now', 'another content' if source.now == 'changed' else 'gone'))
    kind = 'unknown' if source.kind == 'unknown' else 'data'
    name = source.entry.name
    return Node(f'data:{name}:{source.entry.digest.hex}', name, kind, note=KINDS[source.kind], details=tuple(rows))


def _some(texts: Sequence[str]) -> str:
    more = f', and {len(texts) - LISTED:,} more' if len(texts) > LISTED else ''
    return ', '.join(texts[:LISTED]) + more
