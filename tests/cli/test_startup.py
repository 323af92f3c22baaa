"""What starts quickly imports little: a budget on names and on how many, since times depend on the machine."""

from __future__ import annotations

import subprocess
import sys
import time
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
# What most commands go without: the command line library, and what of the standard library is slow to load.
SLOW = {
    'typer', 'dataclasses', 'inspect', 'concurrent.futures', 'logging', 'difflib', 'tomllib', 'tempfile', 'platform',
    'tokenize', 'mlops_cli.cli.tree', 'mlops_cli.cli.groups', 'mlops_cli.fingerprint.pyast_text',
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


def imported(project: Project, arguments: Sequence[str], **more: str) -> set[str]:
    """The modules that one command imports beyond those of a bare interpreter.  ``more``: of the environment; answers that
    were given before are not taken unless it says so."""
    done = subprocess.run(
        [sys.executable, '-c', CODE.format(arguments=list(arguments))],
        cwd=project.path,
        env={**project.environ, 'MLOPS_QUICK': '0', **more},
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


@pytest.mark.parametrize('arguments', [['--help'], ['run', '-h'], ['runs', 'list', '--help']], ids=' '.join)
def test_help_needs_nothing(project: Project, arguments: list[str]) -> None:
    found = imported(project, arguments)
    assert {name for name in found if not name.startswith('mlops_cli')} <= {'__future__', 'gc'}
    assert len(found) < 10


def test_help_for_a_narrow_terminal_needs_no_project(project: Project) -> None:
    found = imported(project, ['--help'], COLUMNS='60')
    assert 'typer' in found and not found & {*NEVER, *PROJECT, *RUNNING}


def test_a_status_that_was_told_before_needs_little(done: Project) -> None:
    time.sleep(0.1)  # what changed just now may change again unseen, so its state is not kept
    for _ in range(3):  # the first of a user's makes the token, which changes the home
        found = imported(done, ['status'], MLOPS_QUICK='1')
        if 'typing' not in found:
            break
    assert not found & {*NEVER, *SLOW, *PROJECT, 'typing', 're', 'json'}
    assert len(found) < 25


def test_tab_needs_no_library(project: Project) -> None:
    found = imported(project, [], _MLOPS_COMPLETE='complete_bash', COMP_LINE='mlops sta')
    assert not found & {*NEVER, 'typer', 'dataclasses', 'logging', *PROJECT, *RUNNING}
    assert len(found) < 70


@pytest.mark.parametrize(
    ('arguments', 'most'),
    [
        (['status'], 310),
        (['status', '--json'], 310),
        (['plan'], 310),
        (['explain', 'a'], 280),
        (['logs', 'a'], 300),
        (['metrics', 'show'], 300),
        (['config', 'list'], 155),
    ],
    ids=str,
)
def test_looking_needs_nothing_that_runs(done: Project, arguments: list[str], most: int) -> None:
    found = imported(done, arguments)
    allowed = RUNNING if arguments[0] == 'logs' else set[str]()
    assert found & {*NEVER, *SLOW, *RUNNING} - allowed == set()
    assert len(found) < most


def test_a_mistyped_command_needs_no_library(project: Project) -> None:
    code = CODE.format(arguments=['statsu']).replace('assert not ended.code', 'assert ended.code == 2')
    done = subprocess.run([sys.executable, '-c', code], cwd=project.path, env=project.environ, capture_output=True, text=True)
    found = set(done.stderr.splitlines())
    assert 'difflib' in found and not found & {'typer', *NEVER, *PROJECT, *RUNNING}


def test_a_list_of_runs_needs_the_records_only(done: Project) -> None:
    done.mlops('runs', 'list')
    found = imported(done, ['runs', 'list'])
    assert 'mlops_cli.records.history' in found
    needless = {'mlops_cli.run.workbench', 'mlops_cli.run.invoke', 'mlops_cli.fingerprint.stage', 'mlops_cli.plan.planner'}
    assert not found & {*NEVER, *SLOW, *RUNNING, *needless}
    assert len(found) < 260


def test_a_run_with_nothing_to_do_starts_nothing(done: Project) -> None:
    assert not imported(done, ['run']) & {*NEVER, 'mlops_cli.job.supervisor'}


def test_the_budget_would_notice(done: Project) -> None:
    """A name that is always there is found, so the sets above are compared with something."""
    found = imported(done, ['status'])
    assert {'mlops_cli.cli.screens.status', 'mlops_cli.plan.planner', 'yaml'} <= found


def test_a_pipeline_that_is_as_it_was_is_not_read_as_yaml(done: Project) -> None:
    loading = ('load', 'build', 'expand', 'check', 'sources')
    needless = {'yaml', 'jsonschema_rs', *(f'mlops_cli.pipeline.{name}' for name in loading)}
    imported(done, ['plan'], MLOPS_QUICK='1')
    for command in (['plan', 'a'], ['explain', 'a'], ['run', 'a']):
        assert not imported(done, command, MLOPS_QUICK='1') & needless
    done.write('pipeline.yaml', done.read('pipeline.yaml') + '# more\n')
    assert needless <= imported(done, ['plan', 'a'], MLOPS_QUICK='1')
    assert not imported(done, ['plan', 'a'], MLOPS_QUICK='1') & needless
    assert needless <= imported(done, ['plan', 'a'], MLOPS_QUICK='0')
