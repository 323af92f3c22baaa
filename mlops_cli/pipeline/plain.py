"""A Pipeline as plain values and back: tables of columns, which marshal writes and reads in a few milliseconds for a thousand
stages.  What stages share, they share again."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate, repeat
from operator import attrgetter
from typing import Any

from mlops_cli.core.collector import without_collector
from mlops_cli.core.document import Places
from mlops_cli.core.errors import Where
from mlops_cli.pipeline import graph
from mlops_cli.pipeline.spec import (
    Code,
    Command,
    Dep,
    Environment,
    Metric,
    Model,
    Output,
    ParamRef,
    Pipeline,
    Resources,
    Retry,
    Stage,
    Used,
)

Column = Any  # a list of values; or a tuple of the one value that all have
Table = tuple[int, list[Column]]  # of objects of one class: how many, the values of each field

# Fields that hold other objects: one or none of a class, or several.
_ONE: Mapping[str, type] = {'command': Command, 'code': Code, 'environment': Environment, 'resources': Resources,
                            'retry': Retry, 'model': Model, 'metric': Metric}
_SEVERAL: Mapping[str, type] = {'deps': Dep, 'params': ParamRef, 'outputs': Output, 'used': Used, 'reads': Output}


def plain(pipeline: Pipeline) -> tuple[Any, ...]:
    """What :func:`pipeline_of` makes it from again, of nothing but numbers, text, None, tuples, lists and dicts where that is
    all that people wrote.  Raises ValueError for what has no such form."""
    stages = list(pipeline.stages.values())
    if [stage.name for stage in stages] != list(pipeline.stages):
        raise ValueError('stages under other names')
    with without_collector():
        table = _table(Stage, stages)
    return pipeline.name, pipeline.files, pipeline.absent, pipeline.desc, table, graph.edges(pipeline)


def pipeline_of(values: tuple[Any, ...]) -> Pipeline:
    """The inverse of :func:`plain`."""
    name, files, absent, desc, table, edges = values
    with without_collector():
        stages = _objects(Stage, table)
    return graph.with_edges(Pipeline(name, {stage.name: stage for stage in stages}, files, absent, desc), edges)


# To plain values

def _table(kind: Any, objects: Sequence[Any]) -> Table:
    return len(objects), [_column(name, list(map(attrgetter(name), objects))) for name in kind.__match_args__]


def _column(name: str, values: list[Any]) -> Column:
    if name in _SEVERAL:
        return _several(_SEVERAL[name], values)
    if name in _ONE:
        return _distinct(values, lambda found: _table(_ONE[name], found))
    if name == 'where':
        return _distinct(values, _wheres)
    if name == 'places':
        return _distinct(values, _places)
    return _shorter(values)


def _shorter(values: list[Any]) -> Column:
    first = values[0] if values else None
    return (first,) if all(value is first for value in values) else values


def _distinct(values: list[Any], table: Callable[[list[Any]], Any]) -> tuple[Any, Column]:
    """Each object once, and which of them the values are; the last position for None."""
    found = {id(value): value for value in values if value is not None}
    numbers = {one: number for number, one in enumerate(found)}
    return table(list(found.values())), _shorter([numbers.get(id(value), -1) for value in values])


def _several(kind: type, values: list[tuple[Any, ...]]) -> tuple[Any, Column]:
    def table(found: list[tuple[Any, ...]]) -> tuple[list[int], Table]:
        return list(map(len, found)), _table(kind, [one for several in found for one in several])

    return _distinct(values, table)


def _wheres(found: list[Where]) -> tuple[Column, list[int]]:
    return _shorter([where.file for where in found]), [where.place for where in found]


def _places(found: list[Mapping[str, Where]]) -> tuple[Column, list[Mapping[str, int]]]:
    numbered = [places if isinstance(places, Places) else _numbered(places) for places in found]
    return _shorter([places.file for places in numbered]), [places.numbers for places in numbered]


def _numbered(places: Mapping[str, Where]) -> Places:
    files = {where.file for where in places.values()}
    if len(files) > 1:
        raise ValueError('keys of a stage in several files')
    return Places(files.pop() if files else '', {name: where.place for name, where in places.items()})


# And back

def _objects(kind: Any, table: Table) -> list[Any]:
    count, columns = table
    return list(map(kind, *[_values(name, column, count) for name, column in zip(kind.__match_args__, columns, strict=True)]))


def _values(name: str, column: Column, count: int) -> Iterable[Any]:
    if name in _SEVERAL:
        (lengths, table), numbers = column
        flat = _objects(_SEVERAL[name], table)
        known: list[Any] = [tuple(flat[end - length:end]) for length, end in zip(lengths, accumulate(lengths), strict=True)]
    elif name in _ONE:
        table, numbers = column
        known = _objects(_ONE[name], table)
    elif name == 'where':
        (files, places), numbers = column
        known = list(map(Where.at, _each(files, len(places)), places))
    elif name == 'places':
        (files, keys), numbers = column
        known = list(map(Places, _each(files, len(keys)), keys))
    else:
        return _each(column, count)
    return map([*known, None].__getitem__, _each(numbers, count))


def _each(column: Column, count: int) -> Iterable[Any]:
    return repeat(column[0], count) if isinstance(column, tuple) else column
