"""What it takes to say anything at all."""

from __future__ import annotations

from pathlib import Path

from bench.bounds import Bound, Race
from bench.measure import Contender
from bench.rows.base import Bench, Row
from bench.tools import Ours

SMALL = 3  # stages


def startup(bench: Bench, ours: Ours) -> Race:
    folder = bench.projects.built(ours, SMALL)
    contenders = [
        Contender('python -c pass', (ours.python, '-c', 'pass'), folder),
        bench.mlops(ours, folder, '--version', expect='mlops'),
        bench.mlops(ours, folder, '--help', expect='status'),
        bench.mlops(ours, folder, 'status', expect=f'Up to date: {SMALL} stages'),
    ]
    bounds = [
        Bound('mlops --version', 'python -c pass', 4),
        Bound('mlops --help', 'python -c pass', 4),
        Bound('mlops status', 'python -c pass', 6),
    ]
    for dvc in bench.peers('dvc'):
        empty = bench.projects.keep('dvc-empty', lambda folder: _empty(bench, folder))
        contenders.append(Contender('dvc --help', (dvc.program, '--help'), empty, expect='status'))
        contenders.append(Contender('dvc status', (dvc.program, 'status'), empty))
    return Race(tuple(contenders), tuple(bounds))


def _empty(bench: Bench, folder: Path) -> None:
    bench.projects.repository(folder)
    bench.projects.dvc_init(folder)


ROWS = (Row('startup', 'start-up; a project of 3 stages', startup, 9),)
