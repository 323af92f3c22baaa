"""The code of a stage: from its command to the files of the project that run.  Decides what counts; how commands are read and
modules are found is elsewhere.  Runs nothing, so it is safe on a branch that nobody trusts."""
from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops_cli.fingerprint.commands import Program, Reading, read_command
from mlops_cli.fingerprint.importcache import ImportCache
from mlops_cli.fingerprint.interpreter import READ_LIMIT, read_start
from mlops_cli.fingerprint.pyimports import Facts, facts_of
from mlops_cli.fingerprint.search import Closure, Search
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
    interpreter is not known).  ``generated``: modules and scripts of the project that a stage makes; they are never in
    ``files``.  ``consulted``: what the answer rests on besides, and what is no code: ``pyproject.toml``, the interpreter, its
    site-packages folders and ``.pth`` files; relative to the root where inside it, else absolute."""

    files: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    python: str | None = None
    distributions: tuple[str, ...] = ()
    generated: tuple[str, ...] = ()
    consulted: tuple[str, ...] = ()


def find_code(command: Command, wdir: str, root: str, *, environ: Mapping[str, str], declared_outputs: frozenset[str],
              covered: Callable[[str], bool], cache: ImportCache | None = None) -> Found:
    """The files of the project that a stage's command runs.

    ``wdir``: from the root.  ``environ``: the variables the stage gets, PATH among them.  ``declared_outputs``: paths that
    any stage makes.  ``covered``: whether a path is an input of the stage already, so that a word that names it adds nothing.
    ``cache``: what was learnt for other stages; folders and files count as they were when it first looked."""
    finder = _Finder(cache or ImportCache(), root, wdir, environ, declared_outputs, covered)
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


class _Finder:
    def __init__(self, cache: ImportCache, root: str, wdir: str, environ: Mapping[str, str], made: frozenset[str],
                 covered: Callable[[str], bool]) -> None:
        self.cache = cache
        self.folders = cache.folders(root)
        self.root = self.folders.root
        self.wdir = wdir
        self.environ = environ
        self.made = made
        self.covered = covered
        self.sum = _Sum()
        self.searches: list[Search] = []

    def found(self, command: Command) -> Found:
        reading = read_command(command, self.wdir, self.root, self.environ, self.cache, self.console_script)
        self.words(reading)
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
        for path in total.generated:
            if not self.covered(path):
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

    def word_file(self, path: str) -> str | None:
        """The path from the root of a regular file that a word names and no stage makes; else None."""
        try:
            status = os.lstat(path)
            is_link = stat.S_ISLNK(status.st_mode)
            if is_link:
                status = os.stat(path)
        except (OSError, ValueError):
            self.note_absent(path)
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        folder, name = os.path.split(path)
        real = self.folders.real(path) if is_link else f'{self.folders.real(folder)}/{name}'
        rel = self.folders.relative_file(real)
        if rel is None or self.is_made(rel) or (path.startswith(f'{self.root}/') and self.is_made(self.shown(path))):
            return None
        if is_link and (holder := self.folders.relative(self.folders.real(folder))) is not None:
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
        rel = self.word_file(path)
        if rel is None or self.covered(rel):
            return
        file = f'{self.root}/{rel}'
        search = self.search(program, os.path.dirname(file))
        self.sum.add(search.closure(search.script(file)))

    # Programs

    def program(self, program: Program) -> None:
        if program.kind == 'script':
            self.script(program)
            return
        search = self.search(program, None if program.kind == 'tool' else program.cwd)
        self.started(search, program)
        if program.kind == 'module':
            self.module(program.value, search)
        elif program.kind == 'code':
            self.sum.add(search.closure(search.code(self.facts_of_text(program.value), 'python -c')))
        else:
            self.tool(program.value, search)

    def started(self, search: Search, program: Program) -> None:
        """What python and its launcher load before the program."""
        modules, probed = search.customizations(program.paths)
        self.sum.absent.update(probed)
        for module in modules:
            self.sum.add(search.closure(module))
        if program.distribution:
            self.sum.distributions |= search.note_distribution(program.distribution)

    def script(self, program: Program) -> None:
        path, entry = program.value, ''
        if os.path.isdir(path):
            entry = self.folders.real(path)
            path = f'{path}/__main__.py'
        real = self.folders.real(path)
        rel = self.folders.relative_file(real)
        shown = self.shown(path)
        if self.is_made(shown) or (rel is not None and self.is_made(rel)):
            self.sum.generated.add(shown)
            self.sum.unknown.add(f'{shown} is made by a stage, so what it imports is known only then; list it under code')
        elif not os.path.isfile(real):
            self.sum.unknown.add(f'the script {shown} is not there, so what it imports is not known')
            if not os.path.isabs(shown):
                self.sum.absent.add(shown)
        elif rel is None and read_start(real, 2) == b'#!' and f'{os.sep}bin{os.sep}' in path:
            search = self.search(program, None)
            self.started(search, program)
            self.tool(path, search)
        elif rel is None:
            self.sum.unknown.add(f'the script {shown} lies outside the project, so it is not followed')
        else:
            search = self.search(program, entry or os.path.dirname(real))
            self.started(search, program)
            self.sum.add(search.closure(search.script(real)))

    def module(self, name: str, search: Search) -> None:
        """``python -m name``: the module, or its ``__main__``."""
        module = search.find(name)
        if module is not None and module.locations:
            name = f'{name}.__main__'
            module = search.find(name)
        loaded, probed = search.loaded_with(name)
        self.sum.absent.update(probed)
        for each in loaded:
            self.sum.add(search.closure(each))
        if module is None:
            self.sum.unknown.add(f'the module {name} is not found, so what it imports is not known')
        elif module.outside:
            self.sum.distributions |= module.distributions
            self.sum.unknown |= module.unknown

    def tool(self, path: str, search: Search) -> None:
        """An installed console script, by what it imports."""
        module = search.code(self.cache.facts(self.folders.real(path)), os.path.basename(path))
        self.sum.add(search.closure(module))

    def search(self, program: Program, entry: str | None) -> Search:
        first = (*(() if entry is None or program.without_folder else (entry,)), *program.paths)
        home = tuple(self.environ.get(name, '') for name in ('HOME', 'PYTHONUSERBASE', 'PYTHONNOUSERSITE'))
        key = ('search', self.root, program.python, home, first, self.made)
        found: Search | None = self.cache.answers.get(key)
        if found is None:
            python = self.cache.interpreter(program.python, self.environ) if program.python else None
            found = self.cache.answers[key] = Search(self.cache, self.folders, python, first, self.made)
        if found not in self.searches:
            self.searches.append(found)
        return found

    # The project

    def facts_of_text(self, text: str) -> Facts:
        key = ('text', text)
        if key not in self.cache.answers:
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


def _console_scripts(text: bytes) -> dict[str, str]:
    """Program -> module, of a ``pyproject.toml``; empty if it cannot be read."""
    if b'scripts' not in text:
        return {}
    import tomllib  # only for projects that install programs

    try:
        document: dict[str, Any] = tomllib.loads(text.decode())
    except (ValueError, RecursionError):
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


