"""What users and attackers do to a project: nothing of theirs is lost, nothing is believed that should not be."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import mlops_cli
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.events import Event, Note
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.records.runs import Run, Runs
from mlops_cli.run.invoke import Report
from mlops_cli.store.ingest import Added
from mlops_cli.store.local import LocalStore
from tests.support.project import Project

TWO = """\
stages:
  a:
    cmd: touch ../started; while [ ! -e ../go ]; do sleep 0.02; done; cat in.txt > a.txt
    deps: [in.txt]
    outs: [a.txt]
  b:
    cmd: cat in.txt > b.txt
    deps: [in.txt]
    needs: [a]
    outs: [b.txt]
"""


def edited_while_a_runs(project: Project, **options: bool) -> list[str]:
    """Puts PRECIOUS into ``b.txt`` while the stage before it runs; where it is afterwards."""
    project.write('pipeline.yaml', TWO)
    project.write('../go', '')
    for text in ('two', 'one'):
        project.write('in.txt', text)
        project.run()
    for name in ('go', 'started'):
        (project.path.parent / name).unlink()
    project.write('in.txt', 'two')

    def edit() -> None:
        while not project.exists('../started'):
            time.sleep(0.02)
        project.write('b.txt', 'PRECIOUS')
        project.write('../go', '')

    editor = threading.Thread(target=edit, daemon=True)
    editor.start()
    project.run(jobs=1, force=options.get('force', False), lookup=options.get('lookup', True))
    editor.join()
    assert project.read('b.txt') == 'two'
    return [str(path) for path in project.path.rglob('b.txt') if path.read_text() == 'PRECIOUS']


def test_an_output_edited_while_other_stages_run_is_kept_when_its_stage_runs(project: Project) -> None:
    assert '.mlops/local/rescue' in edited_while_a_runs(project, lookup=False)[0]


def test_a_checkout_that_cannot_be_done_leaves_everything_where_it_was(project: Project) -> None:
    project.write('pipeline.yaml', 'stages:\n  a: {cmd: "true"}\n')
    project.write('data/one', '1')
    project.write('data/two', '2')
    project.mlops('add', 'data')
    first = project.read('.mlops/data/data.json')
    project.write('data/two', 'another')
    project.mlops('add', 'data')
    project.write('.mlops/data/data.json', first)
    for path in (project.path / '.mlops/cache/objects-v1').rglob('*'):
        if path.is_file() and path.read_bytes() == b'2':
            path.unlink()
    project.mlops('checkout', code=None)
    assert (project.read('data/one'), project.read('data/two')) == ('1', 'another')
    assert 'killed' not in project.mlops('checkout', code=None).err


RECORDS = ['stages', 'runs', 'data']
OURS = ['cache', 'local', 'cache/objects-v1', 'cache/results-v1', 'cache/tmp', 'local/index-v1.sqlite']


@pytest.mark.parametrize('name', [*OURS, *RECORDS])
def test_no_command_writes_through_a_link_that_a_branch_brings(project: Project, tmp_path: Path, name: str) -> None:
    outside = tmp_path / 'outside'
    outside.mkdir()
    target = outside if '.' not in name else outside / 'file'
    if target != outside:
        target.write_bytes(b'')
    project.write('pipeline.yaml', 'stages:\n  a: {cmd: "touch ../ran", deps: [in.txt], outs: [a.txt]}\n')
    project.write('in.txt', '1')
    link = project.path / '.mlops' / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)
    for command in (['status'], ['add', 'in.txt'], ['run']):
        project.mlops(*command, code=None)
    assert [path for path in outside.rglob('*') if path != target] == []
    assert target == outside or target.read_bytes() == b''
    assert name in RECORDS or not (tmp_path / 'ran').exists()


def test_a_script_below_two_thousand_folders_is_no_bug(project: Project) -> None:
    project.write('pipeline.yaml', f"stages:\n  a: {{cmd: python '{'a/' * 2048}x'}}\n")
    assert 'no result yet' in project.mlops('status').out
    project.mlops('plan', '-v')


TABLES = [f'.mlops/local/{name}.sqlite{suffix}' for name in ('index-v1', 'history-v1') for suffix in ('', '-wal', '-shm')]


@pytest.mark.parametrize('name', TABLES)
def test_no_table_is_written_that_has_another_name_outside(project: Project, tmp_path: Path, name: str) -> None:
    project.write('pipeline.yaml', 'stages:\n  a: {cmd: "cp in.txt a.txt", deps: [in.txt], outs: [a.txt]}\n')
    project.write('in.txt', '1')
    commands = (['run'], ['status'], ['runs', 'list'], ['lineage', 'upstream', 'a.txt'], ['add', 'in.txt'], ['gc', '--dry-run'])
    for command in commands:
        project.mlops(*command)
    path = project.path / name
    outside = tmp_path / 'outside'
    outside.write_bytes(path.read_bytes() if path.exists() else b'secret\n' * 6000)
    path.unlink(missing_ok=True)
    path.hardlink_to(outside)
    before = outside.read_bytes(), outside.stat().st_mtime_ns
    project.write('in.txt', '2')
    for command in commands:
        project.mlops(*command)
    assert (outside.read_bytes(), outside.stat().st_mtime_ns) == before
    assert project.read('a.txt') == '2'


def edited_while_running(project: Project, stages: str, edits: dict[str, str]) -> Report:
    """Runs; once a stage has started, makes the edits, then lets it go on."""
    project.write('pipeline.yaml', stages)

    def edit() -> None:
        while not project.exists('../started'):
            time.sleep(0.02)
        for path, text in edits.items():
            project.write(path, text)
        project.write('../go', '')

    editor = threading.Thread(target=edit)
    editor.start()
    try:
        return project.run(keep_going=True)
    finally:
        editor.join()


WAIT = 'touch ../started; while [ ! -e ../go ]; do sleep 0.02; done'
FIRST = f'  first: {{cmd: "{WAIT}; echo 1 > first", outs: [first]}}\n'
NOW = {'params.yaml': 'lr: 2\nother: 1\n', 'data/2.csv': 'new'}


def test_a_parameter_edited_before_its_stage_starts_is_not_recorded_as_the_old_one(project: Project) -> None:
    project.write('params.yaml', 'lr: 1\n')
    last = '  last: {cmd: "cp params.yaml out", deps: [first], params: [lr], outs: [out]}\n'
    edited_while_running(project, f'stages:\n{FIRST}{last}', NOW)
    assert 'lr: 2' in project.read('out')
    assert project.verdicts() == {'first': 'fresh', 'last': 'fresh'}
    project.write('params.yaml', 'lr: 1\n')
    assert project.verdicts()['last'] == 'run'


def test_a_parameter_edited_while_its_stage_runs_leaves_no_result(project: Project) -> None:
    project.write('params.yaml', 'lr: 1\n')
    only = f'  only: {{cmd: "{WAIT}; cp params.yaml out", params: [lr], outs: [out]}}\n'
    report = edited_while_running(project, f'stages:\n{only}', NOW)
    event = report.settled['only'].event
    assert event is not None and 'params.yaml:lr' in event.message
    project.write('params.yaml', 'lr: 1\n')
    assert project.verdicts() == {'only': 'run'}


def test_a_parameter_file_that_its_stage_replaces_by_a_pipe_is_a_change_like_others(project: Project) -> None:
    project.write('p.yaml', 'lr: 1\n')
    command = 'rm p.yaml; mkfifo p.yaml; echo 1 > out'
    project.write('pipeline.yaml', f'stages:\n  only: {{cmd: "{command}", params: [{{p.yaml: [lr]}}], outs: [out]}}\n')
    event = project.run().settled['only'].event
    assert event is not None and event.message == 'its inputs changed while it ran: p.yaml:lr'


def test_a_parameter_that_a_stage_does_not_declare_may_be_edited_while_it_runs(project: Project) -> None:
    project.write('params.yaml', 'lr: 1\nother: 0\n')
    only = f'  only: {{cmd: "{WAIT}; echo 1 > out", params: [other], outs: [out]}}\n'
    report = edited_while_running(project, f'stages:\n{only}', {'params.yaml': 'lr: 7\nother: 0\n'})
    assert report.ended == 'done'


def test_a_file_that_joins_a_glob_before_its_stage_starts_is_part_of_its_key(project: Project) -> None:
    project.write('data/1.csv', '1')
    last = '  last: {cmd: "cat data/*.csv first > out", deps: [first, "data/*.csv"], outs: [out]}\n'
    edited_while_running(project, f'stages:\n{FIRST}{last}', NOW)
    assert 'new' in project.read('out')
    assert project.verdicts() == {'first': 'fresh', 'last': 'fresh'}
    (project.path / 'data/2.csv').unlink()
    assert project.verdicts()['last'] == 'run'


def test_a_file_that_joins_a_glob_while_its_stage_runs_leaves_no_result(project: Project) -> None:
    project.write('data/1.csv', '1')
    only = f'  only: {{cmd: "{WAIT}; cat data/*.csv > out", deps: ["data/*.csv"], outs: [out]}}\n'
    report = edited_while_running(project, f'stages:\n{only}', NOW)
    event = report.settled['only'].event
    assert event is not None and 'data/2.csv' in event.message
    (project.path / 'data/2.csv').unlink()
    assert project.verdicts() == {'only': 'run'}


def test_a_stage_that_puts_a_link_in_the_way_fails_alone_and_loses_nothing(project: Project, tmp_path: Path) -> None:
    slow = '  slow: {cmd: "sleep 0.7; echo 1 > slow.txt", outs: [slow.txt]}\n'
    bad = '  bad: {cmd: "cat in.txt; mkdir -p out; echo good > out/f", deps: [in.txt], outs: [out/f]}\n'
    project.write('pipeline.yaml', f'stages:\n{slow}{bad}')
    project.write('in.txt', '1')
    project.run()
    bad = f'  bad: {{cmd: "rm -rf out; ln -s {tmp_path} out; echo bad > out/f", deps: [in.txt], outs: [out/f]}}\n'
    project.write('pipeline.yaml', f'stages:\n{slow}{bad}')
    report = project.run(force=True, keep_going=True, jobs=2)
    assert {name: str(one.state) for name, one in report.settled.items()} == {'slow': 'done', 'bad': 'failed'}
    assert project.read('out/f') == 'good\n'
    assert not (project.path / 'out').is_symlink()


def test_a_stage_that_cannot_begin_leaves_its_outputs_in_place(project: Project) -> None:
    project.write('pipeline.yaml', 'stages:\n  a: {cmd: "echo 1 > a.txt", outs: [a.txt]}\n')
    project.run()
    project.write('pipeline.yaml', 'stages:\n  a: {cmd: "echo 2 > a.txt", outs: [a.txt], caches: [hub]}\n')
    (project.path / 'hub').symlink_to('/tmp')
    assert project.run().ended == 'failed'
    assert project.read('a.txt') == '1\n'


def test_an_output_that_cannot_be_read_fails_its_stage_alone(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = '  slow: {cmd: "sleep 0.7; echo 1 > slow.txt", outs: [slow.txt]}\n'
    project.write('pipeline.yaml', f'stages:\n{slow}  bad: {{cmd: "echo 1 > bad", outs: [bad]}}\n')
    real = LocalStore.add_path

    def add_path(self: LocalStore, root: Root, rel: str, **options: Any) -> Added:
        if rel == 'bad':
            raise PermissionError(errno.EACCES, 'Permission denied', rel)  # what root would not get
        return real(self, root, rel, **options)

    monkeypatch.setattr(LocalStore, 'add_path', add_path)
    report = project.run(keep_going=True, jobs=2)
    assert {name: str(one.state) for name, one in report.settled.items()} == {'slow': 'done', 'bad': 'failed'}


HERE = 'raise KeyboardInterrupt\n'
IN_A_CLASS = f'class Named:\n    def __set_name__(self, *_):\n        {HERE}class Holds:\n    named = Named()\n'


@pytest.mark.parametrize('source', [HERE, IN_A_CLASS], ids=['anywhere', 'while a class is being made'])
@pytest.mark.parametrize(
    ('library', 'words'), [('threading', ['status']), ('blake3', ['status']), ('typer', ['config', 'list', '-C', '.'])]
)
def test_ctrl_c_while_the_program_is_being_loaded_shows_no_traceback(
    tmp_path: Path, library: str, words: list[str], source: str
) -> None:
    package = tmp_path / library
    package.mkdir()
    (package / '__init__.py').write_text(source)
    environ = {'PYTHONPATH': f'{tmp_path}:{Path(mlops_cli.__file__).parent.parent}', 'PATH': os.defpath}
    done = subprocess.run([sys.executable, '-m', 'mlops_cli', *words], env=environ, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.replace(b'interrupted\n', b'')) == (130, b'', b'')


def test_a_full_disk_at_the_end_is_told_as_such_and_what_is_done_counts(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write('pipeline.yaml', 'stages:\n  a: {cmd: "echo 1 > a.txt", outs: [a.txt]}\n')

    def add(self: Runs, run: Run, batch: Batch) -> str:
        raise OSError(errno.ENOSPC, 'No space left on device', 'record')

    with monkeypatch.context() as patched:
        patched.setattr(Runs, 'add', add)
        with pytest.raises(OSError, match='No space left'):
            project.run()
    events: list[Event] = []
    assert project.verdicts() == {'a': 'fresh'}
    project.run(events=events, force=True)
    assert not any('killed' in event.text for event in events if isinstance(event, Note))


@pytest.mark.parametrize('lost', ['cache', 'objects'])
def test_links_into_a_cache_that_is_gone_are_outputs_that_are_gone(project: Project, lost: str) -> None:
    project.environ['MLOPS_CACHE_LINKS'] = 'symlink'
    folder = '  d: {cmd: "mkdir d; cp a.txt d/x; echo y > d/y", deps: [a.txt], outs: [d]}\n'
    project.write('pipeline.yaml', f'stages:\n  a: {{cmd: "echo 1 > a.txt", outs: [a.txt]}}\n{folder}')
    project.run()
    shutil.rmtree(project.path / 'd')
    (project.path / 'a.txt').unlink()
    project.run()
    assert (project.path / 'a.txt').is_symlink() and (project.path / 'd/x').is_symlink()
    shutil.rmtree(project.path / '.mlops/cache' if lost == 'cache' else project.path / '.mlops/cache/objects-v1')
    assert project.mlops('status', '--exit-code', code=3).err == ''
    assert project.verdicts() == {'a': 'run', 'd': 'maybe'}
    assert project.run().ended == 'done'
    assert (project.read('a.txt'), project.read('d/x'), project.read('d/y')) == ('1\n', '1\n', 'y\n')
    shutil.rmtree(project.path / 'd')
    project.run()
    for path in (project.path / '.mlops/cache/objects-v1').rglob('*'):
        if path.is_file() and path.read_bytes() == b'y\n':
            path.unlink()
    assert project.verdicts() == {'a': 'fresh', 'd': 'run'}
    project.mlops('checkout', code=1)
    assert project.run().ended == 'done'
    assert project.verdicts() == {'a': 'fresh', 'd': 'fresh'}


@pytest.mark.parametrize('pattern', ['*.csv', 'data/*.csv', '[a-z].csv', '?.csv', 'data/**/*.csv'])
def test_a_glob_is_not_kept_waiting_by_outputs_that_it_cannot_match(project: Project, pattern: str) -> None:
    for path in ('x.csv', 'data/x.csv'):
        project.write(path, '1')
    a = f'  a: {{cmd: "echo 1 > out.txt", deps: ["{pattern}"], outs: [out.txt]}}\n'
    project.write('pipeline.yaml', f'stages:\n{a}  b: {{cmd: "echo 1 > b.bin", deps: [x.csv], outs: [b.bin]}}\n')
    assert project.verdicts() == {'a': 'run', 'b': 'run'}
    assert project.run('a', only=True).ended == 'done'
    project.run()
    assert project.verdicts() == {'a': 'fresh', 'b': 'fresh'}
    project.write('x.csv' if not pattern.startswith('data') else 'data/x.csv', '2')
    assert project.verdicts()['a'] == 'run'


def test_a_file_whose_name_looks_like_a_pattern_is_never_left_out_in_silence(project: Project) -> None:
    project.write('in [1].csv', '1')
    stage = '  a: {{cmd: "cat in* > out", deps: [{}], outs: [out]}}\n'
    project.write('pipeline.yaml', 'stages:\n' + stage.format('"in [1].csv"'))
    with pytest.raises(UserError, match='as a pattern it means other names') as caught:
        project.run()
    assert caught.value.where is not None and caught.value.where.line == 2
    project.write('pipeline.yaml', 'stages:\n' + stage.format('{path: "in [1].csv"}'))
    project.run()
    project.write('in [1].csv', '2')
    assert project.verdicts() == {'a': 'run'}


def test_a_file_named_a_little_like_our_temporaries_counts(project: Project) -> None:
    project.write('d/.mlops-tmp-mine', '1')
    stages = '  a: {cmd: "mkdir o; echo 1 > o/.mlops-tmp-mine", outs: [o]}\n  b: {cmd: "cp -r d b", deps: [d], outs: [b]}\n'
    project.write('pipeline.yaml', f'stages:\n{stages}')
    project.run()
    assert project.verdicts() == {'a': 'fresh', 'b': 'fresh'}
    project.write('d/.mlops-tmp-mine', '2')
    assert project.verdicts() == {'a': 'fresh', 'b': 'run'}


def test_a_checkout_puts_nothing_where_a_stage_is_writing(project: Project) -> None:
    project.write('../go', '')
    project.write('pipeline.yaml', f'stages:\n  a: {{cmd: "{WAIT}; echo 1 >> a.txt", outs: [a.txt]}}\n')
    project.run()
    for name in ('go', 'started'):
        (project.path.parent / name).unlink()
    codes: list[int] = []

    def checkout() -> None:
        while not project.exists('../started'):
            time.sleep(0.02)
        codes.append(project.mlops('checkout', code=None).code)
        project.write('../go', '')

    other = threading.Thread(target=checkout)
    other.start()
    project.run(force=True)
    other.join()
    assert codes == [ExitCode.LOCK_TIMEOUT]
    assert project.read('a.txt') == '1\n'
    assert project.mlops('checkout').code == 0
