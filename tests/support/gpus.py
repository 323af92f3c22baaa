"""Stages that want GPUs of a host that has two."""

from __future__ import annotations

from pathlib import Path

from tests.support.project import Project


def two_at_a_time(project: Project, folder: Path, host: str = 'cluster') -> None:
    """Each of four gets one of its own, and two of them run at once."""
    two = f'until [ $(grep -c + {folder}/now) -gt 1 ]; do sleep 0.1; done'  # the first waits for the second
    look = f'echo $CUDA_VISIBLE_DEVICES > $MLOPS_STAGE.txt; echo + >> {folder}/now; {two}; sleep 2; echo - >> {folder}/now'
    project.write('pipeline.yaml', 'stages:\n' + ''.join(
        f'  s{n}: {{cmd: "{look}", outs: [s{n}.txt], host: {host}, resources: {{gpus: 1}}}}\n' for n in range(4)
    ))
    project.mlops('run', '-j', '4')
    assert {project.read(f's{n}.txt') for n in range(4)} == {'0\n', '1\n'}
    level = [0]
    for sign in (folder / 'now').read_text().split():
        level.append(level[-1] + (1 if sign == '+' else -1))
    assert max(level) == 2
