"""Outputs put where nothing stands, or in place of others: whole or not at all, and what is saved nowhere is kept."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core import layout
from mlops_cli.core.errors import UserError
from mlops_cli.fsio import ops
from mlops_cli.fsio.locks import LockFile
from mlops_cli.fsio.paths import Root
from mlops_cli.run import checkout
from mlops_cli.run.checkout import Outcome, Targets, bring, recorded
from mlops_cli.run.recover import recover
from tests.support.project import Project

PIPELINE = """\
stages:
  a: {cmd: "mkdir -p out; echo one > out/one; cp out/one out/two", outs: [out/one, out/two]}
  b: {cmd: "mkdir -p d/sub; echo x > d/x; echo y > d/sub/y", outs: [d]}
  c: {cmd: "head -c 2000000 /dev/zero > large", outs: [large]}
"""
OUTPUTS = ('out', 'd', 'large')
RUN = '20261121T000000Z-aaaaaaaa'


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """All that was made is in the cache; nothing of it in the workspace."""
    project = Project(tmp_path / 'p')
    project.write('pipeline.yaml', PIPELINE)
    project.run()
    take_away(project)
    return project


def take_away(project: Project) -> None:
    for name in OUTPUTS:
        path = project.path / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def place(project: Project) -> Outcome:
    bench = project.open()
    try:
        return bring(bench, recorded(bench, bench.order), RUN, backup=True, clean=False)
    finally:
        bench.close()


def files(project: Project) -> dict[str, bytes]:
    found = (path for name in OUTPUTS for path in [project.path / name, *(project.path / name).rglob('*')])
    return {
        str(path.relative_to(project.path)): path.read_bytes()
        for path in found
        if path.is_file() and not path.name.startswith('.mlops-tmp-')
    }


RIGHT = {'out/one': b'one\n', 'out/two': b'one\n', 'd/x': b'x\n', 'd/sub/y': b'y\n', 'large': bytes(2_000_000)}


def is_whole(project: Project) -> bool:
    """Whether each output is as it was made or not there."""
    there = files(project)
    return there.items() <= RIGHT.items() and len(there.keys() & {'d/x', 'd/sub/y'}) != 1


def lies_about(project: Project) -> list[str]:
    ours = project.path / '.mlops'
    return [str(path) for path in project.path.rglob('.mlops-tmp-*')] + [
        str(path) for folder in ('rescue', 'failed') for path in (ours / 'local' / folder).rglob('*')
    ]


class At:
    """Calls ``then`` at the ``number``-th change in the workspace, from 0."""

    def __init__(self, number: int) -> None:
        self.number, self.count = number, 0

    def __call__(self, _operation: str, _details: dict[str, Any]) -> None:
        self.count += 1
        if self.count == self.number + 1:
            self.then()

    def then(self) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


class Killed(At):
    def then(self) -> None:
        os._exit(9)


def test_what_was_away_comes_back(project: Project) -> None:
    assert place(project) == Outcome(('out/one', 'out/two', 'd', 'large'), 0, (), ())
    assert files(project) == RIGHT and not lies_about(project)
    assert place(project) == Outcome((), 4, (), ())


def test_any_change_that_fails_leaves_whole_outputs_and_nothing_else(project: Project) -> None:
    number = 0
    while True:
        failing = At(number)
        with ops.inject(failing), suppress(OSError):
            place(project)
        assert is_whole(project) and not lies_about(project), number
        if failing.count <= number:
            break
        take_away(project)
        number += 1
    assert number > 20 and files(project) == RIGHT


def test_killed_before_any_change_the_next_one_goes_on(project: Project) -> None:
    number, code = 0, 9
    while code == 9:
        child = os.fork()
        if not child:
            with ops.inject(Killed(number)):
                place(project)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert is_whole(project), number
        place(project)
        assert files(project) == RIGHT, number
        assert not [path for path in lies_about(project) if '.mlops-tmp-' not in path]
        take_away(project)
        number += 3
    assert number > 20


@contextmanager
def appearing(project: Project, at: str, unable: bool) -> Iterator[None]:
    """Within, somebody makes a file just before ours gets the name.  ``unable``: the file system cannot give a name only if it
    is free."""
    come_already = False

    def come(operation: str, details: dict[str, Any]) -> None:
        nonlocal come_already
        if operation == 'rename_noreplace':
            if details['target'].endswith(at) and not come_already:
                come_already = True
                project.write(at, 'mine')
            if unable:
                raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    with ops.inject(come):
        yield


@pytest.mark.parametrize('unable', [False, True])
def test_what_comes_there_meanwhile_is_kept(project: Project, unable: bool) -> None:
    with appearing(project, 'out/two', unable):
        done = place(project)
    assert files(project) == RIGHT
    assert [project.read(path) for path in done.kept] == ['mine']


@pytest.mark.parametrize('path', ['.git/hooks/post-checkout', '.mlops/config.yaml', '../out', 'a/../../out', '.'])
def test_a_path_that_is_not_the_users_is_refused(project: Project, path: str) -> None:
    bench = project.open()
    try:
        ref = recorded(bench, bench.order).wanted['out/one']
        with pytest.raises(UserError):
            bring(bench, Targets({path: ref}), RUN, backup=True, clean=False)
    finally:
        bench.close()
    assert not project.exists('../out') and not project.exists('.git') and not project.exists('.mlops/config.yaml')


OTHER = """\
stages:
  a: {cmd: "mkdir -p out; for n in 1 2 3; do echo ${k} $n > out/$n; done", outs: [out/1, out/2, out/3]}
  b: {cmd: "echo ${k} > alone", outs: [alone]}
"""
PATHS = ('out/1', 'out/2', 'out/3', 'alone')
OLD = {'out/1': '2 1\n', 'out/2': 'mine', 'out/3': '2 3\n', 'alone': '2\n'}
NEW = {'out/1': '1 1\n', 'out/2': '1 2\n', 'out/3': '1 3\n', 'alone': '1\n'}


@pytest.fixture
def switched(tmp_path: Path) -> Project:
    """With the outputs of another state, one of them edited since."""
    project = Project(tmp_path / 'p')
    project.write('pipeline.yaml', OTHER)
    for value in (1, 2):
        project.write('params.yaml', f'k: {value}\n')
        project.run()
    project.write('params.yaml', 'k: 1\n')
    project.write('out/2', 'mine')
    return project


def restored(project: Project) -> None:
    """As it was before anything was placed."""
    for path, text in OLD.items():
        project.write(path, text)
    for folder in ('rescue', 'failed', 'work', 'journal'):
        shutil.rmtree(project.path / '.mlops/local' / folder, ignore_errors=True)


def here(project: Project) -> dict[str, str]:
    return {path: project.read(path) for path in PATHS}


def is_kept(project: Project) -> bool:
    return any(path.is_file() and path.read_text() == 'mine' for path in project.path.rglob('2'))


def test_others_are_replaced_together_and_what_is_nowhere_else_is_kept(switched: Project) -> None:
    done = place(switched)
    assert done.placed == PATHS and here(switched) == NEW
    assert [switched.read(path) for path in done.kept] == ['mine']
    assert not any((switched.path / '.mlops/local/work').iterdir()) and not [*switched.path.rglob('.mlops-tmp-*')]


def test_any_change_that_fails_leaves_all_that_are_replaced_together_as_they_were(switched: Project) -> None:
    number, before = 0, 0
    while True:
        failing = At(number)
        try:
            with ops.inject(failing):
                place(switched)
        except OSError:
            assert here(switched) in (OLD, NEW), number
            before += here(switched) == OLD
        assert is_kept(switched) and not [*switched.path.rglob('.mlops-tmp-*')], number
        if failing.count <= number:
            break
        restored(switched)
        number += 1
    assert number > 30 and before > 20 and here(switched) == NEW


def test_killed_before_any_change_all_that_were_replaced_together_are_put_back(switched: Project) -> None:
    number, code = 0, 9
    while code == 9:
        child = os.fork()
        if not child:
            with ops.inject(Killed(number)):
                place(switched)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with Root(switched.path) as root:
            recover(root)
        assert here(switched) in (OLD, NEW), number
        place(switched)
        assert here(switched) == NEW and is_kept(switched), number
        restored(switched)
        number += 3
    assert number > 30


def test_what_a_stage_uses_is_waited_for_and_the_rest_is_replaced(switched: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkout, 'WAIT_SECONDS', 0.05)
    with Root(switched.path) as root, LockFile(layout.LOCKS, root=root) as locks, locks.holding('path/out/3', 'shared'):
        with pytest.raises(UserError, match='out/3 is in use'):
            place(switched)
        assert here(switched) == {**NEW, 'out/3': OLD['out/3']} and is_kept(switched)
        recover(root)
    assert place(switched).placed == ('out/3',)
