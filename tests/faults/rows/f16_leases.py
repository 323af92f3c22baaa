"""F16: a cache on a shared disk whose file system has no locks, used by several hosts at once.

The hosts are processes, each with a name, a boot and an owner of its own, in a folder where taking a lock fails with ENOLCK; in
half of the cases link and rename also fail at random, with ESTALE, or after they were done."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

from tests.faults.base import Bad, Row, Setting, Trial, Verdict
from tests.faults.tools import REPOSITORY

HOSTS = 4
COUNT = 400  # of each
FEW = 15
SEEDS = 5
RATES = (0.0, 0.1)


def cases(setting: Setting) -> Sequence[str]:
    return [f'{rate} {seed}' for seed in range(SEEDS if setting.full else 1) for rate in RATES]


def run(setting: Setting, case: str) -> Verdict:
    rate, seed = case.split()
    trial = Trial()
    (setting.folder / 'inside').mkdir()
    count = COUNT if setting.full else FEW
    argv = [sys.executable, '-m', 'tests.faults.leasing', str(setting.folder)]
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen([*argv, f'host{number}', str(count), seed, rate], cwd=REPOSITORY, stdout=pipe, stderr=pipe, text=True)
        for number in range(HOSTS)
    ]
    for number, process in enumerate(processes):
        try:
            out, err = process.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            trial.bad(Bad.STUCK, f'host{number} waits without end')
            continue
        if process.returncode:
            trial.bad(Bad.WRONG, f'host{number}: {err.strip().splitlines()[-1:]}')
            continue
        said = json.loads(out)
        trial.tried += sum(said['taken'].values())
        for _ in range(said['overlaps']):
            trial.bad(Bad.CORRUPT, f'host{number} was not alone')
    return trial.verdict()


ROWS = (
    Row(
        'F16',
        f'{HOSTS} hosts take one lock on a disk without locks; also where link and rename fail after they were done, or ESTALE',
        f'{HOSTS} x {COUNT} times, {SEEDS * len(RATES)} rounds: no two hold it at once',
        cases,
        run,
    ),
)
