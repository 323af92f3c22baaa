"""A project of ours as dvc.yaml, dvc.lock and .dvc files, so that ``dvc status`` finds up to date what is so here.

What DVC cannot express is told for each stage.  Runs nothing."""

from __future__ import annotations

import os
import posixpath
import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from mlops_cli import git
from mlops_cli.adopt.dvc import emit
from mlops_cli.adopt.dvc.hashes import Hashes
from mlops_cli.adopt.dvc.plain import escaped
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.errors import UserError
from mlops_cli.fingerprint.params import MISSING
from mlops_cli.pipeline.spec import Output, Pipeline, Stage
from mlops_cli.plan.model import Step, Verdict
from mlops_cli.run.workbench import Workbench

NAME = 'md5'
_SEVERAL = re.compile(r';|\n')
_UNSAFE = re.compile(r'[^A-Za-z0-9_-]+')
_OURS = (
    'host', 'env', 'secrets', 'environment', 'timeout_seconds', 'checkpoint', 'caches', 'progress', 'mutex', 'needs', 'model',
)  # fmt: skip
_SAID = {'environment': 'environment', 'timeout_seconds': 'timeout'}


@dataclass
class Exported:
    """``files``: path -> text.  ``names``: ours -> DVC's.  ``locked``: stages whose results are in dvc.lock, ours.
    ``contents``: paths whose contents DVC's cache has to hold.  ``check``: (stage or path, what DVC cannot express)."""

    files: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    locked: list[str] = field(default_factory=list)
    contents: list[str] = field(default_factory=list)
    check: list[tuple[str, str]] = field(default_factory=list)


class Exporter:
    """``steps``: what the plan says of each stage.  ``told``: called with what is being looked at."""

    def __init__(self, bench: Workbench, steps: Mapping[str, Step], hashes: Hashes, told: Callable[[str], None]) -> None:
        self.bench, self.steps, self.hashes, self.told = bench, steps, hashes, told
        self.made = Exported()

    def export(self) -> Exported:
        """Raises UserError, OSError."""
        pipeline, entries, locks = self.bench.pipeline, [], []
        self.made.names = _names(pipeline)
        for name in pipeline.stages:
            self.told(name)
            stage = pipeline.stages[name]
            entry = self._entry(stage)
            entries += [f'  {emit.scalar(self.made.names[name])}:', *emit.block(entry, 4)]
            if (lock := self._lock(stage, entry)) is not None:
                locks += [f'  {emit.scalar(self.made.names[name])}:', *emit.block(lock, 4)]
                self.made.locked.append(name)
                self.made.contents += [output.path for output in stage.outputs if output.cache]
        self._data()
        if entries:
            self.made.files['dvc.yaml'] = '\n'.join([*emit.block(self._tops(), 0), 'stages:', *entries, ''])
        if locks:
            self.made.files['dvc.lock'] = '\n'.join(["schema: '2.0'", 'stages:', *locks, ''])
        for path in sorted(git.ignored(self.bench.root.path, self.made.files) or ()):
            self.note(path, 'a .gitignore hides it, and DVC reads no such file: take the line out')
        return self.made

    def note(self, about: str, text: str) -> None:
        if (about, text) not in self.made.check:
            self.made.check.append((about, text))

    # dvc.yaml

    def _entry(self, stage: Stage) -> dict[str, Any]:
        entry: dict[str, Any] = {'desc': escaped(stage.desc)} if stage.desc else {}
        entry['cmd'] = self._command(stage)
        if stage.wdir != '.':
            entry['wdir'] = escaped(stage.wdir)
        if deps := self._deps(stage):
            entry['deps'] = [escaped(posixpath.relpath(path, stage.wdir)) for path in deps]
        if params := _params(stage):
            entry['params'] = params
        for role, key in (('out', 'outs'), ('metric', 'metrics'), ('plot', 'plots')):
            if outs := [_out(stage, output) for output in stage.outputs if output.role == role]:
                entry[key] = outs
        if stage.frozen:
            entry['frozen'] = True
        if stage.always_changed:
            entry['always_changed'] = True
        if stage.meta:
            entry['meta'] = dict(stage.meta)
        for name in _OURS:
            if getattr(stage, name):
                self.note(stage.name, f'DVC has no {_SAID.get(name, name)}')
        for output in stage.outputs:
            if output.remote:
                self.note(stage.name, f'{output.path} goes to the remote {output.remote} of mlops, which DVC does not know')
        if stage.isolate != 'none':
            self.note(stage.name, 'DVC runs every stage in the workspace')
        if not stage.always_changed and not entry.keys() & {'deps', 'params', 'outs', 'metrics', 'plots'}:
            self.note(stage.name, 'it has neither dependencies nor outputs, so DVC runs it each time')
        return entry

    def _tops(self) -> dict[str, Any]:
        """What the top of pipeline.yaml says of the outputs of stages."""
        reads = [one for stage in self.bench.pipeline.stages.values() for one in stage.reads]
        metrics = [escaped(one.path) for one in reads if one.role == 'metric']
        plots: list[Any] = []
        for number, one in enumerate(one for one in reads if one.role == 'plot'):
            settings = {key: escaped(value) if isinstance(value, str) else value
                        for key, value in one.plot.items() if key not in ('kind', 'header')}  # fmt: skip
            if not settings:
                plots.append(escaped(one.path))
            elif any(one.path in two for two in plots):  # one name for each chart
                y = {escaped(one.path): settings.pop('y', None)}
                plots.append({f'{escaped(str(settings.get("title") or one.path))} {number}': {**settings, 'y': y}})
            else:
                plots.append({escaped(one.path): settings})
        return {key: value for key, value in (('metrics', metrics), ('plots', plots)) if value}

    def _command(self, stage: Stage) -> Any:
        if stage.command.kind == 'argv':
            return escaped(shlex.join(stage.command.words))
        words = [escaped(word) for word in stage.command.words]
        if any(_SEVERAL.search(word) for word in words):
            self.note(stage.name, 'DVC runs it without sh -e: it goes on where a step of a command fails')
        return words[0] if len(words) == 1 and '\n' not in words[0] else words

    def _deps(self, stage: Stage) -> list[str]:
        """What it reads: declared, matched, made by the stages that it names, and its code."""
        groups = self.bench.pipeline.groups
        found: dict[str, None] = {}
        for dep in stage.deps:
            if dep.kind == 'path':
                found[dep.value] = None
            elif dep.kind == 'stage':
                makers = groups.get(dep.value, (dep.value,))
                found |= dict.fromkeys(out.path for name in makers for out in self.bench.pipeline.stages[name].outputs)
            else:
                self.note(stage.name, f'DVC knows no patterns: {dep.value} is what it matches now')
                found |= dict.fromkeys(self.bench.workspace.glob(dep.value))
        inside = {output.path for output in stage.outputs}
        code = [path for path in self.bench.drafts[stage.name].code if not _covered(path, found)]
        found |= dict.fromkeys(path for path in code if path not in inside)
        if stage.environment is not None and stage.environment.path:
            found[stage.environment.path] = None
        if '.' in found:
            self.note(stage.name, 'it depends on all of the project, which changes with each command of DVC')
        return sorted(found)

    # dvc.lock

    def _lock(self, stage: Stage, entry: Mapping[str, Any]) -> dict[str, Any] | None:
        """What is recorded, of a stage that is up to date here; None of others, which DVC will run."""
        step = self.steps.get(stage.name)
        if step is None or step.verdict is not Verdict.FRESH or stage.always_changed:
            return None
        lock: dict[str, Any] = {'cmd': _unescaped(entry['cmd'])}
        deps = [self._row(path, stage) for path in self._deps(stage)]
        outs = [self._row(output.path, stage) for output in stage.outputs]
        rows = [row for row in (*deps, *outs) if row is not None]
        if len(rows) < len(deps) + len(outs):
            self.note(stage.name, 'what it reads or makes is not all in the workspace, so it has no entry in dvc.lock')
            return None
        if deps:
            lock['deps'] = sorted((row for row in deps if row), key=lambda row: row['path'])
        if (params := self._values(stage)) is None:
            return None
        if params:
            lock['params'] = params
        if outs:
            lock['outs'] = sorted((row for row in outs if row), key=lambda row: row['path'])
        return lock

    def _row(self, path: str, stage: Stage) -> dict[str, Any] | None:
        try:
            return self.recorded(path, posixpath.relpath(path, stage.wdir))
        except UserError as error:
            self.note(stage.name, str(error))
            return None

    def recorded(self, path: str, written: str) -> dict[str, Any] | None:
        """As DVC records a file or folder; None where nothing is there."""
        value = self.hashes.of(path, NAME)
        if not value:
            return None
        row: dict[str, Any] = {'path': written, 'hash': 'md5', 'md5': value}
        if value.endswith('.dir'):
            files = [rel for rel, _ in self.hashes.rows(path, NAME)]
            size = sum(os.stat(self.bench.root.full(f'{path}/{rel}')).st_size for rel in files)
            return {**row, 'size': size, 'nfiles': len(files)}
        facts = os.stat(self.bench.root.full(path))
        return {**row, 'size': facts.st_size, **({'isexec': True} if facts.st_mode & 0o100 else {})}

    def _values(self, stage: Stage) -> dict[str, Any] | None:
        """File -> key -> value; None where one is not there."""
        found: dict[str, dict[str, Any]] = {}
        for ref in stage.params:
            value = self.bench.describer.params.value(ref.file, ref.key)
            if value is MISSING:
                self.note(stage.name, f'DVC refuses a parameter that is not there: {ref.file}:{ref.key}')
                return None
            below = found.setdefault(posixpath.relpath(ref.file, stage.wdir), {})
            below.update(value if ref.key is None else {ref.key: value})
        return found

    # .dvc files

    def _data(self) -> None:
        for path in self.bench.describer.tracked.records:
            self.told(path)
            row = self.recorded(path, posixpath.basename(path))
            if row is None:
                self.note(path, 'it is not in the workspace, so it has no .dvc file: mlops checkout brings it')
                continue
            self.made.contents.append(path)
            row.pop('isexec', None)
            self.made.files[f'{path}.dvc'] = '\n'.join(['outs:', f'- {emit.scalar(row)}', ''])


def _names(pipeline: Pipeline) -> dict[str, str]:
    """Names that DVC takes: an instance has "-" where ours has "@"."""
    found: dict[str, str] = {}
    for name in pipeline.stages:
        bare = _UNSAFE.sub('-', name).strip('-') or 'stage'
        several = (bare, *(f'{bare}-{number}' for number in range(2, 10_000)))
        found[name] = next(one for one in several if one not in found.values())
    return found


def _covered(path: str, folders: Mapping[str, None]) -> bool:
    return any(path == folder or path.startswith(f'{folder}/') for folder in folders)


def _params(stage: Stage) -> list[Any]:
    files: dict[str, list[str]] = {}
    for ref in stage.params:
        below = files.setdefault(posixpath.relpath(ref.file, stage.wdir), [])
        if ref.key is not None:
            below.append(escaped(ref.key))
    whole = {posixpath.relpath(ref.file, stage.wdir) for ref in stage.params if ref.key is None}
    found: list[Any] = []
    for file, keys in files.items():
        if file == 'params.yaml' and file not in whole:
            found += keys
        else:
            found.append({escaped(file): None if file in whole else keys})
    return found


def _out(stage: Stage, output: Output) -> Any:
    flags: dict[str, Any] = {}
    if not output.cache:
        flags['cache'] = False
    if output.persist:
        flags['persist'] = True
    if not output.push:
        flags['push'] = False
    if output.desc:
        flags['desc'] = escaped(output.desc)
    flags |= {key: value for key, value in output.plot.items() if key != 'kind' and not isinstance(value, list)}
    path = escaped(posixpath.relpath(output.path, stage.wdir))
    return {path: flags} if flags else path


def _unescaped(cmd: Any) -> Any:
    return cmd.replace('\\${', '${') if isinstance(cmd, str) else [one.replace('\\${', '${') for one in cmd]
