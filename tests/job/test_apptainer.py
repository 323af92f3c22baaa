"""What Apptainer is told, and the files of its images; Apptainer itself is tried in tests/cli/test_host_containers.py."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import AbstractContextManager, suppress
from itertools import pairwise
from pathlib import Path

import pytest

from mlops_cli.core.job import Job, Process
from mlops_cli.fsio.locks import try_lock
from mlops_cli.fsio.paths import Root
from mlops_cli.job.apptainer import Apptainer
from mlops_cli.job.clearing import Clearing
from mlops_cli.job.container import Container
from mlops_cli.job.containers import ready
from mlops_cli.job.environments import FOLDER, NotMade
from mlops_cli.job.hosted import Hosted
from mlops_cli.job.podman import Podman

PULL = """#!/bin/sh
echo "$@" >> {folder}/asked
for file; do case "$file" in */image) test -e {folder}/fails && exit 3; echo sif > "$file"; set > {folder}/environ;; esac; done
"""


def program(folder: Path, name: str = 'apptainer') -> str:
    made = folder / name
    made.write_text(PULL.format(folder=folder))
    made.chmod(0o755)
    return str(made)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program(tmp_path)
    monkeypatch.setenv('PATH', str(tmp_path))
    (tmp_path / 'far/job').mkdir(parents=True)
    return tmp_path


def opened(host: Path, image: str, engine: bool = False, folder: str = 'far/job') -> AbstractContextManager[Container]:
    root = Root(str(host / 'far'))
    return ready(root, image, 'j1', (str(host / folder),), lambda: None, '', 1.0, engine)


def test_its_words_and_variables(tmp_path: Path) -> None:
    made = Apptainer(program(tmp_path), 'busy:1', 'j1', {}, ('/a b', '/c'), place='/far/environments-v1/abc')
    (process,) = made.processes([Process(('/bin/sh', '-c', 'x'))], '/a b/p', ['B', 'A'], ['GPU-1', 'GPU-2'])
    words = list(process.argv)
    assert words[-4:] == ['/far/environments-v1/abc', '/bin/sh', '-c', 'x']
    assert words[words.index('exec') :][:3] == ['exec', '--containall', '--no-eval'] and '--nv' in words
    assert [after for before, after in pairwise(words) if before == '--bind'] == ['/a b', '/c']
    assert words[words.index('--pwd') + 1] == '/a b/p' and words[words.index('--workdir') + 1] == '/a b/container'
    (process,) = made.processes([Process(('x',))], '/a b', [], [])
    assert '--nv' not in process.argv
    given = {'A': '1', 'TOKEN': 'sesame', 'PATH': '/bin', 'HOME': '/root', 'OTHER': 'x'}
    inside = made.variables(given, ['A', 'TOKEN', 'PATH', 'HOME', 'GONE'])
    inner = {'A': '1', 'TOKEN': 'sesame', 'OTHER': 'x'}
    assert inside == {**inner, 'APPTAINERENV_A': '1', 'APPTAINERENV_TOKEN': 'sesame'}
    ce = Apptainer('/usr/bin/singularity', 'busy:1', 'j1', {}, ('/a',))
    assert ce.variables(given, ['A']) == {**inner, 'SINGULARITYENV_A': '1'}


def test_what_a_stage_declares_tells_apptainer_nothing() -> None:
    """Nor do the host's own variables change what is in there, but for those by which Apptainer works on that host."""
    host = {'PATH': '/usr/bin', 'HOME': '/home/x', 'LD_PRELOAD': 'own', 'APPTAINER_BIND': '/etc', 'APPTAINER_TMPDIR': '/big',
            'APPTAINERENV_UNDECLARED': '1', 'SINGULARITYENV_A': '2'}  # fmt: skip
    made = Apptainer('/usr/bin/apptainer', 'busy:1', 'j1', host, ('/a',))
    stage = {'APPTAINER_BIND': '/a', 'SINGULARITY_BIND': '/b', 'PATH': '/theirs', 'HOME': '/theirs', 'LD_AUDIT': 'x', 'A': '1'}
    assert made.variables({**host, **stage}, stage) == {
        'PATH': '/usr/bin', 'HOME': '/home/x', 'LD_PRELOAD': 'own', 'APPTAINER_TMPDIR': '/big', 'A': '1', 'APPTAINERENV_A': '1',
        'APPTAINERENV_APPTAINER_BIND': '/a', 'APPTAINERENV_SINGULARITY_BIND': '/b', 'APPTAINERENV_LD_AUDIT': 'x',
    }  # fmt: skip
    with pytest.raises(NotMade, match='its variable PREPEND_PATH cannot go into'):
        made.variables({'PREPEND_PATH': '/x', 'A': '1'}, ['A', 'PREPEND_PATH'])


def test_a_secret_that_is_called_as_an_option_is_hidden_all_the_same(tmp_path: Path) -> None:
    spec = {'environment': {'APPTAINER_KEY': 'sesame', 'TOKEN': 'x', 'A': '1'}}
    hosted = Hosted(Root(str(tmp_path)), 'job', {**spec, 'lease_seconds': 1.0})
    made = Apptainer('/usr/bin/apptainer', 'busy:1', 'j1', {}, ('/a',))
    job = Job('j1', 's', '/a', '', (), {}, '/log', redact=('APPTAINER_KEY', 'TOKEN'))
    variables = dict(spec['environment'])
    assert hosted._contained(made, job, variables, ()).redact == ('APPTAINER_KEY', 'TOKEN', 'APPTAINERENV_APPTAINER_KEY')
    assert variables['APPTAINERENV_APPTAINER_KEY'] == 'sesame' and 'APPTAINER_KEY' not in variables


def test_who_pulls_has_the_lock_should_its_job_be_killed(host: Path) -> None:
    """Else another would begin beside it, in the same folder."""
    (host / 'apptainer').write_text('#!/bin/sh\n/bin/sleep 60 &\nwait\n')
    began = (host / 'far' / FOLDER)
    pid = os.fork()
    if not pid:
        with suppress(BaseException), opened(host, 'busy:1'):
            pass
        os._exit(0)
    while not list(began.glob('*.src')):
        time.sleep(0.01)
    time.sleep(0.5)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    (lock,) = began.glob('*.lock')
    found = subprocess.run(['/usr/bin/env', 'pgrep', '-f', f'{host}/far/'], capture_output=True, check=False,
                           env={'PATH': os.defpath})  # fmt: skip
    left = [int(one) for one in found.stdout.split()]
    try:
        with open(lock, 'r+b') as file:
            assert left and not try_lock(file.fileno(), exclusive=True)
    finally:
        for one in left:
            os.killpg(one, signal.SIGKILL)


def test_what_only_apptainer_fetches_is_asked_of_nobody_else(host: Path) -> None:
    program(host, 'podman')
    with opened(host, 'oras://ghcr.io/a/b:1') as made:
        assert isinstance(made, Apptainer)
    (host / 'apptainer').unlink()
    with pytest.raises(NotMade, match=r'podman is there, which has none of these'), opened(host, 'oras://ghcr.io/a/b:1'):
        pass
    with opened(host, 'docker://a/b:1') as made:
        assert isinstance(made, Podman)


@pytest.mark.parametrize(('image', 'source'), [
    ('docker.io/library/python:3.12', 'docker://docker.io/library/python:3.12'),
    ('python@sha256:00ff', 'docker://python@sha256:00ff'),
    ('oras://ghcr.io/a/b:1', 'oras://ghcr.io/a/b:1'),
    ('library://lolcow', 'library://lolcow'),
])  # fmt: skip
def test_an_image_is_had_once(host: Path, image: str, source: str) -> None:
    for _ in range(2):
        with opened(host, image) as made:
            assert isinstance(made, Apptainer) and Path(made.file).read_text() == 'sif\n'
            assert (host / 'far/job/container').is_dir()
        assert not (host / 'far/job/container').exists()
    (asked,) = (host / 'asked').read_text().splitlines()
    assert asked.endswith(f'/image {source}') and '--disable-cache' in asked
    assert f"APPTAINER_TMPDIR='{host}/far/{FOLDER}/" in (host / 'environ').read_text()
    assert sorted(one.suffix for one in (host / 'far' / FOLDER).iterdir()) == ['', '.lock']


def test_what_comes_half_is_none(host: Path) -> None:
    (host / 'fails').touch()
    with pytest.raises(NotMade, match='apptainer ended with 3') as caught, opened(host, 'a/b:1'):
        pass
    assert 'apptainer pull docker://a/b:1' in str(caught.value.hint)
    assert [one.suffix for one in (host / 'far' / FOLDER).iterdir()] == ['.lock']
    (host / 'fails').unlink()
    with opened(host, 'a/b:1'):
        pass


@pytest.mark.skipif(os.getuid() == 0, reason='root may write to all folders')
def test_folders_that_may_not_be_written_to_stay_in_nobodys_way(host: Path) -> None:
    with opened(host, 'a/b:1') as made:
        assert isinstance(made, Apptainer)
        (host / 'far/job/container/tmp/a').mkdir(parents=True)
        (host / 'far/job/container/tmp/a').chmod(0o500)
        (host / 'far/job/container/tmp').chmod(0o500)
    assert not (host / 'far/job/container').exists()
    os.unlink(made.file)
    left = Path(f'{made.place}.src')
    (left / 'rootfs/usr').mkdir(parents=True)
    (left / 'rootfs').chmod(0o500)
    with opened(host, 'a/b:1'):
        pass
    assert not left.exists()


def test_all_nodes_of_a_cluster_have_one(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for node in ('n1', 'n2'):
        monkeypatch.setattr('platform.node', lambda node=node: node)
        with opened(host, 'busy:1', engine=True):
            pass
    assert len((host / 'asked').read_text().splitlines()) == 1
    assert len(list((host / 'far' / FOLDER).iterdir())) == 2


def test_what_is_used_is_not_cleared_away(host: Path) -> None:
    def looked() -> list[str]:
        with Root(str(host / 'far')) as root:
            return [item.kind for item in Clearing(root, -60.0, True).look()]

    with opened(host, 'busy:1'):
        assert 'environment' not in looked()
    assert 'environment' in looked()


def test_a_file_is_run_by_nothing_else(host: Path) -> None:
    (host / 'tiny.sif').write_text('sif')
    (host / 'podman').write_text('#!/bin/sh\nexit 0\n')
    (host / 'podman').chmod(0o755)
    with opened(host, f'{host}/tiny.sif') as made:
        assert isinstance(made, Apptainer) and made.file == f'{host}/tiny.sif' and made.files == ()
    with pytest.raises(NotMade, match='there is no image /nowhere/'), opened(host, '/nowhere/x.sif'):
        pass
    with opened(host, 'busy:1') as made:
        assert isinstance(made, Podman), 'behind ssh podman is asked first'
    (host / 'apptainer').unlink()
    with pytest.raises(NotMade, match=r'no apptainer there.*\(podman is there, which does not run image files\)'), \
            opened(host, f'{host}/tiny.sif'):  # fmt: skip
        pass


def test_a_folder_that_it_cannot_mount(host: Path) -> None:
    (host / 'a,b').mkdir()
    with pytest.raises(NotMade, match='a comma in its path'), opened(host, 'busy:1', folder='a,b'):
        pass
    assert not os.path.exists(host / 'a,b/container')
