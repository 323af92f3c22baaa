"""Two states of a project compared: each kind of difference, and what is said where something is not known."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from mlops_cli.core.errors import UserError
from mlops_cli.experiments.compare import Difference, compare
from mlops_cli.experiments.points import find_point
from mlops_cli.experiments.trees import counts, reader
from tests.support.project import Project


def difference(project: Project, before: str, after: str = 'workspace', **more: Any) -> Difference:
    bench = project.open()
    try:
        return compare(bench, find_point(bench, before), find_point(bench, after), **more)
    finally:
        bench.close()


@pytest.fixture
def ran(sums: Project) -> Project:
    sums.run()
    sums.commit('first')
    return sums


def last(project: Project) -> str:
    bench = project.open()
    try:
        return next(bench.runs.newest()).short
    finally:
        bench.close()


def statuses(found: Difference) -> dict[str, str]:
    return {one.stage: one.status for one in found.stages}


def test_a_state_is_the_same_by_all_its_names(ran: Project) -> None:
    for before in (last(ran), 'HEAD', 'workspace'):
        for after in (last(ran), 'HEAD', 'workspace'):
            found = difference(ran, before, after)
            assert found.empty and set(statuses(found).values()) == {'same'}, (before, after)


@pytest.mark.parametrize('run_it', [True, False], ids=['run', 'not run'])
@pytest.mark.parametrize('before', ['HEAD', 'run'])
def test_parameters_and_code(ran: Project, before: str, run_it: bool) -> None:
    """Told of the workspace whether or not it has been run."""
    word = last(ran) if before == 'run' else before
    ran.write('params.yaml', 'rows: 4\nrate: 2.0\n')
    ran.write('train.py', ran.read('train.py').replace('0.5 + rate', '0.25 + rate') + '# the end\n')
    if run_it:
        ran.run()
    found = difference(ran, word)
    assert [(one.name, one.before, one.after, one.stages) for one in found.params] == [
        ('rows', 3, 4, ('prepare',)),
        ('rate', 1.0, 2.0, ('train',)),
    ]
    (change,) = found.code
    assert (change.path, change.status, change.added, change.removed) == ('train.py', 'changed', 2, 1)
    assert '+# the end' in change.lines and change.lines[0] == '--- train.py'
    assert not found.empty and not found.commands and not found.data
    assert statuses(found) == {'prepare': 'changed', 'train': 'changed'}
    notes = {one.stage: one.note for one in found.stages}
    assert all(('out of date in the workspace' in note) != run_it for note in notes.values())


def test_outputs_metrics_and_usage(ran: Project) -> None:
    first = last(ran)
    ran.write('params.yaml', 'rows: 4\nrate: 1.05\n')
    ran.run()
    found = difference(ran, first, last(ran))
    outputs = {one.path: one for one in found.outputs}
    assert set(outputs) == {'prepared', 'model.txt', 'metrics.json'}
    inside = outputs['prepared'].inside
    assert inside is not None and (inside.added, inside.changed, inside.removed) == (1, 0, 0)
    assert inside.files == (('added', '3.txt', None, 21),)
    rows = {row.name: row for row in found.metrics.rows}
    assert rows['accuracy'].verdict == 'within', '0.605 and 0.6 are within the tolerance'
    assert rows['files'].verdict == 'changed'
    assert {(one.stage, one.name) for one in found.usage} >= {('train', 'seconds'), ('prepare', 'seconds')}
    better = difference(ran, last(ran), first)
    assert {row.name: row.verdict for row in better.metrics.rows}['accuracy'] == 'within'


def test_a_fresh_stage_is_the_same_not_gone(ran: Project) -> None:
    first = last(ran)
    ran.write('params.yaml', 'rows: 3\nrate: 2.0\n')
    ran.run()
    assert statuses(difference(ran, first, last(ran))) == {'prepare': 'same', 'train': 'changed'}
    assert statuses(difference(ran, last(ran), 'workspace')) == {'prepare': 'same', 'train': 'same'}


def test_commands_and_stages_of_one_side(ran: Project) -> None:
    first = last(ran)
    text = ran.read('pipeline.yaml').replace('cmd: python train.py', 'cmd: python train.py --fast')
    more = '  more:\n    matrix: {n: [1, 2]}\n    cmd: echo ${item.n} > m${item.n}\n    outs:\n      - m${item.n}\n'
    ran.write('pipeline.yaml', text + more)
    ran.run()
    found = difference(ran, first)
    assert [(one.before, one.after) for one in found.commands] == [('python train.py', 'python train.py --fast')]
    assert statuses(found) == {'prepare': 'same', 'train': 'changed', 'more@1': 'added', 'more@2': 'added'}
    assert statuses(difference(ran, 'workspace', first))['more@1'] == 'removed'
    assert [change.path for change in found.code] == ['pipeline.yaml']


def test_data_is_told_file_by_file(project: Project) -> None:
    stage = 'cmd: cat raw/sub/* > a.txt\n    deps: [raw, one.txt]\n    outs: [a.txt]\n'
    project.write('pipeline.yaml', f'stages:\n  a:\n    {stage}')
    for name in 'abc':
        project.write(f'raw/sub/{name}.txt', name)
    project.write('one.txt', '1')
    project.mlops('add', 'raw', code=None)
    project.run()
    first = last(project)
    project.write('raw/sub/a.txt', 'other')
    project.write('raw/sub/d.txt', 'new')
    (project.path / 'raw/sub/b.txt').unlink()
    project.write('one.txt', '2')
    for run_it in (False, True):
        if run_it:
            project.run()
        found = {one.path: one for one in difference(project, first).data}
        assert set(found) == {'raw', 'one.txt'} and found['one.txt'].inside is None
        inside = found['raw'].inside
        assert inside is not None and (inside.added, inside.changed, inside.removed) == (1, 1, 1)
        assert [(status, path) for status, path, _, _ in inside.files] == [
            ('changed', 'sub/a.txt'),
            ('removed', 'sub/b.txt'),
            ('added', 'sub/d.txt'),
        ]


def test_declared_variables_and_versions(project: Project) -> None:
    project.write('pipeline.yaml', 'stages:\n  a:\n    cmd: echo $MODE > a.txt\n    env: [MODE]\n    outs: [a.txt]\n')
    project.environ['MODE'] = 'slow'
    project.run()
    first = last(project)
    project.environ['MODE'] = 'fast'
    project.run()
    found = difference(project, first)
    assert [(one.name, one.before, one.after) for one in found.environment] == [('MODE', 'slow', 'fast')]


def test_where_sources_are_gone_files_are_named(ran: Project) -> None:
    first = last(ran)
    ran.write('train.py', ran.read('train.py').replace('rate / 10', 'rate / 20'))
    ran.run()
    second = last(ran)
    shutil.rmtree(ran.path / '.mlops' / 'cache')
    found = difference(ran, first, second)
    (change,) = found.code
    assert (change.path, change.status, change.lines) == ('train.py', 'changed', ())
    assert 'not in this cache' in change.note
    assert statuses(found) == {'prepare': 'same', 'train': 'changed'}
    assert {row.name: row.verdict for row in found.metrics.rows}['accuracy'] == 'worse', 'the pins tell the numbers'


def test_a_failed_stage_cannot_be_compared_but_what_was_set_is_told(ran: Project) -> None:
    first = last(ran)
    ran.write('train.py', 'raise SystemExit(3)\n')
    ran.run(overlay={('params.yaml', 'rate'): 9.0})
    found = difference(ran, first, last(ran))
    assert statuses(found) == {'prepare': 'same', 'train': 'unknown'}
    assert {one.stage: one.note for one in found.stages}['train'] == f'failed in run {last(ran)}'
    (rate,) = found.params
    assert (rate.name, rate.after, rate.known) == ('rate', 9.0, (False, True))


def test_trials_are_compared_by_what_they_used(ran: Project) -> None:
    one = ran.run(overlay={('params.yaml', 'rate'): 2.0}).run
    two = ran.run(overlay={('params.yaml', 'rate'): 3.0, ('params.yaml', 'rows'): 2}).run
    assert one is not None and two is not None
    found = difference(ran, one.short, two.short)
    assert {(change.name, change.before, change.after) for change in found.params} == {('rate', 2.0, 3.0), ('rows', 3, 2)}
    assert {row.name: row.verdict for row in found.metrics.rows} == {'accuracy': 'better', 'files': 'changed'}


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (lambda text: text.encode() + b'\0', 'not text'),
        (lambda text: text.replace('\n', '\r\n').encode(), 'only ends of lines'),
        (lambda text: (text + '#' * (1 << 20)).encode(), 'too large'),
        (lambda text: (text + '\n' * 30_000).encode(), 'too many'),
    ],
)
def test_what_has_no_lines_to_compare(ran: Project, change: Callable[[str], bytes], said: str) -> None:
    ran.write('train.py', change(ran.read('train.py')))
    (found,) = difference(ran, 'HEAD').code
    assert found.status == 'changed' and said in found.note and not found.lines


def test_code_that_is_new_and_gone(ran: Project) -> None:
    first = last(ran)
    ran.write('helper.py', 'def half(x):\n    return x / 2\n')
    ran.write('train.py', 'import helper\n' + ran.read('train.py'))
    there = {change.path: change for change in difference(ran, first).code}
    assert there['helper.py'].status == 'added' and there['helper.py'].added == 2
    ran.run()
    gone = {change.path: change for change in difference(ran, 'workspace', first).code}
    assert gone['helper.py'].status == 'removed' and gone['helper.py'].removed == 2


def test_without_code_none_is_read(ran: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    ran.write('train.py', '# nothing')
    monkeypatch.setattr('mlops_cli.experiments.compare.code_changes', None)
    assert difference(ran, 'HEAD', code=False).code == ()


def test_a_link_in_place_of_code_is_not_followed(ran: Project) -> None:
    secret = ran.path.parent / 'secret.py'
    secret.write_text('PASSWORD = 1\n')
    (ran.path / 'train.py').unlink()
    (ran.path / 'train.py').symlink_to(secret)
    try:
        found = difference(ran, 'HEAD')
    except UserError as error:  # refusing is as good
        assert 'train.py' in str(error)
    else:
        assert not any('PASSWORD' in line for change in found.code for line in change.lines)


def test_counting_ends_somewhere(ran: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('mlops_cli.experiments.trees.COUNTED', 2)
    bench = ran.open()
    before = find_point(bench, 'workspace').stages['prepare'].outputs['prepared']
    ran.write('params.yaml', 'rows: 9\nrate: 1.0\n')
    bench.close()
    ran.run('prepare')
    bench = ran.open()
    after = find_point(bench, 'workspace').stages['prepare'].outputs['prepared']
    found = counts(before.digest, after.digest, reader(bench))
    assert found is not None and found.more and found.added == 2
    bench.close()


def test_a_run_that_only_restored_tells_no_code_of_its_own(ran: Project) -> None:
    """What was kept with older results is believed as far as it is in their keys."""
    ran.write('params.yaml', 'rows: 3\nrate: 2.0\n')
    ran.run()
    ran.write('params.yaml', 'rows: 3\nrate: 1.0\n')
    ran.write('pipeline.yaml', '# another comment\n' + ran.read('pipeline.yaml'))
    ran.run()
    run = last(ran)
    found = difference(ran, run)
    assert found.empty and found.code == ()
    ran.write('train.py', ran.read('train.py') + 'more = 1\n')
    assert [change.path for change in difference(ran, run).code] == ['train.py']


def test_the_code_of_a_failed_stage_is_not_taken_for_new(ran: Project) -> None:
    first = last(ran)
    ran.write('train.py', 'raise SystemExit(3)\n')
    ran.run()
    assert difference(ran, last(ran), first).code == ()


def test_what_a_stage_made_is_an_output_though_the_stage_is_gone_now(project: Project) -> None:
    consumer = 'z: {cmd: cat made.txt > z.txt, deps: [made.txt], outs: [z.txt]}'
    pipeline = 'stages:\n  a: {cmd: echo NUMBER > made.txt, outs: [made.txt]}\n  ' + consumer + '\n'
    runs = []
    for number in '12':
        project.write('pipeline.yaml', pipeline.replace('NUMBER', number))
        project.run()
        runs.append(last(project))
    project.write('pipeline.yaml', f'stages:\n  {consumer}\n')
    found = difference(project, *runs)
    assert [change.path for change in found.outputs] == ['z.txt', 'made.txt'] and not found.data
    project.write('made.txt', '3\n')
    project.run()
    gone = difference(project, runs[1], last(project))
    assert [(one.stage, one.status) for one in gone.stages] == [('z', 'changed'), ('a', 'removed')]
    assert [(change.path, change.after is None) for change in gone.outputs] == [('z.txt', False), ('made.txt', True)]
