"""Losses from DVC's list of issues (the numbers in the names), by what lies in the cache."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.project import Project

PIPELINE = """\
stages:
  a: {cmd: "cat in.txt > a.txt; echo a >> ../trace", deps: [in.txt], outs: [a.txt]}
  b: {cmd: "mkdir -p b; cat a.txt > b/one; echo two > b/two; echo b >> ../trace", deps: [a.txt], outs: [b]}
"""


@pytest.fixture
def made(project: Project) -> Project:
    project.write('pipeline.yaml', PIPELINE)
    project.write('in.txt', 'some content\n')
    project.mlops('run')
    (project.path.parent / 'trace').unlink()
    return project


def victim(project: Project, text: bytes) -> Path:
    objects = (path for path in (project.path / '.mlops/cache/objects-v1').rglob('*') if path.is_file())
    return next(path for path in objects if path.read_bytes() == text)


def ran(project: Project) -> list[str]:
    trace = project.path.parent / 'trace'
    return trace.read_text().split() if trace.exists() else []


@pytest.mark.parametrize('with_its_times', [False, True])
def test_dvc_5978_a_changed_object_that_is_still_read_only(made: Project, with_its_times: bool) -> None:
    """An object without write permission was taken for unchanged, and not looked at again.

    Here the mode says nothing: what leaves the store is hashed, whatever it looks like."""
    path = victim(made, b'two\n')
    facts = path.stat()
    path.chmod(0o644)
    path.write_bytes(b'tow\n')
    path.chmod(0o444)
    if with_its_times:
        import os

        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    shutil.rmtree(made.path / 'b')
    assert made.mlops('checkout', 'b', code=None).code != 0
    assert not made.exists('b/two')
    made.mlops('run')
    assert made.read('b/two') == 'two\n' and ran(made) == ['b']
    assert made.mlops('verify').code == 0


def test_dvc_9641_9652_up_to_date_says_nothing_about_the_cache(made: Project) -> None:
    """Everything was called up to date while the cache held other bytes than it said, and no command would tell.

    Here ``verify`` reads all of it and names what is wrong; ``status`` is about the workspace, which is right."""
    path = victim(made, b'some content\n')
    path.chmod(0o644)
    path.write_bytes(b'some cantent\n')
    path.chmod(0o444)
    assert made.mlops('status', '--exit-code').code == 0 and made.read('a.txt') == 'some content\n'
    made.write('a.txt', 'other')  # so that no other copy is here to mend it with
    shutil.rmtree(made.path / 'b')
    said = made.mlops('verify', '--json', code=1).json
    assert [row['digest'] for row in said['damaged']] == [f'blake3:{path.parent.name}{path.name}']


def test_dvc_4634_a_result_whose_content_is_gone_is_none(made: Project) -> None:
    """Results stayed in the run cache after their content was collected: the stage was called done, and failed to come back.

    Here such a result is as none: the stage runs again."""
    victim(made, b'two\n').unlink()
    shutil.rmtree(made.path / 'b')
    plan = {stage['name']: stage['verdict'] for stage in made.mlops('plan', '--json').json['stages']}
    assert plan == {'a': 'fresh', 'b': 'run'}
    made.mlops('run')
    assert ran(made) == ['b'] and made.read('b/two') == 'two\n'


def test_dvc_4634_nothing_of_the_cache_is_left(made: Project) -> None:
    """The same of everything at once: what is in the workspace still counts."""
    shutil.rmtree(made.path / '.mlops/cache')
    assert made.mlops('status', '--exit-code').code == 0
    made.write('in.txt', 'new\n')
    made.mlops('run')
    assert made.read('b/one') == 'new\n' and made.mlops('verify').code == 0


def test_dvc_8874_data_whose_object_is_gone_is_not_lost_while_it_is_here(made: Project) -> None:
    """A file was removed from the workspace on the word of a record, with nothing in the cache.

    Here it is looked whether the store has it, byte for byte, before the only other copy goes."""
    made.write('data/1', 'one\n')
    made.mlops('add', 'data')
    record = made.read('.mlops/data/data.json')
    made.write('data/1', 'one more\n')
    made.mlops('add', 'data')
    victim(made, b'one more\n').unlink()
    made.write('.mlops/data/data.json', record)
    assert 'not saved anywhere' in made.mlops('checkout', 'data', code=5).err and made.read('data/1') == 'one more\n'
    made.mlops('checkout', 'data', '--force')
    assert made.read('data/1') == 'one\n'
    assert [path.read_text() for path in (made.path / '.mlops/local/rescue').rglob('1')] == ['one more\n']
