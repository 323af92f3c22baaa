"""A project that was opened and closed leaves nothing open."""

from __future__ import annotations

import os

from tests.support.project import Project


def test_nothing_stays_open(project: Project) -> None:
    project.write(
        'pipeline.yaml',
        'stages:\n  a:\n    cmd: mkdir -p o; cp in.txt o/x\n    deps: [in.txt]\n    params: [x]\n    outs: [o]\n',
    )
    project.write('params.yaml', 'x: 1\n')
    project.write('in.txt', '1')
    project.run()
    project.plan()
    before = len(os.listdir('/proc/self/fd'))
    for text in ('2', '3'):
        project.write('in.txt', text)
        project.plan()
        project.run()
        project.run(overlay={('params.yaml', 'x'): int(text)})
    assert len(os.listdir('/proc/self/fd')) == before
