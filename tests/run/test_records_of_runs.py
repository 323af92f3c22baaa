"""What a run leaves in git, seen from the run."""

from __future__ import annotations

import os

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
