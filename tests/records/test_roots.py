"""Whatever git still knows of holds what it names; what cannot be known is refused."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.core.manifest import Entry, Manifest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.records import data, roots
from mlops_cli.records.accepted import Accepted
from mlops_cli.records.kept import Keep
from mlops_cli.records.models import Fact, Person, Version
from mlops_cli.records.pins import Pin
from mlops_cli.records.runs import Run, StageRun
from mlops_cli.store.results import outputs_digest
from tests.support.project import Project


def ref(text: str, kind: str = 'file') -> ObjectRef:
    return ObjectRef(digest_of(text.encode()), len(text), kind)  # type: ignore[arg-type]


def raw(one: ObjectRef) -> bytes:
    return bytes.fromhex(one.digest.hex)


def pin(text: str) -> Pin:
    return Pin(Manifest.of([Entry('data', 'in', digest_of(f'in {text}'.encode()))]), (('out', ref(text)),))


def write_pin(project: Project, text: str, at: str = '') -> str:
    made = pin(text)
    path = f'{at}.mlops/stages/{made.file_name("train")}'
    project.write(path, made.data)
    return path


def write_data(project: Project, path: str, one: ObjectRef) -> None:
    project.write(data.record_path(path), data.encode(path, one))


def files(project: Project, **options: object) -> set[bytes]:
    found = roots.look(str(project.path), **options)  # type: ignore[arg-type]
    return found.here.files | found.past.files


def held(project: Project, text: str, **options: object) -> bool:
    return raw(ref(text)) in files(project, **options)


@pytest.fixture
def repo(project: Project) -> Project:
    project.write('pipeline.yaml', 'stages: {}\n')
    project.write('.mlops/.gitignore', '/cache/\n/local/\n')
    project.commit('first')
    return project


def commit_pin(repo: Project, text: str) -> str:
    """In a commit; gone from the next."""
    path = write_pin(repo, text)
    commit = repo.commit(f'add {text}')
    (repo.path / path).unlink()
    return commit


def forget_reflogs(repo: Project) -> None:
    repo.git('reflog', 'expire', '--expire=now', '--all')


def _old_commit(repo: Project) -> None:
    commit_pin(repo, 'x')
    repo.commit('gone')


def _branch(repo: Project) -> None:
    repo.git('switch', '-q', '-c', 'side')
    commit_pin(repo, 'x')
    repo.git('checkout', '-q', '--', '.')
    repo.git('switch', '-q', 'main')


def _tag(repo: Project) -> None:
    _branch(repo)
    repo.git('tag', '-a', 'v1', 'side', '-m', 'one')
    repo.git('branch', '-q', '-D', 'side')


def _remote_branch(repo: Project) -> None:
    _branch(repo)
    repo.git('update-ref', 'refs/remotes/origin/side', 'side')
    repo.git('branch', '-q', '-D', 'side')


def _any_ref(repo: Project) -> None:
    _branch(repo)
    repo.git('update-ref', 'refs/pull/7/head', 'side')
    repo.git('branch', '-q', '-D', 'side')


def _stash(repo: Project) -> None:
    write_pin(repo, 'x')
    repo.git('add', '-A')
    repo.git('stash', '-q')


def _stash_of_untracked(repo: Project) -> None:
    write_pin(repo, 'x')
    repo.git('stash', '-q', '-u')


def _second_stash(repo: Project) -> None:
    _stash(repo)
    repo.write('other', 'y')
    repo.git('stash', '-q', '-u')


def _untracked(repo: Project) -> None:
    write_pin(repo, 'x')


def _index_alone(repo: Project) -> None:
    path = write_pin(repo, 'x')
    repo.git('add', path)
    (repo.path / path).unlink()


def _worktree_branch(repo: Project) -> None:
    repo.git('worktree', 'add', '-q', '--detach', '../tree')
    other = Project(repo.path.parent / 'tree')
    commit_pin(other, 'x')
    other.git('checkout', '-q', '--', '.')


def _worktree_untracked(repo: Project) -> None:
    repo.git('worktree', 'add', '-q', '--detach', '../tree')
    write_pin(Project(repo.path.parent / 'tree'), 'x')


def _worktree_index(repo: Project) -> None:
    repo.git('worktree', 'add', '-q', '--detach', '../tree')
    _index_alone(Project(repo.path.parent / 'tree'))


def _merge_that_kept_nothing(repo: Project) -> None:
    """git rev-list with paths leaves such a side out."""
    _branch(repo)
    repo.write('other', 'y')
    repo.commit('other')
    repo.git('merge', '-q', '-s', 'ours', '-m', 'merge', 'side')
    repo.git('branch', '-q', '-D', 'side')


def _merge_with_more(repo: Project) -> None:
    _branch(repo)
    repo.git('reset', '-q', '--hard', 'main')
    repo.git('branch', '-q', '-D', 'side')
    repo.git('switch', '-q', '-c', 'two')
    repo.write('b', 'b')
    repo.commit('b')
    repo.git('switch', '-q', 'main')
    repo.write('a', 'a')
    repo.commit('a')
    repo.git('merge', '-q', '--no-ff', '--no-commit', 'two')
    commit_pin(repo, 'x')
    repo.commit('gone')


def _moved_project(repo: Project) -> None:
    """The project lay elsewhere in the repository when it made this."""
    write_pin(repo, 'x', at='sub/')
    repo.commit('there')
    repo.git('rm', '-q', '-r', 'sub')
    repo.commit('gone')


def _grafted_subtree(repo: Project) -> None:
    """The same tree is a commit's own and a folder of another: one of the two alone holds records of this project."""
    write_pin(repo, 'x', at='')
    repo.commit('here')
    tree = repo.git('rev-parse', 'HEAD^{tree}').strip()
    repo.git('rm', '-q', '-r', '.mlops/stages')
    repo.git('read-tree', '--prefix=vendored/', tree)
    repo.git('checkout', '-q', '--', '.')
    repo.commit('vendored')


@pytest.mark.parametrize(
    'make',
    [
        _old_commit, _branch, _tag, _remote_branch, _any_ref, _stash, _stash_of_untracked, _second_stash, _untracked,
        _index_alone, _worktree_branch, _worktree_untracked, _worktree_index, _merge_that_kept_nothing, _merge_with_more,
        _moved_project, _grafted_subtree,
    ],
    ids=lambda made: made.__name__.strip('_'),
)  # fmt: skip
def test_a_pin_holds_wherever_git_knows_of_it(repo: Project, make: Callable[[Project], None]) -> None:
    make(repo)
    if 'second' not in make.__name__:  # older stashes are known by the reflog alone
        for log in (repo.path / '.git/logs').rglob('*'):
            if log.is_file() and not log.name.startswith('stash'):
                log.unlink()
    assert held(repo, 'x')


def test_a_commit_that_only_a_reflog_knows_holds_and_no_more_without(repo: Project) -> None:
    _branch(repo)
    repo.git('branch', '-q', '-D', 'side')
    assert held(repo, 'x')
    forget_reflogs(repo)
    assert not held(repo, 'x')


def test_commits_before_the_given_time_hold_nothing_unless_a_ref_names_them(repo: Project) -> None:
    old = {**repo.environ, 'GIT_COMMITTER_DATE': '2020-01-01T00:00:00Z'}
    repo.environ = old
    path = write_pin(repo, 'old')
    repo.commit('old')
    write_pin(repo, 'tip')
    repo.commit('tip')
    repo.git('tag', 'tip')
    (repo.path / path).unlink()
    repo.commit('without')
    repo.git('rm', '-q', '-r', '.mlops/stages')
    repo.environ = {**old, 'GIT_COMMITTER_DATE': '2026-01-01T00:00:00Z'}
    write_pin(repo, 'new')
    repo.commit('new')
    write_pin(repo, 'newer')
    repo.commit('newer')
    since = time.mktime((2025, 1, 1, 0, 0, 0, 0, 0, 0))
    assert {text for text in ('old', 'tip', 'new', 'newer') if held(repo, text, since=since)} == {'old', 'tip', 'new', 'newer'}
    repo.git('tag', '-d', 'tip')
    repo.git('tag', 'later', 'HEAD~2')
    assert {text for text in ('old', 'tip', 'new', 'newer') if held(repo, text, since=since)} == {'tip', 'new', 'newer'}
    assert held(repo, 'old')


def test_every_kind_of_record(repo: Project) -> None:
    key, outputs = digest_of(b'key'), (('out', ref('result')),)
    write_data(repo, 'a/b.csv', ref('data'))
    write_data(repo, 'images', ref('images', 'tree'))
    keep = Keep('20261120T101522Z-7k2m9q4c', 'why', 'Ada', '2026-11-20T10:15:22Z')
    repo.write(f'.mlops/kept/{keep.file_name}', keep.encode())
    said = Accepted('s', key, outputs_digest(outputs), '', 'Ada', 'box', '2026-11-20T10:15:22Z', 'because')
    repo.write(said.path, said.data)
    run = Run('20261120T101522Z-7k2m9q4c', '2026-11-20T10:15:22Z', 60.0, 'done', (StageRun('s', 'done', key, 'a' * 8, 1.0, 0),),
              fresh_stages=(('t', key, 'b' * 8),))
    repo.write('.mlops/runs/2026-11/20261120T101522Z-7k2m9q4c.json', run.encode())
    repo.commit('all')
    repo.git('rm', '-q', '-r', '.mlops/data', '.mlops/kept', '.mlops/accepted', '.mlops/runs')
    repo.commit('none')
    past = roots.look(str(repo.path)).past
    assert past.files == {raw(ref('data'))} and past.trees == {raw(ref('images'))}
    assert past.kept == {run.id} and past.results == {key.hex: {said.outs8}}
    assert past.runs[run.id].results == ((key.hex, 'a' * 8), (key.hex, 'b' * 8)) and past.runs[run.id].ended % 60 == 22


def test_a_pin_tells_its_results_and_the_data_of_its_key(repo: Project) -> None:
    write_pin(repo, 'x')
    here = roots.look(str(repo.path)).here
    assert here.results == {pin('x').key.hex: {pin('x').outs8}} and here.inputs == {bytes.fromhex(digest_of(b'in x').hex)}


def test_files_that_are_no_records_do_not_matter(repo: Project) -> None:
    for path in ('.mlops/stages/README.md', '.mlops/stages/.DS_Store', '.mlops/kept/note.txt', '.mlops/runs/notes/a.json',
                 '.mlops/models/card.md', '.mlops/stages/deep/x.json', '.mlops/config.yaml'):
        repo.write(path, 'anything')
    repo.commit('more')
    assert files(repo) == set()


def test_what_is_only_intended_to_be_added_does_not_matter(repo: Project) -> None:
    path = write_pin(repo, 'x')
    repo.git('add', '-N', path)
    assert held(repo, 'x')


def refused(repo: Project, **options: object) -> UserError:
    with pytest.raises(UserError) as error:
        roots.look(str(repo.path), **options)  # type: ignore[arg-type]
    assert error.value.exit_code == 5 and error.value.hint
    return error.value


def test_a_record_that_cannot_be_read_is_refused_with_its_commit_and_can_be_passed_over(repo: Project) -> None:
    path = f'.mlops/stages/{pin("x").file_name("train")}'
    repo.write(path, 'damaged')
    bad = repo.commit('bad')
    repo.git('rm', '-q', path)
    repo.commit('mended')
    write_pin(repo, 'good')
    error = refused(repo)
    assert path in str(error) and bad[:12] in str(error) and f'--skip-rev {bad}' in error.hint
    assert held(repo, 'good', skip=frozenset((bad,)))


def test_a_record_in_the_workspace_that_cannot_be_read_is_refused(repo: Project) -> None:
    repo.write('.mlops/data/a.json', '<<<<<<< ours\n')
    assert 'two branches' in str(refused(repo))


def test_a_link_in_place_of_a_record_is_refused(repo: Project) -> None:
    (repo.path / '.mlops/stages').mkdir()
    os.symlink('/etc/passwd', repo.path / f'.mlops/stages/{pin("x").file_name("train")}')
    refused(repo)
    repo.commit('a link')
    (repo.path / f'.mlops/stages/{pin("x").file_name("train")}').unlink()
    repo.git('add', '-A')
    refused(repo)


def test_a_version_of_a_model_holds_it_its_result_and_its_data(repo: Project) -> None:
    person, key = Person('Ada', 'ada@example.org'), digest_of(b'key')
    version = Version(
        'digits', 1, 'best.bin', ref('model'), '0' * 64, 'train', person, '2026-11-20T10:00:00Z', (('train', key, '01234567'),),
        data=(('in.csv', digest_of(b'in')),),
    )  # fmt: skip
    repo.write(version.file, version.encoded)
    repo.write(Fact('note', 'digits', None, person, '2026-11-20T10:00:00Z', text='x').file, b'')
    assert 'note' in refused(repo).message  # what is damaged may have held something
    fact = Fact('note', 'digits', None, person, '2026-11-20T10:00:00Z', text='x')
    repo.write(fact.file, fact.encoded)
    here = roots.look(str(repo.path)).here
    assert here.files == {raw(ref('model'))} and here.results == {key.hex: {'01234567'}}
    assert here.inputs == {bytes.fromhex(digest_of(b'in').hex)}


def test_other_records_of_models_are_for_a_later_version(repo: Project) -> None:
    repo.write('.mlops/models/digits/1.json', '{}')
    assert 'update' in refused(repo).hint


def test_damage_in_another_project_of_the_repository_is_for_that_project_to_tell(repo: Project) -> None:
    repo.write(f'sub/.mlops/stages/{pin("x").file_name("train")}', 'damaged')
    repo.commit('sub')
    write_pin(repo, 'good')
    assert held(repo, 'good')
    with pytest.raises(UserError):
        roots.look(str(repo.path / 'sub'))


def test_a_shallow_clone_is_refused(repo: Project) -> None:
    repo.commit('second')
    repo.git('clone', '-q', '--depth=1', f'file://{repo.path}', str(repo.path.parent / 'shallow'))
    assert 'unshallow' in refused(Project(repo.path.parent / 'shallow')).hint


def test_a_partial_clone_is_refused(repo: Project) -> None:
    repo.git('config', 'uploadpack.allowFilter', 'true')
    repo.git('clone', '-q', '--filter=blob:none', f'file://{repo.path}', str(repo.path.parent / 'partial'))
    assert 'partial' in str(refused(Project(repo.path.parent / 'partial')))


def test_grafts_are_refused(repo: Project) -> None:
    repo.write('.git/info/grafts', repo.git('rev-parse', 'HEAD'))
    refused(repo)


def test_a_worktree_that_is_gone_is_refused(repo: Project) -> None:
    repo.git('worktree', 'add', '-q', '--detach', '../tree')
    (repo.path.parent / 'tree').rename(repo.path.parent / 'elsewhere')
    assert 'worktree prune' in refused(repo).hint


def test_a_ref_that_leads_nowhere_is_refused(repo: Project) -> None:
    repo.write('.git/refs/heads/broken', f'{"1" * 40}\n')
    assert 'fsck' in refused(repo).hint


def test_a_missing_commit_is_refused(repo: Project) -> None:
    first = repo.git('rev-parse', 'HEAD').strip()
    repo.commit('second')
    (repo.path / f'.git/objects/{first[:2]}/{first[2:]}').unlink()
    refused(repo)


def test_a_missing_record_is_refused(repo: Project) -> None:
    path = write_pin(repo, 'x')
    repo.commit('x')
    (repo.path / path).unlink()
    blob = repo.git('rev-parse', f'HEAD:{path}').strip()
    (repo.path / f'.git/objects/{blob[:2]}/{blob[2:]}').unlink()
    assert 'cannot be read' in str(refused(repo))


def test_a_repository_that_is_gone_is_refused(repo: Project) -> None:
    (repo.path / '.git').rename(repo.path.parent / 'git')
    refused(repo, in_git=True)


def test_without_git_the_files_alone_hold(tmp_path: Path) -> None:
    plain = Project(tmp_path / 'plain')
    write_pin(plain, 'x')
    assert held(plain, 'x') and not held(plain, 'y')


def test_strange_names_are_no_obstacle(tmp_path: Path) -> None:
    project = Project(tmp_path / 'a b')
    project.init_git()
    inner = Project(project.path / '[odd]* \udcff')
    write_pin(inner, 'x')
    project.commit('x')
    (write := inner.path / '.mlops/stages').joinpath(pin('x').file_name('train')).unlink()
    assert write.is_dir() and held(inner, 'x')


def test_a_repository_of_sha256(tmp_path: Path) -> None:
    project = Project(tmp_path / 'p')
    done = subprocess.run(['git', 'init', '-q', '--object-format=sha256', str(project.path)], check=False)
    if done.returncode:
        pytest.skip('this git has no SHA-256')
    commit_pin(project, 'x')
    assert held(project, 'x')


def test_it_is_quick(repo: Project) -> None:
    """Some ten thousand records in a thousand commits are to take seconds: so here, of few, each has to be cheap."""
    for number in range(30):
        for each in range(10):
            write_pin(repo, f'{number} {each}')
        repo.commit(str(number))
    found = roots.look(str(repo.path))
    assert len(found.here.files | found.past.files) == 300 and found.commits == 31
    assert found.here.records + found.past.records == 300, 'each content is read once, wherever it is'
