"""Why Python did not find a module that a stage imports: it lies where Python does not look, or is not installed."""

from __future__ import annotations

from collections.abc import Sequence

from mlops_cli.core.patterns import pattern
from mlops_cli.fingerprint.closure import Found
from mlops_cli.pipeline.spec import Stage

_MISSING = pattern(r"^(?:ModuleNotFoundError|ImportError): No module named '?([\w.]+)'?|: No module named ([\w.]+)\s*$")


def hint(stage: Stage, found: Found | None, said: Sequence[str], where_apart: str = '') -> str:
    """What to try, from the last lines that a stage printed; nothing where they are about something else.

    ``where_apart``: said of a stage that runs in a folder of its own, where a file of the project may be missing."""
    name = next((match[1] or match[2] for line in reversed(said) if (match := _MISSING.search(line))), None)
    if name is None:
        return ''
    top = name.partition('.')[0]
    if found is None:
        return ''
    if (folder := _folder_of(top, found.files)) is not None:
        shown = f'{folder}/{top}' if folder else top
        path = _relative(folder, stage.wdir)
        install = ', or install the project where it runs: pip install -e .' if folder.rpartition('/')[2] == 'src' else ''
        place = folder or 'the project'
        return f'{shown} is there, but Python does not look in {place}: PYTHONPATH={path} in front of it{install}'
    if where_apart:
        return where_apart
    if found.python:
        return f'{found.python} has no {top}: install it there, or have the stage use another python (environment:)'
    return ''


def _folder_of(top: str, files: Sequence[str]) -> str | None:
    """The folder that a module of the project, by its first name, lies in; '' at the top; None where there is none."""
    for path in files:
        folders = path.split('/')
        if path.endswith('.py') and folders[-1] == f'{top}.py':
            return '/'.join(folders[:-1])
        if top in folders[:-1]:
            return '/'.join(folders[: folders.index(top)])
    return None


def _relative(folder: str, directory: str) -> str:
    """How the folder is called where the stage runs."""
    up = '' if directory == '.' else '/'.join('..' for _ in directory.split('/'))
    return '/'.join(part for part in (up, folder) if part) or '.'
