"""An input that changes while its stage runs, and is what it was when the stage ends."""

from __future__ import annotations

from mlops_cli.core.events import Event, StageEnded
from tests.support.project import Project

PIPELINE = 'version: 1\nstages:\n  a:\n    cmd: sh a.sh\n    deps: [in.txt, other.txt]\n    outs: [out]\n'


def notes(project: Project) -> tuple[str, ...]:
    events: list[Event] = []
    project.run(events=events)
    (ended,) = [one for one in events if isinstance(one, StageEnded)]
    assert ended.state == 'done', ended
    return ended.notes


def begin(project: Project, script: str) -> None:
    project.write('pipeline.yaml', PIPELINE)
    project.write('in.txt', 'one\n')
    project.write('other.txt', 'two\n')
    project.write('a.sh', script)


def test_there_and_back_is_told(project: Project) -> None:
    begin(project, 'sleep 0.05; cp in.txt keep; echo changed > in.txt; cat in.txt > out; cat keep > in.txt\n')
    (note,) = notes(project)
    assert note.startswith('in.txt was written while it ran') and 'other.txt' not in note
    assert project.verdicts() == {'a': 'fresh'}, 'its content is what the key says'


def test_reading_is_not_writing(project: Project) -> None:
    begin(project, 'cat in.txt other.txt > out; test -r in.txt; stat in.txt\n')
    assert notes(project) == ()


def test_what_was_written_just_before_is_no_matter(project: Project) -> None:
    begin(project, 'cat in.txt > out\n')
    for text in ('x\n', 'y\n', 'z\n'):
        project.write('in.txt', text)
        assert notes(project) == ()


def test_another_name_of_it_is_none_either(project: Project) -> None:
    begin(project, 'sleep 0.05; ln in.txt link; cat in.txt > out\n')
    assert notes(project) == ()
