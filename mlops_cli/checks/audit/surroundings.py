"""What of all that is opened is no input of a stage: the system, interpreters and their packages, caches, and the tool's own
files."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

import mlops_cli
from mlops_cli.core import patterns

# Folders of the system, and those that are no files at all.  /var, /opt, /srv, /mnt and the like may hold data.
_SYSTEM = (
    '/usr/', '/lib/', '/lib32/', '/lib64/', '/libx32/', '/bin/', '/sbin/', '/etc/', '/proc/', '/sys/', '/dev/', '/run/',
    '/boot/', '/snap/', '/nix/', '/gnu/store/', '/var/lib/dpkg/', '/var/cache/', '/var/run/', '/var/lock/',
    '/System/', '/Library/',
)  # fmt: skip
_INSTALLED = patterns.pattern(
    r'/(?:site-packages|dist-packages|lib-dynload|node_modules|[^/]+\.(?:egg|dist)-info|pyvenv\.cfg)(?:/|$)|/lib(?:64)?/python3[^/]*/'
)
_LIBRARY = patterns.pattern(r'\.so(?:\.[0-9.]+)?$|\.dylib$|\.pth$')
_CACHE = patterns.pattern(r'/(?:[^/]*[-_.]?caches?|torchinductor_[^/]*|matplotlib-[^/]*)/', re.IGNORECASE)
_HIDDEN = patterns.pattern(r'/home/[^/]+/\.')  # settings and caches of people
_OWN = frozenset({'.git', '.mlops'})
_OWN_FILES = frozenset({'pipeline.yaml', '.mlopsignore', '.gitignore', '.gitattributes', '.python-version'})
_NOISE = patterns.pattern(r'(?:^|/)(?:__pycache__/.*|.*\.py[co]|\.ipynb_checkpoints/.*|\.DS_Store|[^/]*~|\.[^/]*\.sw.)$')

# This program, which a stage may be a command of, wherever it is.
_PACKAGE = os.path.dirname(os.path.abspath(mlops_cli.__file__))
_OURSELVES = tuple(dict.fromkeys((f'{_PACKAGE}/', f'{os.path.realpath(_PACKAGE)}/')))


class Surroundings:
    """``root``: absolute path of the project.  ``files``: those that the pipeline is read from."""

    def __init__(self, root: str, environ: Mapping[str, str], files: frozenset[str] = frozenset()) -> None:
        self._root = root
        self._files = files | _OWN_FILES
        self._prefixes: dict[str, None] = dict.fromkeys(_OURSELVES)
        self._homes = tuple(dict.fromkeys(filter(None, (environ.get('HOME'), os.path.realpath(os.path.expanduser('~'))))))
        self._caches = tuple(f'{environ[name]}/' for name in ('XDG_CACHE_HOME', 'PYTHONPYCACHEPREFIX') if environ.get(name))
        self._environments: dict[str, bool] = {}

    def program(self, name: str, real: str) -> None:
        """Something was run: what is installed around it is no input."""
        for path in (name, real):
            folder, _, last = path.rpartition('/')
            prefix = os.path.dirname(folder)
            installed = os.path.basename(folder) in ('bin', 'sbin', 'libexec') and prefix.count('/') > 1 and last
            if installed and not f'{self._root}/'.startswith(f'{prefix}/') and not prefix.startswith(f'{self._root}/'):
                self._prefixes[f'{prefix}/'] = None

    def of_machine(self, path: str) -> bool:
        """Of a file outside the project: no input."""
        if path.startswith((*_SYSTEM, *self._prefixes, *self._caches)):
            return True
        if _INSTALLED.search(path) or _LIBRARY.search(path) or _CACHE.search(path):
            return True
        return path.startswith(tuple(f'{home}/.' for home in self._homes)) or bool(_HIDDEN.match(path))

    def of_project(self, path: str) -> bool:
        """Of a file of the project: no input."""
        first = path.partition('/')[0]
        if first in _OWN or path in self._files or _NOISE.search(path):
            return True
        return bool(_INSTALLED.search(f'/{path}')) or self._in_environment(path)

    def _in_environment(self, path: str) -> bool:
        """Whether it lies in a virtual or conda environment."""
        folder = os.path.dirname(path)
        if not folder:
            return False
        if folder not in self._environments:
            full = os.path.join(self._root, folder)
            here = os.path.exists(f'{full}/pyvenv.cfg') or os.path.isdir(f'{full}/conda-meta')
            self._environments[folder] = here or self._in_environment(folder)
        return self._environments[folder]
