"""One stage of the file becomes its instances: ``foreach`` and ``matrix``.  Builds no stage."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

from mlops_cli.core.canonical import canonical, canonical_bytes
from mlops_cli.core.classes import dataclass, field, replace
from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import Where
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.patterns import pattern
from mlops_cli.core.scalars import kind, scalar_text
from mlops_cli.pipeline.sources import Part, Path, Problems
from mlops_cli.pipeline.spec import Used
from mlops_cli.pipeline.template import Scope, TemplateError, resolve

INSTANCES_LIMIT = 100_000  # of one stage
_TEXT_LIMIT = 48  # characters of one value in the name of an instance
_OTHER = pattern(r'[^\w.+=-]+')


@dataclass(frozen=True)
class Instance:
    """``name``: train@forest-1, ``group``: train, also where the file has the instance written out.  ``item``: what ``${item}``
    is, of a matrix the value of each axis; None without instances.  ``path``: where the stage's keys stand in the file.
    ``axes``: the names of the axes.  ``used``: parameters that made its item."""

    name: str
    group: str
    raw: Mapping[str, Any]
    path: Path
    scope: Scope
    item: Any = None
    axes: tuple[str, ...] = ()
    used: tuple[Used, ...] = ()


@dataclass(frozen=True)
class _Item:
    """``places``: what it is made of, by axis or '' for all of it."""

    id: str
    item: Any
    key: Any
    places: Mapping[str, Path] = field(default_factory=dict)


def instances(part: Part, group: str, raw: Mapping[str, Any], environ: Mapping[str, str], problems: Problems) -> list[Instance]:
    """The instances of a stage in the order of their items, none if something is wrong with the items."""
    path: Path = ('stages', group)
    names = raw.get('do', raw).get('env', ())
    scope = replace(part.scope, environ={name: environ.get(name) for name in names}) if names else part.scope
    if 'foreach' not in raw and 'matrix' not in raw:
        return [Instance(group, group.partition('@')[0], raw, path, scope)]
    if '@' in group:
        problems.add(f'stage {group}: what stands behind "@" is an instance, which cannot have instances',
                     part.where(path, key=True), 'leave out what stands behind the "@"')
        return []
    used: list[Used] = []
    noting = scope.noting(used.append)
    if 'foreach' in raw:
        if 'matrix' in raw['do']:
            problems.add(f'stage {group}: foreach and matrix together', part.where((*path, 'do', 'matrix'), key=True),
                         'make foreach an axis of the matrix')
            return []
        found = _resolved(part, group, raw['foreach'], noting, (*path, 'foreach'), problems)
        made = _foreach(part, group, found, (*path, 'foreach'), problems)
        raw, path, axes = raw['do'], (*path, 'do'), ()
    else:
        found = _resolved(part, group, raw['matrix'], noting, (*path, 'matrix'), problems)
        made = _matrix(part, group, found, (*path, 'matrix'), problems)
        axes = tuple(made[0].item) if made else ()
    return [Instance(f'{group}@{one.id}', group, raw, path, scope.child(item=one.item, key=one.key), one.item, axes,
                     tuple(used))
            for one in _distinct(part, group, made, problems)]


def _resolved(part: Part, group: str, value: Any, scope: Scope, path: Path, problems: Problems) -> Any:
    """The value with its templates replaced, None if that is not possible."""
    try:
        return resolve(value, scope)
    except TemplateError as error:
        problems.add(f'stage {group}: {error.message}', part.where_of(error, path), error.hint)
        return None


def _foreach(part: Part, group: str, found: Any, path: Path, problems: Problems) -> list[_Item]:
    if isinstance(found, Mapping) and found:
        return [_Item(identifier(key), item, key, {'': (*path, key)}) for key, item in found.items()]
    if isinstance(found, list) and found:
        return [_Item(name := identifier(item), item, name, {'': (*path, number)}) for number, item in enumerate(found)]
    if found is not None:
        said = f'is an empty {"list" if isinstance(found, list) else "mapping"}' if found in ([], {}) else f'is {kind(found)}'
        problems.add(f'stage {group}: foreach {said}; it has to be a list or a mapping with entries', part.where(path))
    return []


def _matrix(part: Part, group: str, found: Any, path: Path, problems: Problems) -> list[_Item]:
    if found is None:
        return []
    if not isinstance(found, Mapping):
        problems.add(f'stage {group}: matrix is {kind(found)}; it has to be a mapping of axes to values', part.where(path))
        return []
    before = len(problems.errors)
    axes = {axis: values for axis, values in found.items() if axis not in ('include', 'exclude')}
    for axis, values in axes.items():
        if not isinstance(values, list) or not values:
            said = 'is empty' if values == [] else f'is {kind(values)}'
            problems.add(f'stage {group}: the axis {axis} {said}; it has to be a list of values', part.where((*path, axis)))
    extra = {name: _combinations(part, group, name, found.get(name), (*path, name), problems)
             for name in ('include', 'exclude')}
    for number, combination in enumerate(extra['exclude']):
        for axis in combination:
            if axis not in axes:
                problems.add(f'stage {group}: exclude names "{axis}", which is no axis',
                             part.where((*path, 'exclude', number, axis), key=True), did_you_mean(axis, axes, what='axes'))
    if len(problems.errors) > before:
        return []
    if (count := prod(map(len, axes.values()))) > INSTANCES_LIMIT:
        message = f'stage {group}: the matrix has {count:,} combinations, the limit is {INSTANCES_LIMIT:,}'
        problems.add(message, part.where(path))
        return []
    made = list(_combined(axes, extra['include'], extra['exclude'], path))
    if not made:
        problems.add(f'stage {group}: exclude leaves no combination of the matrix', part.where((*path, 'exclude'), key=True))
    return made


def _combinations(part: Part, group: str, name: str, found: Any, path: Path, problems: Problems) -> Sequence[Mapping[str, Any]]:
    if found is None:
        return ()
    if isinstance(found, list) and all(isinstance(one, Mapping) and one for one in found):
        return found
    problems.add(f'stage {group}: {name} has to be a list of mappings of axes to single values', part.where(path))
    return ()


def _combined(axes: Mapping[str, list[Any]], include: Sequence[Mapping[str, Any]], exclude: Sequence[Mapping[str, Any]],
              path: Path) -> Iterator[_Item]:
    """All combinations but the excluded ones; each included mapping is added to those it contradicts in no axis, or is one of
    its own."""
    base: list[dict[str, Any]] = []
    places: list[dict[str, Path]] = []
    for choice in product(*(enumerate(values) for values in axes.values())) if axes else ():
        combination = {axis: value for axis, (_, value) in zip(axes, choice, strict=True)}
        if not any(all(same(combination[axis], value) for axis, value in one.items()) for one in exclude):
            base.append(combination)
            places.append({axis: (*path, axis, number) for axis, (number, _) in zip(axes, choice, strict=True)})
    extended = [dict(combination) for combination in base]
    alone: list[tuple[dict[str, Any], dict[str, Path]]] = []
    for number, one in enumerate(include):
        fits = [position for position, combination in enumerate(base)
                if all(same(combination[axis], value) for axis, value in one.items() if axis in combination)]
        for position in fits:
            extended[position].update(one)
        if not fits:
            ordered = {**{axis: one[axis] for axis in axes if axis in one}, **one}
            alone.append((ordered, {'': (*path, 'include', number)}))
    for combination, item, where in zip(base, extended, places, strict=True):
        yield _named(combination, item, where)
    for item, where in alone:
        yield _named(item, item, where)


def _named(named: Mapping[str, Any], item: dict[str, Any], places: Mapping[str, Path]) -> _Item:
    name = '-'.join(identifier(value, axis) for axis, value in named.items())
    return _Item(name, item, name, places)


def same(one: Any, two: Any) -> bool:
    """Equal as the file shows it: 1, 1.0, "1" and true all differ."""
    return canonical(one) == canonical(two)


def identifier(value: Any, axis: str = 'item') -> str:
    """A value as a part of an instance's name: short, stable, and without characters that shells or paths are about."""
    try:
        text = scalar_text(value)
    except ValueError:
        if isinstance(value, Mapping):
            named = value.get('name', value.get('id'))
            if isinstance(named, str | int) and not isinstance(named, bool) and str(named):
                return identifier(named, axis)
        return 'null' if value is None else f'{axis}-{digest_of(canonical_bytes(value)).short}'
    text = _OTHER.sub('-', text).strip('-') if isinstance(value, str) else text
    if not text:
        return 'empty' if not value else f'{axis}-{digest_of(canonical_bytes(value)).short}'
    return text if len(text) <= _TEXT_LIMIT else f'{text[:_TEXT_LIMIT - 9]}-{digest_of(canonical_bytes(value)).short}'


def _distinct(part: Part, group: str, made: list[_Item], problems: Problems) -> list[_Item]:
    """Those with a name of their own; the others are mistakes."""
    seen: dict[str, _Item] = {}
    for one in made:
        first = seen.setdefault(one.id.casefold(), one)
        if first is one:
            continue
        here, there = _apart(part, one, first)
        again = 'the same value' if same(one.item, first.item) else 'a value of the same name'
        problems.add(f'stage {group}: two instances are called {group}@{one.id}: {again} stands at {there}', here,
                     'remove one' if same(one.item, first.item) else 'make the values different in more than punctuation')
    return list(seen.values())


def _apart(part: Part, one: _Item, two: _Item) -> tuple[Where, Where]:
    """The places where two items are told apart."""
    for axis, path in one.places.items():
        if two.places.get(axis) not in (None, path):
            return part.where(path), part.where(two.places[axis])
    return part.where(next(iter(one.places.values()))), part.where(next(iter(two.places.values())))
