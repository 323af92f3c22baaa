"""A result that one has pushed is not computed by another: by its pin, or by its key where ``cache.remote`` says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_remotes import clone, made
from tests.support.project import Project

CHECKED = """\
  check: {cmd: test -s model.bin && echo checked, deps: [model.bin]}
"""


def pushed(tmp_path: Path) -> Project:
    one = made(tmp_path / 'one')
    one.write('pipeline.yaml', (one.path / 'pipeline.yaml').read_text() + CHECKED)
    one.mlops('run')
    one.mlops('remote', 'add', 'origin', str(tmp_path / 'remote'))
    return one


def without_pins(one: Project, folder: Path) -> Project:
    """A clone in which nothing says what stages lead to."""
    two = clone(one, folder)
    for pin in (two.path / '.mlops/stages').glob('*.json'):
        pin.unlink()
    two.mlops('config', 'confirm', 'remotes.origin', '--yes')
    two.mlops('pull', 'raw')
    return two


def states(project: Project, *words: str) -> dict[str, str]:
    return {one['name']: one['state'] for one in project.mlops('run', *words, '--json').json['stages']}


def test_push_sends_results_and_pull_brings_them_with_their_logs(tmp_path: Path) -> None:
    one = pushed(tmp_path)
    one.environ['MLOPS_CACHE_TIER'] = 'trusted'
    sent = one.mlops('push', '--json').json
    assert (sent['results'], sent['tier']) == (3, 'trusted')
    assert one.mlops('push', '--json').json['results'] == 0
    two = clone(one, tmp_path / 'two')
    two.mlops('--yes', 'pull')
    assert 'checked' in two.mlops('logs', 'check').out
    assert 'Nothing to do' in two.mlops('run').out


def test_a_run_looks_results_up_only_where_it_was_told_to(tmp_path: Path) -> None:
    one = pushed(tmp_path)
    one.mlops('push')
    two = without_pins(one, tmp_path / 'two')
    assert {*states(two, 'train').values()} == {'done'}
    three = without_pins(one, tmp_path / 'three')
    three.environ['MLOPS_CACHE_REMOTE'] = 'origin'
    for words in (('status',), ('plan',), ('run', '--dry-run')):
        assert 'restore' not in three.mlops(*words).out.lower()
    assert states(three) == {'prepare': 'restored', 'train': 'restored', 'check': 'restored'}
    assert (three.path / 'model.bin').read_bytes() == (one.path / 'model.bin').read_bytes()
    assert 'checked' in three.mlops('logs', 'check').out


@pytest.mark.full
def test_the_result_of_somebody_else_is_not_believed_unless_it_is_trusted(tmp_path: Path) -> None:
    one = pushed(tmp_path)
    one.mlops('push')  # as user/...
    two = without_pins(one, tmp_path / 'two')
    two.environ['MLOPS_CACHE_REMOTE'] = 'origin'
    two.git('config', 'user.name', 'Somebody Else')
    assert {*states(two).values()} == {'done'}
    one.environ['MLOPS_CACHE_TIER'] = 'trusted'
    one.mlops('push')
    three = without_pins(one, tmp_path / 'three')
    three.environ['MLOPS_CACHE_REMOTE'] = 'origin'
    three.git('config', 'user.name', 'Somebody Else')
    assert {*states(three).values()} == {'restored'}


@pytest.mark.full
def test_pinned_outputs_that_are_not_here_come_from_the_remote(tmp_path: Path) -> None:
    one = pushed(tmp_path)
    one.mlops('push')
    two = clone(one, tmp_path / 'two')
    two.mlops('config', 'confirm', 'remotes.origin', '--yes')
    two.mlops('pull', 'raw')
    two.environ['MLOPS_CACHE_REMOTE'] = 'origin'
    assert states(two) == {'prepare': 'restored', 'train': 'restored', 'check': 'fresh'}


@pytest.mark.full
def test_a_remote_that_does_not_answer_stops_no_run(tmp_path: Path) -> None:
    one = pushed(tmp_path)
    two = without_pins_local(one, tmp_path)
    done = two.mlops('run', '--json')
    assert {row['state'] for row in done.json['stages']} == {'done'}
    assert done.err.count('not looked up in the remote any more') == 1


def without_pins_local(one: Project, tmp_path: Path) -> Project:
    """With its inputs, and a remote that is a file."""
    one.commit('all')
    for pin in (one.path / '.mlops/stages').glob('*.json'):
        pin.unlink()
    for name in ('table', 'model.bin', '.mlops/cache/results-v1'):
        (one.path / name).rename(tmp_path / name.replace('/', '-'))
    (tmp_path / 'remote').write_text('no folder')
    one.environ['MLOPS_CACHE_REMOTE'] = 'origin'
    return one


def test_a_fork_sends_no_results(tmp_path: Path) -> None:
    one = pushed(tmp_path)
    one.environ |= {'GITHUB_ACTIONS': 'true', 'GITHUB_EVENT_NAME': 'pull_request', 'GITHUB_EVENT_PATH': '/nowhere'}
    done = one.mlops('push')
    assert 'No results were sent: a pull request from a fork' in done.out
    assert not (tmp_path / 'remote/results-v1').exists()
