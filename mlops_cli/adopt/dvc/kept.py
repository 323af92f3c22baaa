"""Entries of a dvc.yaml that need not be written out: as their lines stand, comments and all, or with their templates.

Whether that means the same is not argued: both are loaded, and have to give the same stages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mlops_cli.adopt.dvc import emit
from mlops_cli.adopt.dvc.schema import PLOT
from mlops_cli.adopt.dvc.stages import File
from mlops_cli.core import layout
from mlops_cli.core.errors import UserError
from mlops_cli.fsio.paths import Root
from mlops_cli.pipeline.load import load_from
from mlops_cli.pipeline.spec import Pipeline, Stage

_COMMENT = re.compile(r'\s*(#.*)?')
_FLAGS = ('cache', 'persist', 'desc', 'push')


def lines_of(file: File, entry: str) -> list[str] | None:
    """The lines of an entry with the comments in front, moved to two columns; None where it has no lines of its own."""
    if file.stages_at.get(entry) is None:
        return None
    lines = file.text.splitlines()
    number, indent = file.stages_at[entry]
    start = number
    if lines[number][:indent].strip():
        return None
    while start and lines[start - 1].lstrip().startswith('#') and _indent(lines[start - 1]) >= indent:
        start -= 1
    end = number + 1
    while end < len(lines) and (_COMMENT.fullmatch(lines[end]) or _indent(lines[end]) > indent):
        end += 1
    while _COMMENT.fullmatch(lines[end - 1]):
        end -= 1
    found = lines[start:end]
    if any('\t' in line[: _indent(line) + 1] for line in found):
        return None
    return [f'  {line[indent:]}' if line.strip() and not line[:indent].strip() else line.strip() for line in found]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(' '))


def header(file: File) -> list[str]:
    """The comments at the top of a file."""
    found: list[str] = []
    for line in file.text.splitlines():
        if not line.startswith('#'):
            break
        found.append(line)
    return [] if any('yaml-language-server' in line for line in found) else found


def raw_entry(said: Mapping[str, Any], callback: bool) -> dict[str, Any]:
    """The keys of an entry as they are written, with what pipeline.yaml lacks taken out."""
    if 'do' in said:
        return {'foreach': said['foreach'], 'do': raw_entry(said['do'], callback)}
    found: dict[str, Any] = {}
    for key, value in said.items():
        if key == 'cmd' and isinstance(value, str) and len(lines := [one for one in value.splitlines() if one.strip()]) > 1:
            found[key] = lines
        elif key in ('outs', 'metrics', 'plots'):
            found[key] = [_raw_out(one, (*_FLAGS, *PLOT) if key == 'plots' else _FLAGS) for one in value]
        else:
            found[key] = value
    return {**found, 'always_changed': True} if callback else found


def _raw_out(one: Any, known: Sequence[str]) -> Any:
    if not isinstance(one, dict):
        return one
    made = {path: {key: value for key, value in flags.items() if key in known} if isinstance(flags, dict) else flags
            for path, flags in one.items()}  # fmt: skip
    return next(iter(made)) if len(made) == 1 and not next(iter(made.values())) else made


def vars_lines(file: File) -> list[str]:
    value = file.data.get('vars')
    return ['vars:', *(f'- {emit.scalar(one)}' for one in value)] if value else []


def loaded(root: Root, lines: Sequence[str]) -> Pipeline | None:
    """What lines of a pipeline.yaml give in this project; None where they are not right."""
    given = {layout.PIPELINE_FILE: '\n'.join([*lines, '']).encode()}
    try:
        return load_from(root.path, layout.PIPELINE_FILE, {}, None, given)[0]
    except UserError:
        return None


def same(one: Pipeline | None, two: Pipeline | None) -> bool:
    """Whether both give the same stages, in whatever way they say it."""
    if one is None or two is None or one.stages.keys() != two.stages.keys():
        return False
    return all(_meant(stage) == _meant(two.stages[name]) for name, stage in one.stages.items())


def _meant(stage: Stage) -> tuple[Any, ...]:
    return (
        stage.name, stage.group, stage.command, stage.wdir, {(dep.kind, dep.value) for dep in stage.deps}, {*stage.needs},
        {(ref.file, ref.key) for ref in stage.params}, stage.frozen, stage.always_changed, stage.desc.strip(), dict(stage.meta),
        {(out.path, out.role, out.cache, out.persist, out.push, out.remote, out.desc, repr(sorted(out.plot.items())))
         for out in (*stage.outputs, *stage.reads)},
    )  # fmt: skip
