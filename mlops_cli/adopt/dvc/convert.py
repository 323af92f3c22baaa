"""A DVC project as pipeline.yaml: text, names, and what was done with each stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlops_cli.adopt.dvc import emit, kept, values
from mlops_cli.adopt.dvc.agreement import unsaid
from mlops_cli.adopt.dvc.context import has_reference
from mlops_cli.adopt.dvc.plain import Names, entry_of
from mlops_cli.adopt.dvc.project import Project
from mlops_cli.adopt.dvc.stages import File, Stage
from mlops_cli.adopt.dvc.tops import tops_of
from mlops_cli.adopt.templates import SCHEMA_LINE
from mlops_cli.core.classes import dataclass, field, replace
from mlops_cli.core.errors import UserError
from mlops_cli.fsio.atomic import read_file
from mlops_cli.fsio.paths import Root
from mlops_cli.pipeline import paramfile

TRIED = 500  # entries beyond which all are written out: each that is tried is loaded three times


@dataclass
class Row:
    """What became of one entry of a dvc.yaml.  ``how``: ``as it stands``, ``templates kept`` or ``written out``."""

    entry: str
    file: str
    stages: tuple[Stage, ...]
    names: tuple[str, ...]
    how: str = 'written out'
    check: list[str] = field(default_factory=list)


@dataclass
class Converted:
    """``text``: of pipeline.yaml.  ``names``: DVC's -> ours.  ``check``: what concerns no single stage."""

    text: str
    names: dict[str, str]
    rows: list[Row]
    check: list[str] = field(default_factory=list)


def convert(project: Project, name: str) -> Converted:
    """Raises UserError where what would be written could not be read, which is told of the file that it comes from."""
    files_read = _Parameters(project)
    names = Names()
    rows = [Row(entry, file.file, stages, tuple(map(names.instance, stages)))
            for file in project.files for entry, stages in file.groups.items()]  # fmt: skip
    ours = {stage.name: name for row in rows for stage, name in zip(row.stages, row.names, strict=True)}
    needs = {name: [ours[one] for one in before] for name, before in unsaid(project.files).items()}
    files = {file.file: file for file in project.files}
    plain = [_written_out(row, files_read, needs) for row in rows]
    blocks = [_kept(project.root, files[row.file], row, lines) if number < TRIED else lines
              for number, (row, lines) in enumerate(zip(rows, plain, strict=True))]  # fmt: skip
    top = project.files[0] if project.files and project.files[0].folder == '.' else None
    head = [SCHEMA_LINE.strip(), *(kept.header(top) if top else []), 'version: 1', f'name: {emit.scalar(name)}']
    tops = tops_of(project.files)
    head += emit.block(tops.lines(), 0)
    templates = any(row.how != 'written out' for row in rows)
    lines = [*head, *(kept.vars_lines(top) if top and templates else []), *_stages(blocks)]
    straight = [*head, *_stages(plain)]
    if templates and not kept.same(kept.loaded(project.root, lines), kept.loaded(project.root, straight)):
        lines = straight
        for row in rows:
            row.how = 'written out'
    return Converted('\n'.join([*lines, '']), ours, rows, [*tops.check, *_artifacts(project.files)])


def _stages(blocks: Sequence[Sequence[str]]) -> list[str]:
    return ['stages:', *(line for block in blocks for line in block)] if blocks else ['stages: {}']


def _kept(root: Root, file: File, row: Row, plain: list[str]) -> list[str]:
    """The lines of an entry that say most of what stood there, and mean what is written out."""
    if file.folder != '.':
        return plain
    above = ['version: 1', *kept.vars_lines(file), 'stages:']
    meant = kept.loaded(root, [*above, *plain])
    if meant is None and above[1:-1]:
        meant = kept.loaded(root, ['stages:', *plain])
    said = file.data['stages'][row.entry]
    raw = kept.raw_entry(said, all(stage.callback for stage in row.stages))
    for how, lines in (
        ('as it stands', kept.lines_of(file, row.entry)),
        ('templates kept', [f'  {emit.scalar(row.entry)}:', *emit.block(raw, 4)] if has_reference(said) else None),
    ):
        if lines is not None and kept.same(kept.loaded(root, [*above, *lines]), meant):
            row.how = how
            return lines
    return plain


class _Parameters:
    """The parameter files of a project.  ``unread``: those that DVC reads and mlops does not, and why."""

    def __init__(self, project: Project) -> None:
        self.read: dict[str, Any] = {}
        self.unread: dict[str, str] = {}
        files = {param.file.path for file in project.files for stage in file.stages for param in stage.params}
        for rel in sorted(path for path in files if path is not None and path.endswith(paramfile.SUFFIXES)):
            try:
                self.read[rel] = paramfile.read(read_file(project.root, rel, paramfile.SIZE_LIMIT), rel)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except UserError as error:
                self.unread[rel] = str(error).partition('\n')[0]

    def named(self, stage: Stage, notes: list[str]) -> Stage:
        """The stage with the keys that the patterns of its params stand for."""
        if not any(values.is_pattern(key) for param in stage.params for key in param.keys):
            return stage
        params = []
        for param in stage.params:
            keys = {key: values.named(self.read.get(param.file.path or ''), key) for key in param.keys}
            notes += [f'params: {key} is {name}, which matches it now: what matches later does not count'
                      for key, name in keys.items() if name != key]  # fmt: skip
            params.append(replace(param, keys=tuple(dict.fromkeys(keys.values()))))
        return replace(stage, params=tuple(params))


def _written_out(row: Row, read: _Parameters, needs: Mapping[str, list[str]]) -> list[str]:
    lines: list[str] = []
    for stage, name in zip(row.stages, row.names, strict=True):
        notes: list[str] = []
        entry, more = entry_of(read.named(stage, notes), read.unread, needs.get(stage.name, ()))
        row.check += [note for note in [*notes, *more] if note not in row.check]
        lines += [f'  {emit.scalar(name)}:', *emit.block(entry, 4)]
    return lines


def _artifacts(files: Sequence[File]) -> list[str]:
    return [f'{file.file}: the artifact {name} ({said.get("path")}) is not registered'
            for file in files for name, said in (file.tops.get('artifacts') or {}).items()]  # fmt: skip
