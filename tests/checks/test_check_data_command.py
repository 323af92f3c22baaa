"""``mlops check data`` as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.project import Project

EVIL = '\x1b[2J\x1b]0;owned\x07'


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = Project(tmp_path)
    found.write('t.csv', f'id,word\n1,<b>|{EVIL}\n1,b\n')
    found.write('c.yaml', 'version: 1\nunique: [id]\ncolumns:\n  word: {values: [b]}\n')
    return found


def test_reports(project: Project) -> None:
    words = ('check', 'data', 't.csv', '--contract', 'c.yaml')
    shown = project.mlops(*words, '-o', 'r/a.html', '-o', 'a.md', '-o', 'a.json', code=1)
    assert 'FAILED    t.csv breaks 2 of 3 rules of c.yaml: 2 rows.' in shown.out and '\x1b' not in shown.out + shown.err
    page, text = (project.path / 'r/a.html').read_text(), (project.path / 'a.md').read_text()
    assert 'style="fill:var(--c0)"' in page and '--c0:#' in page  # else all bars are black
    assert page.count('<figure>') == 2 and '<b>' not in page and '\x1b' not in page + text and '<b>' not in text
    assert project.mlops(*words, '-o', 'a.md', code=1).out == shown.out  # its own is replaced
    project.write('b.md', 'mine\n')
    assert 'is there already' in project.mlops(*words, '-o', 'b.md', code=5).err


def test_long_names_are_short_in_reports(project: Project) -> None:
    name = 'z' * 3000
    project.write('t.csv', f'{name}\n1\n')
    project.write('c.yaml', f'version: 1\ncolumns:\n  ? {name}\n  : {{type: integer, max: 0}}\n')
    said = project.mlops('check', 'data', 't.csv', '-c', 'c.yaml', '-o', 'a.html', '-o', 'a.md', code=1)
    assert max(map(len, said.out.splitlines())) < 200
    assert 'z' * 301 not in project.read('a.html') + project.read('a.md') and 'z' * 200 in project.read('a.md')


def test_a_contract_is_written_once(project: Project) -> None:
    assert 'Wrote new.yaml' in project.mlops('check', 'data', 't.csv', '-c', 'new.yaml', '--init').out
    project.mlops('check', 'data', 't.csv', '-c', 'new.yaml')
    assert 'is there already' in project.mlops('check', 'data', 't.csv', '-c', 'new.yaml', '--init', code=5).err


def test_what_is_wrong(project: Project) -> None:
    project.write('bad.yaml', 'version: 1\ncolumns:\n  id: {tpye: integer}\n')
    assert 'bad.yaml:3:8' in project.mlops('check', 'data', 't.csv', '-c', 'bad.yaml', code=2).err
    assert 'contract.yaml' in project.mlops('check', 'data', 't.csv', code=2).err
    assert 'no kind of report' in project.mlops('check', 'data', 't.csv', '-c', 'c.yaml', '-o', 'a.pdf', code=2).err
    project.write('pipeline.yaml', 'version: 1\nstages: {}\n')
    (project.path / 'link.yaml').symlink_to('/etc/hostname')
    project.mlops('check', 'data', 't.csv', '-c', 'link.yaml', code=5)
