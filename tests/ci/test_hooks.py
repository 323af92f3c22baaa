"""Hooks of git: real commits, checkouts and pushes, and what is there before and afterwards."""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bench import work
from mlops_cli.ci.hooks import HOOKS, script
from tests.support.project import Project, Result

PIPELINE = """\
version: 1
stages:
  train:
    cmd: cat data.txt params.yaml > model.txt
    deps: [data.txt]
    params: [rate]
    outs: [model.txt]
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = Project(tmp_path / 'a project')
    found.write('pipeline.yaml', PIPELINE)
    found.write('params.yaml', 'rate: 1\n')
    found.write('data.txt', 'data\n')
    found.init_git()
    found.git('config', 'user.name', 'Ada')
    found.mlops('add', 'data.txt')
    found.mlops('run', '-q')
    found.commit('start')
    return found


def git(project: Project, *arguments: str) -> Result:
    """Whatever it ends with."""
    done = subprocess.run(
        ['git', *arguments], cwd=project.path, env=project.environ, capture_output=True, check=False, timeout=60
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


def hooks_of(project: Project, folder: str = '.git/hooks') -> dict[str, tuple[int, bytes]]:
    found = {}
    for path in sorted((project.path / folder).iterdir()):
        found[path.name] = (os.lstat(path).st_mode, os.readlink(path).encode() if path.is_symlink() else path.read_bytes())
    return found


def test_a_commit_with_nothing_wrong_says_nothing(project: Project) -> None:
    project.mlops('hooks', 'install')
    project.write('README', 'hello\n')
    git(project, 'add', 'README')
    done = git(project, 'commit', '-qm', 'more')
    assert (done.code, done.out, done.err) == (0, '', '')


def test_a_pipeline_that_cannot_be_read_is_not_committed(project: Project) -> None:
    project.mlops('hooks', 'install')
    project.write('pipeline.yaml', 'version: 1\nstages:\n  train:\n    cmdd: x\n')
    done = git(project, 'commit', '-qam', 'broken')
    assert done.code == 1 and 'pipeline.yaml:4' in done.err
    assert git(project, 'commit', '-qam', 'broken', '--no-verify').code == 0


def test_a_large_file_is_not_committed(project: Project) -> None:
    project.mlops('hooks', 'install')
    name = "it's; touch pwned.csv"
    project.write(name, b'0' * 10_000_001)
    git(project, 'add', '-A')
    done = git(project, 'commit', '-qm', 'large')
    assert done.code == 1 and "it's; touch pwned.csv, 10 MB, is about to enter git" in done.err and '--no-verify' in done.err
    assert f'git rm --cached -- {shlex.quote(name)} && mlops add {shlex.quote(name)}\n' in done.err
    assert not project.exists('pwned.csv')


def test_a_large_file_that_a_stage_gives_to_git_is(project: Project) -> None:
    project.mlops('hooks', 'install')
    project.write('pipeline.yaml', PIPELINE.replace('[model.txt]', '[{model.txt: {cache: false}}]'))
    project.write('.gitignore', '')
    project.write('model.txt', b'0' * 10_000_001)
    git(project, 'add', '-A')
    assert git(project, 'commit', '-qm', 'large').code == 0


def test_records_that_are_not_in_the_commit_are_told(project: Project) -> None:
    project.mlops('hooks', 'install')
    project.write('params.yaml', 'rate: 2\n')
    stale = git(project, 'commit', '-qam', 'before it ran')
    assert stale.code == 0 and '1 stage out of date with what is here: train' in stale.err, 'which is only said'
    project.mlops('run', '-q')
    project.write('README', 'more\n')
    git(project, 'add', 'README')
    done = git(project, 'commit', '-qm', 'without the pin')
    assert done.code == 1 and '1 record of results and data (train) would not be in this commit' in done.err
    git(project, 'add', '.mlops')
    assert git(project, 'commit', '-qm', 'with it').code == 0


def test_what_is_named_works_from_the_top_of_the_repository(tmp_path: Path) -> None:
    top = Project(tmp_path / 'top')
    top.init_git()
    top.write("the team/pipeline.yaml", PIPELINE)
    top.write('the team/params.yaml', 'rate: 1\n')
    top.write('the team/data.txt', 'x\n')
    top.mlops('run', '-q', cwd='the team')
    top.commit('start')
    top.mlops('hooks', 'install', cwd='the team')
    top.write('the team/params.yaml', 'rate: 2\n')
    top.mlops('run', '-q', cwd='the team')
    top.git('add', 'the team/params.yaml')
    done = git(top, 'commit', '-qm', 'without the pin')
    command = f"git -C {shlex.quote(str(top.path / 'the team'))} add .mlops"
    assert done.code == 1 and f'{command}\n' in done.err
    subprocess.run(['sh', '-c', command], cwd=top.path, env=top.environ, check=True)
    assert git(top, 'commit', '-qm', 'with it').code == 0


def test_a_commit_of_one_file_is_seen_as_it_is(project: Project) -> None:
    """Git gives such a commit an index of its own."""
    project.mlops('hooks', 'install')
    project.write('large.bin', b'0' * 10_000_001)
    project.write('small.txt', 'small\n')
    git(project, 'add', '-A')
    assert git(project, 'commit', '-qm', 'one', 'small.txt').code == 0
    assert git(project, 'commit', '-qm', 'other').code == 1


def test_what_another_commit_brought_is_told(project: Project) -> None:
    project.mlops('hooks', 'install')
    git(project, 'checkout', '-q', '-b', 'other')
    project.write('data.txt', 'other\n')
    project.mlops('add', 'data.txt')
    project.mlops('run', '-q')
    project.commit('other data')
    done = git(project, 'checkout', '-q', 'main')
    assert done.code == 0 and 'this commit has other tracked data (data.txt) and other results of train' in done.err
    assert 'mlops checkout' in done.err
    assert 'other tracked data' in git(project, 'merge', '-q', 'other').err, 'after a merge, too'
    assert git(project, 'checkout', '-q', '--', 'params.yaml').err == '', 'files are no other commit'


def test_what_was_not_sent_is_not_pushed(project: Project, tmp_path: Path) -> None:
    project.mlops('remote', 'add', 'origin', str(tmp_path / 'store'))
    project.commit('remote')
    project.mlops('hooks', 'install')
    subprocess.run(['git', 'init', '-q', '--bare', str(tmp_path / 'bare.git')], check=True)
    git(project, 'remote', 'add', 'origin', str(tmp_path / 'bare.git'))
    done = git(project, 'push', '-q', 'origin', 'main')
    assert done.code == 1 and 'data.txt, train: what these commits record was not sent to origin yet' in done.err
    project.mlops('push', '-q')
    assert git(project, 'push', '-q', 'origin', 'main').code == 0
    project.write('README', 'x\n')
    project.commit('more')
    assert git(project, 'push', '-q', 'origin', 'main').err == ''
    git(project, 'push', '-q', 'origin', 'main:side')
    assert git(project, 'push', '-q', 'origin', ':side').err == '', 'a ref that is deleted has no commits'
    project.git('switch', '-q', '-c', 'feat')
    project.write('data.txt', 'of a branch\n')
    project.mlops('add', 'data.txt')
    project.mlops('run', '-q')
    project.commit('more results')
    project.git('switch', '-q', 'main')
    done = git(project, 'push', '-q', 'origin', 'feat')
    assert done.code == 1 and 'data.txt, train: what' in done.err, 'whatever is checked out'
    assert done.err.count('--no-verify') == 1


def test_models_are_looked_after_too(project: Project, tmp_path: Path) -> None:
    text = (project.path / 'pipeline.yaml').read_text()
    project.write('pipeline.yaml', text.replace('  train:\n', '  train:\n    model: {name: digits, path: model.txt}\n', 1))
    project.mlops('run', '-q')
    project.mlops('remote', 'add', 'origin', str(tmp_path / 'store'))
    project.commit('remote')
    project.mlops('push', '-q')
    project.mlops('hooks', 'install')
    subprocess.run(['git', 'init', '-q', '--bare', str(tmp_path / 'bare.git')], check=True)
    git(project, 'remote', 'add', 'origin', str(tmp_path / 'bare.git'))
    assert git(project, 'push', '-q', 'origin', 'main').code == 0
    project.mlops('models', 'register')
    project.write('README', 'x\n')
    project.git('add', 'README')
    done = git(project, 'commit', '-q', '-m', 'without it')
    assert done.code == 1 and 'models (model digits' in done.err
    project.commit('with it')
    assert git(project, 'push', '-q', 'origin', 'main').code == 0, 'its result is there'
    for path in (project.path / '.mlops/local/remotes').rglob('sent-v1'):
        path.write_text('mlops sent-v1\n')
    project.write('README', 'y\n')
    project.git('update-ref', '-d', 'refs/remotes/origin/main')
    done = git(project, 'push', '-q', 'origin', 'main:again')
    assert done.code == 1 and 'model digits' in done.err


def test_hooks_that_were_there_are_called_first_and_come_back_as_they_were(project: Project) -> None:
    seen = project.path / '.git/seen'
    project.write('.git/hooks/pre-commit', f'#!/bin/sh\necho "first $# $0" >> {str(seen)!r}\n').chmod(0o750)
    project.write('.git/hooks/post-merge', 'not executable\n').chmod(0o644)
    project.write('.git/kept', f'#!/bin/sh\ncat >> {str(seen)!r}; exit 3\n').chmod(0o755)
    os.symlink('../kept', project.path / '.git/hooks/pre-push')
    before = hooks_of(project)
    project.mlops('hooks', 'install')
    again = project.mlops('hooks', 'install', '--json').json
    assert {one['state'] for one in again['hooks']} == {'kept'}
    project.write('README', 'x\n')
    git(project, 'add', '-A')
    assert git(project, 'commit', '-qm', 'x').code == 0
    assert seen.read_text().startswith('first 0 ')
    git(project, 'remote', 'add', 'origin', str(project.path))
    assert git(project, 'push', 'origin', 'main:elsewhere').code == 1, 'what it refuses is refused'
    assert 'refs/heads/elsewhere' in seen.read_text(), 'it is told what git says'
    project.mlops('hooks', 'uninstall')
    assert hooks_of(project) == before


def test_a_hook_of_ones_own_that_refuses_ends_it(project: Project) -> None:
    project.write('.git/hooks/pre-commit', '#!/bin/sh\necho no >&2\nexit 7\n').chmod(0o755)
    project.mlops('hooks', 'install')
    done = git(project, 'commit', '-qm', 'x', '--allow-empty')
    assert done.code == 1 and done.err == 'no\n'


def test_the_folder_that_settings_name_is_used(project: Project) -> None:
    git(project, 'config', 'core.hooksPath', 'my hooks')
    project.mlops('hooks', 'install')
    assert {*HOOKS} <= {*hooks_of(project, 'my hooks')} and not {*HOOKS} & {*hooks_of(project)}
    project.mlops('hooks', 'uninstall')
    assert not project.exists('my hooks'), 'it was not there before'


def test_hooks_of_all_repositories_are_left_alone(project: Project, tmp_path: Path) -> None:
    config = tmp_path / 'gitconfig'
    config.write_text(f'[core]\n\thooksPath = {tmp_path}/everywhere\n')
    done = project.mlops('hooks', 'install', code=5, environ={'GIT_CONFIG_GLOBAL': str(config)})
    assert 'not of this repository alone' in done.err and not (tmp_path / 'everywhere').exists()


def test_worktrees_have_the_same_hooks(project: Project, tmp_path: Path) -> None:
    git(project, 'worktree', 'add', '-q', '-b', 'side', str(tmp_path / 'side'))
    side = Project(tmp_path / 'side', {'HOME': project.environ['HOME']})
    side.mlops('hooks', 'install')
    assert {*HOOKS} <= {*hooks_of(project)}
    side.write('pipeline.yaml', 'version: [\n')
    assert git(side, 'commit', '-qam', 'broken').code == 1
    assert git(project, 'commit', '-qm', 'fine', '--allow-empty').code == 0


def test_two_projects_of_one_repository(project: Project) -> None:
    project.write("in it's/pipeline.yaml", 'version: 1\nstages:\n  a: {cmd: "true"}\n')
    project.commit('two')
    project.mlops('hooks', 'install')
    project.mlops('hooks', 'install', cwd="in it's")
    project.write("in it's/pipeline.yaml", 'version: [\n')
    assert git(project, 'commit', '-qam', 'broken').code == 1
    project.mlops('hooks', 'uninstall', cwd="in it's")
    assert git(project, 'commit', '-qam', 'broken').code == 0
    project.mlops('hooks', 'uninstall')
    assert not {*HOOKS} & {*hooks_of(project)}


def test_the_pre_commit_framework_on_top(project: Project) -> None:
    """It renames what it finds, and calls that; what it wrote before is not called by ours once more."""
    begin = '#!/bin/sh\n# File generated by pre-commit: https://pre-commit.com\n[ -z "$PRE_COMMIT_RUNNING_LEGACY" ] || exit 9\n'
    call = 'PRE_COMMIT_RUNNING_LEGACY=1 "$here/pre-commit.legacy" || exit $?'
    framework = f'{begin}here=${{0%/*}}\n[ ! -x "$here/pre-commit.legacy" ] || {call}\n'
    hook = project.write('.git/hooks/pre-commit', framework)
    hook.chmod(0o755)
    before = hooks_of(project)
    project.mlops('hooks', 'install')
    hook.rename(hook.with_suffix('.legacy'))
    project.write('.git/hooks/pre-commit', framework).chmod(0o755)
    assert git(project, 'commit', '-qm', 'x', '--allow-empty').code == 0
    project.write('pipeline.yaml', 'version: [\n')
    assert git(project, 'commit', '-qam', 'x').code == 1, 'ours still looks'
    project.mlops('hooks', 'uninstall')
    assert hooks_of(project) == before | {'pre-commit.legacy': before['pre-commit']}, 'as if installed over its own'


def test_somebody_elses_hook_in_our_place_is_left(project: Project) -> None:
    project.write('.git/hooks/pre-commit', '#!/bin/sh\nexit 0\n').chmod(0o755)
    project.mlops('hooks', 'install')
    project.write('.git/hooks/pre-commit', '#!/bin/sh\necho theirs\n').chmod(0o755)
    refused = project.mlops('hooks', 'install', code=5)
    assert 'pre-commit.before-mlops' in refused.err
    project.mlops('hooks', 'uninstall')
    assert project.read('.git/hooks/pre-commit') == '#!/bin/sh\necho theirs\n'


def test_names_of_projects_are_quoted() -> None:
    text = script('pre-commit', ["a'b $(touch x)"], '/opt/my mlops', False).decode()
    done = subprocess.run(['sh', '-n'], input=text, text=True, capture_output=True, check=False)
    assert done.returncode == 0 and "'a'\"'\"'b $(touch x)'" in text


@pytest.mark.parametrize('words', [['pre-commmit'], ['$(touch x)'], []], ids=range(3))
def test_a_wrong_hook(project: Project, words: list[str]) -> None:
    assert project.mlops('hooks', 'run', *words, code=2).err


def test_the_pre_commit_framework_finds_all_hooks() -> None:
    listed = yaml.safe_load((Path(__file__).parents[2] / '.pre-commit-hooks.yaml').read_text())
    assert {one['entry'] for one in listed} == {f'mlops hooks run {name}' for name in HOOKS}
    assert all(one['stages'] == [one['entry'].split()[-1]] and not one['pass_filenames'] for one in listed)


def cost(project: Project, *arguments: str, feed: bytes = b'') -> float:
    """Processor seconds of it and of what it starts: a busy machine makes it wait, which is not its doing.
    The least of three."""
    found = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=project.path, env=project.environ, input=feed, capture_output=True, check=True)
        assert done.stderr == b'', done.stderr
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


@pytest.mark.full  # the thousand stages have to run once
def test_hooks_with_nothing_to_say_are_quick_among_a_thousand_stages(tmp_path: Path) -> None:
    """0.2 s on a machine that does nothing else; on a slower one, so many times what an interpreter takes to start."""
    project = Project(tmp_path / 'thousand')
    work.pipeline('mlops', 1000, project.path)
    project.init_git()
    project.mlops('run', '-q', '-j', '2')
    first = project.commit('ran')
    project.write('README', 'more\n')
    second = project.commit('more')
    project.write('README', 'staged\n')
    project.git('add', 'README')
    unit = cost(project, '-c', 'import json, subprocess, sqlite3')
    budget = max(0.2, 8 * unit)
    program = ['-m', 'mlops_cli', 'hooks', 'run']
    cost(project, *program, 'pre-commit')  # what it remembers of the first time
    refs = f'a {second} b {"0" * 40}\n'.encode()
    took = {
        'pre-commit': cost(project, *program, 'pre-commit'),
        'post-checkout': cost(project, *program, 'post-checkout', first, second, '1'),
        'pre-push': cost(project, *program, 'pre-push', 'origin', 'x', feed=refs),
    }
    assert all(seconds < budget for seconds in took.values()), (took, unit)
    print({name: round(seconds, 3) for name, seconds in took.items()}, round(unit, 3))


@pytest.mark.parametrize('line', ["# project: '", '# project: ', '# project: a\x0bb', "mlops='", 'mlops=', '# project: \x85'])
def test_a_hook_that_is_not_as_we_write_it(project: Project, line: str) -> None:
    """Where hooks are tracked, a branch brings them."""
    project.git('config', 'core.hooksPath', 'hooks')
    ours = script('pre-commit', ['sub', 'a\x0bb'], '/usr/bin/mlops', False).decode()
    before = '\n'.join([*ours.split('\n')[:3], line, *(one for one in ours.split('\n')[3:] if not one.startswith('mlops='))])
    project.write('hooks/pre-commit', before)
    project.mlops('hooks', 'install')
    project.mlops('hooks', 'install')
    project.mlops('hooks', 'uninstall')
    project.write('hooks/pre-commit', before)
    project.mlops('hooks', 'uninstall')


def test_a_project_whose_name_breaks_lines_for_python(tmp_path: Path) -> None:
    top = Project(tmp_path / 'top')
    top.init_git()
    inner = Project(top.path / 'a\x0b\x85\u2028b')
    inner.write('pipeline.yaml', PIPELINE)
    top.write('pipeline.yaml', PIPELINE)
    inner.mlops('hooks', 'install')
    top.mlops('hooks', 'install')
    inner.mlops('hooks', 'install')
    inner.mlops('hooks', 'uninstall')
    assert b'# project: .' in (top.path / '.git/hooks/pre-commit').read_bytes()
    top.mlops('hooks', 'uninstall')
    assert not (top.path / '.git/hooks/pre-commit').exists()


@pytest.mark.parametrize('how', ['a link', 'a setting', 'a link in a setting'])
def test_hooks_outside_of_the_repository_are_left_alone(project: Project, tmp_path: Path, how: str) -> None:
    outside = tmp_path / 'outside'
    outside.mkdir()
    if how == 'a setting':
        project.git('config', 'core.hooksPath', str(outside))
    else:
        link = project.path / ('.git/hooks' if how == 'a link' else 'hooks')
        shutil.rmtree(link, ignore_errors=True)
        link.symlink_to(outside)
        if how != 'a link':
            project.git('config', 'core.hooksPath', 'hooks')
    (outside / 'pre-commit').write_bytes(script('pre-commit', [''], '/usr/bin/mlops', False))
    assert 'outside' in project.mlops('hooks', 'install', code=5).err
    project.mlops('hooks', 'uninstall')
    assert [one.name for one in outside.iterdir()] == ['pre-commit']
