"""What starts quickly imports little: a budget on names, since times depend on the machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.support.project import Project

NEVER = {  # whatever the command does, these are not needed for it
    'networkx', 'rich', 'git', 'gitdb', 'psutil', 'pynvml', 'fsspec', 's3fs', 'asyncio', 'ruamel', 'simpleeval', 'numpy',
    'aiohttp', 'botocore', 'xml', 'http', 'multiprocessing', 'unittest', 'pydoc', 'mlops_cli.cli.console.moving',
}  # fmt: skip
RUNNING = {  # what only a stage that runs needs
    'mlops_cli.run.scheduler', 'mlops_cli.run.attempt', 'mlops_cli.run.settle', 'mlops_cli.job.supervisor',
    'mlops_cli.executors.local',
}  # fmt: skip
PROJECT = {'yaml', 'sqlite3', 'jsonschema_rs', 'mlops_cli.pipeline.load', 'mlops_cli.store', 'mlops_cli.fingerprint'}
CODE = """
import sys
before = set(sys.modules)
from mlops_cli.__main__ import main
sys.argv = ['mlops', *{arguments!r}]
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
sys.stderr.write('\\n'.join(sorted(set(sys.modules) - before)))
"""


def imported(project: Project, arguments: Sequence[str]) -> set[str]:
    """The modules that one command imports beyond those of a bare interpreter."""
    done = subprocess.run(
        [sys.executable, '-c', CODE.format(arguments=list(arguments))],
        cwd=project.path,
        env=project.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    found = set(done.stderr.splitlines())
    assert found
    return found


@pytest.fixture
def done(project: Project) -> Project:
    project.write('pipeline.yaml', 'version: 1\nstages:\n  a:\n    cmd: echo 1 > a.txt\n    outs: [a.txt]\n')
    project.mlops('run')
    return project


def test_a_version_needs_nothing(project: Project) -> None:
    found = imported(project, ['--version'])
    assert not {name for name in found if name.split('.')[0] not in ('mlops_cli',)} & {'typer', 'blake3', *NEVER, *PROJECT}
    assert len(found) < 5


def test_help_needs_no_project(project: Project) -> None:
    found = imported(project, ['--help'])
    assert not found & {*NEVER, *PROJECT, *RUNNING}


@pytest.mark.parametrize('arguments', [['status'], ['plan'], ['status', '--json']], ids=' '.join)
def test_looking_needs_nothing_that_runs(done: Project, arguments: list[str]) -> None:
    found = imported(done, arguments)
    assert not found & {*NEVER, *RUNNING}


def test_a_list_of_runs_needs_the_records_only(done: Project) -> None:
    done.mlops('runs', 'list')
    found = imported(done, ['runs', 'list'])
    assert 'mlops_cli.records.history' in found
    needless = {'mlops_cli.run.workbench', 'mlops_cli.run.invoke', 'mlops_cli.fingerprint.stage', 'mlops_cli.plan.planner'}
    assert not found & {*NEVER, *RUNNING, *needless}


def test_a_run_with_nothing_to_do_starts_nothing(done: Project) -> None:
    assert not imported(done, ['run']) & {*NEVER, 'mlops_cli.job.supervisor'}


def test_the_budget_would_notice(done: Project) -> None:
    """A name that is always there is found, so the sets above are compared with something."""
    found = imported(done, ['status'])
    assert {'mlops_cli.cli.screens.status', 'mlops_cli.plan.planner', 'yaml'} <= found
