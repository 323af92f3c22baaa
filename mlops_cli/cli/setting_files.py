"""Writes a setting into the file where it belongs; nothing is written that would not be right."""

from __future__ import annotations

import os

from mlops_cli.cli.finding import project_folder
from mlops_cli.core import layout
from mlops_cli.core.errors import UserError, UserErrors
from mlops_cli.fsio.atomic import write_file
from mlops_cli.fsio.locks import LockFile
from mlops_cli.fsio.paths import Root
from mlops_cli.records import config_edit
from mlops_cli.records.config import files, of_file, read_config_file
from mlops_cli.records.files import prepare_folders

WAIT_SECONDS = 10.0


def file_for(root: Root | None, user: bool, project: bool) -> str:
    """Relative to the project, or absolute."""
    if user:
        own = [file for file, _ in files(os.environ) if os.path.isabs(file)]
        if not own:
            raise UserError('there is no home folder: HOME is not set', hint='set HOME, or take --local')
        return own[0]
    if root is None:
        project_folder()  # raises: this needs a project
    return layout.CONFIG if project else layout.CONFIG_LOCAL


def write_setting(root: Root | None, file: str, tracked: bool, path: tuple[str, ...], value: str | None) -> None:
    """Raises UserError where the file would then not be right, with everything as it was."""
    if os.path.isabs(file):
        real = os.path.realpath(file)  # a person's own file may be a link of theirs
        os.makedirs(os.path.dirname(real), exist_ok=True)
        write_file(os.path.dirname(real), os.path.basename(real), _changed(root, file, tracked, path, value))
        return
    assert root is not None
    prepare_folders(root)
    with LockFile(layout.LOCKS, root=root) as locks, locks.holding('config', timeout=WAIT_SECONDS):
        write_file(root, file, _changed(root, file, tracked, path, value))


def _changed(root: Root | None, file: str, tracked: bool, path: tuple[str, ...], value: str | None) -> bytes:
    before = read_config_file(root, file) or b''
    if value is None:
        return config_edit.without(before, file, path)
    return _with(root, before, file, tracked, path, value)


def _with(root: Root | None, before: bytes, file: str, tracked: bool, path: tuple[str, ...], text: str) -> bytes:
    """The value as its setting understands it: ``12`` is a number, but may also be the name of a folder."""
    value = config_edit.value_of(text)
    if '.'.join(path) == 'cache.links' and isinstance(value, str):
        value = value.replace(',', ' ').split()
    first: list[UserError] = []
    for meant in (value, text):
        after = config_edit.with_value(before, file, path, meant)
        errors: list[UserError] = []
        of_file(root, after, file, tracked, errors)
        if not errors:
            return after
        first = first or errors
    # Where they stand is nowhere yet: nothing was written.
    mine = [UserError(one.message, hint=one.hint, exit_code=one.exit_code) for one in first]
    raise mine[0] if len(mine) == 1 else UserErrors(mine)
