"""Losses from DVC's list of issues (the numbers in the names), while content comes into the workspace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.project import Project

PIPELINE = """\
stages:
  s:
    cmd: cat in.txt > out.txt; echo ${k} >> out.txt
    deps: [in.txt, data]
    outs: [out.txt]
    params: [k]
"""


@pytest.fixture
def made(project: Project) -> Project:
    """Data tracked, a stage run, all committed."""
    project.write('pipeline.yaml', PIPELINE)
    project.write('params.yaml', 'k: 1  # as always\n')
    project.write('in.txt', 'in\n')
    project.write('data/1', 'one\n')
    project.write('data/2', 'two\n')
    project.mlops('add', 'data')
    project.mlops('run')
    project.commit('made')
    return project


def kept(project: Project) -> list[str]:
    return sorted(path.read_text() for path in (project.path / '.mlops/local/rescue').rglob('*') if path.is_file())


def test_dvc_1258_1326_2497_2802_2803_4413_checkout_over_what_is_saved_nowhere(made: Project) -> None:
    """Edited and untracked files were overwritten or removed by a checkout, or it asked in the middle of a script and took
    the end of its input for a yes.

    Here it ends with 5, asks nothing, and changes nothing; --force keeps what was there."""
    made.write('out.txt', 'edited')
    made.mlops('checkout', 'out.txt', code=5)
    made.write('data/1', 'mine')
    made.write('data/new', 'new')
    for words in (['checkout'], ['checkout', 'data'], ['checkout', '--clean']):
        for stdin in (b'', b'y\n' * 9):
            done = subprocess.run(
                [sys.executable, '-m', 'mlops_cli', *words], cwd=made.path, env=made.environ, input=stdin, capture_output=True
            )
            assert done.returncode == 5 and b'not saved anywhere' in done.stderr, done
            assert [made.read(name) for name in ('data/1', 'data/new', 'out.txt')] == ['mine', 'new', 'edited']
    made.mlops('checkout', 'data', '--force')
    assert [made.read(name) for name in ('data/1', 'data/new', 'out.txt')] == ['one\n', 'new', 'edited']
    (made.path / 'data/new').unlink()
    made.mlops('checkout', '--force')
    assert made.read('out.txt') == 'in\n1\n' and {'edited', 'mine'} <= {*kept(made)}


def test_dvc_1258_a_branch_without_the_data_takes_none_of_it_away(made: Project) -> None:
    """On a branch that did not know the data yet, a checkout removed them, with what was edited in them."""
    made.git('checkout', '-q', '--orphan', 'before')
    made.git('rm', '-r', '-q', '--cached', '.mlops')
    for path in (made.path / '.mlops/data').rglob('*.json'):
        path.unlink()
    made.write('data/1', 'mine')
    made.mlops('checkout', code=None)
    assert (made.read('data/1'), made.read('data/2')) == ('mine', 'two\n')


def test_dvc_10655_interrupted_while_trying_out(made: Project) -> None:
    """Before an experiment, edits were put away with git stash; after Ctrl-C they were in no file any more.

    Here a trial runs in a folder of its own: neither the work tree nor anything of git's is touched."""
    made.write(
        'pipeline.yaml',
        PIPELINE.replace('cat in.txt', 'touch ../begun; sleep 60; cat in.txt').replace('../', f'{made.path.parent}/'),
    )
    made.write('in.txt', 'edited, not committed')
    made.write('notes', 'untracked')
    git = made.git('status', '--porcelain'), made.git('stash', 'list'), made.git('for-each-ref')
    process = subprocess.Popen(
        [sys.executable, '-m', 'mlops_cli', 'run', '--set', 'k=5'], cwd=made.path, env=made.environ, stdout=-1, stderr=-2
    )
    end = time.monotonic() + 60
    while not (made.path.parent / 'begun').exists():
        assert time.monotonic() < end, 'it never began'
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert made.read('in.txt') == 'edited, not committed' and made.read('notes') == 'untracked'
    assert made.read('params.yaml') == 'k: 1  # as always\n' and made.read('out.txt') == 'in\n1\n'
    now = made.git('status', '--porcelain'), made.git('stash', 'list'), made.git('for-each-ref')
    assert [line for line in now[0].splitlines() if '.mlops/runs' not in line] == git[0].splitlines() and now[1:] == git[1:]


def test_dvc_7955_8764_taking_a_trial_over_keeps_what_is_edited(made: Project) -> None:
    """Applying an experiment overwrote files that were edited and not committed.

    Here it writes the parameters it is about, in place, and keeps an edited output; nothing else changes."""
    trial = made.mlops('run', '--set', 'k=7', '--json').json['run']
    made.write('params.yaml', 'k: 1  # as always\nmine: 3  # not committed\n')
    made.write('data/1', 'one\n')
    made.write('out.txt', 'edited')
    made.write('loose.txt', 'untracked')
    made.mlops('runs', 'apply', trial)
    assert made.read('params.yaml') == 'k: 7  # as always\nmine: 3  # not committed\n'
    assert made.read('out.txt') == 'in\n7\n' and kept(made) == ['edited'] and made.read('loose.txt') == 'untracked'


@pytest.mark.parametrize('links', ['hardlink', 'symlink'])
def test_dvc_278_881_1599_a_stage_that_writes_where_a_link_was(made: Project, links: str) -> None:
    """A stage, or an editor, opened an output that was a link into the cache and wrote: the content of another result was
    destroyed, and later served as if nothing were wrong.

    Here outputs are out of the way before a stage starts, so it makes new files; and what was damaged by hand is noticed."""
    environ = {'MLOPS_CACHE_LINKS': links}
    made.write('pipeline.yaml', PIPELINE.replace('> out.txt; echo ${k}', '>> out.txt; echo ${k}'))
    made.mlops('run', environ=environ)
    os.unlink(made.path / 'out.txt')
    made.mlops('checkout', 'out.txt', environ=environ)
    facts = os.lstat(made.path / 'out.txt')
    assert facts.st_nlink > 1 or os.path.islink(made.path / 'out.txt')
    made.write('params.yaml', 'k: 2\n')
    made.mlops('run', environ=environ)
    assert made.read('out.txt') == 'in\n2\n' and made.mlops('verify').code == 0
    made.write('params.yaml', 'k: 1\n')
    made.mlops('checkout', environ=environ)
    assert made.read('out.txt') == 'in\n1\n'
    with open(made.path / 'out.txt', 'r+') as file:  # root may, in spite of its mode
        file.write('XX')
    os.unlink(made.path / 'out.txt')
    made.mlops('run', environ=environ)
    assert made.read('out.txt') == 'in\n1\n'


def test_dvc_11101_a_linked_parent_leads_nowhere(made: Project, tmp_path: Path) -> None:
    """A branch brought a folder as a symbolic link, and data below it: what was pulled was written through the link, outside
    of the clone, or as a hook into .git, where the next commit ran it.

    Here no component of a path that is written is a link, whoever made it."""
    outside = tmp_path / 'outside'
    outside.mkdir()
    made.write('deep/er/file', 'content')
    made.mlops('add', 'deep/er')
    for target in (str(outside), '.git/hooks', '../outside'):
        subprocess.run(['rm', '-rf', 'deep'], cwd=made.path, check=True)
        (made.path / 'deep').symlink_to(target)
        hooks = sorted(os.listdir(made.path / '.git/hooks'))
        for words in (['checkout'], ['checkout', '--force'], ['checkout', 'deep/er', '--force'], ['run']):
            assert made.mlops(*words, code=None).code in (0, 1, 5)
        assert not os.listdir(outside) and sorted(os.listdir(made.path / '.git/hooks')) == hooks
        (made.path / 'deep').unlink()
    made.mlops('checkout', 'deep/er')
    assert made.read('deep/er/file') == 'content'
