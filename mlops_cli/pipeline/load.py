"""pipeline.yaml as a Pipeline, or every mistake in it at once, each with its place.  Changes no file and runs nothing."""
from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from mlops_cli import yamlfile
from mlops_cli.core import layout
from mlops_cli.core.collector import without_collector
from mlops_cli.core.document import Document
from mlops_cli.core.errors import UserError, Where
from mlops_cli.core.paths import join_path
from mlops_cli.core.scalars import kind
from mlops_cli.fsio.errors import machine_error
from mlops_cli.fsio.paths import Root
from mlops_cli.pipeline.build import Builder
from mlops_cli.pipeline.check import check, duplicates
from mlops_cli.pipeline.expand import instances
from mlops_cli.pipeline.sentences import Teller
from mlops_cli.pipeline.sources import Overlay, Part, Path, Problems, Sources, scope_of
from mlops_cli.pipeline.spec import Pipeline, Stage
from mlops_cli.pipeline.surely import Checker

FilePath = str | os.PathLike[str]
SCHEMA_FILE = 'schema.json'
_SHORTEST = 'the shortest pipeline is: stages: {hello: {cmd: echo hello}}'
FILES_LIMIT = 100  # pipeline files that include each other
STEPS = 4_000  # of checking before the library for it pays, which takes as long to load as some of its steps


def load(root: FilePath, *, file: str = layout.PIPELINE_FILE, environ: Mapping[str, str],
         overlay: Overlay | None = None) -> Pipeline:
    """The pipeline in the folder ``root``, templates, foreach, matrix and includes resolved.

    ``environ``: the environment, of which templates see what a stage declares.  ``overlay``: (parameter file, dotted key) ->
    value of ``--set``, which templates see too.  Raises UserErrors holding every mistake."""
    return load_from(root, file, environ, overlay)[0]


def load_from(root: FilePath, file: str, environ: Mapping[str, str], overlay: Overlay | None,
              given: Mapping[str, bytes] | None = None) -> tuple[Pipeline, Sources]:
    """As :func:`load`, and what it was made from.  ``given``: what files hold in place of what they hold on disk."""
    problems = Problems()
    try:
        opened = Root(root)
    except OSError as error:
        raise machine_error(error, 'open the project') from None
    with opened, without_collector():
        sources = Sources(opened, overlay or {}, given)
        documents = _documents(file, sources, problems)
        pipeline = _assemble(documents, root, sources, environ, problems)
    problems.raise_if_any()
    return pipeline, sources


@cache
def schema() -> dict[str, Any]:
    """The schema of pipeline.yaml: pipeline.schema.yaml, as docs/generate.py wrote it beside this file to be read quickly."""
    with open(os.path.join(os.path.dirname(__file__), SCHEMA_FILE), 'rb') as file:
        value: dict[str, Any] = json.load(file)
    return value


@cache
def _validator(templates: bool) -> Any:
    """``templates``: whether a ${...} may stand where something else than text is expected."""
    import jsonschema_rs

    return jsonschema_rs.Draft202012Validator(_schema(templates))


@cache
def _checker(templates: bool) -> Checker:
    """What spares most projects the validator, which takes longer to load.  ``templates``: as there."""
    return Checker(_schema(templates), STEPS)


def _schema(templates: bool) -> dict[str, Any]:
    found = schema()
    return found if templates else {**found, '$defs': {**found['$defs'], 'template': False}}


# Files

class _File:
    """A pipeline file that could be read.  ``broken``: its stages that the schema refuses."""

    def __init__(self, document: Document, folder: str, broken: set[str]) -> None:
        self.document = document
        self.folder = folder
        self.broken = broken

    @property
    def stages(self) -> Mapping[str, Any]:
        found = self.document.value.get('stages')
        return found if isinstance(found, Mapping) else {}


def _documents(file: str, sources: Sources, problems: Problems) -> list[_File]:
    """The pipeline file and those it includes, in the order they are read."""
    found: list[_File] = []
    seen: dict[str, Where] = {}
    waiting: list[tuple[str, Where | None]] = [(file, None)]
    while waiting:
        rel, asked = waiting.pop(0)
        if rel in seen:
            problems.add(f'{rel} is included already, at {seen[rel]}', asked or Where(rel), 'include each file once')
            continue
        if len(seen) >= FILES_LIMIT:
            problems.add(f'more than {FILES_LIMIT} pipeline files', asked or Where(rel))
            break
        seen[rel] = asked or Where(rel)
        with problems.caught(asked or Where(rel)):
            if one := _read(rel, asked, sources, problems):
                found.append(one)
                waiting += _included(one, problems)
    return found


def _read(rel: str, asked: Where | None, sources: Sources, problems: Problems) -> _File | None:
    data = sources.bytes_of(rel, yamlfile.PIPELINE.size)
    if data is None and asked is None:
        raise UserError(f'there is no {rel} in {sources.root.path}', hint='mlops init makes one', where=Where(rel))
    if data is None:
        raise UserError(f'there is no file {rel}', where=asked, hint='paths are relative to the folder of the pipeline file')
    document, mistakes = yamlfile.examine(data, rel, limits=yamlfile.PIPELINE)
    problems.errors += mistakes
    if document is None:
        return None
    folder = rel.rpartition('/')[0] or '.'
    if document.value is None:
        problems.add('the file is empty', Where(rel, 1, 1), _SHORTEST)
        return None
    if not isinstance(document.value, Mapping):
        problems.add(f'a pipeline is a mapping with the key stages, this is {kind(document.value)}', document.where(),
                     _SHORTEST)
        return None
    violations = [] if _checker(True).surely(document.value) else list(_validator(True).iter_errors(document.value))
    version = document.value.get('version')
    if isinstance(version, int) and not isinstance(version, bool) and version > 1:  # the rest may be right in that version
        problems.add(f'this file is in version {version} of the format, and this mlops reads version 1',
                     document.where(('version',)), 'update mlops')
        return None
    doubtful = _stages_at(document, mistakes)
    teller = Teller(schema(), lambda path, key: document.where(path, key=key), _about)
    said = {error.where for error in mistakes}
    problems.errors += [error for error in teller.tell([one for one in violations if not _follows(one, doubtful)])
                        if error.where not in said]
    if not violations and not ('stages' in document.value or 'include' in document.value):
        problems.add('the key stages is missing', document.where(), _SHORTEST)
    return _File(document, folder, _broken(document, violations) | doubtful)


def _about(path: Iterable[str | int]) -> str:
    head = list(path)[:2]
    return f'stage {head[1]}: ' if len(head) == 2 and head[0] == 'stages' else ''


def _stages_at(document: Document, mistakes: Iterable[UserError]) -> set[str]:
    """The stages that mistakes of the YAML stand in: something of them was left out."""
    stages = document.value.get('stages')
    if not isinstance(stages, Mapping) or not mistakes:
        return set()
    starts = sorted((document.where(('stages', name), key=True), name) for name in stages)
    before = [bisect_right(starts, error.where, key=lambda start: start[0]) for error in mistakes if error.where]
    return {starts[number - 1][1] for number in before if number}


def _follows(violation: Any, doubtful: set[str]) -> bool:
    """Whether what is missing may be what was left out."""
    path = violation.instance_path
    return violation.kind.name in ('oneOf', 'required') and path[:1] == ['stages'] and not doubtful.isdisjoint(path[1:2])


def _broken(document: Document, violations: Iterable[Any]) -> set[str]:
    """The stages that cannot be looked at further, all of them after a mistake that concerns all."""
    stages = document.value.get('stages')
    every = set(stages) if isinstance(stages, Mapping) else set()
    found: set[str] = set()
    for violation in violations:
        path = violation.instance_path
        if path[:1] == ['stages'] and len(path) > 1:
            found.add(path[1])
        elif path == ['stages'] and violation.kind.name == 'propertyNames':
            found.add(violation.kind.value.instance)
        elif path and path[0] in ('version', 'params', 'vars'):
            return every
    return found


def _included(file: _File, problems: Problems) -> list[tuple[str, Where | None]]:
    found: list[tuple[str, Where | None]] = []
    written = file.document.value.get('include')
    for number, text in enumerate(written if isinstance(written, list) else ()):
        where = file.document.where(('include', number))
        if isinstance(text, str) and text:
            try:
                found.append((join_path(file.folder, text), where))
            except ValueError as error:
                problems.add(f'include: "{text[:80]}" {error}', where)
    return found


# Stages

def _assemble(files: list[_File], root: FilePath, sources: Sources, environ: Mapping[str, str], problems: Problems) -> Pipeline:
    stages: dict[str, Stage] = {}
    axes: dict[str, tuple[str, ...]] = {}
    broken: set[str] = set()
    places: dict[str, list[Where]] = {}
    for file in files:
        scope, params, complete = scope_of(file.document, file.folder, sources, problems)
        part = Part(file.document, file.folder, params, scope, complete)
        for group, raw in file.stages.items():
            places.setdefault(group, []).append(part.where(('stages', group), key=True))
            made = [] if group in file.broken or not complete else _stages(part, group, raw, sources, environ, problems, axes)
            if not made or len(places[group]) > 1:
                broken.add(group)
            for stage in made:
                if stages.setdefault(stage.name, stage) is not stage and stage.name != group:
                    problems.add(f'stage {group} makes {stage.name}, which is there already', stage.where,
                                 f'the other one stands at {stages[stage.name].where}')
    for file in files:
        if 'metrics' not in file.document.value and 'plots' not in file.document.value:
            continue
        from mlops_cli.pipeline import tops  # few pipelines have them

        tops.take(file.document, file.folder, stages, not broken, problems)
    _not_both(stages, problems)
    duplicates(places, problems)
    first = files[0].document.value if files else {}
    pipeline = Pipeline(_text(first.get('name')) or os.path.basename(os.path.realpath(root)), stages, tuple(sources.files),
                        tuple(sources.absent), _text(first.get('desc')))
    idle = sources.idle - sources.used
    check(pipeline, axes, broken, [file for file in pipeline.files if file not in idle], problems)
    return pipeline


def _not_both(stages: Mapping[str, Stage], problems: Problems) -> None:
    """A name is that of a stage, or of a group of instances."""
    for stage in stages.values():
        if stage.group != stage.name and stage.group in stages:
            problems.add(f'stage {stage.name}: {stage.group} is a stage by itself, at {stages[stage.group].where}', stage.where,
                         'a stage, or instances of it: give one of them another name')


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ''


def _stages(part: Part, group: str, raw: Mapping[str, Any], sources: Sources, environ: Mapping[str, str], problems: Problems,
            axes: dict[str, tuple[str, ...]]) -> list[Stage]:
    """The instances of a stage; none if something is wrong with one of them."""
    expanded = instances(part, group, raw, environ, problems)
    if not expanded:
        return []
    builder = Builder(part, group, expanded[0].raw, expanded[0].path, sources, _check_resolved, problems)
    axes[group] = expanded[0].axes
    made = [builder.build(instance) for instance in expanded]
    found = [stage for stage in made if stage is not None]
    return found if len(found) == len(made) else []


def _check_resolved(group: str, found: Mapping[str, Any], locate: Callable[[Path, bool], Where]) -> list[UserError]:
    """Keys of a stage whose templates are replaced, against the schema; ``locate`` takes paths below the stage."""
    stage = dict(found) if 'argv' in found else {'cmd': 'true', **found}
    checked = {'stages': {group: stage}}
    if _checker(False).surely(checked) or (validator := _validator(False)).is_valid(checked):
        return []
    teller = Teller(schema(), lambda path, key: locate(tuple(path)[2:], key), _about)
    return [UserError(error.message, where=error.where, hint=error.hint or 'that is what its ${...} became')
            for error in teller.tell(list(validator.iter_errors(checked)))]
