"""Names of temporary files that tell whose they are, and the removal of those whose owner is gone.

``<boot8>-<pid>-<start>-<number>``, in folders that hold other things too with ``.mlops-tmp-`` in front.  The first three
parts are the owner.  ``boot8``: eight hex digits of a digest of host, boot and pid namespace, so that a pid says something
only where it can be looked up; ``start``: hex start time of the process, so that a pid used again is not taken for it.
"""
from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from functools import cache

from mlops_cli.core.digest import digest_of
from mlops_cli.core.patterns import pattern
from mlops_cli.fsio import ops, removal
from mlops_cli.fsio.paths import Root

UNKNOWN_AFTER_SECONDS = 7 * 86400.0
PREFIX = '.mlops-tmp-'  # of temporaries beside their target
BEGUN = 'begun-'  # of what whoever comes next goes on with
_NAME = pattern(r'(?:\.mlops-tmp-)?([0-9a-f]{8}-[0-9]+-[0-9a-f]+)-[0-9]+')
_numbers = itertools.count(1)


@cache
def boot() -> str:
    """Eight hex digits that differ between hosts, boots and pid namespaces."""
    facts = [os.uname().nodename, _read('/proc/sys/kernel/random/boot_id')]
    try:
        facts.append(os.readlink('/proc/self/ns/pid'))
    except OSError:
        facts.append('')
    return digest_of('\n'.join(facts).encode('utf-8', 'surrogateescape')).hex[:8]


@cache
def _owner_of(pid: int) -> str:
    start = start_time(pid)
    return f'{boot()}-{pid}-{time.time_ns() if start is None else start:x}'


def owner() -> str:
    """This process in the names of its temporaries: ``<boot8>-<pid>-<start>``."""
    return _owner_of(os.getpid())


def new_name(prefix: str = '') -> str:
    """A name for a temporary file that no other process or thread uses."""
    return f'{prefix}{owner()}-{next(_numbers)}'


def owner_in(name: str) -> str | None:
    """The owner part of a temporary's name; None if it is not one of ours."""
    found = _NAME.fullmatch(name)
    return found[1] if found else None


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if it is gone or the system does not say."""
    after_name = _read(f'/proc/{pid}/stat').rpartition(')')[2].split()
    return int(after_name[19]) if len(after_name) > 19 else None


def process_alive(owner_name: str) -> bool | None:
    """Whether the process of an owner part runs; None if it is of another host, boot or pid namespace, where we cannot look."""
    boot8, pid, start = owner_name.split('-')
    if boot8 != boot():
        return None
    if owner_name == owner():
        return True
    found = start_time(int(pid))
    return found is not None and f'{found:x}' == start


def sweep_temporaries(folder: Root, is_alive: Callable[[str], bool | None] = process_alive, rel: str = '') -> int:
    """Remove the temporaries (files or folders) in a folder whose owner is not alive; returns how many.

    ``is_alive``: asked once for each owner part; where it answers None, those untouched for seven days go, as do those that
    nobody owns.  Names that are not temporaries of ours stay.  Raises the first OSError, after all others have been tried."""
    fd = folder.open_dir(rel)
    failure: OSError | None = None
    known: dict[str, bool | None] = {}
    removed = 0
    try:
        with ops.Naming(fd):
            names = os.listdir(fd)
        for name in names:
            whose = owner_in(name)
            if whose is None and not name.startswith(BEGUN):
                continue
            if whose is not None and whose not in known:
                known[whose] = is_alive(whose)
            try:
                alive = None if whose is None else known[whose]
                if alive or (alive is None and _is_recent(name, fd)):
                    continue
                removal.remove_tree(name, fd)
                removed += 1
            except FileNotFoundError:
                continue  # another sweep was faster
            except OSError as error:
                failure = failure or error
    finally:
        os.close(fd)
    if failure is not None:
        raise failure
    return removed


def _is_recent(name: str, fd: int) -> bool:
    return time.time() - ops.lstat(name, fd).st_mtime < UNKNOWN_AFTER_SECONDS


def _read(path: str) -> str:
    try:
        with open(path, encoding='utf-8', errors='surrogateescape') as file:
            return file.read()
    except OSError:
        return ''
