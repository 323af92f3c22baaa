"""How one Python program finds modules: its search path, resolved on disk in the order Python would, and from module to
module all of the project's that it loads.  Runs nothing and imports nothing of the project's."""
from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.paths import ancestors
from mlops_cli.fingerprint import interpreter as interpreters
from mlops_cli.fingerprint.folders import EXTENSIONS, Folders
from mlops_cli.fingerprint.importcache import ImportCache
from mlops_cli.fingerprint.interpreter import Interpreter
from mlops_cli.fingerprint.pyfacts import Facts

# In memory before a program's own folder is on the search path, so no file can stand in for them.
PRELOADED = frozenset((
    'sys', 'builtins', '__main__', 'os', 'io', 'abc', 'codecs', 'site', 'stat', 'time', 'posix', 'marshal', 'posixpath',
    'genericpath', 'zipimport', 'encodings', '__future__', '_thread', '_io', '_imp', '_weakref', '_warnings', '_codecs',
    '_abc', '_signal'))

@dataclass(slots=True, eq=False)
class Module:
    """A module of the project as one program loads it.

    ``file``: absolute, None for a folder without ``__init__`` and for code given on the command line.  ``locations``: of a
    package, the folders its submodules are sought in.  ``outside``: it is (for a folder: it also is) installed or the
    standard library's.  ``path``: the file from the root.  ``needs`` to ``distributions`` are filled in when its imports are
    looked up; of one that is outside they say what an import of it comes to.  ``reach``: all modules it loads, itself
    included, as bits at their ``number``s; 0 while that is not known."""

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
    tops: frozenset[str] = frozenset()
    number: int = -1
    reach: int = 0


@dataclass(frozen=True, slots=True)
class Closure:
    """Paths from the root.  ``absent``: names that were looked for in vain before something was found or nothing was.
    ``generated``: modules that a stage makes.  ``distributions``: top-level modules that are installed.  ``tops``: all
    top-level names that are imported, found or not."""

    files: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()
    generated: frozenset[str] = frozenset()
    distributions: frozenset[str] = frozenset()
    tops: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Loaded:
    """What a module's imports come to, while they are looked up."""

    needs: dict[Module, None] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    distributions: set[str] = field(default_factory=set)
    tops: set[str] = field(default_factory=set)
    found: bool = True


@lru_cache(maxsize=8)
def _folders_of(made: frozenset[str]) -> frozenset[str]:
    """The folders that the paths lie in."""
    return frozenset(folder for path in made for folder in ancestors(path))


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
        self._loads: dict[str, _Loaded] = {}
        self._sums: dict[int, Closure] = {}
        self._numbered: list[Module] = []
        self._files: dict[str, Module] = {}
        self._hints: tuple[str, ...] | None = None
        tag = (python.version or '' if python else '').split('.')[:2]
        self._built = _built_suffixes(''.join(tag))
        self._tag = f'.cpython-{"".join(tag)}' if len(tag) == 2 else '.cpython-'

    def closure(self, *starts: Module) -> Closure:
        """Of modules of the project and all they load."""
        if len(starts) == 1 and starts[0].name == '__main__':  # its own: what it loads it shares with other programs
            start = starts[0]
            rest = self.closure(*self._needs(start))
            own = frozenset((start.path,) if start.path else ())
            return Closure(rest.files if start.generated else rest.files | own, rest.absent | start.absent,
                           rest.unknown | start.unknown, rest.generated | own if start.generated else rest.generated,
                           rest.distributions | start.distributions, rest.tops | start.tops)
        reached = 0
        for module in starts:
            reached |= module.reach or self._reach(module)
        found = self._sums.get(reached)
        if found is None:
            found = self._sums[reached] = _sum_of([module for module in self._numbered if reached >> module.number & 1])
        return found

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
                if not part or '/' in part or '\0' in part:  # import_module takes any text
                    self._found[name] = None
                elif module is None:
                    self._found[name] = self._top(name, probed)
                else:
                    self._found[name] = self._below(module, name, part, probed)
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

    def _reach(self, start: Module) -> int:
        """All modules that one loads, itself included; those that load each other reach the same (Tarjan's algorithm)."""
        low: dict[Module, int] = {}
        path, work = list[Module](), list[tuple[Module, Iterator[Module]]]()

        def enter(module: Module) -> None:
            module.number = len(self._numbered)
            self._numbered.append(module)
            low[module] = module.number
            path.append(module)
            work.append((module, iter(self._needs(module))))

        enter(start)
        while work:
            module, waiting = work[-1]
            for other in waiting:
                if other.reach:
                    continue
                if other not in low:
                    enter(other)
                    break
                low[module] = min(low[module], other.number)
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[module])
                if low[module] == module.number:
                    self._close(module, path)
        return start.reach

    def _close(self, first: Module, path: list[Module]) -> None:
        """Ends a group of modules that load each other: those on the path from ``first`` on."""
        group, reach = list[Module](), 0
        while first not in group[-1:]:
            group.append(path.pop())
        for module in group:
            reach |= 1 << module.number
            for other in self._needs(module):
                reach |= other.reach
        for module in group:
            module.reach = reach

    def _needs(self, module: Module) -> tuple[Module, ...]:
        if module.needs is None:
            if module.file is None or module.generated or module.file.endswith((*EXTENSIONS, '.pyc')):
                module.needs = ()
            else:
                self._expand(module, self.cache.facts(module.file), module.path or module.file)
        assert module.needs is not None
        return module.needs

    def _expand(self, module: Module, facts: Facts, where: str) -> None:
        into = _Loaded(absent=set(module.absent), unknown=set(module.unknown))
        if facts.problem:
            into.unknown.add(f'{where} {facts.unread}')
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
                missing = self._load_from(base, names, into, where) or missing
        if missing and facts.path_line and self.python:
            into.unknown.add(f'{where}:{facts.path_line} changes sys.path, and its import of {missing} is found nowhere else; '
                             'list the files under code')
        module.needs = tuple(into.needs)
        module.absent, module.unknown = frozenset(into.absent), frozenset(into.unknown)
        module.distributions, module.tops = frozenset(into.distributions), frozenset(into.tops)

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
        known = self._loads.get(dotted)
        if known is None:
            known = self._loads[dotted] = self._look_up(dotted)
        into.needs.update(known.needs)
        into.absent |= known.absent
        into.unknown |= known.unknown
        into.distributions |= known.distributions
        into.tops |= known.tops
        return known.found

    def _look_up(self, dotted: str) -> _Loaded:
        """What an import of one name comes to."""
        loaded, probed = self.loaded_with(dotted)
        top = dotted.partition('.')[0]
        last = self.find(dotted)
        found = _Loaded(dict.fromkeys(loaded), set(probed), tops={top}, found=last is not None)
        if last is not None and last.outside:
            found.unknown |= last.unknown
            found.distributions |= last.distributions
        elif last is None and self.python is None and not loaded:
            found.distributions.add(top)
        return found

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
        if name in PRELOADED:
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
        if python and (found := self._first_of(name, name, python.folders, probed, portions)):
            return found
        first = tuple(portions)  # to python they win over what follows; to people with paths we cannot see they may not
        found = self._mapped(name, python, portions) if python else None
        found = found or self._first_of(name, name, self._fallback, probed, portions)
        if not found and python and installed is None and not portions:
            found = self._first_of(name, name, self._hinted(python), probed, portions)
        if found and not found.outside:
            found.locations = tuple(dict.fromkeys((*first, *found.locations)))
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
        """A package without ``__init__``, or what a stage makes; ``outside``: some of it is installed."""
        distributions = frozenset((dotted.partition('.')[0],) if outside else ())
        paths = [self.folders.relative(portion) for portion in portions]
        made = paths[0] if not outside and paths and all(path and self.is_made(path) for path in paths) else None
        return Module(dotted, None, made, tuple(dict.fromkeys(portions)), outside, generated=made is not None,
                      distributions=distributions)

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
        if inside and self.is_made(stem):
            portions.append(f'{folder}/{name}')  # whatever it holds at present says nothing of what it will
            return None
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
            if stem in _folders_of(self.made):
                portions.append(f'{folder}/{name}')  # there once a stage has made what lies in it
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
        for path in (f'{stem}/__init__.py', f'{stem}.py'):
            if path in self.made:
                return Module(dotted, None, path, generated=True)
        return None

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
            top = dotted.partition('.')[0]
            foreign = self.folders.foreign(top, file, self.first)
            return Module(dotted, outside=True, unknown=foreign, distributions=frozenset((top,)))
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

    def distribution(self, name: str) -> frozenset[str]:
        """The top-level module itself, where it is installed."""
        module = self.find(name)
        return module.distributions if module is not None and module.outside else frozenset()

    def _note_link(self, folder: str, name: str) -> None:
        if self.folders.listing(folder).kinds.get(name) == 'link' and (rel := self.folders.relative(folder)) is not None:
            self.links.add(rel or '.')


def _sum_of(modules: list[Module]) -> Closure:
    """What modules come to together."""
    return Closure(
        files=frozenset(module.path for module in modules if module.path and not module.generated),
        absent=frozenset().union(*[module.absent for module in modules]),
        unknown=frozenset().union(*[module.unknown for module in modules]),
        generated=frozenset(module.path for module in modules if module.path and module.generated),
        distributions=frozenset().union(*[module.distributions for module in modules]),
        tops=frozenset().union(*[module.tops for module in modules]))


def _built_suffixes(tag: str) -> tuple[str, ...]:
    """Suffixes of extension modules here, which python prefers to ``.py``."""
    if not tag:
        return ('.abi3.so', '.so')
    system = 'darwin' if sys.platform == 'darwin' else f'{os.uname().machine}-linux-gnu'
    return (f'.cpython-{tag}-{system}.so', '.abi3.so', '.so')
