"""The one walk over what a stage depends on.  It yields entries; the key and every explanation are read off them.

What other stages make is left open here (a Hole), because their outputs may not exist yet: ``fill`` closes the holes
with references, from the workspace, a pin, or the store, whoever knows them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import UserError
from mlops_cli.core.manifest import ABSENT, Entry, Manifest, absent_entry, value_entry
from mlops_cli.core.paths import Pattern, inside
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint.environment import variables
from mlops_cli.fingerprint.files import Workspace
from mlops_cli.fingerprint.globs import glob_pattern, is_glob
from mlops_cli.fingerprint.holes import Hole as Hole
from mlops_cli.fingerprint.holes import Reader
from mlops_cli.fingerprint.holes import fill as fill_entries
from mlops_cli.fingerprint.params import MISSING, Params
from mlops_cli.fingerprint.parsing import NOTEBOOK, SOURCE_LIMIT, runs_notebooks
from mlops_cli.fingerprint.pyast import meaning
from mlops_cli.fingerprint.tracked import Recorded, Tracked
from mlops_cli.pipeline.spec import Dep, ParamRef, Pipeline, Stage

if TYPE_CHECKING:
    from mlops_cli.fingerprint.closure import Found, ImportCache

NOTHING: Mapping[Any, Any] = {}  # one for all drafts that have nothing there
_WRITTEN = frozenset({'.gitignore', '.gitattributes'})  # at the top of the project, by mlops itself


@dataclass(frozen=True, slots=True)
class Draft:
    """A stage's manifest with holes.  ``inputs``: path -> reference of what was read from the workspace (data and code).
    ``code``: path -> digest of the bytes of each code entry.  ``missing``: inputs that are not here and nobody makes.
    ``elsewhere``: tracked inputs of which nothing is here, taken from their record, and folders with such in them;
    ``tracked``: what has to be brought for that, path -> reference; ``nodes``: of folders that are nowhere as a whole yet.
    ``unknown``: what of the code could not be followed."""

    stage: Stage
    entries: tuple[Entry, ...]
    holes: tuple[Hole, ...] = ()
    inputs: Mapping[str, ObjectRef] = field(default_factory=dict)
    code: Mapping[str, Digest] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    elsewhere: Mapping[str, ObjectRef] = field(default_factory=dict)
    tracked: Mapping[str, ObjectRef] = field(default_factory=dict)
    nodes: Mapping[Digest, bytes] = field(default_factory=dict)
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
        read: Reader,
        model: Callable[[str], tuple[Any, Mapping[str, Any]]] = lambda _: (None, {}),
    ) -> None:
        """``tracked``: tracked data by path.  ``in_git``: folder -> files below it that git tracks.  ``read``: bytes of a tree
        node in the store; raises MissingObject, Damaged.  ``model``: of a ``NAME@ALIAS`` what counts, None where there is
        none, and what is told of it."""
        self.pipeline = pipeline
        self.workspace = workspace
        self.params = params
        self.environ = environ
        self.tracked = Tracked(tracked, workspace, read)
        self.in_git = in_git
        self.makers = {output.path: stage.name for stage in pipeline.stages.values() for output in stage.outputs}
        self.made = frozenset(self.makers)
        self.groups = pipeline.groups
        around = {path.rpartition('/')[0] for path in self.makers}
        self._folders = {above for folder in around if folder for above in (folder, *_parents(folder))}
        self._folders |= {'.'} if self.makers else set()
        self._meanings: dict[tuple[Digest, bool, bool], Digest | None] = {}
        self._model = model
        self._models: dict[str, tuple[Any, Mapping[str, Any]]] = {}
        self.asked_git = False  # whether any stage depends on what git tracks

    @property
    def shared_folders(self) -> frozenset[str]:
        """Folders that stages write into; as a dependency such a one means the outputs and the tracked files in it."""
        return frozenset(self._folders)

    @cached_property
    def made_below(self) -> dict[str, list[str]]:
        """Folder that stages write into -> the outputs in it, in the order of the pipeline."""
        found: dict[str, list[str]] = {folder: [] for folder in self._folders}
        for path in self.makers:
            for folder in (*_parents(path), '.'):
                found[folder].append(path)
        return found

    @cached_property
    def imports(self) -> ImportCache:
        """What was learnt of the code of other stages."""
        from mlops_cli.fingerprint.closure import ImportCache

        return ImportCache()

    def maker_of(self, path: str) -> tuple[str, str] | None:
        """(stage, output) that makes a path or a folder around it."""
        candidate = path
        while candidate:
            if candidate in self.makers:
                return self.makers[candidate], candidate
            candidate = candidate.rpartition('/')[0]
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

    def parameters_of(self, stage: Stage) -> Iterator[Entry]:
        """The entries of the parameters that no stage makes.  Raises UserError."""
        for ref in stage.params:
            if self.maker_of(ref.file) is None:
                name, value = _parameter_name(ref), self.params.value(ref.file, ref.key)
                yield absent_entry('param', name) if value is MISSING else value_entry('param', name, value)

    def models_of(self, stage: Stage) -> dict[str, tuple[Any, Mapping[str, Any]]]:
        """Of each registered model that the stage's gates compare with, what counts and what is told, as of the first time that
        it was asked for."""
        if not any('@' in word for word in stage.command.words):
            return {}
        from mlops_cli.fingerprint.gated import models_in  # few commands name any

        names = models_in(stage.command)
        for name in names:
            if name not in self._models:
                self._models[name] = self._model(name)
        return {name: self._models[name] for name in names}

    def code_meaning(self, stage: Stage, path: str, ref: ObjectRef) -> Digest | None:
        """What counts of a code file where that is not its bytes; None where it is, or where it cannot be parsed."""
        if not _has_meaning(stage, path, ref):
            return None
        docstrings = stage.code.docstrings
        known = (ref.digest, docstrings, path.endswith(NOTEBOOK))
        if known not in self._meanings:
            source = read_file(self.workspace, path)
            if path.endswith(NOTEBOOK):
                from mlops_cli.fingerprint import notebook  # few projects have one

                self._meanings[known] = notebook.meaning(source, docstrings=docstrings)
            else:
                self._meanings[known] = meaning(source, docstrings=docstrings)
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
        self.tracked: dict[str, ObjectRef] = {}
        self.nodes: dict[Digest, bytes] = {}
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

    def hole(self, hole: Hole) -> None:
        """An input is open once, however it is declared."""
        self.holes[f'{hole.kind}:{hole.entry_name}{hole.pattern}'] = hole

    def _stage_dep(self, dep: Dep) -> None:
        for name in self.shared.groups.get(dep.value, (dep.value,)):
            for output in self.shared.pipeline.stages[name].outputs:
                self.hole(Hole(output.path, name, output.path))

    def _path_dep(self, path: str) -> None:
        if made := self.shared.maker_of(path):
            producer, output = made
            self.hole(Hole(path, producer, output, path[len(output) + 1 :]))
        elif path in self.shared._folders:
            self._shared_folder(path)
        else:
            self._file_or_folder(path)

    def _shared_folder(self, folder: str) -> None:
        """A folder that stages write into means their outputs plus what is tracked there; the rest is nobody's input, nor is
        what mlops itself writes at the top."""
        self.put(value_entry('data', f'{folder}/', {'folder': 'outputs and tracked files'}))
        for path in self.shared.made_below[folder]:
            self.hole(Hole(path, self.shared.makers[path], path))
        tracked = [path for path in self.shared.tracked.records if inside(path, folder)]
        self.shared.asked_git = True
        for path in (*self.shared.in_git(folder), *tracked):
            if not self.shared.maker_of(path) and not inside(path, layout.ROOT) and path not in _WRITTEN:
                self._file_or_folder(path)

    def _glob_dep(self, pattern: str) -> None:
        self.put(value_entry('data', pattern, {'glob': pattern}))
        self._glob_holes(pattern, 'data')
        self._refuse_name(pattern)
        for path in self.shared.workspace.glob(pattern):
            if not self.shared.maker_of(path):
                self._file_or_folder(path)
        for recorded in self.shared.tracked.matching(glob_pattern(pattern)):
            self._recorded(recorded)

    def _refuse_name(self, pattern: str) -> None:
        """A file ``data [1].csv`` is not what the pattern ``data [1].csv`` matches: its edits would go unnoticed."""
        matches = re.compile(glob_pattern(pattern)).fullmatch
        if not matches(pattern) and os.path.lexists(os.path.join(self.shared.workspace.root.path, pattern)):
            raise UserError(
                f'stage {self.stage.name}: {pattern} is there, but as a pattern it means other names',
                where=self.stage.places.get('deps', self.stage.where),
                hint=f'write {{path: {pattern!r}}} for the file itself, or give it a name without brackets',
            )

    def _glob_holes(self, pattern: str, kind: Literal['data', 'code']) -> None:
        """What matches of other stages' outputs."""
        expression = glob_pattern(pattern)
        matches = re.compile(expression).fullmatch
        reaches = Pattern(pattern).reaches  # as the order of the stages has it
        for path, maker in self.shared.makers.items():
            if matches(path):
                self.hole(Hole(path, maker, path, kind=kind))
            elif reaches(path) and not any(matches(parent) for parent in _parents(path)):
                self.hole(Hole(path, maker, path, pattern=expression, kind=kind))

    def _file_or_folder(self, path: str) -> None:
        ref = self.shared.workspace.ref(path)
        lacking = self.shared.tracked.below(path) if ref is None or ref.kind == 'tree' else []
        if ref is None and (recorded := self.shared.tracked.of(path)) is not None:
            self._recorded(recorded)
        elif lacking:
            whole, nodes = self.shared.tracked.completed(path, ref, lacking)
            self.nodes |= nodes
            self.tracked |= {one.holder: one.whole for one in lacking}
            self.elsewhere[path] = whole
            self.put(Entry('data', path, whole.identity))
        elif ref is not None:
            self.inputs[path] = ref
            self.put(Entry('data', path, ref.identity))
        else:
            self.missing.append(path)
            self.put(absent_entry('data', path))

    def _recorded(self, recorded: Recorded) -> None:
        """Data that is not here, as it is recorded."""
        self.elsewhere[recorded.path] = recorded.ref
        self.tracked[recorded.holder] = recorded.whole
        self.put(Entry('data', recorded.path, recorded.ref.identity))

    def code(self) -> None:
        spec = self.stage.code
        paths: dict[str, None] = {}
        if spec.auto:
            from mlops_cli.fingerprint.closure import find_code  # what reads commands and Python, where a stage is described

            made = self.shared.maker_of
            self.found = find_code(
                self.stage.command,
                self.stage.wdir,
                self.shared.workspace.root.path,
                environ=variables(self.stage.environment, self.shared.workspace.root.path, self.shared.environ),
                declared_outputs=self.shared.made,
                covered=self._covered,
                cache=self.shared.imports,
                plain=lambda path: path in self.inputs and self.shared.workspace.is_plain(path),
            )
            self.unknown = self.found.unknown
            paths |= dict.fromkeys(path for path in self.found.files if not made(path))
            paths |= dict.fromkeys(self._notebooks())
        for declared in spec.paths:
            paths |= dict.fromkeys(path for path in self._expand(declared) if not self.shared.maker_of(path))
        for path in paths:
            self._code_entry(path)

    def _notebooks(self) -> Iterator[str]:
        """Those under deps that the command names and runs: they count as code, once."""
        if runs_notebooks(*self.stage.command.words):
            text = ' '.join(self.stage.command.words)
            for kind, name in self.entries:
                if kind == 'data' and name.endswith(NOTEBOOK) and name.rpartition('/')[2] in text:
                    yield name

    def _covered(self, path: str) -> bool:
        """An input already, by its own name or that of a folder around it, or a file whose parameters are declared; or what
        the stage keeps for itself, which is no input."""
        kept = (layout.ROOT, *self.stage.caches, *filter(None, (self.stage.checkpoint, self.stage.progress)))
        if any(inside(path, folder) for folder in kept):
            return True
        inputs = self.entries.keys() | {('data', hole.path) for hole in self.holes.values()}
        declared = any(('data', name) in inputs for name in (path, *_parents(path)))
        return declared or any(ref.file == path for ref in self.stage.params)

    def _expand(self, declared: str) -> tuple[str, ...]:
        """The files that ``code: [path]`` means: a file, all files of a folder, or a glob's.

        What of it stages make is left open, and counts by its bytes: its meaning cannot be known before it is there."""
        workspace = self.shared.workspace
        if is_glob(declared):
            self.put(value_entry('code', declared, {'glob': declared}))
            self._glob_holes(declared, 'code')
            return workspace.glob(declared)
        if made := self.shared.maker_of(declared):
            producer, output = made
            self.hole(Hole(declared, producer, output, declared[len(output) + 1 :], kind='code'))
            return ()
        if os.path.isdir(os.path.join(workspace.root.path, declared)) or declared in self.shared._folders:
            for path, maker in self.shared.makers.items():
                if inside(path, declared):
                    self.hole(Hole(path, maker, path, kind='code'))
            return workspace.glob('**' if declared == '.' else f'{declared}/**')
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
        digest = self.shared.code_meaning(self.stage, path, ref)
        if digest is None and path.endswith('.py') and _has_meaning(self.stage, path, ref):
            why = 'that this interpreter cannot parse' if ref.size <= SOURCE_LIMIT else f'of more than {SOURCE_LIMIT >> 20} MiB'
            self.unknown = (*self.unknown, f'{path} is Python {why}: its bytes count')
        self.put(Entry('code', path, digest or ref.identity))

    def parameters(self) -> None:
        for ref in self.stage.params:
            if made := self.shared.maker_of(ref.file):
                producer, output = made
                below = ref.file[len(output) + 1 :]
                self.hole(Hole(ref.file, producer, output, below, kind='param', name=_parameter_name(ref), key=ref.key))
        for entry in self.shared.parameters_of(self.stage):
            self.put(entry)

    def surroundings(self) -> None:
        environ = self.shared.environ
        for name in self.stage.env:
            value = environ.get(name)
            self.put(absent_entry('environment', name) if value is None else value_entry('environment', name, value))
        for name in self.stage.secrets:
            self.put(value_entry('environment', f'secret:{name}', True))
        for name, (value, _) in self.shared.models_of(self.stage).items():
            shown = f'model:{name}'
            self.put(absent_entry('environment', shown) if value is None else value_entry('environment', shown, value))
        if (lock := self.stage.environment) and lock.image:
            self.put(value_entry('environment', lock.kind, lock.image))
        elif lock:
            self._lock_file(lock.path, f'{lock.kind}:{lock.path}')

    def _lock_file(self, path: str, name: str) -> None:
        if made := self.shared.maker_of(path):
            producer, output = made
            self.hole(Hole(path, producer, output, path[len(output) + 1 :], kind='environment', name=name))
            return
        ref = self.shared.workspace.ref(path)
        if ref is None:
            self.missing.append(path)
        else:
            self.inputs[path] = ref
        self.put(Entry('environment', name, ref.identity if ref else ABSENT))

    def outputs(self) -> None:
        for output in self.stage.outputs:
            value = _output_value(output.persist)
            self.put(Entry('output', output.path, value.digest, value.value))

    def result(self) -> Draft:
        return Draft(
            self.stage,
            tuple(self.entries.values()),
            tuple(self.holes.values()),
            self.inputs or NOTHING,
            self.code_bytes or NOTHING,
            tuple(dict.fromkeys(self.missing)),
            self.elsewhere or NOTHING,
            self.tracked or NOTHING,
            self.nodes or NOTHING,
            self.unknown,
            self.found,
        )


@lru_cache(2)
def _output_value(persist: bool) -> Entry:
    """The same for nearly all outputs there are."""
    return value_entry('output', '', {'persist': persist})


def _has_meaning(stage: Stage, path: str, ref: ObjectRef) -> bool:
    if stage.code.mode != 'meaning' or ref.kind == 'tree':
        return False
    return path.endswith('.py') or (path.endswith(NOTEBOOK) and runs_notebooks(*stage.command.words))


def fill(draft: Draft, made: Mapping[str, ObjectRef], read: Reader) -> Manifest:
    """The manifest, with each hole closed by what its producer made; see holes.fill."""
    return fill_entries(draft.entries, draft.holes, made, read)


def read_file(workspace: Workspace, path: str) -> bytes:
    """The bytes of a regular file of the project, followed to where a link inside it leads.  Raises OSError, UserError."""
    with open(workspace.open(path), 'rb') as file:
        return file.read()


def _parameter_name(ref: ParamRef) -> str:
    return f'{ref.file}:{ref.key}' if ref.key is not None else ref.file


def _parents(path: str) -> tuple[str, ...]:
    """``a/b/c`` -> ``a/b``, ``a``."""
    parts = path.split('/')
    return tuple('/'.join(parts[:length]) for length in range(len(parts) - 1, 0, -1))
