"""A little project that mlops and DVC both understand, brought into the state from which each of their commands is tried."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.tools import Done, git

# What a command is called, in words of mlops, in a project that it is given.
Do = Callable[..., Done]

MLOPS = """\
stages:
  prepare:
    cmd: sh prepare.sh
    deps: [in.csv]
    outs: [out]
  train:
    cmd: cat out/clean.csv out/copy.csv labels.csv > model.bin
    deps: [out, labels.csv]
    outs: [model.bin]
"""
DVC = """\
stages:
  prepare:
    cmd: sh prepare.sh
    deps: [in.csv, prepare.sh]
    outs: [out]
  train:
    cmd: cat out/clean.csv out/copy.csv labels.csv > model.bin
    deps: [out, labels.csv]
    outs: [model.bin]
"""
PREPARE = 'mkdir -p out/sub\ntr a-z A-Z < in.csv > out/clean.csv\ncp in.csv out/copy.csv\ncp in.csv out/sub/deep.csv\n'
OLD, NEW = 'a,b\n' + 'one,two\n' * 300, 'a,b\n' + 'three,four\n' * 300
LABELS = 'x\n' * 50


def write(folder: Path, rel: str, content: str) -> None:
    path = folder / rel
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # it may be a link into a store
    path.write_text(content)


def sources(tool: str, folder: Path) -> None:
    """What a person wrote, in an empty folder, under git."""
    folder.mkdir(parents=True)
    git(folder, 'init', '-q', '-b', 'main', '--template=')
    write(folder, 'pipeline.yaml' if tool == 'mlops' else 'dvc.yaml', MLOPS if tool == 'mlops' else DVC)
    write(folder, 'prepare.sh', PREPARE)
    write(folder, 'in.csv', OLD)
    write(folder, 'labels.csv', LABELS)
    write(folder, 'notes.txt', 'mine\n')
    for name in ('a.bin', 'b.bin', 'deep/c.bin'):
        write(folder, f'images/{name}', f'picture {name}\n' * 40)


def commit(folder: Path) -> None:
    git(folder, 'add', '-A')
    git(folder, 'commit', '-q', '-m', 'one')


def computed(tool: str, folder: Path, do: Do) -> None:
    """The same, its data added, run once, committed."""
    sources(tool, folder)
    if tool == 'dvc':
        do(folder, 'init', '-q', code=0)
    do(folder, 'add', 'images', code=0)
    do(folder, RUN[tool], code=0)
    commit(folder)


RUN = {'mlops': 'run', 'dvc': 'repro'}


@dataclass(frozen=True)
class Scenario:
    """``words``: by tool, what is tried; ``codes``: how it ends when all is well.  ``prepare``: makes the project.  ``own``:
    paths of the user's that no command may change.  ``right``: path -> content afterwards; ``after``: how paths begin that
    are there then.  ``again``: how it ends, too, where it has been done already.  ``harmed``: the store was damaged before.
    ``reports``: what it prints, and ends with 1, where it is its business to tell of such a fault."""

    name: str
    words: dict[str, Sequence[str]]
    prepare: Callable[[str, Path, Do], None]
    own: Sequence[str]
    right: dict[str, str]
    codes: Sequence[int] = (0,)
    after: Sequence[str] = ()
    again: Sequence[int] = ()
    harmed: bool = False
    reports: str = ''


SOURCES = ('prepare.sh', 'in.csv', 'labels.csv', 'notes.txt')
IMAGES = tuple(f'images/{name}' for name in ('a.bin', 'b.bin', 'deep/c.bin'))


def _outputs(text: str) -> dict[str, str]:
    upper = text.upper()
    return {'out/clean.csv': upper, 'out/copy.csv': text, 'out/sub/deep.csv': text, 'model.bin': upper + text + LABELS}


def _to_add(tool: str, folder: Path, do: Do) -> None:
    computed(tool, folder, do)
    for number in range(4):
        write(folder, f'new/{number}.txt', f'{number % 3}' * 500)
    write(folder, 'new/sub/copy.txt', OLD)  # which the store has already
    write(folder, 'more.csv', NEW)


def _to_run(tool: str, folder: Path, do: Do) -> None:
    computed(tool, folder, do)
    write(folder, 'in.csv', NEW)


def _to_begin(tool: str, folder: Path, do: Do) -> None:
    sources(tool, folder)
    if tool == 'dvc':
        do(folder, 'init', '-q', code=0)
    commit(folder)


def _to_restore(tool: str, folder: Path, do: Do) -> None:
    _to_run(tool, folder, do)
    do(folder, RUN[tool], code=0)
    write(folder, 'in.csv', OLD)


def _to_check_out(tool: str, folder: Path, do: Do) -> None:
    computed(tool, folder, do)
    (folder / 'model.bin').unlink()
    (folder / 'images/b.bin').unlink()
    shutil.rmtree(folder / 'out/sub')


def _to_force(tool: str, folder: Path, do: Do) -> None:
    _to_check_out(tool, folder, do)
    write(folder, 'images/a.bin', 'drawn over\n')
    write(folder, 'out/clean.csv', 'edited by hand\n')
    write(folder, 'out/mine.csv', 'put there\n')


def _to_accept(tool: str, folder: Path, do: Do) -> None:
    computed(tool, folder, do)
    write(folder, 'prepare.sh', PREPARE.replace('cp in.csv out/copy.csv', 'cat in.csv > out/copy.csv'))


def _to_verify(tool: str, folder: Path, do: Do) -> None:
    computed(tool, folder, do)
    os.utime(folder / 'in.csv')


def _to_find(tool: str, folder: Path, do: Do) -> None:
    computed(tool, folder, do)
    held = (path for path in (folder / '.mlops/cache/objects-v1').rglob('*') if path.is_file())
    victim = next(path for path in held if path.read_text() == OLD.upper())
    victim.chmod(0o644)
    victim.write_text('X' + OLD[1:].upper())


def _to_collect(tool: str, folder: Path, do: Do) -> None:
    """Two versions were computed, the older is committed nowhere."""
    computed(tool, folder, do)
    for text in ('a,b\nnine\n', NEW):
        write(folder, 'in.csv', text)
        do(folder, RUN[tool], code=0)
    shutil.rmtree(folder / '.mlops/runs', ignore_errors=True)
    commit(folder)


SCENARIOS = (
    Scenario(
        'add',
        {'mlops': ('add', 'new', 'more.csv'), 'dvc': ('add', 'new', 'more.csv')},
        _to_add,
        (*SOURCES, *IMAGES, 'more.csv', *(f'new/{n}.txt' for n in range(4)), 'new/sub/copy.txt'),
        _outputs(OLD),
        after=('.mlops/data/new.json', '.mlops/data/more.csv.json'),
    ),
    Scenario('run', {'mlops': ('run',), 'dvc': ('repro',)}, _to_run, (*SOURCES, *IMAGES), _outputs(NEW)),
    Scenario('first', {'mlops': ('run',), 'dvc': ('repro',)}, _to_begin, (*SOURCES, *IMAGES), _outputs(OLD)),
    Scenario('restore', {'mlops': ('run',), 'dvc': ('repro',)}, _to_restore, (*SOURCES, *IMAGES), _outputs(OLD)),
    Scenario(
        'checkout',
        {'mlops': ('checkout',), 'dvc': ('checkout',)},
        _to_check_out,
        (*SOURCES, IMAGES[0], IMAGES[2]),
        _outputs(OLD),
        after=IMAGES,
    ),
    Scenario(
        'force', {'mlops': ('checkout', '--force'), 'dvc': ('checkout',)}, _to_force, SOURCES, _outputs(OLD), after=IMAGES
    ),
    Scenario(
        'accept',
        {'mlops': ('accept', 'prepare', 'train', '--reason', 'the same')},
        _to_accept,
        (*SOURCES, *IMAGES),
        _outputs(OLD),
        after=('.mlops/accepted/',),
        again=(2,),
    ),
    Scenario(
        'verify', {'mlops': ('verify',)}, _to_verify, (*SOURCES, *IMAGES), _outputs(OLD), reports='  (unreadable|damaged) '
    ),
    Scenario('find', {'mlops': ('verify',)}, _to_find, (*SOURCES, *IMAGES), _outputs(OLD), codes=(0, 1), harmed=True),
    Scenario(
        'gc',
        {'mlops': ('gc', '--yes', '--grace', '0'), 'dvc': ('gc', '-w', '-f')},
        _to_collect,
        (*SOURCES, *IMAGES),
        _outputs(NEW),
    ),
)
