"""The console script ends its process itself: what was printed is out, and the code is that of the command."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.project import Project


@pytest.mark.parametrize(
    ('words', 'code', 'out'),
    [
        (['--version'], 0, 'mlops '),
        (['nonsense'], 2, ''),
        (['plan'], 0, 'Time unknown'),
        (['plan', '--exit-code'], 3, 'Time unknown'),
        (['explain', 'nothing'], 2, ''),
    ],
)
def test_codes_and_all_of_the_output(project: Project, words: list[str], code: int, out: str) -> None:
    stages = ''.join(f'  s{number}: {{cmd: echo {number} > {number}, outs: ["{number}"]}}\n' for number in range(3))
    project.write('pipeline.yaml', f'version: 1\nstages:\n{stages}')
    done = subprocess.run(
        [sys.executable, '-m', 'mlops_cli', *words],
        cwd=project.path,
        env={**project.environ, 'PYTHONPATH': ':'.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, out in done.stdout, bool(done.stderr)) == (code, True, code == 2)


def test_what_cannot_be_printed_at_the_end_is_told() -> None:
    code = 'import sys; from mlops_cli import __main__ as m; m.main = lambda: sys.stdout.write("x"); m.start()'
    with open('/dev/full', 'w') as full:
        environ = {'PYTHONPATH': ':'.join(filter(None, sys.path))}  # and nothing that makes it write at once
        command = [sys.executable, '-c', code]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=environ, text=True, check=False)
    assert done.returncode == 120
    assert 'No space left' in done.stderr
