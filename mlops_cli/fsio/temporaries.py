"""Names of temporary files that tell whose they are, and the removal of those whose owner is gone.

``<boot8>-<pid>-<start>-<number>``, in folders that hold other things too with ``.mlops-tmp-`` in front.  The first three
parts are the owner.  ``boot8``: eight hex digits of a digest of host, boot and pid namespace, so that a pid says something
only where it can be looked up; ``start``: hex start time of the process, so that a pid used again is not taken for it.
"""
from __future__ import annotations

import itertools
import os
import re
import socket
import time
from functools import cache

from mlops_cli.core.digest import digest_of

PREFIX = '.mlops-tmp-'  # of temporaries beside their target
_NAME = re.compile(r'(?:\.mlops-tmp-)?([0-9a-f]{8}-[0-9]+-[0-9a-f]+)-[0-9]+')
_numbers = itertools.count(1)


@cache
def boot() -> str:
    """Eight hex digits that differ between hosts, boots and pid namespaces."""
    facts = [socket.gethostname(), _read('/proc/sys/kernel/random/boot_id')]
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


def _read(path: str) -> str:
    try:
        with open(path, encoding='utf-8', errors='surrogateescape') as file:
            return file.read()
    except OSError:
        return ''
