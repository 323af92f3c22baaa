"""The default branch and what it has: told, or refused, and never what a branch makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.git import trunk
from tests.support.project import Project

POLICY = '.mlops/config.yaml'


def hub(folder: Path, branch: str = 'main') -> Project:
    """A repository whose default branch has a policy, and whose branch ``evil`` has none."""
    found = Project(folder)
    found.git('init', '-q', '-b', branch)
    found.git('config', 'uploadpack.allowFilter', 'true')
    found.write(POLICY, 'asked: much\n')
    found.commit('policy')
    found.git('switch', '-q', '-c', 'evil')
    found.git('rm', '-q', POLICY)
    found.commit('no policy')
    found.git('switch', '-q', branch)
    return found


def clone(of: Project, *options: str) -> Project:
    found = Project(of.path.parent / 'clone')
    found.git('clone', '-q', *options, f'file://{of.path}', '.')
    return found


def refused(folder: Project) -> str:
    with pytest.raises(UserError) as caught:
        found = trunk.default_branch(str(folder.path))
        trunk.read(str(folder.path), found.commit if found else '', '.mlops', 'config.yaml', 1000)
    assert caught.value.exit_code == ExitCode.REFUSED and caught.value.hint
    return str(caught.value)


@pytest.mark.parametrize('branch', ['main', 'production'])
def test_a_whole_clone_knows_it(tmp_path: Path, branch: str) -> None:
    there = clone(hub(tmp_path / 'hub', branch), '-b', 'evil')
    found = trunk.default_branch(str(there.path))
    assert found is not None and found.name == branch
    assert trunk.read(str(there.path), found.commit, '.mlops', 'config.yaml', 1000) == b'asked: much\n'
    assert trunk.read(str(there.path), found.commit, '.mlops', 'trust', 1000) is None


@pytest.mark.parametrize('options', [
    ('-b', 'evil', '--single-branch'), ('-b', 'evil', '--depth', '1'), ('-b', 'evil', '--filter=blob:none'),
    ('-b', 'evil', '--filter=tree:0'),
])  # fmt: skip
def test_a_clone_that_lacks_it_is_refused(tmp_path: Path, options: tuple[str, ...]) -> None:
    refused(clone(hub(tmp_path / 'hub'), *options))


def test_a_pushed_main_is_not_taken_for_it(tmp_path: Path) -> None:
    """As build machines fetch: all branches, and nothing said about which is the default one."""
    first = hub(tmp_path / 'hub', 'master')
    first.git('branch', 'main', 'evil')
    there = clone(first, '-b', 'evil')
    there.git('symbolic-ref', '--delete', 'refs/remotes/origin/HEAD')
    assert 'cannot be told' in refused(there)
    there.git('remote', 'set-head', 'origin', '-a')
    assert trunk.default_branch(str(there.path)).name == 'master'  # type: ignore[union-attr]


def test_its_commit_is_gone(tmp_path: Path) -> None:
    there = clone(hub(tmp_path / 'hub'), '-b', 'evil')
    there.git('branch', 'main', 'evil')
    there.git('update-ref', '-d', 'refs/remotes/origin/main')
    assert 'not in this clone' in refused(there)


def test_git_refuses_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = hub(tmp_path / 'hub')
    monkeypatch.setenv('GIT_CEILING_DIRECTORIES', str(tmp_path))
    (there.path / '.git/HEAD').write_text('damaged\n')
    assert 'no answer' in refused(there)


@pytest.mark.parametrize('inside', [True, False])
def test_a_link_in_its_place_is_not_nothing(tmp_path: Path, inside: bool) -> None:
    there = hub(tmp_path / 'hub')
    there.git('rm', '-q', '-r', '.mlops')
    there.write('other/config.yaml', '')
    path = there.path / (POLICY if inside else '.mlops')
    path.parent.mkdir(exist_ok=True)
    path.symlink_to('../other/config.yaml' if inside else 'other')
    there.commit('a link')
    refused(there)


def test_too_large_is_not_nothing(tmp_path: Path) -> None:
    there = hub(tmp_path / 'hub')
    there.write(POLICY, b'#' * 1001)
    there.commit('large')
    refused(there)


def test_where_there_is_none(tmp_path: Path) -> None:
    there = Project(tmp_path / 'new')
    assert trunk.default_branch(str(there.path)) is None
    there.git('init', '-q', '-b', 'odd')
    assert trunk.default_branch(str(there.path)) is None
    there.git('remote', 'add', 'origin', 'nowhere')
    assert trunk.default_branch(str(there.path)) is None
    there.git('remote', 'remove', 'origin')
    there.write('a', 'a')
    there.commit('first')
    assert trunk.default_branch(str(there.path)).name == 'odd'  # type: ignore[union-attr]
    there.git('branch', 'other')
    refused(there)
    there.git('branch', 'trunk')
    assert trunk.default_branch(str(there.path)).name == 'trunk'  # type: ignore[union-attr]
