"""``models get``: a model into a folder, checked before anybody can use it.  Nothing is ever unpickled or run."""

from __future__ import annotations

import os
import stat

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.paths import Root
from mlops_cli.records.models import Version
from mlops_cli.registry.register import sha256_of
from mlops_cli.run.workbench import Workbench


def target_of(version: Version, folder: str) -> str:
    """Where the model will stand.  Raises UserError (exit 5) where something stands there already."""
    folder = os.path.abspath(folder)
    path = os.path.join(folder, version.path.rpartition('/')[2])
    if os.path.lexists(path):
        raise UserError(
            f'{path} is there already', hint='name another folder, or move it away first', exit_code=ExitCode.REFUSED
        )
    if os.path.lexists(folder) and not stat.S_ISDIR(os.lstat(folder).st_mode):
        raise UserError(f'{folder} is no folder', hint='name one, or one that is not there yet', exit_code=ExitCode.REFUSED)
    return path


def place(bench: Workbench, version: Version, folder: str) -> str:
    """The path where it stands now.  Raises UserError (exit 1) where the cache does not hold just these bytes; then nothing is
    written."""
    path = target_of(version, folder)
    found = sha256_of(bench, version.ref)  # every byte is compared with its BLAKE3 on the way
    if found != version.sha256:
        raise UserError(
            f'the sha256 of {version.name} {version.label} is {found}, but {version.sha256} was recorded: it is not handed out',
            hint=f'mlops models verify {version.name}',
            exit_code=ExitCode.FAILED,
        )
    with _opened(bench.root, folder) as root:
        bench.store.materialise(version.ref, root, os.path.basename(path), links=('copy',))
    return path


def _opened(project: Root, folder: str) -> Root:
    """Made where it is absent, and then for nobody else: they could put something else there before it is loaded.  In the
    project no link is followed, for a branch may have brought it."""
    rel = os.path.relpath(os.path.abspath(folder), project.path)
    if rel == '.' or rel.split(os.sep)[0] == os.pardir:
        os.makedirs(os.path.dirname(os.path.abspath(folder)), exist_ok=True)
        if not os.path.lexists(folder):
            os.mkdir(folder, 0o700)
        return Root(folder)
    if project.stat(rel) is None:
        if above := os.path.dirname(rel):
            project.makedirs(above)
        project.makedirs(rel, mode=0o700)
    return Root.of(os.path.abspath(folder), project.open_dir(rel))
