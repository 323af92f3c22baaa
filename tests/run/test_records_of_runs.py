"""What a run leaves in git, seen from the run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from mlops_cli.core.events import Event, Note
from tests.support.project import Project


def pipeline(project: Project) -> None:
    project.write(
        'pipeline.yaml', 'stages:\n  a:\n    cmd: cp in.txt a.txt\n    deps: [in.txt]\n    secrets: [PASS]\n    outs: [a.txt]\n'
    )
    project.write('in.txt', 'x\n')


def test_the_command_line_is_kept_without_secrets(project: Project) -> None:
    project.environ['PASS'] = 'correct-horse'
    pipeline(project)
    report = project.run(command=('mlops', 'run', '--set', 'a=correct-horse', 'ghp_' + 'a1B2' * 9))
    assert report.run is not None
    assert 'correct-horse' not in ' '.join(report.run.command) and 'ghp_' not in ' '.join(report.run.command)
    for folder, _, names in os.walk(project.path / '.mlops'):
        for name in names:
            with open(os.path.join(folder, name), 'rb') as file:
                assert b'correct-horse' not in file.read(), name


def test_an_unwritable_gitignore_costs_a_note_not_the_run(project: Project) -> None:
    pipeline(project)
    (project.path / '.gitignore').symlink_to('elsewhere')
    events: list[Event] = []
    assert project.run(events=events).ended == 'done'
    assert any(isinstance(event, Note) and 'git will see the outputs' in event.text for event in events)
    assert set(project.verdicts().values()) == {'fresh'}


def test_an_output_that_git_tracks_is_told(project: Project) -> None:
    pipeline(project)
    project.write('a.txt', 'by hand\n')
    project.commit('with the output')
    events: list[Event] = []
    project.run(events=events)
    assert any(isinstance(event, Note) and 'git rm -r --cached a.txt' in event.text for event in events)


def test_data_of_another_commit_is_told_before_it_is_used(project: Project) -> None:
    pipeline(project)
    project.mlops('add', 'in.txt')
    project.commit('one')
    project.write('in.txt', 'y\n')
    events: list[Event] = []
    project.run(events=events)
    assert any(isinstance(event, Note) and 'mlops checkout in.txt' in event.text for event in events)


def test_an_isolated_failure_blames_isolation_only_where_something_is_missing(project: Project) -> None:
    hints = {}
    for name, command in (('gate', 'echo no; exit 1'), ('lost', 'cat und*.txt')):
        project.write('undeclared.txt', '')
        project.write('pipeline.yaml', f'stages:\n  a:\n    cmd: {command}\n    isolate: folder\n')
        event = project.run().settled['a'].event
        assert event is not None
        hints[name] = event.hint
    assert hints['gate'] == '' and 'folder of its own' in hints['lost']


PARAMETER = """\
stages:
  first:
    cmd: |
      echo '{"n": 7}' > numbers.json
      cp params.yaml first.txt
    params: [rate]
    outs: [first.txt]
    metrics: [numbers.json]
  slow:
    cmd: |
      touch {outside}/started
      while [ ! -e {outside}/go ]; do sleep 0.02; done
      cp first.txt slow.txt
    deps: [first.txt]
    outs: [slow.txt]
"""


def test_a_killed_trial_can_be_taken_over(project: Project) -> None:
    """Its record is written by the next command, from the journal; what was set is in it."""
    project.write('pipeline.yaml', PARAMETER.replace('{outside}', str(project.path.parent)))  # a trial has its own folder
    project.write('params.yaml', 'rate: 1\n')
    commit = project.commit('one')
    process = subprocess.Popen(
        [sys.executable, '-m', 'mlops_cli', 'run', '--set', 'rate=2'],
        cwd=project.path,
        env=project.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 60
    while not (project.path.parent / 'started').exists():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    process.kill()
    process.wait()
    project.write('../go', '')
    project.mlops('checkout', code=None)
    bench = project.open()
    (run,) = bench.runs.newest()
    bench.close()
    assert (run.ended, run.overlay) == ('killed', (('params.yaml', 'rate', 2),))
    assert (run.commit, run.branch) == (commit, 'main')
    states = {one.name: one.state for one in run.stages}
    assert states['slow'] == 'interrupted'
    if states['first'] == 'done':  # else it was killed before the group of its result was durable
        assert run.metrics == (('first', 'numbers.json', 'n', 7),)
    project.mlops('runs', 'apply', run.short)
    assert project.read('params.yaml') == 'rate: 2\n'
    assert project.read('slow.txt') == 'rate: 2\n'


def test_a_killed_run_keeps_what_its_templates_used(project: Project) -> None:
    stages = 'first: {cmd: "echo ${rate} > a", outs: [a]}'
    stages += ', slow: {cmd: "echo ${secret} ${long} && touch started && sleep 60", deps: [a]}'
    project.write('pipeline.yaml', f'stages: {{{stages}}}')
    project.write('params.yaml', f'rate: 3\nunused: 1\nlong: {"x" * 300}\nsecret: q7Zr2Lw9Xk4Vn1Tb8Yd\n')
    words = [sys.executable, '-m', 'mlops_cli', 'run', '-q']
    environ = {**project.environ, 'API_TOKEN': 'q7Zr2Lw9Xk4Vn1Tb8Yd'}
    process = subprocess.Popen(words, cwd=project.path, env=environ, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not project.exists('started'):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    process.kill()
    process.wait()
    project.mlops('checkout', code=None)
    (row,) = project.mlops('runs', 'list', '--json').json['rows']
    assert row['ended'] == 'killed' and row['param.rate'] == 3 and 'param.unused' not in row
    bench = project.open()
    (run,) = bench.runs.newest()
    bench.close()
    assert run.values is not None and run.values_left_out == 1
    assert {key for _, key, _ in run.values} == {'rate', 'secret'} and 'q7Zr2' not in str(run.values)


def test_nothing_to_do_names_no_trial(project: Project) -> None:
    project.write('pipeline.yaml', 'stages:\n  a:\n    cmd: cp params.yaml a.txt\n    params: [rate]\n    outs: [a.txt]\n')
    project.write('params.yaml', 'rate: 1\n')
    run, trial = project.run().run, project.run(overlay={('params.yaml', 'rate'): 2}).run
    assert run is not None and trial is not None
    said = project.mlops('run').out
    assert f'run {run.short}' in said and trial.short not in said


def test_nothing_to_do_still_keeps_outputs_out_of_a_repository_that_came_later(tmp_path: Path) -> None:
    project = Project(tmp_path / 'late')
    project.write('pipeline.yaml', 'stages:\n  a:\n    cmd: echo 1 > a.txt; echo 2 > "b c"\n    outs: [a.txt, b c]\n')
    assert project.run().ignored == ()
    project.init_git()
    said = project.mlops('run')
    assert 'Nothing to do' in said.out and 'Keep it: git add .gitattributes .gitignore' in said.out
    assert project.read('.gitignore').splitlines() == ['/a.txt', '/b\\ c']
    project.write('.gitignore', '')
    project.git('add', '-A')
    assert "git rm -r --cached a.txt 'b c'" in project.mlops('run').err


def test_an_unknown_host_is_told_also_where_nothing_would_go_there(project: Project) -> None:
    project.write('pipeline.yaml', 'stages:\n  a:\n    cmd: echo 1 > a.txt\n    outs: [a.txt]\n')
    project.mlops('run', '-q', '--host', 'local')
    assert "there is no host 'gpu1'" in project.mlops('run', '--host', 'gpu1', code=2).err
    assert 'Nothing to do' in project.mlops('run', '--host', 'any').out


def test_fresh_stages_are_named_in_the_record(project: Project) -> None:
    project.write(
        'pipeline.yaml',
        'stages:\n  a:\n    cmd: echo 1 > a.txt\n    outs: [a.txt]\n'
        '  b:\n    cmd: cp a.txt b.txt\n    deps: [a.txt]\n    params: [rate]\n    outs: [b.txt]\n',
    )
    project.write('params.yaml', 'rate: 1\n')
    first = project.run().run
    project.write('params.yaml', 'rate: 2\n')
    second = project.run().run
    assert first is not None and second is not None
    a = first.stages[0]
    assert first.fresh_stages == () and second.fresh_stages == (('a', a.key, a.outs8),)
    bench = project.open()
    assert next(bench.runs.newest()).fresh_stages == second.fresh_stages
    bench.close()
