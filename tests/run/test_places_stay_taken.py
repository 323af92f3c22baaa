"""A place that a stage leaves is taken again before the work on its result begins, unless it has none to show."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.project import Project

PIPELINE = """\
stages:
  a:
    cmd: FIRST
    outs: [a.txt]
  b:
    cmd: echo b > b.txt
    outs: [b.txt]
"""


def happened(project: Project) -> list[tuple[str, str]]:
    (events,) = (project.path / '.mlops/local/live').glob('*/events.jsonl')
    found = [json.loads(line) for line in events.read_text().splitlines()]
    return [(one['event'], one['stage']) for one in found if one['event'] in ('stage-started', 'stage-ended')]


def test_the_next_stage_starts_before_the_result_of_the_one_before_it_is_taken_in(tmp_path: Path) -> None:
    project = Project(tmp_path / 'p')
    project.write('pipeline.yaml', PIPELINE.replace('FIRST', 'echo a > a.txt'))
    project.mlops('run', '-j1')
    assert [what for what, _ in happened(project)] == ['stage-started', 'stage-started', 'stage-ended', 'stage-ended']


def test_nothing_starts_after_a_stage_that_failed_or_lacks_an_output(tmp_path: Path) -> None:
    for number, command in enumerate(('exit 3', 'echo nothing')):
        project = Project(tmp_path / str(number))
        project.write('pipeline.yaml', PIPELINE.replace('FIRST', command))
        project.mlops('run', '-j1', 'a', 'b', code=1)
        assert ('stage-started', 'b') not in happened(project)
