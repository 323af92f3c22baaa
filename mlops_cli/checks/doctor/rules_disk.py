"""What of disks, rights and the surroundings is wrong or worth knowing."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_cli.checks.doctor.facts import Disk, Facts, Finding
from mlops_cli.core import layout
from mlops_cli.core.units import show_size

LITTLE, VERY_LITTLE = 5_000_000_000, 500_000_000  # bytes
FEW_INODES = 1000
MOVE = f'cache: {{dir: FOLDER}} in {layout.CONFIG_LOCAL}: mlops config set cache.dir FOLDER'


def disk(facts: Facts) -> Iterator[Finding]:
    for one in facts.disks:
        yield from _kind(one, facts)
    project, *others = facts.disks or (None,)
    for other in others:
        if project and other and other.what == 'cache' and other.device and other.device != project.device:
            text = f'the cache is on another disk than the project ({other.path}): every restored file is a copy'
            yield Finding('disk', 'note', text, 'put it on the same one, if that can share blocks (btrfs, xfs): cache.dir')


def _kind(one: Disk, facts: Facts) -> Iterator[Finding]:
    if one.read_only:
        yield Finding('disk', 'wrong', f'the {one.what} is on a read-only disk ({one.path})', 'copy the project to another one')
    if facts.wsl and one.path.startswith('/mnt/') and one.type in ('9p', 'drvfs', 'v9fs'):
        text = f'the {one.what} is on a Windows disk ({one.path}): slow, and without the file rights that are recorded'
        yield Finding('disk', 'wrong', text, 'move it below your home in WSL')
    elif one.network and one.what == 'project':
        text = f'the project is on a network disk ({one.type}): locks may not reach other machines'
        yield Finding('disk', 'note', text, 'run mlops for it on one machine at a time')
    elif one.network:
        yield Finding('disk', 'note', f'the {one.what} is on a network disk ({one.type}): slower than a local one')
    if one.in_memory and one.what == 'cache':
        yield Finding('disk', 'wrong', f'the cache is kept in memory only ({one.type}): a restart loses it', MOVE)
    elif one.in_memory:
        yield Finding('disk', 'note', f'the project is kept in memory only ({one.type}): a restart loses what is not pushed')
    if one.no_exec and one.what == 'project':
        text = 'nothing can be executed on the disk of the project (noexec): commands such as ./train.sh fail'
        yield Finding('disk', 'note', text, 'write sh train.sh, or mount it with exec')
    if one.case_blind and one.what == 'project':
        text = 'the disk takes names in capitals for the same (Train and train): stages must not make two such files'
        yield Finding('disk', 'note', text, 'keep names of outputs apart by more than capitals')


def space(facts: Facts) -> Iterator[Finding]:
    seen = set()
    for one in facts.disks:
        if one.device in seen or one.free < 0 or not one.exists:
            continue
        seen.add(one.device)
        if one.free < LITTLE:
            text = f'{show_size(one.free)} left on the disk of the {one.what} ({one.path})'
            yield Finding('space', 'wrong' if one.free < VERY_LITTLE else 'note', text, f'make room, or move the cache: {MOVE}')
        if 0 <= one.inodes < FEW_INODES:
            text = f'the disk of the {one.what} can take {one.inodes} more files'
            yield Finding('space', 'wrong', text, f'make room, or move the cache: {MOVE}')


def rights(facts: Facts) -> Iterator[Finding]:
    for one in facts.disks:
        if one.exists and not one.writable and not one.read_only:
            mend = f'sudo chown -R $(id -u) {one.path}' if one.owner != facts.user else f'chmod -R u+rwX {one.path}'
            yield Finding('rights', 'wrong', f'the {one.what} cannot be written ({one.path})', mend)
    for path, owner in facts.own.foreign:
        text = (
            f'{path} belongs to {"root" if owner == 0 else f"user {owner}"}, not to you: what it holds may not be replaceable'
        )
        yield Finding('rights', 'wrong', text, f'sudo chown -R $(id -u) {path}')
    for path in facts.own.links:
        text = f'{path} is a symbolic link, through which mlops would write elsewhere'
        yield Finding('rights', 'wrong', text, f'remove it; for a cache on another disk: {MOVE}')


def surroundings(facts: Facts) -> Iterator[Finding]:
    if not facts.home:
        yield Finding('surroundings', 'note', 'HOME is not set: your own settings are not found', 'set HOME')
    if not facts.utf8:
        text = 'the encoding of the terminal is not UTF-8: names beyond English letters are shown as ?'
        yield Finding('surroundings', 'note', text, 'export LC_ALL=C.UTF-8')
