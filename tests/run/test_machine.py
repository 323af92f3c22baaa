"""What this machine has to give, as far as this process may use it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlops_cli.core import limits
from mlops_cli.job import cards
from mlops_cli.job.cards import VISIBLE
from mlops_cli.run import machine as module
from mlops_cli.run.machine import machine
from mlops_cli.usage.gpu import Card


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 8 processors, 64 GiB, no cards and no control groups."""
    for where, name in ((module, 'NVIDIA'), (limits, 'CGROUPS'), (limits, 'MEMBERSHIP')):
        monkeypatch.setattr(where, name, str(tmp_path / name))
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(os, 'sysconf', {'SC_PAGE_SIZE': 4096, 'SC_PHYS_PAGES': 16 << 20}.__getitem__)


def groups(tmp_path: Path, membership: str, files: dict[str, str]) -> None:
    (tmp_path / 'MEMBERSHIP').write_text(membership)
    for path, text in files.items():
        (tmp_path / 'CGROUPS' / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 'CGROUPS' / path).write_text(text)


def test_the_whole_machine() -> None:
    found = machine({'licence': 2}, {})
    assert (found.cpus, found.memory_bytes, found.gpus, found.tokens) == (8, 64 << 30, 0, {'licence': 2})


def test_limits_of_control_groups_also_of_those_above(tmp_path: Path) -> None:
    groups(
        tmp_path,
        '0::/job/step\n',
        {
            'cpu.max': 'max 100000\n',
            'job/cpu.max': '250000 100000\n',
            'job/step/cpu.max': 'max 100000\n',
            'job/memory.max': f'{8 << 30}\n',
            'job/step/memory.max': 'max\n',
        },
    )
    found = machine({}, {})
    assert (found.cpus, found.memory_bytes) == (2.5, 8 << 30)


def test_limits_of_a_container_that_sees_its_own_group_as_the_top(tmp_path: Path) -> None:
    groups(tmp_path, '0::/\n', {'cpu.max': '50000 100000\n', 'memory.max': f'{1 << 30}\n'})
    assert (machine({}, {}).cpus, machine({}, {}).memory_bytes) == (0.5, 1 << 30)
    groups(tmp_path, '0::/../../other\n', {})
    assert machine({}, {}).cpus == 0.5


def test_limits_of_version_1(tmp_path: Path) -> None:
    groups(
        tmp_path,
        '5:memory:/box\n4:cpu,cpuacct:/box\n1:name=systemd:/\n',
        {
            'memory/box/memory.limit_in_bytes': f'{4 << 30}\n',
            'memory/memory.limit_in_bytes': '9223372036854771712\n',
            'cpu/box/cpu.cfs_quota_us': '300000\n',
            'cpu/box/cpu.cfs_period_us': '100000\n',
            'cpu/cpu.cfs_quota_us': '-1\n',
        },
    )
    assert (machine({}, {}).cpus, machine({}, {}).memory_bytes) == (3, 4 << 30)


def test_limits_beyond_what_there_is_and_nonsense_count_for_nothing(tmp_path: Path) -> None:
    groups(
        tmp_path,
        '0::/a\nrubbish\n::\n',
        {'a/cpu.max': '6400000 100000\n', 'a/memory.max': f'{1 << 40}\n', 'cpu.max': '5 0\n', 'memory.max': 'x'},
    )
    assert (machine({}, {}).cpus, machine({}, {}).memory_bytes) == (8, 64 << 30)


def test_where_the_system_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise ValueError('unrecognized configuration name')

    monkeypatch.delattr(os, 'sched_getaffinity')
    monkeypatch.setattr(os, 'cpu_count', lambda: None)
    monkeypatch.setattr(os, 'sysconf', refuse)
    assert (machine({}, {}).cpus, machine({}, {}).memory_bytes) == (1, None)


def test_cards_are_counted_and_the_driver_is_asked_only_where_they_are_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        (tmp_path / 'NVIDIA' / f'0000:0{number}:00.0').mkdir(parents=True)
    monkeypatch.setattr(cards, 'listed', lambda *_: pytest.fail('nobody wants them'))
    assert [machine({}, environ).gpus for environ in ({}, {VISIBLE: '3,1'}, {VISIBLE: ''})] == [4, 2, 0]
    monkeypatch.setattr(cards, 'listed', lambda *_: [Card('GPU-7')])
    found = machine({}, {}, gpus=True)
    assert (found.gpus, found.cards) == (1, (Card('GPU-7'),))


def test_without_cards_none_is_shown_whatever_the_variable_says() -> None:
    assert machine({}, {'CUDA_VISIBLE_DEVICES': '0,GPU-1'}).gpus == 0
