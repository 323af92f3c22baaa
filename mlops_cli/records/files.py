"""How a record reaches the tracked part of ``.mlops/``: whole or not at all, durable with its group."""

from __future__ import annotations

import os
from collections.abc import Callable

from mlops_cli.core import layout
from mlops_cli.fsio import ops
from mlops_cli.fsio.atomic import write_file
from mlops_cli.fsio.durable import RECORDS, Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.temporaries import new_name


def prepare_folders(root: Root) -> None:
    """Makes ``.mlops`` with the list of what git ignores in it; nothing where it exists."""
    root.makedirs(layout.STAGES)
    root.makedirs(layout.LOCAL, mode=0o700)
    if root.stat(layout.GITIGNORE) is None:
        write_file(root, layout.GITIGNORE, layout.GITIGNORE_TEXT.encode())


def write_in_batch(root: Root, path: str, data: bytes, batch: Batch, after: Callable[[], None] | None = None) -> None:
    """Writes a record and hands it to the batch; ``after`` is called once it has its name.  Raises OSError.

    It is written in a folder that git ignores: what a crash leaves must never show up in a commit."""
    root.makedirs(path.rpartition('/')[0])
    root.makedirs(layout.LOCAL, mode=0o700)
    temporary = f'{layout.LOCAL}/{new_name("record-")}'
    with root.parent(temporary) as (folder, name):
        fd = ops.open_new(name, 0o644, dir_fd=folder)
    try:
        ops.write(fd, data)
    except OSError:
        os.close(fd)
        ops.remove_quietly(root.full(temporary))
        raise
    batch.add(temporary, path, RECORDS, replace=True, fd=fd, root=root, after=after)
