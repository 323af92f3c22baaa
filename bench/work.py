"""The work: pipelines of any number of stages in each tool's own words, folders of small files, one big file."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
FOLDERS = 100


@dataclass(frozen=True, slots=True)
class Stage:
    """It copies ``source`` to ``out`` and also depends on ``above``, outputs of the layer above."""

    name: str
    source: str
    above: tuple[str, ...]
    out: str

    @property
    def command(self) -> str:
        return f'cp {self.source} {self.out}'

    @property
    def deps(self) -> tuple[str, ...]:
        return (self.source, *self.above)


def stages(count: int) -> Iterator[Stage]:
    """A graph of layers as wide as deep; each stage reads a source of its own and up to two outputs of the layer above."""
    width = math.isqrt(count - 1) + 1
    for number in range(count):
        layer = number - number % width
        above = (number - width, number - width + 1) if number >= width else ()
        outs = tuple(f'out/{one}.txt' for one in above if one < layer)
        yield Stage(f's{number}', f'src/{number}.txt', outs, f'out/{number}.txt')


def source(number: int) -> str:
    return f'source {number}\n'


def mlops(count: int) -> Iterator[str]:
    yield 'version: 1\nstages:\n'
    for one in stages(count):
        yield f'  {one.name}:\n    cmd: {one.command}\n    deps: [{", ".join(one.deps)}]\n    outs: [{one.out}]\n'


def ninja(count: int) -> Iterator[str]:
    yield 'rule cp\n  command = cp $src $out\n'
    for one in stages(count):
        yield f'build {one.out}: cp {" ".join(one.deps)}\n  src = {one.source}\n'


def make(count: int) -> Iterator[str]:
    yield f'all: {" ".join(one.out for one in stages(count))}\n'
    for one in stages(count):
        yield f'{one.out}: {" ".join(one.deps)}\n\t@{one.command}\n'


def doit(count: int) -> Iterator[str]:
    yield 'STAGES = [\n'
    for one in stages(count):
        yield f'    {(one.name, one.deps, one.out, one.command)!r},\n'
    yield ']\n\n\ndef task_stage():\n    for name, deps, out, command in STAGES:\n'
    yield "        yield {'name': name, 'file_dep': list(deps), 'targets': [out], 'actions': [command]}\n"


def dvc(count: int) -> Iterator[str]:
    yield 'stages:\n'
    for one in stages(count):
        deps = ''.join(f'    - {path}\n' for path in one.deps)
        yield f'  {one.name}:\n    cmd: {one.command}\n    deps:\n{deps}    outs:\n    - {one.out}\n'


FILES = {
    'mlops': ('pipeline.yaml', mlops),
    'ninja': ('build.ninja', ninja),
    'make': ('Makefile', make),
    'doit': ('dodo.py', doit),
    'dvc': ('dvc.yaml', dvc),
}


def pipeline(tool: str, count: int, folder: Path) -> None:
    """Write sources, an empty folder for outputs, and the tool's own file."""
    for name in ('src', 'out'):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f'src/{number}.txt').write_text(source(number))
    name, write = FILES[tool]
    with (folder / name).open('w') as file:
        file.writelines(write(count))


def dvc_seed(count: int, folder: Path) -> None:
    """Put a DVC project of so many stages into its built state, as ``dvc repro`` would leave it; that takes it hours."""

    def facts(path: str) -> tuple[str, int, bytes]:
        data = source(int(Path(path).stem)).encode()
        return hashlib.md5(data).hexdigest(), len(data), data

    def entry(path: str) -> str:
        digest, size, _ = facts(path)
        return f'    - path: {path}\n      hash: md5\n      md5: {digest}\n      size: {size}\n'

    with (folder / 'dvc.lock').open('w') as lock:
        lock.write("schema: '2.0'\nstages:\n")
        for one in stages(count):
            deps = ''.join(entry(path) for path in sorted(one.deps))
            lock.write(f'  {one.name}:\n    cmd: {one.command}\n    deps:\n{deps}    outs:\n{entry(one.out)}')
            digest, _, data = facts(one.out)
            stored = folder / '.dvc/cache/files/md5' / digest[:2] / digest[2:]
            stored.parent.mkdir(parents=True, exist_ok=True)
            for target in (folder / one.out, stored):
                target.write_bytes(data)
    (folder / 'out/.gitignore').write_text(''.join(f'/{number}.txt\n' for number in range(count)))


def small_files(count: int, folder: Path, least: int = 1024) -> None:
    """Files of 1 to 4 KiB in a hundred folders, the same every time.  ``least``: bytes of the smallest."""
    dice = random.Random(count)
    for number in range(FOLDERS):
        (folder / f'd{number:02}').mkdir(parents=True)
    for number in range(count):
        data = dice.randbytes(dice.randint(least, 4096))
        (folder / f'd{number % FOLDERS:02}/f{number:06}.bin').write_bytes(data)


def big_file(size: int, path: Path) -> None:
    """``size`` bytes, a multiple of a MiB, no two blocks alike."""
    block = random.Random(size).randbytes(MIB)
    with path.open('wb') as file:
        for number in range(size // MIB):
            file.write(number.to_bytes(8, 'little') + block[8:])
