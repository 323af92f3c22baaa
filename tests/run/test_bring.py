"""Outputs put where nothing stands: each appears whole or not at all, and what comes there meanwhile is kept."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core.errors import UserError
from mlops_cli.fsio import ops
from mlops_cli.run.checkout import Outcome, Targets, bring, recorded
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
