"""What must hold between the stages and data of a DVC project.  What DVC refuses is refused, with its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Protocol

from mlops_cli.adopt.dvc.stages import File, Stage, Tracked
from mlops_cli.core.errors import UserError, Where
from mlops_cli.core.paths import ancestors


class Everything(Protocol):
    files: list[File]
    tracked: list[Tracked]


def check(project: Everything) -> list[UserError]:
    """Outputs that two make, that lie in each other, and stages that wait for each other."""
    stages = [stage for file in project.files for stage in file.stages]
    makers: dict[str, tuple[str, Where]] = {}
    problems: list[UserError] = []
    for path, name, where in _made(stages, project.tracked):
        if path in makers:
            first, there = makers[path]
            problems.append(UserError(f'{name}: {path} is made by {first} already, at {there}', where=where))
        makers.setdefault(path, (name, where))
    for path, (name, where) in makers.items():
        for above in ancestors(path):
            if above in makers:
                problems.append(UserError(f'{name}: {path} lies in {above}, which {makers[above][0]} makes', where=where))
    return problems or _loops(stages, makers)


def unsaid(files: Sequence[File]) -> dict[str, list[str]]:
    """Stage -> the stages that it comes after because of what they make where no pipeline.yaml can name it."""
    stages = [stage for file in files for stage in file.stages]
    makers = {path: (name, where) for path, name, where in _made(stages, ()) if is_unsayable(path)}
    order = {stage.name: number for number, stage in enumerate(stages)}
    return {name: sorted(before, key=order.__getitem__) for name, before in _before(stages, makers).items() if before}


def is_unsayable(path: str) -> bool:
    """Whether it can be no output here: it lies elsewhere, or has signs in its name that stand for others."""
    return path.startswith('/') or '://' in path or '*' in path or '?' in path


def _made(stages: Sequence[Stage], tracked: Sequence[Tracked]) -> Iterator[tuple[str, str, Where]]:
    for stage in stages:
        yield from ((out.path.place, stage.name, stage.where) for out in stage.outs if out.path.place)
    yield from ((one.path.place, one.file, one.where) for one in tracked if one.path.place)


def _before(stages: Sequence[Stage], makers: Mapping[str, tuple[str, Where]]) -> dict[str, set[str]]:
    """Stage -> makers of what it reads, of something in it, or of what holds it."""
    below: dict[str, set[str]] = {}
    for path, (name, _) in makers.items():
        inside = () if path.startswith('/') or '://' in path else ('.',)
        for above in (*ancestors(path), *inside):
            below.setdefault(above, set()).add(name)
    graph: dict[str, set[str]] = {}
    for stage in stages:
        before = graph.setdefault(stage.name, set())
        for read in [*stage.deps, *(param.file for param in stage.params)]:
            if at := read.place:
                before |= {makers[one][0] for one in (at, *ancestors(at)) if one in makers} | below.get(at, set())
    return graph


def _loops(stages: Sequence[Stage], makers: Mapping[str, tuple[str, Where]]) -> list[UserError]:
    try:
        TopologicalSorter(_before(stages, makers)).prepare()
    except CycleError as error:
        names = [str(name) for name in error.args[1]]
        where = next((stage.where for stage in stages if stage.name in names), None)
        return [UserError(f'stages wait for each other: {", ".join(names[:10])}', where=where)]
    return []
