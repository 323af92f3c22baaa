"""What kind of file system it is, from the texts the kernel gives; when in doubt the weakest."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlops_cli.fsio import filesystem
from mlops_cli.fsio.filesystem import UNKNOWN, classify, probe

MOUNTS = """\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
22 21 0:30 /@home /home rw shared:2 master:3 - btrfs /dev/sdb rw,subvol=/@home
23 21 0:45 / /mnt/with\\040space rw - nfs4 server:/export rw,vers=4.2
24 21 8:1 /var /bind rw - ext4 /dev/sda1 rw
25 21 0:50 / /tmp rw - tmpfs tmpfs rw
26 21 8:17 / /data rw - xfs /dev/sdb1 rw
27 21 0:60 / / rw - overlay overlay rw,lowerdir=/a,upperdir=/b
broken line
"""


@pytest.fixture(autouse=True)
def forget() -> None:
    filesystem._known.cache_clear()


def ext4_options(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(filesystem, '_device_name', lambda device: 'sda1' if device == '8:1' else '-')
    monkeypatch.setattr(filesystem, '_read', lambda path: text if path == '/proc/fs/ext4/sda1/options' else '')


@pytest.mark.parametrize(('mount', 'device', 'kind', 'ordered', 'network'), [
    ('26', '8:17', 'xfs', True, False), ('22', '0:99', 'btrfs', False, False), ('23', '0:45', 'nfs4', False, True),
    ('', '0:45', 'nfs4', False, True), ('25', '0:50', 'tmpfs', True, False), ('27', '0:60', 'overlay', False, False),
    ('', '9:9', 'unknown', False, False), ('99', '9:9', 'unknown', False, False)])
def test_by_mount_else_by_device(mount: str, device: str, kind: str, ordered: bool, network: bool) -> None:
    found = classify(MOUNTS, mount, device)
    assert (found.type, found.ordered, found.network) == (kind, ordered, network)


@pytest.mark.parametrize(('options', 'ordered'), [
    ('rw\ndelalloc\ndata=ordered\n', True), ('rw\ndelalloc\ndata=writeback\n', False), ('rw\ndata=journal\n', False),
    ('rw\ndelalloc\n', False), ('', False)])
def test_ext4_is_ordered_only_if_it_says_so(monkeypatch: pytest.MonkeyPatch, options: str, ordered: bool) -> None:
    """One without a journal, or where /proc is hidden, does not."""
    ext4_options(monkeypatch, options)
    assert classify(MOUNTS, '24', '8:1').ordered is ordered


def test_without_proc_nothing_is_known() -> None:
    assert classify('', '1', '8:1') == UNKNOWN


def test_probe_agrees_with_stat(tmp_path: Path) -> None:
    for path in (tmp_path, Path('/dev/shm'), Path('/proc')):
        if not path.exists():
            continue
        fd = os.open(path, os.O_RDONLY)
        found = probe(fd)
        os.close(fd)
        with open('/proc/self/mountinfo') as file:
            assert f' - {found.type} ' in file.read()
    assert probe_of('/proc') == 'proc'


def probe_of(path: str) -> str:
    fd = os.open(path, os.O_RDONLY)
    try:
        return probe(fd).type
    finally:
        os.close(fd)
