"""The door to git: right answers in every kind of repository, and nothing executed or written by a hostile one."""

from __future__ import annotations

import os
import subprocess
from functools import partial
from pathlib import Path

import pytest

from mlops_cli import git
from mlops_cli.core.errors import UserError
from mlops_cli.git import commits
from mlops_cli.git.exporting import export
from tests.support.project import GIT, Project
from tests.support.repositories import committed_project, empty


@pytest.fixture(autouse=True)
def plain_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git without anybody's settings."""
    for name, value in {**GIT, 'HOME': str(tmp_path_factory.mktemp('home')), 'XDG_CONFIG_HOME': ''}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def committed(project: Project) -> Project:
    return committed_project(project)


def everything(folder: str, target: Path) -> None:
    """Calls every function, whatever it answers."""
    git.head(folder)
    git.top(folder)
    git.tracked(folder)
    git.tracked(folder, ['a.txt', 'nothing'])
    git.ignored(folder, ['a.txt', 'x.bin'])
    git.changed(folder)
    git.changed(folder, ['a.txt'])
    git.lacking(folder, ['a.txt', 'nothing', 'folder'])
    git.lacking(folder, [f'{number}.txt' for number in range(300)])
    for revision in (
        'HEAD',
        'main',
        'nothing',
        '-x',
        '--upload-pack=touch',
        'ext::sh -c x',
        'HEAD^{/first}',
        ':/first',
        'a' * 40,
        '@{u}',
    ):
        try:
            commit = git.resolve(folder, revision)
            target.mkdir(exist_ok=True)
            export(folder, commit, str(target / f'{len(os.listdir(target))}-export'))
        except (UserError, FileNotFoundError):
            continue


# Answers


def test_a_repository(committed: Project) -> None:
    folder = str(committed.path)
    assert git.head(folder) == git.Head(committed.git('rev-parse', 'HEAD').strip(), 'feature/x')
    assert git.top(f'{folder}/sub/project') == folder
    assert git.tracked(folder) == ('.gitignore', 'a.txt', 'sub/project/b.txt')
    assert git.tracked(folder, ['sub']) == ('sub/project/b.txt',)
    many = [f'nothing/{number:0100}' for number in range(40_000)]  # more than a command line holds
    assert git.tracked(folder, ['sub', *many]) == ('sub/project/b.txt',)
    assert git.tracked(folder, ['a.txt', *many]) == ('a.txt',)
    assert git.tracked(f'{folder}/sub') == ('project/b.txt',)
    assert git.tracked(f'{folder}/sub', ['.']) == ('project/b.txt',)
    assert git.ignored(folder, ['x.bin', 'deep/y.bin', 'a.txt']) == {'x.bin', 'deep/y.bin'}
    assert git.changed(folder) == ('sub/project/new.txt',)
    assert git.changed(f'{folder}/sub/project') == ('new.txt',)
    committed.write('a.txt', 'again\n')
    (committed.path / 'sub/project/b.txt').unlink()
    committed.git('add', 'sub/project/new.txt')
    assert git.changed(folder) == ('a.txt', 'sub/project/b.txt', 'sub/project/new.txt')
    assert git.changed(folder, ['a.txt', 'sub/project/new.txt']) == ('a.txt', 'sub/project/new.txt')
    assert git.changed(f'{folder}/sub/project') == ('b.txt', 'new.txt')


def test_names_with_a_meaning_for_git_are_names(committed: Project) -> None:
    names = [
        '*',
        '[ab]',
        ':x',
        ':(exclude)a.txt',
        ':!a.txt',
        '-x',
        '--stdin',
        'a b',
        'é',
        '🚀',
        'caf\udce9',
        'tab\t',
        '"',
        '\\',
        'new\nline',
    ]
    for name in names:
        committed.write(name, '')
    committed.git('add', '--all')
    folder = str(committed.path)
    for name in names:
        assert git.tracked(folder, [name]) == (name,)
        assert git.changed(folder, [name]) == (name,)
        assert git.ignored(folder, [name]) == frozenset()
    assert set(names) <= set(git.tracked(folder))
    committed.write('.gitignore', '*\n')
    assert git.ignored(folder, names) == set(names)


def test_a_commit_describes_itself(committed: Project) -> None:
    commit = committed.commit('First line\n\nmore')
    assert commits.describe(str(committed.path), commit) == commits.Described('First line', 'Ada')
    for other in ('', '0' * 40, '--help', 'HEAD'):
        assert commits.describe(str(committed.path), other) is None


def test_outside_a_repository(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert (git.head(folder), git.top(folder), git.tracked(folder), git.ignored(folder, ['a']), git.changed(folder)) == (
        None,
        None,
        (),
        None,
        (),
    )
    with pytest.raises(UserError, match='not a git repository') as raised:
        git.resolve(folder, 'HEAD')
    assert raised.value.hint == 'git init'


@pytest.mark.parametrize('path', ['', '/nonexistent', 'relative', 'only-a-folder', 'not-executable'])
def test_without_git_it_is_as_outside_a_repository(
    committed: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: str
) -> None:
    (tmp_path / 'only-a-folder' / 'git').mkdir(parents=True)
    (tmp_path / 'not-executable').mkdir()
    (tmp_path / 'not-executable' / 'git').write_text('#!/bin/sh\n')
    monkeypatch.setenv('PATH', path if path in ('', '/nonexistent', 'relative') else str(tmp_path / path))
    folder = str(committed.path)
    assert (git.head(folder), git.top(folder), git.tracked(folder), git.ignored(folder, ['a']), git.changed(folder)) == (
        None,
        None,
        (),
        None,
        (),
    )
    with pytest.raises(UserError, match='git has no answer here') as raised:
        export(folder, 'HEAD', str(tmp_path))
    assert raised.value.hint == 'mlops doctor says why'


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    assert git.head(str(tmp_path / 'gone')) is None


def test_no_commit_yet(project: Project) -> None:
    folder = str(project.path)
    assert git.head(folder) == git.Head('', 'main')
    project.write('a', '')
    assert git.changed(folder) == ('a',)
    for revision in ('HEAD', 'main'):
        with pytest.raises(UserError, match='no commit yet'):
            git.resolve(folder, revision)


def test_files_called_as_git_calls_things_do_not_confuse_it(committed: Project) -> None:
    for name in ('HEAD', 'main', 'refs', '--', 'feature'):
        committed.write(name, '')
    folder = str(committed.path)
    assert git.head(folder) == git.Head(committed.git('rev-parse', '--verify', 'HEAD').strip(), 'feature/x')
    assert git.resolve(folder, 'main') == git.resolve(folder, 'HEAD')
    committed.git('tag', 'feature/x', 'HEAD~1')
    assert git.head(folder) == git.Head(committed.git('rev-parse', '--verify', 'HEAD').strip(), 'feature/x')


def test_a_detached_head(committed: Project) -> None:
    commit = committed.git('rev-parse', 'HEAD~1').strip()
    committed.git('switch', '-q', '--detach', commit)
    assert git.head(str(committed.path)) == git.Head(commit, '')


def test_revisions(committed: Project) -> None:
    folder = str(committed.path)
    first, second = committed.git('rev-parse', 'HEAD~1').strip(), committed.git('rev-parse', 'HEAD').strip()
    committed.git('tag', '-a', '-m', 'annotated', 'v1', first)
    committed.git('update-ref', 'refs/heads/-x', first)
    assert (
        git.resolve(folder, 'v1')
        == git.resolve(folder, 'HEAD~1')
        == git.resolve(folder, first[:8])
        == git.resolve(folder, 'HEAD^')
        == first
    )
    assert git.resolve(folder, 'main') == git.resolve(folder, second) == git.resolve(folder, '@') == second
    assert git.resolve(folder, 'refs/heads/-x') == first
    for revision in (
        '',
        '-x',
        '--all',
        'nothing',
        'HEAD:a.txt',
        'main..v1',
        'f' * 40,
        'a\0b',
        'x' * 100_000,
        '--end-of-options',
        'HEAD\n--all',
    ):
        with pytest.raises(UserError, match='revision') as raised:
            git.resolve(folder, revision)
        assert raised.value.hint
        assert len(str(raised.value)) < 300


def test_a_shallow_clone_says_what_it_lacks(committed: Project, tmp_path: Path) -> None:
    first = committed.git('rev-parse', 'HEAD~1').strip()
    committed.git('clone', '-q', '--depth', '1', f'file://{committed.path}', str(tmp_path / 'shallow'))
    folder = str(tmp_path / 'shallow')
    assert export(folder, 'HEAD', str(empty(tmp_path))) == ('.gitignore', 'a.txt', 'sub/project/b.txt')
    with pytest.raises(UserError, match='shallow') as raised:
        export(folder, first, str(tmp_path))
    assert raised.value.hint == 'git fetch --unshallow'


def test_a_bare_repository_is_no_project(committed: Project, tmp_path: Path) -> None:
    committed.git('clone', '-q', '--bare', str(committed.path), str(tmp_path / 'bare.git'))
    folder = str(tmp_path / 'bare.git')
    assert (git.head(folder), git.top(folder), git.tracked(folder)) == (None, None, ())
    with pytest.raises(UserError, match='not a git repository'):
        export(folder, 'HEAD', str(tmp_path))


def test_a_worktree_of_a_bare_repository_is_a_repository(committed: Project, tmp_path: Path) -> None:
    committed.git('clone', '-q', '--bare', str(committed.path), str(tmp_path / 'bare.git'))
    committed.git('-C', str(tmp_path / 'bare.git'), 'worktree', 'add', '-q', str(tmp_path / 'tree'), 'main')
    folder = str(tmp_path / 'tree')
    assert git.head(folder) == git.Head(committed.git('rev-parse', 'main').strip(), 'main')
    assert git.tracked(folder) == ('.gitignore', 'a.txt', 'sub/project/b.txt')
    assert 'a.txt' in export(folder, 'HEAD~1', str(empty(tmp_path)))


def test_the_folder_decides_and_not_the_environment(
    committed: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Project(tmp_path / 'other')
    other.init_git()
    other.write('other.txt', '')
    other.commit('other')
    expected = (git.head(str(committed.path)), git.tracked(str(committed.path)))
    for name, value in {
        'GIT_DIR': other.path / '.git',
        'GIT_WORK_TREE': other.path,
        'GIT_INDEX_FILE': other.path / '.git/index',
        'GIT_OBJECT_DIRECTORY': other.path / '.git/objects',
        'GIT_COMMON_DIR': other.path / '.git',
        'GIT_PREFIX': 'x/',
        'GIT_NAMESPACE': 'x',
        'GIT_LITERAL_PATHSPECS': '0',
        'GIT_ICASE_PATHSPECS': '1',
    }.items():
        monkeypatch.setenv(name, str(value))
    assert (git.head(str(committed.path)), git.tracked(str(committed.path))) == expected
    assert export(str(committed.path), 'HEAD', str(empty(tmp_path))) == expected[1]
    assert git.head(str(tmp_path)) is None


def test_the_users_own_settings_count(committed: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """CI services say safe.directory in this way."""
    (committed.path / '.excludes').write_text('*.own\n')
    for name, value in {'COUNT': '1', 'KEY_0': 'core.excludesFile', 'VALUE_0': str(committed.path / '.excludes')}.items():
        monkeypatch.setenv(f'GIT_CONFIG_{name}', value)
    assert git.ignored(str(committed.path), ['x.own']) == {'x.own'}
    assert '.excludes' in git.changed(str(committed.path))


# Hostile repositories


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A path that nothing may make; a script that makes it stands beside it."""
    path = tmp_path / 'canary'
    script = tmp_path / 'trap'
    script.write_text(f'#!/bin/sh\ntouch {path}\nexit 1\n')
    script.chmod(0o755)
    return path


def trap_of(canary: Path) -> str:
    return str(canary.parent / 'trap')


TRAPS: dict[str, dict[str, str]] = {  # settings of .git/config; {trap} is a program that makes the canary
    'monitor': {'core.fsmonitor': '{trap}', 'core.fsmonitorHookVersion': '1'},
    'hooks': {'core.hooksPath': '{folder}'},
    'ssh': {'core.sshCommand': '{trap}', 'remote.origin.url': 'ssh://x/y', 'remote.origin.promisor': 'true'},
    'aliases': {
        f'alias.{name}': '!{trap}'
        for name in ('status', 'rev-parse', 'ls-files', 'ls-tree', 'check-ignore', 'cat-file', 'config')
    },
    'pagers': {'core.pager': '{trap}', **{f'pager.{name}': '{trap}' for name in ('status', 'ls-files', 'config')}},
    'editors': {'core.editor': '{trap}', 'sequence.editor': '{trap}', 'core.askPass': '{trap}', 'credential.helper': '!{trap}'},
    'diffs': {
        'diff.external': '{trap}',
        'diff.evil.command': '{trap}',
        'diff.evil.textconv': '{trap}',
        'interactive.diffFilter': '{trap}',
    },
    'filters': {'filter.evil.clean': '{trap}', 'filter.evil.smudge': '{trap}', 'filter.evil.required': 'true'},
    'a filter with = in its name': {'filter.evil.x=y.clean': '{trap}', 'filter.evil.x=y.process': '{trap}'},
    'a filter process': {'filter.evil.process': '{trap}'},
    'signatures': {'gpg.program': '{trap}', 'log.showSignature': 'true'},
    'merges': {'merge.evil.driver': '{trap}', 'merge.tool': '{trap}'},
    'archives': {'tar.tar.command': '{trap}'},
    'a partial clone over ext': {
        'remote.origin.url': 'ext::{trap}',
        'remote.origin.promisor': 'true',
        'remote.origin.partialclonefilter': 'blob:none',
        'protocol.ext.allow': 'always',
        'protocol.allow': 'always',
        'extensions.partialClone': 'origin',
        'core.repositoryFormatVersion': '1',
    },
    'a partial clone from a folder': {
        'remote.origin.url': '{folder}',
        'remote.origin.promisor': 'true',
        'remote.origin.uploadpack': '{trap}',
        'protocol.file.allow': 'always',
        'extensions.partialClone': 'origin',
        'core.repositoryFormatVersion': '1',
    },
    'submodules': {'submodule.recurse': 'true', 'submodule.sub.update': '!{trap}', 'status.submoduleSummary': 'true'},
    'a work tree elsewhere': {'core.worktree': '{folder}'},
}


def set_trap(project: Project, name: str, canary: Path) -> None:
    project.write('.gitattributes', '* filter=evil diff=evil merge=evil\n*.x filter=evil.x=y\n')
    project.write('b.x', 'x\n')
    project.commit('attributes')
    for setting, value in TRAPS[name].items():
        section, _, key = setting.rpartition('.')
        filled = value.format(trap=trap_of(canary), folder=canary.parent)
        project.git('config', '--file', '.git/config', f'{section}.{key}', filled)
    for path in ('a.txt', 'b.x'):  # looks changed, so that git reads and filters it
        os.utime(project.path / path, (1, 1))
    for hook in (
        'post-index-change',
        'post-checkout',
        'pre-commit',
        'reference-transaction',
        'fsmonitor-watchman',
        'pre-auto-gc',
    ):
        for folder in (project.path / '.git/hooks', canary.parent):
            (folder / hook).write_text(f'#!/bin/sh\ntouch {canary}\n')
            (folder / hook).chmod(0o755)


def drop_objects(project: Project) -> None:
    """As in a partial clone: some objects are not here."""
    for name in project.git('ls-tree', '-r', 'HEAD~1').split():
        path = project.path / '.git/objects' / name[:2] / name[2:]
        if path.is_file():
            path.chmod(0o600)
            path.unlink()


@pytest.mark.parametrize('name', TRAPS)
def test_nothing_that_a_repository_configures_is_executed(committed: Project, tmp_path: Path, canary: Path, name: str) -> None:
    set_trap(committed, name, canary)
    if 'partial' in name or name == 'ssh':
        drop_objects(committed)
    everything(str(committed.path), tmp_path / 'exports')
    everything(str(committed.path / 'sub/project'), tmp_path / 'exports')
    assert not canary.exists()


def test_the_traps_are_traps(committed: Project, tmp_path: Path, canary: Path) -> None:
    """Plain git walks into those that its status can meet, else the test above shows nothing."""
    environ = {**os.environ, **committed.environ}
    for name, command in (
        ('monitor', ['status']),
        ('filters', ['status']),
        ('a filter process', ['status']),
        ('a filter with = in its name', ['status']),
        ('a partial clone from a folder', ['cat-file', '-p', 'HEAD~1:a.txt']),
        ('a partial clone over ext', ['cat-file', '-p', 'HEAD~1:a.txt']),
    ):
        project = Project(tmp_path / name.replace(' ', '-').replace('=', '-'))
        project.init_git()
        project.write('a.txt', 'one\n')
        project.commit('first')
        project.write('a.txt', 'two\n')
        project.commit('second')
        set_trap(project, name, canary)
        if 'partial' in name:
            project.commit('third')
            drop_objects(project)
        subprocess.run(['git', *command], cwd=project.path, env=environ, capture_output=True, check=False, timeout=30)
        assert canary.exists(), name
        canary.unlink()


def test_a_repository_inside_a_submodule_cannot_either(committed: Project, tmp_path: Path, canary: Path) -> None:
    other = Project(tmp_path / 'other')
    other.init_git()
    other.write('a.txt', '')
    other.commit('start')
    committed.git('-c', 'protocol.file.allow=always', 'submodule', 'add', '-q', str(other.path), 'module')
    committed.commit('module')
    for setting in ('core.fsmonitor', 'filter.evil.clean'):
        committed.git('-C', 'module', 'config', setting, trap_of(canary))
    committed.write('module/.gitattributes', '* filter=evil\n')
    committed.write('module/a.txt', 'changed')
    everything(str(committed.path), tmp_path / 'exports')
    assert not canary.exists()


def test_a_folder_that_looks_like_a_repository_is_none(committed: Project, canary: Path) -> None:
    """A branch can bring such a folder, with a config of its own: the settings of whoever made it."""
    folder = committed.path / 'data'
    committed.git('init', '-q', '--bare', str(folder))
    for setting, value in (('core.fsmonitor', trap_of(canary)), ('core.worktree', str(committed.path)), ('core.bare', 'false')):
        committed.git('--git-dir', str(folder), 'config', setting, value)
    everything(str(folder), committed.path / 'exports')
    assert git.head(str(folder)) is None or git.top(str(folder)) == str(committed.path)
    assert not canary.exists()


def test_a_program_called_git_in_the_project_is_not_started(
    committed: Project, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed.write('git', f'#!/bin/sh\ntouch {canary}\n').chmod(0o755)
    committed.write('bin/git', f'#!/bin/sh\ntouch {canary}\n').chmod(0o755)
    for path in ('.', '', 'bin', f'.:bin:{os.environ["PATH"]}', f':{os.environ["PATH"]}'):
        monkeypatch.setenv('PATH', path)
        monkeypatch.chdir(committed.path)
        everything(str(committed.path), committed.path / 'exports')
    assert not canary.exists()
    assert git.head(str(committed.path)) is not None


def test_what_is_lacking_below_a_folder_of_the_repository(tmp_path: Path) -> None:
    """Untracked, changed and ignored paths, told from those that are as committed; folders by what is in them."""
    run = partial(subprocess.run, cwd=tmp_path, env={**os.environ, **GIT}, check=True, capture_output=True)
    inner = tmp_path / 'sub'
    for name in ('same', 'changed', 'data/a', 'data/b', 'whole/a', 'new', 'ignored.x', 'drop/a.x', 'mixed/a', 'mixed/b.x'):
        (inner / name).parent.mkdir(parents=True, exist_ok=True)
        (inner / name).write_text(name)
    (inner / '.gitignore').write_text('*.x\n')
    run(['git', 'init', '-q'])
    run(['git', 'add', 'sub/same', 'sub/changed', 'sub/data/a', 'sub/mixed/a', 'sub/.gitignore'])
    run(['git', 'commit', '-q', '-m', 'x'])
    (inner / 'changed').write_text('other')
    paths = ['same', 'changed', 'data', 'data/a', 'data/b', 'whole', 'whole/a', 'new', 'ignored.x', 'drop', 'mixed', 'mixed/a']
    lacking, ignored = git.lacking(str(inner), paths) or ((), ())
    assert lacking == {'changed', 'data', 'data/b', 'whole', 'whole/a', 'new'}
    assert ignored == {'ignored.x', 'drop'}
    many = [*paths, *(f'absent/{number}' for number in range(500))]
    assert git.lacking(str(inner), many) == (lacking, ignored | {f'absent/{number}' for number in range(500)})
    assert git.lacking(str(inner), []) == (frozenset(), frozenset())
    (tmp_path / 'elsewhere').mkdir()
    with_no_git = tmp_path.parent / f'{tmp_path.name}-none'
    with_no_git.mkdir()
    assert git.lacking(str(with_no_git), ['x']) is None
