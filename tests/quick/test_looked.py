"""All that an answer depends on is in the file of answers: nothing that the long way touches is left out."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator

import pytest

from mlops_cli.cli.quick import form
from tests.quick.served import Served
from tests.quick.world import REST_SECONDS, World

# What need not be there, each with why.  P is the project.
FREE = {
    r'P/\.mlops/local(/(index-v1\.sqlite|locks-v1|clock|answers-v1).*)?': 'our own; looked at by each answer, or no matter',
    r'P/\.mlops/local/(\.mlops-tmp.*|pipeline-v1)': 'our own; holds nothing but what the pipeline files say',
    r'P/\.mlops/local/trust\.json': 'absent here: without it no link out is followed, and who confirms one records data',
    r'P/\.mlops/cache/(tmp|locks-v1)(/.*|\.holders)?': 'written by every command that writes, and in no answer',
    r'P/\.mlops/cache/roots/projects': 'swept of what killed commands left; what is said of this project has a name',
    r'P/\.mlops/cache/trash(/.*)?': 'what comes back from there was missed, and where all is up to date nothing is',
    r'/(proc|dev|sys)(/.*)?': 'of the kernel',
    r'.*/\.cache/mlops/answers-token': 'the secret; with another, no answer counts',
    r'.*/pipeline\.schema\.yaml|.*/mlops_cli(/pipeline(/schema\.json)?|/core|/yamlfile\.py)?': 'of the program, whose version '
    'and place count',
    r'.*/site-packages/[^/]+(/__init__\.py)?': 'what is in a package that is installed; to install one changes site-packages',
}


@pytest.fixture(scope='module')
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    served = Served()
    made = World(tmp_path_factory.mktemp('looked'), served)
    made.build()
    yield made
    served.close()


def known_to(world: World) -> dict[str, set[str]]:
    """Path -> the kinds it has in the file of answers."""
    data = (world.path / form.FILE).read_bytes()
    parts = form.parts_of((world.home / '.cache/mlops/answers-token').read_bytes(), data)
    assert parts is not None
    found: dict[str, set[str]] = {}
    for folder, name, kind in form.names(data[parts[3] :]):
        found.setdefault(os.path.normpath(os.path.join(os.fsdecode(folder), os.fsdecode(name))), set()).add(kind)
    return found


def is_known(known: dict[str, set[str]], how: str, path: str) -> bool:
    """Whether the file of answers would notice another state of it."""
    kinds = known.get(path) or known.get(os.path.realpath(path)) or set()
    if how == 'look' and os.path.isdir(path) and any(one.startswith(os.path.realpath(path) + '/') for one in known):
        return True  # on the way to something that is known by its own state
    if how == 'list' and os.path.isdir(path):
        return 'full' in kinds
    if kinds or os.path.lexists(path):
        return bool(kinds)
    folder = os.path.dirname(path)
    while not os.path.lexists(folder) and folder != '/':
        if folder in known:
            return True
        folder = os.path.dirname(folder)
    return 'full' in known.get(folder, ())  # a name that comes there changes it


@pytest.mark.parametrize('command', ['status', 'plan', 'run'])
def test_nothing_that_is_touched_is_left_out(world: World, command: str) -> None:
    end = time.monotonic() + REST_SECONDS  # a folder above the project that somebody touches keeps it from being written
    while time.monotonic() < end:
        (world.path / form.FILE).unlink(missing_ok=True)
        done = world.ask(command, how='traced')
        assert done.code == 0 and not done.at_once
        if (world.path / form.FILE).exists():
            break
    known = known_to(world)
    free = [re.compile(pattern.replace('P/', f'{re.escape(str(world.path))}/')) for pattern in FREE]
    touched = [one.split(' ', 1) for one in done.touched]
    assert len(touched) > 100
    missing = [
        f'{how} {path}'
        for how, path in touched
        if not any(one.fullmatch(path) for one in free) and not is_known(known, how, path)
    ]
    assert not missing, '\n'.join(missing)


@pytest.mark.parametrize('command', ['status', 'run'])
def test_a_run_registers_a_project_that_was_forgotten(world: World, command: str) -> None:
    """Else gc of a cache that several projects share would take what this one needs for unneeded."""
    end = time.monotonic() + REST_SECONDS  # until all has come to rest, as World.is_known does
    while not world.ask(command).at_once:
        assert time.monotonic() < end
        time.sleep(0.02)
    (project,) = (world.path / '.mlops/cache/roots/projects').iterdir()
    project.unlink()
    assert not world.ask(command).at_once
    world.must('run')
    assert project.exists()
