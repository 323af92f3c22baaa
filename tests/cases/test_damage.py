"""A damaged or emptied cache costs time, never a wrong result."""
from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.project import Project

PIPELINE = """\
stages:
  a:
    cmd: cat in.txt > a.txt; echo a >> ../trace
    deps: [in.txt]
    outs: [a.txt]
  b:
    cmd: mkdir -p b; cat a.txt > b/one; echo two > b/two; echo b >> ../trace
    deps: [a.txt]
    outs: [b]
"""


def made(project: Project) -> Project:
    project.write('pipeline.yaml', PIPELINE)
    project.write('in.txt', 'some content\n')
    project.run()
    project.write('../trace', '')
    return project


def test_a_damaged_object_is_never_restored_and_the_stage_runs_again(project: Project) -> None:
    made(project)
    for path in (project.path / '.mlops/cache/objects-v1').rglob('*'):
        if path.is_file() and path.read_bytes() == b'some content\n':
            path.chmod(0o644)
            path.write_bytes(b'some cantent\n')
    (project.path / 'a.txt').unlink()
    shutil.rmtree(project.path / 'b')
    report = project.run()
    assert report.ended == 'done'
    assert project.read('a.txt') == project.read('b/one') == 'some content\n'
    assert project.read('b/two') == 'two\n'
    assert project.read('../trace').split()[:1] == ['a']
    assert not list(project.open().store.verify())


def test_verify_finds_damage_and_says_what(project: Project) -> None:
    made(project)
    assert project.mlops('verify').code == 0
    objects = (path for path in (project.path / '.mlops/cache/objects-v1').rglob('*') if path.is_file())
    victim = next(path for path in objects if path.read_bytes() == b'two\n')
    victim.chmod(0o644)
    victim.write_bytes(b'tow\n')
    found = project.mlops('verify', '--json', code=1).json
    assert [row['digest'] for row in found['damaged']] == [f'blake3:{victim.parent.name}{victim.name}']


def test_without_cache_what_the_workspace_holds_still_counts(project: Project) -> None:
    made(project)
    shutil.rmtree(project.path / '.mlops/cache')
    assert set(project.verdicts().values()) == {'fresh'}
    (project.path / 'a.txt').unlink()
    assert project.verdicts() == {'a': 'run', 'b': 'maybe'}
    project.run()
    assert project.read('../trace').split() == ['a']
    assert set(project.verdicts().values()) == {'fresh'}


def test_data_that_was_added_comes_back_and_is_protected(project: Project) -> None:
    made(project)
    project.write('images/one.png', b'1' * 1000)
    project.write('images/deep/two.png', b'2' * 1000)
    project.mlops('add', 'images')
    assert '/images' in project.read('.gitignore')
    shutil.rmtree(project.path / 'images')
    project.mlops('checkout', 'images')
    assert project.read('images/deep/two.png') == '2' * 1000
    project.write('images/deep/two.png', 'precious')
    project.write('images/mine.txt', 'mine')
    refused = project.mlops('checkout', 'images', code=5)
    assert 'images' in refused.err and project.read('images/deep/two.png') == 'precious'
    project.mlops('checkout', 'images', '--force')
    assert project.read('images/deep/two.png') == '2' * 1000 and project.read('images/mine.txt') == 'mine'
    kept = list((project.path / '.mlops/local/rescue').rglob('two.png'))
    assert [path.read_text() for path in kept] == ['precious']
    project.mlops('checkout', 'images', '--force', '--clean')
    assert not project.exists('images/mine.txt')
    assert [p.read_text() for p in (project.path / '.mlops/local/rescue').rglob('mine.txt')] == ['mine']


def test_folders_without_a_file_are_not_kept(project: Project) -> None:
    """Nobody wrote what would be kept of them; an empty file is somebody's."""
    project.write('pipeline.yaml', 'stages: {}\n')
    project.write('images/one.png', '1')
    project.mlops('add', 'images')
    (project.path / 'images/one.png').unlink()
    (project.path / 'images/deep/deeper').mkdir(parents=True)
    said = project.mlops('checkout', 'images', '--force', '--json').json
    assert said['placed'] == ['images'] and not said['kept'] and project.read('images/one.png') == '1'
    (project.path / 'images/one.png').write_text('')
    (kept,) = project.mlops('checkout', 'images', '--force', '--json').json['kept']
    assert (project.path / kept / 'one.png').read_text() == ''


def test_verify_takes_away_what_a_killed_command_left_in_the_cache(project: Project) -> None:
    project.write('pipeline.yaml', 'stages: {}\n')
    project.write('a.csv', 'a')
    project.mlops('add', 'a.csv')
    temporaries = project.path / '.mlops/cache/tmp'
    dead = subprocess.run([sys.executable, '-c', 'from mlops_cli.fsio import temporaries; print(temporaries.new_name())'],
                          capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]).stdout.strip()
    (temporaries / dead).write_text('half')
    (project.path / '.mlops/local' / f'.mlops-tmp-{dead}').write_text('half')
    (temporaries / 'mine').write_text('no temporary')
    assert project.mlops('verify').code == 0
    assert sorted(path.name for path in temporaries.iterdir()) == ['mine']
    assert not [path.name for path in (project.path / '.mlops/local').iterdir() if path.name.startswith('.mlops-tmp-')]
