"""The plots of a named state of the project: what its stages list under ``plots``, read and made ready to be drawn.

A plot that cannot be read becomes one that says so; it never keeps the others from being shown.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.paths import ancestors
from mlops_cli.core.units import plural
from mlops_cli.experiments.model import Point
from mlops_cli.experiments.plots_choose import drawings
from mlops_cli.experiments.plots_read import LIMIT, MEDIA, is_plot, read_picture, read_table, suffix
from mlops_cli.experiments.plots_values import Broken, Drawing, Plot
from mlops_cli.experiments.points import output_ref, read_output
from mlops_cli.pipeline.spec import Pipeline
from mlops_cli.plan.select import matching
from mlops_cli.records.files import read_small
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.objects import Damaged, MissingObject
from mlops_cli.store.tree import MalformedTree, walk

FILES = 60  # of a folder
PLOTS = 500  # at one point
TOTAL = 256 << 20  # bytes that are read for one point
ENTRIES = 5000  # of a folder that are looked at


@dataclass(frozen=True)
class Choice:
    """What is asked for.  ``stages`` None: all.  ``paths``: outputs, files in them, or for the workspace any other file.
    ``settings``: what counts before what the pipeline declares."""

    stages: frozenset[str] | None = None
    paths: frozenset[str] = frozenset()
    settings: Mapping[str, Any] = field(default_factory=dict)


def choose(bench: Workbench, words: Sequence[str], pipelines: Sequence[Pipeline], settings: Mapping[str, Any]) -> Choice:
    """What words mean in any of the pipelines: stages, instances, globs, outputs and what lies in them; else files of the
    workspace.  Raises UserError for a word that means nothing."""
    if not words:
        return Choice(settings=settings)
    outputs = {output.path for pipeline in pipelines for stage in pipeline.stages.values() for output in stage.outputs}
    stages, paths = set[str](), set[str]()
    for word in words:
        path = word.removeprefix('./').rstrip('/')
        if not outputs.isdisjoint({path, *ancestors(path)}):
            paths.add(path)
        elif found := _matching(word, pipelines):
            stages |= found
        elif is_plot(path) and bench.root.exists(path):
            paths.add(path)
        else:
            matching(pipelines[-1], word)  # raises
    return Choice(frozenset(stages), frozenset(paths), settings)


def _matching(word: str, pipelines: Sequence[Pipeline]) -> set[str]:
    found = set[str]()
    for pipeline in pipelines:
        try:
            found.update(matching(pipeline, word))
        except UserError:
            continue
    return found


def plots_at(bench: Workbench, point: Point, choice: Choice) -> tuple[Plot, ...]:
    """In the order of the pipeline.  Raises UserError only for what is wrong with the project as a whole; OSError."""
    found: list[Plot] = []
    left = TOTAL
    for stage, path, settings in _listed(bench, point, choice):
        if len(found) >= PLOTS:
            found.append(_broken(stage, path, point, f'more than {PLOTS} plots', 'name stages or files'))
            break
        made, size = _made(bench, point, stage, path, {**settings, **choice.settings}, left)
        left -= size
        found += made
    return tuple(found)


def _listed(bench: Workbench, point: Point, choice: Choice) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(stage, path of an output or a file, how it is declared)."""
    asked = set(choice.paths)
    for name, stage in point.pipeline.stages.items():
        if point.kind == 'run' and name not in point.stages:
            continue  # it was fresh, so it is not in the run's record
        whole = choice.stages is None or name in choice.stages
        for output in stage.outputs:
            inside = sorted(path for path in choice.paths if output.path in (path, *ancestors(path)))
            asked.difference_update(inside)
            if output.role == 'plot' and whole and output.path not in inside:
                yield name, output.path, output.plot
            for path in inside:
                if all(one.role != 'plot' or one.path != path for one in stage.reads):
                    yield name, path, output.plot
        for one in stage.reads:
            named = one.path in choice.paths
            if one.role == 'plot' and (named or (whole and choice.paths.isdisjoint(ancestors(one.path)))):
                yield name, one.path, one.plot
    for path in sorted(asked) if point.kind == 'workspace' else ():
        if bench.root.exists(path):
            yield '', path, {}


def _made(
    bench: Workbench, point: Point, stage: str, path: str, settings: Mapping[str, Any], left: int
) -> tuple[list[Plot], int]:
    """The plots of an output, and how many bytes were read for them."""
    if not is_plot(path) and (files := _files_in(bench, point, path)) is not None:
        found: list[Plot] = []
        used = 0
        if not files:
            return [_broken(stage, path, point, 'a folder without any table or picture in it')], 0
        for file in files[:FILES]:
            more, size = _of_file(bench, point, stage, file, _inside(settings, path, file), left - used)
            found += more
            used += size
        if len(files) > FILES:
            text = f'left out: {plural(len(files) - FILES, "more file")} in this folder'
            found.append(_broken(stage, path, point, text, 'name the ones to see'))
        return found, used
    return _of_file(bench, point, stage, path, settings, left)


def _inside(settings: Mapping[str, Any], folder: str, file: str) -> Mapping[str, Any]:
    """A file's settings are its folder's; the title is told apart by the file's name."""
    name = file[len(folder) + 1 :]
    return {**settings, 'title': f'{settings["title"]}: {name}'} if settings.get('title') else settings


def _of_file(
    bench: Workbench, point: Point, stage: str, path: str, settings: Mapping[str, Any], left: int
) -> tuple[list[Plot], int]:
    """The plots of one file; one that says what is wrong if it cannot be drawn."""
    size = 0
    try:
        if not is_plot(path):
            kinds = 'csv, tsv, json, jsonl, png, jpg, gif, webp, svg'
            raise UserError('not a kind of file that can be shown', hint=f'those end in {kinds}')
        data = _read(bench, point, stage, path)
        if data is None:
            raise UserError(*_absent(point, stage, path))
        size = len(data)
        if size > left:
            raise UserError(f'left out: there is more than {TOTAL >> 20} MiB of plots', hint='name stages or files')
        made = _drawn(data, path, settings)
    except UserError as error:
        where = f'line {error.where.line}: ' if error.where and error.where.line else ''
        return [_broken(stage, path, point, where + error.message, error.hint, settings)], size
    return [Plot(stage, path, point.label, drawing, settings) for drawing in made], size


def _drawn(data: bytes, path: str, settings: Mapping[str, Any]) -> tuple[Drawing, ...]:
    """Raises UserError."""
    if suffix(path) in MEDIA:
        return (Drawing(str(settings.get('title') or path), read_picture(data, path)),)
    y = settings.get('y', ())
    wanted = [str(name) for name in (settings.get('x'), *((y,) if isinstance(y, str) else y)) if name]
    table = read_table(data, path, header=settings.get('header', True) is not False, wanted=wanted)
    return drawings(table, settings, path)


def _read(bench: Workbench, point: Point, stage: str, path: str) -> bytes | None:
    """Raises UserError for what is too large or a link."""
    try:
        if not stage:
            return read_small(bench.root, path, LIMIT)
        return read_output(bench, point, path, LIMIT)
    except MalformedTree as error:
        raise UserError(f'its folder is damaged: {error}') from error
    except OSError as error:
        raise UserError(f'cannot be read: {error.strerror or error}', exit_code=ExitCode.MACHINE) from error


def _absent(point: Point, stage: str, path: str) -> tuple[str]:
    known = point.stages.get(stage)
    if point.kind == 'workspace':
        return (f'not in the workspace: mlops run {stage}' if stage else 'not in the workspace',)
    if known is None or not known.outputs:
        return (f'nothing recorded for {stage} at {point.label}',)
    if any(part in known.outputs for part in (path, *ancestors(path))):
        return ('its content is not in this cache, or the folder does not hold it',)
    return (f'{stage} did not make it at {point.label}',)


def _broken(
    stage: str, path: str, point: Point, problem: str, hint: str = '', settings: Mapping[str, Any] | None = None
) -> Plot:
    title = str((settings or {}).get('title') or path)
    return Plot(stage, path, point.label, Drawing(title, Broken(problem, hint)), settings or {})


# Folders


def _files_in(bench: Workbench, point: Point, path: str) -> list[str] | None:
    """The tables and pictures in a folder, sorted; None where it is no folder."""
    if point.kind == 'workspace':
        facts = bench.root.stat(path)
        if facts is None or facts.st_mode & 0o170000 != 0o040000:
            return None
        return sorted(_in_workspace(bench, path))
    try:
        ref = output_ref(bench, point, path)
        if ref is None or ref.kind != 'tree':
            return None
        names = (name for name, entry in walk(ref, bench.store.read) if entry.kind in ('file', 'exec'))
        return sorted(f'{path}/{name}' for name, _ in zip(names, range(ENTRIES), strict=False) if is_plot(name))
    except (MissingObject, Damaged, MalformedTree):
        return None


def _in_workspace(bench: Workbench, path: str) -> Iterator[str]:
    waiting, seen = [path], 0
    while waiting and seen < ENTRIES:
        folder = waiting.pop()
        for entry in sorted(bench.root.scandir(folder), key=lambda one: one.name):
            seen += 1
            if entry.is_dir():
                waiting.append(f'{folder}/{entry.name}')
            elif entry.is_file() and is_plot(entry.name):
                yield f'{folder}/{entry.name}'


# Two points


def paired(before: Sequence[Plot], after: Sequence[Plot]) -> tuple[tuple[Plot | None, Plot | None], ...]:
    """The same plot at both points side by side, in the order of ``after``; those that only ``before`` has come last.

    Where one side of a file is broken, its sentence stands beside each plot of the other side."""
    old = {plot.key: plot for plot in before}
    taken: set[tuple[str, str, str]] = set()
    found: list[tuple[Plot | None, Plot | None]] = []
    for plot in after:
        other = old.get(plot.key) or _alone(plot, before)
        if other is not None:
            taken.add(other.key)
        found.append((other, plot))
    for plot in before:
        if plot.key not in taken:
            found.append((plot, _alone(plot, after)))
    merged = {(a.key if a else None, b.key if b else None): (a, b) for a, b in found}
    return tuple(_without_echo(list(merged.values())))


def _alone(plot: Plot, others: Collection[Plot]) -> Plot | None:
    """The one plot of that file at the other point, where one of the two is broken."""
    same = [other for other in others if other.key[:2] == plot.key[:2]]
    return same[0] if len(same) == 1 and (plot.broken or same[0].broken) else None


def _without_echo(pairs: list[tuple[Plot | None, Plot | None]]) -> Iterator[tuple[Plot | None, Plot | None]]:
    """A broken plot beside several good ones is told with each of them, but not once more by itself."""
    beside = {one.key for pair in pairs for one in pair if one is not None and one.broken and None not in pair}
    for before, after in pairs:
        alone = before or after
        if (before is None or after is None) and alone is not None and alone.broken and alone.key in beside:
            continue
        yield before, after
