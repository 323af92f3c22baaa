"""What a cluster with Slurm has, and whether what a host asks of it is there."""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mlops_cli.core.classes import dataclass
from mlops_cli.core.near import did_you_mean
from mlops_cli.job.engine import Refused, Silent
from mlops_cli.job.slurm import CONTROLLER_HINT, Slurm, is_number, said, tested
from mlops_cli.store.bucket import Unreachable

_GPUS = re.compile(r'(?:^|,)gpu(?::[^:,()]+)?:([0-9]{1,9})(?![0-9])')
UNUSABLE = ('down', 'drain', 'fail', 'maint', 'unknown', 'planned_down', 'power', 'no_respond')


@dataclass(frozen=True, slots=True)
class Node:
    usable: bool
    cpus: int
    memory_bytes: int
    gpus: int


@dataclass(frozen=True, slots=True)
class Partition:
    name: str
    up: bool
    usual: bool  # where a job goes that names none
    nodes: Mapping[str, Node]


def partitions(slurm: Slurm) -> dict[str, Partition]:
    """By name.  Raises Unreachable where Slurm does not answer, UserError where it is not there."""
    try:
        done = slurm.ask('sinfo', '--Node', '--noheader', '--format=%P|%a|%N|%T|%c|%m|%G')
    except Silent as error:
        raise Unreachable('Slurm', str(error), CONTROLLER_HINT) from error
    if done.returncode:
        raise Unreachable('Slurm', f'its controller does not answer: {said(done)}', CONTROLLER_HINT)
    found: dict[str, tuple[bool, bool, dict[str, Node]]] = {}
    for line in done.stdout.splitlines():
        parts = line.strip().split('|')
        if len(parts) != 7:
            continue
        label, up, node, state, cpus, memory, gres = parts
        usual, name = label.endswith('*'), label.rstrip('*')
        of = found.setdefault(name, (up == 'up', usual, {}))
        usable = not state.lower().startswith(UNUSABLE) and not state.endswith('*')
        gpus = sum(int(count) for count in _GPUS.findall(gres))
        of[2][node] = Node(usable, _number(cpus), _number(memory) << 20, gpus)
    return {name: Partition(name, *of) for name, of in found.items()}


def _number(text: str) -> int:
    digits = text.rstrip('+')
    return int(digits) if is_number(digits) else 0


def chosen(known: Mapping[str, Partition], submit: Sequence[str]) -> list[Partition]:
    """Those to which jobs of a host go.  Raises Unreachable for one that is not there."""
    named = [word.partition('=')[2] for word in submit if word.startswith('--partition=')]
    names = named[-1].split(',') if named else [one.name for one in known.values() if one.usual]
    for name in names:
        if name not in known:
            near = did_you_mean(name, known, what='there are')
            raise Unreachable('Slurm', f'it has no partition {name}', f'{near}; mlops hosts add --submit names one')
    return [known[name] for name in names] or [*known.values()]


def facts(slurm: Slurm, submit: Sequence[str]) -> dict[str, Any]:
    """What jobs of a host may get, as a host tells it.  Raises Unreachable, UserError."""
    there = chosen(partitions(slurm), submit)
    nodes = {name: node for one in there for name, node in one.nodes.items()}
    return {
        'cpus': sum(node.cpus for node in nodes.values()),
        'memory_bytes': max((node.memory_bytes for node in nodes.values()), default=0),
        'gpus': [],
        'slurm': {
            'partitions': [one.name for one in there][:20], 'nodes': len(nodes),
            'usable': sum(node.usable for node in nodes.values()), 'gpus': sum(node.gpus for node in nodes.values()),
        },
    }  # fmt: skip


def check(slurm: Slurm, submit: Sequence[str]) -> None:
    """Whether a job of nothing could run.  Raises Unreachable with what mends it, UserError."""
    there = chosen(partitions(slurm), submit)
    names = ', '.join(one.name for one in there)
    if not any(one.up for one in there):
        raise Unreachable('Slurm', f'its partition {names} is closed', 'mlops hosts add --submit names another one')
    if not any(node.usable for one in there for node in one.nodes.values()):
        raise Unreachable('Slurm', f'no node of its partition {names} takes jobs', 'sinfo -R tells why, there')
    for name in ('squeue', 'scancel'):
        slurm.program(name)
    try:
        tested(slurm, submit)
    except (Refused, Silent) as error:
        hint = f'mlops hosts add --submit; {" ".join(["sbatch --test-only", *submit, "--wrap=true"])} says the same there'
        raise Unreachable('Slurm', f'it would not take a job: {error}', hint) from error

