"""Outputs that somebody edits between the last look at them and the moment they are moved aside, or saves anew right after:
every byte is kept, and it is said where."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.events import Event
from mlops_cli.fingerprint import apart
from mlops_cli.fingerprint.files import Workspace
from mlops_cli.fsio import filesystem, ops
from mlops_cli.fsio.paths import Root
from mlops_cli.records.files import prepare_folders
from mlops_cli.run import checkout
from mlops_cli.run.checkout import Outcome, bring, recorded
from mlops_cli.run.recover import recover
from tests.support.project import Project

PIPELINE = """\
stages:
  files: {cmd: "mkdir -p out; for n in 1 2 3; do echo ${k} $n > out/$n; done", outs: [out/1, out/2, out/3]}
  folder: {cmd: "mkdir -p d/sub; echo ${k} > d/x; echo same > d/sub/y; echo ${k} > d/sub/z", outs: [d]}
"""
RUN = '20261121T000000Z-aaaaaaaa'


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """With the outputs of k = 2, those of k = 1 in the cache; all of them settled."""
    project = Project(tmp_path / 'p')
    project.write('pipeline.yaml', PIPELINE)
    for value in (1, 2):
        project.write('params.yaml', f'k: {value}\n')
        project.run()
    time.sleep(0.05)
    project.run()
    return project


def write(path: Path) -> str:
    path.write_text('mine, and longer')
    return 'mine, and longer'


def overwrite(path: Path) -> str:
    """As many bytes as before."""
    text = 'MINE'[: path.stat().st_size]
    with open(path, 'r+') as file:
        file.write(text)
    return path.read_text()


def overwrite_with_its_times(path: Path) -> str:
    before = path.stat()
    text = overwrite(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return text


def save_as_editors_do(path: Path) -> str:
    beside = path.with_name(f'{path.name}.swp')
    beside.write_text('saved')
    os.replace(beside, path)
    return 'saved'


EDITS = [write, overwrite, overwrite_with_its_times, save_as_editors_do]
Edit = Callable[[Path], str]


@contextmanager
def just_before_it_moves(project: Project, moved: str, do: Callable[[], object]) -> Iterator[None]:
    done = False

    def hook(operation: str, details: dict[str, Any]) -> None:
        nonlocal done
        if not done and operation == 'rename' and details['source'] == str(project.path / moved):
            done = True
            do()

    with ops.record(hook):
        yield
    assert done, 'it was never moved'


@contextmanager
def just_after_it_moved(project: Project, moved: str, do: Callable[[], object]) -> Iterator[None]:
    """Before the next change of ours."""
    moves = 0

    def hook(operation: str, details: dict[str, Any]) -> None:
        nonlocal moves
        if moves == 1:
            moves = 2
            do()
        if not moves and operation == 'rename' and details['source'] == str(project.path / moved):
            moves = 1

    with ops.record(hook):
        yield
    assert moves == 2


def place(project: Project, **options: Any) -> Outcome:
    project.write('params.yaml', 'k: 1\n')
    bench = project.open()
    try:
        return bring(bench, recorded(bench, bench.order), RUN, **{'backup': True, 'clean': False, **options})
    finally:
        bench.close()


def rescued(project: Project) -> list[str]:
    return [path.read_text() for path in (project.path / '.mlops/local/rescue').rglob('*') if path.is_file()]


def notes(events: list[Event]) -> str:
    return '\n'.join(str(event) for event in events)


@pytest.fixture(params=EDITS, ids=lambda edit: edit.__name__)
def edit(request: pytest.FixtureRequest) -> Edit:
    found: Edit = request.param
    return found


@pytest.mark.parametrize('together', [True, False], ids=['in a group', 'alone'])
def test_a_file_that_checkout_replaces(project: Project, edit: Edit, together: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not together:
        monkeypatch.setattr(checkout, 'SMALL', 0)
    texts: list[str] = []
    with just_before_it_moves(project, 'out/2', lambda: texts.append(edit(project.path / 'out/2'))):
        done = place(project)
    assert project.read('out/2') == '1 2\n'
    assert [project.read(path) for path in done.kept] == texts == rescued(project)


@pytest.mark.parametrize('inside', ['d/x', 'd/sub/y'])
def test_a_file_in_a_folder_that_checkout_replaces(project: Project, edit: Edit, inside: str) -> None:
    texts: list[str] = []
    with just_before_it_moves(project, 'd', lambda: texts.append(edit(project.path / inside))):
        done = place(project)
    assert project.read('d/x') == '1\n' and project.read('d/sub/y') == 'same\n'
    assert [project.read(f'{folder}/{inside.removeprefix("d/")}') for folder in done.kept] == texts
    assert texts[0] in rescued(project)


def test_a_file_in_a_folder_of_which_another_stays(project: Project, edit: Edit) -> None:
    """The way of what is not tracked: it moves back on its own."""
    project.write('d/own', 'own')
    texts: list[str] = []
    with just_before_it_moves(project, 'd', lambda: texts.append(edit(project.path / 'd/sub/z'))):
        done = place(project)
    assert done.stayed == ('d/own',) and project.read('d/own') == 'own'
    assert [project.read(f'{folder}/sub/z') for folder in done.kept] == texts


def test_what_stays_and_is_saved_anew_meanwhile_is_kept_twice(project: Project) -> None:
    project.write('d/own', 'own')

    def hook(operation: str, details: dict[str, Any]) -> None:
        if operation == 'rename_noreplace' and details['target'] == str(project.path / 'd'):
            (Path(details['source']) / 'own').write_text('newer')

    with ops.record(hook):
        done = place(project)
    assert project.read('d/own') == 'newer'
    assert [project.read(f'{folder}/own') for folder in done.kept] == ['own']


@pytest.mark.parametrize(('moved', 'inside', 'value'), [('out/2', 'out/2', 1), ('d', 'd/sub/y', 1), ('out/2', 'out/2', 3),
                                                        ('d', 'd/sub/y', 3)],
                         ids=['restores a file', 'restores a folder', 'makes a file', 'makes a folder'])
def test_what_a_run_replaces(project: Project, edit: Edit, moved: str, inside: str, value: int) -> None:
    project.write('params.yaml', f'k: {value}\n')
    texts: list[str] = []
    events: list[Event] = []
    with just_before_it_moves(project, moved, lambda: texts.append(edit(project.path / inside))):
        project.run(events=events)
    assert project.read('out/2') == f'{value} 2\n' and project.read('d/sub/y') == 'same\n'
    assert texts[0] in rescued(project)
    assert '.mlops/local/rescue' in notes(events)


@pytest.mark.parametrize('moved', ['out/2', 'd/sub/y'])
def test_what_is_written_through_a_descriptor_while_the_stage_runs(project: Project, moved: str) -> None:
    project.write('params.yaml', 'k: 3\n')
    with open(project.path / moved, 'a') as file:
        top = moved if moved.startswith('out') else 'd'
        with just_after_it_moved(project, top, lambda: (file.write('and more'), file.flush())):
            project.run()
    assert any(text.endswith('and more') for text in rescued(project))


def test_a_large_file_is_known_by_its_state(project: Project, edit: Edit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of which one whose times are put back within the few calls between look and move would not be seen."""
    monkeypatch.setattr(apart, 'LARGE', 2)
    texts: list[str] = []
    if edit is overwrite_with_its_times:
        texts.append(edit(project.path / 'out/2'))  # before the last look
        place(project)
    else:
        with just_before_it_moves(project, 'out/2', lambda: texts.append(edit(project.path / 'out/2'))):
            place(project)
    assert rescued(project) == texts


def test_what_nobody_edited_is_not_kept_and_only_lone_files_are_read_again(project: Project) -> None:
    read: list[str] = []
    hashed = apart.hash_open_file

    def reading(fd: int, path: str) -> Any:
        read.append(path.rpartition('/aside/')[2])
        return hashed(fd, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apart, 'hash_open_file', reading)
        patch.setattr('mlops_cli.fingerprint.scan.hash_open_file', reading)
        done = place(project)
    assert done.kept == () and rescued(project) == []
    assert read == ['out/1', 'out/2', 'out/3']


def test_the_index_keeps_nothing_of_what_lay_aside(project: Project) -> None:
    with just_before_it_moves(project, 'd', lambda: write(project.path / 'd/x')):
        place(project)
    bench = project.open()
    try:
        assert [row for table in ('folders', 'seals') for row in bench.index._query(f'SELECT path FROM {table}')
                if row[0].startswith(b'.mlops')] == []
    finally:
        bench.close()


@pytest.mark.parametrize('together', [True, False], ids=['in a group', 'alone'])
def test_what_is_saved_where_it_was_is_kept_and_told(project: Project, together: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not together:
        monkeypatch.setattr(checkout, 'SMALL', 0)
    told = r'out/2 was saved anew while .* \.mlops/local/rescue/\S+/out/2$'
    save = just_after_it_moved(project, 'out/2', lambda: save_as_editors_do(project.path / 'out/2'))
    with pytest.raises(UserError, match=told) as raised, save:
        place(project)
    assert raised.value.exit_code == ExitCode.REFUSED and 'mv .mlops/local/rescue/' in raised.value.hint
    assert project.read('out/2') == '2 2\n' and rescued(project) == ['saved']
    with Root(project.path) as root:
        recover(root)
    assert place(project).placed and project.read('out/2') == '1 2\n'


def test_what_is_saved_where_a_run_restores_is_kept_and_told(project: Project) -> None:
    project.write('params.yaml', 'k: 1\n')
    events: list[Event] = []
    with just_after_it_moved(project, 'out/2', lambda: save_as_editors_do(project.path / 'out/2')):
        project.run(events=events)
    assert project.read('out/2') in ('2 2\n', '1 2\n') and rescued(project) == ['saved']
    assert 'out/2 was saved anew' in notes(events)


def test_what_is_saved_while_others_are_put_back_is_kept(project: Project) -> None:
    """At the last moment too: out/2 is found taken, out/3 is saved as its old content comes back."""

    def hook(operation: str, details: dict[str, Any]) -> None:
        comes_back = operation == 'rename_noreplace' and details['source'].endswith('.back/aside/out/3')
        if comes_back and not (project.path / 'late').exists():
            (project.path / 'late').touch()
            (project.path / 'out/3').write_text('late')

    save = just_after_it_moved(project, 'out/2', lambda: save_as_editors_do(project.path / 'out/2'))
    with ops.record(hook), pytest.raises(UserError, match='out/2 was saved anew'), save:
        place(project)
    kept = [path.read_text() for path in (project.path / '.mlops/local').rglob('3') if path.is_file()]
    assert (project.path / 'late').exists() and 'late' in kept and project.read('out/3') == '2 3\n'


def test_all_that_are_saved_anew_are_named(project: Project) -> None:
    def save() -> None:
        for name in ('out/2', 'out/3'):
            (project.path / name).write_text(f'saved {name}')

    told = r'out/2, out/3 were saved anew .*rescue/\S+/out/2, \S+rescue/\S+/out/3$'
    with pytest.raises(UserError, match=told), just_after_it_moved(project, 'out/3', save):
        place(project)
    assert sorted(rescued(project)) == ['saved out/2', 'saved out/3']
    assert project.read('out/2') == '2 2\n' and project.read('out/3') == '2 3\n'


@pytest.mark.parametrize('together', [True, False], ids=['in a group', 'alone'])
@pytest.mark.parametrize('what', ['out/2', 'd'])
@pytest.mark.parametrize('by', ['checkout', 'run'])
def test_nothing_is_away_for_longer_than_renames_take(
    project: Project, what: str, by: str, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Content is built before room is made for it: who reads meanwhile misses it for a moment, not for as long as it takes to
    copy gigabytes.  Where names keep no order, what was moved is made durable first."""
    with Root(project.path) as root:
        few = {'rename', 'rename_noreplace', 'mkdir', *(() if filesystem.probe(root.fd).ordered else ('fsync',))}
    if not together:
        monkeypatch.setattr(checkout, 'SMALL', 0)
    between: list[str] | None = None
    seen = False

    def hook(operation: str, details: dict[str, Any]) -> None:
        nonlocal between, seen
        if operation == 'rename' and details['source'] == str(project.path / what):
            between = []
        elif operation == 'rename_noreplace' and details['target'] == str(project.path / what):
            assert between is not None and not {*between} - few, between
            seen = True
        elif between is not None and not seen:
            between.append(operation)

    project.write('params.yaml', 'k: 1\n')
    with ops.record(hook):
        place(project) if by == 'checkout' else project.run()
    assert seen and project.read('d/x') == '1\n' and project.read('out/2') == '1 2\n'


def test_a_folder_that_is_written_while_it_is_looked_at(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it held a moment ago is in no store, nor has it to be."""
    nodes, texts = Workspace.nodes, iter(range(100))

    def written(workspace: Workspace, rel: str, **options: Any) -> Any:
        project.write(f'{rel}/mine', f'and again {next(texts)}')
        return nodes(workspace, rel, **options)

    monkeypatch.setattr(Workspace, 'nodes', written)
    project.write('d/mine', 'the first of many')
    project.write('params.yaml', 'k: 1\n')
    bench = project.open()
    try:
        wanted = recorded(bench, bench.order).wanted
        assert checkout.unsaved(bench, wanted, clean=False) == {}
        assert checkout.unsaved(bench, wanted, clean=True) == {'d': '1 files, such as d/mine'}
    finally:
        bench.close()
    done = place(project)
    assert project.read('d/x') == '1\n' and project.read('d/mine').startswith('and again')
    assert done.stayed == ('d/mine',)


def test_a_revision_that_was_being_looked_at_when_a_command_was_killed_is_swept_up(project: Project) -> None:
    project.init_git()
    project.commit('one')
    child = os.fork()
    if not child:
        bench = project.open()
        with checkout.at_revision(bench, 'HEAD'):
            os._exit(9)
    os.waitpid(child, 0)
    local = project.path / '.mlops/local'
    assert list(local.rglob('pipeline.yaml'))
    with Root(project.path) as root:
        prepare_folders(root)
    assert not list(local.rglob('pipeline.yaml'))
