"""What stages share while they run: jobs, processors, memory, GPUs, tokens, mutexes.  Values in, values out; only GPUs, which
other runs want too, are asked for at a desk."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.errors import UserError
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.units import plural, show_size
from mlops_cli.pipeline.spec import Stage

if TYPE_CHECKING:  # and loaded where there are stages that ask for GPUs
    from mlops_cli.job.desk import Desk, Held
    from mlops_cli.usage.gpu import Card

_ROUNDING = 1e-9  # ten times 0.1 processors fit into one


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is.  ``memory_bytes`` None: unknown, not limited.  ``cards``: the GPUs, if the driver was asked for them."""

    cpus: float
    memory_bytes: int | None = None
    gpus: int = 0
    tokens: Mapping[str, int] = field(default_factory=dict)
    cards: tuple[Card, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """What a stage was given; ``gpus``: as CUDA_VISIBLE_DEVICES takes them; ``files``: to be locked as long as it has them.
    ``elsewhere``: nothing of this machine."""

    stage: Stage
    gpus: tuple[str, ...] = ()
    elsewhere: bool = False
    files: tuple[str, ...] = ()


def refusal(stage: Stage, machine: Machine) -> UserError | None:
    """Why a stage can never run here, if so."""
    if error := tokens_lacking(stage, machine):
        return error
    if stage.environment and stage.environment.image:
        return UserError(
            f'stage {stage.name} has environment: {{container: ...}}, which runs on hosts alone, not here',
            where=stage.places.get('environment', stage.where),
            hint='run it on one: host: NAME, or mlops run --host NAME (this machine may be one: ssh://localhost)',
        )
    needs = stage.resources
    where = stage.places.get('resources', stage.where)
    if needs.gpus > machine.gpus:
        return UserError(
            f'stage {stage.name} needs {plural(needs.gpus, "GPU")}, this machine has {machine.gpus or "none"}',
            where=where,
            hint='run it where there is one, or lower resources.gpus',
        )
    if needs.gpus and machine.cards and (error := _small_cards(stage, machine)):
        return error
    if needs.memory_bytes and machine.memory_bytes and needs.memory_bytes > machine.memory_bytes:
        return UserError(
            f'stage {stage.name} needs {show_size(needs.memory_bytes)} of memory, this machine has '
            f'{show_size(machine.memory_bytes)}',
            where=where,
            hint='lower resources.memory, or run it elsewhere',
        )
    return None


def unsandboxed(environ: Mapping[str, str], stage: Stage, asked: str, host: str) -> UserError | None:
    """Why a stage cannot have the sandbox that it is to run in, if so."""
    if not (asked or stage.isolate).startswith('sandbox'):
        return None
    from mlops_cli.run.sandbox import refusal as refused

    return refused(stage, asked, host, environ)


def _small_cards(stage: Stage, machine: Machine) -> UserError | None:
    from mlops_cli.job.desk import lacking

    count, memory = stage.resources.gpus, stage.resources.gpu_memory_bytes
    if not (why := lacking(machine.cards, count, memory)):
        return None
    return UserError(
        f'stage {stage.name} needs {plural(count, "GPU")} with {show_size(memory or 0)} of memory, {why}',
        where=stage.places.get('resources', stage.where),
        hint='lower resources.gpu_memory, or run it elsewhere',
    )


def tokens_lacking(stage: Stage, machine: Machine) -> UserError | None:
    """Why a stage can never run anywhere, if so: of tokens there are as many as config says."""
    where = stage.places.get('resources', stage.where)
    for name, count in stage.resources.tokens.items():
        if name not in machine.tokens:
            return UserError(
                f'stage {stage.name} needs {plural(count, "token")} "{name}", and no config says how many there are',
                where=where,
                hint=did_you_mean(name, machine.tokens, what='there are')
                if machine.tokens
                else f'write to {layout.CONFIG}: tokens: {{{name}: {count}}}',
            )
        if count > machine.tokens[name]:
            return UserError(
                f'stage {stage.name} needs {plural(count, "token")} "{name}", there are {machine.tokens[name]}',
                where=where,
                hint=f'raise tokens in {layout.CONFIG}, or lower resources',
            )
    return None


class Capacity:
    """Who holds what right now.

    ``jobs``: stages at once.  Stages that ask for more than one processor never add up to more than there are; those that
    ask for one or less may go beyond, up to ``jobs``, since who says -j 16 on a small machine means it."""

    def __init__(self, jobs: int, machine: Machine, desk: Callable[[], Desk] | None = None) -> None:
        self.jobs = jobs
        self.machine = machine
        self.running: dict[str, Grant] = {}
        self.short_of_gpus = False  # of the last that got nothing: whether others have the GPUs that it lacks
        self._desk = desk
        self._open: Desk | None = None

    @property
    def full(self) -> bool:
        """No stage at all could start."""
        return len(self.running) >= self.jobs

    def take(self, stage: Stage, *, elsewhere: bool = False) -> Grant | None:
        """A grant, or None if the stage has to wait.  ``elsewhere``: it runs on another machine.

        A stage that asks for several processors, and more than there are, runs alone.  With nothing running, every stage
        that :func:`refusal` lets pass gets one.  Raises ValueError for a stage that runs."""
        if stage.name in self.running:
            raise ValueError(f'stage {stage.name} runs already')
        self.short_of_gpus = False
        if self.full:
            return None
        if not self._may_share(stage, [grant.stage for grant in self.running.values()]):
            return None
        if elsewhere:
            self.running[stage.name] = Grant(stage, elsewhere=True)
            return self.running[stage.name]
        held = [grant.stage for grant in self.running.values() if not grant.elsewhere]
        if not self._has_processors(stage, held) or not self._has_memory(stage, held):
            return None
        if not stage.resources.gpus:
            grant = Grant(stage)
        elif (cards := self._cards(stage)) is not None:
            grant = Grant(stage, cards.names, files=cards.files)
        else:
            return None
        self.running[stage.name] = grant
        return grant

    def _cards(self, stage: Stage) -> Held | None:
        if self._open is None and self._desk is not None:
            self._open = self._desk()
        if self._open is None:
            return None
        found = self._open.take(stage.name, stage.resources.gpus, stage.resources.gpu_memory_bytes)
        self.short_of_gpus = found is None and self._open.waits_for_others
        return found

    def give_back(self, stage: str) -> None:
        """Twice does no harm."""
        grant = self.running.pop(stage, None)
        if self._open is not None and grant is not None and grant.gpus:
            self._open.give_back(stage)

    def close(self) -> None:
        """Nothing is handed out any more."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _has_processors(self, stage: Stage, held: Sequence[Stage]) -> bool:
        if not held:
            return True
        wanted = [other.resources.cpus for other in (*held, stage)]
        if max(wanted) > max(self.machine.cpus, 1.0) + _ROUNDING:
            return False
        heavy = math.fsum(cpus for cpus in wanted if cpus > 1)
        if stage.resources.cpus > 1 and heavy > self.machine.cpus + _ROUNDING:
            return False
        return math.fsum(wanted) <= max(self.machine.cpus, self.jobs) + _ROUNDING

    def _has_memory(self, stage: Stage, held: Sequence[Stage]) -> bool:
        needed = stage.resources.memory_bytes or 0
        if self.machine.memory_bytes is None or not needed:
            return True
        return sum(other.resources.memory_bytes or 0 for other in held) + needed <= self.machine.memory_bytes

    def _may_share(self, stage: Stage, held: Sequence[Stage]) -> bool:
        """Mutexes and tokens."""
        if not set(stage.mutex).isdisjoint(name for other in held for name in other.mutex):
            return False
        return all(
            sum(other.resources.tokens.get(name, 0) for other in held) + count <= self.machine.tokens.get(name, 0)
            for name, count in stage.resources.tokens.items()
        )
