"""What becomes of the processes of a job, with real ones."""
from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
import time
from pathlib import Path

import pytest

from mlops_cli.core.job import Outcome
from mlops_cli.job.client import Started, Supervisor, anything_alive
from mlops_cli.usage import cpu

PYTHON = sys.executable

UNTIL_GO = 'while ! test -e go; do sleep 0.01; done'
IGNORES_TERM = 'trap "" TERM; echo ready; while :; do sleep 0.05; done'
# Leaves everything behind that could betray it: parent, session, descriptors, environment.
DAEMON = '''
import os, sys, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
os.closerange(0, 256)
with open(sys.argv[1], 'w') as f: f.write(str(os.getpid()))
if len(sys.argv) > 2: os.execve(sys.executable, [sys.executable, '-S', '-c', 'import time; time.sleep(60)'], {})
time.sleep(60)
'''


@pytest.mark.parametrize(('command', 'code'), [('exit 0', 0), ('exit 3', 3), ('kill -KILL $$', 137), ('kill -TERM $$', 143),
                                               ('kill -INT $$', 130), ('nosuchcommand', 127)])
def test_exit_codes(scene, command, code):
    outcome, _ = scene.run(command)
    assert (outcome.ending, outcome.exit_code, outcome.killed) == ('exited', code, 0)
    assert outcome.succeeded == (code == 0)


def test_processes_run_in_order_and_the_first_that_fails_ends_the_job(scene):
    outcome, log = scene.run('echo one', 'echo two >&2; exit 4', 'echo three')
    assert (outcome.exit_code, log) == (4, 'one\ntwo\n')


def test_one_session_for_each_process_and_no_terminal(scene):
    code = 'import os; print(os.getpid() == os.getsid(0) == os.getpgid(0), os.read(0, 9))'
    assert scene.run([PYTHON, '-c', code], [PYTHON, '-c', code])[1] == "True b''\n" * 2


def test_descriptors_and_signals_are_those_of_a_fresh_login(scene):
    leaked = os.dup(0)
    os.set_inheritable(leaked, True)  # what a careless parent of ours might leave open
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a shell's background
    scene.supervisor.close()
    try:
        scene.supervisor = Supervisor.start()
        _, log = scene.run('ls -l /proc/self/fd | grep -c -- "->"', 'grep -E "SigBlk|SigIgn" /proc/self/status')
    finally:
        os.close(leaked)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGINT, ignored)
    assert log.splitlines()[0] == '4'  # 0, 1, 2 and the folder that ls itself reads
    reserved = 3 << 31  # 32 and 33 are the C library's own; its posix_spawn ignores them
    assert all(int(line.split()[1], 16) & ~reserved == 0 for line in log.splitlines()[1:]), log


def test_environment_is_exact(scene):
    odd = {'PATH': os.environ['PATH'], 'EMPTY': '', 'line\nbreak': 'a\nb\n', 'a b%é😀': 'é😀', 'equals': 'a=b=c',
           'raw': os.fsdecode(b'\xff\xfe\x80')}
    job = scene.job([PYTHON, '-I', '-c', 'import os; os.write(1, open("/proc/self/environ", "rb").read())'], environment=odd)
    scene.supervisor.submit(job)
    assert scene.outcome().succeeded
    found = dict(item.split(b'=', 1) for item in Path(job.log).read_bytes().split(b'\0')[:-1])
    given = odd | {'MLOPS_ATTEMPT': job.attempt}
    assert found == {os.fsencode(name): os.fsencode(value) for name, value in given.items()}


def test_an_impossible_environment_is_told_not_raised(scene):
    outcome, _ = scene.run('true', environment={'a=b': 'c'})
    assert (outcome.ending, outcome.exit_code) == ('not-started', None)
    assert 'environment' in outcome.message


@pytest.mark.parametrize('name', ['with space', '😀 é', "quo'te", 'new\nline', '-dash'])
def test_folder_names(scene, name):
    (scene.folder / name).mkdir()
    outcome, log = scene.run('pwd -P', directory=name)
    assert (outcome.exit_code, log) == (0, f'{scene.folder / name}\n')


def test_missing_folder(scene):
    outcome, _ = scene.run('true', directory='nowhere')
    assert (outcome.ending, outcome.exit_code) == ('not-started', None)
    assert str(scene.folder / 'nowhere') in outcome.message
    assert 'No such file' in outcome.message


def test_log_that_cannot_be_written(scene):
    outcome, _ = scene.run('touch ran', log=str(scene.folder / 'no/log'))
    assert outcome.ending == 'not-started'
    assert str(scene.folder / 'no/log') in outcome.message
    assert not (scene.folder / 'ran').exists()


def test_a_log_is_never_written_through_a_link(scene):
    (scene.folder / 'victim').write_text('kept')
    (scene.folder / 'log').symlink_to('victim')
    assert scene.run('echo no', log=str(scene.folder / 'log'))[0].ending == 'not-started'
    assert (scene.folder / 'victim').read_text() == 'kept'


def test_log_is_private_and_appended_to(scene):
    job = scene.job('echo new', log=str(scene.folder / 'log'))
    Path(job.log).write_text('old\n')
    scene.supervisor.submit(job)
    scene.outcome()
    assert Path(job.log).read_text() == 'old\nnew\n'
    old = os.umask(0)
    try:
        _, log = scene.run('umask', log=str(scene.folder / 'fresh'))
    finally:
        os.umask(old)
    assert log == f'{old:04o}\n'
    assert stat.S_IMODE((scene.folder / 'fresh').stat().st_mode) == 0o600


def test_much_output(scene):
    outcome, log = scene.run([PYTHON, '-c', 'import os; os.write(1, b"x" * 999_999 + b"\\n")'])
    assert outcome.succeeded
    assert len(log) == 1_000_000


def test_output_of_what_ends_just_after_its_parent_is_kept(scene):
    outcome, log = scene.run('(while kill -0 $$ 2>/dev/null; do :; done; echo late) & echo early')
    assert (outcome.exit_code, outcome.killed, log) == (0, 0, 'early\nlate\n')


def test_timeout_asks_first(scene):
    script = 'trap "echo asked; exit 9" TERM; while :; do sleep 0.01; done'
    outcome, log = scene.run(script, timeout_seconds=1.5, grace_seconds=60)
    assert (outcome.ending, outcome.exit_code, 'asked' in log) == ('timeout', 9, True)


def test_timeout_kills_who_does_not_listen(scene):
    begin = time.monotonic()
    outcome, _ = scene.run(f'sh -c \'{IGNORES_TERM}\' & {IGNORES_TERM}', timeout_seconds=1.5)
    assert (outcome.ending, outcome.exit_code, outcome.killed) == ('timeout', 137, 0)
    assert 2 <= time.monotonic() - begin < 20


def test_timeout_covers_all_processes_of_a_job(scene):
    outcome, log = scene.run('sleep 0.4', 'sleep 0.4', 'sleep 0.4; echo no', timeout_seconds=0.6)
    assert (outcome.ending, log) == ('timeout', '')


def test_timeout_reaches_stopped_processes(scene):
    script = 'trap "echo asked; exit 9" TERM; kill -STOP $$; while :; do sleep 0.01; done'
    outcome, log = scene.run(script, timeout_seconds=1.5, grace_seconds=60)
    assert (outcome.ending, outcome.exit_code, 'asked' in log) == ('timeout', 9, True)


def test_cancel(scene):
    job = scene.job('trap "echo asked; exit 9" TERM; echo ready; while :; do sleep 0.01; done', grace_seconds=30)
    scene.supervisor.submit(job)
    scene.started()
    while 'ready' not in scene.log(job):
        time.sleep(0.01)
    scene.supervisor.cancel(job.attempt)
    outcome = scene.outcome()
    assert (outcome.ending, outcome.exit_code, 'asked' in scene.log(job)) == ('cancelled', 9, True)
    scene.supervisor.cancel(job.attempt)  # over: left alone


def test_who_serves_the_files_of_an_image_is_not_asked_to_end_before_who_uses_them(scene):
    """Apptainer started by who is not root has its image mounted by such a program, below itself and in its group."""
    shutil.copy(shutil.which('sleep'), scene.folder / 'squashfuse_ll')
    asked = 'sleep 0.3; kill -0 $it && echo served; kill $it; exit 9'
    script = f'{scene.folder}/squashfuse_ll 60 & it=$!; trap "{asked}" TERM; while :; do sleep 0.01; done'
    outcome, log = scene.run(script, timeout_seconds=1.5, grace_seconds=60)
    assert (outcome.ending, outcome.exit_code, 'served' in log) == ('timeout', 9, True)
    outcome, _ = scene.run(f'{scene.folder}/squashfuse_ll 60 & sleep 0.1')
    assert (outcome.exit_code, outcome.killed) == (0, 1), 'alone it is asked like any other'


def test_second_cancel_kills_at_once(scene, wait_until):
    job = scene.job(IGNORES_TERM, grace_seconds=60)
    scene.supervisor.submit(job)
    scene.started()
    wait_until(lambda: scene.log(job))
    scene.supervisor.cancel(job.attempt)
    assert scene.supervisor.events(0.2) == []
    scene.supervisor.cancel(job.attempt, force=True)
    outcome = scene.outcome(30)
    assert (outcome.ending, outcome.exit_code) == ('cancelled', 137)


@pytest.mark.parametrize('hide', [False, True])
def test_a_daemon_left_behind_is_ended_and_counted(scene, hide):
    pid_file = scene.folder / 'pid'
    outcome, _ = scene.run([PYTHON, '-c', DAEMON, str(pid_file), *(['hide'] if hide else [])],
                           f'while ! test -s {pid_file}; do sleep 0.01; done')
    assert (outcome.ending, outcome.exit_code, outcome.killed) == ('exited', 0, 1)
    assert not cpu.read_row(int(pid_file.read_text()))


def test_a_daemon_that_ignores_term_is_killed(scene):
    pid_file = scene.folder / 'pid'
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + DAEMON
    outcome, _ = scene.run([PYTHON, '-c', code, str(pid_file)], f'while ! test -s {pid_file}; do sleep 0.01; done')
    assert (outcome.exit_code, outcome.killed) == (0, 1)
    assert not cpu.read_row(int(pid_file.read_text()))


def test_a_daemon_of_one_attempt_does_not_disturb_another(scene):
    other = scene.job(UNTIL_GO)
    scene.supervisor.submit(other)
    pid_file = scene.folder / 'pid'
    outcome, _ = scene.run([PYTHON, '-c', DAEMON, str(pid_file)], f'while ! test -s {pid_file}; do sleep 0.01; done')
    assert (outcome.exit_code, outcome.killed) == (0, 1)
    assert not cpu.read_row(int(pid_file.read_text()))
    (scene.folder / 'go').touch()
    rest = scene.outcome()
    assert (rest.attempt, rest.exit_code, rest.killed) == (other.attempt, 0, 0)


def test_a_server_of_the_first_process_lives_until_the_last_has_ended(scene):
    outcome, _ = scene.run('sleep 60 & echo $! > pid', 'kill -0 $(cat pid)')
    assert (outcome.exit_code, outcome.killed) == (0, 1)


def test_many_at_once(scene):
    jobs = [scene.job(f'sleep 0.2; echo {number}; exit {number % 3}') for number in range(200)]
    scene.supervisor.submit(*jobs)
    outcomes = {outcome.attempt: outcome for outcome in scene.outcomes(200, 60)}
    assert [outcomes[job.attempt].exit_code for job in jobs] == [number % 3 for number in range(200)]
    assert [scene.log(job) for job in jobs] == [f'{number}\n' for number in range(200)]


def test_no_zombies_and_no_descriptors_are_left(scene):
    scene.run('true')
    before = len(os.listdir(f'/proc/{scene.supervisor.pid}/fd'))
    for _ in range(5):
        scene.run('sh -c "sleep 0.01 &" & sh -c true; sleep 0.05')
    children = Path(f'/proc/{scene.supervisor.pid}/task/{scene.supervisor.pid}/children').read_text()
    assert children == ''
    assert len(os.listdir(f'/proc/{scene.supervisor.pid}/fd')) == before


def test_started_comes_soon_for_long_jobs_and_with_the_outcome_for_short_ones(scene):
    scene.supervisor.submit(scene.job(UNTIL_GO))
    pid = scene.started()
    assert cpu.session_of(pid) == pid
    (scene.folder / 'go').touch()
    scene.outcome()
    scene.supervisor.submit(scene.job('true'))
    events = scene.supervisor.events(60)
    if len(events) == 1:  # it was no short one where the machine is slow
        events += scene.supervisor.events(60)
    assert [type(event) for event in events] == [Started, Outcome]


def test_submit_refuses_nonsense(scene):
    job = scene.job('sleep 0.2')
    scene.supervisor.submit(job)
    with pytest.raises(ValueError):
        scene.supervisor.submit(job)
    with pytest.raises(ValueError):
        scene.supervisor.submit(scene.job())
    with pytest.raises(ValueError):
        scene.supervisor.submit(scene.job([]))
    assert scene.outcome().succeeded


def test_close_cancels_and_frees_the_lock(scene, tmp_path):
    alive = str(tmp_path / 'alive')
    assert not anything_alive(str(tmp_path / 'never'))
    job = scene.job('sleep 60')
    scene.supervisor.submit(job)
    pid = scene.started()
    assert anything_alive(alive)
    outcome, = scene.supervisor.close()
    assert (outcome.attempt, outcome.ending, outcome.exit_code) == (job.attempt, 'cancelled', 143)
    assert not cpu.read_row(pid)
    assert not anything_alive(alive)
    assert scene.supervisor.close() == []
    assert scene.supervisor.events(0) == []


def test_a_signal_to_the_supervisor_does_not_end_a_run(scene):
    scene.supervisor.submit(scene.job(UNTIL_GO))
    scene.started()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(scene.supervisor.pid, number)
    (scene.folder / 'go').touch()
    assert scene.outcome().succeeded
