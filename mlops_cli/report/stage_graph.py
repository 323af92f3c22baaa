"""A pipeline's stages as a drawing: instances folded, implied edges left out, states and data added where asked.

Values in, values out; knows what is declared, and of the present state only the words it is given."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from mlops_cli.core.paths import inside
from mlops_cli.core.units import plural
from mlops_cli.pipeline import graph
from mlops_cli.pipeline.spec import Command, Pipeline, Stage
from mlops_cli.report.dag import Drawing, Edge, Node

WORST = ('blocked', 'run', 'maybe', 'restore', 'fresh')  # of several instances, the first of these colours the node
STATES = {
    'fresh': 'the workspace holds what it would make',
    'restore': 'its outputs come from the cache',
    'run': 'it has to run',
    'maybe': 'it runs if an input changes',
    'blocked': 'an input is missing',
}
LISTED = 40  # names in one row of details


def stage_drawing(
    pipeline: Pipeline,
    before: Mapping[str, Sequence[str]],
    names: Sequence[str],
    *,
    instances: bool = False,
    states: Mapping[str, str] | None = None,
    tracked: Collection[str] | None = None,
    notes: bool = False,
) -> Drawing:
    """``before``: graph.edges; ``names``: the stages to draw.  ``instances``: each on its own.  ``states``: stage -> verdict.
    ``tracked``: paths of tracked data, if data that no stage makes is to be drawn.  ``notes``: what a stage makes stands below
    its name where no state does."""
    groups = _groups(pipeline, before, names, instances)
    node_of = {name: node for node, members in groups.items() for name in members}
    above: dict[str, tuple[str, ...]] = {}
    for node, members in groups.items():
        found = (node_of[other] for name in members for other in before[name] if other in node_of)
        above[node] = tuple(dict.fromkeys(other for other in found if other != node))
    flows = graph.flows(pipeline)
    labels: dict[tuple[str, str], dict[str, None]] = {}
    for (maker, reader), read in flows.items():
        if maker in node_of and reader in node_of:
            labels.setdefault((node_of[maker], node_of[reader]), {}).update(dict.fromkeys(read))
    kept = graph.reduced(above)
    nodes = [_node(pipeline, node, members, states, notes) for node, members in groups.items()]
    edges = [Edge(other, node, _some(list(labels.get((other, node), ()))))
             for node, others in kept.items() for other in others]  # fmt: skip
    if tracked is not None:
        data_nodes, data_edges = _data(pipeline, groups, tracked)
        nodes, edges = [*data_nodes, *nodes], [*data_edges, *edges]
    return Drawing(f'Stages of {pipeline.name}' if pipeline.name else 'Stages', tuple(nodes), tuple(edges))


def _groups(
    pipeline: Pipeline, before: Mapping[str, Sequence[str]], names: Sequence[str], instances: bool
) -> dict[str, tuple[str, ...]]:
    """Node -> the stages that it stands for.  Groups whose instances wait for each other are not folded."""
    wanted = dict.fromkeys(names)
    found: dict[str, tuple[str, ...]] = {}
    for group, members in pipeline.groups.items():
        chosen = tuple(name for name in members if name in wanted)
        if instances or len(chosen) == 1:
            found |= {name: (name,) for name in chosen}
        elif chosen:
            found[f'{group}@*'] = chosen
    found = {node: found[node] for node in sorted(found, key=lambda node: list(wanted).index(found[node][0]))}
    node_of = {name: node for node, members in found.items() for name in members}
    above = {
        node: [node_of[other] for name in members for other in before[name] if other in node_of and node_of[other] != node]
        for node, members in found.items()
    }
    own = any(node_of.get(other) == node for node, members in found.items() for name in members for other in before[name])
    try:
        graph.reduced(above)
    except ValueError:
        own = True
    return _groups(pipeline, before, names, True) if own and not instances else found


def _node(pipeline: Pipeline, node: str, members: Sequence[str], states: Mapping[str, str] | None, notes: bool) -> Node:
    stages = [pipeline.stages[name] for name in members]
    first = stages[0]
    every = len(pipeline.groups[first.group])
    label = first.name
    if node.endswith('@*') and node not in pipeline.stages:
        label = f'{node} ({every})' if len(members) == every else f'{node} ({len(members)} of {every})'
    note, state = '', ''
    if states is not None:
        words = [states[name] for name in members if name in states]
        state = next((word for word in WORST if word in words), '')
        counts = {word: words.count(word) for word in WORST if word in words}
        note = state if len(counts) <= 1 else ', '.join(f'{count} {word}' for word, count in counts.items())
    elif notes and (made := made_by(stages)):
        note = made[0] if len(made) == 1 else f'{made[0]} + {len(made) - 1}'
    return Node(node, label, note=note, state=state, count=len(members), details=tuple(_details(stages)))


def made_by(stages: Sequence[Stage]) -> list[str]:
    """What stages make, in few words: what differs between instances as ``*``."""
    paths = [[output.path for output in stage.outputs] for stage in stages]
    if len({len(one) for one in paths}) != 1:
        return list(dict.fromkeys(path for one in paths for path in one))
    return list(dict.fromkeys(_common(column) for column in zip(*paths, strict=True)))


def _common(paths: Sequence[str]) -> str:
    if len(set(paths)) == 1:
        return paths[0]
    start = _shared(paths)
    end = _shared([path[len(start) :][::-1] for path in paths])[::-1]
    return f'{start}*{end}'


def _shared(texts: Sequence[str]) -> str:
    """What all of them begin with."""
    low, high = min(texts), max(texts)
    length = next((at for at, (one, two) in enumerate(zip(low, high, strict=False)) if one != two), min(len(low), len(high)))
    return low[:length]


def _details(stages: Sequence[Stage]) -> list[tuple[str, str]]:
    first = stages[0]
    rows = [('about', first.desc)] if first.desc else []
    if len(stages) > 1:
        rows.append(('instances', _some([stage.name.partition('@')[2] for stage in stages])))
    rows.append(('command', '\n'.join(dict.fromkeys(_command(stage.command) for stage in stages[:3]))))
    if len({_command(stage.command) for stage in stages}) > 3:
        rows.append(('', f'and {len(stages) - 3} more'))
    deps = [f'all of {dep.value}' if dep.kind == 'stage' else dep.value for stage in stages for dep in stage.deps]
    rows += [('reads', _some(list(dict.fromkeys(deps))))] if deps else []
    params = [f'{ref.file}:{ref.key}' if ref.key else ref.file for stage in stages for ref in stage.params]
    rows += [('params', _some([one.removeprefix('params.yaml:') for one in dict.fromkeys(params)]))] if params else []
    made = made_by(stages)
    rows += [('makes', _some(made))] if made else []
    if first.needs:
        rows.append(('waits for', ', '.join(first.needs)))
    return [*rows, ('where', str(first.where))]


def _command(command: Command) -> str:
    return ' '.join(command.words) if command.kind == 'argv' else '\n'.join(word.strip() for word in command.words)


def _some(texts: Sequence[str]) -> str:
    more = f', and {len(texts) - LISTED} more' if len(texts) > LISTED else ''
    return ', '.join(texts[:LISTED]) + more


def _data(pipeline: Pipeline, groups: Mapping[str, Sequence[str]], tracked: Collection[str]) -> tuple[list[Node], list[Edge]]:
    """Inputs that no stage makes.  Of a folder that stages write into too, what is tracked in it."""
    makers = graph.Makers(pipeline.stages.values())
    kinds: dict[str, str] = {}
    edges: dict[tuple[str, str], None] = {}
    for node, members in groups.items():
        for name in members:
            for dep in pipeline.stages[name].deps:
                if dep.kind == 'stage':
                    continue
                made = makers.of_pattern(dep.value) if dep.kind == 'glob' else list(makers.of(dep.value))
                of = [path for path in tracked if inside(path, dep.value)] if made else [dep.value]
                for path in of:
                    held = any(path == one or inside(path, one) for one in tracked)
                    kinds.setdefault(path, 'tracked data' if held else 'a pattern' if dep.kind == 'glob' else 'files')
                    edges[path, node] = None
    nodes = [Node(f'data:{path}', path, 'data', details=(('is', kind),)) for path, kind in kinds.items()]
    return nodes, [Edge(f'data:{path}', node) for path, node in edges]


def summary(names: Sequence[str], states: Mapping[str, str] | None) -> str:
    """``8 stages: 2 run, 6 fresh.``"""
    text = plural(len(names), 'stage')
    if states:
        words = [states[name] for name in names if name in states]
        text += ': ' + ', '.join(f'{words.count(word)} {word}' for word in WORST if word in words)
    return f'{text}.'
