"""Resolved keys of a stage as a Stage: paths from the project's root, flags merged as DVC merges them."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mlops_cli.adopt.dvc.resolver import PARAMS, Resolved
from mlops_cli.adopt.dvc.stages import Out, Param, Path, Stage
from mlops_cli.adopt.dvc.yaml12 import Loaded
from mlops_cli.core.errors import UserError, Where
from mlops_cli.core.paths import check_path
from mlops_cli.core.scalars import kind

_SCHEME = re.compile(r'[A-Za-z][A-Za-z0-9+.-]+://')
_DATASET = 'ds://'


def stage_of(one: Resolved, file: str, folder: str, loaded: Loaded, root: str) -> Stage:
    """``root``: the project's folder, for paths that are absolute.  Raises UserError for what DVC refuses."""
    where = loaded.where('stages', one.entry)
    values = one.values
    wdir = posixpath.normpath(posixpath.join(folder, one.wdir)) if one.wdir else folder
    if posixpath.isabs(wdir):
        wdir = os.path.relpath(wdir, root)
    if wdir.startswith('..'):
        raise UserError(f'stage {one.key}: its wdir {one.wdir} lies outside the project', where=where,
                        hint='go there in cmd, as in cd .. && ..., and write the paths from the project')
    cmd = values.get('cmd')
    if not isinstance(cmd, str | list):
        raise UserError(f'stage {one.key}: its command is {kind(cmd)}', where=where)
    outs = [out for key in ('outs', 'metrics', 'plots') for out in _outs(values.get(key, ()), key, wdir, root)]
    stage = Stage(
        one.key if folder == '.' else f'{file}:{one.key}',
        one.key,
        file,
        one.entry,
        cmd,
        wdir,
        tuple(path_of(str(text), wdir, root) for text in values.get('deps', ())),
        _params(values.get('params', ()), wdir, root, one.key, where),
        tuple(outs),
        bool(values.get('frozen', False)),
        bool(values.get('always_changed', False)),
        values.get('desc') or '',
        values.get('meta'),
        where,
    )
    _check(stage)
    return stage


def path_of(text: str, wdir: str, root: str) -> Path:
    """A path as it is written in a stage that works in ``wdir``."""
    if text.startswith(_DATASET):
        return Path(text, None, 'a data set of DVC')
    if _SCHEME.match(text):
        return Path(text, None, 'a URL', text.rstrip('/'))
    if posixpath.isabs(text):
        inside = posixpath.normpath(text)
        if not inside.startswith(root + '/'):
            return Path(text, None, 'a path outside the project', inside)
        path = inside[len(root) + 1 :]
    else:
        path = posixpath.normpath(posixpath.join(wdir, text))
    if path == '..' or path.startswith('../'):
        return Path(text, None, 'a path outside the project', posixpath.normpath(posixpath.join(root, path)))
    try:
        return Path(text, check_path(path))
    except ValueError as error:
        return Path(text, None, f'a path that mlops cannot hold: it {error}', posixpath.join(root, path))


def _outs(entries: Sequence[Any], key: Any, wdir: str, root: str) -> list[Out]:
    """Flags of one path given twice are taken together, as DVC does."""
    merged: dict[str, dict[str, Any]] = {}
    for entry in entries:
        for text, flags in entry.items() if isinstance(entry, dict) else [(entry, {})]:
            several = flags if isinstance(flags, list) else [flags]
            for one in several:
                merged.setdefault(str(text), {}).update(one)
    return [Out(path_of(text, wdir, root), key, flags) for text, flags in merged.items()]


def _params(entries: Sequence[Any], wdir: str, root: str, name: str, where: Where) -> tuple[Param, ...]:
    """All keys of a file together; a file that stands somewhere without keys counts as a whole."""
    whole = {file for entry in entries if isinstance(entry, Mapping) for file, keys in entry.items() if not keys}
    found: dict[str, list[str]] = {}
    for entry in entries:
        if not isinstance(entry, Mapping):
            if PARAMS not in whole:
                found.setdefault(PARAMS, []).append(str(entry))
            continue
        for file, keys in entry.items():
            if file in whole:
                found[file] = []
            elif not isinstance(keys, list):
                raise UserError(f'stage {name}: params of {file} are {kind(keys)}, not a list of keys', where=where)
            else:
                found.setdefault(file, []).extend(map(str, keys))
    return tuple(Param(path_of(str(file), wdir, root), tuple(dict.fromkeys(keys))) for file, keys in found.items())


def _check(stage: Stage) -> None:
    made = [out.path.path or out.path.written for out in stage.outs]
    for path in made:
        if made.count(path) > 1:
            raise UserError(f'stage {stage.name}: {path} is listed twice among its outputs', where=stage.where)
    for dep in stage.deps:
        if (dep.path or dep.written) in made:
            raise UserError(f'stage {stage.name}: {dep.written} is both read and made', where=stage.where)
