"""What outcomes say of consumption, by real processes."""
from __future__ import annotations

import sys
import time

import pytest

from mlops_cli.job.supervisor import LINGER_SECONDS

PYTHON = sys.executable
MB = 1_000_000
HOLD = 'import os, sys, time; block = bytearray(os.urandom(1)) * int(sys.argv[1]); time.sleep(float(sys.argv[2]))'
BURN = 'import time\nwhile time.process_time() < 0.3: pass\nprint(time.process_time())'


@pytest.mark.parametrize('seconds', [0.0, 0.8])
def test_memory_of_one_process(scene, seconds):
    outcome, _ = scene.run([PYTHON, '-S', '-c', HOLD, str(200 * MB), str(seconds)])
    assert outcome.usage.memory_peak_bytes == pytest.approx(200 * MB, rel=0.2)


def test_memory_of_a_tree_adds_up(scene):
    """All three hold it for two looks at least, however late one of them begins."""
    together = 'open(str(os.getpid()), "x"); [time.sleep(0.05) for _ in iter(lambda: len(os.listdir()) < 3, False)]; '
    (scene.folder / 'here').mkdir()
    script = HOLD.replace('time.sleep', together + 'time.sleep').replace('"', '\\"')
    outcome, _ = scene.run(f'for i in 1 2 3; do {PYTHON} -S -c "{script}" 70000000 2.5 & done; wait', directory='here')
    assert outcome.usage.memory_peak_bytes == pytest.approx(3 * 75 * MB, rel=0.2)


def test_processor_and_wall_time(scene):
    outcome, log = scene.run([PYTHON, '-S', '-c', BURN], f'{PYTHON} -S -c "{BURN}" & wait; sleep 0.3')
    said = [float(line) for line in log.splitlines()]
    assert len(said) == 2 and sum(said) - 0.01 <= outcome.usage.cpu_seconds < sum(said) + 0.3  # what a shell and two ends take
    assert outcome.usage.wall_seconds >= 0.9


def test_processor_time_of_orphans_counts(scene):
    burn = f'import os\nif os.fork(): os._exit(0)\nos.setsid()\n{BURN}'
    outcome, log = scene.run(f'mkfifo said; exec 3<>said; {PYTHON} -S -c "{burn}" >&3; read -r said <&3; echo $said')
    said = float(log)
    assert said - 0.01 <= outcome.usage.cpu_seconds < said + 0.3


def test_what_is_written_counts_where_it_reaches_a_disk(scene):
    outcome, _ = scene.run('dd if=/dev/zero of=big bs=1M count=8 conv=fsync 2>/dev/null')
    assert outcome.usage.write_bytes is not None
    assert outcome.usage.write_bytes == 0 or outcome.usage.write_bytes == pytest.approx(8 << 20, rel=0.2)


def test_the_time_that_leftovers_take_to_end_is_not_the_stages(scene):
    begin = time.monotonic()
    outcome, _ = scene.run('(trap "" TERM; while :; do sleep 0.05; done) & sleep 0.1', grace_seconds=2)
    assert outcome.killed >= 1
    assert outcome.usage.wall_seconds <= time.monotonic() - begin - LINGER_SECONDS
