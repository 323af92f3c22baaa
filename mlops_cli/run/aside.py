"""Outputs moved out of a stage's way, so that nothing of the user's is destroyed before there is something better.

They are renamed, never copied, into a folder of the attempt.  When the attempt has a result they are dropped if the store
has them, else kept under ``.mlops/local/rescue``; when it has none they are put back.  Whether the store has them is asked
then, of what lies aside: what was known of it before it was moved may have been edited since.

How far an attempt has come is told by the name of its folder, which changes in one step:

=============  =====================================================  =================================================
``<id>.to``    being moved aside; the command has not started         put back what is there, leave the rest alone
``<id>``       all is aside; what stands at an output is new          what is new goes to ``failed``, then ``.back``
``<id>.back``  what is new is kept; being put back                    put back what is there
``<id>.done``  the result counts; what is needed is in ``rescue``     keep that, drop the rest
=============  =====================================================  =================================================

Where a file system does not keep the order in which names are given, what was moved is found at its new name before
anything else gets the old one, or a folder its next name: else a power cut could leave that without what was moved.

Without a folder there is nothing to do, unless the journal says of the attempt that its way was clear: then nothing stood at
any of its outputs, no folder was made, and what is new goes to ``failed``.  Every step may be killed; doing the last column
again finishes it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterable
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING

from mlops_cli.core import layout
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.paths import ancestors, check_path, inside
from mlops_cli.fsio import ops
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.reading import Nearby
from mlops_cli.records.pins import slug

if TYPE_CHECKING:
    from mlops_cli.fingerprint.apart import Apart

ASIDE = 'aside'
RESCUE = 'rescue'


def folder_of(attempt: str) -> str:
    """Where an attempt's previous outputs stand once all are aside, under the paths that they had."""
    return f'{_work(attempt)}/{ASIDE}'


def failed_folder(run: str, stage: str) -> str:
    """Where what a failed attempt left is kept; of a further attempt in the same run, in ``<this>.2`` and so on."""
    return f'{layout.FAILED}/{run}/{slug(stage)}'


def _work(attempt: str) -> str:
    if '/' in attempt or attempt in ('', '.', '..'):
        problem = f'{attempt[:80]!r} is no name of an attempt'
        raise UserError(problem, exit_code=ExitCode.REFUSED, hint=f'look at {layout.JOURNAL}')
    return f'{layout.WORK}/{attempt}'


def check_output(path: str) -> None:
    """Raises UserError (exit 5) for a path that is not the user's to have, whoever wrote it down."""
    try:
        if check_path(path) == '.':
            raise ValueError('is the project')
    except ValueError as error:
        raise UserError(f'refused the output {path[:200]!r}: {error}', exit_code=ExitCode.REFUSED) from error


def _outermost(paths: Iterable[str]) -> list[str]:
    """The paths that lie in none of the others, each once.  Raises UserError for one that is not the user's to have."""
    found = list(dict.fromkeys(paths))
    for path in found:
        check_output(path)
    known = set(found)
    return [path for path in found if known.isdisjoint(ancestors(path))]


def move(root: Root, attempt: str, paths: Iterable[str], apart: Apart | None = None) -> tuple[str, ...]:
    """Those of the paths that were there, and are now aside.  After it, whatever stands at an output is the attempt's own.

    To be told to the journal first.  ``apart``: what is asked about them later; with it, that takes less.
    Raises OSError, UserError; then the attempt has to be put back."""
    work = _work(attempt)
    with Nearby(root) as here, Nearby(root) as beside:
        there = {path: facts for path in _outermost(paths) if (facts := here.stat(path)) is not None}
        if not there:
            root.makedirs(layout.WORK, mode=0o700)
            with root.parent(work) as (folder, name):
                os.close(ops.open_new(name, dir_fd=folder))  # as good as an empty folder, and ten times as fast
            return ()
        folders: dict[str, None] = {}
        for path, facts in there.items():
            folder, name = here.parent(path)
            place = f'{work}.to/{ASIDE}/{path}'
            target, _ = beside.parent(place, create=True, mode=0o700)
            folders[os.path.dirname(place)] = None
            before = here.stat(path) if apart is not None and apart.carries(facts) else None
            ops.rename(name, name, src_dir_fd=folder, dst_dir_fd=target)
            if apart is not None and before is not None:
                after = ops.lstat(name, target)
                apart.carry(path, f'{work}/{ASIDE}/{path}', before, after)
    _sync_names(root, folders)  # before anything gets the names that these had
    root.rename(f'{work}.to', work)
    return tuple(there)


def put_back(
    root: Root,
    attempt: str,
    run: str,
    stage: str,
    outputs: Iterable[str],
    places: dict[str, str] | None = None,
    *,
    clear: bool = False,
    saved: Collection[str] = (),
) -> tuple[str, ...]:
    """Undoes ``move``: what a failed attempt left goes to ``.mlops/local/failed``, what was there before comes back.

    ``outputs``: all that the attempt was to make.  May be repeated, also after a kill anywhere in ``move``, here, or in
    ``finish``; an attempt whose result counts is finished instead.  Returns the paths that were kept as failed; ``places``
    gets where each of them went.  ``clear``: nothing stood at the outputs when the attempt began, so ``move`` was not called.
    ``saved``: outputs at which stands what somebody saved there meanwhile, and nothing of ours: that goes to
    ``.mlops/local/rescue``.

    Raises OSError, UserError."""
    places = {} if places is None else places
    work = _work(attempt)
    paths = _outermost(outputs)
    failed: list[str] = []
    if clear:
        failed = list(dict.fromkeys(there for path in paths if (there := _in_the_way(root, path))))
        places |= _keep_all(root, failed_folder(run, stage), failed)
        return tuple(failed)
    if root.stat(f'{work}.done') is not None:
        _settle_done(root, work, run, paths)
    if root.stat(work) is not None:
        failed = list(dict.fromkeys(there for path in paths if (there := _in_the_way(root, path))))
        theirs = [path for path in failed if path in saved]
        places |= _keep_all(root, f'{layout.RESCUE}/{run}', theirs)
        places |= _keep_all(root, failed_folder(run, stage), [path for path in failed if path not in saved])
        root.rename(work, f'{work}.back')
    for folder in (f'{work}.back', f'{work}.to'):
        if root.stat(folder) is not None:
            failed += _restore(root, folder, run, stage, paths, places)
    return tuple(failed)


def finish(
    root: Root,
    attempt: str,
    run: str,
    paths: Collection[str],
    is_saved: Callable[[str, Nearby], bool],
) -> tuple[str, ...]:
    """The attempt has its result: drop what the store holds, keep the rest.  ``paths``: what is aside.  ``is_saved``: whether
    what is at a path aside, where it is now, may go: to be answered from that itself.

    Returns where the kept ones went.  After a kill, ``put_back`` ends it one way or the other.  Raises OSError."""
    work = _work(attempt)
    if not paths:
        root.remove_tree(work)  # empty: one step
        return ()
    with Nearby(root) as near:
        for path in sorted(paths):
            here = f'{work}/{ASIDE}/{path}'
            if near.stat(here) is not None and not is_saved(here, near):
                _rename(root, here, f'{work}/{RESCUE}/{path}')
    if root.stat(work) is not None:
        root.rename(work, f'{work}.done')
    return _settle_done(root, work, run, paths)


def keep(root: Root, folder: str, path: str, source: str) -> str:
    """Moves ``source`` to ``path`` in a folder of ours, or in ``<folder>.2`` and so on where that is taken; where it went."""
    target = f'{_free(root, folder, [path])}/{path}'
    _rename(root, source, target)
    return target


def _keep_all(root: Root, folder: str, paths: list[str]) -> dict[str, str]:
    """Where each of the paths went."""
    free = _free(root, folder, paths)
    for path in paths:
        _rename(root, path, f'{free}/{path}')
    return {path: f'{free}/{path}' for path in paths}


def _free(root: Root, folder: str, paths: list[str]) -> str:
    number, free = 1, folder
    while any(_taken(root, f'{free}/{path}') for path in paths):
        number += 1
        free = f'{folder}.{number}'
    return free


def _taken(root: Root, target: str) -> bool:
    """Whether there is something at a place already, or a file where one of its folders would be."""
    if root.stat(target) is not None:
        return True
    nearest = next((status for path in ancestors(target) if (status := root.stat(path)) is not None), None)
    return nearest is not None and not S_ISDIR(nearest.st_mode)


def _rename(root: Root, source: str, target: str) -> None:
    if parent := target.rpartition('/')[0]:
        root.makedirs(parent, mode=0o700 if inside(parent, layout.LOCAL) else 0o755)
    root.rename(source, target)
    if inside(parent, layout.LOCAL):
        _sync_names(root, [parent])


def _sync_names(root: Root, paths: Iterable[str]) -> None:
    """Of folders of ours, and of those that they are in, which may be new; unless the file system keeps its order."""
    from mlops_cli.fsio import filesystem  # who only looks moves nothing
    from mlops_cli.fsio.syncing import sync_each

    every = sorted({one for path in paths for one in (path, *ancestors(path)) if inside(one, layout.LOCAL)})
    fds: list[int] = []
    try:
        for path in every:
            fds.append(root.open_dir(path))
            if filesystem.probe(fds[0]).ordered:
                return
        sync_each(fds)
    finally:
        for fd in fds:
            os.close(fd)


def rename_free(root: Root, source: str, target: str) -> None:
    """Rename to where nothing is.  Raises FileExistsError, and nothing is done, where something is; OSError."""
    with root.parent(source) as (source_fd, source_name), root.parent(target) as (target_fd, target_name):
        try:
            ops.rename_noreplace(source_name, target_name, src_dir_fd=source_fd, dst_dir_fd=target_fd)
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
            if root.stat(target) is not None:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), root.full(target)) from None
            ops.rename(source_name, target_name, src_dir_fd=source_fd, dst_dir_fd=target_fd)


def _is_back(root: Root, source: str, path: str) -> bool:
    """False, and nothing is done, where something is in the way."""
    if _in_the_way(root, path):
        return False
    if parent := path.rpartition('/')[0]:
        root.makedirs(parent)
    try:
        rename_free(root, source, path)
    except FileExistsError:  # it has come this moment
        return False
    return True


def _restore(root: Root, work: str, run: str, stage: str, paths: list[str], places: dict[str, str]) -> list[str]:
    """Everything in a folder of the attempt back to where it was; the paths that somebody had used meanwhile."""
    used: list[str] = []
    for part in (RESCUE, ASIDE):
        for path in paths:
            if root.stat(f'{work}/{part}/{path}') is None:
                continue
            while not _is_back(root, f'{work}/{part}/{path}', path):
                if there := _in_the_way(root, path):
                    places |= _keep_all(root, failed_folder(run, stage), [there])
                    used.append(there)
        if _holds_something(root, f'{work}/{part}'):  # of no output: whoever called did not say all of them
            keep(root, f'{layout.RESCUE}/{run}', slug(stage), f'{work}/{part}')
    root.remove_tree(work)
    return used


def _in_the_way(root: Root, path: str) -> str:
    """What stands at a path: itself, or the file or link that stands where a folder on the way would be; '' if nothing does."""
    for folder in reversed([*ancestors(path)]):
        status = root.stat(folder)
        if status is None:
            return ''
        if not S_ISDIR(status.st_mode):
            return folder
    return path if root.stat(path) is not None else ''


def holds_something(root: Root, path: str) -> bool:
    """Whether there is anything at a path but an empty file, or folders without anything."""
    status = root.stat(path)
    if status is None:
        return False
    return _holds_something(root, path) if S_ISDIR(status.st_mode) else not S_ISREG(status.st_mode) or status.st_size > 0


def _holds_something(root: Root, folder: str) -> bool:
    """Whether there is anything but empty folders."""
    if root.stat(folder) is None:
        return False
    return any(not entry.is_dir() or _holds_something(root, f'{folder}/{entry.name}') for entry in root.scandir(folder))


def _settle_done(root: Root, work: str, run: str, paths: Iterable[str]) -> tuple[str, ...]:
    """What is to be rescued to where people find it; the rest away."""
    done = f'{work}.done'
    kept = []
    if root.stat(f'{done}/{RESCUE}') is not None:
        kept = [
            keep(root, f'{layout.RESCUE}/{run}', path, f'{done}/{RESCUE}/{path}')
            for path in sorted(paths)
            if root.stat(f'{done}/{RESCUE}/{path}') is not None
        ]
    root.remove_tree(done)
    return tuple(kept)
