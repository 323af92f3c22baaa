"""One stage of DVC's as an entry of pipeline.yaml with nothing left to resolve, and what of it has no place there."""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Mapping, Sequence
from itertools import chain, count
from typing import Any

from mlops_cli.adopt.dvc import emit
from mlops_cli.adopt.dvc.schema import PLOT
from mlops_cli.adopt.dvc.stages import Out, Stage
from mlops_cli.core.paths import is_pattern
from mlops_cli.pipeline import paramfile

_BASH = re.compile(
    r'\[\[|<\(|>\(|<<<|\bsource\b|\bpushd\b|\bpopd\b|\bdeclare\b|\bfunction\b|&>|\$\{[^}]*[/^,]|\{[^{} ]*,[^{} ]*\}|=\(')
_GOES_ON = re.compile(r';|\n|&(?!&)')
_NONE: Mapping[str, str] = {}
_UNSAFE_NAME = re.compile(r'[^A-Za-z0-9_.-]+')
_UNSAFE_KEY = re.compile(r'[^A-Za-z0-9_.+=-]+')


class Names:
    """DVC's names of stages as ours: the same where they can be, recognisable where not, each once."""

    def __init__(self) -> None:
        self._taken: dict[str, str] = {}
        self._groups: dict[tuple[str, str], str] = {}

    def group(self, file: str, written: str) -> str:
        """Of an entry of a dvc.yaml; that of a folder has the folder in front where another has its name."""
        if (file, written) not in self._groups:
            folder = posixpath.dirname(file)
            bare = _safe(written, _UNSAFE_NAME)
            candidates = [bare] if not folder else [bare, _safe(f'{folder.replace("/", "-")}.{written}', _UNSAFE_NAME)]
            candidates += [f'{candidates[-1]}-{number}' for number in range(2, 10_000)]
            chosen = next(name for name in candidates if name.casefold() not in self._taken)
            self._taken[chosen.casefold()] = written
            self._groups[file, written] = chosen
        return self._groups[file, written]

    def instance(self, stage: Stage) -> str:
        group = self.group(stage.file, stage.written)
        if stage.key == stage.written:
            return group
        key = _safe(stage.key[len(stage.written) + 1 :], _UNSAFE_KEY)
        candidates = chain((f'{group}@{key}',), (f'{group}@{key}-{number}' for number in count(2)))
        chosen = next(name for name in candidates if self._taken.get(name.casefold(), stage.name) == stage.name)
        self._taken[chosen.casefold()] = stage.name
        return chosen


def _safe(text: str, unsafe: re.Pattern[str]) -> str:
    found = unsafe.sub('-', text).strip('-')[:80] or 'stage'
    return found if found[0].isalnum() or found[0] == '_' else f'_{found}'


def escaped(text: str) -> str:
    """Text in which nothing is a template."""
    return text.replace('${', '\\${')


def entry_of(
    stage: Stage, unread: Mapping[str, str] = _NONE, needs: Sequence[str] = ()
) -> tuple[dict[str, Any], list[str]]:
    """(keys of the entry, what to check).  ``unread``: parameter files that mlops does not read, and why.  ``needs``: stages
    that it comes after though none of its dependencies says so."""
    notes: list[str] = []
    entry: dict[str, Any] = {}
    if stage.desc:
        entry['desc'] = escaped(stage.desc)
    entry['cmd'] = _command(stage, notes)
    if stage.wdir != '.':
        entry['wdir'] = escaped(stage.wdir)
    deps = _deps(stage, notes)
    params = _params(stage, deps, unread, notes)
    if deps:
        entry['deps'] = deps
    if needs:
        entry['needs'] = list(needs)
        makers = ', '.join(needs)
        notes.append(f'it reads what {makers} makes and mlops does not keep: it comes after, and does not see changes')
    if params:
        entry['params'] = params
    for kind in ('outs', 'metrics', 'plots'):
        if made := _outs(stage, kind, notes):
            entry[kind] = made
    if stage.frozen:
        entry['frozen'] = True
    if stage.always_changed or stage.callback:
        entry['always_changed'] = True
        if stage.callback:
            notes.append('it has neither dependencies nor outputs, so DVC runs it each time: always_changed says so')
    if isinstance(stage.meta, dict) and all(isinstance(key, str) for key in stage.meta):
        entry['meta'] = _escaped_all(stage.meta)
    elif stage.meta is not None:
        entry['meta'] = {'dvc': _escaped_all(stage.meta)}
    return entry, notes


def _escaped_all(value: Any) -> Any:
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, dict):
        return {escaped(str(key)): _escaped_all(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_escaped_all(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return emit.no_number(value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _command(stage: Stage, notes: list[str]) -> Any:
    commands = [escaped(one) for one in stage.commands if one.strip()]
    if not commands:
        notes.append('its command is empty, and a stage has one: ":" does as little')
        return ':'
    if isinstance(stage.cmd, str) and len(commands) > 1:
        notes.append('DVC runs each line of cmd in a shell of its own: it is a list here, so that it still is so')
    if any(_BASH.search(one) for one in stage.commands):
        notes.append('DVC runs commands in $SHELL, mlops in /bin/sh: this one may use what only bash knows; if so: bash -c ...')
    if any(_GOES_ON.search(one.strip()) for one in stage.commands):
        notes.append('a command of several steps ends here at the first that fails (sh -e), in DVC it goes on')
    return commands[0] if len(commands) == 1 else commands


def _relative(path: str, wdir: str) -> str:
    text = escaped(posixpath.relpath(path, wdir))
    return f'./{text}' if text.startswith('~') else text  # a folder of that name: DVC expands nothing either


def _deps(stage: Stage, notes: list[str]) -> list[Any]:
    found: dict[str, Any] = {}
    for dep in stage.deps:
        if dep.path is None:
            notes.append(f'{dep.written} is {dep.elsewhere}: it is no dependency here, so changes of it are not seen')
            continue
        text = _relative(dep.path, stage.wdir)
        found[dep.path] = {'path': text} if is_pattern(text) else text
    return list(found.values())


def _params(stage: Stage, deps: list[Any], unread: Mapping[str, str], notes: list[str]) -> list[Any]:
    found: list[Any] = []
    for param in stage.params:
        if param.file.path is None:
            notes.append(f'params of {param.file.written}, {param.file.elsewhere}, are not looked at')
            continue
        text = _relative(param.file.path, stage.wdir)
        why = unread.get(param.file.path, '' if text.endswith(paramfile.SUFFIXES) else 'it is no parameter file here')
        if why:
            notes.append(f'{text} is a dependency here, so any change of it counts: {why}')
            if text not in deps and param.file.path not in [dep.path for dep in stage.deps]:
                deps.append(text)
        elif text == 'params.yaml' and param.keys and all(map(_is_key, param.keys)):
            found += [escaped(key) for key in param.keys]
        elif not all(map(_is_key, param.keys)):
            notes.append(f'{text}: a key with an empty part cannot be named, so all of the file counts')
            found.append({text: None})
        else:
            found.append({text: [escaped(key) for key in param.keys] or None})
    return found


def _is_key(key: str) -> bool:
    return all(part.strip() for part in key.split('.')) and not key.partition(':')[0].endswith(paramfile.SUFFIXES)


def _outs(stage: Stage, kind: str, notes: list[str]) -> list[Any]:
    found: list[Any] = []
    for out in stage.outs:
        metric = out.kind == 'metrics' and out.path.path is not None and out.path.path.endswith(paramfile.SUFFIXES)
        role = 'outs' if out.kind == 'metrics' and not metric else out.kind
        if role != kind:
            continue
        path = out.path.path
        if path is None:
            notes.append(f'its output {out.path.written} is {out.path.elsewhere}: mlops does not keep it')
        elif '*' in path or '?' in path:
            notes.append(f'its output {path} has a name that stands for others here, so it cannot be listed: rename it')
        else:
            if out.kind != role:
                notes.append(f'{path} is no file of numbers that mlops reads: it is listed under outs')
            flags = _flags(out, notes)
            text = _relative(path, stage.wdir)
            found.append({text: flags} if flags else text)
    return found


def _flags(out: Out, notes: list[str]) -> dict[str, Any]:
    path, flags = out.path.path, out.flags
    found: dict[str, Any] = {}
    if flags.get('cache') is False:
        found['cache'] = False
    if flags.get('persist'):
        found['persist'] = True
    if isinstance(flags.get('desc'), str) and flags['desc']:
        found['desc'] = escaped(flags['desc'])
    if out.kind == 'plots':
        found |= {key: _escaped_all(flags[key]) for key in PLOT if key in flags and flags[key] not in ('', None)}
    if flags.get('push') is False:
        found['push'] = False
    for key in ('remote', 'type', 'labels', 'meta'):
        if key in flags:
            notes.append(f'{path}: {key}: {flags[key]} has no place in pipeline.yaml')
    return found
