"""The one walk over what a stage depends on.  It yields entries; the key and every explanation are read off them.

What other stages make is left open here (a Hole), because their outputs may not exist yet: ``fill`` closes the holes
with references, from the workspace, a pin, or the store, whoever knows them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mlops_cli.core.digest import Digest
from mlops_cli.core.manifest import ABSENT, Entry, Manifest, absent_entry, value_entry
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint.closure import Found, ImportCache, find_code
from mlops_cli.fingerprint.files import Workspace
from mlops_cli.fingerprint.globs import fixed_part, glob_pattern, is_glob
from mlops_cli.fingerprint.params import MISSING, Params
from mlops_cli.fingerprint.pyast import meaning
from mlops_cli.pipeline.spec import Dep, Pipeline, Stage
from mlops_cli.store.tree import find, walk

Reader = Callable[[Digest], bytes]


@dataclass(frozen=True, slots=True)
class Hole:
    """An input that ``producer`` makes.  ``output``: the path it declares.  ``subpath``: the part of that folder that is
    meant, '' for all of it; ``pattern``: only its files that match (a regular expression over whole relative paths)."""

    path: str
    producer: str
    output: str
    subpath: str = ''
    pattern: str = ''


@dataclass(frozen=True, slots=True)
class Draft:
    """A stage's manifest with holes.  ``inputs``: path -> reference of what was read from the workspace (data and code).
    ``code``: path -> digest of the bytes of each code entry.  ``missing``: inputs that are not here and nobody makes.
    ``elsewhere``: tracked inputs that are not here, taken from their record.  ``unknown``: what of the code could not be followed."""

    stage: Stage
    entries: tuple[Entry, ...]
    holes: tuple[Hole, ...] = ()
    inputs: Mapping[str, ObjectRef] = field(default_factory=dict)
    code: Mapping[str, Digest] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    elsewhere: Mapping[str, ObjectRef] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    found: Found | None = None

    @property
    def producers(self) -> tuple[str, ...]:
        """Names of the stages whose outputs are waited for, each once."""
        return tuple(dict.fromkeys(hole.producer for hole in self.holes))


class Describer:
    """Makes drafts of stages; remembers what several stages share.  Reads files, writes nothing, runs nothing."""

    def __init__(
        self,
        pipeline: Pipeline,
        workspace: Workspace,
        params: Params,
        environ: Mapping[str, str],
        *,
        tracked: Mapping[str, ObjectRef],
        in_git: Callable[[str], tuple[str, ...]],
    ) -> None:
        self.pipeline = pipeline
        self.workspace = workspace
        self.params = params
        self.environ = environ
        self.tracked = tracked
        self.in_git = in_git
        self.makers = {output.path: stage.name for stage in pipeline.stages.values() for output in stage.outputs}
        self.made = frozenset(self.makers)
        self.groups = pipeline.groups
        self._folders = {folder for path in self.makers for folder in _parents(path)}
        self._imports = ImportCache()
        self._meanings: dict[tuple[Digest, bool], Digest | None] = {}

    def maker_of(self, path: str) -> tuple[str, str] | None:
        """(stage, output) that makes a path or a folder around it."""
        for candidate in (path, *_parents(path)):
            if candidate in self.makers:
                return self.makers[candidate], candidate
        return None

    def describe(self, stage: Stage) -> Draft:
        """The walk.  Raises UserError for inputs that cannot be read (a pipe, a link out of the project)."""
        draft = _Walk(self, stage)
        draft.commands()
        draft.data()
        draft.code()
        draft.parameters()
        draft.surroundings()
        draft.outputs()
        return draft.result()

    def meaning_of(self, path: str, ref: ObjectRef, docstrings: bool) -> Digest | None:
        known = (ref.digest, docstrings)
        if known not in self._meanings:
            self._meanings[known] = meaning(read_file(self.workspace, path), docstrings=docstrings)
        return self._meanings[known]


class _Walk:
    """One stage's walk; the methods are its steps, in order."""

    def __init__(self, shared: Describer, stage: Stage) -> None:
        self.shared = shared
        self.stage = stage
        self.entries: dict[tuple[str, str], Entry] = {}
        self.holes: dict[str, Hole] = {}
        self.inputs: dict[str, ObjectRef] = {}
        self.code_bytes: dict[str, Digest] = {}
        self.missing: list[str] = []
        self.elsewhere: dict[str, ObjectRef] = {}
        self.found: Found | None = None
        self.unknown: tuple[str, ...] = ()

    def put(self, entry: Entry) -> None:
        self.entries[entry.sort_key] = entry

    def commands(self) -> None:
        command = self.stage.command
        where = {} if self.stage.wdir == '.' else {'wdir': self.stage.wdir}
        if command.kind == 'argv':
            self.put(value_entry('command', 'argv', {'argv': list(command.words), **where}))
            return
        for number, text in enumerate(command.words):
            name = 'cmd' if len(command.words) == 1 else f'cmd[{number}]'
            self.put(value_entry('command', name, {'cmd': text, 'shell': '/bin/sh -e', **where}))

    def data(self) -> None:
        for dep in self.stage.deps:
            if dep.kind == 'stage':
                self._stage_dep(dep)
            elif dep.kind == 'glob':
                self._glob_dep(dep.value)
            else:
                self._path_dep(dep.value)

    def _stage_dep(self, dep: Dep) -> None:
        for name in self.shared.groups.get(dep.value, (dep.value,)):
            for output in self.shared.pipeline.stages[name].outputs:
                self.holes[output.path] = Hole(output.path, name, output.path)

    def _path_dep(self, path: str) -> None:
        if made := self.shared.maker_of(path):
            producer, output = made
            self.holes[path] = Hole(path, producer, output, path[len(output) + 1 :])
        elif path in self.shared._folders:
            self._shared_folder(path)
        else:
            self._file_or_folder(path)

    def _shared_folder(self, folder: str) -> None:
        """A folder that stages write into means their outputs plus what git tracks there; the rest is nobody's input."""
        self.put(value_entry('data', f'{folder}/', {'folder': 'outputs and tracked files'}))
        for path, maker in self.shared.makers.items():
            if path.startswith(folder + '/'):
                self.holes[path] = Hole(path, maker, path)
        for path in self.shared.in_git(folder):
            if not self.shared.maker_of(path):
                self._file_or_folder(path)

    def _glob_dep(self, pattern: str) -> None:
        self.put(value_entry('data', pattern, {'glob': pattern}))
        expression = glob_pattern(pattern)
        matches = re.compile(expression).fullmatch
        fixed = fixed_part(pattern)
        for path, maker in self.shared.makers.items():
            if matches(path):
                self.holes[path] = Hole(path, maker, path)
            elif fixed == path or fixed.startswith(path + '/') or path.startswith(fixed + '/' if fixed else ''):
                if not any(matches(parent) for parent in _parents(path)):
                    self.holes[f'{path}::{pattern}'] = Hole(f'{path}::{pattern}', maker, path, pattern=expression)
        for path in self.shared.workspace.glob(pattern):
            if not self.shared.maker_of(path):
                self._file_or_folder(path)

    def _file_or_folder(self, path: str) -> None:
        ref = self.shared.workspace.ref(path)
        if ref is None and (ref := self.shared.tracked.get(path)) is not None:
            self.elsewhere[path] = ref
        elif ref is not None:
            self.inputs[path] = ref
        if ref is None:
            self.missing.append(path)
            self.put(absent_entry('data', path))
        else:
            self.put(Entry('data', path, ref.identity))

    def code(self) -> None:
        spec = self.stage.code
        paths: dict[str, None] = {}
        if spec.auto:
            made = self.shared.maker_of
            self.found = find_code(
                self.stage.command,
                self.stage.wdir,
                self.shared.workspace.root.path,
                environ=self.shared.environ,
                declared_outputs=self.shared.made,
                covered=self._covered,
                cache=self.shared._imports,
            )
            self.unknown = self.found.unknown
            paths |= dict.fromkeys(path for path in self.found.files if not made(path))
        for declared in spec.paths:
            paths |= dict.fromkeys(self._expand(declared))
        for path in paths:
            self._code_entry(path)

    def _covered(self, path: str) -> bool:
        """An input already, by its own name or that of a folder around it, or a file whose parameters are declared."""
        inputs = self.entries.keys() | {('data', hole.path) for hole in self.holes.values()}
        declared = any(('data', name) in inputs for name in (path, *_parents(path)))
        return declared or any(ref.file == path for ref in self.stage.params)

    def _expand(self, declared: str) -> tuple[str, ...]:
        """The files that ``code: [path]`` means: a file, all files of a folder, or a glob's."""
        workspace = self.shared.workspace
        if is_glob(declared):
            self.put(value_entry('code', declared, {'glob': declared}))
            return workspace.glob(declared)
        if os.path.isdir(os.path.join(workspace.root.path, declared)):
            return workspace.glob(f'{declared}/**')
        return (declared,)

    def _code_entry(self, path: str) -> None:
        ref = self.shared.workspace.ref(path)
        if ref is None:
            self.missing.append(path)
            self.put(absent_entry('code', path))
            return
        self.entries.pop(('data', path), None)
        self.inputs[path] = ref
        self.code_bytes[path] = ref.identity
        digest = None
        if path.endswith('.py') and self.stage.code.mode == 'meaning' and ref.kind != 'tree':
            digest = self.shared.meaning_of(path, ref, self.stage.code.docstrings)
            if digest is None:
                self.unknown = (*self.unknown, f'{path} is Python that this interpreter cannot parse: its bytes count')
        self.put(Entry('code', path, digest or ref.identity))

    def parameters(self) -> None:
        for ref in self.stage.params:
            value = self.shared.params.value(ref.file, ref.key)
            name = f'{ref.file}:{ref.key}' if ref.key is not None else ref.file
            self.put(absent_entry('param', name) if value is MISSING else value_entry('param', name, value))

    def surroundings(self) -> None:
        environ = self.shared.environ
        for name in self.stage.env:
            value = environ.get(name)
            self.put(absent_entry('environment', name) if value is None else value_entry('environment', name, value))
        for name in self.stage.secrets:
            self.put(value_entry('environment', f'secret:{name}', True))
        if lock := self.stage.environment:
            ref = self.shared.workspace.ref(lock.path)
            if ref is None:
                self.missing.append(lock.path)
            else:
                self.inputs[lock.path] = ref
            self.put(Entry('environment', f'{lock.kind}:{lock.path}', ref.identity if ref else ABSENT))

    def outputs(self) -> None:
        for output in self.stage.outputs:
            self.put(value_entry('output', output.path, {'persist': output.persist}))

    def result(self) -> Draft:
        return Draft(
            self.stage,
            tuple(self.entries.values()),
            tuple(self.holes.values()),
            self.inputs,
            self.code_bytes,
            tuple(dict.fromkeys(self.missing)),
            self.elsewhere,
            self.unknown,
            self.found,
        )


def fill(draft: Draft, made: Mapping[str, ObjectRef], read: Reader) -> Manifest:
    """The manifest, with each hole closed by what its producer made.

    ``made``: declared output path -> reference, of every producer.  ``read``: bytes of a tree node by digest.
    Raises KeyError where a producer's output is unknown, OSError or ValueError from ``read``."""
    entries = {entry.sort_key: entry for entry in draft.entries}

    def put(entry: Entry) -> None:
        entries[entry.sort_key] = entry

    for hole in draft.holes:
        ref = made[hole.output]
        if hole.pattern:
            matches = re.compile(hole.pattern).fullmatch
            for relative, node in walk(ref, read) if ref.kind == 'tree' else ():
                path = f'{hole.output}/{relative}'
                if node.digest is not None and node.kind in ('file', 'exec') and matches(path):
                    put(Entry('data', path, ObjectRef(node.digest, node.size, node.kind).identity))
            continue
        part = find(ref, hole.subpath, read) if hole.subpath else ref
        put(absent_entry('data', hole.path) if part is None else Entry('data', hole.path, part.identity))
    return Manifest.of(entries.values())


def read_file(workspace: Workspace, path: str) -> bytes:
    """The bytes of a regular file of the project, followed to where a link inside the project leads.  Raises OSError, UserError."""
    with open(workspace.open(path), 'rb') as file:
        return file.read()


def _parents(path: str) -> tuple[str, ...]:
    """``a/b/c`` -> ``a/b``, ``a``."""
    parts = path.split('/')
    return tuple('/'.join(parts[:length]) for length in range(len(parts) - 1, 0, -1))
