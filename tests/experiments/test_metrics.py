"""The numbers of one state, and of two compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlops_cli.experiments.metrics import Change, Comparison, Values, compare, values
from mlops_cli.experiments.points import find_point
from mlops_cli.run.workbench import Workbench
from tests.support.project import Project

PIPELINE = """\
stages:
  train:
    matrix: {seed: [1, 2]}
    cmd: mkdir -p m && cp in/${item.seed}.json m/${item.seed}.json
    deps: ['in/${item.seed}.json']
    metrics: [{'m/${item.seed}.json': {primary: accuracy, goals: {accuracy: max, loss: min}, tolerance: {accuracy: 0.001}}}]
  best:
    cmd: echo '{"value":' $(cat in/best) '}' > best.yaml
    deps: [in/best]
    metrics: [best.yaml]
"""


def lay(project: Project, one: str, two: str = '{"accuracy": 0.5, "loss": 1}', best: str = '1') -> None:
    project.write('in/1.json', one)
    project.write('in/2.json', two)
    project.write('in/best', best)


@pytest.fixture
def trained(project: Project) -> Project:
    project.write('pipeline.yaml', PIPELINE)
    lay(project, '{"accuracy": 0.9583, "loss": 0.5, "size": 3}')
    project.run()
    project.commit('first')
    return project


@contextmanager
def opened(project: Project) -> Iterator[Workbench]:
    bench = project.open()
    try:
        yield bench
    finally:
        bench.close()


def shown(project: Project, word: str = 'workspace') -> Values:
    with opened(project) as bench:
        return values(bench, find_point(bench, word))


def compared(project: Project, before: str = 'HEAD', after: str = 'workspace') -> Comparison:
    with opened(project) as bench:
        return compare(bench, find_point(bench, before), find_point(bench, after))


def verdicts(found: Comparison, stage: str = 'train@1') -> Mapping[str, str]:
    return {row.name: row.verdict for row in found.rows if row.stage == stage}


def row(found: Comparison, name: str, stage: str = 'train@1') -> Change:
    return next(one for one in found.rows if (one.stage, one.name) == (stage, name))


@pytest.mark.parametrize('word', ['workspace', 'HEAD', 'main'])
def test_every_number_with_what_is_declared_about_it(trained: Project, word: str) -> None:
    found = shown(trained, word)
    told = [(one.stage, one.name, one.value, one.primary, one.goal, one.tolerance) for one in found.rows]
    assert told == [
        ('train@1', 'accuracy', 0.9583, True, 'max', 0.001),
        ('train@1', 'loss', 0.5, False, 'min', 0.0),
        ('train@1', 'size', 3, False, None, 0.0),
        ('train@2', 'accuracy', 0.5, True, 'max', 0.001),
        ('train@2', 'loss', 1, False, 'min', 0.0),
        ('best', 'value', 1, False, None, 0.0),
    ]
    assert found.missing == ()


def test_better_and_worse_by_the_goals(trained: Project) -> None:
    lay(trained, '{"accuracy": 0.9593, "loss": 0.6, "size": 4, "more": 1}', '{"accuracy": 0.6, "loss": 0.5}')
    trained.run()
    found = compared(trained)
    # 0.9593 - 0.9583 is a little more than the tolerance of 0.001 in binary.
    assert verdicts(found) == {'accuracy': 'within', 'loss': 'worse', 'size': 'changed', 'more': 'new'}
    assert verdicts(found, 'train@2') == {'accuracy': 'better', 'loss': 'better'}
    assert verdicts(found, 'best') == {'value': 'same'}
    assert [one.name for one in found.failing] == ['loss']
    assert row(found, 'loss').change == pytest.approx(0.1) and row(found, 'more').change is None
    assert row(found, 'more').before_note == 'not in the file'


def test_the_other_way_round(trained: Project) -> None:
    lay(trained, '{"accuracy": 0.9593, "loss": 0.6, "size": 4, "more": 1}')
    trained.run()
    found = compared(trained, 'workspace', 'HEAD')
    assert verdicts(found) == {'accuracy': 'within', 'loss': 'better', 'size': 'changed', 'more': 'gone'}
    assert found.failing == ()  # no goal was declared for what is gone


def test_nan_is_told_and_fails_where_there_is_a_goal(trained: Project) -> None:
    lay(trained, '{"accuracy": NaN, "loss": -Infinity, "size": NaN}')
    trained.run()
    found = compared(trained)
    assert [(one.name, one.after_note, one.after) for one in found.rows[:3]] == [
        ('accuracy', 'NaN', None),
        ('loss', '-inf', None),
        ('size', 'NaN', None),
    ]
    assert [one.name for one in found.failing] == ['accuracy', 'loss']
    assert verdicts(found) == {'accuracy': 'gone', 'loss': 'gone', 'size': 'gone'}
    assert {(one.name, one.value, one.note) for one in shown(trained).rows[:3]} == {
        ('accuracy', None, 'NaN'),
        ('loss', None, '-inf'),
        ('size', None, 'NaN'),
    }
    assert found.missing == ()


def test_what_is_not_recorded_is_told(trained: Project) -> None:
    lay(trained, '{"accuracy": 1.0, "loss": 0.1}')
    (trained.path / 'm' / '1.json').unlink()
    found = compared(trained)
    assert [(one.stage, one.point, one.reason) for one in found.missing] == [('train@1', 'workspace', 'not in the workspace')]
    assert verdicts(found) == {'accuracy': 'gone', 'loss': 'gone', 'size': 'gone'}
    assert [one.name for one in found.failing] == ['accuracy', 'loss']
    trained.commit('inputs without a run')
    missing = shown(trained, 'HEAD').missing
    assert [(one.stage, one.reason) for one in missing] == [('train@1', 'nothing recorded for this state')]


def test_a_file_that_cannot_be_read(trained: Project) -> None:
    trained.write('m/1.json', '{"accuracy": 1,\n "loss"}')
    found = compared(trained)
    (missing,) = found.missing
    assert missing.reason == "cannot be read: line 2: Expecting ':' delimiter"
    assert row(found, 'accuracy').after_note == missing.reason
    trained.write('m/1.json', f'[{"1, " * 1000}2]')
    assert compared(trained).missing[0].reason == 'cannot be read: holds more than 1,000 numbers'


def test_a_stage_that_is_gone_is_no_failure(trained: Project) -> None:
    trained.write('pipeline.yaml', PIPELINE.partition('  best:')[0].replace('[1, 2]', '[2]'))
    found = compared(trained)
    assert verdicts(found) == {'accuracy': 'gone', 'loss': 'gone', 'size': 'gone'}
    assert found.failing == () and row(found, 'loss').after_note == 'no such file there'


def test_a_run_is_compared_by_what_it_did(trained: Project) -> None:
    lay(trained, '{"accuracy": 0.99, "loss": 0.1}')
    run = trained.run().run
    assert run is not None
    found = compared(trained, 'HEAD', run.short)
    assert verdicts(found, 'train@2') == {'accuracy': 'same', 'loss': 'same'}  # fresh in it
    assert verdicts(found) == {'accuracy': 'better', 'loss': 'better', 'size': 'gone'}


def test_goals_are_those_declared_after(trained: Project) -> None:
    trained.write('pipeline.yaml', PIPELINE.replace('loss: min', 'loss: max'))
    trained.commit('another goal')
    lay(trained, '{"accuracy": 0.9583, "loss": 0.6, "size": 3}')
    trained.run()
    assert verdicts(compared(trained, 'HEAD~1'))['loss'] == 'better'


def test_a_project_without_anything(project: Project) -> None:
    project.write('pipeline.yaml', 'stages: {a: {cmd: "true", outs: [x]}}\n')
    assert shown(project) == Values((), ())


def test_a_clone_without_the_cache_has_the_numbers_of_its_pins(trained: Project, tmp_path: Path) -> None:
    trained.git('clone', '-q', str(trained.path), str(tmp_path / 'clone'))
    clone = Project(tmp_path / 'clone')
    told = [(one.stage, one.name, one.value) for one in shown(trained, 'HEAD').rows]
    assert told and [(one.stage, one.name, one.value) for one in shown(clone, 'HEAD').rows] == told
    assert [(one.stage, one.name, one.value) for one in shown(clone).rows] == told  # recorded, though nothing is in place
    assert compared(clone).missing == () and {one.verdict for one in compared(clone).rows} == {'same'}


def test_a_key_that_needs_what_is_not_in_the_cache_is_unknown(project: Project, tmp_path: Path) -> None:
    project.write(
        'pipeline.yaml',
        'stages:\n'
        '  make: {cmd: mkdir -p d && echo 1 > d/x, outs: [d]}\n'
        '  measure: {cmd: "echo \'{\\"n\\": 1}\' > m.json", deps: [d/x], metrics: [m.json]}\n',
    )
    project.run()
    project.commit('first')
    project.git('clone', '-q', str(project.path), str(tmp_path / 'clone'))
    found = shown(Project(tmp_path / 'clone'), 'HEAD')
    assert [(one.stage, one.reason) for one in found.missing] == [('measure', 'nothing recorded for this state')]


def test_numbers_of_files_that_are_out_of_date_are_marked(trained: Project) -> None:
    assert shown(trained).stale == compared(trained).stale == ()
    lay(trained, '{"accuracy": 1.0, "loss": 0.1}')
    assert shown(trained).stale == ('train@1',) == compared(trained).stale
    assert shown(trained, 'HEAD').stale == ()
    assert verdicts(compared(trained)) == {'accuracy': 'same', 'loss': 'same', 'size': 'same'}  # the files are as they were


def test_a_goal_without_a_number_fails_also_where_there_never_was_one(project: Project) -> None:
    project.write('pipeline.yaml', PIPELINE)
    lay(project, '{"accuracy": 1}')
    project.commit('before any run')
    found = compared(project)
    assert {(one.stage, one.name) for one in found.failing} == {
        (stage, name) for stage in ('train@1', 'train@2') for name in ('accuracy', 'loss')
    }
    project.run()
    assert [(one.stage, one.name, one.after_note) for one in compared(project).failing] == [
        ('train@1', 'loss', 'not in the file')
    ]
