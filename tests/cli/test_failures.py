"""Bugs of ours leave a log without secrets, through no link; a full disk is told in words; other systems are refused early."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.cli import context, failures
from mlops_cli.core import layout
from mlops_cli.core.errors import UserError, UserErrors
from tests.support.project import Project

TOKEN = 'tr0ub4dor-and-3-more-words'
DEPLOY = 'ghp_' + 'aB3dE5gH7jK9' * 3


@pytest.fixture
def here(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    project.write('pipeline.yaml', 'stages: {a: {cmd: "true"}}\n')
    project.write('.mlops/config.yaml', '')
    monkeypatch.chdir(project.path)
    monkeypatch.setenv('TMPDIR', str(project.path.parent / 'tmp'))
    (project.path.parent / 'tmp').mkdir()
    monkeypatch.setattr('tempfile.tempdir', None)
    return project


def crash(capsys: Any, arguments: list[str], *values: Any) -> tuple[str, str]:
    """(where the log is, what was said) of a bug that meets these values."""

    def call() -> None:
        raise RuntimeError('impossible: ' + ' '.join(map(str, values)))

    assert failures.guarded(call, arguments) == 70
    said = capsys.readouterr()
    path = (said.err or said.out).partition('attach ')[2].split('"')[0].strip()
    return path, said.err or said.out


def test_the_log_lies_in_the_project_for_its_owner_alone(capsys: Any, here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (here.path / 'deep').mkdir()
    monkeypatch.chdir(here.path / 'deep')
    path, said = crash(capsys, ['status'])
    assert path.startswith(f'../{layout.CRASHES}/mlops-crash-') and os.stat(path).st_mode & 0o077 == 0
    text = Path(path).read_text()
    assert "arguments: ['status']" in text and 'RuntimeError: impossible' in text and 'Traceback' in text
    assert 'this is a bug of mlops, not of yours: RuntimeError' in said and 'please report it and attach' in said


def test_no_secret_is_in_it(capsys: Any, here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HF_TOKEN', TOKEN)
    aws = 'AKIAIOSFODNN7EXAMPLE'
    path, said = crash(capsys, ['run', '--set', f'key={TOKEN}'], TOKEN, aws, 'https://ada:hunter2x@example.org/x')
    text = Path(path).read_text()
    for secret in (TOKEN, aws, 'hunter2x'):
        assert secret not in text and secret not in said
    assert '[secret: HF_TOKEN]' in text and '[secret: HF_TOKEN]' in said


@pytest.mark.parametrize('as_json', [False, True])
def test_no_secret_is_in_an_error(capsys: Any, here: Project, monkeypatch: pytest.MonkeyPatch, as_json: bool) -> None:
    """What somebody typed may be quoted, and the log of a CI keeps it."""
    monkeypatch.setenv('DB_PASSWORD', 'correct-Horse-battery-9')
    monkeypatch.setattr(context.current, 'json', as_json)
    key = 'AKIAIOSFODNN7EXAMPLE'

    def call() -> None:
        raise UserErrors([UserError(f'no {DEPLOY} here', hint=f'say {key}'), UserError('no correct-Horse-battery-9')])

    assert failures.guarded(call, []) == 2
    said = capsys.readouterr()
    for secret in (DEPLOY, key, 'correct-Horse-battery-9'):
        assert secret not in said.out + said.err
    assert '[secret: DB_PASSWORD]' in said.out + said.err


def test_it_is_written_through_no_link(capsys: Any, here: Project) -> None:
    elsewhere = here.path.parent / 'elsewhere'
    elsewhere.mkdir()
    (here.path / layout.LOCAL).mkdir(parents=True)
    (here.path / layout.CRASHES).symlink_to(elsewhere)
    path, _ = crash(capsys, [])
    assert os.path.dirname(path) == os.environ['TMPDIR'] and os.listdir(elsewhere) == []


def test_outside_a_project_it_lies_with_temporary_files(capsys: Any, here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here.path.parent)
    assert os.path.dirname(crash(capsys, [])[0]) == os.environ['TMPDIR']


def test_where_nothing_can_be_written_it_is_said(capsys: Any, here: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here.path.parent)
    monkeypatch.setattr('tempfile.gettempdir', lambda: '/proc')
    path, said = crash(capsys, [])
    assert path == '' and 'Traceback' in said and 'report it with the text above' in said


def test_with_json_it_is_a_document_too(capsys: Any, here: Project) -> None:
    path, said = crash(capsys, ['status', '--json'])
    assert '"code": 70' in said and Path(path).exists()


def test_a_traceback_as_long_as_a_book_is_cut(capsys: Any, here: Project) -> None:
    path, _ = crash(capsys, [], 'x' * 3_000_000)
    assert Path(path).stat().st_size < 1_100_000


def mlops(project: Project, script: str, **environ: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ['sh', '-c', f'mlops() {{ {sys.executable} -m mlops_cli "$@"; }}; {script}'],
        cwd=project.path,
        env={**project.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 'Traceback' not in done.stderr and 'Exception ignored' not in done.stderr
    return done


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='this system has no /dev/full')
@pytest.mark.parametrize(
    'arguments',
    ['', '-h', '--version', 'status', 'status --json', 'plan --json', 'runs list', 'doctor', 'config list --json', 'graph'],
)
def test_a_full_disk_is_told_in_words(project: Project, arguments: str) -> None:
    project.write('pipeline.yaml', 'stages: {a: {cmd: "true"}}\n')
    done = mlops(project, f'mlops {arguments} > /dev/full')
    assert done.returncode == 6
    assert done.stderr.startswith('error: cannot write to standard output: No space left on device\n  hint: the disk is full')


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='this system has no /dev/full')
def test_an_error_that_finds_no_room_keeps_its_code(project: Project) -> None:
    done = mlops(project, 'mlops nosuch --json > /dev/full')
    assert done.returncode == 2 and "no command 'nosuch'" in done.stderr
    assert mlops(project, 'mlops nosuch > /dev/full 2> /dev/full').returncode == 2


def test_what_nobody_reads_any_more_is_no_error(project: Project) -> None:
    project.write('pipeline.yaml', 'stages: {a: {cmd: "true"}}\n')
    for arguments in ('-h', 'status', 'status --json', '--version'):
        done = mlops(project, f'{{ mlops {arguments}; echo $? > code; }} | true')
        assert (project.read('code'), done.stderr) == ('0\n', '')
    assert mlops(project, 'mlops status >&-').returncode == 0


OTHER = """
import sys
sys.platform = {platform!r}
sys.modules['fcntl'] = None
sys.argv = ['mlops', {argument!r}]
from mlops_cli.__main__ import main
main()
"""


@pytest.mark.parametrize('platform', ['win32', 'cygwin', 'freebsd14'])
def test_other_systems_are_refused_before_anything_fails(platform: str) -> None:
    def ask(argument: str) -> subprocess.CompletedProcess[str]:
        code = OTHER.format(platform=platform, argument=argument)
        return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)

    done = ask('status')
    assert (done.returncode, done.stdout) == (6, '')
    assert done.stderr.splitlines() == [
        f'error: mlops runs on Linux, macOS and WSL, not on {platform}',
        '  hint: on Windows, install it inside WSL (wsl --install)',
    ]
    assert ask('--version').returncode == 0


def test_an_error_of_a_disk_is_not_told_as_one_of_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    """Where a system call had no name to tell, as the reading of an open file has none."""

    def call() -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    assert failures.guarded(call, []) == 6
    assert capsys.readouterr().err.startswith('error: cannot go on: Input/output error\n  hint: the disk reports an error')


def test_a_part_that_cannot_be_loaded_just_now_is_no_bug(here: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """As when too many files are open, or another version is being installed."""

    def call() -> None:
        raise ModuleNotFoundError("No module named 'yaml.loader'", name='yaml.loader')

    assert failures.guarded(call, []) == 6
    said = capsys.readouterr().err
    assert said.startswith("error: cannot load yaml.loader: No module named 'yaml.loader'\n  hint: too many open files")
    assert not (here.path / layout.CRASHES).exists()
