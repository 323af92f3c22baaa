"""A run that waits for another one says for which, and names no record of its own where it has none."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from tests.support.project import Project

PIPELINE = """\
stages:
  t:
    cmd: touch HERE/begun; while [ ! -e HERE/go ]; do sleep 0.02; done; echo made > out.txt
    outs: [out.txt]
"""


def begin(project: Project) -> subprocess.Popen[str]:
    command = [sys.executable, '-m', 'mlops_cli', 'run']
    return subprocess.Popen(command, cwd=project.path, env=project.environ, stdout=-1, stderr=subprocess.STDOUT, text=True)


def test_the_one_that_waited_names_the_one_that_ran(tmp_path: Path) -> None:
    project = Project(tmp_path / 'p')
    project.write('pipeline.yaml', PIPELINE.replace('HERE', str(tmp_path)))
    first = begin(project)
    deadline = time.monotonic() + 120
    while not (tmp_path / 'begun').exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    second = begin(project)
    assert second.stdout is not None
    said = ''
    while 'waits for' not in said:
        line = second.stdout.readline()
        assert line, said
        said += line
    (tmp_path / 'go').touch()
    made, _ = first.communicate(timeout=120)
    rest, _ = second.communicate(timeout=120)
    run = re.findall(r'Run (\w+)\.', made)[0]
    assert f'  waiting   t: waits for run {run} (pid {first.pid} on ' in said and '0.00s' not in said
    assert f'  fresh     t: made meanwhile by run {run}' in rest.splitlines()
    assert ' Run ' not in rest and '1 fresh in ' in rest


def test_nothing_to_do_names_the_run_that_made_what_is_here(tmp_path: Path) -> None:
    project = Project(tmp_path / 'p')
    project.write('params.yaml', 'k: 1\n')
    project.write('pipeline.yaml', 'stages:\n  t:\n    cmd: test ${k} != 3 && echo ${k} > out.txt\n    outs: [out.txt]\n')
    run = re.findall(r'Run (\w+)\.', project.mlops('run').out)[0]
    project.write('params.yaml', 'k: 3\n')
    failed = project.mlops('run', code=1).out
    project.write('params.yaml', 'k: 1\n')
    assert re.findall(r'Run (\w+)\.', failed) != [run]
    assert f', run {run})' in project.mlops('run').out
