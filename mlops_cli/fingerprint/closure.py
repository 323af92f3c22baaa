"""The code of a stage: from its command to the files of the project that run.  Decides what counts; how commands are read and
modules are found is elsewhere.  Runs nothing, so it is safe on a branch that nobody trusts."""
from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mlops_cli.core.classes import dataclass, field, replace
from mlops_cli.fingerprint.commands import Program, Reading, read_command
from mlops_cli.fingerprint.importcache import ImportCache
from mlops_cli.fingerprint.interpreter import READ_LIMIT, read_start
from mlops_cli.fingerprint.launchers import OPAQUE
from mlops_cli.fingerprint.parsing import NOTEBOOK, runs_notebooks
from mlops_cli.fingerprint.pyfacts import Facts
from mlops_cli.fingerprint.search import PRELOADED, Closure, Search
from mlops_cli.pipeline.spec import Command

__all__ = ['Found', 'ImportCache', 'find_code']


@dataclass(frozen=True, slots=True)
class Found:
    """The code of a stage, as far as its command tells; sorted.

    ``files``: paths from the root.  ``unknown``: one sentence for each thing that could not be followed.  ``absent``: paths
    from the root that were probed and are not there: were one made, more or other files might be found.  ``folders``:
    folders of the project whose entries decided something that ``absent`` does not name: those with links that were
    followed.  ``python``: absolute path of the interpreter the stage would use first; None if it uses none or it is not
    there.  ``distributions``: installed top-level modules that are imported (all that are not the project's, where the
    interpreter is not known).  ``generated``: modules (less their suffix where the output is a
    folder) and scripts that a stage makes; they are never in ``files``.  ``consulted``: what the answer rests on besides and
    what is no code: ``pyproject.toml``, the interpreter, its site-packages folders and ``.pth`` files; relative to the root
    where inside it, else absolute."""

    files: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    python: str | None = None
    distributions: tuple[str, ...] = ()
    generated: tuple[str, ...] = ()
    consulted: tuple[str, ...] = ()


def find_code(command: Command, wdir: str, root: str, *, environ: Mapping[str, str], declared_outputs: frozenset[str],
              covered: Callable[[str], bool], cache: ImportCache | None = None,
              plain: Callable[[str], bool] = lambda _: False) -> Found:
    """The files of the project that a stage's command runs.

    ``wdir``: from the root.  ``environ``: the variables the stage gets, PATH among them.  ``declared_outputs``: paths that
    any stage makes.  ``covered``: whether a path is an input of the stage already, so that a word that names it adds nothing.
    ``cache``: what was learnt for other stages; folders and files count as they were when it first looked.  ``plain``: whether
    a path is a regular file reached through no link, and covered, so that it need not be looked at."""
    finder = _Finder(cache or ImportCache(), root, wdir, environ, declared_outputs, covered, plain)
    return finder.found(command)


@dataclass(slots=True)
class _Sum:
    """What was found so far."""

    files: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    distributions: set[str] = field(default_factory=set)
    generated: set[str] = field(default_factory=set)
    consulted: set[str] = field(default_factory=set)

    def add(self, closure: Closure) -> None:
        self.files |= closure.files
        self.unknown |= closure.unknown
        self.absent |= closure.absent
        self.distributions |= closure.distributions
        self.generated |= closure.generated


_NO_SUM, _NOTHING = _Sum(), Found()


class _Finder:
    def __init__(self, cache: ImportCache, root: str, wdir: str, environ: Mapping[str, str], made: frozenset[str],
                 covered: Callable[[str], bool], plain: Callable[[str], bool]) -> None:
        self.cache = cache
        self.folders = cache.folders(root)
        self.root = self.folders.root
        self.wdir = wdir
        self.environ = environ
        self.made = cache.answers.setdefault(('made', made), made)  # one object for equal ones, quick to compare
        self.covered = covered
        self.plain = plain
        self.sum = _Sum()
        self.searches: list[Search] = []
        self.runs_notebooks = False

    def found(self, command: Command) -> Found:
        self.runs_notebooks = runs_notebooks(*command.words)
        reading = read_command(command, self.wdir, self.root, self.environ, self.cache, self.console_script)
        self.words(reading)
        if reading.only_words and self.sum == _NO_SUM:
            return _NOTHING
        for program in reading.programs:
            self.program(program)
        for path, program in reading.scripts:
            self.script_word(path, program)
        total = self.sum
        total.unknown.update(reading.unknown)
        total.absent.update(self.shown(path) for path in reading.absent if path.startswith(f'{self.root}/'))
        total.consulted.update(self.shown(path) for path in reading.consulted)
        for search in self.searches:
            total.folders |= search.links
            if search.python is not None:
                total.consulted.update(self.shown(path) for path in search.python.consulted)
        total.generated -= {parent for path in total.generated for parent in _parents(path)}
        for path in total.generated:
            if not any(map(self.covered, (path, f'{path}.py', f'{path}/__init__.py'))):
                total.unknown.add(f'{path} is loaded, and a stage makes it; add it to deps')
        python = reading.pythons[0] if reading.pythons else None
        return Found(
            tuple(sorted(total.files)), tuple(sorted(total.unknown)), tuple(sorted(total.absent)), tuple(sorted(total.folders)),
            python, tuple(sorted(total.distributions)), tuple(sorted(total.generated)), tuple(sorted(total.consulted)))

    # Words

    def words(self, reading: Reading) -> None:
        for path in reading.words:
            rel = self.word_file(path)
            if rel is not None and not self.covered(rel):
                self.sum.files.add(rel)

    def word_file(self, path: str, inputs: bool = False) -> str | None:
        """The path from the root of a regular file that a word names and no stage makes; else None."""
        shown = self.shown(path)
        if (self.plain(shown) and not inputs) or self.is_made(shown):
            return None
        real, status, is_link = self.folders.look(path)
        if status is None:
            self.note_absent(path)
            return None
        rel = self.folders.relative_file(real) if stat.S_ISREG(status.st_mode) else None
        if rel is None or self.is_made(rel):
            return None
        if is_link and (holder := self.folders.relative(self.folders.real(os.path.dirname(path)))) is not None:
            self.sum.folders.add(holder or '.')
        return rel

    def note_absent(self, path: str) -> None:
        """A word that would count if its file were made; words without a dot are hardly files."""
        if path.startswith(f'{self.root}/'):
            rel = self.shown(path)
            if '.' in rel and not rel.replace('.', '').isdigit() and not self.is_made(rel) and not self.covered(rel):
                self.sum.absent.add(rel)

    def script_word(self, path: str, program: Program) -> None:
        """A Python source that is given to a program: it runs it, or loads it by its path."""
        is_notebook = path.endswith(NOTEBOOK)
        rel = self.word_file(path, inputs=is_notebook)
        if rel is None or (self.covered(rel) and not is_notebook) or (is_notebook and not self.runs_notebooks):
            return
        file = f'{self.root}/{rel}'
        self.follow(program, os.path.dirname(file), lambda search: search.closure(search.script(file)))
        if is_notebook and program.cwd != os.path.dirname(file):  # papermill's kernels start in the folder of the command
            self.follow(program, program.cwd, lambda search: search.closure(search.script(file)))

    # Programs

    def program(self, program: Program) -> None:
        if program.kind == 'script':
            self.script(program)
            return
        if program.kind == 'module':
            self.module(program)
        elif program.kind == 'code':
            facts = self.facts_of_text(program.value)
            self.follow(program, program.cwd, lambda search: search.closure(search.code(facts, 'python -c')))
        else:
            self.tool(program.value, program)

    def script(self, program: Program) -> None:
        path, entry = program.value, ''
        real, status, _ = self.folders.look(path)
        if status is not None and stat.S_ISDIR(status.st_mode):
            path, entry = f'{path}/__main__.py', real
            real, status, _ = self.folders.look(path)
        rel = self.folders.relative_file(real)
        shown = self.shown(path)
        if self.is_made(shown) or (rel is not None and self.is_made(rel)):
            self.sum.generated.add(shown)
            self.sum.unknown.add(f'{shown} is made by a stage, so what it imports is known only then; list it under code')
        elif status is None or not stat.S_ISREG(status.st_mode):
            self.sum.unknown.add(f'the script {shown} is not there, so what it imports is not known')
            if not os.path.isabs(shown):
                self.sum.absent.add(shown)
        elif rel is None and '/bin/' in path and read_start(real, 2) == b'#!':
            self.tool(path, program)
        elif rel is None:
            self.sum.unknown.add(f'the script {shown} lies outside the project, so it is not followed')
        else:
            self.follow(program, entry or os.path.dirname(real), lambda search: search.closure(search.script(real)))

    def module(self, program: Program) -> None:
        """``python -m name``: the module, or its ``__main__``."""
        search = self.follow(program, program.cwd, lambda search: _closure_of_module(search, program.value))
        name = program.value
        module = search.find(name)
        if module is not None and module.locations:
            module = search.find(f'{name}.__main__')
        if module is None:
            self.sum.unknown.add(f'the module {name} is not found, so what it imports is not known')
        elif module.outside:
            if tells := OPAQUE.get(name.partition('.')[0]):
                self.sum.unknown.add(f'{name} {tells}, which is not followed; list the files it uses under code')
            self.sum.distributions |= module.distributions
            self.sum.unknown |= module.unknown

    def tool(self, path: str, program: Program) -> None:
        """An installed console script, by what it imports."""
        facts, name = self.cache.facts(self.folders.real(path)), os.path.basename(path)
        self.follow(program, None, lambda search: search.closure(search.code(facts, name)))

    def follow(self, program: Program, entry: str | None, closure: Callable[[Search], Closure]) -> Search:
        """Adds a closure, with a folder before all others if there is one; gives the search that found it.

        Most programs import nothing from beside them: then all that start in any folder share one search."""
        shared = self.search(program, ())
        found = closure(shared)
        used = shared
        folder = self.folders.real(entry) if entry is not None and not program.without_folder else None
        if folder is not None:
            rel = self.folders.relative(folder)
            if not self.folders.listing(folder).stems.isdisjoint(found.tops) or (rel is not None and self.makes_in(rel)):
                used = self.search(program, (folder,))
                found = closure(used)
            elif rel is not None:
                stems = [f'{rel}/{top}' if rel else top for top in found.tops if top not in PRELOADED]
                self.sum.absent.update(stems)
                self.sum.absent.update([f'{stem}.py' for stem in stems])
        self.sum.add(found)
        self.start(used, program)
        return used

    def start(self, search: Search, program: Program) -> None:
        """What python and its launcher load before the program."""
        if search not in self.searches:
            self.searches.append(search)
        modules, probed = search.customizations(program.paths)
        self.sum.absent.update(probed)
        if modules:
            self.sum.add(search.closure(*modules))
        if program.distribution:
            self.sum.distributions |= search.distribution(program.distribution)

    def makes_in(self, folder: str) -> bool:
        """Whether a stage makes a Python module right in a folder."""
        key = ('makes', self.made)
        if key not in self.cache.answers:
            self.cache.answers[key] = frozenset(path.rpartition('/')[0] for path in self.made if path.endswith('.py'))
        return folder in self.cache.answers[key]

    def search(self, program: Program, entry: tuple[str, ...]) -> Search:
        home = tuple(self.environ.get(name, '') for name in ('HOME', 'PYTHONUSERBASE', 'PYTHONNOUSERSITE'))
        key = ('search', self.root, program.python, home, entry, program.paths, self.made)
        found: Search | None = self.cache.answers.get(key)
        if found is None:
            python = self.cache.interpreter(program.python, self.environ) if program.python else None
            found = Search(self.cache, self.folders, python, (*entry, *program.paths), self.made)
            self.cache.answers[key] = found
        return found

    # The project

    def facts_of_text(self, text: str) -> Facts:
        key = ('text', text)
        if key not in self.cache.answers:
            from mlops_cli.fingerprint.pyimports import facts_of

            self.cache.answers[key] = facts_of(text)
        found: Facts = self.cache.answers[key]
        return found

    def console_script(self, name: str) -> tuple[str, str] | None:
        """The module of a program that the project installs, and the file that says so."""
        for path in self.project_files():
            if name in (scripts := self.scripts_of(path)):
                return scripts[name], path
        return None

    def project_files(self) -> Iterator[str]:
        """``pyproject.toml`` of the stage's folder and of those around it, up to the root."""
        folder = os.path.normpath(os.path.join(self.root, self.wdir))
        while folder.startswith(self.root):
            yield f'{folder}/pyproject.toml'
            if folder == self.root:
                break
            folder = os.path.dirname(folder)

    def scripts_of(self, path: str) -> dict[str, str]:
        key = ('scripts', path)
        if key not in self.cache.answers:
            inside = self.folders.relative_file(self.folders.real(path)) is not None
            self.cache.answers[key] = _console_scripts(read_start(path, READ_LIMIT)) if inside else {}
        found: dict[str, str] = self.cache.answers[key]
        return found

    def is_made(self, path: str) -> bool:
        while path:
            if path in self.made:
                return True
            path = path.rpartition('/')[0]
        return False

    def shown(self, path: str) -> str:
        """Relative to the root where inside it."""
        return path[len(self.root) + 1:] if path.startswith(f'{self.root}/') else path


def _closure_of_module(search: Search, name: str) -> Closure:
    """Of what ``python -m name`` loads."""
    module = search.find(name)
    if module is not None and module.locations:
        name = f'{name}.__main__'
    loaded, probed = search.loaded_with(name)
    found = search.closure(*loaded)
    return replace(found, absent=found.absent.union(probed), tops=found.tops | {name.partition('.')[0]})


def _parents(path: str) -> list[str]:
    parts = path.split('/')
    return ['/'.join(parts[:length]) for length in range(1, len(parts))]


def _console_scripts(text: bytes) -> dict[str, str]:
    """Program -> module, of a ``pyproject.toml``; empty if it cannot be read."""
    if b'scripts' not in text:
        return {}
    from mlops_cli.core import strictoml  # only for projects that install programs

    try:
        document: dict[str, Any] = strictoml.loads(text)
    except ValueError:
        return {}
    found: dict[str, str] = {}
    for names in (('tool', 'poetry', 'scripts'), ('project', 'gui-scripts'), ('project', 'scripts')):
        table: Any = document
        for name in names:
            table = table.get(name) if isinstance(table, dict) else None
        for program, target in table.items() if isinstance(table, dict) else ():
            if isinstance(target, dict):
                target = target.get('reference', target.get('callable'))
            if isinstance(target, str):
                found[program] = target.partition(':')[0].partition('[')[0].strip()
    return found


