"""What kind of file system a descriptor lies on, as far as durability and locks depend on it.

Read from /proc only, and taken for the weakest kind wherever /proc does not say.
"""
from __future__ import annotations

import os
import sys
from functools import cache

from mlops_cli.core.classes import dataclass

_NETWORK = frozenset(('nfs', 'nfs4', 'cifs', 'smb3', 'smbfs', '9p', 'afs', 'ceph', 'glusterfs', 'lustre', 'gpfs', 'beegfs',
                      'fuse.sshfs', 'fuse.glusterfs', 'fuse.s3fs', 'fuse.rclone', 'fuse.gcsfuse', 'ncpfs', 'orangefs'))
# Under which an open file is opened again by its number; macOS has no /proc.
DESCRIPTORS = '/proc/self/fd' if sys.platform.startswith('linux') else '/dev/fd'
_IN_MEMORY = frozenset(('tmpfs', 'ramfs'))


@dataclass(frozen=True, slots=True)
class FileSystem:
    """``type``: as in /proc/self/mountinfo, ``unknown`` where that cannot be read.

    ``ordered``: after the data of several files has been written out, one fsync of a file changed later makes all of them
    and all earlier renames durable.  ``network``: another host may change it too."""

    type: str
    ordered: bool
    network: bool


UNKNOWN = FileSystem('unknown', ordered=False, network=False)


def probe(fd: int) -> FileSystem:
    """The file system of an open descriptor.  Raises nothing: what cannot be told is :data:`UNKNOWN`."""
    try:
        device = os.fstat(fd).st_dev
    except OSError:
        return UNKNOWN
    return _known(device, _mount_id(fd))


def _mount_id(fd: int) -> str:
    """Which mount a descriptor came through: exact where device numbers are not (btrfs, overlay, bind mounts)."""
    for line in _read(f'/proc/self/fdinfo/{fd}').splitlines():
        name, _, value = line.partition(':')
        if name == 'mnt_id':
            return value.strip()
    return ''


@cache
def _known(device: int, mount: str) -> FileSystem:
    return classify(_read('/proc/self/mountinfo'), mount, f'{os.major(device)}:{os.minor(device)}')


def classify(mountinfo: str, mount: str, device: str) -> FileSystem:
    """The mount of that id, else the last one of that device (``major:minor``), in the text of /proc/self/mountinfo."""
    lines = [line.split() for line in mountinfo.splitlines()]
    lines = [fields for fields in lines if '-' in fields[6:]]
    found = [fields for fields in lines if fields[0] == mount] or [fields for fields in lines if fields[2] == device]
    if not found:
        return UNKNOWN
    fields = found[-1]
    kind = fields[fields.index('-', 6) + 1]
    return FileSystem(kind, ordered=_is_ordered(kind, fields[2]), network=kind in _NETWORK)


def _is_ordered(kind: str, device: str) -> bool:
    if kind in _IN_MEMORY:
        return True  # nothing survives a power loss anyway, so there is nothing to order
    if kind == 'xfs':
        return True  # one log: forcing it for the newest change forces all before it
    if kind in ('ext3', 'ext4'):
        # The options in force, not those of the mount table: without a journal (also possible) there is no such line.
        return 'data=ordered' in _read(f'/proc/fs/{kind}/{_device_name(device)}/options').splitlines()
    return False  # btrfs logs each fsynced file by itself; of the others nothing is promised


def _device_name(device: str) -> str:
    try:
        return os.path.basename(os.readlink(f'/sys/dev/block/{device}'))
    except OSError:
        return '-'


def _read(path: str) -> str:
    try:
        with open(path, encoding='utf-8', errors='surrogateescape') as file:
            return file.read()
    except OSError:
        return ''
