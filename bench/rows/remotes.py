"""To a remote and back, all through one server of S3 on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import work
from bench.bounds import Bound, Measure, Race
from bench.errors import BenchError
from bench.measure import Contender
from bench.rows.base import Bench, Row, read_all
from bench.server import BUCKET, Server, make_remote, make_remote_dvc
from bench.tools import Ours, Tool

FEW, MANY = 2000, 100_000
BIG = 512 << 20
CHANGED = 10
MOST_MEMORY = 300.0  # MiB
LONG = 'MLOPS_BENCH_LONG'  # set: DVC sends its 100,000 files, too, which takes it minutes
Change = Callable[[], None]


class Tracked:
    """``data`` as everybody has it, tracked by ours and by DVC.  ``large``: it is a few large files, and what is put aside goes
    at once.  The disk would not hold all rounds; and who writes next finds the memory that the last round's files were in: to
    be given some by the machine's host takes longer than the writing."""

    def __init__(
        self, bench: Bench, ours: Ours, name: str, make: Callable[[Path], None], server: Server, *, large: bool = False
    ) -> None:
        self._bench, self._server, self._large = bench, server, large
        self.plain = bench.projects.keep(f'remote-{name}', lambda folder: make(folder / 'data'))
        self.count = sum(len(files) for _, _, files in os.walk(self.plain / 'data'))

        def copy(folder: Path) -> None:
            bench.projects.do(('cp', '-r', str(self.plain / 'data'), str(folder / 'data')), folder)
            bench.projects.repository(folder)

        def make_ours(folder: Path) -> None:
            copy(folder)
            (folder / 'pipeline.yaml').write_text('version: 1\nstages: {}\n')
            bench.projects.do((ours.program, 'add', '--quiet', 'data'), folder)

        def make_dvc(folder: Path) -> None:
            copy(folder)
            bench.projects.dvc_init(folder)
            bench.projects.do((self.dvc[0].program, 'add', '--quiet', 'data'), folder)

        self.mine = bench.projects.keep(ours.own(f'remote-{name}-mlops'), make_ours)
        self.dvc: Sequence[Tool] = bench.peers('dvc-s3')
        self.theirs = bench.projects.keep(f'remote-{name}-dvc', make_dvc) if self.dvc else self.plain

    def new_prefix(self) -> None:
        """Before the first push of a round."""
        for folder in {self.mine, self.plain, self.theirs}:
            if sum(len(files) for _, _, files in os.walk(folder / 'data')) != self.count:
                raise BenchError(f'not all files came back to {folder}/data')
        self._server.next_round()
        if self._large:
            self._aside(*self._server.rounds())
        make_remote(self.mine, self._server.prefix('mlops'))
        if self.dvc:
            make_remote_dvc(self.theirs, self._server.prefix('dvc'))
        read_all(self.mine / '.mlops/cache')

    def warm_dvc(self) -> None:
        """What is pushed comes from memory, for everybody: the system may have let go of it since the last round."""
        read_all(self.theirs / '.dvc/cache')

    def warm_plain(self) -> None:
        read_all(self.plain / 'data')

    def _aside(self, *paths: Path) -> None:
        self._bench.places.put_aside(*paths)
        if self._large:
            self._bench.places.drop()

    def as_cloned(self) -> None:
        self._server.look('mlops')
        self._aside(*(self.mine / name for name in ('data', '.mlops/cache', '.mlops/local')))

    def as_cloned_dvc(self) -> None:
        self._server.look('dvc')
        site = self._bench.places.folder / 'home/dvc-site'
        self._aside(*(self.theirs / name for name in ('data', '.dvc/cache', '.dvc/tmp')), site)

    def nothing(self) -> None:
        self._server.look('rclone')
        self._server.look('aws')
        self._aside(self.plain / 'data')


def few(bench: Bench, ours: Ours) -> Race:
    """A push, one with nothing to do, and a pull into what a clone has; by each tool, in turn."""
    server = bench.server()
    there = Tracked(bench, ours, f'{FEW}', lambda folder: work.small_files(FEW, folder, 4096), server)
    contenders = [
        bench.mlops(ours, there.mine, 'push', expect='pushed', before=there.new_prefix, writes=True),
        *_rclone(bench, server, there, 'push'),
        *(Contender('dvc push', (dvc.program, 'push', '-q'), there.theirs, there.warm_dvc, writes=True) for dvc in there.dvc),
        bench.mlops(ours, there.mine, 'push', name='mlops push again', expect='Nothing to do'),
        *(Contender('dvc push again', (dvc.program, 'push', '-q'), there.theirs) for dvc in there.dvc),
        bench.mlops(ours, there.mine, 'pull', expect='fetched', before=there.as_cloned, writes=True),
        *_rclone(bench, server, there, 'pull'),
    ]
    for dvc in there.dvc:
        command = (dvc.program, 'pull', '-q')
        contenders.append(Contender('dvc pull', command, there.theirs, there.as_cloned_dvc, writes=True))
    bounds = (
        Bound('mlops push', 'rclone push', 1 / 2), Bound('mlops push', 'dvc push', 1 / 6),
        Bound('mlops push again', 'dvc push again', 1 / 2),
        Bound('mlops pull', 'rclone pull', 1), Bound('mlops pull', 'dvc pull', 1 / 7),
        *_memory('mlops push', 'mlops pull'),
    )  # fmt: skip
    return Race(tuple(contenders), bounds, ('mlops push', 'mlops pull'), close=bench.close_server)


def _rclone(bench: Bench, server: Server, there: Tracked, verb: str) -> list[Contender]:
    found = []
    for rclone in bench.peers('rclone'):
        ends = ['data', f'm:{BUCKET}/rclone-$round/data']
        script = f'{rclone.program} copy --transfers 16 {" ".join(ends if verb == "push" else ends[::-1])}'
        before = there.nothing if verb == 'pull' else there.warm_plain
        found.append(Contender(f'rclone {verb}', server.words(script), there.plain, before, writes=True))
    return found


def _memory(*names: str) -> tuple[Bound, ...]:
    return tuple(Bound(name, '', MOST_MEMORY, Measure.MEMORY) for name in names)


def many(bench: Bench, ours: Ours) -> Race:
    """All, nothing, and what ten changed files make."""
    server = bench.server()
    there = Tracked(bench, ours, f'{MANY}', lambda folder: work.small_files(MANY, folder, 4096), server)

    def change() -> None:
        for number in range(CHANGED):
            (there.mine / f'data/d{number:02}/f{number:06}.bin').write_bytes(os.urandom(4096))
        bench.projects.do((ours.program, 'add', '--quiet', 'data'), there.mine)

    contenders = [
        bench.mlops(ours, there.mine, 'push', expect='pushed', before=there.new_prefix, writes=True),
        bench.mlops(ours, there.mine, 'push', name='mlops push again', expect='Nothing to do'),
        bench.mlops(ours, there.mine, 'push', name='mlops push of 10 more', expect='pushed', before=change, writes=True),
        bench.mlops(ours, there.mine, 'pull', expect='fetched', before=there.as_cloned, writes=True),
    ]
    bounds = [
        Bound('mlops push of 10 more', 'mlops push again', 2.0, Measure.BEYOND),
        *_memory(*(one.name for one in contenders)),
    ]
    if os.environ.get(LONG):
        for dvc in there.dvc:
            contenders.append(Contender('dvc push', (dvc.program, 'push', '-q'), there.theirs, there.warm_dvc, writes=True))
            contenders.append(Contender('dvc push again', (dvc.program, 'push', '-q'), there.theirs))
        bounds += [Bound('mlops push', 'dvc push', 1 / 20), Bound('mlops push again', 'dvc push again', 1 / 2)]
    return Race(tuple(contenders), tuple(bounds), close=bench.close_server)


def big(bench: Bench, ours: Ours) -> Race:
    """One file of 512 MiB."""
    server = bench.server()

    def make(folder: Path) -> None:
        folder.mkdir()
        work.big_file(BIG, folder / 'big.bin')

    there = Tracked(bench, ours, 'big', make, server, large=True)
    contenders = [bench.mlops(ours, there.mine, 'push', expect='pushed', before=there.new_prefix, writes=True)]
    for aws in bench.peers('aws'):
        script = f'{aws.program} s3 cp --quiet data/big.bin s3://{BUCKET}/aws-$round/big.bin'
        contenders.append(Contender('aws s3 cp up', server.words(script), there.plain, there.warm_plain, writes=True))
    contenders += [
        *_rclone(bench, server, there, 'push'),
        bench.mlops(ours, there.mine, 'pull', expect='fetched', before=there.as_cloned, writes=True),
    ]
    for aws in bench.peers('aws'):
        script = f'{aws.program} s3 cp --quiet s3://{BUCKET}/aws-$round/big.bin data/big.bin'
        contenders.append(Contender('aws s3 cp down', server.words(script), there.plain, there.nothing, writes=True))
    contenders += _rclone(bench, server, there, 'pull')
    bounds = (
        Bound('mlops push', 'aws s3 cp up', 1), Bound('mlops pull', 'rclone pull', 1.2), *_memory('mlops push', 'mlops pull'),
    )  # fmt: skip
    return Race(tuple(contenders), bounds, ('mlops push', 'mlops pull'), close=bench.close_server)


ROWS = (
    Row('remote-2000', 'push and pull 2,000 files of 4 KiB', few, 3),
    Row('remote-512mib', 'push and pull one file of 512 MiB', big, 3),
    Row('remote-100000', 'push 100,000 files of 4 KiB, then nothing, then 10 more', many, 1),
)
