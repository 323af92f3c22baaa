"""Many trivial stages from nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.bounds import Bound, Race
from bench.measure import Contender
from bench.rows.base import Bench, Row
from bench.tools import Ours

STATE = ('out', '.mlops', '.gitignore', '.gitattributes')


def nothing_done(bench: Bench, folder: Path) -> Callable[[], None]:
    """Take outputs and every note of a tool away."""

    def clean() -> None:
        notes = [*folder.glob('.ninja*'), *folder.glob('.doit*')]
        bench.places.put_aside(*(folder / name for name in STATE), *notes)
        folder.joinpath('out').mkdir()

    return clean


def cold(bench: Bench, ours: Ours) -> Race:
    count, fewer = 1000, 300

    def contender(number: int, name: str) -> Contender:
        folder = bench.projects.pipeline('mlops', number, ours.own('cold'))
        clean = nothing_done(bench, folder)
        return bench.mlops(ours, folder, 'run', '-j2', name=name, expect=f'{number:,} done', before=clean, writes=True)

    most = f'mlops run -j2, {fewer} stages'
    contenders = [contender(count, 'mlops run -j2'), contender(fewer, most)]
    for tool in bench.peers('ninja', 'doit'):
        option = '-j2' if tool.name == 'ninja' else '-n2'
        folder = bench.projects.pipeline(tool.name, count, 'cold')
        clean = nothing_done(bench, folder)
        contenders.append(Contender(f'{tool.name} {option}', (tool.program, option), folder, clean, writes=True))
    bounds = (
        Bound('mlops run -j2', 'ninja -j2', 2),
        Bound('mlops run -j2', 'doit -n2', 1),
        Bound('mlops run -j2', most, 1, scale=count / fewer),
    )
    return Race(tuple(contenders), bounds)


ROWS = (Row('cold-1000', '1,000 trivial stages from nothing, 2 at once', cold),)
