"""Runs that outlive their terminal, seen and stopped from another: real processes, real signals, a real terminal."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from mlops_cli.cli import app
from mlops_cli.fsio.journal import Journal
from mlops_cli.fsio.temporaries import boot, start_time
from tests.support.project import Project, Result

PIPELINE = """\
version: 1
stages:
  first:
    cmd: echo one > one.txt; echo first says
    outs: [one.txt]
  slow:
    cmd: |
      echo half > two.txt
      echo "$$" > "$MARKS/pid-$MLOPS_RUN"
      {trap}
      echo begun; touch "$MARKS/started-$MLOPS_RUN"
      while [ ! -e "$MARKS/go" ]; do sleep 0.02; done
      echo over
      {end}
      cat one.txt > two.txt
    deps: [one.txt]
    params: [{{params.yaml: [depth]}}]
    outs: [two.txt]
    grace: 20s
    env: []
  last:
    cmd: cp two.txt three.txt
    deps: [two.txt]
    outs: [three.txt]
  beside:
    cmd: cat beside.txt; cp beside.txt four.txt
    deps: [beside.txt]
    outs: [four.txt]
"""


def wait_for(what: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, 'it never came'
        time.sleep(0.02)
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] not in 'ZX'
    except FileNotFoundError:
        return False


class Stand:
    """A project with a stage that waits until it is let go."""

    def __init__(self, project: Project, marks: Path) -> None:
        self.project, self.marks = project, marks
        marks.mkdir()
        project.environ['MARKS'] = str(marks)
        project.write('params.yaml', 'depth: 1\n')
        project.write('beside.txt', 'beside\n')
        self.write()

    def write(self, *, trap: str = '', end: str = '') -> None:
        self.project.write('pipeline.yaml', PIPELINE.format(trap=trap, end=end))

    def detach(self, *arguments: str, run: str = 'slow') -> str:
        """The short id of a run that has reached the middle of ``slow``."""
        result = self.project.mlops('run', '--detach', run, *arguments)
        found = re.search(r'mlops runs attach (\w+)', result.out)
        assert found, result.out + result.err
        self.reached(found[1])
        return found[1]

    def reached(self, short: str) -> None:
        wait_for(lambda: any(name.startswith('started-') and name.endswith(short) for name in os.listdir(self.marks)))

    def go(self) -> None:
        (self.marks / 'go').touch()

    def stage_pid(self, short: str) -> int:
        return int(next(self.marks.glob(f'pid-*-{short}')).read_text())

    def folder(self, short: str) -> Path:
        return next((self.project.path / '.mlops/local/live').glob(f'*-{short}'))

    def first(self, short: str) -> dict[str, Any]:
        with open(self.folder(short) / 'events.jsonl') as file:
            return json.loads(file.readline())  # type: ignore[no-any-return]

    def attach(self, *arguments: str, code: int | None = 0) -> Result:
        return self.project.mlops('runs', 'attach', *arguments, code=code)

    def cancel(self, *arguments: str, code: int | None = 0) -> Result:
        return self.project.mlops('runs', 'cancel', *arguments, code=code)


@pytest.fixture
def stand(project: Project, tmp_path: Path) -> Iterator[Stand]:
    made = Stand(project, tmp_path / 'marks')
    yield made
    made.go()
    folder = project.path / '.mlops/local/live'
    for events in folder.glob('*/events.jsonl') if folder.exists() else ():
        found = re.match(rb'.*"pid":([0-9]+)', events.read_bytes())
        pid = int(found[1]) if found else os.getpid()
        with suppress(FileNotFoundError, ProcessLookupError):  # it may end at any moment, as it was let go
            if pid != os.getpid() and alive(pid) and b'mlops' in Path(f'/proc/{pid}/cmdline').read_bytes():
                os.kill(pid, signal.SIGTERM)


def test_a_run_goes_on_after_its_terminal_is_closed(stand: Stand) -> None:
    program = f'{sys.executable} -m mlops_cli run slow last --detach; sleep 100'
    terminal = subprocess.Popen(
        ['sh', '-c', program],
        cwd=stand.project.path,
        env=stand.project.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert terminal.stdout is not None
    text = ''
    while 'mlops logs' not in text:
        text += (line := terminal.stdout.readline().decode())
        assert line, text
    short = re.search(r'runs attach (\w+)', text)[1]  # type: ignore[index]
    stand.reached(short)
    for number in (signal.SIGHUP, signal.SIGKILL):
        os.killpg(terminal.pid, number)
    terminal.communicate(timeout=60)
    first = stand.first(short)
    os.kill(first['pid'], signal.SIGHUP)  # as systemd may send it
    assert first['detached'] and alive(first['pid']) and alive(stand.stage_pid(short))
    assert os.getsid(first['pid']) == first['pid']
    assert os.readlink(f'/proc/{first["pid"]}/fd/0') == os.devnull
    assert os.readlink(f'/proc/{first["pid"]}/fd/1') == str(stand.folder(short) / 'output.txt')
    stand.go()
    result = stand.attach()
    assert stand.project.read('three.txt') == 'one\n'
    stages = [line.split()[:2] for line in result.out.splitlines()[1:4]]
    assert stages == [['done', 'first'], ['done', 'slow'], ['done', 'last']]
    assert '3 done in ' in result.out and f'Run {short}.' in result.out
    wait_for(lambda: not alive(first['pid']))
    assert stand.project.mlops('runs', 'list', '--json').json['rows'][0]['ended'] == 'done'
    assert '3 done in' in (stand.folder(short) / 'output.txt').read_text()


@pytest.mark.full
def test_it_is_quick_to_let_go_and_says_what_to_do(stand: Stand) -> None:
    began = time.monotonic()
    result = stand.project.mlops('run', '--detach')
    assert time.monotonic() - began < 20
    short = re.search(r'attach (\w+)', result.out)[1]  # type: ignore[index]
    lines = result.out.splitlines()
    assert lines[0].startswith('project: 4 stages to run')
    assert lines[1] == f'Run {short} goes on without this terminal, as process {stand.first(short)["pid"]}.'
    assert [line.split('  ')[-1].strip() for line in lines[2:]] == [
        f'mlops runs attach {short}',
        f'mlops runs cancel {short}',
        'mlops logs STAGE --follow',
    ]


@pytest.mark.parametrize('closed', [*(pytest.param(one, marks=pytest.mark.full) for one in ('>&-', '2>&-')), '<&- >&- 2>&-'])
def test_started_without_any_stream_it_runs_too(stand: Stand, closed: str) -> None:
    """As some schedulers do; descriptors that are free are then given to what is opened first."""
    done = subprocess.run(
        ['sh', '-c', f'{sys.executable} -m mlops_cli run slow --detach {closed}'],
        cwd=stand.project.path,
        env=stand.project.environ,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0 and not done.stderr
    stand.go()
    assert '2 done in' in stand.attach().out
    (folder,) = (stand.project.path / '.mlops/local/live').iterdir()
    assert '2 done in' in (folder / 'output.txt').read_text()


def test_quietly_it_says_the_run_and_no_more(stand: Stand) -> None:
    result = stand.project.mlops('-q', 'run', '--detach')
    assert re.fullmatch(r'\w{8}\n', result.out) and not result.err
    assert stand.folder(result.out.strip()).exists()


def test_ctrl_c_before_it_has_begun_leaves_nothing(stand: Stand) -> None:
    """What keeps it from beginning here is a git that does not answer, asked because a killed command left a journal."""
    with journal(stand) as left:
        left.append({'do': 'run', 'run': FORGED, 'started': '2026-11-20T10:15:22Z', 'command': []})
        left.close(remove=False)
    once = f'[ -e {stand.marks}/git ] && exit 1\necho $$ > {stand.marks}/git\necho asked >&2\nexec sleep 100\n'
    git = stand.project.write('../bin/git', f'#!/bin/sh\n{once}')
    git.chmod(0o755)
    stand.project.environ['PATH'] = f'{git.parent}:{stand.project.environ["PATH"]}'

    def interrupt(terminal: int) -> None:
        wait_for(lambda: (stand.marks / 'git').exists() and (stand.marks / 'git').read_text().endswith('\n'))
        os.write(terminal, b'\x03')

    code, text = on_a_terminal(stand, 'run', '--detach', until='', then=interrupt)
    assert code == 130 and text.count('stopped before anything ran') == 1, text
    assert not (stand.project.path / '.mlops/local/live').exists()
    wait_for(lambda: not alive(int((stand.marks / 'git').read_text())))


def test_with_nothing_to_do_no_process_is_left(stand: Stand) -> None:
    stand.go()
    stand.project.mlops('run')
    before = sorted(os.listdir(stand.project.path / '.mlops/local/live'))
    result = stand.project.mlops('run', '--detach')
    assert result.out.startswith('Nothing to do: 4 stages are up to date')
    assert sorted(os.listdir(stand.project.path / '.mlops/local/live')) == before
    assert stand.project.mlops('run', '--detach', '--json').json['run'] is None


@pytest.mark.parametrize(
    ('arguments', 'code', 'said'),
    [
        (('nosuch',), 2, 'nosuch'),
        pytest.param(('--set', 'depth'), 2, 'depth', marks=pytest.mark.full),
        (('beside',), 2, 'stage beside needs beside.txt'),
        (('first', '--events', 'no/such/folder/x'), 2, '--events no/such/folder/x'),
    ],
)
def test_what_is_refused_is_told_in_the_foreground(stand: Stand, arguments: tuple[str, ...], code: int, said: str) -> None:
    (stand.project.path / 'beside.txt').unlink()
    result = stand.project.mlops('run', '--detach', *arguments, code=code)
    assert result.err.startswith('error: ') and said in result.err and not result.out
    error = stand.project.mlops('run', '--detach', '--json', *arguments, code=code).json
    assert error['schema'] == 'mlops/error/v1' and said in error['message']


def test_options_go_with_it_and_events_are_written(stand: Stand) -> None:
    result = stand.project.mlops('run', 'slow', '--detach', '--set', 'depth=7', '-j', '1', '--events', '../e.jsonl', '--json')
    document = result.json
    assert document['ended'] == 'detached' and document['pid'] == stand.first(document['run'].partition('-')[2])['pid']
    stand.go()
    report = stand.attach('--json').json
    assert report['schema'] == 'mlops/runs-attach/v1' and report['run'] == document['run'] and report['exit_code'] == 0
    assert [(one['name'], one['state']) for one in report['stages']] == [('first', 'done'), ('slow', 'done')]
    assert report['stages'][1]['outputs'][0]['path'] == 'two.txt'
    assert not stand.project.exists('two.txt')
    assert stand.project.mlops('runs', 'show', document['run'], '--json').json['set'] == [['params.yaml', 'depth', 7]]
    kinds = [json.loads(line)['event'] for line in (stand.project.path / '../e.jsonl').read_text().splitlines()]
    assert kinds[0] == 'run-started' and kinds[-1] == 'run-ended' and kinds.count('stage-ended') == 2


def test_the_screen_of_a_run_that_fails_and_its_code(stand: Stand) -> None:
    stand.write(end='echo "no luck"; exit 3')
    short = stand.detach('-k', run='*')
    stand.go()
    for _ in range(2):  # while it goes on, and when it is over
        result = stand.attach(short, code=1)
        assert re.search(r'FAILED    slow +\S+  exit 3', result.out)
        assert 'slow failed: echo half' in result.out and '  | no luck' in result.out
        assert '  ran because  no result yet' in result.out and 'skipped   last: it needs slow' in result.out
        assert 'Fix, then: mlops run' in result.out
    assert stand.attach(short, '--json', code=1).json['ended'] == 'failed'


def test_a_run_of_another_terminal_is_seen_too(stand: Stand) -> None:
    process = subprocess.Popen(
        [sys.executable, '-m', 'mlops_cli', 'run', 'last'],
        cwd=stand.project.path,
        env=stand.project.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for(lambda: list(stand.marks.glob('started-*')))
    watching = subprocess.Popen(
        [sys.executable, '-m', 'mlops_cli', 'runs', 'attach'],
        cwd=stand.project.path,
        env=stand.project.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    assert watching.stdout.readline().startswith('project: 3 stages to run')
    stand.go()
    out = watching.stdout.read()  # what was read ahead too
    whole, _ = process.communicate(timeout=60)
    watching.communicate(timeout=60)
    assert (process.returncode, watching.returncode) == (0, 0)
    assert out.splitlines()[:3] == whole.splitlines()[1:4]
    assert out.splitlines()[-2:] == whole.splitlines()[-2:]


def test_cancel_ends_it_as_ctrl_c_does(stand: Stand) -> None:
    stand.go()
    stand.project.mlops('run')
    (stand.marks / 'go').unlink()
    stand.project.write('params.yaml', 'depth: 2\n')
    short = stand.detach('last')
    pid, stage = stand.first(short)['pid'], stand.stage_pid(short)
    result = stand.cancel()
    assert re.match(rf'Cancelled run {short}: 1 stage stopped \(slow\), 1 not started, in \S+s\.\n', result.out), result.out
    assert 'To go on: mlops run' in result.out
    assert not alive(pid) and not alive(stage)
    assert stand.project.read('two.txt') == 'one\n'  # what it had before
    assert stand.project.mlops('runs', 'list', '--json').json['rows'][0]['ended'] == 'interrupted'
    attached = stand.attach(short, code=130)
    assert 'stopped   slow' in attached.out and 'stopping: ' in attached.err
    again = stand.cancel(short, code=2)
    assert f'run {short} does not go on any more' in again.err and f'mlops runs attach {short}' in again.err
    assert 'nothing to cancel' in stand.cancel(code=2).err


@pytest.mark.full
def test_a_foreground_run_is_cancelled_too_even_one_started_deaf_to_ctrl_c(stand: Stand) -> None:
    """A shell without job control starts what is in the background with INT ignored."""
    process = subprocess.Popen(
        ['sh', '-c', f'trap "" INT; exec {sys.executable} -m mlops_cli run slow'],
        cwd=stand.project.path,
        env=stand.project.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for(lambda: list(stand.marks.glob('started-*')))
    document = stand.cancel('--json').json
    assert document['cancelled'] and document['interrupted'] == ['slow'] and document['done'] == ['first']
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 143 and 'stopped   slow' in out
    assert stand.attach(document['run'], code=143)


@pytest.mark.full
def test_a_run_that_is_suspended_is_woken_to_be_stopped(stand: Stand) -> None:
    short = stand.detach()
    pid = stand.first(short)['pid']
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] == 'T')
    assert f'Cancelled run {short}' in stand.cancel().out
    assert not alive(pid)


@pytest.mark.full
def test_cancel_now_does_not_wait_for_the_grace(stand: Stand) -> None:
    stand.write(trap="trap '' TERM")
    short = stand.detach()
    began = time.monotonic()
    patient = subprocess.Popen(
        [sys.executable, '-m', 'mlops_cli', 'runs', 'cancel'],
        cwd=stand.project.path,
        env=stand.project.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert patient.stderr is not None
    assert patient.stderr.readline() == f'stopping: waiting for slow to end  (at once: mlops runs cancel {short} --now)\n'
    assert 'Cancelled' in stand.cancel(short, '--now').out
    out, _ = patient.communicate(timeout=60)
    assert patient.returncode == 0 and f'Cancelled run {short}' in out
    assert time.monotonic() - began < 15  # the stage had 20 seconds


def test_a_run_whose_process_died_is_told(stand: Stand) -> None:
    short = stand.detach()
    watching = subprocess.Popen(
        [sys.executable, '-m', 'mlops_cli', 'runs', 'attach'],
        cwd=stand.project.path,
        env=stand.project.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    watching.stdout.readline()
    pid = stand.first(short)['pid']
    os.kill(pid, signal.SIGKILL)
    _, err = watching.communicate(timeout=60)
    assert watching.returncode == 1
    assert f'error: run {short} died: its process ({pid} on ' in err and 'mlops run puts back' in err
    assert f'run {short} died' in stand.attach(short, code=1).err
    assert 'nothing to cancel' in stand.cancel(code=2).err
    assert f'no run goes on here; this is how run {short} ended' in stand.attach(code=1).err
    wait_for(lambda: not alive(stand.stage_pid(short)))
    stand.go()
    assert 'was killed here' in stand.project.mlops('run').err


def test_of_an_older_run_its_record_tells(stand: Stand) -> None:
    stand.go()
    identity = stand.project.mlops('run', '--json').json['run']
    shutil.rmtree(stand.project.path / '.mlops/local/live')
    short = identity.partition('-')[2]
    assert stand.attach(short[:6]).out == f'Run {short} ended just now: done.  (mlops runs show {short})\n'
    document = stand.attach(short, '--json').json
    schema = Path(__file__).resolve().parents[2] / 'docs/schemas/runs-attach.v1.json'
    jsonschema_rs.validator_for(json.loads(schema.read_text())).validate(document)
    assert [one['state'] for one in document['stages']] == ['done'] * 4
    assert 'none is remembered' in stand.attach(code=2).err
    assert 'no run' in stand.attach('zzzz', code=2).err


@pytest.mark.parametrize('how', ['done', 'given up'])
def test_it_is_followed_until_no_command_takes_it_for_one_that_goes_on(stand: Stand, how: str) -> None:
    """What it came to is told a moment before its process lets go of it."""
    stand.go()
    identity = stand.project.mlops('run', '--json').json['run']
    lines = (stand.folder(identity.partition('-')[2]) / 'events.jsonl').read_text().replace(identity, FORGED).splitlines()
    if how == 'given up':
        failed = {'event': 'run-failed', 'at': 1.0, 'run': FORGED, 'message': 'no luck', 'hint': '', 'exit_code': 4}
        lines = [*[line for line in lines if '"report"' not in line and '"run-ended"' not in line], json.dumps(failed)]
    with journal(stand):
        stand.project.write(f'.mlops/local/live/{FORGED}/events.jsonl', '\n'.join(lines) + '\n')
        process = subprocess.Popen(
            [sys.executable, '-m', 'mlops_cli', 'runs', 'attach', '7k2m'],
            cwd=stand.project.path,
            env=stand.project.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        while 'last' not in process.stdout.readline():  # of stages the last to end
            assert process.poll() is None
        time.sleep(0.5)
        assert process.poll() is None
    out, err = process.communicate(timeout=60)
    if how == 'done':
        assert process.returncode == 0 and '4 done in ' in out
    else:
        assert process.returncode == 4 and 'was given up: no luck' in err


def test_what_gave_a_run_up_is_told_with_its_code(stand: Stand) -> None:
    """It waits for a stage that another run has, and is not to wait long."""
    first = stand.detach()
    second = stand.project.mlops('-q', 'run', 'slow', '--detach', '--lock-timeout', '0.5').out.strip()
    result = stand.attach(second, code=11)
    # The stage before it may still be held, until what it made is durable.
    assert re.search(rf'run {second} was given up: stage (first|slow) is held by', result.err), result.err
    assert re.search(rf'waiting   (first|slow): waits for run {first} \(pid', result.err), result.err
    stand.go()
    assert stand.attach(first)


def test_two_at_once_have_to_be_named(stand: Stand) -> None:
    first = stand.detach()
    second = stand.detach('--set', 'depth=5')
    for command in (stand.attach, stand.cancel):
        result = command(code=2)
        assert 'error: 2 runs go on here' in result.err and first in result.err and second in result.err
        assert '  RUN ' in result.err and '--set depth=5' in result.err
    assert f'Cancelled run {second}' in stand.cancel(second[:5]).out
    assert alive(stand.first(first)['pid'])
    stand.go()
    assert f'Run {first}.' in stand.attach(first).out
    assert f'Run {first}.' in stand.attach().out  # it ended last


BEFORE = """\
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "mlops_cli", *sys.argv[1:]])
"""


def on_a_terminal(stand: Stand, *arguments: str, until: str, then: Callable[[int], None], columns: int = 80) -> tuple[int, str]:
    """A command on a terminal of its own; ``then``: done once it has shown something, with the terminal's descriptor."""
    import fcntl
    import struct
    import termios

    main, other = os.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, '-c', BEFORE, *arguments],
        cwd=stand.project.path,
        env={**stand.project.environ, 'TERM': 'xterm-256color'},
        stdin=other,
        stdout=other,
        stderr=other,
    )
    os.close(other)
    found, done, end = b'', False, time.monotonic() + 60
    while process.poll() is None or select.select([main], [], [], 0)[0]:
        assert time.monotonic() < end, found.decode()
        if select.select([main], [], [], 0.1)[0]:
            try:
                found += os.read(main, 65536)
            except OSError:  # nobody writes to it any more
                break
        if not done and until in found.decode(errors='replace'):
            done = True
            then(main)
    os.close(main)
    return process.wait(), found.decode()


@pytest.mark.parametrize('columns', [80, pytest.param(200, marks=pytest.mark.full)])
def test_ctrl_c_leaves_the_run_alone(stand: Stand, columns: int) -> None:
    short = stand.detach()
    code, text = on_a_terminal(
        stand,
        'runs',
        'attach',
        until='1 of 2 done, 1 running',  # the last of what is drawn: Ctrl-C throws away what the terminal has not shown yet
        then=lambda fd: os.write(fd, b'\x03') and None,
        columns=columns,
    )
    assert code == 130
    assert 'running   slow' in text
    assert f'Run {short} goes on without you.' in text and f'mlops runs cancel {short}' in text
    assert alive(stand.first(short)['pid']) and alive(stand.stage_pid(short))
    code, text = on_a_terminal(stand, 'runs', 'attach', until='running   slow', then=lambda _: stand.go(), columns=columns)
    assert code == 0 and f'Run {short}.' in text


def test_lists_of_runs_tell_what_goes_on(stand: Stand) -> None:
    short = stand.detach()
    said = stand.project.mlops('runs', 'list').out
    assert said == f'Going on: {short}, 1 of 2 stages, now slow   (mlops runs attach {short})\n'
    stand.go()
    stand.attach(short)
    (stand.marks / 'go').unlink()
    again = stand.detach('-f')
    lines = stand.project.mlops('runs', 'list').out.splitlines()
    assert lines[1].split()[0] == short and lines[-1].startswith(f'Going on: {again}')
    document = stand.project.mlops('runs', 'list', '--json').json
    schema = Path(__file__).resolve().parents[2] / 'docs/schemas/runs-list.v1.json'
    jsonschema_rs.validator_for(json.loads(schema.read_text())).validate(document)
    assert [(one['run'], one['detached'], one['stages']) for one in document['running']] == [(again, True, ['slow'])]


@pytest.mark.full
def test_a_pipeline_that_is_half_written_does_not_hide_a_run(stand: Stand) -> None:
    short = stand.detach()
    stand.project.write('pipeline.yaml', 'stages: {slow: [')
    stand.go()
    result = stand.attach()
    assert f'Run {short}.' in result.out and 'done      slow' in result.out
    assert 'note: without what the pipeline says: pipeline.yaml:' in result.err


# What a run wrote about itself may be a lie


@pytest.fixture
def innocent() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(['sleep', '100'])
    yield process
    process.kill()
    process.wait()


FORGED = '20261120T101522Z-7k2m9q4c'


@contextmanager
def journal(stand: Stand) -> Iterator[Journal]:
    """This process holds the run's journal."""
    folder = stand.project.path / '.mlops/local/journal'
    folder.mkdir(parents=True, exist_ok=True)
    with Journal(str(folder), FORGED) as made:
        yield made


def forge(stand: Stand, pid: int, owner: str) -> None:
    """A run that says that it is another process."""
    first = {'event': 'live', 'at': 1.0, 'schema': 'mlops/live/v1', 'run': FORGED, 'pid': pid, 'owner': owner}
    first |= {'host': 'gpu1', 'who': 'ben', 'command': ['mlops', 'run'], 'detached': True}
    stand.project.write(f'.mlops/local/live/{FORGED}/events.jsonl', json.dumps(first, separators=(',', ':')) + '\n')


def test_a_pid_that_is_used_again_is_never_signalled(stand: Stand, innocent: subprocess.Popen[bytes]) -> None:
    """The number is right and somebody runs: but it is not the one that had it then."""
    with journal(stand):
        forge(stand, innocent.pid, f'{boot()}-{innocent.pid}-1')
        result = stand.cancel('7k2m', code=2)
        assert 'is not there any more; nothing was sent' in result.err
        # Even with the right start time: that process does not hold the run's journal.
        forge(stand, innocent.pid, f'{boot()}-{innocent.pid}-{start_time(innocent.pid):x}')
        assert 'nothing was sent' in stand.cancel('7k2m', code=2).err
        forge(stand, innocent.pid, f'{boot()}-1-1')
        assert 'nothing was sent' in stand.cancel('7k2m', code=2).err
        forge(stand, innocent.pid, 'nonsense')
        assert 'nothing was sent' in stand.cancel('7k2m', code=2).err
    assert innocent.poll() is None


def test_a_run_of_another_host_is_refused(stand: Stand, innocent: subprocess.Popen[bytes]) -> None:
    with journal(stand):
        forge(stand, innocent.pid, f'00000000-{innocent.pid}-{start_time(innocent.pid):x}')
        result = stand.cancel(code=5)
        assert 'goes on elsewhere: on gpu1, as process' in result.err and 'hint: stop it there' in result.err
    assert innocent.poll() is None


@pytest.mark.skipif(os.getuid() != 0, reason='only root can start a process of somebody else')
def test_a_run_of_another_user_is_refused(stand: Stand) -> None:
    """Root could: that is why it is asked."""
    theirs = subprocess.Popen(['sleep', '100'], user=65534)
    try:
        with journal(stand):
            forge(stand, theirs.pid, f'{boot()}-{theirs.pid}-{start_time(theirs.pid):x}')
            assert 'belongs to ben: only they can stop it' in stand.cancel(code=5).err
        assert theirs.poll() is None
    finally:
        theirs.kill()
        theirs.wait()


@pytest.mark.parametrize(
    'lines',
    [
        b'',
        b'\n',
        b'null\n[]\n3\n',
        b'\xff\xfe\n',
        b'{"event":"live"}\n',
        b'{"event":"run-started","at":"x"}\n{"event":"stage-ended","at":1,"stage":7}\n',
        b'{"event":"stage-ended","at":1,"stage":"\\u001b[2J","state":"done","seconds":1}\n{"event":"report","at":1,"stages":[[1]]}\n',
        b'{"event":"run-failed","at":1,"run":"x","message":"\\u001b]0;x","hint":"","exit_code":99}\n',
        b'[' * 100_000 + b'\n',
    ],
    ids=range(9),
)
def test_a_damaged_file_is_told_and_never_a_traceback(stand: Stand, lines: bytes, monkeypatch: Any, capsys: Any) -> None:
    stand.project.write(f'.mlops/local/live/{FORGED}/events.jsonl', lines)
    monkeypatch.chdir(stand.project.path)
    assert app.run(['runs', 'attach', '7k2m']) == 1
    said = capsys.readouterr()
    assert '\x1b' not in said.out + said.err and 'error: ' in said.err and 'bug' not in said.err
    assert app.run(['status']) == 0
    with journal(stand):
        assert app.run(['runs', 'cancel']) == 2
    assert 'nothing to cancel' in capsys.readouterr().err
