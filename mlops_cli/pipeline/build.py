"""One instance as values: templates resolved, paths relative to the project, times and sizes as numbers."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mlops_cli.core import layout
from mlops_cli.core.errors import UserError, Where
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.paths import is_pattern, join_path, join_pattern
from mlops_cli.core.scalars import kind
from mlops_cli.core.units import forgotten_unit, parse_duration, parse_size
from mlops_cli.pipeline import paramfile
from mlops_cli.pipeline.expand import Instance
from mlops_cli.pipeline.sources import Part, Path, Problems, Sources, with_vars
from mlops_cli.pipeline.spec import (
    Code,
    Command,
    Dep,
    Environment,
    Metric,
    Model,
    Output,
    ParamRef,
    Resources,
    Retry,
    Stage,
    Used,
)
from mlops_cli.pipeline.template import Scope, TemplateError, render_argv, render_command, resolve

_CODE, _RESOURCES, _RETRY = Code(), Resources(), Retry()  # one for all stages that say nothing of it
_NOTHING: Mapping[str, Any] = {}
_OWN_WAY = ('cmd', 'argv', 'vars', 'matrix', 'wdir')  # keys whose templates are not simply replaced
PLOT_KEYS = ('x', 'y', 'x_label', 'y_label', 'title', 'kind', 'template', 'header')
PROGRESS_SUFFIXES = ('.jsonl', '.ndjson', '.csv', '.tsv')
# Names that would silently be tokens.
_RESOURCE_NAMES = {'cpu': 'cpus', 'core': 'cpus', 'cores': 'cpus', 'threads': 'cpus', 'mem': 'memory', 'ram': 'memory',
                   'memory_bytes': 'memory', 'gpu': 'gpus', 'accelerators': 'gpus', 'vram': 'gpu_memory',
                   'gpu_mem': 'gpu_memory', 'gpu_memory_bytes': 'gpu_memory'}

Check = Callable[[str, Mapping[str, Any], Callable[[Path, bool], Where]], list[UserError]]


class Builder:
    """Builds the instances of one stage of the file; what they share is worked out once.

    ``check``: validates keys of a stage whose templates are replaced."""

    def __init__(self, part: Part, group: str, raw: Mapping[str, Any], path: Path, sources: Sources,
                 check: Check, problems: Problems) -> None:
        self.part = part
        self.group = group
        self.raw = raw
        self.path = path
        self.sources = sources
        self.problems = problems
        self.check = check
        having = [key for key, value in raw.items() if _has_template(value)]
        self.plain = not having and 'vars' not in raw  # no parameter is looked up
        self.templated = tuple(key for key in having if key not in _OWN_WAY)
        self.shared = 'wdir' not in having  # paths read the same in all instances
        self.known: dict[str, Any] = {}
        self.places: Mapping[str, Where] = part.document.places(path)
        self.wdir = part.folder
        self.values: Mapping[str, Any] = raw

    def build(self, instance: Instance) -> Stage | None:
        """The stage, None if something is wrong with it."""
        before = len(self.problems.errors)
        used = {(one.file, one.key): one for one in instance.used}
        noting = instance.scope if self.plain else instance.scope.noting(
            lambda one: used.setdefault((one.file, one.key), one))
        self.wdir = self._wdir(noting)
        scope = self._scope(noting)
        self.values = self._resolved(scope)
        if len(self.problems.errors) > before:
            return None
        stage = self._stage(instance, scope, used)
        return stage if len(self.problems.errors) == before else None

    def _stage(self, instance: Instance, scope: Scope, used: Mapping[tuple[str, str], Used]) -> Stage:
        values, get = self.values, self._get
        item = instance.item
        needs = tuple(values.get('needs', ()))
        places = {**self.places} | {f'needs.{number}': self.part.where((*self.path, *here)) for number, (here, _)
                                in enumerate(_numbered(needs, 'needs'))} if needs else self.places
        given: dict[str, Any] = {field: values[field] for field in _AS_WRITTEN if field in values}
        given |= {field: tuple(values[field]) for field in ('env', 'mutex') if field in values}
        given |= {field: get(key, work.__get__(self), None) for key, (field, work) in _WORKED_OUT.items() if key in self.raw}
        return Stage(
            name=instance.name, group=instance.group, command=self._command(scope), wdir=self.wdir, used=tuple(used.values()),
            outputs=get('outs', self._outs, ()) + get('metrics', self._metrics, ()) + get('plots', self._plots, ()),
            needs=needs, where=self.part.where(('stages', self.group), key=True), places=places,
            axes=_NOTHING if item is None else dict(item) if isinstance(item, Mapping) else {'item': item},
            **{'resources': _RESOURCES, 'retry': _RETRY, 'code': _CODE, 'meta': _NOTHING, **given})

    def _get(self, key: str, work: Callable[[Any, Path], Any], default: Any) -> Any:
        """The value of a key; worked out once for all instances where nothing of it can differ."""
        if key not in self.raw:
            return default
        if not self.shared or key in self.templated:
            return work(self.values[key], (key,))
        if key not in self.known:
            self.known[key] = work(self.values[key], (key,))
        return self.known[key]

    def fail(self, path: Path, message: str, hint: str = '', *, key: bool = False) -> None:
        self.problems.add(f'stage {self.group}: {message}', self.part.where((*self.path, *path), key=key), hint)

    # Templates

    def _template_error(self, error: TemplateError, path: Path) -> None:
        where = self.part.where_of(error, (*self.path, *path))
        nothing = '' if self.part.scope.values else 'values come from params.yaml and vars, and there are none'
        self.problems.add(f'stage {self.group}: {error.message}', where, error.hint or nothing)

    def _wdir(self, scope: Scope) -> str:
        if 'wdir' not in self.raw:
            return self.part.folder
        try:
            text = resolve(self.raw['wdir'], scope)
        except TemplateError as error:
            self._template_error(error, ('wdir',))
            return self.part.folder
        if not isinstance(text, str):
            self.fail(('wdir',), f'wdir has to be a path, not {kind(text)}')
            return self.part.folder
        return self._path(text, ('wdir',), 'wdir', folder=self.part.folder) or self.part.folder

    def _scope(self, scope: Scope) -> Scope:
        entries = self.raw.get('vars')
        if entries is None:
            return scope
        return with_vars(entries, scope, self.part.document, (*self.path, 'vars'), self.wdir, self.sources, self.problems)

    def _resolved(self, scope: Scope) -> Mapping[str, Any]:
        """The keys with their templates replaced, checked again where there were any."""
        keys = (*self.templated, 'argv') if isinstance(self.raw.get('argv'), str) else self.templated
        if not keys:
            return self.raw
        found: dict[str, Any] = {}
        for key in keys:
            try:
                found[key] = resolve(self.raw[key], scope)
            except TemplateError as error:
                self._template_error(error, (key,))
        self.problems.errors += self.check(self.group, found, self._locate)
        return {**self.raw, **found}

    def _locate(self, path: Path, key: bool) -> Where:
        return self.part.document.where((*self.path, *path), key=key)

    def _command(self, scope: Scope) -> Command:
        try:
            if 'argv' in self.values:
                return Command('argv', render_argv(self.values['argv'], scope))
        except TemplateError as error:
            self._template_error(error, ('argv',))
            return Command('argv', ())
        written = self.raw['cmd']
        scripts: list[str] = []
        for path, script in [(('cmd',), written)] if isinstance(written, str) else _numbered(written, 'cmd'):
            try:
                scripts.append(render_command(script.rstrip('\n'), scope) if '${' in script else script.rstrip('\n'))
            except TemplateError as error:
                self._template_error(error, path)
        return Command('shell', tuple(scripts))

    # Paths

    def _path(self, text: str, path: Path, what: str, *, folder: str | None = None, pattern: bool = False) -> str | None:
        """The path from the project's root, None with a mistake noted."""
        if '://' in text:
            self.fail(path, f'{what}: "{text[:80]}" is a URL',
                      'download it into the project, track it with mlops add PATH, and list PATH')
            return None
        if text.startswith('~/'):
            self.fail(path, f'{what}: "{text[:80]}" starts with ~, which nothing expands here', 'paths lie inside the project')
            return None
        try:
            return (join_pattern if pattern else join_path)(self.wdir if folder is None else folder, text)
        except ValueError as error:
            hint = ('paths are relative to wdir and lie in the project, '
                    f'the folder of {layout.PIPELINE_FILE}: copy the data in, or move that file up')
            root = self.sources.root.path
            if text.startswith(root + '/'):
                hint = f'write {os.path.relpath(text, os.path.join(root, self.wdir))}'
            self.fail(path, f'{what}: "{text[:80]}" {error}', hint if text[:1] == '/' or 'leaves' in str(error) else '')
            return None

    def _one_path(self, value: Any, path: Path) -> str | None:
        return self._path(value, path, str(path[-1]))

    def _progress(self, value: Any, path: Path) -> str | None:
        text = self._one_path(value, path)
        if text is not None and not text.endswith(PROGRESS_SUFFIXES):
            self.fail(path, f'progress: {text} is no file of lines', f'those end in {", ".join(PROGRESS_SUFFIXES)}')
        return text

    def _paths(self, value: Any, path: Path) -> tuple[str, ...]:
        found = (self._path(text, here, str(path[-1])) for here, text in _numbered(value, *path))
        return tuple(text for text in found if text is not None)

    def _deps(self, value: Any, path: Path) -> tuple[Dep, ...]:
        found: dict[tuple[str, str], Dep] = {}
        for here, item in _numbered(value, *path):
            where = self.part.where((*self.path, *here))
            if isinstance(item, Mapping) and 'stage' in item:
                dep = Dep('stage', item['stage'], where)
            else:
                text = item if isinstance(item, str) else item['path']
                glob = isinstance(item, str) and is_pattern(text)
                rel = self._path(text, here, 'deps', pattern=glob)
                if rel is None:
                    continue
                dep = Dep('glob' if glob else 'path', rel, where)
            if (first := found.setdefault((dep.kind, dep.value), dep)) is not dep:
                self.fail(here, f'deps: {dep.value} is listed twice, first at {first.where}', 'remove one')
        return tuple(found.values())

    def _code(self, value: Any, path: Path) -> Code:
        if value == 'bytes':
            return Code(mode='bytes')
        settings: Mapping[str, Any] = {'paths': value} if isinstance(value, list) else value
        below = path if isinstance(value, list) else (*path, 'paths')
        found = (self._path(text, here, 'code', pattern=is_pattern(text))
                 for here, text in _numbered(settings.get('paths', ()), *below))
        paths = tuple(text for text in found if text is not None)
        if settings.get('auto') is False and not settings.get('paths'):
            self.fail(path, 'code: auto is false and there are no paths, so that no code counts', 'list paths, or remove code')
        return Code(settings.get('auto', True), paths, settings.get('mode', 'meaning'), settings.get('docstrings') != 'ignore')

    # Parameters

    def _params(self, value: Any, path: Path) -> tuple[ParamRef, ...]:
        default = self.part.params or join_path(self.wdir, layout.PARAMS_FILE)
        found: dict[tuple[str, str | None], ParamRef] = {}
        for here, item in _numbered(value, *path):
            if isinstance(item, str):
                self._param(default, item, here, found)
                continue
            for written, keys in item.items():
                file = self._path(written, (*here, written), 'params')
                if file is None:
                    continue
                if not file.endswith(paramfile.SUFFIXES):
                    self.fail((*here, written), f'params: {file} is no parameter file', key=True,
                              hint=f'those end in {", ".join(paramfile.SUFFIXES)}; list other files under deps')
                elif keys is None or keys == []:
                    self._param(file, None, (*here, written), found)
                else:
                    for below, name in _numbered(keys, *here, written):
                        self._param(file, name, below, found)
        return tuple(found.values())

    def _param(self, file: str, key: str | None, path: Path, found: dict[tuple[str, str | None], ParamRef]) -> None:
        if key is not None and key.partition(':')[0].endswith(paramfile.SUFFIXES):
            name, _, below = key.partition(':')
            self.fail(path, f'params: "{key}" looks like a file', f'write {{{name}: {f"[{below}]" if below else "null"}}}')
            return
        if key is not None and not all(part.strip() for part in key.split('.')):
            self.fail(path, f'params: "{key}" has an empty name between its dots')
            return
        param = ParamRef(file, key, self.part.where((*self.path, *path)))
        if (first := found.setdefault((file, key), param)) is not param:
            self.fail(path, f'params: {key or file} is listed twice, first at {first.where}', 'remove one')

    def _secrets(self, value: Any, path: Path) -> tuple[str, ...]:
        for here, name in _numbered(value, *path):
            if name in self.raw.get('env', ()):
                self.fail(here, f'{name} is listed under env too, which records its value', 'keep it under secrets only')
        return tuple(value)

    # Outputs

    def _outs(self, value: Any, path: Path) -> tuple[Output, ...]:
        return tuple(Output(text, 'out', *_kept(more), where=where) for text, more, where in self._made(value, path))

    def _metrics(self, value: Any, path: Path) -> tuple[Output, ...]:
        return tuple(Output(text, 'metric', *_kept(more),
                            Metric(more.get('primary'), more.get('goals', {}),
                                   {name: float(number) for name, number in more.get('tolerance', {}).items()}),
                            _NOTHING, where)
                     for text, more, where in self._made(value, path))

    def _plots(self, value: Any, path: Path) -> tuple[Output, ...]:
        return tuple(Output(text, 'plot', *_kept(more),
                            plot={key: more[key] for key in PLOT_KEYS if key in more}, where=where)
                     for text, more, where in self._made(value, path))

    def _made(self, value: Any, path: Path) -> Iterator[tuple[str, Mapping[str, Any], Where]]:
        """(path, settings, place) of each entry."""
        for here, item in _numbered(value, *path):
            for written, more in [(item, {})] if isinstance(item, str) else item.items():
                at = here if isinstance(item, str) else (*here, written)
                if '*' in written or '?' in written:
                    self.fail(at, f'{path[0]}: "{written}" is a pattern; an output is one path', 'name the folder', key=True)
                elif (text := self._path(written, at, str(path[0]))) == '.':
                    self.fail(at, f'{path[0]}: an output cannot be the folder that holds the pipeline', key=True)
                elif text is not None and path[0] == 'metrics' and not text.endswith(paramfile.SUFFIXES):
                    self.fail(at, f'metrics: {text} is no file of numbers', key=True,
                              hint=f'those end in {", ".join(paramfile.SUFFIXES)}; list others under outs or plots')
                elif text is not None:
                    yield text, more, self.part.where((*self.path, *at), key=True)

    def _model(self, value: Any, path: Path) -> Model | None:
        text = self._path(value['path'], (*path, 'path'), 'model')
        if text is None:
            return None
        made = [output.path for key, work in (('outs', self._outs), ('metrics', self._metrics), ('plots', self._plots))
                for output in self._get(key, work, ())]
        if text not in made:
            self.fail((*path, 'path'), f'model: {text} is none of the outputs of the stage',
                      did_you_mean(text, made, what='outputs') or 'list it under outs')
        return Model(value['name'], text)

    # Surroundings

    def _environment(self, value: Any, path: Path) -> Environment | None:
        name, written = next(iter(value.items()))
        where = self.part.where((*self.path, *path))
        if name == 'container':
            return Environment('container', '', where, written)
        text = self._path(written, (*path, name), 'environment')
        return None if text is None else Environment(name, text, where)

    def _resources(self, value: Any, path: Path) -> Resources:
        for name in value:
            if meant := _RESOURCE_NAMES.get(name.casefold()):
                self.fail((*path, name), f'unknown resource "{name}"', f'did you mean {meant}?', key=True)
        for name in ('memory', 'gpu_memory'):
            if name in value and (wrong := forgotten_unit(name, value[name])) is not None:
                self.fail((*path, name), *wrong)
        memory, share = (parse_size(value[name]) if name in value else None for name in ('memory', 'gpu_memory'))
        gpus = value.get('gpus', 0 if share is None else 1)
        tokens = {name: count for name, count in value.items() if name not in ('cpus', 'memory', 'gpus', 'gpu_memory')}
        return Resources(float(value.get('cpus', 1)), memory, gpus, tokens, share)

    def _duration(self, value: Any, path: Path) -> float | None:
        try:
            return parse_duration(value)
        except ValueError:
            self.fail(path, f'{path[0]} has to be a time such as 90s or 1h30m, not "{value}"')
            return None

    def _retry(self, value: Any, _: Path) -> Retry:
        return Retry(value) if isinstance(value, int) else Retry(value['max'], tuple(value.get('causes', ())))


_AS_WRITTEN = ('frozen', 'always_changed', 'isolate', 'host', 'desc', 'meta')
_WORKED_OUT: Mapping[str, tuple[str, Callable[[Builder, Any, Path], Any]]] = {  # key -> field of a stage, and what makes it
    'deps': ('deps', Builder._deps),
    'code': ('code', Builder._code),
    'params': ('params', Builder._params),
    'secrets': ('secrets', Builder._secrets),
    'environment': ('environment', Builder._environment),
    'resources': ('resources', Builder._resources),
    'timeout': ('timeout_seconds', Builder._duration),
    'grace': ('grace_seconds', Builder._duration),
    'retry': ('retry', Builder._retry),
    'checkpoint': ('checkpoint', Builder._one_path),
    'caches': ('caches', Builder._paths),
    'progress': ('progress', Builder._progress),
    'model': ('model', Builder._model),
}


def _numbered(values: Any, *path: str | int) -> list[tuple[Path, Any]]:
    """The entries of a list with the paths that lead to them."""
    return [((*path, number), value) for number, value in enumerate(values)]


def _has_template(value: Any) -> bool:
    if isinstance(value, str):
        return '${' in value
    if isinstance(value, Mapping):
        return any('${' in key or _has_template(below) for key, below in value.items())
    return isinstance(value, list) and any(map(_has_template, value))


def _kept(more: Mapping[str, Any]) -> tuple[bool, bool, str, bool, str]:
    """What every kind of output may say: cache, persist, desc, push, remote."""
    return (more.get('cache', True), more.get('persist', False), more.get('desc', ''), more.get('push', True),
            more.get('remote', ''))
