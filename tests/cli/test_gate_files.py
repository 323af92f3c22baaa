"""What a gate reads: files of the project, whatever a branch puts in their place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = Project(tmp_path / 'project')
    found.write('pipeline.yaml', 'stages: {a: {cmd: "true"}}\n')
    return found


def test_a_link_out_of_the_project_is_not_followed(project: Project, tmp_path: Path) -> None:
    (tmp_path / 'outside').mkdir()
    (tmp_path / 'outside/m.json').write_text('{"acc": 1}')
    (project.path / 'm.json').symlink_to(tmp_path / 'outside/m.json')
    (project.path / 'folder').symlink_to(tmp_path / 'outside')
    for name in ('m.json', 'folder/m.json'):
        said = project.mlops('gate', f'{name}:acc > 0', code=5).err
        assert 'leads out of the project' in said and 'hint: put the file itself there' in said
    assert project.mlops('gate', '../outside/m.json:acc > 0').code == 0  # a person's own words


def test_links_within_the_project_and_to_the_cache_are_followed(project: Project, tmp_path: Path) -> None:
    project.write('real/m.json', '{"acc": 1}')
    (project.path / 'm.json').symlink_to('real/m.json')
    stored = tmp_path / 'cache/objects-v1/ab' / ('c' * 62)
    stored.parent.mkdir(parents=True)
    stored.write_text('{"acc": 1}')
    (project.path / 'o.json').symlink_to(stored)
    assert project.mlops('gate', 'm.json:acc > 0 and o.json:acc > 0').code == 0
    assert project.mlops('gate', 'm.json:acc > 0', cwd='real').code == 0


def test_a_pipe_keeps_nobody_waiting(project: Project) -> None:
    os.mkfifo(project.path / 'm.json')
    assert 'not a regular file' in project.mlops('gate', 'm.json:acc > 0', code=5, timeout=60).err


def test_a_gate_that_begins_with_a_minus(project: Project) -> None:
    project.write('best.json', '{"loss": 0.2}')
    refused = project.mlops('gate', '-best.json:loss > -1', code=2)
    assert 'stands behind --: mlops gate -- "..."' in ' '.join(refused.err.split())
    project.mlops('gate', '--', '-best.json:loss > -1')
