"""Settings: flag, MLOPS_* variable, config.local.yaml, the user's own config, config.yaml, default; the first that has one.

What could hurt is refused in the tracked file: it comes with a branch, and so from anybody.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from mlops_cli.core import layout
from mlops_cli.core.document import Document
from mlops_cli.core.errors import UserError
from mlops_cli.fsio.durable import Durability
from mlops_cli.fsio.paths import Root
from mlops_cli.store.materialise import LinkMode
from mlops_cli.yamlfile import read

LINKS: tuple[LinkMode, ...] = ('reflink', 'copy', 'hardlink', 'symlink')
DURABILITIES = ('batch', 'full', 'none')
LOCAL_ONLY = ('cache.dir', 'cache.links', 'durability')  # refused in .mlops/config.yaml
LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Config:
    """``cache``: absolute path.  ``links``: ways to bring an object into the workspace, first that works.
    ``tokens``: name -> how many there are.  ``jobs`` 0: as many as processors."""

    cache: str
    links: tuple[LinkMode, ...] = ('reflink', 'copy')
    durability: Durability = 'batch'
    jobs: int = 0
    tokens: Mapping[str, int] = field(default_factory=dict)


def _file_settings(data: bytes | None, file: str, tracked: bool) -> dict[str, Any]:
    if data is None:
        return {}
    document = read(data, file)
    value = document.value or {}
    if not isinstance(value, dict):
        raise UserError('a config file is a mapping of names to values', where=document.where(()))
    found: dict[str, Any] = {}
    for name, item in value.items():
        if name == 'tokens':
            found[name] = _tokens(item, document)
        elif isinstance(item, dict):
            found |= {f'{name}.{inner}': leaf for inner, leaf in item.items()}
        else:
            found[name] = item
    for name in found:
        where = document.where(tuple(name.split('.')))
        if name not in KNOWN:
            near = get_close_matches(name, KNOWN, 1)
            raise UserError(
                f'unknown setting {name!r}',
                where=where,
                hint=f'did you mean {near[0]}?' if near else f'settings are {", ".join(KNOWN)}',
            )
        if tracked and name in LOCAL_ONLY:
            raise UserError(
                f'{name} may not come with a branch', where=where, hint=f'write it to {layout.CONFIG_LOCAL}, which git ignores'
            )
    return found


KNOWN = ('cache.dir', 'cache.links', 'durability', 'jobs', 'tokens')


def _tokens(value: Any, document: Document) -> dict[str, int]:
    if not isinstance(value, dict) or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in value.values()):
        raise UserError(
            'tokens is a mapping of names to whole numbers above 0',
            where=document.where(('tokens',)),
            hint='such as tokens: {licence: 2}',
        )
    return dict(value)


def load_config(root: Root, environ: Mapping[str, str]) -> Config:
    """Reads what there is.  Raises UserError naming file, line and column."""
    settings: dict[str, Any] = {}
    home = environ.get('XDG_CONFIG_HOME') or os.path.join(environ.get('HOME', ''), '.config')
    for file, tracked in (
        (layout.CONFIG, True),
        (os.path.join(home, 'mlops', 'config.yaml'), False),
        (layout.CONFIG_LOCAL, False),
    ):
        settings |= _file_settings(_bytes(root, file), file, tracked)
    for name, variable in (
        ('cache.dir', 'MLOPS_CACHE_DIR'),
        ('jobs', 'MLOPS_JOBS'),
        ('durability', 'MLOPS_DURABILITY'),
        ('cache.links', 'MLOPS_CACHE_LINKS'),
    ):
        if environ.get(variable):
            settings[name] = environ[variable]
    return _checked(root, settings)


def _bytes(root: Root, file: str) -> bytes | None:
    """A file of the project is read without following links; the user's own is the user's own."""
    try:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC) if os.path.isabs(file) else root.open(file, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with open(fd, 'rb') as opened:
        return opened.read(LIMIT + 1)


def _checked(root: Root, settings: Mapping[str, Any]) -> Config:
    asked = settings.get('cache.links', ('reflink', 'copy'))
    words = asked.replace(',', ' ').split() if isinstance(asked, str) else list(asked)
    links = tuple(link for link in LINKS if link in words)
    links = tuple(sorted(links, key=words.index))
    if not links or len(links) != len(words):
        raise UserError(f'cache.links {", ".join(map(str, words))!r} is not a list of {", ".join(LINKS)}')
    durability = settings.get('durability', 'batch')
    if durability not in DURABILITIES:
        raise UserError(f'durability {durability!r} is none of {", ".join(DURABILITIES)}')
    try:
        jobs = int(settings.get('jobs', 0))
    except ValueError:
        jobs = -1
    if jobs < 0:
        raise UserError(f'jobs {settings["jobs"]!r} is not a whole number', hint='0 means as many as there are processors')
    cache = os.path.join(root.path, os.path.expanduser(str(settings.get('cache.dir', layout.CACHE))))
    return Config(cache, links, durability, jobs, settings.get('tokens', {}))
