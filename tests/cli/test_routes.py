"""Outputs that stay here, and outputs that have a remote of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.pipeline.spec import Pipeline
from mlops_cli.run.routes import Routes
from mlops_cli.store.bucket import FolderBucket
from mlops_cli.store.depot import Depot
from tests.cli.test_remotes import clone
from tests.support.project import Project

PIPELINE = """\
stages:
  plain: {cmd: echo plain > plain.txt, outs: [plain.txt]}
  secret: {cmd: echo secret > secret.txt, outs: [{secret.txt: {push: false}}]}
  large: {cmd: echo large > large.txt, outs: [{large.txt: {remote: archive}}]}
  last: {cmd: cat plain.txt secret.txt large.txt > last.txt, deps: [plain.txt, secret.txt, large.txt], outs: [last.txt]}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / 'one')
    made.init_git()
    made.write('pipeline.yaml', PIPELINE)
    made.mlops('run')
    made.mlops('remote', 'add', 'origin', str(tmp_path / 'origin'))
    made.mlops('remote', 'add', 'archive', str(tmp_path / 'archive'))
    return made


def holds(folder: Path, data: bytes) -> bool:
    return bool(Depot(FolderBucket(str(folder))).has([digest_of(data)]))


def test_each_output_goes_where_it_belongs_and_comes_from_there(project: Project, tmp_path: Path) -> None:
    sent = project.mlops('push', '--json').json
    assert sent['left_out'] == [{'path': 'secret.txt', 'why': 'push: false keeps it here'}]
    assert holds(tmp_path / 'origin', b'plain\n') and holds(tmp_path / 'archive', b'large\n')
    assert not holds(tmp_path / 'archive', b'plain\n')
    assert not any(holds(tmp_path / name, b'secret\n') for name in ('origin', 'archive'))
    assert 'left out  secret.txt: push: false keeps it here' in project.mlops('push').out
    two = clone(project, tmp_path / 'two')
    pulled = two.mlops('--yes', 'pull', '--json').json
    assert sorted(pulled['checkout']['placed']) == ['large.txt', 'last.txt', 'plain.txt'] and pulled['missing'] == []
    assert [row['path'] for row in pulled['left_out']] == ['secret.txt']
    two.mlops('run')
    assert two.mlops('status', '--exit-code').code == 0


def test_a_remote_that_is_named_gets_what_belongs_there(project: Project, tmp_path: Path) -> None:
    sent = project.mlops('push', '--remote', 'origin', '--json').json
    assert {row['path'] for row in sent['left_out']} == {'secret.txt', 'large.txt'}
    assert not (tmp_path / 'archive').exists()


def test_nothing_is_sent_without_the_pipeline_that_says_what_stays(project: Project, tmp_path: Path) -> None:
    project.write('pipeline.yaml', 'stages: [')
    project.mlops('push', code=2)
    assert not (tmp_path / 'origin').exists()


def test_a_remote_that_there_is_not(project: Project) -> None:
    bench = project.open()
    with pytest.raises(UserError, match=r"large.txt: there is no remote 'archive'"):
        routes_of(bench.pipeline).split([('large.txt', ObjectRef(digest_of(b''), 0, 'file'))])
    bench.close()


def routes_of(pipeline: Pipeline) -> Routes:
    return Routes(pipeline, ['origin', 'archives'], 'origin')


def test_status_says_what_was_not_pushed_and_asks_no_network(project: Project, tmp_path: Path) -> None:
    project.mlops('add', 'pipeline.yaml')
    first = project.mlops('status')
    assert 'Not pushed' in first.out and '4 results, pipeline.yaml, to origin' in ' '.join(first.out.split())
    assert 'secret.txt (push: false)' in ' '.join(first.out.split())
    assert project.mlops('status').out == first.out and not (tmp_path / 'origin').exists()
    project.mlops('push')
    assert 'Not pushed' not in project.mlops('status').out
    project.write('more.txt', 'more')
    project.mlops('add', 'more.txt')
    found = project.mlops('status', '--json').json['not_pushed']
    assert (found['remote'], found['results'], found['data']) == ('origin', 0, ['more.txt'])


def test_a_fresh_clone_is_told_to_pull_and_then_owes_nothing(project: Project, tmp_path: Path) -> None:
    project.write('notes.txt', 'notes')
    project.mlops('add', 'notes.txt')
    project.mlops('push')
    two = clone(project, tmp_path / 'two')
    said = two.mlops('status').out
    assert 'mlops pull' in said and 'Not pushed' not in said
    two.mlops('--yes', 'pull')
    assert 'Not pushed' not in two.mlops('status').out


@pytest.mark.parametrize('bring', [('pull',), ('fetch',), ('run', '--pull')])
def test_who_brings_results_to_a_clone_owes_none(project: Project, tmp_path: Path, bring: tuple[str, ...]) -> None:
    project.mlops('push')
    two = clone(project, tmp_path / 'two')
    two.mlops('--yes', *bring)
    assert 'Not pushed' not in two.mlops('status').out


def test_a_clone_owes_nothing_of_which_it_lacks_the_outputs(project: Project, tmp_path: Path) -> None:
    project.mlops('push')
    two = clone(project, tmp_path / 'two')
    two.write('more.txt', 'more')
    two.mlops('add', 'more.txt')
    found = two.mlops('status', '--json').json['not_pushed']
    assert (found['results'], found['data']) == (0, ['more.txt'])


def test_what_was_made_here_is_not_taken_for_sent_by_a_pull(project: Project) -> None:
    project.mlops('push')
    project.write('pipeline.yaml', PIPELINE.replace('echo large', 'echo larger'))
    project.mlops('run', '-q')
    assert project.mlops('status', '--json').json['not_pushed']['results'] == 2
    project.mlops('pull')
    assert project.mlops('status', '--json').json['not_pushed']['results'] == 2, 'nothing travelled'
    project.mlops('push')
    assert project.mlops('status', '--json').json['not_pushed']['results'] == 0


def test_a_clone_is_told_what_a_pull_may_spare_it(project: Project, tmp_path: Path) -> None:
    project.mlops('push')
    two = clone(project, tmp_path / 'two')
    words = 'outputs of plain, large, last are recorded, but not here; the remote origin may have them'
    away = {'remote': 'origin', 'stages': ['plain', 'large', 'last']}
    for asked in ('status', 'plan', 'run --dry-run'):
        assert two.mlops(*asked.split(), '--json').json['not_pulled'] == away
    status = ' '.join(two.mlops('status').out.split())
    assert 'Not pulled outputs of plain, large, last; the remote origin may have them (mlops pull)' in status
    assert f'{words[:1].upper()}{words[1:]} (mlops pull).' in ' '.join(two.mlops('plan').out.split())
    assert f'mlops pull {words}' in ' '.join(two.mlops().out.split())
    said = two.mlops('run', '--only', 'plain').err
    assert 'note: outputs of plain are recorded' in said and 'mlops run --pull' in said
    said = two.mlops('--yes', 'run', '--pull').err
    assert 'may have' not in said, 'it was asked'
    assert 'may have' not in two.mlops('status').out and two.mlops('status', '--json').json['not_pulled'] is None


def test_without_a_remote_there_is_nothing_to_pull_from(project: Project, tmp_path: Path) -> None:
    project.mlops('remote', 'remove', 'origin')
    two = clone(project, tmp_path / 'two')
    two.write('pipeline.yaml', PIPELINE.replace(', outs: [{large.txt: {remote: archive}}]', ', outs: [large.txt]'))
    two.mlops('remote', 'remove', 'archive')
    assert 'may have' not in two.mlops('status').out + two.mlops('plan').out + two.mlops('run', '--only', 'plain').err
