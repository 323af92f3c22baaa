"""What DVC recorded: dvc.lock, and .dvc files.  Text in, values out."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any

from mlops_cli.adopt.dvc.config import without_secret
from mlops_cli.adopt.dvc.shape import path_of
from mlops_cli.adopt.dvc.stages import Hash, Locked, Stage, Tracked
from mlops_cli.adopt.dvc.yaml12 import Loaded
from mlops_cli.core.errors import UserError
from mlops_cli.core.near import did_you_mean

_MD5 = re.compile(r'[0-9a-f]{32}(\.dir)?')
_ROOT = ('md5', 'wdir', 'deps', 'outs', 'frozen', 'locked', 'meta', 'always_changed', 'desc')
LEGACY = 'md5-dos2unix'
_OLD_STAGE = 'make its cmd, deps and outs a stage of a dvc.yaml, and remove it; dvc commit --force records what lies there'
_FLAGS = ('cache', 'persist', 'remote', 'push', 'desc', 'type', 'labels', 'meta')


def lock_of(loaded: Loaded, stages: Mapping[str, Stage]) -> dict[str, Locked]:
    """Stage -> what is recorded of it; of stages that the dvc.yaml does not have nothing.  Raises UserError."""
    value = loaded.value or {}
    if not isinstance(value, dict):
        raise UserError('a dvc.lock is a mapping', where=loaded.where())
    if value.get('schema') != '2.0':
        raise UserError('DVC 3 reads only locks of schema 2.0', where=loaded.where('schema'),
                        hint='remove it: dvc commit --force writes it anew, of what lies there; or dvc commit of DVC 2')
    found: dict[str, Locked] = {}
    entries = value.get('stages') or {}
    if not isinstance(entries, dict):
        raise UserError('stages is no mapping', where=loaded.where('stages'))
    for name, said in entries.items():
        if not isinstance(said, dict) or 'cmd' not in said:
            raise UserError(f'{name}: what is recorded has no cmd', where=loaded.where('stages', name))
        if name in stages:
            found[name] = locked(loaded, ('stages', name), name, said, stages[name].wdir)
    return found


def locked(loaded: Loaded, at: tuple[str, ...], name: str, said: Mapping[str, Any], wdir: str) -> Locked:
    """One entry, whose keys are below ``at``.  Raises UserError."""
    where = loaded.where(*at)
    sections = {}
    for section in ('deps', 'outs'):
        rows = said.get(section) or []
        if not isinstance(rows, list) or not all(isinstance(row, dict) and isinstance(row.get('path'), str) for row in rows):
            raise UserError(f'{name}: {section} is no list of paths', where=where)
        sections[section] = {_normal(row['path'], wdir): hash_of(row) for row in rows}
    params = said.get('params') or {}
    if not isinstance(params, dict) or not all(isinstance(one, dict) for one in params.values()):
        raise UserError(f'{name}: params is no mapping of files to values', where=where)
    return Locked(said['cmd'], sections['deps'], sections['outs'],
                  {_normal(str(file), wdir): one for file, one in params.items()}, where)


def _normal(path: str, wdir: str) -> str:
    """From the project's root; a URL as it is."""
    return path if '://' in path or path.startswith('/') else posixpath.normpath(posixpath.join(wdir, path))


def hash_of(row: Mapping[str, Any]) -> Hash:
    """Nothing where what is recorded is no md5: an etag, or what nobody wrote."""
    name = row.get('hash')
    legacy = name is None
    value = row.get('md5')
    files = row.get('files')
    size = row.get('size')
    listed = _files(files) if isinstance(files, list) else ()
    known = value if isinstance(value, str) and _MD5.fullmatch(value) and name in (None, 'md5') else ''
    return Hash(LEGACY if legacy else 'md5', known, size if isinstance(size, int) else None, listed, row.get('isexec') is True)


def _files(rows: list[Any]) -> tuple[tuple[str, str], ...]:
    found = [(row.get('relpath'), row.get('md5')) for row in rows if isinstance(row, dict)]
    good = tuple((rel, md5) for rel, md5 in found if isinstance(rel, str) and isinstance(md5, str) and _MD5.fullmatch(md5))
    return good if len(good) == len(rows) else ()


def tracked_of(loaded: Loaded, file: str, root: str) -> list[Tracked]:
    """The outputs of a .dvc file.  Raises UserError."""
    value = loaded.value or {}
    if not isinstance(value, dict):
        raise UserError('a .dvc file is a mapping', where=loaded.where())
    for key in value:
        if key not in _ROOT:
            if key == 'cmd':
                raise UserError('a stage in a .dvc file, which DVC 3 does not read', where=loaded.where(key), hint=_OLD_STAGE)
            raise UserError(f'DVC knows no key {key!r} here', where=loaded.where(key), hint=did_you_mean(str(key), _ROOT))
    wdir = posixpath.normpath(posixpath.join(posixpath.dirname(file) or '.', str(value.get('wdir') or '.')))
    outs, deps = value.get('outs') or [], value.get('deps') or []
    if not isinstance(outs, list) or not isinstance(deps, list):
        raise UserError('outs and deps are lists', where=loaded.where('outs'))
    url, tag = _address(deps) if len(outs) == 1 else ('', '')
    found = []
    for number, row in enumerate(outs):
        where = loaded.where('outs', number)
        if not isinstance(row, dict) or not isinstance(row.get('path'), str):
            raise UserError('an entry of outs has no path', where=where)
        flags = {key: row[key] for key in _FLAGS if key in row}
        frozen = bool(value.get('frozen', value.get('locked', False)))
        path = path_of(row['path'], wdir, root)
        found.append(Tracked(file, path, hash_of(row), _source(deps), frozen, flags, where, url, tag))
    return found


def _address(deps: list[Any]) -> tuple[str, str]:
    """(url, ETag as servers say it) of what ``dvc import-url`` brought; empty where it was brought otherwise."""
    dep = deps[0] if len(deps) == 1 and isinstance(deps[0], dict) else {}
    url, tag = dep.get('path'), dep.get('etag') or dep.get('checksum')
    if not isinstance(url, str) or '://' not in url or 'repo' in dep or 'db' in dep:
        return '', ''
    if not isinstance(tag, str) or not tag.isprintable():
        return url, ''
    if url.startswith('s3://'):
        return url, f'"{tag}"'  # DVC takes the quotes away
    return url, tag if url.startswith('http') and tag.startswith(('"', 'W/"')) else ''


def _source(deps: list[Any]) -> str:
    if not deps or not isinstance(deps[0], dict):
        return ''
    dep = deps[0]
    if isinstance(repo := dep.get('repo'), dict):
        rev = repo.get('rev') or repo.get('rev_lock') or ''
        return f'{dep.get("path", "")} of {without_secret(str(repo.get("url", "")))}' + (f' at {rev}' if rev else '')
    if isinstance(db := dep.get('db'), dict):
        return f'a query to {db.get("connection", "a database")}'
    return without_secret(str(dep.get('path', '')))
