"""The facts about what lies under .mlops."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import quote

from mlops_cli.checks.doctor.facts import OwnFacts, Stored
from mlops_cli.core import layout
from mlops_cli.core.errors import UserError
from mlops_cli.fsio import locks
from mlops_cli.fsio.journal import SUFFIX
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.temporaries import owner_in, process_alive
from mlops_cli.pipeline.load import schema
from mlops_cli.records.files import read_small
from mlops_cli.store import gc, users
from mlops_cli.store.shelf import QUARANTINE

COUNT_SECONDS = 1.0  # for one folder
SMALL = 1 << 20
FOLDERS = (layout.ROOT, layout.STAGES, layout.RUNS, layout.DATA, layout.LOCAL, layout.LOGS, layout.CACHE)
LINKS = (
    *FOLDERS,
    *(layout.KEPT, layout.ACCEPTED, layout.JOURNAL, layout.LIVE, layout.FAILED, layout.RESCUE, layout.WORK, layout.CHECKPOINTS),
    *(f'{layout.CACHE}/{name}' for name in (layout.OBJECTS, layout.RESULTS, layout.TEMPORARY, QUARANTINE)),
    *(layout.CRASHES, layout.INDEX, layout.LOCKS, layout.TRUST, layout.CONFIG, layout.CONFIG_LOCAL),
)


def look(root: Root, cache: str) -> OwnFacts:
    """``cache``: its absolute path."""
    links = tuple(path for path in LINKS if _is_link(root, path))
    if links:  # nothing behind them is looked at
        return OwnFacts(links=links)
    quarantine = os.path.join(cache, QUARANTINE)
    return OwnFacts(
        dict(_databases(root)),
        tuple(_journals(root)),
        tuple(_foreign(root)),
        (),
        count(cache, cache),
        count(root.full(layout.RESCUE), layout.RESCUE),
        count(root.full(layout.FAILED), layout.FAILED),
        count(quarantine, quarantine),
        tuple(_lacking(root)),
        _schema(root),
        *_cleaning(cache),
        leftovers=tuple(_leftovers(root)),
    )


def seen(root: Root, path: str) -> os.stat_result | None:
    """lstat; None if it is not there, or lies behind a link or where nobody may look."""
    try:
        return root.stat(path)
    except (OSError, UserError):
        return None


def _is_link(root: Root, path: str) -> bool:
    status = seen(root, path)
    return status is not None and stat.S_ISLNK(status.st_mode)


def _databases(root: Root) -> Iterator[tuple[str, str]]:
    """The tables that are damaged, and how."""
    for name in _names(root, layout.LOCAL):
        path = f'{layout.LOCAL}/{name}'
        status = seen(root, path)
        if name.endswith('.sqlite') and status is not None and stat.S_ISREG(status.st_mode):
            problem = damage(root.full(path))
            if problem:
                yield path, problem


def damage(path: str) -> str:
    """What SQLite finds wrong with a file at a quick look; empty if nothing, or if another command has it."""
    try:
        with closing(sqlite3.connect(f'file:{quote(os.fsencode(path))}?mode=ro', uri=True, timeout=1.0)) as connection:
            ((found,),) = connection.execute('PRAGMA quick_check(1)').fetchall() or (('',),)
    except sqlite3.OperationalError:
        return ''  # busy, or of a disk that cannot be locked
    except sqlite3.Error as error:
        return str(error)
    return '' if found in ('ok', '') else str(found)


def _leftovers(root: Root) -> Iterator[str]:
    """Folders in which commands worked that are no more, as the next command that writes removes them."""
    for name in _names(root, layout.LOCAL):
        whose = owner_in(name)
        if whose is not None and process_alive(whose) is False:
            yield f'{layout.LOCAL}/{name}'


def _journals(root: Root) -> Iterator[str]:
    """Of commands that are no more."""
    for name in _names(root, layout.JOURNAL):
        if not name.endswith(SUFFIX):
            continue
        try:
            fd = root.open(f'{layout.JOURNAL}/{name}')
        except (OSError, UserError):
            continue
        try:
            if os.fstat(fd).st_size and not locks.is_locked(fd):
                yield name
        except OSError:
            continue
        finally:
            os.close(fd)


def _foreign(root: Root) -> Iterator[tuple[str, int]]:
    me = os.geteuid()
    for path in FOLDERS:
        status = seen(root, path)
        if status is not None and status.st_uid != me and not _shared(status):
            yield path, status.st_uid
            if path == layout.ROOT:
                return


def _shared(status: os.stat_result) -> bool:
    """Whether its group, or everybody, may write into it."""
    return bool(status.st_mode & 0o022)


def count(path: str, shown: str) -> Stored:
    """What a folder holds, as far as it can be counted in a second; links are not followed."""
    deadline = time.monotonic() + COUNT_SECONDS
    size = files = 0
    waiting = [path]
    while waiting:
        if time.monotonic() > deadline:
            return Stored(shown, size, files, False)
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        files += 1
                        size += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
    return Stored(shown, size, files)


def _cleaning(cache: str) -> tuple[Stored, tuple[str, ...]]:
    """What of the trash is old enough to be deleted, and which projects are not there.  What cannot be read, gc tells of."""
    size = files = 0
    everything, gone = True, list[str]()
    try:
        with Root(cache) as root:
            for stamp in gc.old_folders(root, time.time_ns(), ()):
                found = count(os.path.join(cache, layout.TRASH, stamp), stamp)
                size, files, everything = size + found.bytes, files + found.files, everything and found.all
            gone = [one.path for one in users.projects(root) if not os.path.isdir(os.path.join(one.path, layout.ROOT))]
    except (OSError, UserError):
        pass
    return Stored(os.path.join(cache, layout.TRASH), size, files, everything), tuple(gone)


def _lacking(root: Root) -> list[str]:
    if seen(root, layout.LOCAL) is None:
        return []
    try:
        have = read_small(root, layout.GITIGNORE, SMALL).decode(errors='replace').split()
    except (OSError, UserError):
        have = []
    return [line for line in layout.GITIGNORE_TEXT.split() if line not in have]


def _schema(root: Root) -> bool | None:
    try:
        return bool(json.loads(read_small(root, layout.EDITOR_SCHEMA, SMALL)) == schema())
    except FileNotFoundError:
        return None
    except (OSError, UserError, ValueError):
        return False


def _names(root: Root, folder: str) -> list[str]:
    try:
        return sorted(entry.name for entry in root.scandir(folder))
    except (OSError, UserError):
        return []
