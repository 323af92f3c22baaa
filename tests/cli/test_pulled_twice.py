"""What ``pull`` and ``run --pull`` bring of large files is written into the workspace as it comes, and placed as all else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlops_cli.cli import app
from mlops_cli.core.digest import Digest
from mlops_cli.store import partial, twins
from tests.support.project import Project

DATA = os.urandom(3 << 20)
PIPELINE = 'stages:\n  a: {cmd: mkdir -p made; cat big.bin big.bin > made/twice.bin, deps: [big.bin], outs: [made]}\n'


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A clone of a project whose data lie in a remote."""
    project = Project(tmp_path / 'one')
    project.init_git()
    project.write('pipeline.yaml', PIPELINE)
    (project.path / 'big.bin').write_bytes(DATA)
    project.mlops('add', 'big.bin')
    project.mlops('remote', 'add', 'origin', str(tmp_path / 'a remote'))
    project.mlops('run')
    project.commit('all')
    project.mlops('push')
    project.git('clone', '-q', str(project.path), str(tmp_path / 'two'))
    monkeypatch.setattr(partial, 'LARGE', 1 << 20)
    monkeypatch.setattr(twins, 'SPARE', 0)
    two = Project(tmp_path / 'two')
    for name, value in two.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(two.path)
    return two


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """What was asked for of those that were written beside: the name, and whether it was handed over."""
    asked = []
    real = twins.Twins.give

    def give(self: twins.Twins, digest: Digest, mode: int, folder: int, name: str) -> bool:
        found = real(self, digest, mode, folder, name)
        asked.append((name, found))
        return found

    monkeypatch.setattr(twins.Twins, 'give', give)
    return asked


def test_pull(there: Project, given: list[tuple[str, bool]]) -> None:
    assert app.run(['config', 'confirm', 'remotes.origin', '--yes']) == 0
    assert app.run(['pull']) == 0
    assert (there.path / 'big.bin').read_bytes() == DATA and (there.path / 'made/twice.bin').read_bytes() == DATA + DATA
    if not _shares_blocks(there.path):
        assert [found for _, found in given] == [True, True]
    assert app.run(['status']) == 0 and app.run(['verify']) == 0
    assert not [path for path in (there.path / '.mlops/local').iterdir() if path.name.startswith('.mlops')]


def test_what_stands_there_is_not_written_beside(there: Project, given: list[tuple[str, bool]]) -> None:
    assert app.run(['config', 'confirm', 'remotes.origin', '--yes']) == 0
    (there.path / 'big.bin').write_bytes(b'mine')
    assert app.run(['pull', 'big.bin']) == 5
    assert (there.path / 'big.bin').read_bytes() == b'mine' and not given
    assert app.run(['pull', '--force', 'big.bin']) == 0
    assert (there.path / 'big.bin').read_bytes() == DATA


def test_run_pull(there: Project, given: list[tuple[str, bool]]) -> None:
    assert app.run(['config', 'confirm', 'remotes.origin', '--yes']) == 0
    assert app.run(['run', '--pull']) == 0
    assert (there.path / 'big.bin').read_bytes() == DATA
    assert _shares_blocks(there.path) or given[0][1]


def _shares_blocks(folder: Path) -> bool:
    from mlops_cli.fsio import ops

    with (folder / 'x').open('w+b') as one, (folder / 'y').open('w+b') as other:
        found = ops.reflink(one.fileno(), other.fileno())
    (folder / 'x').unlink()
    (folder / 'y').unlink()
    return found
