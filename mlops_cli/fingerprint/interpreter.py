"""Which python a stage uses and what is installed for it, read from disk.  Never runs it: a branch that nobody trusts may
bring its own."""
from __future__ import annotations

import json
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.patterns import pattern
from mlops_cli.fingerprint.noting import noted

if TYPE_CHECKING:
    import ast

READ_LIMIT = 4 << 20  # bytes of a .pth, finder, RECORD or METADATA; larger is read to there
LINKS = 16  # of shims and links from one to the next

_EXTENSIONS = ('.so', '.pyd')
_MINOR = pattern(r'python(\d+\.\d+)t?\Z')
_PATCHED = pattern(r'(?:\A|-)(\d+\.\d+\.\d+)(?:\Z|[-+.a-z])')
_PATCHLEVEL = pattern(r'^#define\s+PY_VERSION\s+"([^"]+)"', re.M)
_RECORDED = pattern(r'^"?([A-Za-z_0-9][^/,".\n]*)(?:/[^\n]*?\.(?:py|so|pyd|pyi)|\.(?:[^/,\n]*\.)?(?:py|so|pyd))"?,', re.M)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """What is installed for one python.

    ``version``: as far as the disk tells, ``3.11.7`` or ``3.11``.  ``standard``: top-level modules that come with it.
    ``site``: its site-packages.  ``installed``: top-level modules there; False where only a folder without
    ``__init__`` is.  ``folders``: further absolute folders of its search path, by ``.pth`` files, in order.
    ``mapped``: dotted module -> absolute paths of the file or folder (or file less its suffix) it is loaded from, by
    editable installs' finders and by links.  ``consulted``: absolute paths this was read from."""

    path: str
    version: str | None = None
    site: tuple[str, ...] = ()
    standard: frozenset[str] = frozenset(sys.stdlib_module_names)
    installed: Mapping[str, bool] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    mapped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    consulted: tuple[str, ...] = ()


def which(name: str, environ: Mapping[str, str], cwd: str) -> str | None:
    """The absolute path of the program a shell in ``cwd`` would start for ``name``; None if there is none."""
    if '/' in name:
        path = os.path.normpath(os.path.join(cwd, name))
        return path if _executable(path) else None
    for folder in environ.get('PATH', os.defpath).split(':'):
        path = os.path.normpath(os.path.join(cwd, folder or '.', name))
        if _executable(path):
            return path
    return None


def find(name: str, environ: Mapping[str, str], cwd: str) -> str | None:
    """As :func:`which`, of a python: pyenv's shims are followed to the interpreter they would choose."""
    path = which(name, environ, cwd)
    if path and os.path.basename(os.path.dirname(path)) == 'shims' and b'pyenv' in read_start(path, 4096):
        return _behind_shim(path, os.path.basename(name), environ, cwd)
    return path


def read(path: str, environ: Mapping[str, str]) -> Interpreter:
    """What is installed for the python at ``path``; what cannot be read counts as not there."""
    layout = _layout(path)
    if layout is None:
        return Interpreter(path, version(path))
    site = _site_folders(layout, environ)
    reader = _SiteReader()
    for folder in site:
        reader.read(folder)
    beside = _module_names(layout.library) | _module_names(f'{layout.library}/lib-dynload')
    standard = frozenset(sys.stdlib_module_names) | beside
    consulted = (path, *layout.configuration, *site, *reader.consulted)
    return Interpreter(path, version(path), site, standard, reader.installed, tuple(reader.folders),
                       {name: tuple(paths) for name, paths in reader.mapped.items()}, consulted)


def version(python: str) -> str | None:
    """``3.11.7``, or ``3.11`` where the disk tells no more; None if it tells nothing."""
    configuration = _venv(python)[1]
    for key in ('version', 'version_info'):
        if found := re.match(r'\d+(?:\.\d+)+', configuration.get(key, '')):
            return '.'.join(found.group().split('.')[:3])
    real = os.path.realpath(python)
    minor = _MINOR.match(os.path.basename(real))
    prefix = os.path.dirname(os.path.dirname(real))
    minors = [minor.group(1)] if minor else _minors(f'{prefix}/lib')
    for each in minors:
        if level := _PATCHLEVEL.search(read_start(f'{prefix}/include/python{each}/patchlevel.h', READ_LIMIT).decode('latin-1')):
            return level.group(1).rstrip('+')
    named = _PATCHED.search(os.path.basename(prefix))
    if named and (not minors or named.group(1).startswith(minors[0] + '.')):
        return named.group(1)
    return minors[0] if minors else None


def editable_folders(interpreter: Interpreter) -> tuple[str, ...]:
    """Absolute folders of projects that are installed editable, as their ``direct_url.json`` says: a hint for those whose
    finder cannot be read."""
    from urllib.parse import unquote, urlsplit  # slow to load, and few need it

    found = []
    for _, info in _distributions(interpreter.site):
        try:
            document = json.loads(read_start(f'{info}/direct_url.json', READ_LIMIT) or b'{}')
        except (ValueError, RecursionError):
            continue
        if isinstance(document, dict) and isinstance(document.get('dir_info'), dict) and document['dir_info'].get('editable'):
            url = urlsplit(str(document.get('url', '')))
            if url.scheme == 'file':
                found.append(os.path.normpath(unquote(url.path)))
    return tuple(found)


def packages(python: str, modules: Iterable[str], environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Distribution -> version of what provides these top-level modules; a module of no distribution gives nothing.

    ``environ``: tells the user's own site-packages; None: those do not count."""
    layout = _layout(python)
    if layout is None:
        return {}
    site = _site_folders(layout, environ if environ is not None else {'PYTHONNOUSERSITE': '1'})
    there = {stem for folder in site for name in _names(folder) if (stem := name.partition('.')[0]).isidentifier()}
    wanted = there.intersection(modules)
    folders = {name for name in wanted if not any(_regular(folder, name) for folder in site)}  # shared by distributions
    infos = list(_distributions(site))
    infos.sort(key=lambda each: (_normal(each[0]) not in {_normal(name) for name in wanted}, each))
    found: dict[str, str] = {}
    for label, info in infos:
        if not wanted:
            break
        provided = _provides(info) & wanted
        if provided:
            name, number = _metadata(info, label)
            found.setdefault(name, number)
            wanted -= provided - folders
    return dict(sorted(found.items()))


def read_start(path: str, limit: int) -> bytes:
    """The first bytes of a regular file; empty if it is none or cannot be read."""
    try:
        descriptor = os.open(noted(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not hold us
    except (OSError, ValueError):
        return b''
    try:
        with os.fdopen(descriptor, 'rb') as stream:
            return stream.read(limit) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b''
    except OSError:
        return b''


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a python has its things; ``library`` is the standard library's folder, ``prefix`` the environment's."""

    prefix: str
    library: str
    minor: str
    is_venv: bool
    sees_system: bool
    configuration: tuple[str, ...]


def _layout(python: str) -> _Layout | None:
    prefix, configuration, path = _venv(python)
    starts = [os.path.dirname(os.path.realpath(python))]
    if home := configuration.get('home'):
        starts.insert(0, os.path.realpath(home))
    for start in starts:
        if found := _library(start, python, configuration):
            library, minor = found
            if prefix is None:
                base = os.path.dirname(os.path.dirname(library))
                return _Layout(base, library, minor, False, True, ())
            system = configuration.get('include-system-site-packages', '').lower() == 'true'
            return _Layout(prefix, library, minor, True, system, (path,))
    return None


def _venv(python: str) -> tuple[str | None, dict[str, str], str]:
    """An environment's folder, the settings of its ``pyvenv.cfg`` and that file's path; without one: None."""
    folder = os.path.dirname(os.path.abspath(python))
    for candidate in (os.path.dirname(folder), folder):
        path = os.path.join(candidate, 'pyvenv.cfg')
        text = read_start(path, READ_LIMIT)
        if text:
            pairs = (line.partition('=') for line in text.decode('utf-8', 'replace').splitlines())
            return candidate, {key.strip().lower(): value.strip() for key, equals, value in pairs if equals}, path
    return None, {}, ''


def _library(start: str, python: str, configuration: Mapping[str, str]) -> tuple[str, str] | None:
    """Upwards from ``start`` the standard library: the folder, and the version it is of."""
    named = [match.group(1) for name in (os.path.basename(os.path.realpath(python)), os.path.basename(python))
             if (match := _MINOR.match(name))]
    said = re.match(r'\d+\.\d+', configuration.get('version', configuration.get('version_info', '')))
    wanted = [said.group(), *named] if said else named
    folder = start
    for _ in range(LINKS):
        for minor in wanted or _minors(f'{folder}/lib'):
            library = f'{folder}/lib/python{minor}'
            if os.path.isfile(noted(f'{library}/os.py')):
                return library, minor
        parent = os.path.dirname(folder)
        if parent == folder:
            break
        folder = parent
    return None


def _minors(folder: str) -> list[str]:
    """Versions of the standard libraries in a ``lib`` folder, newest first."""
    found = [match.group(1) for name in _names(folder)
             if (match := _MINOR.match(name)) and os.path.isfile(noted(f'{folder}/{name}/os.py'))]
    return sorted(found, key=lambda text: [int(part) for part in text.split('.')], reverse=True)


def _site_folders(layout: _Layout, environ: Mapping[str, str]) -> tuple[str, ...]:
    candidates = []
    if layout.sees_system and not environ.get('PYTHONNOUSERSITE'):
        home = environ.get('PYTHONUSERBASE') or (f'{environ["HOME"]}/.local' if environ.get('HOME') else '')
        if home:
            candidates.append(f'{home}/lib/python{layout.minor}/site-packages')
    prefixes = [layout.prefix] if layout.is_venv else []
    if layout.sees_system:
        prefixes.append(os.path.dirname(os.path.dirname(layout.library)))
    for prefix in prefixes:
        candidates += [f'{prefix}/{lib}/python{layout.minor}/site-packages' for lib in ('lib', 'lib64')]
        if prefix == '/usr':  # Debian's own
            candidates += [f'/usr/local/lib/python{layout.minor}/dist-packages', '/usr/lib/python3/dist-packages']
    found: dict[str, str] = {}
    for candidate in candidates:
        if os.path.isdir(noted(candidate)):
            found.setdefault(os.path.realpath(candidate), candidate)
    return tuple(found.values())


def _behind_shim(path: str, name: str, environ: Mapping[str, str], cwd: str) -> str | None:
    """The python that pyenv would start: of PYENV_VERSION, of the nearest ``.python-version``, of the global version, or
    the next one on PATH."""
    root = os.path.dirname(os.path.dirname(path))
    for number in _pyenv_versions(root, environ, cwd):
        if number == 'system':
            others = [folder for folder in environ.get('PATH', '').split(':') if os.path.normpath(folder) != f'{root}/shims']
            return which(name, {'PATH': ':'.join(others)}, cwd)
        if '/' in number or number in ('', '.', '..'):
            continue
        candidates = [number, *sorted((each for each in _names(f'{root}/versions') if each.startswith(number + '.')),
                                      key=_numeric, reverse=True)]
        for candidate in candidates:
            if _executable(program := f'{root}/versions/{candidate}/bin/{name}'):
                return program
    return None


def _pyenv_versions(root: str, environ: Mapping[str, str], cwd: str) -> list[str]:
    if chosen := environ.get('PYENV_VERSION'):
        return chosen.split(':')
    folder = cwd
    while True:
        if text := read_start(os.path.join(folder, '.python-version'), READ_LIMIT):
            return text.decode('utf-8', 'replace').split()
        parent = os.path.dirname(folder)
        if parent == folder:
            break
        folder = parent
    return read_start(f'{root}/version', READ_LIMIT).decode('utf-8', 'replace').split() or ['system']


class _SiteReader:
    """Gathers what site-packages folders offer, as the ``site`` module would, less the code it would run."""

    def __init__(self) -> None:
        self.installed: dict[str, bool] = {}
        self.folders: list[str] = []
        self.mapped: dict[str, list[str]] = {}
        self.consulted: list[str] = []

    def read(self, folder: str) -> None:
        paths = []
        for entry in _entries(folder):
            name = entry.name
            if name.endswith('.pth'):
                paths.append(name)
                continue
            stem = name.partition('.')[0]
            if not stem.isidentifier():
                continue
            if entry.is_symlink():  # an editable install by a link: what it leads to is what is loaded
                self.mapped.setdefault(stem, []).append(os.path.realpath(entry.path))
            elif entry.is_dir(follow_symlinks=False):
                if name == stem:
                    self.installed[name] = self.installed.get(name, False) or _regular(folder, name)
            elif name.endswith(('.py', '.pyc', *_EXTENSIONS)):
                self.installed[stem] = True
        for name in sorted(paths):
            self.path_file(folder, name)

    def path_file(self, folder: str, name: str) -> None:
        path = f'{folder}/{name}'
        self.consulted.append(path)
        for line in read_start(path, READ_LIMIT).decode('utf-8', 'surrogateescape').splitlines():
            line = line.rstrip()
            if line.startswith(('import ', 'import\t')):
                for module in re.findall(r'\b\w*editable\w*', line, re.I):
                    self.finder(f'{folder}/{module}.py')
            elif line and not line.startswith('#') and '\0' not in line:
                added = os.path.normpath(os.path.join(folder, line))
                if added not in self.folders and os.path.isdir(noted(added)):
                    self.folders.append(added)

    def finder(self, path: str) -> None:
        text = read_start(path, READ_LIMIT)
        if text:
            self.consulted.append(path)
            for name, target in _finder_mapping(text):
                targets = self.mapped.setdefault(name, [])
                if target not in targets:
                    targets.append(target)


def _finder_mapping(text: bytes) -> Iterator[tuple[str, str]]:
    """(dotted module, absolute path) of an editable install's finder: setuptools' MAPPING and NAMESPACES, the calls of
    ``editables``, the ``install({...})`` of scikit-build-core."""
    import ast  # slow to load, and seldom needed

    from mlops_cli.fingerprint.parsing import parse

    try:
        tree = parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        if any(isinstance(target, ast.Name) and target.id in ('MAPPING', 'NAMESPACES') for target in targets):
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            yield from _pairs(node.value)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            call = node.value
            if isinstance(call.func, ast.Attribute) and call.func.attr == 'map_module' and len(call.args) == 2:
                yield from _pairs(ast.Dict([call.args[0]], [call.args[1]]))
            elif isinstance(call.func, ast.Name) and call.func.id == 'install' and call.args:
                yield from _pairs(call.args[0])


def _pairs(node: ast.expr | None) -> Iterator[tuple[str, str]]:
    import ast

    try:
        mapping = ast.literal_eval(node) if node is not None else None
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return
    if not isinstance(mapping, dict):
        return
    for name, value in mapping.items():
        for path in value if isinstance(value, list | tuple) else (value,):
            if isinstance(name, str) and isinstance(path, str) and os.path.isabs(path) and '\0' not in path:
                yield name, os.path.normpath(path)


def _distributions(site: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(name as its folder has it, folder) of what is installed."""
    for folder in site:
        for name in _names(folder):
            if name.endswith(('.dist-info', '.egg-info')):
                yield name.rpartition('.')[0].partition('-')[0], f'{folder}/{name}'


def _provides(info: str) -> set[str]:
    """Top-level modules of a distribution."""
    listed = read_start(f'{info}/top_level.txt', READ_LIMIT).decode('utf-8', 'replace').split()
    if listed:
        return {name.partition('/')[0] for name in listed}
    return set(_RECORDED.findall(read_start(f'{info}/RECORD', READ_LIMIT).decode('utf-8', 'replace')))


def _metadata(info: str, label: str) -> tuple[str, str]:
    """Name and version of a distribution, by the head of its METADATA or else the name of its folder."""
    text = b''
    for name in ('METADATA', 'PKG-INFO', ''):
        if text := read_start(f'{info}/{name}' if name else info, 1 << 16):
            break
    head = dict(re.findall(r'^(Name|Version):\s*(\S+)', text.decode('utf-8', 'replace').partition('\n\n')[0], re.M))
    number = os.path.basename(info).rpartition('.')[0].split('-')[1:2]
    return head.get('Name', label), head.get('Version', number[0] if number else '')


def _module_names(folder: str) -> frozenset[str]:
    return frozenset(stem for name in _names(folder) if (stem := name.partition('.')[0]).isidentifier())


def _regular(folder: str, name: str) -> bool:
    """Whether a package or module (no mere folder) of that name is there."""
    if os.path.isfile(f'{folder}/{name}/__init__.py') or os.path.isfile(f'{folder}/{name}.py'):
        return True
    return any(each.startswith('__init__.') and each.endswith(('.pyc', *_EXTENSIONS)) for each in _names(f'{folder}/{name}'))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(noted(folder, listed=True)) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (OSError, ValueError):
        return []


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(noted(folder, listed=True)))
    except (OSError, ValueError):
        return []


def _executable(path: str) -> bool:
    return '\0' not in path and os.path.isfile(noted(path)) and os.access(path, os.X_OK)


def _normal(name: str) -> str:
    return re.sub(r'[-_.]+', '_', name).lower()


def _numeric(text: str) -> list[int]:
    return [int(part) for part in re.findall(r'\d+', text)]
