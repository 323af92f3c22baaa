"""What is said of a pipeline that was taken from what was kept is what is said of one that was read; answers that followed
from it depend on all that it was made from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlops_cli.cli.quick import form
from mlops_cli.core import layout
from tests.quick.mutations import remove, restore
from tests.quick.served import Served
from tests.quick.world import REST_SECONDS, World

VIEWS: list[tuple[list[str], str, dict[str, str]]] = [
    *((words, '.', {}) for words in (['status'], ['plan'])),
    (['status'], '.', {'FLAVOUR': 'sour'}),
    (['status'], '.', {'FLAVOUR': ''}),
]
LONG = (['plan', '--json'], ['explain', 'count'])


@pytest.fixture(scope='module')
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    served = Served()
    world = World(tmp_path_factory.mktemp('kept'), served)
    world.build()
    text = world.project.read('pipeline.yaml').replace('[serve/pipeline.yaml]', '[serve/pipeline.yaml, sub/pipeline.yaml]')
    world.project.write('pipeline.yaml', text.replace('> out/count.txt', '> out/count.txt && true ${env:FLAVOUR:-none}'))
    world.project.write('sub/pipeline.yaml', 'stages: {sub: {cmd: "echo ${n:-none} > sub.txt", outs: [sub.txt]}}\n')
    world.must('run')
    world.project.commit('more')
    remove(world.path.parent / 'kept')
    world.keep()
    yield world
    served.close()


@pytest.fixture
def world(made: World) -> World:
    """Of which the status is answered at once, as it was said of a pipeline that was kept before."""
    if not made.is_known():
        made.renew()
        assert made.is_known(REST_SECONDS)
    remove(made.path / form.FILE)
    made.ask('status')
    kept = made.path / layout.PIPELINE_KEPT
    before = state(kept)
    remove(made.path / form.FILE)
    assert made.is_known(REST_SECONDS) and state(kept) == before
    return made


def state(path: Path) -> tuple[int, int, int, int]:
    """What shows whether a file was written; when it was read last does not."""
    facts = path.stat()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def edited(name: str) -> Callable[[World], None]:
    """Other bytes, of the same number and under the same times."""

    def change(world: World) -> None:
        path = world.path / name
        facts, text = path.stat(), path.read_text()
        for old, new in (('.txt', '.tyt'), ('models', 'modelz'), ('level: 3', 'level: 4'), ('0.5', '0.6')):
            text = text.replace(old, new, 1)
        assert text != path.read_text()
        path.write_text(text)
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    return change


def written(name: str, text: str) -> Callable[[World], None]:
    return lambda world: world.project.write(name, text)


CHANGES: dict[str, tuple[str, Callable[[World], None]]] = {
    **{
        f'{name} edited': (name, edited(name))
        for name in ('pipeline.yaml', 'serve/pipeline.yaml', 'sub/pipeline.yaml', 'params.yaml', 'serve/params.yaml')
    },
    'values edited': ('conf/shared.yaml', edited('conf/shared.yaml')),
    'a file of parameters that was not there': ('sub/params.yaml', written('sub/params.yaml', 'n: 1\n')),
    'an empty one': ('sub/params.yaml', written('sub/params.yaml', '')),
    'a damaged one': ('sub/params.yaml', written('sub/params.yaml', 'a: [')),
    'a folder in its place': ('sub/params.yaml', lambda world: (world.path / 'sub/params.yaml').mkdir()),
    'a link in its place': ('sub/params.yaml', lambda world: os.symlink('nowhere', world.path / 'sub/params.yaml')),
    'values gone': ('conf/shared.yaml', lambda world: remove(world.path / 'conf/shared.yaml')),
    'parameters gone': ('serve/params.yaml', lambda world: remove(world.path / 'serve/params.yaml')),
    'an included file gone': ('sub/pipeline.yaml', lambda world: remove(world.path / 'sub/pipeline.yaml')),
}


@pytest.mark.parametrize('name', CHANGES)
def test_an_answer_about_a_kept_pipeline_is_not_older_than(world: World, name: str) -> None:
    path, change = CHANGES[name]
    undo = restore(world.path / path)
    world.log.append(name)
    change(world)
    try:
        assert world.check(VIEWS) == 0
        for words in LONG:
            world.compare(world.ask(*words), words, '.', {})
    finally:
        undo()


def test_a_variable_that_a_template_uses(world: World) -> None:
    assert 'true sour' in world.ask('plan', '--json', FLAVOUR='sour').out or world.check(VIEWS) == 2
    for environ in ({'FLAVOUR': 'sour'}, {'FLAVOUR': ''}, {}):
        for words in LONG:
            world.compare(world.ask(*words, **environ), words, '.', environ)


def test_what_nothing_depends_on_changes_no_answer(world: World) -> None:
    assert world.check(VIEWS[:2]) >= 1
    remove(world.path / layout.PIPELINE_KEPT)
    assert world.check(VIEWS[:1]) == 1
