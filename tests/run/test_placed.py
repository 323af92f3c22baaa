"""What mlops made on another branch is not taken for what somebody changed by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mlops_cli.plan.model import Step
from mlops_cli.run.checkout import bring, recorded
from tests.support.project import Project

PIPELINE = """\
stages:
  t:
    cmd: echo "value ${k}" > out.txt; echo same > same.txt
    outs: [out.txt, same.txt]
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Branch main with value 1, branch b with value 2; on main, with the outputs of b."""
    project = Project(tmp_path / 'p')
    project.init_git()
    project.write('params.yaml', 'k: 1\n')
    project.write('pipeline.yaml', PIPELINE)
    project.run()
    project.commit('a')
    project.git('checkout', '-qb', 'b')
    project.write('params.yaml', 'k: 2\n')
    project.run()
    project.commit('b')
    project.git('checkout', '-q', 'main')
    return project


def step(project: Project) -> Step:
    return project.plan().steps[0]


def place(project: Project, identity: str) -> None:
    bench = project.open()
    try:
        bring(bench, recorded(bench, bench.order), identity, backup=True, clean=False)
    finally:
        bench.close()


def test_another_branch_gives_the_change_that_led_here(project: Project) -> None:
    found = step(project)
    assert found.verdict == 'restore' and found.changed_by_hand == ()
    assert [(one.kind, 'value 2' in (one.before or ''), 'value 1' in (one.after or '')) for one in found.reasons] == [
        ('command', True, True)
    ]


def test_what_was_restored_and_checked_out_is_remembered_too(project: Project) -> None:
    project.run()
    project.git('checkout', '-q', 'b')
    assert [one.kind for one in step(project).reasons] == ['command']
    place(project, '20261121T000000-aaaaaaaa')
    project.git('checkout', '-q', 'main')
    assert project.read('out.txt') == 'value 2\n'
    assert [one.kind for one in step(project).reasons] == ['command']


def test_pins_that_were_stashed(project: Project) -> None:
    project.run()
    project.write('params.yaml', 'k: 3\n')
    project.run()
    project.git('stash', '-u')
    found = step(project)
    assert found.changed_by_hand == () and [one.kind for one in found.reasons] == ['command']


def test_without_its_result_it_is_still_nobodys_hand(project: Project) -> None:
    (key,) = [path for path in (project.path / '.mlops/cache/results-v1').glob('*/*') if 'value 2' in _manifest(path)]
    key.unlink()
    found = step(project)
    assert found.changed_by_hand == ()
    (reason,) = found.reasons
    assert reason.subject == 'out.txt' and reason.detail.startswith('of another state (made by run ')


def _manifest(entry: Path) -> str:
    import json

    return str(json.loads(entry.read_text())['manifest'])


def test_a_file_that_was_edited_is_told(project: Project) -> None:
    project.write('out.txt', 'mine\n')
    assert step(project).changed_by_hand == ('out.txt',)
    project.run()
    project.write('same.txt', 'mine too\n')
    assert step(project).changed_by_hand == ('same.txt',)


def test_without_memory_it_is_as_before(project: Project) -> None:
    shutil.rmtree(project.path / '.mlops/local')
    assert step(project).changed_by_hand == ('out.txt',)


def test_a_checkout_of_one_output_keeps_what_is_known_of_the_other(project: Project) -> None:
    project.write('pipeline.yaml', PIPELINE.replace('echo same', 'echo more'))
    project.run()
    project.git('checkout', '-q', '.')
    project.mlops('checkout', 'same.txt')
    assert (project.read('same.txt'), project.read('out.txt')) == ('same\n', 'value 1\n')
    project.git('checkout', '-q', 'b')
    assert step(project).changed_by_hand == ()


def test_status_says_force_only_where_checkout_would_refuse(project: Project) -> None:
    shutil.rmtree(project.path / '.mlops/local')
    assert '(mlops checkout out.txt)' in project.mlops('status').out
    project.write('out.txt', 'mine\n')
    assert '(mlops checkout --force out.txt)' in project.mlops('status').out
