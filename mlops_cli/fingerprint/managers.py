"""Tools that run a command in an environment of theirs (uv, poetry, conda...): where their command begins and which
environment it gets, read from disk, never by asking the tool."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from mlops_cli.core.classes import dataclass
from mlops_cli.fingerprint.noting import noted
from mlops_cli.fingerprint.shell import Word


@dataclass(frozen=True, slots=True)
class Managed:
    """``words``: of the command.  ``python_words``: they follow an unwritten ``python`` (``uv run x.py``, ``uv run -m pkg``).
    ``environment``: absolute folder of the environment, None if it is not there.  ``python``: what ``--python`` asks for, else
    empty.  ``folder``: where the command starts, None for where the tool was.  ``looked_for``: paths of the environments
    that would have been taken before."""

    words: tuple[Word, ...]
    environment: str | None
    python_words: bool = False
    python: str = ''
    folder: Word | None = None
    looked_for: tuple[str, ...] = ()


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_UV_VALUES = _set(
    '--with --with-editable --with-requirements -w --extra --group --only-group --no-group --no-extra --env-file --python -p '
    '--index --default-index --index-url -i --extra-index-url --find-links -f --upgrade-package -P --reinstall-package '
    '--index-strategy --keyring-provider --resolution --prerelease --exclude-newer --link-mode --config-setting -C '
    '--no-build-isolation-package --no-build-package --no-binary-package --refresh-package --package --project --directory '
    '--config-file --cache-dir --color --allow-insecure-host --python-platform --fork-strategy --config-settings-package '
    '--no-sources-package --exclude-newer-package')
_UV_PYTHON = _set('-m --module -s --script --gui-script')  # what follows is for python
_POETRY_VALUES = _set('-C --directory -P --project')
_CONDA_VALUES = _set('-n --name -p --prefix --cwd')
_OTHER_VALUES = _set('-p --project -P --pyproject -e --env --venv')
_CONDAS = _set('conda mamba micromamba')

MANAGERS = _set('uv poetry pipenv pdm rye hatch') | _CONDAS


def managed(name: str, words: Sequence[Word], cwd: str, environ: Mapping[str, str]) -> Managed | None:
    """The command that a manager runs; None if its words run none of ours (``uv sync``)."""
    values = _UV_VALUES if name == 'uv' else _CONDA_VALUES if name in _CONDAS else \
        _POETRY_VALUES if name == 'poetry' else _OTHER_VALUES
    at, options = _options(words, 1, values)
    if at >= len(words) or words[at].text != 'run':
        return None
    at, more = _options(words, at + 1, values)
    options = {**options, **more}
    rest = tuple(words[at:])
    if name == 'hatch' and rest and rest[0].text and ':' in rest[0].text:  # hatch run ENVIRONMENT:COMMAND
        command = rest[0].text.partition(':')[2]
        rest = (Word(command, command), *rest[1:])
    folder = next((options[key] for key in ('--directory', '--cwd') if key in options), None)
    if name == 'poetry':
        folder = options.get('-C') or folder
    start = os.path.join(cwd, (folder.text or '') if folder else '')
    project = options.get('--project') or (options.get('-P') if name == 'poetry' else None)
    if project and project.text:
        start = os.path.join(start, project.text)
    environment, looked_for = _environment(name, os.path.normpath(start), environ, options)
    first = rest[0].text or '' if rest else ''
    for_python = bool(_UV_PYTHON & options.keys()) or first.endswith(('.py', '.pyw')) or first == '-'
    unwritten = name == 'uv' and for_python
    if unwritten and {'-m', '--module'} & options.keys():
        rest = (Word('-m', '-m'), *rest)
    wanted = options.get('--python') or options.get('-p') if name == 'uv' else None
    return Managed(rest, environment, unwritten, wanted.text or '' if wanted else '', folder, looked_for)


def _options(words: Sequence[Word], at: int, values: frozenset[str]) -> tuple[int, dict[str, Word]]:
    """Where the options that start at ``at`` end, and the options with their values."""
    found: dict[str, Word] = {}
    while at < len(words):
        text = words[at].text
        if text is None or not text.startswith('-') or text == '-':
            break
        at += 1
        if text == '--':
            break
        name, equals, value = text.partition('=')
        if equals:
            found[name] = Word(value, value)
        elif name in values and at < len(words):
            found[name] = words[at]
            at += 1
        else:
            found[name] = Word('', '')
    return at, found


def _environment(name: str, start: str, environ: Mapping[str, str],
                 options: Mapping[str, Word]) -> tuple[str | None, tuple[str, ...]]:
    """The environment's folder, and those that would have been taken before it."""
    if name in _CONDAS:
        candidates = _conda(start, environ, options)
    else:
        candidates = []
        projects = _projects(start)
        active = environ.get('VIRTUAL_ENV')
        if active and (name in ('poetry', 'pipenv') or '--active' in options):
            candidates.append(active)
        if name == 'uv' and environ.get('UV_PROJECT_ENVIRONMENT'):
            candidates += [os.path.join(project, environ['UV_PROJECT_ENVIRONMENT']) for project in projects]
        else:
            candidates += [f'{project}/.venv' for project in projects]
        if name in ('poetry', 'pipenv'):
            candidates += _central(name, projects[0], environ)
    missing: list[str] = []
    for candidate in candidates:
        if os.path.exists(noted(f'{candidate}/bin/python')):
            return candidate, tuple(missing)
        missing.append(f'{candidate}/bin/python')
    return None, tuple(missing)


def _projects(start: str) -> list[str]:
    """The folders upwards that hold a project file, nearest first (a workspace's members share its environment);
    ``start`` if there is none."""
    found, folder = [], start
    while True:
        if any(os.path.lexists(noted(f'{folder}/{name}')) for name in ('pyproject.toml', 'Pipfile')):
            found.append(folder)
        parent = os.path.dirname(folder)
        if parent == folder:
            return found or [start]
        folder = parent


def _central(name: str, project: str, environ: Mapping[str, str]) -> list[str]:
    """Environments that poetry and pipenv keep in a folder of the user's, named by a hash of the project's path."""
    import base64  # slow to load, and few need it
    import hashlib

    home = environ.get('HOME', '')
    if name == 'poetry':
        cache = environ.get('POETRY_CACHE_DIR') or f'{environ.get("XDG_CACHE_HOME") or f"{home}/.cache"}/pypoetry'
        folder = environ.get('POETRY_VIRTUALENVS_PATH') or f'{cache}/virtualenvs'
        mark = base64.urlsafe_b64encode(hashlib.sha256(os.path.realpath(project).encode()).digest()).decode()[:8]
    else:
        folder = environ.get('WORKON_HOME') or f'{environ.get("XDG_DATA_HOME") or f"{home}/.local/share"}/virtualenvs'
        mark = base64.urlsafe_b64encode(hashlib.sha256(f'{project}/Pipfile'.encode()).digest()[:6]).decode()
    try:
        names = sorted(os.listdir(noted(folder, listed=True)))
    except OSError:
        return []
    return [f'{folder}/{each}' for each in names if f'-{mark}' in each]


def _conda(start: str, environ: Mapping[str, str], options: Mapping[str, Word]) -> list[str]:
    prefix = options.get('-p') or options.get('--prefix')
    if prefix:
        return [os.path.join(start, prefix.text)] if prefix.text else []
    named = options.get('-n') or options.get('--name')
    if named is None:
        return [environ['CONDA_PREFIX']] if environ.get('CONDA_PREFIX') else []
    roots = [environ.get('MAMBA_ROOT_PREFIX', ''), environ.get('CONDA_ROOT', '')]
    if environ.get('CONDA_EXE'):
        roots.append(os.path.dirname(os.path.dirname(environ['CONDA_EXE'])))
    if environ.get('HOME'):
        roots += [f'{environ["HOME"]}/{name}' for name in ('miniconda3', 'anaconda3', 'miniforge3', 'mambaforge')]
        roots.append(f'{environ["HOME"]}/.conda')
    return [f'{root}/envs/{named.text}' for root in roots if root and named.text]
