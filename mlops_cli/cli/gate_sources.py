"""What a gate reads that is not one file here: patterns of files, registered models, files of a git revision."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from mlops_cli.checks.gate import read_metrics
from mlops_cli.checks.sources import NobodyYet, Source, Sources, matched, of_metrics
from mlops_cli.checks.tables import NAMED, at_revision
from mlops_cli.cli.opening import is_object
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.patterns import pattern
from mlops_cli.fingerprint.gated import MODEL

MOST = 10_000  # files of a pattern
TOGETHER = 128 << 20  # bytes of them
_MODEL = pattern(rf'{MODEL}/(?P<file>.+)')


def beyond(file: str, quoted: bool, read: Callable[[str], Any], limit: int) -> Sources | None:
    """Of the file of a ``FILE:KEY``; None where it is one file here.  ``read``: a file here -> its values.

    Raises UserError."""
    if not quoted and at_revision(file)[1]:
        return Sources((Source('', file, _of_revision(file, limit)),), many=False)
    if not quoted and (found := _MODEL.fullmatch(file)):
        return _of_model(found['model'], _told_of(found['model']), found['file'])
    if not quoted and '@' in file.rpartition('/')[2]:
        _require_told_apart(file)
    if '*' not in file or (quoted and os.path.lexists(file)):
        return None
    names = [*islice(glob.iglob(glob.escape(file).replace('[*]', '*')), MOST + 1)]
    if not names:
        raise UserError(f'no file is called {file}', hint=f'looked in {os.getcwd()}')
    if len(names) > MOST:
        raise UserError(f'more than {MOST:,} files are called {file}', hint='name fewer of them')
    names = _once(names)
    size = sum(os.stat(name).st_size for name in names if os.path.exists(name))
    if size > TOGETHER:
        hint = 'metrics files are small: write the numbers to one, and the rest elsewhere'
        raise UserError(f'the {len(names):,} files called {file} have {size:,} bytes, more than {TOGETHER:,}', hint=hint)
    return matched(file, names, read)


def _require_told_apart(file: str) -> None:
    """Refuses what may be meant as a revision and would be read as a file: whoever sends a branch could put one there."""
    if file.endswith('@'):  # of a variable that is not set
        raise UserError(f'{file}: no revision stands behind the @', hint='such as best.json@origin/main')
    if file.rpartition('.')[2].lower() not in NAMED:
        raise UserError(
            f'{file}: of a file whose name does not end with .json or the like no revision can be named',
            hint=f'"{file}" in quotes is a file of that name here; revisions: FILE@REV of {", ".join(NAMED)}',
        )


def _once(names: Iterable[str]) -> list[str]:
    """Each file by its own name where links lead to it, too: ``runs/latest`` is no further seed."""
    here = os.path.realpath(os.getcwd())
    found: dict[str, str] = {}
    for name in sorted(names, key=lambda one: _place(one) != os.path.normpath(os.path.join(here, one))):
        found.setdefault(_place(name), name)
    return list(found.values())


def _place(name: str) -> str:
    """Where a file lies; two that are links to one object of a cache are two."""
    real = os.path.realpath(name)
    return os.path.join(os.path.realpath(os.path.dirname(name)), os.path.basename(name)) if is_object(real) else real


def _of_model(name: str, told: Mapping[str, Any], file: str) -> Sources:
    metrics = told.get('metrics')
    if not isinstance(metrics, Mapping):
        metrics = {}
    found = of_metrics(file, metrics, f'{name}/')
    if not found.all:
        left_out = f'; {told["left_out"]} numbers were left out when it was registered' if told.get('left_out') else ''
        hint = f'there are those of: {_listed(metrics)}{left_out}'
        raise UserError(f'{name} was registered without metrics of {file}', hint=hint)
    return found


def _told_of(name: str) -> Mapping[str, Any]:
    """What is told of a model, its metrics too.  Raises NobodyYet, UserError."""
    if 'MLOPS_STAGE' in os.environ:
        return _as_told(name)
    from mlops_cli.cli.finding import find_project  # no gate needs a project that names no model
    from mlops_cli.fsio.paths import Root
    from mlops_cli.run import named_models

    folder = find_project(os.getcwd())
    if not folder:
        raise UserError(f'{name}: there is no project here, whose models it could be', hint='mlops -C DIR gate ...')
    with Root(folder) as root:
        _, told = named_models.told(root, name)
    return _checked(name, told)


def _as_told(name: str) -> Mapping[str, Any]:
    """In a stage: who holds an alias then is part of what the stage depends on, and is not asked anew."""
    try:
        known = json.loads(os.environ.get('MLOPS_MODELS') or '{}')
    except ValueError:
        known = {}
    told = known.get(name) if isinstance(known, dict) else None
    if not isinstance(told, dict):
        raise UserError(
            f'the command of this stage does not name {name}, so that the stage would not run again when that changes',
            hint=f'write mlops gate "... {name}/FILE:KEY" in its cmd, not in a script',
        )
    return _checked(name, told)


def _checked(name: str, told: Mapping[str, Any]) -> Mapping[str, Any]:
    if 'absent' in told:
        problem, hint = str(told['absent']), str(told.get('hint'))
        if hint.startswith('did you mean'):  # a slip of the pen must not pass for one that nobody holds yet
            raise UserError(problem, hint=hint)
        raise NobodyYet(problem, exit_code=ExitCode.FAILED, hint='where that is right: mlops gate --first EXPR')
    if 'problem' in told:
        code = ExitCode(told.get('exit', ExitCode.FAILED))
        raise UserError(f'{name}: {told["problem"]}', exit_code=code, hint=str(told.get('hint', '')))
    return told


def _of_revision(file: str, limit: int) -> Any:
    if 'MLOPS_STAGE' in os.environ:
        raise UserError(
            f'{file}: what a revision has is no input of a stage, which would not run again when it moves',
            hint='compare with revisions in a CI step, or with a registered model here',
        )
    from mlops_cli.cli import revised  # few gates name a revision

    with open(revised.opened(file), 'rb') as opened:
        return read_metrics(opened.read(limit + 1), at_revision(file)[0])


def _listed(names: Iterable[str]) -> str:
    return ', '.join(sorted(names)[:5]) or 'none'
