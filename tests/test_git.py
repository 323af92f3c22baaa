"""The door to git: right answers in every kind of repository, and nothing executed or written by a hostile one."""
from __future__ import annotations

import os
import resource
import stat
import subprocess
from pathlib import Path

import pytest

from mlops_cli import git
from mlops_cli.core.errors import ExitCode, UserError
from tests.support.project import GIT, Project


@pytest.fixture(autouse=True)
def plain_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git without anybody's settings."""
    for name, value in {**GIT, 'HOME': str(tmp_path_factory.mktemp('home')), 'XDG_CONFIG_HOME': ''}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def committed(project: Project) -> Project:
    """Two commits, on a branch of its own; a folder with a file that is ignored, one that is not tracked."""
    project.write('a.txt', 'one\n')
    project.write('sub/project/b.txt', 'two\n')
    project.write('.gitignore', '*.bin\n')
    project.commit('first')
    project.write('a.txt', 'changed\n')
    project.commit('second')
    project.git('switch', '-q', '-c', 'feature/x')
    project.write('sub/project/new.txt', '')
    project.write('sub/project/c.bin', '')
    return project


def everything(folder: str, target: Path) -> None:
    """Calls every function, whatever it answers."""
    git.head(folder)
    git.top(folder)
    git.tracked(folder)
    git.tracked(folder, ['a.txt', 'nothing'])
    git.ignored(folder, ['a.txt', 'x.bin'])
    git.changed(folder)
    git.changed(folder, ['a.txt'])
    for revision in ('HEAD', 'main', 'nothing', '-x', '--upload-pack=touch', 'ext::sh -c x', 'HEAD^{/first}', ':/first', 'a' * 40, '@{u}'):
        try:
            commit = git.resolve(folder, revision)
            target.mkdir(exist_ok=True)
            git.export(folder, commit, str(target / f'{len(os.listdir(target))}-export'))
        except (UserError, FileNotFoundError):
            continue


# Answers

def test_a_repository(committed: Project) -> None:
    folder = str(committed.path)
    assert git.head(folder) == git.Head(committed.git('rev-parse', 'HEAD').strip(), 'feature/x')
    assert git.top(f'{folder}/sub/project') == folder
    assert git.tracked(folder) == ('.gitignore', 'a.txt', 'sub/project/b.txt')
    assert git.tracked(folder, ['sub']) == ('sub/project/b.txt',)
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
    names = ['*', '[ab]', ':x', ':(exclude)a.txt', ':!a.txt', '-x', '--stdin', 'a b', 'é', '🚀', 'caf\udce9', 'tab\t', '"', '\\', 'new\nline']
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


def test_outside_a_repository(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert (git.head(folder), git.top(folder), git.tracked(folder), git.ignored(folder, ['a']), git.changed(folder)) == (None, None, (), None, ())
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
    assert (git.head(folder), git.top(folder), git.tracked(folder), git.ignored(folder, ['a']), git.changed(folder)) == (None, None, (), None, ())
    with pytest.raises(UserError, match='not a git repository'):
        git.export(folder, 'HEAD', str(tmp_path))


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


def test_a_detached_head(committed: Project) -> None:
    commit = committed.git('rev-parse', 'HEAD~1').strip()
    committed.git('switch', '-q', '--detach', commit)
    assert git.head(str(committed.path)) == git.Head(commit, '')


def test_revisions(committed: Project) -> None:
    folder = str(committed.path)
    first, second = committed.git('rev-parse', 'HEAD~1').strip(), committed.git('rev-parse', 'HEAD').strip()
    committed.git('tag', '-a', '-m', 'annotated', 'v1', first)
    committed.git('update-ref', 'refs/heads/-x', first)
    assert git.resolve(folder, 'v1') == git.resolve(folder, 'HEAD~1') == git.resolve(folder, first[:8]) == git.resolve(folder, 'HEAD^') == first
    assert git.resolve(folder, 'main') == git.resolve(folder, second) == git.resolve(folder, '@') == second
    assert git.resolve(folder, 'refs/heads/-x') == first
    for revision in ('', '-x', '--all', 'nothing', 'HEAD:a.txt', 'main..v1', 'f' * 40, 'a\0b', 'x' * 100_000, '--end-of-options', 'HEAD\n--all'):
        with pytest.raises(UserError, match='revision') as raised:
            git.resolve(folder, revision)
        assert raised.value.hint
        assert len(str(raised.value)) < 300


def test_a_shallow_clone_says_what_it_lacks(committed: Project, tmp_path: Path) -> None:
    first = committed.git('rev-parse', 'HEAD~1').strip()
    committed.git('clone', '-q', '--depth', '1', f'file://{committed.path}', str(tmp_path / 'shallow'))
    folder = str(tmp_path / 'shallow')
    assert git.export(folder, 'HEAD', str(empty(tmp_path))) == ('.gitignore', 'a.txt', 'sub/project/b.txt')
    with pytest.raises(UserError, match='shallow') as raised:
        git.export(folder, first, str(tmp_path))
    assert raised.value.hint == 'git fetch --unshallow'


def test_a_bare_repository_is_no_project(committed: Project, tmp_path: Path) -> None:
    committed.git('clone', '-q', '--bare', str(committed.path), str(tmp_path / 'bare.git'))
    folder = str(tmp_path / 'bare.git')
    assert (git.head(folder), git.top(folder), git.tracked(folder)) == (None, None, ())
    with pytest.raises(UserError, match='not a git repository'):
        git.export(folder, 'HEAD', str(tmp_path))


def test_a_worktree_of_a_bare_repository_is_a_repository(committed: Project, tmp_path: Path) -> None:
    committed.git('clone', '-q', '--bare', str(committed.path), str(tmp_path / 'bare.git'))
    committed.git('-C', str(tmp_path / 'bare.git'), 'worktree', 'add', '-q', str(tmp_path / 'tree'), 'main')
    folder = str(tmp_path / 'tree')
    assert git.head(folder) == git.Head(committed.git('rev-parse', 'main').strip(), 'main')
    assert git.tracked(folder) == ('.gitignore', 'a.txt', 'sub/project/b.txt')
    assert 'a.txt' in git.export(folder, 'HEAD~1', str(empty(tmp_path)))


def test_the_folder_decides_and_not_the_environment(committed: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Project(tmp_path / 'other')
    other.init_git()
    other.write('other.txt', '')
    other.commit('other')
    expected = (git.head(str(committed.path)), git.tracked(str(committed.path)))
    for name, value in {'GIT_DIR': other.path / '.git', 'GIT_WORK_TREE': other.path, 'GIT_INDEX_FILE': other.path / '.git/index',
                        'GIT_OBJECT_DIRECTORY': other.path / '.git/objects', 'GIT_COMMON_DIR': other.path / '.git', 'GIT_PREFIX': 'x/',
                        'GIT_NAMESPACE': 'x', 'GIT_LITERAL_PATHSPECS': '0', 'GIT_ICASE_PATHSPECS': '1'}.items():
        monkeypatch.setenv(name, str(value))
    assert (git.head(str(committed.path)), git.tracked(str(committed.path))) == expected
    assert git.export(str(committed.path), 'HEAD', str(empty(tmp_path))) == expected[1]
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
    'monitor': {'core.fsmonitor': '{trap}', 'core.fsmonitorHookVersion': '1'}, 'hooks': {'core.hooksPath': '{folder}'},
    'ssh': {'core.sshCommand': '{trap}', 'remote.origin.url': 'ssh://x/y', 'remote.origin.promisor': 'true'},
    'aliases': {f'alias.{name}': '!{trap}' for name in ('status', 'rev-parse', 'ls-files', 'ls-tree', 'check-ignore', 'cat-file', 'config')},
    'pagers': {'core.pager': '{trap}', **{f'pager.{name}': '{trap}' for name in ('status', 'ls-files', 'config')}},
    'editors': {'core.editor': '{trap}', 'sequence.editor': '{trap}', 'core.askPass': '{trap}', 'credential.helper': '!{trap}'},
    'diffs': {'diff.external': '{trap}', 'diff.evil.command': '{trap}', 'diff.evil.textconv': '{trap}', 'interactive.diffFilter': '{trap}'},
    'filters': {'filter.evil.clean': '{trap}', 'filter.evil.smudge': '{trap}', 'filter.evil.required': 'true'},
    'a filter with = in its name': {'filter.evil.x=y.clean': '{trap}', 'filter.evil.x=y.process': '{trap}'},
    'a filter process': {'filter.evil.process': '{trap}'}, 'signatures': {'gpg.program': '{trap}', 'log.showSignature': 'true'},
    'merges': {'merge.evil.driver': '{trap}', 'merge.tool': '{trap}'}, 'archives': {'tar.tar.command': '{trap}'},
    'a partial clone over ext': {
        'remote.origin.url': 'ext::{trap}', 'remote.origin.promisor': 'true', 'remote.origin.partialclonefilter': 'blob:none',
        'protocol.ext.allow': 'always', 'protocol.allow': 'always', 'extensions.partialClone': 'origin', 'core.repositoryFormatVersion': '1'},
    'a partial clone from a folder': {
        'remote.origin.url': '{folder}', 'remote.origin.promisor': 'true', 'remote.origin.uploadpack': '{trap}', 'protocol.file.allow': 'always',
        'extensions.partialClone': 'origin', 'core.repositoryFormatVersion': '1'},
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
    for hook in ('post-index-change', 'post-checkout', 'pre-commit', 'reference-transaction', 'fsmonitor-watchman', 'pre-auto-gc'):
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
    for name, command in (('monitor', ['status']), ('filters', ['status']), ('a filter process', ['status']),
                          ('a filter with = in its name', ['status']), ('a partial clone from a folder', ['cat-file', '-p', 'HEAD~1:a.txt']),
                          ('a partial clone over ext', ['cat-file', '-p', 'HEAD~1:a.txt'])):
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


def test_a_program_called_git_in_the_project_is_not_started(committed: Project, canary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed.write('git', f'#!/bin/sh\ntouch {canary}\n').chmod(0o755)
    committed.write('bin/git', f'#!/bin/sh\ntouch {canary}\n').chmod(0o755)
    for path in ('.', '', 'bin', f'.:bin:{os.environ["PATH"]}', f':{os.environ["PATH"]}'):
        monkeypatch.setenv('PATH', path)
        monkeypatch.chdir(committed.path)
        everything(str(committed.path), committed.path / 'exports')
    assert not canary.exists()
    assert git.head(str(committed.path)) is not None


# Export

def empty(tmp_path: Path) -> Path:
    folder = tmp_path / 'target'
    folder.mkdir()
    return folder


def content(folder: Path) -> dict[str, bytes | str]:
    """Every path below a folder with what it holds; of a link, what it says."""
    return {str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
            for path in sorted(folder.rglob('*')) if path.is_symlink() or path.is_file()}


def test_export_writes_what_was_committed(committed: Project, tmp_path: Path) -> None:
    committed.write('sub/run.sh', '#!/bin/sh\n').chmod(0o755)
    committed.write('sub/é 🚀', b'\0\xff\r\n')
    committed.write('sub/caf\udce9', 'bytes')
    committed.write('.gitattributes', '* text=auto eol=crlf\n')
    commit = committed.commit('third')
    committed.write('sub/run.sh', 'changed since')
    written = git.export(str(committed.path), commit, str(empty(tmp_path)))
    found = content(tmp_path / 'target')
    assert written == tuple(sorted(found))
    assert (found['sub/run.sh'], found['sub/é 🚀'], found['sub/caf\udce9'], found['a.txt']) == (b'#!/bin/sh\n', b'\0\xff\r\n', b'bytes', b'changed\n')
    assert (tmp_path / 'target/sub/run.sh').stat().st_mode & stat.S_IXUSR
    assert not (tmp_path / 'target/a.txt').stat().st_mode & stat.S_IXUSR


def test_export_of_a_project_below_the_top(committed: Project, tmp_path: Path) -> None:
    assert git.export(str(committed.path / 'sub/project'), 'HEAD~1', str(empty(tmp_path))) == ('b.txt',)
    assert content(tmp_path / 'target') == {'b.txt': b'two\n'}


def test_export_of_a_commit_that_has_nothing_there(committed: Project, tmp_path: Path) -> None:
    (committed.path / 'later').mkdir()
    assert git.export(str(committed.path / 'later'), 'HEAD', str(empty(tmp_path))) == ()


def test_export_leaves_out_submodules_and_what_of_mlops_is_no_record(committed: Project, tmp_path: Path) -> None:
    kept = ['.mlops/config.yaml', '.mlops/.gitignore', '.mlops/stages/a~1.json', '.mlops/data/x.json', '.mlops/runs/2026-11/x.json', '.mlops/models/m/1']
    dropped = ['.mlops/local/journal/x.jsonl', '.mlops/local/index-v1.sqlite', '.mlops/cache/results-v1/x', '.mlops/config.local.yaml', '.mlops/x',
               '.mlops/stages.json', 'deep/.mlops/stages/x.json', 'deep/.mlops/local/x']
    for path in (*kept, *dropped):
        committed.write(path, path)
    committed.git('add', '-f', '.mlops', 'deep')
    committed.git('update-index', '--add', '--cacheinfo', f'160000,{committed.git("rev-parse", "HEAD").strip()},module')
    committed.git('commit', '-q', '-m', 'all of it')
    assert git.export(str(committed.path), 'HEAD', str(empty(tmp_path))) == tuple(
        sorted(['.gitignore', 'a.txt', 'sub/project/b.txt', *kept]))


LINKS = {'inside': 'a.txt', 'sub/up': '../a.txt', 'sub/deep': 'project/b.txt', 'sub/here': '.', 'sub/project/top': '../..', 'through': 'sub/up',
         'nowhere': 'not-there', 'sub/dot': './project'}
ESCAPES = {'abs': '/etc/passwd', 'up': '../x', 'sub/up2': '../../x', 'winding': 'sub/../../x', 'back': 'sub/..', 'git': '.git/config', 'GIT': '.GIT/x',
           'mlops': '.mlops/local', 'long': 'x/' * 2500, 'subgit': 'sub/../.git'}


def test_export_keeps_links_that_stay_inside_and_no_other(committed: Project, tmp_path: Path) -> None:
    for path, target in (LINKS | {path: target for path, target in ESCAPES.items() if len(target) < 4000}).items():
        os.symlink(target, committed.path / path)
    committed.git('add', '-A')
    blob = subprocess.run(['git', 'hash-object', '-w', '--stdin'], cwd=committed.path, input=ESCAPES['long'].encode(), capture_output=True, check=True)
    committed.git('update-index', '--add', '--cacheinfo', f'120000,{blob.stdout.decode().strip()},long')
    committed.git('commit', '-q', '-m', 'links')
    git.export(str(committed.path), 'HEAD', str(empty(tmp_path)))
    found = {path: value for path, value in content(tmp_path / 'target').items() if isinstance(value, str)}
    assert found == LINKS


def tree_of(project: Project, *entries: tuple[str, bytes, str]) -> str:
    """A commit with a tree of (mode, name bytes, object), as no git would make it."""
    data = b''.join(mode.encode() + b' ' + name + b'\0' + bytes.fromhex(found) for mode, name, found in entries)
    tree = subprocess.run(['git', 'hash-object', '-t', 'tree', '-w', '--stdin', '--literally'], cwd=project.path, input=data,
                          capture_output=True, check=True).stdout.decode().strip()
    return project.git('commit-tree', '-m', 'hostile', tree).strip()


def blob_of(project: Project, data: bytes = b'evil\n') -> str:
    return subprocess.run(['git', 'hash-object', '-w', '--stdin'], cwd=project.path, input=data, capture_output=True,
                          check=True).stdout.decode().strip()


@pytest.mark.parametrize('name', [
    '../evil', '..', '.', '.git/hooks/pre-commit', '.git', '.GIT', '.Git', '.git ', '.git.', 'git~1', 'GIT~1', '.g\u200cit', '.git:x', '/etc/evil', 'a//b',
    'a/../../evil', 'a/./b', 'x/.git/config', '.MLOPS/local/x', 'a/.Mlops/x', '.mlops./local/x', 'mlops~1/x', 'a/',
])
def test_a_commit_with_names_that_lead_elsewhere_is_refused_before_anything_is_written(committed: Project, tmp_path: Path, name: str) -> None:
    blob = blob_of(committed)
    commit = tree_of(committed, ('100644', b'0-first', blob), ('100644', name.encode(), blob))
    folder = empty(tmp_path)
    before = content(tmp_path)
    with pytest.raises(UserError) as raised:
        git.export(str(committed.path), commit, str(folder))
    assert raised.value.exit_code == ExitCode.REFUSED
    assert raised.value.hint
    assert content(tmp_path) == before
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize('name', ['.mlops/local/x', '.mlops/cache/x', '.mlops/config.local.yaml', '.mlops'])
def test_parts_of_mlops_that_are_this_machines_own_are_never_written(committed: Project, tmp_path: Path, name: str) -> None:
    commit = tree_of(committed, ('100644', name.encode(), blob_of(committed)), ('100644', b'a', blob_of(committed)))
    assert git.export(str(committed.path), commit, str(empty(tmp_path))) == ('a',)
    assert content(tmp_path / 'target') == {'a': b'evil\n'}


def test_nothing_is_written_through_a_link(committed: Project, tmp_path: Path) -> None:
    blob, outside = blob_of(committed), blob_of(committed, os.fsencode(tmp_path / 'outside'))
    (tmp_path / 'outside').mkdir()
    for target in (outside, blob_of(committed, b'sub')):
        commit = tree_of(committed, ('120000', b'a', target), ('100644', b'a/evil', blob))
        folder = empty(tmp_path / f'{target}') if (tmp_path / f'{target}').mkdir() is None else tmp_path
        try:
            git.export(str(committed.path), commit, str(folder))
        except UserError as error:
            assert error.exit_code == ExitCode.REFUSED
        assert list((tmp_path / 'outside').iterdir()) == []


@pytest.mark.parametrize('entries', [[b'a', b'a'], [b'a', b'a/b'], [b'a/b', b'a']])
def test_names_that_collide_are_refused(committed: Project, tmp_path: Path, entries: list[bytes]) -> None:
    commit = tree_of(committed, *[('100644', name, blob_of(committed, name)) for name in entries])
    with pytest.raises(UserError, match='refused the commit'):
        git.export(str(committed.path), commit, str(empty(tmp_path)))


def test_names_that_differ_in_case_alone_are_two_files_where_that_counts(committed: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = tree_of(committed, *[('100644', name, blob_of(committed, name)) for name in (b'A', b'a')])
    assert git.export(str(committed.path), commit, str(empty(tmp_path))) == ('A', 'a')
    real = git.ops.open_new

    def forgetful(path: str, mode: int = 0o600, dir_fd: int | None = None) -> int:
        return real(path.lower(), mode, dir_fd)

    monkeypatch.setattr(git.ops, 'open_new', forgetful)  # as a file system that takes both for one name
    (tmp_path / 'second').mkdir()
    with pytest.raises(UserError, match='perhaps in another case'):
        git.export(str(committed.path), commit, str(tmp_path / 'second'))


def test_a_large_blob_is_streamed(committed: Project, tmp_path: Path) -> None:
    size = 64 << 20
    committed.write('large', os.urandom(1 << 20) * (size >> 20))
    commit = committed.commit('large')
    script = ('import resource, sys\nfrom mlops_cli import git\nbefore = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n'
              'git.export(sys.argv[1], sys.argv[2], sys.argv[3])\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)')
    import sys
    done = subprocess.run([sys.executable, '-c', script, str(committed.path), commit, str(empty(tmp_path))], capture_output=True, check=True)
    assert int(done.stdout) < 24 << 10, f'{int(done.stdout) >> 10} MiB more memory for a file of 64 MiB'
    assert (tmp_path / 'target/large').read_bytes() == (committed.path / 'large').read_bytes()
    assert resource.RLIMIT_AS is not None


def test_a_missing_commit_or_object_is_told(committed: Project, tmp_path: Path) -> None:
    folder = str(committed.path)
    with pytest.raises(UserError, match='no revision'):
        git.export(folder, '0123456789' * 4, str(empty(tmp_path)))
    blob = committed.git('rev-parse', 'HEAD:a.txt').strip()
    path = committed.path / '.git/objects' / blob[:2] / blob[2:]
    path.chmod(0o600)
    path.unlink()
    with pytest.raises(UserError, match='not in this clone') as raised:
        git.export(folder, 'HEAD', str(tmp_path / 'target'))
    assert (raised.value.exit_code, 'a.txt' in raised.value.message) == (ExitCode.UNREACHABLE, True)
    tree = committed.git('rev-parse', 'HEAD:sub').strip()
    path = committed.path / '.git/objects' / tree[:2] / tree[2:]
    path.chmod(0o600)
    path.unlink()
    with pytest.raises(UserError, match='cannot read all of commit'):
        git.export(folder, 'HEAD', str(tmp_path / 'target'))


def test_what_stands_in_the_target_is_not_overwritten(committed: Project, tmp_path: Path) -> None:
    folder = empty(tmp_path)
    (folder / 'a.txt').write_text('mine')
    with pytest.raises(UserError, match='is there already'):
        git.export(str(committed.path), 'HEAD', str(folder))
    assert (folder / 'a.txt').read_text() == 'mine'


def test_replaced_objects_and_grafts_do_not_count(committed: Project, tmp_path: Path) -> None:
    other = blob_of(committed, b'replaced\n')
    committed.git('replace', committed.git('rev-parse', 'HEAD:a.txt').strip(), other)
    git.export(str(committed.path), 'HEAD', str(empty(tmp_path)))
    assert (tmp_path / 'target/a.txt').read_text() == 'changed\n'


def test_a_repository_with_sha256(tmp_path: Path) -> None:
    project = Project(tmp_path / 'project')
    project.git('init', '-q', '-b', 'main', '--object-format=sha256')
    project.write('a.txt', 'one')
    commit = project.commit('first')
    assert len(commit) == 64
    assert git.export(str(project.path), commit, str(empty(tmp_path))) == ('a.txt',)


def test_no_process_is_left(committed: Project, tmp_path: Path) -> None:
    blob = blob_of(committed)
    commit = tree_of(committed, *[('100644', b'%d' % number, blob) for number in range(10, 50)], ('100644', b'99', 'e' * 40))
    with pytest.raises(UserError, match='not in this clone'):
        git.export(str(committed.path), commit, str(empty(tmp_path)))
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
