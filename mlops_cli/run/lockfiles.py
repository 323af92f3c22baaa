"""What an environment is made from, as a host is sent it."""

from __future__ import annotations

import os
from collections.abc import Callable

from mlops_cli.core.job import Lock
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.paths import Root
from mlops_cli.pipeline.spec import Environment
from mlops_cli.store.local import LocalStore

Known = Callable[[str, os.stat_result], ObjectRef | None]


def lock_of(environment: Environment, root: Root, store: LocalStore, known: Known, own: str = '') -> Lock:
    """The lock file, and of a project of uv what names it.  ``own``: the folder in which a stage has the first, '' for the
    project.  Raises UserError, OSError."""
    path = environment.path
    if environment.image:
        return Lock(environment.kind, image=environment.image)
    first = store.add_path(root, f'{own}/{path}' if own else path, known=known).ref
    files = [(os.path.basename(path), first)]
    beside = os.path.join(os.path.dirname(path), 'pyproject.toml')
    if environment.kind == 'uv' and root.stat(beside) is not None:
        files.append(('pyproject.toml', store.add_path(root, beside, known=known).ref))
    return Lock(environment.kind, tuple(files))
