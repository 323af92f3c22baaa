"""One of several "hosts" that want the same lock in a folder without locks; run as a program, it tells what it saw.

``leasing.py FOLDER HOST COUNT SEED FAULTS``: takes the lock COUNT times, in any mode, and looks each time whether it is
alone.  FAULTS: how often, from 0 to 1, a change of the disk says that it failed, although it was done or though it may be tried
again; below 0: there is no lock at all, to see that this is seen."""

from __future__ import annotations

import errno
import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlops_cli.fsio import leases, locks, ops
from mlops_cli.fsio.locks import LockFile


def no_locks(*_: Any, **__: Any) -> bool:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def unsure(chance: random.Random, rate: float, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    """The same call; sometimes it fails before, and may be tried again, sometimes after it was done."""

    def call(*given: Any, **more: Any) -> Any:
        if chance.random() < rate / 2:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        found = real(*given, **more)
        if chance.random() < rate / 2:
            code = chance.choice([errno.EEXIST, errno.ESTALE] if name == 'link' else [errno.ESTALE, errno.ENOENT])
            raise OSError(code, os.strerror(code))
        return found

    return call


def main(folder: Path, host: str, count: int, seed: int, faults: float) -> None:
    chance = random.Random(f'{seed} {host}')
    locks.try_lock = locks.is_locked = no_locks  # type: ignore[assignment]
    leases.Who.here = classmethod(lambda cls: cls(host, f'boot of {host}', f'aaaaaaaa-{os.getpid()}-{seed:x}'))  # type: ignore
    if faults < 0:
        leases.Leases.try_take = lambda *_, **__: True  # type: ignore[method-assign]
        leases.Leases.release = lambda *_: None  # type: ignore[method-assign]
    if faults > 0:
        for name in ('link', 'rename'):
            setattr(ops, name, unsure(chance, faults, name, getattr(ops, name)))
    taken = {'exclusive': 0, 'shared': 0}
    overlaps = 0
    with LockFile(str(folder / 'locks-v1')) as mine:
        for number in range(count):
            mode = 'shared' if chance.random() < 0.3 else 'exclusive'
            mine.acquire('store', mode)  # type: ignore[arg-type]
            taken[mode] += 1
            overlaps += not alone(folder, f'{host}-{number}', mode, chance)
            mine.release('store')
    print(json.dumps({'taken': taken, 'overlaps': overlaps}))


def alone(folder: Path, name: str, mode: str, chance: random.Random) -> bool:
    """Whether nobody is inside who may not be: each makes a file while it is."""
    mine = folder / 'inside' / f'{mode}-{name}'
    mine.touch()
    time.sleep(chance.uniform(0, 0.002))
    others = {one for one in os.listdir(folder / 'inside') if one != mine.name}
    wrong = others if mode == 'exclusive' else {one for one in others if one.startswith('exclusive')}
    mine.unlink()
    return not wrong


if __name__ == '__main__':
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
