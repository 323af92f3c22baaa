"""What to try where Python does not find a module."""

from __future__ import annotations

import pytest

from mlops_cli.fingerprint.closure import Found
from mlops_cli.pipeline.spec import Command, Stage
from mlops_cli.run.unimportable import hint
from tests.support.project import Project

STAGE = Stage('a', 'a', Command('shell', ('python x.py',)))
DEEP = Stage('a', 'a', Command('shell', ('python x.py',)), wdir='work/here')
FOUND = Found(('scripts/x.py', 'src/pkg/__init__.py', 'src/pkg/deep/model.py', 'lib.py'), python='/usr/bin/python3')


@pytest.mark.parametrize(
    ('stage', 'line', 'words'),
    [
        (STAGE, "ModuleNotFoundError: No module named 'pkg'", ('src/pkg is there', 'PYTHONPATH=src ', 'pip install -e .')),
        (STAGE, "ModuleNotFoundError: No module named 'pkg.deep'", ('PYTHONPATH=src ',)),
        (STAGE, '/usr/bin/python3: No module named pkg', ('PYTHONPATH=src ',)),
        (STAGE, "ModuleNotFoundError: No module named 'lib'", ('lib is there', 'not look in the project', 'PYTHONPATH=. ')),
        (DEEP, "ModuleNotFoundError: No module named 'pkg'", ('PYTHONPATH=../../src ',)),
        (STAGE, "ModuleNotFoundError: No module named 'sklearn'", ('/usr/bin/python3 has no sklearn', 'environment:')),
    ],
)
def test_what_to_try(stage: Stage, line: str, words: tuple[str, ...]) -> None:
    found = hint(stage, FOUND, ['Traceback (most recent call last):', '  import x', line, ''])
    assert all(word in found for word in words), found


@pytest.mark.parametrize('line', ['FileNotFoundError: pkg', 'there is No module named pkg here', 'ValueError: pkg', ''])
def test_other_failures(line: str) -> None:
    assert hint(STAGE, FOUND, [line]) == '' == hint(STAGE, None, ["ModuleNotFoundError: No module named 'pkg'"])


def test_a_src_layout_that_is_not_installed(project: Project) -> None:
    project.write('src/words/__init__.py', 'LIMIT = 3\n')
    project.write('scripts/count.py', 'from words import LIMIT\nopen("out", "w").write(str(LIMIT))\n')
    project.write('pipeline.yaml', text := 'version: 1\nstages:\n  count:\n    cmd: python scripts/count.py\n    outs: [out]\n')
    said = project.mlops('run', code=1).out
    words = 'src/words is there, but Python does not look in src: PYTHONPATH=src in front of it'
    assert words in ' '.join(said.split())
    project.write('pipeline.yaml', text.replace('cmd: ', 'cmd: PYTHONPATH=src '))
    project.mlops('run')
    assert project.read('out') == '3'
