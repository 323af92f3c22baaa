"""Tables, baselines and contracts as they were at a git revision: ``FILE@REV``."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from mlops_cli.checks.tables import at_revision, suffix
from tests.support.project import Project

OLD = 'x,y\n' + ''.join(f'{at % 9},{at % 2}\n' for at in range(300))
NEW = 'x,y\n' + ''.join(f'{at % 9 + 5},{at % 2}\n' for at in range(300))
PIPELINE = """\
version: 1
stages:
  make:
    cmd: cp data/raw.csv out.csv && mkdir -p parts && cp data/raw.csv parts/one.csv
    deps: [data/raw.csv]
    outs: [out.csv, parts]
"""


@pytest.fixture(scope='module')
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """At v1: git has ``data/in git.csv``; ``data/raw.csv`` is tracked, ``out.csv`` made of it.  All of them changed since."""
    found = Project(tmp_path_factory.mktemp('revised') / 'p')
    found.init_git()
    found.write('pipeline.yaml', PIPELINE)
    found.write('.gitignore', '/out.csv\n/parts\n')
    found.write('data/in git.csv', OLD)
    found.write('data/raw.csv', OLD)
    found.write('c.yaml', 'version: 1\ncolumns: {x: {type: integer, max: 8}}\n')
    (found.path / 'data/link.csv').symlink_to('in git.csv')
    found.mlops('add', 'data/raw.csv')
    found.mlops('run')
    found.mlops('check', 'drift', 'data/in git.csv', '--init', '--baseline', 'b.json')
    found.commit('one')
    found.git('tag', 'v1')
    for name in ('data/in git.csv', 'data/raw.csv'):
        found.write(name, NEW)
    found.mlops('add', 'data/raw.csv')
    found.mlops('run')
    (found.path / 'b.json').unlink()
    found.commit('two')
    return found


def drifts(project: Project, path: str, baseline: str, **more: str) -> bool:
    done = project.mlops('check', 'drift', path, '--baseline', baseline, code=None, **more)
    assert done.code in (0, 1) and not done.err, done.err
    return bool(done.code)


@pytest.mark.parametrize(
    ('word', 'told'),
    [
        ('t.csv@v1', ('t.csv', 'v1')),
        ('a@b/t.csv', ('a@b/t.csv', '')),
        ('a@b/t.csv@origin/main', ('a@b/t.csv', 'origin/main')),
        ('t.CSV@HEAD@{1}', ('t.CSV', 'HEAD@{1}')),
        ('t.csv@main.csv', ('t.csv', 'main.csv')),
        ('c.yaml@--output=x', ('c.yaml', '--output=x')),
        ('t@v1', ('t@v1', '')),
        ('t.csv@', ('t.csv@', '')),
    ],
)
def test_what_is_a_revision(word: str, told: tuple[str, str]) -> None:
    assert at_revision(word) == told
    assert suffix('a/b.csv@origin/x.y') == 'csv'


def test_of_git_of_tracked_data_and_of_outputs(project: Project) -> None:
    for name in ('data/in git.csv', 'data/raw.csv', 'out.csv', 'parts/one.csv'):
        assert drifts(project, name, f'{name}@v1')
        assert not drifts(project, f'{name}@v1', 'b.json@v1')
    assert drifts(project, '../out.csv', 'in git.csv@v1', cwd='data')
    found = project.mlops('check', 'drift', 'out.csv', '-b', 'b.json@v1', '--json', code=1).json
    assert found['commits'] == {'b.json@v1': project.git('rev-parse', 'v1').strip()} and found['baseline'] == 'b.json@v1'
    assert 'b.json@v1 is of commit ' in project.mlops('check', 'drift', 'out.csv', '-b', 'b.json@v1', code=1).out


def test_other_checks_take_it_too(project: Project) -> None:
    project.write('c.yaml', 'version: 1\n')
    assert 'holds to' in project.mlops('check', 'data', 'out.csv', '-c', 'c.yaml').out
    assert 'breaks 1 of' in project.mlops('check', 'data', 'out.csv', '-c', 'c.yaml@v1', code=1).out
    project.mlops('check', 'data', 'out.csv@v1', '-c', 'c.yaml@v1')
    both = project.mlops('check', 'overlap', 'out.csv@v1', 'out.csv', '--key', 'x', '--json', code=1).json
    assert both['keys'] == 4 and set(both['commits']) == {'out.csv@v1'}
    rates = project.mlops('check', 'fairness', 'out.csv@v1', '-g', 'x', '-l', 'y', '-p', 'y', '--json').json
    assert len(rates['groups']) == 9 and rates['commits']


def test_what_cannot_be_had(project: Project) -> None:
    def said(word: str, code: int) -> str:
        done = project.mlops('check', 'drift', 'out.csv', '--baseline', word, code=code)
        assert not done.out and 'Traceback' not in done.err
        return done.err

    assert "git knows no revision 'nowhere'" in said('b.json@nowhere', 2)
    assert "not a revision: '--output=x'" in said('b.json@--output=x', 2)
    gone = said('d.json@v1', 2)
    assert 'there is no d.json at v1 (' in gone and 'did you mean b.json?' in gone
    assert 'data/link.csv is a symbolic link at v1' in said('data/link.csv@v1', 5)
    assert 'it lies outside of' in said('../../etc/t.csv@v1', 2)
    assert 'of commit' not in said('b.json', 2)  # nor is it looked for in git
    project.write('d.json@v1', '{}')  # who can make a file cannot stand in for a revision
    assert 'there is no d.json at v1 (' in said('d.json@v1', 2)
    assert 'no place to write to' in project.mlops('check', 'drift', 'out.csv', '--init', '-b', 'n.json@v1', code=2).err
    assert not os.path.lexists(project.path / 'x')


def test_what_the_cache_lacks(project: Project, tmp_path: Path) -> None:
    shutil.copytree(project.path, tmp_path / 'p', symlinks=True)
    project = Project(tmp_path / 'p')
    objects = project.path / '.mlops/cache/objects-v1'
    found = [path for path in objects.rglob('*') if path.is_file() and path.read_bytes() == OLD.encode()]
    assert found
    for path in found:
        path.unlink()
    for name in ('out.csv', 'parts/one.csv', 'data/raw.csv'):
        done = project.mlops('check', 'drift', 'out.csv', '--baseline', f'{name}@v1', code=4)
        assert f'{name} at v1 (' in done.err and f'mlops fetch --at v1 {name}   brings it' in done.err


def test_pointers_and_folders_without_a_project(tmp_path: Path) -> None:
    project = Project(tmp_path / 'p')
    project.init_git()
    project.write('sub/t.csv', OLD)
    project.write('sub/far.csv', 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n')
    project.write('sub/d.csv/inner', 'x')
    project.commit('one')
    project.write('sub/t.csv', NEW)
    assert drifts(project, 't.csv', 't.csv@HEAD', cwd='sub')
    assert 'pointer of Git LFS' in project.mlops('check', 'drift', 't.csv', '-b', 'far.csv@HEAD', cwd='sub', code=4).err
    assert 'is a folder at HEAD' in project.mlops('check', 'drift', 'sub/t.csv', '-b', 'sub/d.csv@HEAD', code=2).err
    lone = Project(tmp_path / 'q')
    lone.write('t.csv', OLD)
    assert 'not a git repository' in lone.mlops('check', 'drift', 't.csv', '-b', 't.csv@HEAD', code=2).err


def test_records_that_lie(project: Project, tmp_path: Path) -> None:
    """Of a branch that nobody trusts: exit 1 would say of the data that it has drifted."""
    shutil.copytree(project.path, tmp_path / 'p', symlinks=True)
    project = Project(tmp_path / 'p')
    record = json.loads(project.read('.mlops/data/data/raw.csv.json'))
    kind, digest, size = record['ref']
    assert kind == 'file'
    lies = {
        'out': {'path': '../out.csv'},
        'gone': {'path': 'gone.csv', 'ref': ['file', 'blake3:' + '0' * 64, 4]},
        'size': {'path': 'size.csv', 'ref': ['file', digest, size + 1]},
        'tree': {'path': 'tree.csv', 'ref': ['tree', digest, size]},
    }
    for name, lie in lies.items():
        project.write(f'.mlops/data/{name}.csv.json', json.dumps({**record, **lie}))
    project.write('.mlops/data/deep.csv.json', '{"a":' * 100_000)
    (project.path / '.mlops/data/link.csv.json').symlink_to('/etc/passwd')
    project.git('add', '-f', '.mlops/data')
    project.git('commit', '-qm', 'evil')
    project.git('checkout', '-qf', 'HEAD~1')
    for name, code in (('out', 4), ('gone', 4), ('size', 4), ('deep', 4), ('tree', 2), ('link', 4)):
        done = project.mlops('check', 'drift', 'out.csv', '--baseline', f'{name}.csv@main', code=code)
        assert 'git checkout' not in done.err and re.search(rf'{name}\.csv (is a folder )?at main \(', done.err)


def test_a_stage_in_a_folder_of_its_own_has_no_git(tmp_path: Path) -> None:
    project = Project(tmp_path / 'p')
    project.init_git()
    command = 'mlops check drift new.csv --baseline t.csv@HEAD -o r.json'
    project.write('pipeline.yaml', f'version: 1\nstages: {{d: {{cmd: {command}, deps: [new.csv], outs: [r.json]}}}}\n')
    project.write('t.csv', OLD)
    project.write('new.csv', OLD)
    project.commit('one')
    project.mlops('run')
    said = project.mlops('run', '--isolate', 'folder', '--force', code=1)
    assert 'stage d runs in a folder of its own, where git is not' in said.out + said.err


def test_fetched_at_a_revision(project: Project, tmp_path: Path) -> None:
    shutil.copytree(project.path, tmp_path / 'p', symlinks=True)
    project = Project(tmp_path / 'p')
    project.mlops('remote', 'add', 'store', str(tmp_path / 'store'))
    project.git('checkout', '-qf', 'v1')
    project.mlops('push')
    project.git('checkout', '-qf', 'main')
    shutil.rmtree(project.path / '.mlops/cache')
    project.mlops('check', 'drift', 'out.csv', '--baseline', 'data/raw.csv@v1', code=4)
    assert 'did you mean data/raw.csv?' in project.mlops('fetch', '--at', 'v1', 'data/row.csv', code=2).err
    assert 'not a revision' in project.mlops('fetch', '--at=--output=x', code=2).err
    assert 'two things' in project.mlops('fetch', '--at', 'v1', '--all', code=2).err
    assert project.mlops('fetch', '--at', 'v1', 'raw.csv', '--json', cwd='data').json['moved'] == 1
    assert drifts(project, 'out.csv', 'data/raw.csv@v1')
    project.mlops('fetch', '--at', 'v1', 'parts/one.csv')  # of a folder that is recorded as a whole
    assert drifts(project, 'out.csv', 'parts/one.csv@v1')
    assert not list((project.path / '.mlops/local').rglob('pipeline.yaml'))
