"""The disk as imports see it: names in folders, links led back to what they name, and what of it is the project's code.
Looks each folder up once; knows nothing of Python beyond suffixes."""
from __future__ import annotations

import os
import stat
from typing import Literal

from mlops_cli.core.classes import dataclass, field
from mlops_cli.fingerprint.noting import noted

Kind = Literal['folder', 'file', 'link', 'other']

EXTENSIONS = ('.so', '.pyd')
_SUFFIXES = (*EXTENSIONS, '.py', '.pyc')
_ENVIRONMENT_NAMES = frozenset(('site-packages', 'dist-packages', 'node_modules', '.git', '.mlops'))


@dataclass(slots=True)
class Listing:
    """``kinds``: of the entries of a folder, by name.  ``modules``: module name -> names of files that may be it, in the
    order python prefers them.  ``stems``: all names under which something might be imported from it."""

    kinds: dict[str, Kind] = field(default_factory=dict)
    modules: dict[str, tuple[str, ...]] = field(default_factory=dict)
    stems: frozenset[str] = frozenset()


_NOTHING = Listing()


class Folders:
    """What is where, remembered from the first look on; absolute paths in and out.

    A path counts as inside the project by what it is once all links are resolved."""

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)
        self._inside = self.root.rstrip('/') + '/'
        self._listings: dict[str, Listing] = {}
        self._real: dict[str, str] = {}
        self._relative: dict[str, str | None] = {}
        self._environments: dict[str, bool] = {}

    def listing(self, folder: str) -> Listing:
        """Of a folder; an empty one for what is none or cannot be read."""
        found = self._listings.get(folder)
        if found is None:
            found = self._listings[folder] = _list(folder)
        return found

    def real(self, path: str) -> str:
        """With all links resolved."""
        found = self._real.get(path)
        if found is None:
            try:
                found = os.path.realpath(path)
            except (OSError, ValueError):
                found = path
            self._real[path] = found
        return found

    def look(self, path: str) -> tuple[str, os.stat_result | None, bool]:
        """A path with its links resolved, the state of what is there (None: nothing), and whether it is itself a link."""
        folder, _, name = path.rpartition('/')
        try:
            status = os.lstat(noted(path))
            if stat.S_ISLNK(status.st_mode):
                return self.real(path), os.stat(path), True
        except (OSError, ValueError):
            return path, None, False
        return f'{self.real(folder or "/").rstrip("/")}/{name}', status, False

    def relative(self, real_folder: str) -> str | None:
        """A resolved folder's path from the root, '' for the root itself; None outside the project's code, such as in an
        environment that lies in the project."""
        if real_folder in self._relative:
            return self._relative[real_folder]
        found: str | None = None
        if real_folder == self.root:
            found = ''
        elif real_folder.startswith(self._inside) and not self._is_environment(real_folder):
            found = real_folder[len(self._inside):]
        self._relative[real_folder] = found
        return found

    def foreign(self, name: str, file: str, places: tuple[str, ...]) -> frozenset[str]:
        """A sentence if a module comes from one of these folders that lies outside the project and that nobody installed:
        what stands on PYTHONPATH gets edited."""
        return frozenset(
            f'{name} is imported from {place}, which lies outside the project, so it is not followed' for place in places
            if file.startswith(f'{place}/') and not f'{place}/'.startswith(self._inside)
            and _ENVIRONMENT_NAMES.isdisjoint(place.split('/')))

    def relative_file(self, real_file: str) -> str | None:
        """As :meth:`relative`, of a file."""
        folder, _, name = real_file.rpartition('/')
        rel = self.relative(folder)
        return None if rel is None else f'{rel}/{name}' if rel else name

    def kind(self, folder: str, name: str) -> Kind | None:
        """Of an entry of a folder, a link taken as what it names; None if nothing is there."""
        kind = self.listing(folder).kinds.get(name)
        if kind != 'link':
            return kind
        target = self.real(noted(f'{folder}/{name}'))
        return 'folder' if os.path.isdir(target) else 'file' if os.path.isfile(target) else None

    def child(self, folder: str, name: str) -> str:
        """The resolved path of an entry."""
        path = f'{folder}/{name}'
        return self.real(path) if self.listing(folder).kinds.get(name) == 'link' else path

    def _is_environment(self, folder: str) -> bool:
        """Whether a folder strictly inside the root is, or lies in, what tools install: no code of the project's."""
        asked = []
        found: bool | None = False
        while folder != self.root:
            if (found := self._environments.get(folder)) is not None:
                break
            asked.append(folder)
            parent, _, name = folder.rpartition('/')
            found = (name in _ENVIRONMENT_NAMES or os.path.lexists(noted(f'{folder}/pyvenv.cfg'))
                     or os.path.lexists(noted(f'{folder}/conda-meta')))
            if found:
                break
            folder = parent
        self._environments.update(dict.fromkeys(asked, bool(found)))
        return bool(found)


def _list(folder: str) -> Listing:
    kinds: dict[str, Kind] = {}
    files: dict[str, list[str]] = {}
    try:
        with os.scandir(noted(folder, listed=True)) as entries:
            for entry in entries:
                name = entry.name
                kinds[name] = kind = _kind(entry)
                if name.endswith(_SUFFIXES) and kind in ('file', 'link'):
                    files.setdefault(name.partition('.')[0], []).append(name)
    except (OSError, ValueError):
        return _NOTHING
    modules = {}
    for stem, names in files.items():
        real = [name for name in names if _rank(name, stem) is not None]
        if real:
            modules[stem] = tuple(sorted(real, key=lambda name, stem=stem: (_rank(name, stem), name)))  # type: ignore[misc]
    return Listing(kinds, modules, frozenset(modules).union(name for name, kind in kinds.items() if kind != 'file'))


def _rank(name: str, stem: str) -> int | None:
    """The place of a file among those of one module; None if it is none (``a.b.py``)."""
    rest = name[len(stem):]
    if rest.endswith(EXTENSIONS):
        tag = rest.rpartition('.')[0]
        return 0 if tag.startswith(('.cpython-', '.cp3')) else 1 if tag == '.abi3' else 2 if not tag else None
    return {'.py': 3, '.pyc': 4}.get(rest)


def _kind(entry: os.DirEntry[str]) -> Kind:
    try:
        if entry.is_symlink():
            return 'link'
        return 'folder' if entry.is_dir() else 'file' if entry.is_file() else 'other'
    except OSError:
        return 'other'
