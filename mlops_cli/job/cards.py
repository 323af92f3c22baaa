"""The GPUs of a host: what there is, and each for one job at a time, whoever asks for it out of the host's folder."""
from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.fsio.locks import try_lock
from mlops_cli.fsio.paths import Root

FOLDER = 'gpus-v1'  # of files that are locked as long as a job has the card
TICK = 0.2  # seconds between two looks whether one has become free
FIELDS = ('uuid', 'name', 'memory.total', 'memory.free')


class Unwanted(Exception):
    """It was not waited for any longer."""


def listed() -> list[dict[str, Any]]:
    """What the driver's own program says; none where there is none."""
    program = shutil.which('nvidia-smi')
    if program is None:
        return []
    words = [program, f'--query-gpu={",".join(FIELDS)}', '--format=csv,noheader,nounits']
    try:
        said = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    found = []
    for line in said.splitlines():
        uuid, comma, rest = line.partition(',')
        name, *figures = [part.strip() for part in rest.rsplit(',', 2)]
        if comma and len(figures) == 2 and all(map(str.isdigit, figures)):
            total, free = (int(figure) << 20 for figure in figures)
            found.append({'uuid': uuid.strip()[:100], 'name': name[:100], 'memory_bytes': total, 'free_bytes': free})
    return found


@contextmanager
def held(root: Root, count: int, unwanted: Callable[[], object],
         there: Callable[[], Sequence[dict[str, Any]]] = listed) -> Iterator[tuple[str, ...]]:
    """So many cards, as CUDA_VISIBLE_DEVICES takes them, until the end of the block; waits until they are free.

    Raises UserError where there are not as many at all, Unwanted once ``unwanted`` says something."""
    names = [card['uuid'] for card in there()] if count else []
    if len(names) < count:
        have = f'there {"is" if len(names) == 1 else "are"} {len(names)}'
        raise UserError(f'{count} GPU{"" if count == 1 else "s"} {"is" if count == 1 else "are"} asked for, and {have}',
                        hint='lower resources.gpus, or take another host')
    if count:
        root.makedirs(FOLDER, mode=0o700)
    taken: dict[str, int] = {}
    try:
        while len(taken) < count:
            for name in names:
                if len(taken) < count and name not in taken and (fd := _taken(root, name)) is not None:
                    taken[name] = fd
            if len(taken) < count:
                for fd in taken.values():  # two that each have one of two would wait for ever
                    os.close(fd)
                taken.clear()
                if unwanted() is not None:
                    raise Unwanted
                time.sleep(TICK)
        yield tuple(name for name in names if name in taken)
    finally:
        for fd in taken.values():
            os.close(fd)


def _taken(root: Root, name: str) -> int | None:
    """Its lock; None while another has it.  What the driver calls a card may be no name of a file."""
    fd = root.open(f'{FOLDER}/{digest_of(name.encode()).hex[:32]}', os.O_RDWR | os.O_CREAT, 0o600)
    if try_lock(fd, exclusive=True):
        return fd
    os.close(fd)
    return None
