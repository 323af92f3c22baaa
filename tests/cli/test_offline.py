"""Only what says so asks a network: everything else never tries, whatever remotes and sources the project names."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.project import Project

# Runs the program in a process that tells of each look at the network, and of each name that is looked up.
WATCHED = """
import os, sys

def hook(event, arguments):
    if event in ('socket.connect', 'socket.getaddrinfo', 'socket.gethostbyname', 'socket.sendto'):
        if event != 'socket.connect' or not isinstance(arguments[1], (str, bytes)):
            os.write(2, f'NETWORK {event} {arguments[1:]}'.encode())
            os._exit(7)  # else it tries again, and again
    if event == 'subprocess.Popen' and os.path.basename(os.fsdecode(arguments[0] or arguments[1][0])) in ('ssh', 'curl', 'scp'):
        os.write(2, b'NETWORK by another program')

sys.addaudithook(hook)
sys.argv[0] = 'mlops'
from mlops_cli.__main__ import start
start()
"""
CONFIG = """\
remotes:
  origin: {url: s3://team-bucket/digits, price: 0.02}
  box: {url: ssh://gpu.example.org/srv/data}
"""


@pytest.fixture(scope='module')
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp('offline') / 'p')
    project.init_git()
    project.write('data/a.csv', 'x,y\n1,2\n')
    project.write(
        'pipeline.yaml',
        'stages:\n  make: {cmd: "cp data/a.csv out.csv; echo {} > m.json", deps: [data], outs: [out.csv, m.json]}\n',
    )
    project.mlops('add', 'data')
    project.mlops('run')
    project.write('.mlops/config.local.yaml', CONFIG)
    project.commit('all')
    return project


def watched(project: Project, *words: str) -> str:
    keys = {'AWS_ACCESS_KEY_ID': 'k', 'AWS_SECRET_ACCESS_KEY': 's', 'AWS_ENDPOINT_URL': 'http://127.0.0.1:9'}
    environ = {**project.environ, **keys}
    done = subprocess.run(
        [sys.executable, '-c', WATCHED, *words], cwd=project.path, env=environ, capture_output=True, timeout=120, check=False
    )
    return done.stdout.decode() + done.stderr.decode()


@pytest.mark.parametrize(
    'words',
    [
        ('status',), ('status', '--json'), ('plan',), ('run',), ('run', '--force', '--dry-run'), ('explain', 'make'),
        ('graph',), ('data', 'list'), ('checkout',), ('add', 'data'), ('verify',), ('gc', '--dry-run'), ('storage',),
        ('doctor',), ('remote', 'list'), ('config', 'list'), ('runs', 'list'), ('lineage', 'upstream', 'out.csv'), (),
    ],
    ids=' '.join,
)  # fmt: skip
def test_no_command_asks_a_network_by_itself(project: Project, words: tuple[str, ...]) -> None:
    said = watched(project, *words)
    assert 'NETWORK' not in said and said.strip()


def test_a_run_that_runs_asks_none_either(project: Project) -> None:
    assert 'NETWORK' not in watched(project, 'run', '--force')


@pytest.mark.parametrize('words', [('push', '-r', 'origin'), ('storage', 'show', '-r', 'origin')], ids=' '.join)
def test_who_says_so_does(project: Project, words: tuple[str, ...]) -> None:
    """Else nothing above could fail."""
    assert 'NETWORK' in watched(project, *words)
