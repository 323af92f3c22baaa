"""States in which an answer at once was, or could have been, another than that of the long way."""

from __future__ import annotations

import os
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from mlops_cli.cli.quick import form
from mlops_cli.fsio import token
from mlops_cli.fsio.locks import LockFile
from tests.quick.mutations import remove
from tests.quick.served import Served
from tests.quick.world import COMMANDS, REST_SECONDS, ROUND, World

Change = Callable[[World], object]
STATUS: list[tuple[list[str], str, dict[str, str]]] = [(['status'], '.', {})]


@pytest.fixture(scope='module')
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    served = Served()
    world = World(tmp_path_factory.mktemp('states'), served)
    world.build()
    yield world
    served.close()


@pytest.fixture
def world(made: World) -> World:
    """Of which the status is answered at once."""
    if not made.is_known():
        made.renew()
        assert made.is_known(REST_SECONDS)
    return made


def known(world: World) -> None:
    """Makes every command be answered at once."""
    end = time.monotonic() + REST_SECONDS
    while time.monotonic() < end:
        time.sleep(0.02)
        world.learn()
        if world.check() == len(COMMANDS):
            return
    raise AssertionError('nothing is answered at once')


def write(name: str, text: str) -> Change:
    def change(world: World) -> None:
        path = world.home / name[2:] if name.startswith('~/') else world.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return change


def link(name: str) -> Change:
    def change(world: World) -> None:
        os.rename(world.path / name, world.path.parent / 'away')
        (world.path / name).symlink_to(world.path.parent / 'away')

    return change


CHANGES: dict[str, Change] = {
    'an ignored file of an input that git knows': write('scripts/skipped.tmp', 'changed for git alone\n'),
    'a file in an ignored folder of an input that git knows': write('scripts/deep/skip/inner.txt', 'changed\n'),
    'a file in an ignored folder of an input that git does not know': write('scripts/deep/skip/more.txt', 'new\n'),
    'the mark of an environment': write('lib/pyvenv.cfg', ''),
    'a folder that marks an environment': lambda world: (world.path / 'lib/conda-meta').mkdir(),
    'a module that comes before another': write('src/helpers/__init__.py', 'def clean(text):\n    return text\n'),
    'what every python loads': write('lib/sitecustomize.py', ''),
    'a link in place of the index': link('.mlops/local/index-v1.sqlite'),
    'a link in place of the local folder': link('.mlops/local'),
    'a link in place of the locks of the cache': link('.mlops/cache/locks-v1'),
    'a link in place of the temporary files': link('.mlops/cache/tmp'),
    'a link in place of the objects': link('.mlops/cache/objects-v1'),
    'no references': lambda world: os.rename(world.path / '.git/refs', world.path / '.git/away'),
    'no objects of git': lambda world: os.rename(world.path / '.git/objects', world.path / '.git/away'),
    'a damaged head': write('.git/HEAD', 'nothing\n'),
    'a file of the outer folder': lambda world: (world.path.parent / 'pipeline.yaml').write_text(
        'include: [project/pipeline.yaml]\n'
    ),
    'another owner': lambda world: os.chown(world.path, 12345, -1),
    'another git on PATH': lambda world: (
        (world.tools / 'git').write_text('#!/bin/sh\nexit 1\n'),
        (world.tools / 'git').chmod(0o755),
    ),
    'excluded by the user': write('~/.config/git/ignore', 'params.yaml\n.mlops/\n'),
}


@pytest.mark.parametrize('name', CHANGES)
def test_an_answer_is_not_older_than(world: World, name: str) -> None:
    if name == 'another owner' and os.geteuid():
        pytest.skip('only root gives files away')
    world.log.append(name)
    CHANGES[name](world)
    try:
        world.check(STATUS)
    finally:
        world.renew()


def test_what_settings_of_git_name_counts(world: World) -> None:
    """A file that is included, one that is not there yet, the exclusions that they name; by the repository's settings too."""
    git = world.project.git
    write('~/.gitconfig', '[include]\n\tpath = more\n[includeIf "onbranch:side"]\n\tpath = ~/side\n')(world)
    git('rm', '-q', '--cached', 'src/report.py')
    steps: list[Change] = [
        write('~/more', '[core]\n\texcludesFile = ~/ignored\n'),
        write('~/ignored', 'report.py\n'),
        write('~/more', '[core]\n\texcludesFile = ~/ignored\n\tattributesFile = ~/attributes\n'),
        write('~/attributes', '*.yaml text eol=crlf\n'),
        lambda world: git('checkout', '-q', '-b', 'side'),
        write('~/side', '[core]\n\texcludesFile = ~/other\n'),
        write('~/other', '*.txt\n'),
        lambda world: git('config', 'core.excludesFile', '.git/mine'),
        write('.git/mine', 'report.py\n'),
    ]
    _each_counts(world, steps)


def test_settings_of_git_that_variables_name_count(world: World) -> None:
    system, own = world.path.parent / 'system', world.path.parent / 'own'
    before = dict(world.environ)
    world.environ |= {'GIT_CONFIG_SYSTEM': str(system), 'GIT_CONFIG_GLOBAL': str(own)}
    world.project.git('rm', '-q', '--cached', 'src/report.py')
    ignored = world.home / 'ignored'
    ignored.write_text('report.py\n')
    steps: list[Change] = [
        lambda _: system.write_text(f'[core]\n\texcludesFile = {ignored}\n'),
        lambda _: own.write_text('[core]\n\texcludesFile = /nowhere\n'),
        lambda _: system.write_text('[core\n'),
        lambda _: remove(system),
    ]
    try:
        _each_counts(world, steps)
    finally:
        world.environ.clear()
        world.environ.update(before)


def _each_counts(world: World, steps: list[Change]) -> None:
    try:
        answered = _walk(world, steps)
    finally:
        world.renew()
    assert 2 * answered > len(steps)  # else nothing was tried


def _walk(world: World, steps: list[Change]) -> int:
    """In how many states the status was known when the next step was taken."""
    answered = 0
    for step in steps:
        answered += world.is_known(2.0)
        step(world)
        world.check(STATUS)
    return answered


def test_a_head_that_names_a_name(world: World) -> None:
    git = world.project.git
    git('symbolic-ref', 'refs/heads/alias', 'refs/heads/main')
    git('symbolic-ref', 'HEAD', 'refs/heads/alias')
    steps: list[Change] = [
        lambda _: git('update-ref', '--no-deref', 'refs/heads/main', 'HEAD~1'),
        lambda _: git('branch', '-q', 'other'),
        lambda _: git('symbolic-ref', 'refs/heads/alias', 'refs/heads/other'),
        lambda _: git('pack-refs', '--all'),
    ]
    _each_counts(world, steps)


def test_a_linked_worktree(world: World) -> None:
    git = world.project.git
    git('worktree', 'add', '-q', '../linked', '-b', 'linked')
    linked = World.__new__(World)
    linked.__dict__.update(world.__dict__, path=world.path.parent / 'linked', states=0, answers=0)
    for words in (['checkout'], ['run']):
        linked.ask(*words, MLOPS_CACHE_DIR=str(world.path / '.mlops/cache'))
    linked.environ = {**world.environ, 'MLOPS_CACHE_DIR': str(world.path / '.mlops/cache')}

    def in_linked(*words: str) -> None:
        subprocess.run(['git', *words], cwd=linked.path, env=world.environ, check=True, capture_output=True)

    steps: list[Change] = [
        lambda _: in_linked('commit', '-q', '--allow-empty', '-m', 'more'),
        lambda _: in_linked('checkout', '-q', '--detach'),
        lambda _: in_linked('rm', '-q', '--cached', 'params.yaml'),
        lambda _: (world.path / '.git/info/exclude').write_text('params.yaml\n'),
        lambda _: git('config', 'extensions.worktreeConfig', 'true'),
        lambda _: in_linked('config', '--worktree', 'core.excludesFile', '/nowhere'),
    ]
    try:
        assert 2 * _walk(linked, steps) > len(steps)
    finally:
        world.renew()


def test_a_variable_of_terminals_that_the_pipeline_names_in_another_way(world: World) -> None:
    try:
        text = world.project.read('pipeline.yaml').replace('env: [FLAVOUR]', 'env: [FLAVOUR, "T\\x45RM"]')
        world.project.write('pipeline.yaml', text)
        world.environ['TERM'] = 'dumb'
        world.must('run')
        known(world)
        assert world.check([(words, '.', {'TERM': 'xterm'}) for words in COMMANDS]) == 0
    finally:
        world.environ.pop('TERM', None)
        world.renew()


@pytest.mark.parametrize('columns', [40, 44, 50])
def test_a_narrow_page(world: World, columns: int) -> None:
    """Is broken where it was without answers at once, and is cut nowhere."""
    first = world.ask('status', COLUMNS=str(columns))
    second = world.ask('status', COLUMNS=str(columns))
    assert '�' not in first.out
    world.compare(first, ['status'], '.', {'COLUMNS': str(columns)})
    world.compare(second, ['status'], '.', {'COLUMNS': str(columns)})
    lines = first.out.splitlines()
    assert len(lines[0]) <= columns
    assert len(lines[0]) + 1 + len(lines[1].split()[0]) > columns or lines[0].endswith('.')


def test_names_with_anything_in_them(world: World) -> None:
    for name in ('a\x01b.csv', 'a\x01\x01b.csv', 'a\x1db\x1ec\x1f.csv', 'é\udcff.csv', 'two\nlines.csv'):
        path = os.path.join(os.fsencode(world.path / '.mlops'), os.fsencode(name))
        with open(path, 'w'):
            pass
    try:
        known(world)
    finally:
        world.renew()


def test_a_moment_is_put_into_words_only_where_it_is_one() -> None:
    assert form.in_words('a\x01b') == 'a\x01b'
    assert form.in_words('a\x01b\x01c') == 'a\x01b\x01c'
    assert form.in_words(f'{form.open_moment(0.0)}.').endswith(' days ago.')


def test_a_lock_that_somebody_holds(world: World) -> None:
    known(world)
    with LockFile(str(world.path / form.LOCKS)) as locks:
        locks.try_exclusive('stage/count')
        assert world.check() == 0
        assert 'count' in world.ask('status').out
        locks.release('stage/count')
    assert world.check() == len(COMMANDS)


def test_a_pipe_in_the_place_of_the_answers_holds_nobody(world: World) -> None:
    for name in (form.FILE, form.LOCKS):
        away = world.path.parent / 'away'
        os.rename(world.path / name, away)
        os.mkfifo(world.path / name)
        try:
            world.check()
        finally:
            (world.path / name).unlink()
            os.rename(away, world.path / name)


def test_somebody_elses_answers_are_not_believed(world: World) -> None:
    if os.geteuid():
        pytest.skip('only root gives files away')
    os.chown(world.path / form.FILE, 12345, -1)
    assert world.check() == 0
    world.renew()


@pytest.mark.parametrize('target', ['/dev/full', 'closed'])
def test_an_output_that_takes_nothing(world: World, target: str) -> None:
    found = []
    for quick in ('1', '0'):
        arguments = [sys.executable, '-m', 'mlops_cli', 'status']
        shell = ['/bin/sh', '-c', '"$@" >/dev/full' if target == '/dev/full' else '"$@" >&-', 'sh', *arguments]
        environ = {**world.environ, 'MLOPS_QUICK': quick}
        done = subprocess.run(shell, cwd=world.path, env=environ, capture_output=True, check=False)
        found.append((done.returncode, done.stdout, done.stderr))
    assert found[0] == found[1]


def on_terminal(world: World, **environ: str) -> tuple[int, str]:
    """Exit code, and what a terminal of 60 columns gets."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 60))
    arguments = [sys.executable, '-m', 'mlops_cli', 'plan']
    done = subprocess.run(arguments, cwd=world.path, env={**world.environ, **environ}, stdout=theirs, check=False)
    os.close(theirs)
    said = b''
    with open(ours, 'rb', buffering=0) as file, suppress(OSError):  # EIO once nobody can write to it any more
        while part := file.read(1 << 16):  # which may be a part only
            said += part
    return done.returncode, ROUND.sub('…', said.decode())


@pytest.mark.parametrize('environ', [{'TERM': 'xterm'}, {'TERM': 'xterm', 'NO_COLOR': '1'}, {'TERM': 'dumb'}])
def test_a_terminal(world: World, environ: dict[str, str]) -> None:
    first, second = on_terminal(world, **environ), on_terminal(world, **environ)
    assert first == second == on_terminal(world, **environ, MLOPS_QUICK='0')
    assert ('\x1b[33m' in first[1]) == (environ == {'TERM': 'xterm'})


def test_damage_anywhere_in_the_file_is_noticed(world: World) -> None:
    path = world.path / form.FILE
    data = path.read_bytes()
    for at in range(0, len(data), max(1, len(data) // 60)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        assert world.check(STATUS) == 0
        path.write_bytes(data[:at])
        assert world.check(STATUS) == 0
    path.write_bytes(data)
    assert world.check(STATUS) == 1


# The user's secret


def test_no_variable_is_in_the_file(world: World) -> None:
    world.ask('status', PASSWORD_OF_SOMETHING='correct-horse')
    assert world.ask('status', PASSWORD_OF_SOMETHING='correct-horse').at_once
    data = (world.path / form.FILE).read_bytes()
    assert b'correct-horse' not in data and b'PASSWORD_OF_SOMETHING' not in data
    world.renew()


def test_an_answer_that_somebody_else_wrote_is_not_believed(world: World) -> None:
    """Whoever has not the user's token, as a branch that brings the file along, cannot say which variables it is about."""
    file = world.home / '.cache/mlops/answers-token'
    own = file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600 and len(own) == token.SIZE
    file.write_bytes(own[::-1])
    assert world.check(STATUS) == 0
    file.write_bytes(own)
    assert world.check(STATUS) == 1
    file.chmod(0o644)  # others could have read it
    assert world.check(STATUS) == 0
    world.renew()


def test_without_a_place_for_a_token_nothing_is_kept(world: World) -> None:
    world.ask('status', HOME=str(world.path / 'pipeline.yaml'))
    assert not world.ask('status', HOME=str(world.path / 'pipeline.yaml')).at_once
    elsewhere = world.path.parent / 'elsewhere'
    end = time.monotonic() + REST_SECONDS
    while not (elsewhere / 'mlops/answers-token').exists():
        assert time.monotonic() < end, 'no token was made'
        time.sleep(0.02)
        world.ask('status', XDG_CACHE_HOME=str(elsewhere))
    world.renew()
