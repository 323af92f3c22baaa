"""Which stage comes after which.  Looks only at what is declared, never at files; draws nothing.

Edges are found by paths; the order is kept close to that of the file.  networkx is loaded only for drawings.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Any

from mlops_cli.core.errors import UserError, UserErrors
from mlops_cli.core.paths import Pattern, ancestors, inside, is_pattern
from mlops_cli.pipeline.spec import Pipeline, Stage

Edges = Mapping[str, tuple[str, ...]]
_CYCLES = 20  # reported at most
_STEPS = 30  # of a loop, shown at most
_GLOB = ('*', '?', '[')


def edges(pipeline: Pipeline) -> dict[str, tuple[str, ...]]:
    """Stage -> the stages it comes after, in the order of the file: makers of its dependencies (a path that is, lies in or
    holds one of their outputs), of its parameter, code and environment files; stages it names in deps and ``needs``.

    Worked out once for a pipeline."""
    known = vars(pipeline)
    if 'edges' not in known:
        known['edges'] = _edges(pipeline)
    found: dict[str, tuple[str, ...]] = known['edges']
    return found


def with_edges(pipeline: Pipeline, known: dict[str, tuple[str, ...]]) -> Pipeline:
    """The pipeline, whose edges were worked out before."""
    vars(pipeline)['edges'] = known
    return pipeline


def _edges(pipeline: Pipeline) -> dict[str, tuple[str, ...]]:
    makers = Makers(pipeline.stages.values())
    position = {name: number for number, name in enumerate(pipeline.stages)}
    groups = pipeline.groups
    found = {}
    for stage in pipeline.stages.values():
        before = {name for path in _read(stage) for name in makers.of(path)}
        for pattern in _globbed(stage):
            before |= makers.of_pattern(pattern)
        for name in _named(stage):
            before |= set(groups.get(name) or ((name,) if name in position else ()))
        found[stage.name] = tuple(sorted(before, key=position.__getitem__)) if before else ()
    return found


def _read(stage: Stage) -> Iterator[str]:
    for dep in stage.deps:
        if dep.kind == 'path':
            yield dep.value
    yield from {param.file for param in stage.params}
    for path in stage.code.paths:
        if not is_pattern(path):
            yield path
    if stage.environment and stage.environment.path:
        yield stage.environment.path


def _globbed(stage: Stage) -> Iterator[str]:
    for dep in stage.deps:
        if dep.kind == 'glob':
            yield dep.value
    for path in stage.code.paths:
        if is_pattern(path):
            yield path


def _named(stage: Stage) -> Iterator[str]:
    for dep in stage.deps:
        if dep.kind == 'stage':
            yield dep.value
    yield from stage.needs


def readers(pipeline: Pipeline, path: str) -> tuple[str, ...]:
    """Stages that declare to read a path, something in it, or something that holds it, in the order of the file."""
    def touches(stage: Stage) -> bool:
        return any(inside(one, path) or inside(path, one) for one in _read(stage)) or any(
            Pattern(text).reaches(path) or inside(_fixed_folder(text), path) for text in _globbed(stage))

    return tuple(stage.name for stage in pipeline.stages.values() if touches(stage))


class Makers:
    """Which stages make a path, or something in it, or something that holds it."""

    def __init__(self, stages: Iterable[Stage]) -> None:
        self._exact: dict[str, list[str]] = {}
        self._below: dict[str, list[str]] = {}  # folder -> makers of what lies anywhere in it
        self._outputs: dict[str, list[str]] = {}  # folder -> the outputs that lie anywhere in it
        self._patterns: dict[str, frozenset[str]] = {}
        for stage in stages:
            for output in stage.outputs:
                self._exact.setdefault(output.path, []).append(stage.name)
                for folder in (*ancestors(output.path), '.'):
                    self._below.setdefault(folder, []).append(stage.name)
                    self._outputs.setdefault(folder, []).append(output.path)

    def of(self, path: str) -> Iterator[str]:
        """Names of the makers of what a dependency on ``path`` reads."""
        yield from self._exact.get(path, ())
        yield from self._below.get(path, ())
        for folder in ancestors(path):
            yield from self._exact.get(folder, ())

    def of_pattern(self, text: str) -> frozenset[str]:
        """Names of the makers of what a glob may match."""
        if text not in self._patterns:
            pattern = Pattern(text)
            fixed = _fixed_folder(text)
            near = [fixed, *ancestors(fixed), *self._outputs.get(fixed, ())]
            self._patterns[text] = frozenset(
                name for path in near if path in self._exact and pattern.reaches(path) for name in self._exact[path])
        return self._patterns[text]


def _fixed_folder(pattern: str) -> str:
    """The folder that everything a glob matches lies in."""
    parts = pattern.split('/')
    fixed = next((number for number, part in enumerate(parts) if any(sign in part for sign in _GLOB)), len(parts))
    return '/'.join(parts[:fixed]) or '.'


# Order

def topological(pipeline: Pipeline, before: Edges | None = None) -> list[str]:
    """Stage names, each after those it needs, otherwise as in the file.  ``before``: :func:`edges`, if they are at hand.

    Raises UserErrors that name every loop, with places."""
    before = edges(pipeline) if before is None else before
    order = _order(before)
    if len(order) < len(before):
        raise UserErrors(loops(pipeline, before))
    return order


def _order(before: Edges) -> list[str]:
    """As far as it goes: what is in a loop, or after one, is left out."""
    names = list(before)
    position = {name: number for number, name in enumerate(names)}
    after: dict[str, list[str]] = {name: [] for name in names}
    waits = {name: len(above) for name, above in before.items()}
    for name, above in before.items():
        for other in above:
            after[other].append(name)
    ready = [position[name] for name, count in waits.items() if not count]
    heapify(ready)
    order = []
    while ready:
        name = names[heappop(ready)]
        order.append(name)
        for other in after[name]:
            waits[other] -= 1
            if not waits[other]:
                heappush(ready, position[other])
    return order


def loops(pipeline: Pipeline, before: Edges) -> list[UserError]:
    """One error for each loop, until breaking them leaves none; empty if there is none."""
    left: dict[str, tuple[str, ...]] = dict(before)
    found: list[UserError] = []
    while len(found) < _CYCLES:
        ordered = set(_order(left))
        left = {name: tuple(other for other in above if other not in ordered)
                for name, above in left.items() if name not in ordered}
        if not left:
            break
        loop = _loop(left)
        found.append(_loop_error(pipeline, loop))
        left = {name: tuple(other for other in above if other not in loop) for name, above in left.items() if name not in loop}
    return found


def _loop(left: Edges) -> list[str]:
    """A loop among stages that each wait for another of them; starts with the stage that is first in the file."""
    name = next(iter(left))
    seen: dict[str, int] = {}
    while name not in seen:
        seen[name] = len(seen)
        name = left[name][0]
    loop = list(seen)[seen[name]:]
    first = min(loop, key=list(left).index)
    return loop[loop.index(first):] + loop[:loop.index(first)]


def _loop_error(pipeline: Pipeline, loop: list[str]) -> UserError:
    steps = []
    for name, maker in zip(loop, [*loop[1:], loop[0]], strict=True):
        stage, made = pipeline.stages[name], pipeline.stages[maker]
        steps.append(f'{name} ({stage.where}) needs {_through(stage, made)}')
    if len(steps) > _STEPS:
        steps = [*steps[:_STEPS - 1], f'{len(steps) - _STEPS:,} more', steps[-1]]
    stage = pipeline.stages[loop[0]]
    return UserError('stages wait for each other: ' + ', '.join(steps), where=stage.where,
                     hint='take one of these dependencies out')


def _through(stage: Stage, maker: Stage) -> str:
    """What of ``maker`` a stage needs: ``a.csv of prepare``, or its name."""
    makers = Makers([maker])
    for path in _read(stage):
        if any(makers.of(path)):
            return f'{path} of {maker.name}'
    for pattern in _globbed(stage):
        if makers.of_pattern(pattern):
            return f'{pattern} of {maker.name}'
    return maker.name


# For others to draw

def document(pipeline: Pipeline, names: Sequence[str] | None = None) -> dict[str, Any]:
    """The graph as ``mlops graph --json`` prints it; ``names``: only these stages."""
    before = edges(pipeline)
    shown = list(pipeline.stages) if names is None else list(names)
    wanted = set(shown)
    nodes = [{
        'name': name,
        'deps': [dep.value if dep.kind != 'stage' else {'stage': dep.value} for dep in pipeline.stages[name].deps],
        'outs': [output.path for output in pipeline.stages[name].outputs],
    } for name in shown]
    pairs = [[other, name] for name in shown for other in before[name] if other in wanted]
    return {'schema': 'mlops/graph/v1', 'nodes': nodes, 'edges': pairs}


def reduced(before: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """The edges that no longer path implies; ``before``: name -> names before it.  Raises ValueError for a cycle."""
    import networkx

    graph: networkx.DiGraph[str] = networkx.DiGraph()
    graph.add_nodes_from(before)
    graph.add_edges_from((other, name) for name, above in before.items() for other in above)
    if not networkx.is_directed_acyclic_graph(graph):
        raise ValueError('names that wait for each other')
    kept = networkx.transitive_reduction(graph)
    return {name: tuple(other for other in above if kept.has_edge(other, name)) for name, above in before.items()}


def flows(pipeline: Pipeline) -> dict[tuple[str, str], tuple[str, ...]]:
    """(maker, reader) -> what the reader declares to read of it: paths, patterns; nothing where it only waits for it."""
    makers = Makers(pipeline.stages.values())
    groups = pipeline.groups
    found: dict[tuple[str, str], dict[str, None]] = {}
    for stage in pipeline.stages.values():
        read = [(path, name) for path in _read(stage) for name in makers.of(path)]
        read += [(pattern, name) for pattern in _globbed(stage) for name in makers.of_pattern(pattern)]
        for dep in stage.deps:
            if dep.kind == 'stage':
                read += [(f'all of {dep.value}', name) for name in groups.get(dep.value, (dep.value,))]
        for label, maker in read:
            found.setdefault((maker, stage.name), {})[label] = None
    return {pair: tuple(labels) for pair, labels in found.items()}
