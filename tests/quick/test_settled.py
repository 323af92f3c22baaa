"""After an edit only the stages are looked at that it concerns, and only where it is sure which these are."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlops_cli.cli.quick import form, settle
from tests.quick.served import Answer, Served
from tests.quick.world import REST_SECONDS, ROUND, World
from tests.support.project import Project

Change = Callable[[World], object]


@pytest.fixture(scope='module')
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    served = Served()
    world = World(tmp_path_factory.mktemp('settled'), served)
    world.build()
    yield world
    served.close()


@pytest.fixture
def world(made: World) -> Iterator[World]:
    made.renew()
    assert made.is_known(REST_SECONDS)
    yield made


VIEWS = (
    ['plan'],
    ['status'],
    ['status', '-v'],
    ['plan', '--json'],
    ['status', '--json'],
    ['plan', 'train'],
    ['status', 'report', 'join'],
    ['plan', '--only', 'report'],
    ['plan', '--downstream', 'prepare'],
    ['plan', '--force'],
    ['plan', '--set', 'conf/extra.yaml:depth=9'],
)


def settled(world: World) -> tuple[str, ...]:
    """Which stages are not decided anew; the page is that of the long way all the same."""
    found = world.ask('plan')
    assert not found.at_once
    for words in VIEWS:
        world.compare(world.ask(*words), words, '.', {})
    return found.settled


def append(name: str, text: str = 'more\n') -> Change:
    def change(world: World) -> None:
        with (world.path / name).open('a') as file:
            file.write(text)

    return change


def in_place_of(name: str) -> Change:
    def change(world: World) -> None:
        (world.path / name).with_name('.beside').write_text('another\n')
        os.replace((world.path / name).with_name('.beside'), world.path / name)

    return change


def git(*words: str) -> Change:
    return lambda world: subprocess.run(['git', *words], cwd=world.path, env=world.environ, check=True, capture_output=True)


def then(*changes: Change) -> Change:
    return lambda world: [change(world) for change in changes]


# Which stages stay settled: one that the change concerns does not, nor does one after it where it leads elsewhere.  count never
# does, because its result was accepted, nor therefore report, which comes after it.
BUT_COUNT = ('prepare', 'join', 'train', 'serve')
SURE: dict[str, tuple[Change, tuple[str, ...]]] = {
    'data of one stage': (append('data/raw/a.csv', 'd,4\n'), ()),
    'data that only count reads': (append('raw/x.csv'), BUT_COUNT),
    'code of the last stage': (append('src/report.py', 'print()\n'), BUT_COUNT),
    'a remark in it, and data of another': (then(append('src/report.py', '# remark\n'), append('raw/x.csv')), BUT_COUNT),
    'a file in a folder that two stages read': (append('scripts/deep/er/notes.txt'), ('prepare',)),
    'an output': (append('out/joined.txt'), ('prepare', 'train', 'serve')),
    'a file that an editor put in the place of another': (in_place_of('raw/x.csv'), BUT_COUNT),
    'an output that is gone': (lambda world: (world.path / 'out/joined.txt').unlink(), ('prepare', 'train', 'serve')),
    'the index of git': (then(append('raw/x.csv'), git('add', '-A')), BUT_COUNT),
    'a commit': (then(append('raw/x.csv'), git('commit', '-qam', 'more')), BUT_COUNT),
    'a run that failed': (then(append('src/report.py', 'exit(3)\n'), lambda world: world.ask('run')), BUT_COUNT),
    'a run, and then an edit': (
        then(append('raw/x.csv'), lambda world: world.ask('run'), append('src/report.py', 'exit(3)\n')),
        BUT_COUNT,
    ),
}


@pytest.mark.parametrize('name', SURE)
def test_some_stages_stay_settled(world: World, name: str) -> None:
    change, expected = SURE[name]
    change(world)
    assert settled(world) == expected


def link(world: World) -> None:
    os.rename(world.path / 'raw/x.csv', world.path / 'away.csv')
    (world.path / 'raw/x.csv').symlink_to('../away.csv')


def rival(world: World) -> None:
    """Another result of a key that is settled, as another clone may have brought one."""
    pin = next((world.path / '.mlops/stages').glob('report~*'))
    world.project.write('report.txt', 'by hand\n')
    world.must('accept', 'report', '--reason', 'better', '--yes')
    for one in (world.path / '.mlops/accepted').glob('report*'):
        one.unlink()
    assert len(list(pin.parent.glob('report~*'))) == 2
    append('raw/x.csv')(world)


UNSURE: dict[str, Change] = {
    'the pipeline': append('pipeline.yaml', '# remark\n'),
    'a file of values for templates': append('params.yaml', '# remark\n'),
    'parameters, of which templates may take any': append('conf/extra.yaml', 'more: 1\n'),
    'what is ignored': append('.mlopsignore', '*.csv\n'),
    'a file more in a folder that is read': then(append('raw/x.csv'), append('data/raw/new.csv')),
    'a file more where modules are looked for': then(append('raw/x.csv'), append('helpers.py', '')),
    'a run that goes on': then(append('raw/x.csv'), append('.mlops/local/journal/2026-01-01T00-00-00-abcdefgh.jsonl', '')),
    'a module that comes before another': then(append('raw/x.csv'), append('src/json.py', '')),
    'an input that is gone': lambda world: (world.path / 'raw/x.csv').unlink(),
    'a link in place of an input': link,
    'a file that a link leads to': append('scripts/join.sh'),
    'an input that can be executed': lambda world: (world.path / 'raw/x.csv').chmod(0o755),
    'a file that no stage names': append('.gitattributes', '\n'),
    'a setting': then(append('raw/x.csv'), append('.mlops/config.yaml', 'jobs: 2\n')),
    'what somebody accepted': then(
        append('raw/x.csv'),
        lambda world: [one.unlink() for one in (world.path / '.mlops/accepted').iterdir()],
    ),
    'a pin that is gone': then(
        append('raw/x.csv'),
        lambda world: next((world.path / '.mlops/stages').glob('report~*')).unlink(),
    ),
    'a pin that was edited': then(
        append('raw/x.csv'),
        lambda world: next((world.path / '.mlops/stages').glob('report~*')).write_text('[]'),
    ),
    'another result of a key': rival,
}


@pytest.mark.parametrize('name', UNSURE)
def test_every_stage_is_looked_at_after_a_change_of(world: World, name: str) -> None:
    UNSURE[name](world)
    assert settled(world) == ()


def test_what_is_kept_is_that_of_the_very_answers(world: World) -> None:
    """A file of another state, though we wrote it."""
    path = world.path / settle.FILE
    old = path.read_bytes()
    append('raw/x.csv')(world)
    world.must('run')
    assert world.is_known(REST_SECONDS)
    assert path.read_bytes() != old
    append('raw/x.csv')(world)
    new = path.read_bytes()
    assert settled(world) == BUT_COUNT
    path.write_bytes(old)
    assert settled(world) == ()
    path.write_bytes(new)
    assert settled(world) == BUT_COUNT


def test_damage_anywhere_is_noticed(world: World) -> None:
    append('raw/x.csv')(world)
    path = world.path / settle.FILE
    data = path.read_bytes()
    for at in range(0, len(data), max(1, len(data) // 40)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        assert world.ask('plan').settled == ()
        path.write_bytes(data[:at])
        assert world.ask('plan').settled == ()
    path.write_bytes(data)
    assert settled(world) == BUT_COUNT


def test_nobody_else_can_write_it(world: World) -> None:
    append('raw/x.csv')(world)
    token: Path = world.home / '.cache/mlops/answers-token'
    own = token.read_bytes()
    token.write_bytes(own[::-1])
    assert settled(world) == ()
    token.write_bytes(own)
    assert settled(world) == BUT_COUNT


def test_an_edit_that_changes_nothing_makes_all_be_looked_at_and_kept_anew(world: World) -> None:
    append('src/report.py', '# remark\n')(world)
    assert not world.ask('status').at_once
    assert world.is_known(REST_SECONDS)
    append('raw/x.csv')(world)
    assert settled(world) == BUT_COUNT


def test_where_nothing_changed_what_is_no_answer_looks_at_no_stage(world: World) -> None:
    found = world.ask('status', '--json')
    assert not found.at_once
    assert found.settled == BUT_COUNT
    assert world.ask('plan', 'train', '--json').settled == ('prepare', 'train')
    for words in VIEWS:
        world.compare(world.ask(*words), words, '.', {})
    assert world.ask('status').at_once


def test_a_project_that_was_copied_is_another(world: World) -> None:
    append('raw/x.csv')(world)
    copy = world.path.parent / 'copy'
    shutil.copytree(world.path, copy, symlinks=True)
    assert world.ask('plan', cwd=str(copy)).settled == ()
    assert settled(world) == BUT_COUNT


# Other names for the same, and places that hold more than they should


class Lone:
    """A project of shell stages: a reads ``folder``, b reads y, real reads the folder real."""

    def __init__(self, path: Path, served: Served, folder: str) -> None:
        self.project, self.path, self.served = Project(path), path, served
        self.project.init_git()
        for name in ('real/x', 'data/plain/x', 'y'):
            self.project.write(name, name)
        (path / 'data/sub').symlink_to('../real')
        (path / 'lk').symlink_to('real')
        stages = (
            f'  a: {{cmd: "cat {folder}/* > a.txt || true", deps: [{folder}], outs: [a.txt]}}\n'
            '  b: {cmd: cp y b.txt, deps: [y], outs: [b.txt]}\n'
            '  real: {cmd: cat real/x > real.txt, deps: [real], outs: [real.txt]}\n'
        )
        self.project.write('pipeline.yaml', f'stages:\n{stages}')

    def ask(self, *words: str, **environ: str) -> Answer:
        return self.served.ask(words, str(self.path), {**self.project.environ, **environ})

    def learn(self) -> None:
        self.ask('run')
        self.project.commit('all')
        end = time.monotonic() + REST_SECONDS
        while time.monotonic() < end:
            time.sleep(0.02)
            if self.ask('status').at_once:
                return
        raise AssertionError('nothing is answered at once')

    def plan(self) -> str:
        """As it is said both ways."""
        for words in (['plan', '--json'], ['plan'], ['status']):
            quick, long = self.ask(*words), self.ask(*words, MLOPS_QUICK='0')
            assert (quick.code, ROUND.sub('', quick.out), quick.err) == (long.code, ROUND.sub('', long.out), long.err), words
        return self.ask('plan').out


@pytest.fixture(scope='module')
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.close()


@pytest.mark.parametrize('folder', ['lk', 'data'])
def test_what_is_reached_through_a_link_counts_though_another_stage_names_it(
    tmp_path: Path, served: Served, folder: str
) -> None:
    one = Lone(tmp_path / 'project', served, folder)
    one.learn()
    one.project.write('real/x', 'other')
    assert '1 fresh, 2 run' in one.plan()


@pytest.mark.parametrize('cache', ['around', 'around/project/data/plain'])
def test_a_cache_around_data_hides_no_change_of_it(tmp_path: Path, served: Served, cache: str) -> None:
    one = Lone(tmp_path / 'around/project', served, 'data/plain')
    one.project.environ['MLOPS_CACHE_DIR'] = str(tmp_path / cache)
    one.project.write('pipeline.yaml', one.project.read('pipeline.yaml').replace('deps: [data/plain]', 'deps: [data/plain/x]'))
    one.learn()
    one.project.write('data/plain/x', 'other')
    one.project.write('y', 'other')
    assert '1 fresh, 2 run' in one.plan()


def test_a_link_in_the_place_of_a_folder_is_no_folder(tmp_path: Path, served: Served) -> None:
    one = Lone(tmp_path / 'project', served, 'data/plain')
    one.learn()
    (one.path / 'data/plain').rename(tmp_path / 'away')
    (one.path / 'data/plain').symlink_to(tmp_path / 'away')
    one.project.write('y', 'other')
    one.plan()


def test_answers_that_somebody_changed_are_not_believed(world: World) -> None:
    """Nor what they say that differs, by which it is known which stages stay settled."""
    path, secret = world.path / form.FILE, (world.home / '.cache/mlops/answers-token').read_bytes()
    data = path.read_bytes()
    parts = form.parts_of(secret, data)
    assert parts is not None
    env, facts, pages, start = parts
    assert form.assemble(secret, env, facts, pages, data[start:]) == data
    forged = form.assemble(secret[::-1], env, facts, pages, b'')  # nothing that anything would differ from
    path.write_bytes(forged)
    assert not world.ask('status').at_once
    path.write_bytes(form.MAGIC + data[len(form.MAGIC) :][: form.SEAL] + forged[len(form.MAGIC) + form.SEAL :])
    append('raw/x.csv')(world)
    assert settled(world) == ()


def test_a_file_of_answers_of_any_size_stops_nothing(world: World) -> None:
    os.truncate(world.path / form.FILE, 8 << 40)
    found = world.ask('status')
    assert found.code == 0 and not found.at_once
