"""Outputs put back from the cache."""

from __future__ import annotations

from pathlib import Path

from bench.bounds import Bound, Race
from bench.measure import Contender
from bench.rows.base import Bench, Row
from bench.tools import Ours

COUNT = 1000


def restore(bench: Bench, ours: Ours) -> Race:
    """A clean checkout has what git has and a cache: no outputs, and nothing that this folder knew of its files."""
    here = bench.projects.built(ours, COUNT, 'restore')
    clean = bench.projects.built(ours, COUNT, 'clean')
    placed = f'{COUNT:,} paths placed'

    def no_outputs() -> None:
        bench.places.put_aside(here / 'out')

    def as_cloned() -> None:
        bench.places.put_aside(clean / 'out', clean / '.mlops/local')

    def make(folder: Path) -> None:
        folder.joinpath('saved').mkdir()
        for number in range(COUNT):
            (folder / f'saved/{number}.txt').write_bytes((here / f'out/{number}.txt').read_bytes())

    copies = bench.projects.keep(f'copies-{COUNT}', make)

    def no_copies() -> None:
        bench.places.put_aside(copies / 'out')

    contenders = [
        bench.mlops(ours, clean, 'checkout', name='mlops checkout', expect=placed, before=as_cloned, writes=True),
        bench.mlops(ours, here, 'checkout', name='mlops checkout, known files', expect=placed, before=no_outputs, writes=True),
    ]
    bounds = tuple(Bound(one.name, 'cp -r', 1.5) for one in contenders)
    for cp in bench.peers('cp'):
        contenders.append(Contender('cp -r', (cp.program, '-r', 'saved', 'out'), copies, no_copies, writes=True))
    return Race(tuple(contenders), bounds)


ROWS = (Row('restore-1000', '1,000 outputs from the cache into a clean checkout', restore),)
