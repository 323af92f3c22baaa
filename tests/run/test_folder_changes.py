"""Of a folder in which little changed, little is looked at to say what."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_cli.cli.standing import NO_WAY_BACK, data_changes
from mlops_cli.store.local import LocalStore
from tests.support.project import Project

PIPELINE = """\
version: 1
stages:
  count: {cmd: ls data > count.txt, deps: [data], outs: [count.txt]}
"""


@pytest.fixture
def tracked(project: Project) -> Project:
    project.write('pipeline.yaml', PIPELINE)
    for folder in 'abc':
        for number in range(10):
            project.write(f'data/{folder}/{number}.txt', f'{folder}{number}')
    project.mlops('add', 'data')
    project.mlops('run')
    project.mlops('status')
    return project


@pytest.mark.parametrize('again', [False, True])
def test_only_objects_of_what_changed_are_looked_for(tracked: Project, monkeypatch: pytest.MonkeyPatch, again: bool) -> None:
    """At the first look, and once the index knows the new state too."""
    tracked.write('data/b/3.txt', 'changed')
    tracked.write('data/b/new.txt', 'new')
    (tracked.path / 'data/c/7.txt').unlink()
    if again:
        for _ in range(2):
            tracked.mlops('status')
    asked: list[Any] = []
    real = LocalStore.missing

    def missing(self: LocalStore, refs: Any) -> Any:
        asked.extend(refs)
        return real(self, refs)

    monkeypatch.setattr(LocalStore, 'missing', missing)
    bench = tracked.open()
    monkeypatch.setattr(bench.workspace, 'nodes', lambda *_, **__: pytest.fail('all nodes are made'))
    assert data_changes(bench) == {'data': '1 new, 1 changed, 1 gone'}
    assert len(asked) == 2 and all(ref.kind == 'file' for ref in asked)
    bench.close()
    assert 'data data: 1 changed, 1 new, 1 gone' in tracked.mlops('plan').out


def test_what_cannot_be_brought_back_is_said(tracked: Project) -> None:
    tracked.write('data/b/3.txt', 'changed')
    tracked.mlops('status')
    for path in (tracked.path / '.mlops/cache/objects-v1').rglob('*'):
        if path.is_file() and path.read_bytes() == b'b3':
            path.chmod(0o644)
            path.unlink()
    assert f'1 changed; {NO_WAY_BACK}' in tracked.mlops('status').out


def test_a_folder_with_links_that_leave_it_is_compared_at_every_look(project: Project) -> None:
    project.write('pipeline.yaml', PIPELINE)
    for name in ('one', 'two'):
        project.write(f'{name}.txt', name)
    project.write('data/plain.txt', 'plain')
    (project.path / 'data/link.txt').symlink_to('../one.txt')
    project.mlops('run')
    project.mlops('status')
    (project.path / 'data/link.txt').unlink()
    (project.path / 'data/link.txt').symlink_to('../two.txt')
    first, second = (project.mlops('plan').out for _ in range(2))
    assert 'data: 1 changed' in first
    assert first == second


def test_a_folder_that_is_like_one_that_is_gone_is_compared_at_every_look(project: Project) -> None:
    """Both are empty; the index has not forgotten the first."""
    project.write('pipeline.yaml', PIPELINE)
    project.write('data/plain.txt', 'plain')
    project.mlops('run')
    project.mlops('status')
    said = []
    for name in ('first', 'second'):
        (project.path / 'data' / name).mkdir()
        said += [project.mlops('plan').out for _ in range(2)]
        (project.path / 'data' / name).rmdir()
    assert all('data: 1 new' in out for out in said), said
