"""DVC's settings: which files there are, what each says, and how far each is believed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from mlops_cli import git
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.errors import UserError, Where
from mlops_cli.fsio.atomic import read_file
from mlops_cli.fsio.paths import Root

FOLDER = '.dvc'
SIZE_LIMIT = 1 << 20  # bytes of a file of settings
_SECTION = re.compile(r'\[\s*(.+?)\s*\]')
_NAMED = re.compile(r'(\w+)\s+"(.*)"')


@dataclass(frozen=True)
class Remote:
    """``url``: as it is written, of a folder its path from the project or absolute."""

    name: str
    url: str
    version_aware: bool = False


@dataclass(frozen=True)
class Config:
    """``cache``: the folder of DVC's cache, absolute.  ``cache_by_git``: what names a folder elsewhere came by git, so that it
    is not believed by itself.  ``links``: how DVC links.  ``parsing``: how mappings become options."""

    cache: str
    cache_by_git: bool = False
    shared: bool = False
    links: tuple[str, ...] = ()
    remotes: Mapping[str, Remote] = field(default_factory=dict)
    default_remote: str = ''
    parsing: Mapping[str, str] = field(default_factory=dict)


def load(root: Root, environ: Mapping[str, str]) -> Config:
    """The settings of the project, and those of the person around them.  Raises UserError."""
    layers = [(_parse(text, file), base, mine) for text, file, base, mine in _layers(root, environ)]
    merged: dict[str, dict[str, tuple[str, str, bool]]] = {}
    for sections, base, mine in layers:
        for section, values in sections.items():
            merged.setdefault(section, {}).update({key: (value, base, mine) for key, value in values.items()})
    cache = merged.get('cache', {})
    folder, by_git = _cache(root, cache.get('dir'))
    return Config(
        folder,
        by_git,
        cache.get('shared', ('', '', True))[0] == 'group',
        tuple(part.strip() for part in cache.get('type', ('', '', True))[0].split(',') if part.strip()),
        dict(_remotes(merged)),
        merged.get('core', {}).get('remote', ('', '', True))[0],
        {key: value for key, (value, _, _) in merged.get('parsing', {}).items()},
    )


def _layers(root: Root, environ: Mapping[str, str]) -> list[tuple[str, str, str, bool]]:
    """(text, its file, folder that its paths are relative to, whether the person wrote it), weakest first."""
    found: list[tuple[str, str, str, bool]] = []
    home = environ.get('HOME', '')
    own = environ.get('DVC_GLOBAL_CONFIG_DIR') or os.path.join(environ.get('XDG_CONFIG_HOME') or f'{home}/.config', 'dvc')
    for folder in (environ.get('DVC_SYSTEM_CONFIG_DIR') or '/etc/xdg/dvc', own):
        try:
            with Root(folder) as elsewhere:
                text = read_file(elsewhere, 'config', SIZE_LIMIT).decode('utf-8', 'replace')
                found.append((text, os.path.join(folder, 'config'), folder, True))
        except (OSError, UserError):
            continue
    by_git = set(git.tracked(root.path, [f'{FOLDER}/config.local']))
    for name in ('config', 'config.local'):
        rel = f'{FOLDER}/{name}'
        try:
            text = read_file(root, rel, SIZE_LIMIT).decode('utf-8', 'replace')
        except (FileNotFoundError, NotADirectoryError):
            continue
        found.append((text, rel, root.full(FOLDER), name == 'config.local' and rel not in by_git))
    return found


def _parse(text: str, file: str) -> dict[str, dict[str, str]]:
    """Section -> setting -> text.  A section with a name is ``remote "name"``.  Raises UserError for what DVC refuses."""
    sections: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if not bare or bare[0] in '#;':
            continue
        if found := _SECTION.fullmatch(bare.partition(' #')[0].strip()):
            name = _unquoted(found[1])
            name = name if '"' in name else name.lower()
            if name in sections:
                raise UserError(f'a second section [{name}]', where=Where(file, number, 1), hint='DVC reads no such file')
            current = sections[name] = {}
        elif '=' in bare[1:]:
            key, _, value = bare.partition('=')
            key = _unquoted(key.strip()).lower()
            if key in current:
                raise UserError(f'{key} is set a second time', where=Where(file, number, 1), hint='DVC reads no such file')
            value = value.strip()
            value = value if value[:1] in '\'"' else value.partition(' #')[0].strip()
            current[key] = _unquoted(value)
        elif "'''" not in text and '"""' not in text:  # which may hold lines of any kind
            raise UserError('neither a [section] nor a setting = value', where=Where(file, number, 1))
    return sections


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in '\'"' else text


def _cache(root: Root, said: tuple[str, str, bool] | None) -> tuple[str, bool]:
    if said is None:
        rel = f'{FOLDER}/cache'
        return root.full(rel), bool(git.tracked(root.path, [rel]))
    text, base, mine = said
    folder = os.path.normpath(os.path.join(base, os.path.expanduser(text)))
    inside = folder.startswith(root.path + os.sep)
    return folder, not mine and not inside


def _remotes(merged: Mapping[str, Mapping[str, tuple[str, str, bool]]]) -> list[tuple[str, Remote]]:
    found = []
    for section, values in merged.items():
        named = _NAMED.fullmatch(section)
        if named is None or named[1].lower() != 'remote' or 'url' not in values:
            continue
        url, base, _ = values['url']
        if '://' not in url:
            url = os.path.normpath(os.path.join(base, os.path.expanduser(url)))
        aware = values.get('version_aware', ('', '', True))[0].lower() in ('true', '1', 'yes', 'on')
        found.append((named[2], Remote(named[2], without_secret(url), aware)))
    return found


def without_secret(url: str) -> str:
    """A URL as it may be shown: what stands before an @ may be a password."""
    scheme, colon, rest = url.partition('://')
    host, slash, path = rest.partition('/')
    return f'{scheme}{colon}{host.rpartition("@")[2]}{slash}{path}' if colon else url


def document(config: Config) -> dict[str, Any]:
    return {
        'cache': config.cache,
        'remotes': [{'name': one.name, 'url': one.url} for one in config.remotes.values()],
        'default_remote': config.default_remote or None,
    }
