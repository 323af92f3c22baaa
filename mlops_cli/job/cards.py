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
from mlops_cli.core.units import plural
from mlops_cli.fsio.locks import try_lock
from mlops_cli.fsio.paths import Root

FOLDER = 'gpus-v1'  # of files that are locked as long as a job has the card
TURN = 'turn'  # locked by who is next to get cards, so that who wants several is not overtaken for ever
PATIENCE_SECONDS = 20.0
TICK = 0.2  # seconds between two looks whether one has become free
FIELDS = ('uuid', 'name', 'memory.total', 'memory.free')


class Lacking(UserError):
    """There are not as many as are asked for."""


class Unwanted(Exception):
    """It was not waited for any longer."""


def listed() -> list[dict[str, Any]]:
    """What the driver's own program says; none where there is none.  Raises UserError where it fails."""
    program = shutil.which('nvidia-smi')
    if program is None:
        return []
    words = [program, f'--query-gpu={",".join(FIELDS)}', '--format=csv,noheader,nounits']
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f'{program} does not answer', hint='is the driver well? try it there by hand') from error
    found = []
    for line in done.stdout.splitlines():
        uuid, comma, rest = line.partition(',')
        name, *figures = [part.strip() for part in rest.rsplit(',', 2)]
        if comma and len(figures) == 2:  # the memory of some is that of the machine, and not told
            total, free = (int(figure) << 20 if figure.isdigit() else None for figure in figures)
            found.append({'uuid': uuid.strip()[:100], 'name': name[:100], 'memory_bytes': total, 'free_bytes': free})
    if done.returncode and not found:
        said = ' '.join((done.stdout + done.stderr).split())[:200]
        raise UserError(f'{program} ended with {done.returncode}: {said}', hint='is the driver well? try it there by hand')
    chosen = os.environ.get('CUDA_VISIBLE_DEVICES')  # of who may use that host only in part
    if chosen is not None:
        wanted = [word.strip() for word in chosen.split(',')]
        found = [card for number, card in enumerate(found) if str(number) in wanted or card['uuid'] in wanted]
    return found


@contextmanager
def held(root: Root, count: int, unwanted: Callable[[], object],
         there: Callable[[], Sequence[dict[str, Any]]] = listed) -> Iterator[tuple[str, ...]]:
    """So many cards, as CUDA_VISIBLE_DEVICES takes them, until the end of the block; waits until they are free.

    Raises Lacking where there are not as many at all, UserError where the driver fails, Unwanted once ``unwanted`` says
    something."""
    names = [card['uuid'] for card in there()] if count else []
    if len(names) < count:
        have = f'there {"is" if len(names) == 1 else "are"} {len(names)}'
        asked = f'{plural(count, "GPU")} {"is" if count == 1 else "are"} asked for'
        raise Lacking(f'{asked}, and {have}', hint='lower resources.gpus, or take another host')
    if count:
        root.makedirs(FOLDER, mode=0o700)
    taken: dict[str, int] = {}
    turn: int | None = None
    try:
        while len(taken) < count:
            turn = _locked(root, TURN) if turn is None else turn
            if turn is not None:
                for name in names:
                    if len(taken) < count and name not in taken and (fd := _locked(root, _file(name))) is not None:
                        taken[name] = fd
            if len(taken) < count:
                if unwanted() is not None:
                    raise Unwanted
                time.sleep(TICK)
        if turn is not None:
            os.close(turn)
            turn = None
        yield tuple(name for name in names if name in taken)
    finally:
        for fd in (*taken.values(), *([turn] if turn is not None else [])):
            os.close(fd)


def _file(name: str) -> str:
    """What the driver calls a card may be no name of a file."""
    return digest_of(name.encode()).hex[:32]


def _locked(root: Root, name: str) -> int | None:
    """A lock; None while another has it."""
    fd = root.open(f'{FOLDER}/{name}', os.O_RDWR | os.O_CREAT, 0o600)
    if try_lock(fd, exclusive=True):
        return fd
    os.close(fd)
    return None
