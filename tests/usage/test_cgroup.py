"""What control groups say of what was used in them, of both kinds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlops_cli.usage.cgroup import Group, group_of


def laid(folder: Path, lines: str, **files: str) -> Group | None:
    (folder / 'proc/7').mkdir(parents=True)
    (folder / 'proc/7/cgroup').write_text(lines)
    for name, text in files.items():
        path = folder / 'sys' / name.replace('__', '/').replace('_dot_', '.')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return group_of(7, f'{folder}/proc', f'{folder}/sys')


def test_the_second_kind(tmp_path: Path) -> None:
    said = '8:0 rbytes=4096 wbytes=1024 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=2\n'
    found = laid(tmp_path, '0::/system.slice/docker-ab.scope\n', **{
        'system.slice__docker-ab.scope__cpu.stat': 'usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n',
        'system.slice__docker-ab.scope__io.stat': said,
    })  # fmt: skip
    assert found is not None and found.cpu_seconds() == 2.5 and found.moved_bytes() == (4097, 1026)


@pytest.mark.parametrize('folder', ['cpuacct', 'cpu,cpuacct'])
def test_the_first_kind(tmp_path: Path, folder: str) -> None:
    """Beside an empty hierarchy of the second, as systemd lays it."""
    lines = f'12:blkio:/docker/ab\n3:{folder}:/docker/ab\n1:name=systemd:/docker/ab\n0::/docker/ab\n'
    said = '8:0 Read 4096\n8:0 Write 8192\n8:0 Sync 1\n8:0 Total 12288\nTotal 12288\n'
    found = laid(tmp_path, lines, **{
        f'{folder}__docker__ab__cpuacct.usage': '1500000000\n',
        'blkio__docker__ab__blkio.throttle.io_service_bytes': said,
    })  # fmt: skip
    assert found is not None and found.cpu_seconds() == 1.5 and found.moved_bytes() == (4096, 8192)


def test_what_is_gone_or_not_told(tmp_path: Path) -> None:
    found = laid(tmp_path, '0::/x\n', x__cpu_dot_stat='usage_usec 1000\n')
    assert found is not None and found.cpu_seconds() == 0.001 and found.moved_bytes() is None
    (tmp_path / 'sys/x/cpu.stat').unlink()
    assert found.cpu_seconds() is None
    assert group_of(7, f'{tmp_path}/proc', f'{tmp_path}/nowhere') is None
    assert group_of(8, f'{tmp_path}/proc', f'{tmp_path}/sys') is None
    (tmp_path / 'proc/9').mkdir()
    (tmp_path / 'proc/9/cgroup').write_text('nonsense\n::\n')
    assert group_of(9, f'{tmp_path}/proc', f'{tmp_path}/sys') is None


def test_this_process() -> None:
    found = group_of(os.getpid())
    if found is None:
        pytest.skip('no control groups are told of here')
    before = found.cpu_seconds()
    sum(number * number for number in range(2_000_000))
    after = found.cpu_seconds()
    assert before is not None and after is not None and after > before
