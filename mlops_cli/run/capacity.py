"""What stages share while they run: jobs, processors, memory, GPUs, tokens, mutexes.  Values in, values out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlops_cli.core.errors import UserError
from mlops_cli.core.units import plural, show_size
from mlops_cli.pipeline.spec import Stage


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is.  ``memory_bytes`` None: unknown, not limited."""

    cpus: float
    memory_bytes: int | None = None
    gpus: int = 0
    tokens: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a stage was given; ``gpus``: their numbers."""

    stage: Stage
    gpus: tuple[int, ...] = ()


def refusal(stage: Stage, machine: Machine) -> UserError | None:
    """Why a stage can never run here, if so."""
    needs = stage.resources
    where = stage.places.get('resources', stage.where)
    if needs.gpus > machine.gpus:
        return UserError(
            f'stage {stage.name} needs {plural(needs.gpus, "GPU")}, this machine has {machine.gpus or "none"}',
            where=where,
            hint='run it where there is one, or lower resources.gpus',
        )
    for name, count in needs.tokens.items():
        if name not in machine.tokens:
            return UserError(
                f'stage {stage.name} needs {plural(count, "token")} "{name}", and no config says how many there are',
                where=where,
                hint=f'write to .mlops/config.yaml: tokens: {{{name}: {count}}}',
            )
        if count > machine.tokens[name]:
            return UserError(
                f'stage {stage.name} needs {plural(count, "token")} "{name}", there are {machine.tokens[name]}',
                where=where,
                hint='raise tokens in .mlops/config.yaml, or lower resources',
            )
    if needs.memory_bytes and machine.memory_bytes and needs.memory_bytes > machine.memory_bytes:
        return UserError(
            f'stage {stage.name} needs {show_size(needs.memory_bytes)} of memory, this machine has '
            f'{show_size(machine.memory_bytes)}',
            where=where,
            hint='lower resources.memory, or run it elsewhere',
        )
    return None


class Capacity:
    """Who holds what right now."""

    def __init__(self, jobs: int, machine: Machine) -> None:
        self.jobs = jobs
        self.machine = machine
        self.running: dict[str, Grant] = {}

    def take(self, stage: Stage) -> Grant | None:
        """A grant, or None if the stage has to wait.  A stage that asks for more processors than there are runs alone."""
        held = [grant.stage for grant in self.running.values()]
        needs = stage.resources
        if len(held) >= self.jobs:
            return None
        cpus = min(needs.cpus, self.machine.cpus)
        if sum(min(other.resources.cpus, self.machine.cpus) for other in held) + cpus > max(self.machine.cpus, self.jobs):
            return None
        if self.machine.memory_bytes is not None:
            used = sum(other.resources.memory_bytes or 0 for other in held)
            if needs.memory_bytes and used + needs.memory_bytes > self.machine.memory_bytes:
                return None
        if set(stage.mutex) & {name for other in held for name in other.mutex}:
            return None
        for name, count in needs.tokens.items():
            if sum(other.resources.tokens.get(name, 0) for other in held) + count > self.machine.tokens.get(name, 0):
                return None
        busy = {number for grant in self.running.values() for number in grant.gpus}
        free = [number for number in range(self.machine.gpus) if number not in busy]
        if len(free) < needs.gpus:
            return None
        grant = Grant(stage, tuple(free[: needs.gpus]))
        self.running[stage.name] = grant
        return grant

    def give_back(self, stage: str) -> None:
        self.running.pop(stage, None)
