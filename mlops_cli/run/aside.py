"""Outputs moved out of a stage's way, so that nothing of the user's is destroyed before there is something better.

They are renamed, never copied, into a folder of the attempt.  When the attempt has a result they are dropped if the store
has them, else kept under ``.mlops/local/rescue``; when it has none they are put back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mlops_cli.core import layout
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.paths import Root


def folder_of(attempt: str) -> str:
    return f'{layout.WORK}/{attempt}/aside'


def move(root: Root, attempt: str, paths: Iterable[str]) -> tuple[str, ...]:
    """Those of the paths that were there, and are now aside.  Raises OSError."""
    moved = []
    for path in paths:
        if root.stat(path) is not None:
            target = f'{folder_of(attempt)}/{path}'
            root.makedirs(target.rpartition('/')[0], mode=0o700)
            root.rename(path, target)
            moved.append(path)
    return tuple(moved)


def put_back(root: Root, attempt: str, run: str, stage: str, outputs: Iterable[str]) -> tuple[str, ...]:
    """Undoes ``move``: what a failed attempt left goes to ``.mlops/local/failed``, what was there before comes back.

    Idempotent, so that a recovery may be repeated.  Returns the paths that were kept as failed.  Raises OSError."""
    failed = []
    for path in outputs:
        target = f'{folder_of(attempt)}/{path}'
        was_there = root.stat(target) is not None
        if root.stat(path) is not None:
            failed.append(path)
            keep(root, f'{layout.FAILED}/{run}/{stage.replace("/", "-")}', path, path)
        if was_there:
            root.makedirs(path.rpartition('/')[0] or '.')
            root.rename(target, path)
    root.remove_tree(f'{layout.WORK}/{attempt}')
    return tuple(failed)


def keep(root: Root, folder: str, path: str, source: str) -> str:
    """Moves ``source`` to ``path`` in a folder of ours, beside what may be there already; where it went."""
    target, number = f'{folder}/{path}', 1
    while root.stat(target) is not None:
        number += 1
        target = f'{folder}/{path}.{number}'
    root.makedirs(target.rpartition('/')[0], mode=0o700)
    root.rename(source, target)
    return target


def finish(
    root: Root, attempt: str, run: str, before: dict[str, ObjectRef | None], stored: Callable[[tuple[ObjectRef, ...]], bool]
) -> tuple[str, ...]:
    """The attempt has its result: drop what the store holds, keep the rest.  ``before``: path -> what was aside.

    Returns where the kept ones went.  Raises OSError."""
    kept = []
    for path, ref in before.items():
        target = f'{folder_of(attempt)}/{path}'
        if root.stat(target) is not None and (ref is None or not stored((ref,))):
            kept.append(keep(root, f'{layout.RESCUE}/{run}', path, target))
    root.remove_tree(f'{layout.WORK}/{attempt}')
    return tuple(kept)
