"""What outcomes say of consumption, by real processes."""
from __future__ import annotations

import sys

import pytest

PYTHON = sys.executable
MB = 1_000_000
HOLD = 'import os, sys, time; block = bytearray(os.urandom(1)) * int(sys.argv[1]); time.sleep(float(sys.argv[2]))'


@pytest.mark.parametrize('seconds', [0.0, 0.8])
def test_memory_of_one_process(scene, seconds):
    outcome, _ = scene.run([PYTHON, '-S', '-c', HOLD, str(200 * MB), str(seconds)])
    assert outcome.usage.memory_peak_bytes == pytest.approx(200 * MB, rel=0.2)


def test_memory_of_a_tree_adds_up(scene):
    outcome, _ = scene.run(f'for i in 1 2 3; do {PYTHON} -S -c "{HOLD}" 70000000 1.2 & done; wait')
    assert outcome.usage.memory_peak_bytes == pytest.approx(3 * 75 * MB, rel=0.2)


def test_processor_and_wall_time(scene):
    burn = 'import time\nwhile time.process_time() < 0.3: pass'
    outcome, _ = scene.run([PYTHON, '-S', '-c', burn], f'{PYTHON} -S -c "{burn}" & wait; sleep 0.3')
    assert outcome.usage.cpu_seconds == pytest.approx(0.61, abs=0.06)
    assert outcome.usage.wall_seconds >= 0.9


def test_processor_time_of_orphans_counts(scene):
    burn = 'import os, time\nif os.fork(): os._exit(0)\nos.setsid()\nwhile time.process_time() < 0.3: pass'
    outcome, _ = scene.run(f'{PYTHON} -S -c "{burn}"; sleep 1')
    assert outcome.usage.cpu_seconds == pytest.approx(0.34, abs=0.06)


def test_what_is_written_counts_where_it_reaches_a_disk(scene):
    outcome, _ = scene.run('dd if=/dev/zero of=big bs=1M count=8 conv=fsync 2>/dev/null')
    assert outcome.usage.write_bytes is not None
    assert outcome.usage.write_bytes == 0 or outcome.usage.write_bytes == pytest.approx(8 << 20, rel=0.2)


def test_the_time_that_leftovers_take_to_end_is_not_the_stages(scene):
    outcome, _ = scene.run('(trap "" TERM; while :; do sleep 0.05; done) & sleep 0.1', grace_seconds=2)
    assert outcome.killed >= 1
    assert outcome.usage.wall_seconds < 1.5
