"""Many files, or one that is large, into the cache and out of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench import work
from bench.bounds import Bound, Measure, Race
from bench.measure import Contender
from bench.rows.base import SLOW, Bench, Row, read_all
from bench.rows.files import BIG, data
from bench.tools import Ours

NO_STAGES = 'version: 1\nstages: {}\n'
MOST_MEMORY = 300.0  # MiB
MODES = {'hardlink': (('-al',), 0.65, 1 / 8), 'copy': (('-r',), 0.7, 1 / 5)}  # words of cp, most beside cp, beside DVC


def checkout(mode: str) -> Callable[[Bench, Ours], Race]:
    """The folder, put back from the cache into a workspace where it is not."""
    words, most, most_dvc = MODES[mode]

    def race(bench: Bench, ours: Ours) -> Race:
        def make(folder: Path) -> None:
            data(bench, folder)
            bench.projects.repository(folder)
            (folder / 'pipeline.yaml').write_text(NO_STAGES)
            bench.projects.do((ours.program, 'add', '--quiet', 'data'), folder)
            (folder / '.mlops/config.local.yaml').write_text(f'cache: {{links: [{mode}]}}\n')

        def make_dvc(folder: Path) -> None:
            data(bench, folder)
            bench.projects.repository(folder)
            bench.projects.dvc_init(folder)
            bench.projects.do((dvc.program, 'add', '--quiet', 'data'), folder)
            bench.projects.do((dvc.program, 'config', 'cache.type', mode), folder)

        def without(folder: Path, name: str, source: str) -> Callable[[], None]:
            def before() -> None:
                bench.places.put_aside(folder / name)
                read_all(folder / source)

            return before

        mine = bench.projects.keep(ours.own(f'placing-{mode}'), make)
        away = without(mine, 'data', '.mlops/cache')
        contenders = [bench.mlops(ours, mine, 'checkout', 'data', expect='placed', before=away, writes=True)]
        plain = bench.projects.keep('placing-plain', lambda folder: data(bench, folder))
        for cp in bench.peers('cp'):
            command = (cp.program, *words, 'data', 'out')
            contenders.append(Contender(f'cp {words[0]}', command, plain, without(plain, 'out', 'data'), writes=True))
        for dvc in bench.peers('dvc'):
            theirs = bench.projects.keep(f'placing-{mode}-dvc', make_dvc)
            words_dvc, away = (dvc.program, 'checkout', '-q'), without(theirs, 'data', '.dvc/cache')
            contenders.append(Contender('dvc checkout', words_dvc, theirs, away, writes=True))
        name = 'mlops checkout data'
        bounds = (
            Bound(name, f'cp {words[0]}', most), Bound(name, 'dvc checkout', most_dvc),
            Bound(name, '', MOST_MEMORY, Measure.MEMORY),
        )  # fmt: skip
        return Race(tuple(contenders), bounds)

    return race


def add_big(bench: Bench, ours: Ours) -> Race:
    """One file of 4 GiB into the cache, where it cannot be shared with the workspace: hashed while it is copied."""

    def make(folder: Path) -> None:
        bench.projects.repository(folder)
        (folder / 'pipeline.yaml').write_text(NO_STAGES)
        work.big_file(BIG, folder / 'big.bin')

    folder = bench.projects.keep(ours.own('add-big'), make)

    def forget() -> None:
        for name in ('.mlops', '.gitignore', '.gitattributes'):
            bench.places.put_aside(folder / name)
        bench.places.drop()

    contenders = [bench.mlops(ours, folder, 'add', 'big.bin', expect='added', before=forget, writes=True)]
    for cp in bench.peers('cp'):
        command = (cp.program, '--reflink=never', 'big.bin', 'copy.bin')

        def no_copy() -> None:
            (folder / 'copy.bin').unlink(missing_ok=True)
            forget()

        contenders.append(Contender('cp', command, folder, no_copy, writes=True))
    bounds = (Bound('mlops add big.bin', 'cp', 1.2), Bound('mlops add big.bin', '', MOST_MEMORY, Measure.MEMORY))
    return Race(tuple(contenders), bounds, ('mlops add big.bin',))


ROWS = (
    Row('checkout-100000-hardlink', '100,000 files from the cache, by hard links', checkout('hardlink'), SLOW),
    Row('checkout-100000-copy', '100,000 files from the cache, by copies', checkout('copy'), SLOW),
    Row('add-4gib', 'one file of 4 GiB into the cache, by copy', add_big, SLOW),
)
