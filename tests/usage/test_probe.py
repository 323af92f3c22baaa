"""What attempts consumed: sums on values, and measured on real processes."""
from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops_cli.usage import cpu
from mlops_cli.usage.probe import Probe
from tests.support.processes import begun

MB = 1_000_000


def row(rss: int) -> cpu.Row:
    return cpu.Row(1, 1, 1, 0, rss)


def used(**fields: float) -> resource.struct_rusage:
    names = ('ru_utime', 'ru_stime', 'ru_maxrss', 'ru_ixrss', 'ru_idrss', 'ru_isrss', 'ru_minflt', 'ru_majflt', 'ru_nswap',
             'ru_inblock', 'ru_oublock', 'ru_msgsnd', 'ru_msgrcv', 'ru_nsignals', 'ru_nvcsw', 'ru_nivcsw')
    return resource.struct_rusage([fields.get(name, 0) for name in names])


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_nothing_known():
    assert Probe().figures(2.5)[:5] == (2.5, 0.0, None, None, None)


def test_what_ended_adds_up_and_the_largest_process_is_the_floor_of_the_peak():
    probe = Probe()
    probe.ended(used(ru_utime=1.5, ru_stime=0.5, ru_maxrss=3000, ru_inblock=2, ru_oublock=4))
    probe.ended(used(ru_utime=1.0, ru_maxrss=2000, ru_oublock=1))
    assert probe.figures(9.0)[:5] == (9.0, 3.0, 3000 * 1024, 1024, 2560)


def test_one_process_is_measured_by_its_resident_size():
    probe = Probe()
    probe.sample([7], {7: row(5 * MB)}, proportional=lambda _: pytest.fail('not needed'))
    probe.sample([7], {7: row(3 * MB)}, proportional=lambda _: pytest.fail('not needed'))
    assert probe.figures(0)[2] == 5 * MB


def test_pages_that_processes_share_count_once():
    probe = Probe()
    shares = {1: 60 * MB, 2: 60 * MB, 3: None}
    probe.sample([1, 2, 3], {1: row(100 * MB), 2: row(100 * MB), 3: row(10 * MB)}, proportional=shares.get)
    assert probe.figures(0)[2] == 130 * MB


def test_a_slow_measurement_is_made_seldom_and_its_ratio_used_meanwhile():
    clock = Clock()
    asked = []

    def slow(pid: int) -> int:
        asked.append(pid)
        clock.now += 0.1
        return 50 * MB

    probe = Probe()
    table = {1: row(100 * MB), 2: row(100 * MB)}
    probe.sample(table, table, proportional=slow, clock=clock)
    assert probe.figures(0)[2] == 100 * MB
    grown = {1: row(200 * MB), 2: row(200 * MB)}
    clock.now += 1
    probe.sample(grown, grown, proportional=slow, clock=clock)
    assert (probe.figures(0)[2], asked) == (200 * MB, [1, 2])
    clock.now += 10
    probe.sample(grown, grown, proportional=slow, clock=clock)
    assert asked == [1, 2, 1, 2]


def test_processes_that_went_meanwhile_do_not_count():
    probe = Probe()
    probe.sample([1, 2], {1: row(MB)})
    assert probe.figures(0)[2] == MB


@pytest.mark.parametrize('name', [b'(a b)', b'(a) S 9 9 9 ()', b'()', b'(\n)'])
def test_names_of_processes_may_hold_anything(name):
    text = b'12 ' + name + b' S 3 4 5 0 -1 0 0 0 0 0 10 20 0 0 20 0 1 0 777 9999 25 18446744073709551615\n'
    found = cpu.parse_stat(text)
    assert found is not None
    assert (found.parent, found.group, found.session, found.start, found.rss) == (3, 4, 5, 777, 25 * cpu.PAGE_BYTES)


def test_zombies_are_not_alive_unless_threads_go_on():
    text = '12 (x) Z 3 4 5 0 -1 0 0 0 0 0 10 20 0 0 20 0 {} 0 777 9999 25 0'
    assert cpu.parse_stat(text.format(1).encode()) is None
    assert cpu.parse_stat(text.format(3).encode()) is not None
    assert cpu.parse_stat(text.format(1).encode(), zombies=True) is not None
    assert cpu.parse_stat(b'') is None


def test_the_table_of_processes():
    child = begun('sleep', '60', env={'A': '1', 'MARK': 'x=y', 'MARKED': 'no'}, start_new_session=True)
    try:
        table = cpu.processes()
        mine = table[child.pid]
        assert (mine.parent, mine.group, mine.session) == (os.getpid(), child.pid, child.pid)
        assert mine.rss > 0
        assert {os.getpid(), child.pid} <= cpu.descendants([os.getpid()], table)
        assert child.pid not in cpu.descendants([child.pid + 1], {})
        assert child.pid in (cpu.own_children() or [])
        assert cpu.session_of(child.pid) == child.pid
        assert cpu.variable_of(child.pid, b'MARK') == b'x=y'
        assert cpu.variable_of(child.pid, b'ARK') is None
        assert cpu.variable_of(child.pid, b'NONE') is None
    finally:
        child.kill()
        child.wait()
    assert cpu.read_row(child.pid) is None
    assert cpu.session_of(child.pid) is None
    assert cpu.variable_of(child.pid, b'MARK') is None
    assert cpu.proportional_bytes(child.pid) is None


def test_forked_workers_that_share_their_memory():
    code = '''
import os, time
block = bytearray(os.urandom(1)) * 60_000_000
if os.fork(): os.fork()
print("ready", flush=True)
time.sleep(60)
'''
    child = subprocess.Popen([sys.executable, '-S', '-c', code], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert child.stdout is not None
        for _ in range(3):
            child.stdout.readline()
        table = cpu.processes()
        pids = cpu.descendants([child.pid], table)
        assert len(pids) == 3
        assert sum(table[pid].rss for pid in pids) > 170 * MB
        probe = Probe()
        probe.sample(pids, table)
        peak = probe.figures(0)[2]
        assert peak is not None
        assert peak == pytest.approx(70 * MB, rel=0.2)
    finally:
        os.killpg(child.pid, 9)
        child.communicate()


def test_the_last_look_is_cheap():
    begin = time.process_time()
    table = cpu.processes()
    seconds = time.process_time() - begin
    assert seconds / max(1, len(table)) < 0.001  # it is made once a second


def package(folder: Path, name: str, said: int, kind: str = 'package-0', end: int = 1_000_000) -> Path:
    (folder / name).mkdir()
    for file, text in (('name', kind), ('energy_uj', said), ('max_energy_range_uj', end)):
        (folder / name / file).write_text(f'{text}\n')
    return folder / name / 'energy_uj'


def test_what_processors_draw(tmp_path: Path) -> None:
    first = package(tmp_path, 'intel-rapl:0', 100_000)
    second = package(tmp_path, 'intel-rapl:1', 900_000, 'package-1')
    package(tmp_path, 'intel-rapl:0:0', 5, 'core')  # counted in the first
    package(tmp_path, 'intel-rapl-mmio:0', 5)
    package(tmp_path, 'intel-rapl:2', 5, 'psys')  # all of them, and more
    (tmp_path / 'intel-rapl:3').mkdir()
    found = cpu.Packages(str(tmp_path))
    assert found.joules() == 0
    first.write_text('600000\n')
    assert found.joules() == 0.5
    second.write_text('200000\n')  # it started anew
    assert found.joules() == pytest.approx(0.8) == found.joules()
    first.unlink()
    assert found.joules() == pytest.approx(0.8)


def test_where_processors_do_not_say_what_they_draw(tmp_path: Path) -> None:
    assert cpu.Packages(str(tmp_path / 'none')).joules() is None
    package(tmp_path, 'intel-rapl:0', 5).chmod(0)
    if os.geteuid():
        assert cpu.Packages(str(tmp_path)).joules() is None
