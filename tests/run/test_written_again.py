"""What is written while its stage runs, or right after, and looks as it did when the stage ends: no result counts that may
have been made from something else."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_cli.core.events import Event, StageEnded
from mlops_cli.run import scheduler, settle
from tests.support.project import Project

PIPELINE = """\
version: 1
stages:
  up: {cmd: mkdir -p made; cp seed.txt made/one; cp seed.txt made/two, deps: [seed.txt], outs: [made]}
  a:
    cmd: sh a.sh
    deps: [in.txt, other.txt, folder, made]
    params: [k]
    outs: [out, outs]
"""
WAIT = 'cat in.txt > out; mkdir outs; cp in.txt outs/x; touch began; while [ ! -e go ]; do sleep 0.01; done; rm began go\n'


def ended(project: Project) -> StageEnded:
    events: list[Event] = []
    project.run(events=events)
    (found,) = [one for one in events if isinstance(one, StageEnded) and one.stage == 'a']
    return found


@pytest.fixture
def begun(project: Project) -> Project:
    project.write('pipeline.yaml', PIPELINE)
    for path in ('in.txt', 'other.txt', 'folder/x', 'folder/sub/y', 'seed.txt'):
        project.write(path, f'{path}\n')
    project.write('params.yaml', 'k: 1\nother: 2\n')
    project.write('a.sh', WAIT)
    return project


def meanwhile(project: Project, do: Callable[[Path], object]) -> StageEnded:
    """How the stage ends if that is done while it runs."""

    def other() -> None:
        while not project.exists('began') and not over.wait(0.002):
            pass
        if not over.is_set():
            do(project.path)
            project.write('go', '')

    over = threading.Event()
    thread = threading.Thread(target=other)
    thread.start()
    try:
        return ended(project)
    finally:
        over.set()
        thread.join()


def in_place(path: Path) -> None:
    before = path.read_bytes()
    path.write_bytes(b'something else, for a moment\n')
    path.write_bytes(before)


def with_its_times(path: Path) -> None:
    facts = path.stat()
    in_place(path)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def renamed(path: Path) -> None:
    path.rename(f'{path}~')
    path.write_bytes(b'something else\n')
    os.replace(f'{path}~', path)


def come_and_gone(path: Path) -> None:
    new = path.parent / 'new'
    new.write_text('new')
    new.unlink()


EVERYWHERE = ['in.txt', 'folder/x', 'folder/sub/y', 'params.yaml', 'a.sh', 'made/two']


@pytest.mark.parametrize('how', [in_place, with_its_times, renamed], ids=lambda how: how.__name__)
@pytest.mark.parametrize('path', EVERYWHERE)
def test_there_and_back_is_kept_apart(begun: Project, path: str, how: Callable[[Path], None]) -> None:
    found = meanwhile(begun, lambda root: how(root / path))
    assert found.state == 'failed' and found.message.startswith('written while it ran'), found
    assert path.split('/')[0] in found.message and 'other.txt' not in found.message
    begun.write('a.sh', WAIT)  # its state is new, its content is not
    assert begun.verdicts()['a'] == 'run', 'the result does not count'


@pytest.mark.parametrize('path', ['folder/x', 'folder/sub/y', 'made/two'])
def test_a_member_that_came_and_went_too(begun: Project, path: str) -> None:
    found = meanwhile(begun, lambda root: come_and_gone(root / path))
    assert found.state == 'failed' and found.message.startswith('written while it ran'), found


def read(root: Path) -> None:
    for path in EVERYWHERE:
        (root / path).read_bytes()
        (root / path).stat()


def another_name(root: Path) -> None:
    os.link(root / 'in.txt', root / 'link')


def another_parameter(root: Path) -> None:
    (root / 'params.yaml').write_text('k: 1\nother: 3\n')


def beside(root: Path) -> None:
    """What the stage does not read, and what never counts."""
    (root / 'own.txt').write_text('own')
    (root / 'folder/__pycache__').mkdir()
    (root / 'folder/__pycache__/x.pyc').write_bytes(b'x')


@pytest.mark.parametrize('how', [read, another_name, another_parameter, beside], ids=lambda how: how.__name__)
def test_what_is_no_writing_is_no_matter(begun: Project, how: Callable[[Path], None]) -> None:
    found = meanwhile(begun, how)
    assert found.state == 'done' and found.notes == (), found
    assert begun.verdicts() == {'up': 'fresh', 'a': 'fresh'}


def test_what_was_written_just_before_is_no_matter(begun: Project) -> None:
    begun.write('a.sh', 'cat in.txt > out; mkdir -p outs\n')
    for text in ('x\n', 'y\n', 'z\n'):
        begun.write('in.txt', text)
        assert ended(begun).state == 'done'


def right_after(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """It is done when all processes of the stage are gone, before its outputs are looked at: later than by one tick of the
    clock that files get their times from."""
    real = settle.outputs_size

    def size(session: object, attempt: object, folder: int) -> int | None:
        time.sleep(0.02)
        do()
        return real(session, attempt, folder)  # type: ignore[arg-type]

    monkeypatch.setattr(scheduler, 'outputs_size', size)


@pytest.mark.parametrize('how', ['written', 'in a folder', 'taken out'])
def test_outputs_that_somebody_else_writes_right_after(begun: Project, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    begun.write('a.sh', 'cat in.txt > out; mkdir outs; echo x > outs/x; echo y > outs/y\n')
    begun.run('up')
    does: dict[str, Callable[[], object]] = {
        'written': lambda: begun.write('out', 'not of the stage\n'),
        'in a folder': lambda: begun.write('outs/x', 'not of the stage\n'),
        'taken out': (begun.path / 'outs/x').unlink,
    }
    right_after(monkeypatch, does[how])
    found = ended(begun)
    assert found.state == 'failed' and found.message.startswith('its outputs were written after it had ended'), found
    monkeypatch.undo()
    assert begun.verdicts()['a'] == 'run'
    assert ended(begun).state == 'done' and begun.read('out') == 'in.txt\n'
