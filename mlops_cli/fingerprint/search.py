"""How one Python program finds modules: its search path, resolved on disk in the order Python would, and from module to
module all of the project's that it loads.  Runs nothing and imports nothing of the project's."""
from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

from mlops_cli.fingerprint import interpreter as interpreters
from mlops_cli.fingerprint.folders import EXTENSIONS, Folders
from mlops_cli.fingerprint.importcache import ImportCache
from mlops_cli.fingerprint.interpreter import Interpreter
from mlops_cli.fingerprint.pyimports import Facts

# In memory before a program's own folder is on the search path, so no file can stand in for them.
_PRELOADED = frozenset((
    'sys', 'builtins', 'os', 'io', 'abc', 'codecs', 'site', 'stat', 'time', 'posix', 'marshal', 'posixpath', 'genericpath',
    'zipimport', 'encodings', '__future__', '_thread', '_io', '_imp', '_weakref', '_warnings', '_codecs', '_abc', '_signal'))

@dataclass(slots=True, eq=False)
class Module:
    """A module of the project as one program loads it.

    ``file``: absolute, None for a folder without ``__init__`` and for code given on the command line.  ``locations``: of a
    package, the folders its submodules are sought in.  ``outside``: it is (for a folder: it also is) installed or the
    standard library's.  ``path``: the file from the root.  ``needs`` to ``distributions`` are filled in when its imports are
    looked up; of one that is outside they say what an import of it comes to."""

    name: str
    file: str | None = None
    path: str | None = None
    locations: tuple[str, ...] = ()
    outside: bool = False
    is_package: bool = False
    generated: bool = False
    needs: tuple[Module, ...] | None = None
    absent: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()
    distributions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Closure:
    """Paths from the root.  ``absent``: names that were looked for in vain before something was found or nothing was.
    ``generated``: modules that a stage makes.  ``distributions``: top-level modules that are installed."""

    files: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()
    generated: frozenset[str] = frozenset()
    distributions: frozenset[str] = frozenset()

    @staticmethod
    def union(parts: Iterable[Closure]) -> Closure:
        listed = tuple(parts)
        return Closure(
            frozenset().union(*[part.files for part in listed]), frozenset().union(*[part.absent for part in listed]),
            frozenset().union(*[part.unknown for part in listed]), frozenset().union(*[part.generated for part in listed]),
            frozenset().union(*[part.distributions for part in listed]))


@dataclass(slots=True)
class _Loaded:
    """What a module's imports come to, while they are looked up."""

    needs: dict[Module, None] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    distributions: set[str] = field(default_factory=set)


class Search:
    """How one program finds modules: its search path, and what was found by it.

    ``first``: absolute folders that come before everything installed (the script's, PYTHONPATH's).  ``made``: paths that
    stages make: they are named, not read, for their present content says nothing of their next."""

    def __init__(self, cache: ImportCache, folders: Folders, python: Interpreter | None, first: Iterable[str],
                 made: frozenset[str] = frozenset()) -> None:
        self.cache = cache
        self.folders = folders
        self.python = python
        self.first = tuple(dict.fromkeys(folders.real(folder) for folder in first))
        self.made = made
        self.links: set[str] = set()  # folders of the project with links that were followed
        self._fallback = tuple(f for f in (folders.real(f'{folders.root}/src'), folders.root) if f not in self.first)
        self._found: dict[str, Module | None] = {}
        self._absent: dict[str, tuple[str, ...]] = {}
        self._reached: dict[frozenset[Module], Closure] = {}
        self._files: dict[str, Module] = {}
        self._hints: tuple[str, ...] | None = None
        tag = (python.version or '' if python else '').split('.')[:2]
        self._built = _built_suffixes(''.join(tag))
        self._tag = f'.cpython-{"".join(tag)}' if len(tag) == 2 else '.cpython-'

    def closure(self, start: Module) -> Closure:
        """Of a module of the project and all it loads."""
        needs = self._needs(start)
        key = frozenset(needs)
        rest = self._reached.get(key)
        if rest is None:
            rest = self._reached[key] = self._reach(key)
        own = (start.path,) if start.path and not start.generated else ()
        return Closure(rest.files.union(own), rest.absent | start.absent, rest.unknown | start.unknown,
                       rest.generated.union((start.path,) if start.path and start.generated else ()),
                       rest.distributions | start.distributions)

    def script(self, file: str) -> Module:
        """A program's entry file: an absolute path inside the project that holds no links."""
        found = self._files.get(file)
        if found is None:
            found = self._files[file] = self._local('__main__', file)
        return found

    def code(self, facts: Facts, where: str) -> Module:
        """A program given as text; ``where`` names it in sentences."""
        module = Module('__main__')
        self._expand(module, facts, where)
        return module

    def customizations(self, folders: Iterable[str]) -> tuple[list[Module], tuple[str, ...]]:
        """What every python loads when it starts, from these folders and those of editable installs; and the names
        probed."""
        found, probed = list[Module](), list[str]()
        real = (self.folders.real(folder) for folder in (*folders, *(self.python.folders if self.python else ())))
        places = [folder for folder in real if self.folders.relative(folder) is not None]
        for name in ('sitecustomize', 'usercustomize'):
            module = self._first_of(name, name, places, probed, [])
            if module and module.path:
                found.append(module)
        return found, tuple(probed)

    def find(self, dotted: str) -> Module | None:
        """A module by its name, as ``import`` would find it, parents first; None if it is nowhere."""
        module: Module | None = None
        name = ''
        for part in dotted.split('.'):
            name = f'{name}.{part}' if name else part
            if name not in self._found:
                probed: list[str] = []
                self._found[name] = self._top(name, probed) if module is None else self._below(module, name, part, probed)
                self._absent[name] = tuple(probed)
            module = self._found[name]
            if module is None or (module.outside and not module.locations):
                return module
        return module

    def loaded_with(self, dotted: str) -> tuple[list[Module], tuple[str, ...]]:
        """A module of the project with its parents, in the order they are loaded, and the names probed on the way."""
        loaded, probed, name = list[Module](), list[str](), ''
        for part in dotted.split('.'):
            name = f'{name}.{part}' if name else part
            module = self.find(name)
            probed += self._absent.get(name, ())
            if module is None or (module.outside and not module.locations):
                break
            loaded.append(module)
        return loaded, tuple(probed)

    def _reach(self, starts: frozenset[Module]) -> Closure:
        seen: set[Module] = set(starts)
        waiting = list(starts)
        while waiting:
            for module in self._needs(waiting.pop()):
                if module not in seen:
                    seen.add(module)
                    waiting.append(module)
        local = [module for module in seen if module.path]
        return Closure(
            frozenset(module.path for module in local if module.path and not module.generated),
            frozenset().union(*[module.absent for module in seen]), frozenset().union(*[module.unknown for module in seen]),
            frozenset(module.path for module in local if module.path and module.generated),
            frozenset().union(*[module.distributions for module in seen]))

    def _needs(self, module: Module) -> tuple[Module, ...]:
        if module.needs is None:
            if module.file is None or module.generated or not module.file.endswith('.py'):
                module.needs = ()
            else:
                self._expand(module, self.cache.facts(module.file), module.path or module.file)
        assert module.needs is not None
        return module.needs

    def _expand(self, module: Module, facts: Facts, where: str) -> None:
        into = _Loaded(absent=set(module.absent), unknown=set(module.unknown))
        if facts.problem:
            into.unknown.add(f'{where} cannot be parsed ({facts.problem}), so what it imports is not followed')
        for line, what in facts.dynamic:
            into.unknown.add(f'{where}:{line} {what}; list the files it may use under code')
        missing = ''
        for name, level, names in facts.imports:
            base = self._base(module, name, level)
            if base is None:
                continue
            if not self._load(base, into) and not names:
                missing = missing or base
            elif names:
                missing = missing or self._load_from(base, names, into, where)
        if missing and facts.path_line and self.python:
            into.unknown.add(f'{where}:{facts.path_line} changes sys.path, and its import of {missing} is found nowhere else; '
                             'list the files under code')
        module.needs = tuple(into.needs)
        module.absent, module.unknown = frozenset(into.absent), frozenset(into.unknown)
        module.distributions = frozenset(into.distributions)

    def _base(self, module: Module, name: str, level: int) -> str | None:
        """The absolute dotted name of an import; None where a relative one leads nowhere."""
        if not level:
            return name
        package = module.name if module.is_package else module.name.rpartition('.')[0]
        for _ in range(level - 1):
            package = package.rpartition('.')[0]
        return f'{package}.{name}' if package and name else package or None

    def _load(self, dotted: str, into: _Loaded) -> bool:
        """Adds a module and its parents; False if it is nowhere."""
        loaded, probed = self.loaded_with(dotted)
        into.needs.update(dict.fromkeys(loaded))
        into.absent.update(probed)
        last = self.find(dotted)
        if last is not None and last.outside:
            into.unknown |= last.unknown
            into.distributions |= last.distributions
        elif last is None and self.python is None and not loaded:
            into.distributions.add(dotted.partition('.')[0])
        return last is not None

    def _load_from(self, base: str, names: tuple[str, ...], into: _Loaded, where: str) -> str:
        """Adds the submodules that ``from base import names`` may load; gives ``base`` if that is nowhere."""
        package = self.find(base)
        if package is None:
            return base
        if not package.locations:
            return ''
        for name in names:
            if name != '*':
                self._load(f'{base}.{name}', into)
            elif package.file and package.file.endswith('.py') and not package.generated:
                exports = self.cache.facts(package.file).exports
                if exports is None:
                    into.unknown.add(f'{package.path} makes __all__ when it runs, so what `from {base} import *` of {where} '
                                     'loads is not known; list the files under code')
                for each in exports or ():
                    self._load(f'{base}.{each}', into)
        return ''

    def _is_standard(self, top: str) -> bool:
        return top in (self.python.standard if self.python else sys.stdlib_module_names)

    def _top(self, name: str, probed: list[str]) -> Module | None:
        """A top-level module, in the order of Python's search path, then the folders people forget to name."""
        if name in _PRELOADED:
            return Module(name, outside=True)
        portions: list[str] = []
        python = self.python
        found = self._first_of(name, name, self.first, probed, portions)
        if found:
            return found
        installed = python.installed.get(name) if python else None
        if self._is_standard(name):
            return Module(name, outside=True)
        if installed:
            return Module(name, outside=True, unknown=self._copies(name), distributions=frozenset((name,)))
        if python:
            found = self._first_of(name, name, python.folders, probed, portions) or self._mapped(name, python, portions)
        found = found or self._first_of(name, name, self._fallback, probed, portions)
        if not found and python and installed is None and not portions:
            found = self._first_of(name, name, self._hinted(python), probed, portions)
        if found or not (portions or installed is False):
            return found
        return self._folder(name, portions, installed is False)

    def _below(self, parent: Module, dotted: str, part: str, probed: list[str]) -> Module | None:
        portions: list[str] = []
        found = self._first_of(dotted, part, parent.locations, probed, portions)
        if not found and self.python:
            found = self._mapped(dotted, self.python, portions)
        if found or not (portions or parent.outside):
            return found
        return self._folder(dotted, portions, parent.outside)

    def _folder(self, dotted: str, portions: list[str], outside: bool) -> Module:
        """A package without ``__init__``; ``outside``: some of it is installed."""
        distributions = frozenset((dotted.partition('.')[0],) if outside else ())
        return Module(dotted, locations=tuple(dict.fromkeys(portions)), outside=outside, distributions=distributions)

    def _first_of(self, dotted: str, name: str, places: Iterable[str], probed: list[str], portions: list[str]) -> Module | None:
        """The first package or module of that name; folders without ``__init__`` on the way are added to ``portions``."""
        for folder in places:
            if found := self._probe(dotted, name, folder, probed, portions):
                return found
        return None

    def _probe(self, dotted: str, name: str, folder: str, probed: list[str], portions: list[str]) -> Module | None:
        folders, rel = self.folders, self.folders.relative(folder)
        listing = folders.listing(folder)
        inside = rel is not None
        stem = f'{rel}/{name}' if rel else name
        if inside and not listing.kinds and not os.path.isdir(folder):
            probed.append(rel or '.')
            return self._made_module(dotted, stem)
        child = folders.child(folder, name) if folders.kind(folder, name) == 'folder' else ''
        if child:
            if init := self._chosen(child, '__init__'):
                self._note_link(folder, name)
                return self._package(dotted, name, child, init)
            portions.append(child)
            if inside:
                probed.append(f'{stem}/__init__.py')
        elif inside:
            probed.append(stem)
        if chosen := self._chosen(folder, name):
            if inside and chosen.endswith('.py'):
                probed += [stem + suffix for suffix in self._built]
            self._note_link(folder, chosen)
            module = self._local(dotted, folders.child(folder, chosen))
            if inside and module.outside:
                link = f'{rel}/{chosen}' if rel else chosen
                module.unknown = frozenset((f'{link} is a link that leaves the project, so it is not followed',))
                module.distributions = frozenset()
            return module
        if inside:
            probed.append(f'{stem}.py')
            return self._made_module(dotted, stem)
        return None

    def _made_module(self, dotted: str, stem: str) -> Module | None:
        path = f'{stem}.py'
        return Module(dotted, f'{self.folders.root}/{path}', path, generated=True, needs=()) if path in self.made else None

    def _chosen(self, folder: str, name: str) -> str | None:
        """The file python takes for a module of that name in a folder."""
        for each in self.folders.listing(folder).modules.get(name, ()):
            if each.endswith(EXTENSIONS) and each.startswith(f'{name}.cpython-') and not each.startswith(name + self._tag):
                continue  # built for another version
            if self.folders.kind(folder, each) == 'file':
                return each
        return None

    def _package(self, dotted: str, name: str, folder: str, init: str) -> Module:
        module = self._local(dotted, self.folders.child(folder, init))
        locations = [folder]
        if module.file and module.file.endswith('.py') and self.cache.facts(module.file).extends_path and '.' not in dotted:
            others = (*self.first, *(self.python.folders if self.python else ()), *self._fallback)
            locations += [self.folders.child(place, name) for place in others if self.folders.kind(place, name) == 'folder']
        if not module.outside:
            module.locations, module.is_package = tuple(dict.fromkeys(locations)), True
        return module

    def _local(self, dotted: str, file: str) -> Module:
        """A module loaded from a resolved file: of the project, or outside."""
        path = self.folders.relative_file(file)
        if path is None:
            return Module(dotted, outside=True, distributions=frozenset((dotted.partition('.')[0],)))
        return Module(dotted, file, path, generated=self.is_made(path))

    def is_made(self, path: str) -> bool:
        """Whether a path of the project is, or lies in, what a stage makes."""
        while path:
            if path in self.made:
                return True
            path = path.rpartition('/')[0]
        return False

    def _mapped(self, dotted: str, python: Interpreter, portions: list[str]) -> Module | None:
        """By the finders of editable installs."""
        for target in python.mapped.get(dotted, ()):
            real = self.folders.real(target)
            folder, name = os.path.split(real)
            if name.startswith('__init__.'):
                return self._package(dotted, dotted.rpartition('.')[2], folder, name)
            if os.path.isdir(real):
                if init := self._chosen(real, '__init__'):
                    return self._package(dotted, dotted.rpartition('.')[2], real, init)
                portions.append(real)
            elif os.path.isfile(real):
                return self._local(dotted, real)
            elif chosen := self._chosen(folder, name):
                return self._local(dotted, self.folders.child(folder, chosen))
        return None

    def _hinted(self, python: Interpreter) -> tuple[str, ...]:
        """Folders of editable installs whose finders could not be read."""
        if self._hints is None:
            known = {*self.first, *python.folders, *self._fallback}
            found = [place for folder in interpreters.editable_folders(python) for place in (f'{folder}/src', folder)]
            self._hints = tuple(real for place in found if (real := self.folders.real(place)) not in known)
        return self._hints

    def _copies(self, name: str) -> frozenset[str]:
        """A sentence if the project has an installed module too: edits there do not reach the program."""
        modules = (self._probe(name, name, folder, [], []) for folder in self._fallback)
        return frozenset(
            f'{name} is imported from site-packages, where a copy is installed, and not from {module.path}; install the '
            'project editable (pip install -e .) so that its code counts' for module in modules if module and module.path)

    def note_distribution(self, name: str) -> frozenset[str]:
        """The top-level module itself, where it is installed."""
        module = self.find(name)
        return module.distributions if module is not None and module.outside else frozenset()

    def _note_link(self, folder: str, name: str) -> None:
        if self.folders.listing(folder).kinds.get(name) == 'link' and (rel := self.folders.relative(folder)) is not None:
            self.links.add(rel or '.')


def _built_suffixes(tag: str) -> tuple[str, ...]:
    """Suffixes of extension modules here, which python prefers to ``.py``."""
    if not tag:
        return ('.abi3.so', '.so')
    system = 'darwin' if sys.platform == 'darwin' else f'{platform.machine()}-linux-gnu'
    return (f'.cpython-{tag}-{system}.so', '.abi3.so', '.so')
