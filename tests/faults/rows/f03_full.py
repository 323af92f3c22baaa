"""F3: a disk that is full, or out of inodes, at each of many points."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.faults import whole
from tests.faults.alone import alone
from tests.faults.base import Bad, Row, Setting, Trial, Verdict
from tests.faults.little import RUN, Do, Scenario, commit, write
from tests.faults.rows.f02_errors import World, has_gc, judge, measure, warmly
from tests.faults.tools import Done, git

STEP = 64 << 10  # bytes
SIZES, INODES = 200, 120
SLICES = 8
PLENTY = 96 << 20
NAMESPACE = ('unshare', '-rm')

PIPELINE = """\
stages:
  prepare:
    cmd: mkdir -p out && cat in.bin > out/copy.bin && cat in.bin > out/again.bin && printf x >> out/again.bin
    deps: [in.bin]
    outs: [out]
"""
FILES, FILE = 40, 80 << 10
LARGE = 5 << 19  # so that each command needs less than the most that is left


def _bytes(name: str, size: int) -> str:
    """Text that differs from file to file all the way."""
    line = f'{name} '.ljust(63, '.') + '\n'
    return (line * (size // 64 + 1))[:size]


def _sources(tool: str, folder: Path, do: Do) -> None:
    folder.mkdir(parents=True)
    git(folder, 'init', '-q', '-b', 'main', '--template=')
    write(folder, 'pipeline.yaml' if tool == 'mlops' else 'dvc.yaml', PIPELINE)
    write(folder, 'in.bin', _bytes('old', LARGE))
    write(folder, 'notes.txt', 'mine\n')
    write(folder, 'data/large.bin', _bytes('large', LARGE * 2))
    for number in range(FILES):
        write(folder, f'data/{number % 4}/{number}.txt', _bytes(str(number), FILE))
    if tool == 'dvc':
        do(folder, 'init', '-q', code=0)


def _computed(tool: str, folder: Path, do: Do) -> None:
    _sources(tool, folder, do)
    do(folder, RUN[tool], code=0)
    commit_few(folder)


def commit_few(folder: Path) -> None:
    """All but what is large."""
    (folder / '.git/info').mkdir(exist_ok=True)
    with (folder / '.git/info/exclude').open('a') as file:
        file.write('*.bin\n*.txt\n')
    commit(folder)


def _to_add(tool: str, folder: Path, do: Do) -> None:
    _sources(tool, folder, do)
    commit_few(folder)


def _to_run(tool: str, folder: Path, do: Do) -> None:
    _computed(tool, folder, do)
    write(folder, 'in.bin', _bytes('new', LARGE))


def _to_check_out(tool: str, folder: Path, do: Do) -> None:
    _computed(tool, folder, do)
    do(folder, 'add', 'data', code=0)
    shutil.rmtree(folder / 'out')
    shutil.rmtree(folder / 'data/1')
    (folder / 'data/large.bin').unlink()


def _to_collect(tool: str, folder: Path, do: Do) -> None:
    for text in ('old', 'new', 'newer'):
        if text == 'old':
            _computed(tool, folder, do)
        else:
            write(folder, 'in.bin', _bytes(text, LARGE))
            do(folder, RUN[tool], code=0)
    shutil.rmtree(folder / '.mlops/runs', ignore_errors=True)


DATA = ('data/large.bin', *(f'data/{number % 4}/{number}.txt' for number in range(FILES)))
RIGHT = {name: _bytes(name, LARGE) for name in ('old', 'new', 'newer')}


def _outputs(name: str) -> dict[str, str]:
    return {'out/copy.bin': RIGHT[name], 'out/again.bin': RIGHT[name] + 'x'}


BIG = {
    one.name: one
    for one in (
        Scenario(
            'add',
            {'mlops': ('add', 'data'), 'dvc': ('add', 'data')},
            _to_add,
            (*DATA, 'in.bin', 'notes.txt'),
            {},
            after=('.mlops/data/data.json',),
        ),
        Scenario('run', {'mlops': ('run',), 'dvc': ('repro',)}, _to_run, (*DATA, 'in.bin', 'notes.txt'), _outputs('new')),
        Scenario(
            'checkout',
            {'mlops': ('checkout',), 'dvc': ('checkout',)},
            _to_check_out,
            ('in.bin', 'notes.txt'),
            _outputs('old'),
            after=DATA,
        ),
        Scenario(
            'gc',
            {'mlops': ('gc', '--yes', '--grace', '0'), 'dvc': ('gc', '-w', '-f')},
            _to_collect,
            (*DATA, 'in.bin', 'notes.txt'),
            _outputs('newer'),
        ),
    )
}


@cache
def lacks() -> str:
    if not shutil.which('unshare'):
        return 'there is no unshare here'
    tried = subprocess.run(
        [*NAMESPACE, 'mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', '/tmp'], capture_output=True, text=True, check=False
    )
    return '' if tried.returncode == 0 else f'no name spaces for users here: {tried.stderr.strip()[-120:]}'


def cases(setting: Setting) -> Sequence[str]:
    """``add size 3/8``: of the sizes each 8th, from the third on."""
    names = [name for name in BIG if name != 'gc' or setting.tool.name == 'dvc' or has_gc()]
    if setting.tool.name == 'dvc':
        return [f'{name} {kind} 1/{20 if kind == "size" else 40}' for name in names for kind in ('size', 'inodes')]
    if not setting.full:
        return [f'{name} {kind} {part}' for name in names for kind, part in (('size', '1/60'), ('inodes', '4/60'))]
    return [f'{name} {kind} {part}/{SLICES}' for name in names for kind in ('size', 'inodes') for part in range(1, SLICES + 1)]


def run(setting: Setting, case: str) -> Verdict:
    return alone(setting, __name__, case, before=NAMESPACE)


class Disk(World):
    """Copies of the world on a file system of their own, that nobody else sees."""

    @contextmanager
    def copy(self) -> Iterator[Path]:
        place = self.setting.folder / 'disk'
        place.mkdir(exist_ok=True)
        _mount('-t', 'tmpfs', '-o', f'size={PLENTY},nr_inodes=100000', 'tmpfs', str(place))
        try:
            folder = place / 'project'
            shutil.copytree(self.original, folder, symlinks=True)
            (place / 'project-home').mkdir()
            yield folder
        finally:
            subprocess.run(['umount', '-l', str(place)], check=True)

    def limit(self, folder: Path, kind: str, steps: int) -> None:
        """So much is left, and no more: steps of 64 KiB, or inodes."""
        facts = os.statvfs(folder)
        if kind == 'size':
            option = f'size={(facts.f_blocks - facts.f_bfree) * facts.f_frsize + steps * STEP}'
        else:
            option = f'nr_inodes={facts.f_files - facts.f_ffree + steps}'
        _mount('-o', f'remount,{option}', str(folder.parent))

    def mend(self, folder: Path) -> None:
        _mount('-o', f'remount,size={PLENTY},nr_inodes=100000', str(folder.parent))


def _mount(*words: str) -> None:
    subprocess.run(['mount', *words], check=True)


def inside(setting: Setting, case: str) -> Verdict:
    """In a process and a name space of its own."""
    name, kind, part = case.split()
    first, of = map(int, part.split('/'))
    do: Callable[..., Done] = setting.tool.do
    if setting.tool.name == 'mlops':
        from tests.faults import warm

        warm.load()
        do = warmly(setting.tool)
    what = BIG[name]
    original = setting.folder / 'world'
    what.prepare(setting.tool.name, original, do)
    world = Disk(setting, what, original, whole.read(original), do)
    measure(world)
    trial = Trial()
    for steps in range(first - 1, SIZES if kind == 'size' else INODES, of):
        with world.copy() as folder:
            world.limit(folder, kind, steps)
            done = do(folder, *world.words)
            label = f'{name} with {steps} {"steps of 64 KiB" if kind == "size" else "inodes"} left'
            if setting.tool.name == 'mlops' and done.code not in (0, 6) and not _stage_failed(done):
                trial.bad(Bad.WRONG, f'exit {done.code}: {label}: {done.err[-300:]!r}')
            judge(
                world,
                trial,
                folder,
                done,
                label,
                'ENOSPC',
                [str(folder.parent), *(str(folder / name) for name in ('out', 'data'))],
            )
    return trial.verdict()


def _stage_failed(done: Done) -> bool:
    """It was the stage's own command that found no room, and said so."""
    return done.code == 1 and os.strerror(errno.ENOSPC) in done.out + done.err


ROWS = (
    Row(
        'F3',
        'a disk that is full, or out of inodes',
        '200 sizes and 120 numbers of inodes for add, run, checkout and gc: originals intact; goes through once there is room',
        cases,
        run,
        ('mlops', 'dvc'),
        lacks,
    ),
)
