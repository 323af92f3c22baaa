"""Environments on a host, behind a real sshd: made once for what a lock file says, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.slurm import Slurm
from tests.servers.sshd import Sshd
from tests.support.project import Project

PIPELINE = """\
stages:
  train:
    cmd: python train.py > out.txt
    code: {paths: [train.py]}
    outs: [out.txt]
    host: gpu1
    environment: {venv: requirements.txt}
"""


def wheel(folder: Path, version: str, name: str = 'farpackage') -> Path:
    """A package as an index has it."""
    folder.mkdir(exist_ok=True)
    path = folder / f'{name}-{version}-py3-none-any.whl'
    about = f'{name}-{version}.dist-info'
    with zipfile.ZipFile(path, 'w') as into:
        into.writestr(f'{name}.py', f'VERSION = "{version}"\n')
        into.writestr(f'{about}/METADATA', f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')
        into.writestr(f'{about}/WHEEL', 'Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
        into.writestr(f'{about}/RECORD', f'{name}.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n')
    return path


def requirements(folder: Path, version: str) -> str:
    return f'--no-index\n--find-links {folder}\nfarpackage=={version}\n'


@pytest.fixture
def project(tmp_path: Path, sshd: Sshd) -> Project:
    found = Project(tmp_path / 'one')
    found.init_git()
    found.environ.update(sshd.environ)
    for version in ('1.0', '2.0'):
        wheel(tmp_path / 'wheels', version)
    found.write('requirements.txt', requirements(tmp_path / 'wheels', '1.0'))
    found.write('train.py', 'import farpackage, sys; print(farpackage.VERSION, sys.prefix)\n')
    found.write('pipeline.yaml', PIPELINE)
    found.mlops('hosts', 'add', 'gpu1', sshd.url(tmp_path / 'far'))
    return found


def made(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / 'far/environments-v1').glob('*.json'))


def test_it_is_made_once_for_each_lock_file(project: Project, tmp_path: Path) -> None:
    project.mlops('run')
    version, prefix = project.read('out.txt').split()
    assert version == '1.0' and Path(prefix).parent == tmp_path / 'far/environments-v1'
    (first,) = made(tmp_path)
    assert json.loads(first.read_text())['kind'] == 'venv'
    changed = (tmp_path / 'far/environments-v1' / first.stem / 'pyvenv.cfg').stat().st_mtime_ns
    project.write('train.py', 'import farpackage, sys; print("again", farpackage.VERSION)\n')
    project.mlops('run')
    assert project.read('out.txt') == 'again 1.0\n'
    assert (tmp_path / 'far/environments-v1' / first.stem / 'pyvenv.cfg').stat().st_mtime_ns == changed
    project.write('requirements.txt', requirements(tmp_path / 'wheels', '2.0'))
    assert project.mlops('plan', '--json').json['stages'][0]['reasons'][0]['kind'] == 'environment'
    project.mlops('run')
    assert project.read('out.txt') == 'again 2.0\n' and len(made(tmp_path)) == 2
    project.write('requirements.txt', requirements(tmp_path / 'wheels', '1.0'))
    assert [row['verdict'] for row in project.mlops('plan', '--json').json['stages']] == ['restore']


def test_what_cannot_be_made_is_told_and_leaves_nothing_that_counts(project: Project, tmp_path: Path) -> None:
    project.write('requirements.txt', requirements(tmp_path / 'wheels', '3.0'))
    told = ' '.join(project.mlops('run', code=4).out.split())
    assert 'its environment cannot be made: pip ended with 1: ERROR: No matching distribution found for farpackage==3.0' in told
    assert made(tmp_path) == []
    wheel(tmp_path / 'wheels', '3.0')
    project.mlops('run')
    assert project.read('out.txt').startswith('3.0 ')


@pytest.mark.full
def test_a_kill_in_the_middle_leaves_it_to_the_next(project: Project, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, '-m', 'mlops_cli', 'run'], cwd=project.path, env=project.environ,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    end = time.monotonic() + 60
    while not list((tmp_path / 'far/environments-v1').glob('*.log')):
        assert time.monotonic() < end
        time.sleep(0.005)
    (pid,) = hosted(tmp_path)
    os.kill(pid, signal.SIGKILL)
    assert process.wait(60) == 4 and made(tmp_path) == []
    project.mlops('run')
    assert project.read('out.txt').startswith('1.0 ') and len(made(tmp_path)) == 1


def hosted(tmp_path: Path) -> list[int]:
    """The processes that see to jobs."""
    found = []
    for path in Path('/proc').glob('[0-9]*/cmdline'):
        try:
            words = path.read_bytes().split(b'\0')
        except OSError:
            continue
        if any(b'mlops_cli.job.hosted' in word for word in words) and str(tmp_path / 'far').encode() in words:
            found.append(int(path.parent.name))
    return found


@pytest.mark.full
def test_stages_that_need_the_same_wait_for_who_makes_it(project: Project, tmp_path: Path) -> None:
    project.write('pipeline.yaml', 'stages:\n' + ''.join(
        f'  s{n}: {{cmd: "python train.py > o{n}.txt; : {n}", code: {{paths: [train.py]}}, outs: [o{n}.txt], host: gpu1, '
        'environment: {venv: requirements.txt}}\n' for n in range(3)
    ))  # fmt: skip
    project.mlops('run', '-j', '3')
    assert len({project.read(f'o{n}.txt') for n in range(3)}) == 1 and len(made(tmp_path)) == 1


@pytest.mark.full
@pytest.mark.skipif(shutil.which('uv') is None, reason='there is no uv on this machine: pip install uv')
def test_a_lock_file_of_uv(project: Project, tmp_path: Path, sshd: Sshd) -> None:
    there = sshd.home / '.local/bin/uv'
    there.parent.mkdir(parents=True, exist_ok=True)
    there.symlink_to(str(shutil.which('uv')))
    project.write('pyproject.toml', (
        '[project]\nname = "one"\nversion = "0"\nrequires-python = ">=3.11"\ndependencies = ["farpackage==2.0"]\n'
        f'[tool.uv]\nno-index = true\nfind-links = ["{tmp_path}/wheels"]\n'
    ))  # fmt: skip
    subprocess.run(['uv', 'lock', '--offline'], cwd=project.path, check=True, capture_output=True)
    project.write('pipeline.yaml', PIPELINE.replace('venv: requirements.txt', 'uv: uv.lock'))
    project.mlops('run')
    assert project.read('out.txt').startswith('2.0 ')
    (one,) = made(tmp_path)
    assert json.loads(one.read_text())['kind'] == 'uv'


@pytest.fixture
def without_index(project: Project, tmp_path: Path, sshd: Sshd) -> Iterator[Project]:
    """Of a host that reaches no index; this machine does."""
    config = sshd.home / '.config/pip/pip.conf'
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text('[global]\nno-index = true\nfind-links =\n')
    project.write('requirements.txt', 'farpackage==1.0\n')
    project.environ.update({'PIP_NO_INDEX': '1', 'PIP_FIND_LINKS': str(tmp_path / 'wheels'), 'PIP_CONFIG_FILE': os.devnull})
    yield project
    config.unlink()


@pytest.mark.full
def test_setup_makes_what_is_needed_ahead_of_packages_from_here(without_index: Project, tmp_path: Path) -> None:
    project = without_index
    told = ' '.join(project.mlops('run', code=4).out.split())
    assert 'No matching distribution found for farpackage==1.0' in told and 'mlops hosts setup' in told
    said = project.mlops('hosts', 'setup', 'gpu1').out
    assert 'done   requirements.txt (train): its environment was made of 1 packages from here' in said
    assert said.endswith('gpu1 is ready: mlops run --host gpu1\n')
    assert not list((tmp_path / 'far/wheels-v1').iterdir()) and len(made(tmp_path)) == 1
    again = project.mlops('hosts', 'setup', 'gpu1', '--json').json
    assert [(row['what'], row['state']) for row in again['rows']] == [
        ('connection', 'there'), ('folder', 'there'), ('requirements.txt', 'there')]  # fmt: skip
    project.mlops('run')
    assert project.read('out.txt').startswith('1.0 ')


@pytest.mark.full
def test_setup_says_what_is_wrong_a_line_for_each(without_index: Project, sshd: Sshd) -> None:
    project = without_index
    project.write('requirements.txt', 'farpackage==9.9\n')
    project.write('other.txt', 'farpackage==2.0\n')
    more = 'outs: [o], host: any, environment: '
    project.write('pipeline.yaml', PIPELINE + (
        f'  two: {{cmd: python -V > o, {more}{{venv: other.txt}}}}\n'
        '  none: {cmd: "true", host: gpu1, environment: {venv: gone.txt}}\n'
        '  here: {cmd: "true", environment: {venv: never.txt}}\n'
    ))  # fmt: skip
    said = project.mlops('hosts', 'setup', 'gpu1', '--send', code=4).out
    assert 'WRONG  requirements.txt (train): the packages cannot be fetched: pip ended with 1: ERROR: No matching' in said
    assert 'done   other.txt (two): its environment was made of 1 packages' in said and 'never.txt' not in said
    assert 'WRONG  gone.txt (none): is not there' in said and 'is ready' not in said
    project.mlops('hosts', 'add', 'none', 'ssh://nowhere.invalid')
    assert 'WRONG  connection: ' in project.mlops('hosts', 'setup', 'none', code=4).out
    assert 'there is no host' in project.mlops('hosts', 'setup', 'nobody', code=2).err


@pytest.mark.full
def test_a_python_without_ensurepip_as_debian_has_it_does(project: Project, tmp_path: Path, sshd: Sshd) -> None:
    version = f'python{sys.version_info[0]}.{sys.version_info[1]}'
    place, library = tmp_path / 'bare', Path(sys.base_prefix, 'lib', version)
    (place / 'bin').mkdir(parents=True)
    (place / 'lib' / version).mkdir(parents=True)
    python = place / 'bin' / version
    shutil.copy2(os.path.realpath(sys.executable), python)
    for entry in library.iterdir():
        if entry.name != 'ensurepip':
            (place / 'lib' / version / entry.name).symlink_to(entry)
    lacking = subprocess.run([python, '-m', 'ensurepip', '--version'], capture_output=True, check=False)
    has_pip = subprocess.run([python, '-m', 'pip', '--version'], capture_output=True, check=False)
    if not lacking.returncode or has_pip.returncode:
        pytest.skip('no such Python can be made of the one here')
    project.mlops('hosts', 'remove', 'gpu1')
    project.mlops('hosts', 'add', 'gpu1', sshd.url(tmp_path / 'far'), '--python', str(python))
    project.mlops('run')
    assert project.read('out.txt').startswith('1.0 ')


@pytest.mark.full
def test_nodes_of_a_cluster_make_it_once_and_setup_makes_it_ahead(project: Project, tmp_path: Path, slurm: Slurm) -> None:
    project.environ.update(slurm.environ)
    project.mlops('hosts', 'remove', 'gpu1')
    project.mlops('hosts', 'add', 'gpu1', f'slurm://{tmp_path}/far')
    stage = PIPELINE.partition('  train:')[2]
    stages = [f'  t{n}:{stage.replace("out.txt", f"out-{n}.txt")}' for n in range(3)]
    project.write('pipeline.yaml', 'stages:\n' + ''.join(stages))
    project.mlops('run', '-j', '3', '--events', 'events.jsonl')
    said = {project.read(f'out-{n}.txt') for n in range(3)}
    assert len(said) == 1 and said.pop().startswith('1.0 ')
    (one,) = made(tmp_path)
    begun = (tmp_path / 'far/environments-v1' / one.stem / 'pyvenv.cfg').stat().st_mtime_ns
    assert begun < one.stat().st_mtime_ns
    waited = [json.loads(line) for line in (project.path / 'events.jsonl').read_text().splitlines()]
    reasons = {event['reason'] for event in waited if event['event'] == 'stage-queued'}
    assert 'for its environment to be made' in reasons, reasons
    project.write('requirements.txt', requirements(tmp_path / 'wheels', '2.0'))
    rows = project.mlops('hosts', 'setup', 'gpu1', '--json').json
    assert 'its environment was made' in json.dumps(rows), rows
    assert len(made(tmp_path)) == 2
    project.mlops('run')
    assert project.read('out-0.txt').startswith('2.0 ')
    assert len(made(tmp_path)) == 2
    project.write('requirements.txt', requirements(tmp_path / 'wheels', '3.0'))
    failed = project.mlops('run', code=4)
    assert 'its environment cannot be made' in ' '.join((failed.out + failed.err).split())
    assert len(made(tmp_path)) == 2
