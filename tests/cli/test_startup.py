"""What starts quickly imports little: a budget on names and on how many, since times depend on the machine."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec

import pytest

from tests.support.project import Project

NEVER = {  # whatever the command does, these are not needed for it
    'networkx', 'rich', 'git', 'gitdb', 'psutil', 'pynvml', 'fsspec', 's3fs', 'asyncio', 'ruamel', 'numpy',
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
# What only reading a pipeline, of which nothing is known yet, needs: afterwards it is kept as it was read.
READING = {'yaml', 'jsonschema_rs', 'mlops_cli.yamlfile', 'mlops_cli.pipeline.load', 'mlops_cli.pipeline.template'}
# What no command needs after an edit, be it of the standard library (some of which others bring along) or ours.
NEEDLESS = {
    'pathlib', 'urllib', 'ipaddress', 'email', 'socket', 'random', 'ast', 'getpass', 'string', 'calendar', 'secrets',
    'encodings.ascii', 'mlops_cli.core.secrets', 'mlops_cli.records.destinations',
    'mlops_cli.cli.quick.looked', 'mlops_cli.fingerprint.pyimports', 'mlops_cli.executors.all',
}  # fmt: skip
ASKING_GIT = {'subprocess', 'selectors', 'signal', 'locale'}
LOCKING = {'mlops_cli.fsio.locks', 'mlops_cli.fsio.holders', 'mlops_cli.fsio.journal'}
DESCRIBING = {'mlops_cli.fingerprint.closure', 'mlops_cli.fingerprint.commands', 'mlops_cli.fingerprint.search'}
PLANNING = {'mlops_cli.plan.planner', 'mlops_cli.run.outlook'}
PLACING = {'mlops_cli.run.checkout', 'mlops_cli.store.materialise'}
STATUS = {'mlops_cli.cli.screens.status', 'mlops_cli.cli.standing', 'mlops_cli.records.history', 'mlops_cli.run.live'}
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
    end = time.monotonic() + 100  # the first of a user's makes the token, which changes the home; others touch what is above
    while 'typing' in (found := imported(done, ['status'], MLOPS_QUICK='1')) and time.monotonic() < end:
        time.sleep(0.1)  # what changed just now may change again unseen, so its state is not kept
    assert not found & {*NEVER, *SLOW, *PROJECT, 'typing', 're', 'json'}
    assert len(found) < 25


def test_tab_needs_no_library(project: Project) -> None:
    found = imported(project, [], _MLOPS_COMPLETE='complete_bash', COMP_LINE='mlops sta')
    assert not found & {*NEVER, 'typer', 'dataclasses', 'logging', *PROJECT, *RUNNING}
    assert len(found) < 70


@pytest.mark.parametrize(
    ('arguments', 'most'),
    [
        (['status'], 255),
        (['status', '--json'], 257),
        (['plan'], 237),
        (['explain', 'a'], 230),
        (['logs', 'a'], 224),
        (['metrics', 'show'], 261),
        (['config', 'list'], 132),
    ],
    ids=str,
)
def test_looking_needs_nothing_that_runs(done: Project, arguments: list[str], most: int) -> None:
    found = imported(done, arguments)
    allowed = RUNNING if arguments[0] == 'logs' else set[str]()
    assert found & {*NEVER, *SLOW, *RUNNING} - allowed == set()
    assert len(found) < most


@pytest.fixture
def edited(project: Project) -> Project:
    """Of which everything is known, but for one file that was edited since."""
    text = 'version: 1\nstages:\n  a:\n    cmd: cp in.txt a.txt\n    deps: [in.txt]\n    outs: [a.txt]\n'
    project.write('pipeline.yaml', text)
    project.write('in.txt', 'one')
    project.write('data.txt', 'much')
    project.mlops('run')
    project.mlops('runs', 'list')
    project.commit('made')
    time.sleep(0.1)  # what changed just now may change again unseen, so its state is not kept
    project.mlops('status')
    project.write('in.txt', 'another')
    return project


@pytest.mark.parametrize(
    ('arguments', 'needless', 'most'),
    [
        (['plan'], {*ASKING_GIT, *LOCKING, *PLACING, *STATUS, 'mlops_cli.core.events'}, 204),
        (['status'], {*PLACING, 'mlops_cli.fsio.journal', 'mlops_cli.core.events', 'mlops_cli.records.history'}, 222),
        (['run', '--dry-run'], {*ASKING_GIT, *LOCKING, *PLACING, *STATUS}, 204),
        (['add', 'data.txt'], {*STATUS, *DESCRIBING, *PLANNING, *PLACING}, 201),  # who writes looks for what a killed run left
        (['runs', 'list'], {*ASKING_GIT, *DESCRIBING, *PLACING, 'mlops_cli.plan.model', 'mlops_cli.store.local'}, 164),
        (['lineage', 'upstream', 'a.txt'], {*ASKING_GIT, *DESCRIBING, *PLANNING, *PLACING, 'difflib'}, 187),
    ],
    ids=lambda value: '-'.join(value) if isinstance(value, list) else '',
)
def test_after_an_edit_little_is_loaded(edited: Project, arguments: list[str], needless: set[str], most: int) -> None:
    found = imported(edited, arguments, MLOPS_QUICK='1')
    assert not found & {*NEVER, *SLOW, *RUNNING, *READING, *NEEDLESS, *needless}
    assert len(found) < most


def test_a_right_pipeline_needs_no_library_for_its_schema(done: Project) -> None:
    found = imported(done, ['plan'])
    assert 'mlops_cli.pipeline.load' in found and 'jsonschema_rs' not in found


def test_what_brings_an_output_back_loads_what_it_needs(edited: Project) -> None:
    edited.write('in.txt', 'one')
    (edited.path / 'a.txt').unlink()
    found = imported(edited, ['checkout'], MLOPS_QUICK='1')
    assert {'mlops_cli.run.checkout', 'mlops_cli.store.materialise'} <= found
    assert edited.read('a.txt') == 'one'
    assert not found & {*NEVER, *SLOW, *RUNNING, *READING, *NEEDLESS, *STATUS}
    assert len(found) < 220


def test_a_run_of_one_stage_loads_what_it_needs(edited: Project) -> None:
    found = imported(edited, ['run'], MLOPS_QUICK='1')
    assert {'mlops_cli.run.scheduler', 'mlops_cli.executors.local'} <= found
    needless = {'concurrent.futures', 'logging', 'dataclasses', 'inspect', 'tempfile', 'difflib', 'mlops_cli.run.checkout'}
    assert not found & {*NEVER, *needless, 'yaml', 'jsonschema_rs', 'mlops_cli.pipeline.load'}
    assert len(found) < 292


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
    assert len(found) < 207


def test_a_run_with_nothing_to_do_starts_nothing(done: Project) -> None:
    assert not imported(done, ['run']) & {*NEVER, 'mlops_cli.job.supervisor'}


def test_the_budget_would_notice(done: Project) -> None:
    """A name that is always there is found, so the sets above are compared with something."""
    found = imported(done, ['status'])
    assert {'mlops_cli.cli.screens.status', 'mlops_cli.plan.planner', 'yaml'} <= found


def test_a_pipeline_that_is_as_it_was_is_not_read_as_yaml(done: Project) -> None:
    loading = ('load', 'build', 'expand', 'check', 'sources')
    needless = {'yaml', *(f'mlops_cli.pipeline.{name}' for name in loading)}
    imported(done, ['plan'], MLOPS_QUICK='1')
    for command in (['plan', 'a'], ['explain', 'a'], ['run', 'a']):
        assert not imported(done, command, MLOPS_QUICK='1') & needless
    done.write('pipeline.yaml', done.read('pipeline.yaml') + '# more\n')
    assert needless <= imported(done, ['plan', 'a'], MLOPS_QUICK='1')
    assert not imported(done, ['plan', 'a'], MLOPS_QUICK='1') & needless
    assert needless <= imported(done, ['plan', 'a'], MLOPS_QUICK='0')


def test_the_budget_names_what_there_is() -> None:
    """A module that is called otherwise by now would never be noticed."""
    sets = (NEVER, RUNNING, SLOW, READING, NEEDLESS, ASKING_GIT, LOCKING, DESCRIBING, PLANNING, PLACING, STATUS, PROJECT)
    ours = sorted(name for name in set().union(*sets) if name.startswith('mlops_cli.'))
    assert [name for name in ours if find_spec(name) is None] == []


def test_a_run_that_began_loads_nothing_of_ours(project: Project) -> None:
    """Another version may be installed while it goes on."""
    first = '  a: {cmd: "echo 1 > a.txt", outs: [a.txt]}\n'
    then = '  b: {cmd: "echo {x: 1} > b.yaml; cat a.txt", deps: [a.txt], metrics: [b.yaml]}\n'
    project.write('pipeline.yaml', f'version: 1\nstages:\n{first}{then}  c: {{cmd: "cat b.yaml; exit 3", deps: [b.yaml]}}\n')
    project.mlops('run', 'a')  # from then on nothing is loaded to read the pipeline
    code = CODE.format(arguments=['run']).replace('assert not ended.code', 'assert ended.code == 1').replace(
        'import main\n',
        'import main\n'
        'from mlops_cli.run import scheduler\n'
        'begin = scheduler.Scheduler.run\n'
        'def run(self):\n'
        '    global before\n'
        '    before = set(sys.modules)\n'
        '    return begin(self)\n'
        'scheduler.Scheduler.run = run\n',
        1,
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=project.path, env=project.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {name for name in done.stderr.split() if name.startswith('mlops_cli.')}
    assert found == set()
