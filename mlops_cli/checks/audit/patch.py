"""What has to be added to the pipeline so that everything is declared that stages open: as edits of its files that leave every
other byte as it is, and as a diff.  An edit counts only if reading the file again gives exactly what was wanted."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlops_cli import yamlfile
from mlops_cli.checks.audit.model import Audited, Undeclared
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.document import Document
from mlops_cli.core.errors import UserError
from mlops_cli.core.paths import check_path, is_pattern
from mlops_cli.fsio.atomic import read_file, write_file
from mlops_cli.fsio.paths import Root
from mlops_cli.pipeline.spec import Pipeline, Stage

MANY = 8  # files of one folder that are named; of more the folder is
FOLLOWS = b'# mlops follows DVC: '  # how a pipeline begins that another tool's is the source of
_LISTS = ('deps', 'code', 'outs')


@dataclass(frozen=True)
class Patch:
    """``files``: path of a pipeline file -> its bytes before and after.  ``left``: what has to be done by hand, one sentence
    each."""

    files: Mapping[str, tuple[bytes, bytes]] = field(default_factory=dict)
    left: tuple[str, ...] = ()

    @property
    def diff(self) -> str:
        """Unified, as ``git apply`` takes it."""
        parts: list[str] = []
        for path, (before, after) in self.files.items():
            texts = (before.decode().splitlines(keepends=True), after.decode().splitlines(keepends=True))
            for line in difflib.unified_diff(*texts, f'a/{path}', f'b/{path}'):
                parts.append(line if line.endswith('\n') else f'{line}\n\\ No newline at end of file\n')
        return ''.join(parts)


def patch_of(root: Root, pipeline: Pipeline, found: Iterable[Audited]) -> Patch:
    """Raises nothing that has to do with what stands in the files: what cannot be edited is left to a person."""
    wanted: dict[tuple[str, str], dict[str, dict[str, None]]] = {}
    left: dict[str, None] = {}
    for one in found:
        stage = pipeline.stages[one.stage]
        lists = wanted.setdefault((stage.where.file, stage.group), {name: {} for name in _LISTS})
        for name, paths in _additions(root, one.undeclared).items():
            for path in paths:
                if (written := _written(stage, path)) is not None:
                    lists[name][written] = None
                else:
                    left[f'{path} cannot stand in {stage.where.file}: give it another name'] = None
    files: dict[str, tuple[bytes, bytes]] = {}
    for (file, group), lists in wanted.items():
        if not any(lists.values()):
            continue
        try:
            before, now = files.get(file) or (read_file(root, file, yamlfile.PIPELINE.size),) * 2
            for name, entries in lists.items():
                now = _added(now, file, group, name, list(entries)) if entries else now
            files[file] = before, now
        except (UserError, OSError, ValueError) as error:
            left[f'stage {group} in {file} has to be edited by hand: {error}'] = None
    return Patch({file: pair for file, pair in files.items() if pair[0] != pair[1]}, tuple(left))


def write_patch(root: Root, patch: Patch) -> tuple[str, ...]:
    """The files that were written.  Raises UserError where one changed meanwhile, OSError."""
    for path, (before, _) in patch.files.items():
        if read_file(root, path, yamlfile.PIPELINE.size) != before:
            raise UserError(f'{path} was edited while the stages ran, so nothing was written to it', hint='mlops audit again')
    for path, (_, after) in patch.files.items():
        write_file(root, path, after)
    return tuple(patch.files)


def _additions(root: Root, undeclared: Sequence[Undeclared]) -> dict[str, list[str]]:
    """List of the stage -> paths that belong into it; folders in place of many files of theirs."""
    inside = [one for one in undeclared if not one.outside]
    reads = [one.path for one in inside if one.kind == 'read']
    return {
        'deps': _folded(root, reads),
        'code': [one.path for one in inside if one.kind == 'code'],
        'outs': _folded(root, [one.path for one in inside if one.kind == 'write']),
    }


def _folded(root: Root, paths: Sequence[str]) -> list[str]:
    """A folder for its files, where they are many, or all that it has and more than two."""
    by_folder: dict[str, list[str]] = {}
    for path in paths:
        by_folder.setdefault(os.path.dirname(path), []).append(path)
    found: list[str] = []
    for folder, files in by_folder.items():
        every = folder and len(files) > 2 and len(files) == len(os.listdir(os.path.join(root.path, folder)))
        if folder and (every or len(files) > MANY):
            found.append(folder)
        else:
            found += files
    return [path for path in found if not any(path.startswith(f'{other}/') for other in found)]


def _written(stage: Stage, path: str) -> str | None:
    """As it stands in the file, relative to the stage's folder; None for a name that no pipeline can hold."""
    try:
        check_path(path)
        path.encode()
    except ValueError:
        return None
    if '${' in path:
        return None
    return os.path.relpath(path, stage.wdir) if stage.wdir != '.' else path


def _entry(name: str, path: str) -> Any:
    if is_pattern(path):
        if name != 'deps':
            raise ValueError(f'{path} would be taken for a pattern')
        return {'path': path}
    return path


def _added(data: bytes, file: str, group: str, name: str, paths: list[str]) -> bytes:
    """The file with paths added to a list of a stage.  Raises UserError, ValueError."""
    document = yamlfile.read(data, file, limits=yamlfile.PIPELINE)
    if data.startswith(FOLLOWS):
        raise ValueError('it follows dvc.yaml, so edit that')
    stage: tuple[str, ...] = ('stages', group)
    body = document.value['stages'][group]
    if isinstance(body, dict) and 'do' in body:
        stage, body = (*stage, 'do'), body['do']
    if not isinstance(body, dict):
        raise ValueError('it is no mapping')
    there = body.get(name) or []
    target = (*stage, name)
    if name == 'code' and isinstance(there, dict):
        there, target = there.get('paths') or [], (*target, 'paths')
    if not isinstance(there, list):
        raise ValueError(f'its {name} is no list')
    new = [entry for path in paths if (entry := _entry(name, path)) not in there]
    if not new:
        return data
    edited = _in_front(document, target, body, there, new)
    if edited is not None:
        return edited
    return yamlfile.edit_value(data, target, [*there, *new], file=file)


def _in_front(
    document: Document, target: tuple[str, ...], body: Mapping[str, Any], there: list[Any], new: list[Any]
) -> bytes | None:
    """The list with entries before those it has, or a new one behind the command; None where that is not what comes of it."""
    text = document.text
    written = [yamlfile.flow(entry) for entry in new]
    if there:
        at = document.index(target)
        if text[at] == '[':
            edited = f'{text[: at + 1]}{", ".join(written)}, {text[at + 1 :]}'
        else:
            blanks = text[text.rfind('\n', 0, at) + 1 : at]
            edited = text[:at] + ''.join(f'- {one}\n{blanks}' for one in written) + text[at:]
    else:
        keys = list(body)
        first = next((index for index, key in enumerate(keys) if key in ('cmd', 'argv')), -1) + 1
        if target[-1] in body or target[-2] == 'code' or first >= len(keys):
            return None
        at = document.index((*target[:-1], keys[first]), key=True)
        blanks = text[text.rfind('\n', 0, at) + 1 : at]
        if blanks.strip():
            return None
        edited = f'{text[:at]}{target[-1]}: [{", ".join(written)}]\n{blanks}{text[at:]}'
    data = edited.encode()
    again, errors = yamlfile.examine(data, document.file, limits=yamlfile.PIPELINE)
    return data if again is not None and not errors and _is_wanted(document, again, target, [*new, *there]) else None


def _is_wanted(before: Document, after: Document, target: tuple[str, ...], entries: list[Any]) -> bool:
    """Whether nothing but the list differs."""
    wanted = _with(before.value, target, entries)
    return bool(after.value == wanted)


def _with(value: Any, path: tuple[str, ...], new: Any) -> Any:
    return new if not path else {**value, path[0]: _with(value.get(path[0]), path[1:], new)}
