"""Two named states of the project, compared: what went in, what came out, what it took."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from mlops_cli.core.canonical import canonical_bytes
from mlops_cli.core.classes import dataclass, replace
from mlops_cli.core.digest import Digest
from mlops_cli.core.manifest import ABSENT, Entry
from mlops_cli.experiments import metrics
from mlops_cli.experiments.code import FileChange, code_changes
from mlops_cli.experiments.model import UNKNOWN, Point, StagePoint
from mlops_cli.experiments.trees import PathChange, counts, output_changes, reader
from mlops_cli.fingerprint.environment import environment_of
from mlops_cli.pipeline.used import used_by
from mlops_cli.records.history import overlay_parameters, parameter
from mlops_cli.run.workbench import Workbench

USAGE = ('cpu_seconds', 'memory_peak_bytes', 'read_bytes', 'write_bytes', 'network_received_bytes', 'network_sent_bytes')


@dataclass(frozen=True, slots=True)
class ValueChange:
    """A parameter, a variable, a version, a command.  ``before`` and ``after``: values, None where there is none; ``known``:
    whether each side can be told.  ``stages``: that use it."""

    name: str
    before: Any
    after: Any
    stages: tuple[str, ...]
    known: tuple[bool, bool] = (True, True)


@dataclass(frozen=True, slots=True)
class StageChange:
    """``status``: ``same`` (one result), ``changed``, ``added``, ``removed``, or ``unknown``: nothing to compare on a side, and
    ``note`` says why."""

    stage: str
    status: str
    before: StagePoint | None
    after: StagePoint | None
    note: str = ''


@dataclass(frozen=True, slots=True)
class UsageChange:
    """``name``: ``seconds``, or one of USAGE."""

    stage: str
    name: str
    before: float | None
    after: float | None


@dataclass(frozen=True)
class Difference:
    """Everything that differs, each kind by name.  ``data``: what no stage makes.  ``outputs``: what stages made.
    ``absent``: how many stages each side does not tell about, fresh ones of an older run record."""

    before: Point
    after: Point
    stages: tuple[StageChange, ...]
    params: tuple[ValueChange, ...]
    commands: tuple[ValueChange, ...]
    code: tuple[FileChange, ...]
    data: tuple[PathChange, ...]
    environment: tuple[ValueChange, ...]
    outputs: tuple[PathChange, ...]
    metrics: metrics.Comparison
    usage: tuple[UsageChange, ...]

    @property
    def empty(self) -> bool:
        """Nothing that went in or came out differs."""
        inputs = self.params or self.commands or self.code or self.data or self.environment
        moved = any(row.verdict not in ('same', 'within') for row in self.metrics.rows)
        return not (inputs or self.outputs or moved or any(one.status != 'same' for one in self.stages))


def compare(bench: Workbench, before: Point, after: Point, *, code: bool = True) -> Difference:
    """``code`` False: no source is read.  Raises OSError."""
    names = _names(before, after)
    stages = tuple(_stage(before, after, name) for name in names)
    both = [one for one in stages if one.before is not None and one.after is not None]
    told = {one.stage for one in stages if one not in both or _both_told(one)}
    return Difference(
        before,
        after,
        stages,
        tuple(_params(before, after, both)),
        tuple(_values(both, 'command', _command)),
        code_changes(bench, before, after, told) if code else (),
        tuple(_data(bench, before, after, both)),
        tuple(_environment(bench, before, after, both)),
        tuple(change for one in stages for change in _outputs(bench, one)),
        metrics.compare(bench, before, after),
        tuple(change for one in both for change in _usage(one)),
    )


def _names(before: Point, after: Point) -> tuple[str, ...]:
    """Stages of both; those of one alone, unless the other is a run whose record does not tell of all its stages.  In the
    order of the pipeline, whatever order a run took."""
    silent = {point.label for point in (before, after) if point.run and (point.absent > 0 or point.run.ended == 'killed')}
    lacking = {name: [p.label for p in (before, after) if name not in p.stages] for name in (*after.stages, *before.stages)}
    every = (*after.pipeline.stages, *before.pipeline.stages)
    order = {name: place for place, name in enumerate(dict.fromkeys(every))}
    told = (name for name, labels in lacking.items() if silent.isdisjoint(labels))
    return tuple(sorted(told, key=lambda name: (order.get(name, len(order)), name)))


def _stage(before: Point, after: Point, name: str) -> StageChange:
    one, two = before.stages.get(name), after.stages.get(name)
    if one is None or two is None:
        return StageChange(name, 'added' if one is None else 'removed', one, two)
    for point, side in ((before, one), (after, two)):
        if side.state in ('failed', 'skipped', 'interrupted'):
            return StageChange(name, 'unknown', one, two, f'{metrics.ENDED.get(side.state, side.state)} in {point.label}')
    if one.key is not None and one.key == two.key:
        same = dict(one.outputs) == dict(two.outputs)
        return StageChange(name, 'same' if same else 'changed', one, two, '' if same else 'same key, other outputs')
    for point, side in ((before, one), (after, two)):
        if side.state == UNKNOWN:
            return StageChange(name, 'changed', one, two, _open_words(point))
    return StageChange(name, 'changed', one, two)


def _open_words(point: Point) -> str:
    return 'out of date in the workspace' if point.kind == 'workspace' else f'nothing recorded at {point.label}'


# What went in


def _entries(stage: StagePoint | None, kind: str) -> dict[str, Entry]:
    manifest = (stage.manifest or stage.partial) if stage is not None else None
    return {entry.name: entry for entry in (manifest.entries if manifest else ()) if entry.kind == kind}


def _is_told(stage: StagePoint) -> bool:
    return stage.manifest is not None or stage.partial is not None


def _values(
    both: Iterable[StageChange], kind: str, shown: Callable[[Entry | None], Any], name: Callable[[str], str] = str
) -> Iterator[ValueChange]:
    """Entries of one kind that differ; stages with the same to say share it."""
    found: dict[tuple[str, str, str], ValueChange] = {}
    for one in both:
        assert one.before is not None and one.after is not None
        if not _is_told(one.before) or not _is_told(one.after):
            continue
        old, new = _entries(one.before, kind), _entries(one.after, kind)
        for key in sorted(old.keys() | new.keys()):
            was, now = old.get(key), new.get(key)
            if (was.digest if was else None) != (now.digest if now else None):
                for change in _split(ValueChange(name(key), shown(was), shown(now), (one.stage,))):
                    where = (change.name, json.dumps(change.before, default=str), json.dumps(change.after, default=str))
                    known = found.get(where)
                    found[where] = replace(change, stages=(*(known.stages if known else ()), one.stage))
    yield from found.values()


def _split(change: ValueChange) -> Iterator[ValueChange]:
    """A mapping that changed is told by the leaves that differ."""
    if not isinstance(change.before, dict) or not isinstance(change.after, dict):
        yield change
        return
    for key in sorted(change.before.keys() | change.after.keys()):
        was, now = change.before.get(key), change.after.get(key)
        if was != now or (key in change.before) != (key in change.after):
            yield from _split(ValueChange(f'{change.name}.{key}', was, now, change.stages))


def _plain(entry: Entry | None) -> Any:
    if entry is None or entry.digest == ABSENT:
        return None
    return entry.digest.short if entry.value is None else json.loads(entry.value)


def _command(entry: Entry | None) -> Any:
    """As one would type it."""
    value = _plain(entry)
    if not isinstance(value, dict):
        return value
    text = value.get('cmd') or ' '.join(value.get('argv', ()))
    return text + (f'  (in {value["wdir"]})' if 'wdir' in value else '')


def _params(before: Point, after: Point, both: list[StageChange]) -> Iterator[ValueChange]:
    """What templates used, what keys hold; of a failed trial, which has no manifest, what was set."""
    found = list(_templates(before, after))
    used = {change.name for change in found}
    found += [change for change in _values(both, 'param', _plain, parameter) if change.name not in used]
    yield from found
    told = {change.name for change in found}
    sides = [overlay_parameters(point.run.overlay) if point.run else {} for point in (before, after)]
    for name in sorted(sides[0].keys() | sides[1].keys()):
        users = tuple(one.stage for one in both if not _both_told(one))
        if name not in told and users and sides[0].get(name) != sides[1].get(name):
            known = (name in sides[0], name in sides[1])
            yield ValueChange(name, sides[0].get(name), sides[1].get(name), users, known)


def _templates(before: Point, after: Point) -> Iterator[ValueChange]:
    """Parameters that templates used: of a run those that its record names, as far as both sides have them."""
    old, new = _used(before), _used(after)
    whole = before.run is None and after.run is None
    for name in sorted(old.keys() | new.keys()) if whole else sorted(old.keys() & new.keys()):
        was, now = old.get(name), new.get(name)
        if was is None or now is None or canonical_bytes(was[0]) != canonical_bytes(now[0]):
            stages = tuple(dict.fromkeys(stage for side in (was, now) if side is not None for stage in side[1]))
            yield ValueChange(name, was and was[0], now and now[0], stages)


def _used(point: Point) -> dict[str, tuple[Any, tuple[str, ...]]]:
    """Name -> (value, stages whose templates use it)."""
    found = used_by(point.pipeline.stages.values())
    if point.run is not None:
        values = point.run.values or ()
        found = {(file, key): (value, found.get((file, key), (None, ()))[1]) for file, key, value in values}
    return {parameter(f'{file}:{key}'): of for (file, key), of in found.items()}


def _both_told(one: StageChange) -> bool:
    return one.before is not None and one.after is not None and _is_told(one.before) and _is_told(one.after)


def _data(bench: Workbench, before: Point, after: Point, both: Iterable[StageChange]) -> Iterator[PathChange]:
    """Data that no stage makes, on either side."""
    made = {output.path for point in (before, after) for stage in point.pipeline.stages.values() for output in stage.outputs}
    made |= {path for point in (before, after) for stage in point.stages.values() for path in stage.outputs}
    found: dict[tuple[str, Digest | None, Digest | None], list[str]] = {}
    for one in both:
        if not _both_told(one):
            continue
        old, new = _entries(one.before, 'data'), _entries(one.after, 'data')
        for path in sorted(old.keys() | new.keys()):
            was, now = (side[path].digest if path in side and side[path].digest != ABSENT else None for side in (old, new))
            if was != now and not any(path == output or path.startswith(f'{output}/') for output in made):
                found.setdefault((path, was, now), []).append(one.stage)
    read = reader(bench, tuple(path for path, _, _ in found))
    for (path, was, now), stages in sorted(found.items(), key=lambda item: item[0][0]):
        inside = counts(was, now, read) if was is not None and now is not None else None
        yield PathChange(path, was, now, inside=inside, stages=tuple(stages))


def _environment(bench: Workbench, before: Point, after: Point, both: list[StageChange]) -> Iterator[ValueChange]:
    """Declared variables and lock files; then versions that the results were made under."""
    yield from _values(both, 'environment', _plain, lambda name: name.removeprefix('secret:'))
    found: dict[tuple[str, str, str], ValueChange] = {}
    for one in both:
        assert one.before is not None and one.after is not None
        old = dict(_leaves(_made_under(bench, before, one.before)))
        new = dict(_leaves(_made_under(bench, after, one.after)))
        if not old or not new:
            continue
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                where = (name, str(old.get(name)), str(new.get(name)))
                known = found.get(where)
                stages = (*(known.stages if known else ()), one.stage)
                found[where] = ValueChange(name, old.get(name), new.get(name), stages)
    yield from found.values()


def _made_under(bench: Workbench, point: Point, stage: StagePoint) -> Mapping[str, Any]:
    """What the result was made under; of the workspace without one, what it would be made under."""
    if stage.environment or point.kind != 'workspace' or stage.stage not in bench.drafts:
        return stage.environment
    return environment_of(bench.drafts[stage.stage].found, bench.environ)


def _leaves(value: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield from _leaves(item, '' if name == 'packages' else f'{prefix}{name}.')
        else:
            yield f'{prefix}{name}', item


# What came out, and what it took


def _outputs(bench: Workbench, one: StageChange) -> list[PathChange]:
    before, after = (dict(side.outputs) if side is not None else {} for side in (one.before, one.after))
    if one.before is not None and one.after is not None and (not before or not after):
        return []  # what one of them made is not known
    return output_changes(bench, one.stage, before, after)


def _usage(one: StageChange) -> Iterator[UsageChange]:
    """Of results that were made, not of those that were there."""
    if one.before is None or one.after is None or one.status == 'same':
        return
    yield UsageChange(one.stage, 'seconds', one.before.seconds, one.after.seconds)
    for name in USAGE:
        was, now = one.before.usage.get(name), one.after.usage.get(name)
        if was is not None or now is not None:
            yield UsageChange(one.stage, name, was, now)
