"""What is told of a driver's answers, and that none of them does harm."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.servers.nvml import Nvml, uuid

OURS = """\
import json
from mlops_cli.usage.gpu import opened
driver = opened()
cards = driver.cards()
asked = [card for card in cards if card.uuid]
print(json.dumps([[[c.uuid, c.name, c.memory_bytes, c.free_bytes] for c in cards],
                  [[l.busy, l.memory_bytes, l.watts] for l in map(driver.look, [c.uuid for c in asked])],
                  [[n.used_bytes, n.by] for n in map(driver.load, [c.uuid for c in asked])]]))
"""
OLD = """\
typedef unsigned long long Long;
int nvmlInitWithFlags(unsigned flags) { return (int)flags; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 1; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Long *card) { *card = index + 0x123456789abcUL; return 0; }
int nvmlDeviceGetUUID(Long card, char *into, unsigned room) {
    into[0] = card == 0x123456789abcUL ? 'G' : '?'; into[1] = 0; return room < 2; }
int nvmlDeviceGetName(Long card, char *into, unsigned room) { into[0] = 'O'; into[1] = 0; return !card || room < 2; }
int nvmlDeviceGetComputeRunningProcesses(Long card, unsigned *count, unsigned char *into) {
    int small = !into || !*count;
    *count = 1;
    if (!small) { *(unsigned *)into = 42; *(Long *)(into + 8) = 4096; }
    return small ? 7 : !card; }
"""


def said(program: str, environ: dict[str, str]) -> Any:
    words = [sys.executable, '-c', program]
    done = subprocess.run(words, env={**os.environ, **environ}, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_what_it_says(nvml: Nvml) -> None:
    many = ','.join(f'{number}:{number << 20}' for number in range(1, 30))
    nvml.set(count=3, name='NVIDIA H200', mem_total=16 << 30, mem_used=3 << 30, util_1=40, pids_1='7:4096', pids_2=many,
             power='250000@0', power_2='90500@0')
    cards, looks, loads = said(OURS, nvml.environ)
    assert cards == [[uuid(number), 'NVIDIA H200', 16 << 30, 13 << 30] for number in range(3)]
    assert looks == [[0.0, 3 << 30, 250.0], [0.4, 3 << 30, 250.0], [0.0, 3 << 30, 90.5]]
    assert loads == [[3 << 30, []], [3 << 30, [[7, 4096]]], [3 << 30, [[number, number << 20] for number in range(1, 30)]]]


def test_a_card_that_is_lost_has_no_name_and_the_others_stay(nvml: Nvml) -> None:
    nvml.set(count=2, fail_1=15)
    cards, looks, _ = said(OURS, nvml.environ)
    assert [card[0] for card in cards] == [uuid(0), ''] and len(looks) == 1


def why_not(environ: dict[str, str]) -> str:
    tried = 'try:\n gpu.opened()\nexcept gpu.Failed as e:\n print(f"{type(e).__name__}: {e}")'
    words = [sys.executable, '-c', f'from mlops_cli.usage import gpu\n{tried}']
    return subprocess.run(words, env={**os.environ, **environ}, capture_output=True, text=True, check=True).stdout.strip()


def test_why_there_is_none(nvml: Nvml, tmp_path: Path) -> None:
    assert why_not({'LD_LIBRARY_PATH': str(tmp_path)}) == 'Absent: NVML Shared Library Not Found'
    nvml.set(init=9)
    assert why_not(nvml.environ).startswith('Absent: ')
    nvml.set(init=18)
    assert why_not(nvml.environ).startswith('Failed: ')


def test_a_driver_that_knows_fewer_questions_answers_the_others(tmp_path: Path) -> None:
    """Of a library of which only the old forms are there."""
    (tmp_path / 'old.c').write_text(OLD)
    words = ['gcc', '-shared', '-fPIC', '-o', tmp_path / 'libnvidia-ml.so.1', tmp_path / 'old.c']
    subprocess.run(words, check=True)
    cards, looks, loads = said(OURS, {'LD_LIBRARY_PATH': str(tmp_path)})
    assert cards == [['G', 'O', None, None]]
    assert looks == [[None, None, None]] and loads == [[None, []]]
