"""Many small files, and one large one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from bench import work
from bench.bounds import Bound, Measure, Race
from bench.measure import Contender
from bench.rows.base import SLOW, Bench, Row, read_all
from bench.tools import Ours, Tool

COUNT = 100_000
ONE = 'data/d00/f000000.bin'
GIB = 1 << 30
BIG = 4 * GIB

PIPELINE = """\
version: 1
stages:
  count:
    cmd: ls data | wc -l > count.txt
    deps: [data]
    outs: [count.txt]
"""
PIPELINE_BIG = """\
version: 1
stages:
  measure:
    cmd: wc -c < big.bin > size.txt
    deps: [big.bin]
    outs: [size.txt]
"""
DVC_FRESH = 'up to date'


def data(bench: Bench, folder: Path) -> None:
    """A copy of the files as ``folder/data``."""
    first = bench.projects.keep(f'data-{COUNT}', lambda where: work.small_files(COUNT, where / 'data'))
    bench.projects.do(('cp', '-r', str(first / 'data'), str(folder / 'data')), folder)


def first_bytes(bench: Bench) -> bytes:
    return (bench.projects.keep(f'data-{COUNT}', lambda where: work.small_files(COUNT, where / 'data')) / ONE).read_bytes()


def ours_tracking(bench: Bench, ours: Ours) -> Path:
    def make(folder: Path) -> None:
        data(bench, folder)
        bench.projects.repository(folder)
        (folder / 'pipeline.yaml').write_text(PIPELINE)
        bench.projects.do((ours.program, 'add', 'data'), folder)

    return bench.projects.keep(ours.own('files-mlops'), make)


def tracking(bench: Bench, tool: Tool) -> Path:
    def make(folder: Path) -> None:
        data(bench, folder)
        bench.projects.repository(folder)
        if tool.name == 'dvc':
            bench.projects.dvc_init(folder)
            bench.projects.do((tool.program, 'add', '--quiet', 'data'), folder)
        bench.projects.commit(folder)

    return bench.projects.keep(f'files-{tool.name}', make)


def status(changed: bool) -> Callable[[Bench, Ours], Race]:
    """All files as they were, or before every command new bytes in one of them."""

    def race(bench: Bench, ours: Ours) -> Race:
        mine = ours_tracking(bench, ours)
        (mine / ONE).write_bytes(first_bytes(bench))
        bench.projects.settle(ours, mine)

        def change(folder: Path) -> Callable[[], None] | None:
            return (lambda: _replace(folder / ONE, os.urandom(100))) if changed else None

        said = 'Stale' if changed else 'Up to date: 1 stage'
        contenders = [bench.mlops(ours, mine, 'status', expect=said, before=change(mine))]
        for tool in bench.peers('git', 'dvc'):
            theirs = tracking(bench, tool)
            (theirs / ONE).write_bytes(first_bytes(bench))
            words = ('status', '--short') if tool.name == 'git' else ('status',)
            expect = {'git': 'f000000' if changed else '', 'dvc': 'data.dvc' if changed else DVC_FRESH}[tool.name]
            contenders.append(Contender(f'{tool.name} status', (tool.program, *words), theirs, change(theirs), expect=expect))
        bounds = [Bound('mlops status', 'git status', 2.5 if changed else 2)]
        if not changed:
            bounds.append(Bound('mlops status', 'dvc status', 1 / 12))
        return Race(tuple(contenders), tuple(bounds))

    return race


def _replace(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def hash_many(bench: Bench, ours: Ours) -> Race:
    """Tracked for the first time: hashed, copied into the store, recorded.  And only hashed, by a first status."""

    def make(folder: Path) -> None:
        data(bench, folder)
        bench.projects.repository(folder)
        (folder / 'pipeline.yaml').write_text(PIPELINE)

    def make_dvc(folder: Path) -> None:
        make(folder)
        bench.projects.dvc_init(folder)

    mine = bench.projects.keep(ours.own('first-mlops'), make)
    looked = bench.projects.keep(ours.own('look-mlops'), make)

    def forget(folder: Path) -> Callable[[], None]:
        def clean() -> None:
            bench.places.put_aside(*(folder / name for name in ('.mlops', '.gitignore', '.gitattributes')))
            read_all(folder / 'data')

        return clean

    contenders = [
        bench.mlops(ours, mine, 'add', 'data', expect='data', before=forget(mine), writes=True),
        bench.mlops(ours, looked, 'status', name='mlops status, the first', expect='count', before=forget(looked), writes=True),
    ]
    for dvc in bench.peers('dvc'):
        theirs = bench.projects.keep('first-dvc', make_dvc)

        def forget_dvc(folder: Path = theirs) -> None:
            names = ('.dvc/cache', '.dvc/tmp', 'data.dvc', '.gitignore')
            bench.places.put_aside(*(folder / name for name in names), bench.places.folder / 'home/dvc-site')
            read_all(folder / 'data')

        command = (dvc.program, 'add', 'data')
        contenders.append(Contender('dvc add data', command, theirs, forget_dvc, writes=True))
    bounds = [Bound(one.name, 'dvc add data', 1 / 7) for one in contenders if one.ours]
    for git in bench.peers('git'):
        stored = bench.projects.keep('first-git', make)

        def forget_git(folder: Path = stored) -> None:
            bench.places.put_aside(folder / '.git')
            bench.projects.repository(folder)
            read_all(folder / 'data')

        contenders.append(Contender('git add data', (git.program, 'add', 'data'), stored, forget_git, writes=True))
    bounds.append(Bound('mlops add data', 'git add data', 1 / 2))
    return Race(tuple(contenders), tuple(bounds))


def hash_big(bench: Bench, ours: Ours) -> Race:
    """The first status in a clone hashes what the stage reads, and copies nothing."""

    def make(folder: Path) -> None:
        bench.projects.repository(folder)
        (folder / 'pipeline.yaml').write_text(PIPELINE_BIG)
        work.big_file(BIG, folder / 'big.bin')
        bench.projects.do((ours.program, 'add', 'big.bin'), folder)

    folder = bench.projects.keep(ours.own('big-mlops'), make)
    bench.projects.settle(ours, folder)

    def forget() -> None:
        bench.places.put_aside(folder / '.mlops/local')

    name = 'mlops status, the first'
    contenders = [bench.mlops(ours, folder, 'status', name=name, expect='Up to date: 1 stage', before=forget, writes=True)]
    for tool in bench.peers('b3sum'):
        contenders.append(Contender('b3sum', (tool.program, 'big.bin'), folder, expect='big.bin', writes=True))
    bounds = (Bound(name, 'b3sum', 1.1), Bound(name, '', 64, Measure.MEMORY))
    return Race(tuple(contenders), bounds, (name,))


ROWS = (
    Row('files-100000', 'a folder of 100,000 unchanged files', status(False)),
    Row('files-100000-changed', 'one of the 100,000 files changed', status(True)),
    Row('hash-100000', 'first hashing of the 100,000 files', hash_many, SLOW),
    Row('hash-4gib', 'first hashing of one file of 4 GiB', hash_big),
)
