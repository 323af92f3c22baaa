"""What differs is found, and nothing of which anything differs counts as verified."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_cli.cli.quick import compare
from mlops_cli.cli.quick.compare import unchanged, verified_in
from mlops_cli.cli.quick.form import full_state, group, weak_state
from mlops_cli.fingerprint import scan
from tests.support.project import Project

PIPELINE = """\
version: 1
stages:
  count: {cmd: ls data > count.txt, deps: [data], outs: [count.txt]}
"""


def groups_of(top: Path) -> bytes:
    found = []
    for folder, folders, files in os.walk(top):
        names = [os.fsencode(name) for name in (*folders, *files)]
        states = b''.join(full_state(os.lstat(os.path.join(os.fsencode(folder), name))) for name in names)
        found.append(group(os.fsencode(folder), names, [], [], [b'absent'], states))
    parent = os.fsencode(top.parent)
    return b''.join([group(parent, [], [os.fsencode(top.name)], [], [], weak_state(os.lstat(top))), *found])


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(compare, 'LARGE', 1)
    monkeypatch.setattr(compare, 'verified', frozenset())
    monkeypatch.chdir(tmp_path)
    for folder in ('a', 'b/c', 'd'):
        (tmp_path / 'top' / folder).mkdir(parents=True)
        for number in range(5):
            (tmp_path / 'top' / folder / f'{number} [x]\n').write_text(str(number))
    (tmp_path / 'top/decisive').write_text('')
    return tmp_path / 'top'


FILE = 'a/3 [x]\n'
CHANGES: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    'nothing': (lambda top: None, set()),
    'a file is written': (lambda top: (top / FILE).write_text('!'), {'b/c', 'd'}),
    'a file goes': (lambda top: (top / FILE).unlink(), {'b/c', 'd'}),
    'a file comes': (lambda top: (top / 'd/new').write_text(''), {'a', 'b/c'}),
    'what was absent is there': (lambda top: (top / 'd/absent').write_text(''), {'a', 'b/c'}),
    'a folder comes': (lambda top: (top / 'd/folder').mkdir(), {'a', 'b/c'}),
    'a folder goes': (lambda top: (top / 'b/c').rename(top.parent / 'away'), {'a', 'd'}),
    'a folder becomes a link': (
        lambda top: ((top / 'd').rename(top.parent / 'away'), (top / 'd').symlink_to(top.parent / 'away')),
        {'a', 'b/c'},
    ),
    'what decides': (lambda top: (top / 'decisive').write_text('other'), set()),
}


@pytest.mark.parametrize('cpus', [1, 2])
@pytest.mark.parametrize('change', CHANGES)
def test_what_is_verified(top: Path, change: str, cpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, 'cpu_count', lambda: cpus)
    data = groups_of(top)
    alter, expected = CHANGES[change]
    alter(top)
    decisive = frozenset([os.fsencode(top / 'decisive')])
    assert unchanged(data, 0, decisive) == (change == 'nothing')
    assert verified_in(str(top)) == expected


def test_a_verified_folder_is_not_listed_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write('pipeline.yaml', PIPELINE)
    for folder in 'abc':
        project.write(f'data/{folder}/x.txt', folder)
    project.mlops('run')
    listed: list[str] = []
    real = scan.Scan._list

    def listing(self: scan.Scan, fd: int, rel: str, depth: int) -> scan._Listing:
        listed.append(rel)
        return real(self, fd, rel, depth)

    monkeypatch.setattr(scan.Scan, '_list', listing)
    bench = project.open()
    first = bench.workspace.ref('data')
    bench.close()
    assert sorted(listed) == ['data', 'data/a', 'data/b', 'data/c']
    listed.clear()
    bench = project.open()
    bench.workspace._verified = frozenset({'data/a', 'data/c'})
    assert bench.workspace.ref('data') == first and sorted(listed) == ['data', 'data/b']
    project.write('data/a/x.txt', 'changed')
    bench.workspace.forget('data/a/x.txt')
    assert bench.workspace.ref('data') != first
    bench.close()
