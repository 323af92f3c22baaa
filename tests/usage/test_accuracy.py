"""What is recorded of an attempt, against what GNU time says of the same processes in the same run."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_cli.core.job import Job, Outcome, Process
from mlops_cli.executors.local import Local

TIME = shutil.which('time')
BUSY = 'import time; until = time.process_time() + {}; \nwhile time.process_time() < until: pass\n'
HOLD = 'held = bytearray({}); held[::4096] = b"x" * len(held[::4096])\n'
FORK = '''
import os
for _ in range({0}):
    if os.fork() == 0:
        {1}
        os._exit(0)
for _ in range({0}):
    os.wait()
'''
THREADS = '''
import hashlib, threading
data = bytes(64 << 20)
work = [threading.Thread(target=lambda: [hashlib.sha256(data).digest() for _ in range({})]) for _ in range({})]
[one.start() for one in work]
[one.join() for one in work]
'''
SPIN = 'until = sum(os.times()[:2]) + 0.5\n        while sum(os.times()[:2]) < until: pass'
CHILD = 'import subprocess, sys\nsubprocess.run([sys.executable, "-c", {!r}], check=True)\n'
WRITE = 'import os\nfile = open("out", "wb")\nfor _ in range({}): file.write(os.urandom(1 << 20))\n'
# Name -> (program, whether one process holds nearly all the memory that any does, as GNU time knows only the largest)
PROGRAMS = {
    'short': ('pass', False),
    'short and busy': (BUSY.format(0.2), False),
    'busy': (BUSY.format(1.5), False),
    'busy for long': (BUSY.format(4), False),
    'sleeps': ('import time; time.sleep(1.2)', False),
    'sleeps, then works': ('import time; time.sleep(0.8)\n' + BUSY.format(0.8), False),
    'holds 100 MB': (HOLD.format(100_000_000) + BUSY.format(0.3), True),
    'holds 700 MB': (HOLD.format(700_000_000), True),
    'holds much for a moment': (HOLD.format(400_000_000) + 'del held\n' + BUSY.format(1.2), True),
    'grows': ('held = []\nfor _ in range(20):\n    held.append(b"x" * 10_000_000)\n' + BUSY.format(1), True),
    'two threads': (THREADS.format(6, 2), True),
    'eight threads': (THREADS.format(2, 8), True),
    'four processes': (FORK.format(4, SPIN), False),
    'twenty short processes': (FORK.format(20, 'sum(range(300000))'), False),
    'a child': (CHILD.format(BUSY.format(0.7)), False),
    'a child that holds much': (CHILD.format(HOLD.format(300_000_000) + BUSY.format(0.4)), False),
    'a child of a child': (CHILD.format(CHILD.format(BUSY.format(0.5))), False),
    'writes': (WRITE.format(120), False),
    'a shell': ('import os; os.execvp("sh", ["sh", "-c", "i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done"])', False),
    'fails': (BUSY.format(0.4) + 'raise SystemExit(3)', False),
}


@pytest.mark.full
@pytest.mark.skipif(TIME is None, reason='GNU time is not here: apt-get install time')
@pytest.mark.parametrize('name', PROGRAMS)
def test_as_gnu_time_has_it(name: str, tmp_path: Path) -> None:
    program, one_holds_it = PROGRAMS[name]
    said = tmp_path / 'said'
    words = (str(TIME), '-q', '-f', '%e %U %S %M', '-o', str(said), sys.executable, '-c', program)
    outcome = _outcome(words, tmp_path)
    assert outcome.exit_code == (3 if name == 'fails' else 0), (tmp_path / 'log').read_text()
    wall, user, system, peak = map(float, said.read_text().split())
    usage = outcome.usage
    # GNU time writes hundredths of seconds, rounded down, and starts and ends within what is measured here.
    assert usage.wall_seconds == pytest.approx(wall, rel=0.02, abs=0.05)
    assert usage.cpu_seconds == pytest.approx(user + system, rel=0.02, abs=0.04)
    assert usage.memory_peak_bytes is not None
    if one_holds_it:
        assert usage.memory_peak_bytes == pytest.approx(peak * 1024, rel=0.02)
    else:
        assert usage.memory_peak_bytes >= 0.98 * peak * 1024, 'never less than the largest of its processes'


@pytest.mark.full
def test_processes_beside_each_other_are_added_up(tmp_path: Path) -> None:
    """GNU time would say 150 MB."""
    hold = 'held = bytearray(150_000_000); held[::4096] = b"x" * len(held[::4096])'
    program = FORK.format(3, f'{hold}; import time; time.sleep(2.5)')
    outcome = _outcome((sys.executable, '-c', program), tmp_path)
    assert outcome.usage.memory_peak_bytes == pytest.approx(450e6 + 8e6, rel=0.04)


@pytest.mark.full
def test_looking_costs_little(tmp_path: Path) -> None:
    """Under 1 % of a processor, for a stage of one process and of twenty."""
    for program in ('import time; time.sleep(6)', FORK.format(20, 'import time; time.sleep(6)')):
        local = Local(str(tmp_path / 'alive'))
        try:
            taken = []
            for words in ((sys.executable, '-c', 'pass'), (sys.executable, '-c', program)):
                local.submit(_job(words, tmp_path))
                while not local.poll(10):
                    pass
                fields = Path(f'/proc/{local.start().pid}/stat').read_bytes().rpartition(b') ')[2].split()
                taken.append((int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK'))
            seconds = taken[1] - taken[0]
            assert seconds <= 0.06, f'{seconds} s of a processor in 6 s'
        finally:
            local.close()


def _outcome(words: tuple[str, ...], folder: Path) -> Outcome:
    local = Local(str(folder / 'alive'))
    try:
        local.submit(_job(words, folder))
        while not (found := local.poll(10)):
            pass
        return found[0]
    finally:
        local.close()


def _job(words: tuple[str, ...], folder: Path) -> Job:
    return Job('a', 'stage', str(folder), '.', (Process(words),), {'PATH': '/usr/bin:/bin'}, str(folder / 'log'))


def test_gnu_time_is_what_it_is_taken_for() -> None:
    if TIME is None:
        pytest.skip('GNU time is not here: apt-get install time')
    assert 'GNU' in subprocess.run([TIME, '--version'], capture_output=True, text=True, check=False).stdout
