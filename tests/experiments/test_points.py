"""States of the project that people name."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core.errors import UserError
from mlops_cli.experiments.points import find_point, read_output
from mlops_cli.git import exporting
from mlops_cli.run.workbench import Workbench
from tests.support.project import Project

ACCURACY = ('metrics.json', 'accuracy', 0.6)


@pytest.fixture
def ran(sums: Project) -> Project:
    sums.run()
    sums.commit('first')
    return sums


@pytest.fixture
def bench(ran: Project) -> Iterator[Workbench]:
    opened = ran.open()
    yield opened
    opened.close()


@pytest.mark.parametrize('word', ['workspace', 'HEAD', 'main', 'run'])
def test_one_state_by_all_its_names(ran: Project, bench: Workbench, word: str) -> None:
    short = next(bench.runs.newest()).short
    point = find_point(bench, short if word == 'run' else word)
    train = point.stages['train']
    assert train.state == ('done' if word == 'run' else 'recorded')
    assert ACCURACY in train.metrics
    assert set(train.outputs) == {'model.txt', 'metrics.json'}
    assert train.manifest is not None and train.manifest.digest == train.key
    assert train.sources is not None and train.origin['run'].endswith(short)
    assert train.seconds is not None and train.seconds > 0
    assert point.label.startswith('run ' if word == 'run' else word)
    assert point.commit == ('' if word == 'run' else ran.git('rev-parse', 'HEAD').strip())
    assert read_output(bench, point, 'model.txt', 100) == b'1.0'
    assert read_output(bench, point, 'prepared/2.txt', 100) == b'a line\na line\n'
    assert read_output(bench, point, 'prepared/9.txt', 100) is None
    assert read_output(bench, point, 'prepared', 100) is None
    assert read_output(bench, point, 'params.yaml', 100) is None
    with pytest.raises(UserError, match=r'more than|larger than'):
        read_output(bench, point, 'prepared/2.txt', 3)


def test_an_edited_workspace_has_the_numbers_that_are_there(ran: Project) -> None:
    ran.write('params.yaml', 'rows: 3\nrate: 2.0\n')
    ran.write('metrics.json', '{"accuracy": 0.9}')
    bench = ran.open()
    now, then = find_point(bench, 'workspace'), find_point(bench, 'HEAD')
    assert now.stages['train'].state == 'unknown'
    assert now.stages['train'].metrics == (('metrics.json', 'accuracy', 0.9),)
    assert now.stages['prepare'].state == 'recorded'
    assert ACCURACY in then.stages['train'].metrics
    bench.close()


@pytest.mark.parametrize(
    ('word', 'said'),
    [
        ('mian', 'no run and no revision'),
        ('--help', 'no run and no revision'),
        ('', 'no run and no revision'),
        ('workspce', 'did you mean workspace'),
        ('HEAD~7', 'no revision'),
    ],
)
def test_a_word_that_names_nothing(bench: Workbench, word: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        find_point(bench, word)
    assert said in f'{error.value.message} {error.value.hint}'


def test_the_beginning_of_an_id(bench: Workbench) -> None:
    run = next(bench.runs.newest())
    assert find_point(bench, run.short[:4]).run == run
    assert find_point(bench, run.id).run == run


# Revisions


def test_a_revision_is_worked_out_once(ran: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    ran.write('params.yaml', 'rows: 3\nrate: 3.0\n')
    bench = ran.open()
    first = find_point(bench, 'HEAD')
    monkeypatch.setattr(exporting, 'export', refuse)
    again = find_point(bench, 'main')
    assert again.stages == first.stages and again.pipeline == first.pipeline
    assert ACCURACY in again.stages['train'].metrics
    bench.close()
    other = Project(ran.path, {'PATH': ran.environ['PATH'], 'VIRTUAL_ENV': '/elsewhere'}).open()
    with pytest.raises(UserError, match='again'):  # another interpreter may find other modules
        find_point(other, 'HEAD')
    other.close()


def refuse(*_: object, **__: object) -> None:
    raise UserError('exported again')


def test_what_was_unknown_is_looked_for_again_once_there_are_results(ran: Project) -> None:
    ran.write('params.yaml', 'rows: 3\nrate: 5.0\n')
    ran.commit('not run')
    bench = ran.open()
    assert find_point(bench, 'HEAD').stages['train'].state == 'unknown'
    assert find_point(bench, 'HEAD').stages['prepare'].state == 'recorded'
    bench.close()
    ran.run(overlay={('params.yaml', 'rows'): 4})  # some other result
    ran.run()
    bench = ran.open()
    found = find_point(bench, 'HEAD').stages['train']
    assert found.state == 'recorded' and ('metrics.json', 'accuracy', 1.0) in found.metrics
    bench.close()


def test_run_records_and_pins_of_a_revision_are_not_written_out(ran: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    folders: list[Path] = []
    export = exporting.export

    def exported(project: str, commit: str, folder: str, **more: Any) -> tuple[str, ...]:
        folders.append(Path(folder))
        written.extend(export(project, commit, folder, **more))
        return tuple(written)

    monkeypatch.setattr(exporting, 'export', exported)
    bench = ran.open()
    assert find_point(bench, 'HEAD').stages['train'].state == 'recorded'
    assert 'train.py' in written and not [path for path in written if path.startswith(('.mlops/runs', '.mlops/stages'))]
    assert [folder.parent for folder in folders] == [ran.path / '.mlops' / 'local'] and not folders[0].exists()
    bench.close()


def test_damaged_memories_are_worked_out_anew(ran: Project) -> None:
    bench = ran.open()
    first = find_point(bench, 'HEAD')
    path = ran.path / '.mlops' / 'local' / 'revisions-v1.sqlite'
    for value in ('{"pipeline": 7}', 'no json', '{"pipeline": {"name": 3, "stages": []}, "stages": {}}', '[]'):
        with sqlite3.connect(path) as database:
            database.execute('UPDATE revisions SET value = ?', (value,))
        database.close()
        assert find_point(bench, 'HEAD').stages == first.stages
    bench.close()


def test_after_a_clone_the_pins_tell_all_but_the_content(ran: Project, tmp_path: Path) -> None:
    ran.write('params.yaml', 'rows: 3\nrate: 2.0\n')
    ran.run()
    ran.commit('second')
    ran.git('clone', '-q', str(ran.path), str(tmp_path / 'clone'))
    bench = Project(tmp_path / 'clone').open()
    for word, number in (('HEAD', 0.7), ('HEAD~1', 0.6), ('workspace', 0.7)):
        point = find_point(bench, word)
        assert {stage.state for stage in point.stages.values()} == {'recorded'}, word
        assert ('metrics.json', 'accuracy', number) in point.stages['train'].metrics
        assert read_output(bench, point, 'model.txt', 100) is None
    bench.close()


def test_a_stage_that_always_runs_has_its_last_result(project: Project) -> None:
    project.write(
        'pipeline.yaml',
        'stages:\n  a:\n    cmd:\n      - date +%N > a.txt\n      - echo "n = 1" > n.toml\n    always_changed: true\n'
        '    outs: [a.txt]\n    metrics: [n.toml]\n',
    )
    project.run()
    project.run()
    bench = project.open()
    point = find_point(bench, 'workspace')
    assert point.stages['a'].state == 'recorded' and point.stages['a'].metrics == (('n.toml', 'n', 1),)
    assert read_output(bench, point, 'a.txt', 100) == project.read('a.txt').encode()
    assert point.stages['a'].outputs['a.txt'] == bench.workspace.ref('a.txt', ignore=False)
    bench.close()


def test_a_frozen_stage_has_what_is_there(ran: Project) -> None:
    ran.write('pipeline.yaml', ran.read('pipeline.yaml').replace('cmd: python prepare.py', 'cmd: echo\n    frozen: true'))
    bench = ran.open()
    point = find_point(bench, 'workspace')
    assert point.stages['prepare'].state == 'recorded' and set(point.stages['prepare'].outputs) == {'prepared'}
    bench.close()


def test_a_revision_without_a_pipeline_and_one_with_a_broken_one(sums: Project) -> None:
    text = sums.read('pipeline.yaml')
    (sums.path / 'pipeline.yaml').unlink()
    sums.commit('nothing yet')
    sums.write('pipeline.yaml', 'stages: [')
    sums.commit('broken')
    sums.write('pipeline.yaml', text)
    bench = sums.open()
    with pytest.raises(UserError, match=r'no pipeline\.yaml in commit'):
        find_point(bench, 'HEAD~1')
    with pytest.raises(UserError, match=r'at commit \w{7}: pipeline.yaml:2'):
        find_point(bench, 'HEAD')
    assert not sums.exists('.mlops')
    bench.close()


def test_a_project_in_a_folder_of_its_repository(sums: Project) -> None:
    """A revision of it is told from its own folder, by the names that files have there."""
    inner = Project(sums.path / 'inner', {'PATH': sums.environ['PATH']})
    for name in ('pipeline.yaml', 'params.yaml', 'data.txt', 'prepare.py', 'train.py', 'yaml_free.py'):
        inner.write(name, sums.read(name))
    inner.run()
    sums.commit('both')
    bench = inner.open()
    assert ACCURACY in find_point(bench, 'HEAD').stages['train'].metrics
    bench.close()


LATE = 'stages:\n  train:\n    cmd: cat in > m.json; echo x > model\n    deps: [in]\n    outs: [model, m.json]\n'
DECLARED = LATE.replace('[model, m.json]', '[model]\n    metrics: [m.json]')


def late(project: Project) -> Project:
    """Ran before its metrics were declared."""
    project.write('pipeline.yaml', LATE)
    project.write('in', '{"accuracy": 0.5}')
    project.run()
    project.commit('first')
    project.write('pipeline.yaml', DECLARED)
    project.commit('a metric')
    return project


def test_metrics_that_were_declared_after_they_were_made(project: Project) -> None:
    """Nothing runs again for the word: the numbers are read from what is stored, of every state that has the file."""
    bench = late(project).open()
    for word in ('workspace', 'HEAD', 'last'):
        assert find_point(bench, word).stages['train'].metrics == (('m.json', 'accuracy', 0.5),), word
    bench.close()


def test_a_clone_reads_late_metrics_off_the_workspace(project: Project) -> None:
    shutil.rmtree(late(project).path / '.mlops/cache')
    bench = project.open()
    assert find_point(bench, 'workspace').stages['train'].metrics == (('m.json', 'accuracy', 0.5),)
    assert find_point(bench, 'HEAD').stages['train'].metrics == ()
    bench.close()
