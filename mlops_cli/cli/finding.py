"""Where the project is."""

from __future__ import annotations

import os

from mlops_cli.core import layout
from mlops_cli.core.errors import UserError


def project_folder(start: str | None = None) -> str:
    """The nearest folder, from ``start`` upwards, with a pipeline.yaml.  Raises UserError."""
    here = os.path.abspath(start or os.getcwd())
    folder = find_project(here)
    if not folder:
        raise UserError(f'no {layout.PIPELINE_FILE} in {here} or above it', hint=_instead(here))
    return folder


def find_project(here: str) -> str:
    """As project_folder; empty if there is none.  Raises UserError for a pipeline.yaml that is no file."""
    folder = here
    while True:
        path = os.path.join(folder, layout.PIPELINE_FILE)
        if os.path.isfile(path):
            return folder
        if os.path.lexists(path):
            raise _no_file(path)
        if folder == os.path.dirname(folder):
            return ''
        folder = os.path.dirname(folder)


def is_bare_repository(folder: str) -> bool:
    """Whether it looks like what ``git clone --bare`` makes."""
    return all(os.path.exists(os.path.join(folder, name)) for name in ('HEAD', 'objects', 'refs'))


def _no_file(path: str) -> UserError:
    if os.path.isdir(path):
        return UserError(f'{path} is a folder, not a file', hint='a pipeline is one file; rename the folder')
    if os.path.islink(path):
        return UserError(f'{path} is a link that leads nowhere', hint=f'it says {os.readlink(path)}: mend or remove it')
    return UserError(f'{path} is not a regular file', hint='put a file there')


def _instead(here: str) -> str:
    """What to do where no pipeline is."""
    if os.path.isfile(os.path.join(here, 'dvc.yaml')):
        return 'there is a dvc.yaml: mlops adopt dvc takes the project over, and runs nothing'
    if is_bare_repository(here):
        return 'this is a bare git repository, which has no files: git worktree add ../work, and go there'
    return 'mlops init makes a project here, or name one: mlops -C DIR ...'
