"""What this machine has to give: processors, memory, GPUs, as far as this process may use them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from mlops_cli.core import layout, limits
from mlops_cli.core.classes import replace
from mlops_cli.core.errors import UserError
from mlops_cli.plan.model import Plan, Verdict
from mlops_cli.run.capacity import Machine
from mlops_cli.run.request import Routes
from mlops_cli.run.workbench import Workbench

if TYPE_CHECKING:
    from mlops_cli.job.desk import Desk
    from mlops_cli.usage.gpu import Card

NVIDIA = '/proc/driver/nvidia/gpus'


def machine(tokens: Mapping[str, int], environ: Mapping[str, str] = os.environ, *, gpus: bool = False) -> Machine:
    """Processors and memory, within the limits of the control groups (containers, Slurm) this process is in; NVIDIA cards
    that there are and CUDA_VISIBLE_DEVICES, if set, leaves; the config's tokens.  ``gpus``: ask the driver for them, which may
    take a while; else they are only counted.  Raises UserError where that is not well."""
    counted, there = _cards(environ, gpus)
    return Machine(
        limits.cpus(),
        limits.memory_bytes(),
        counted,
        dict(tokens),
        there,
    )


def available_for(bench: Workbench, plan: Plan, routes: Routes, keep_going: bool) -> Machine:
    """What this machine has; its GPUs are asked for where a stage that may run here asks for some.  Raises UserError where the
    driver is not well, unless stages that need it are to fail in their turn."""
    stages = (bench.pipeline.stages[step.stage] for step in plan.steps if step.verdict is not Verdict.FRESH)
    gpus = any(stage.resources.gpus and not routes.named(stage) for stage in stages)
    try:
        return machine(bench.config.tokens, gpus=gpus)
    except UserError:
        if not keep_going:
            raise
        return replace(machine(bench.config.tokens), gpus=0)


def desk(bench: Workbench, available: Machine) -> Desk:
    """Where the GPUs of this machine are handed out."""
    from mlops_cli.job.desk import Desk, own_folder

    return Desk(own_folder(bench.environ, bench.root.full(layout.LOCAL)), available.cards)


def card_models() -> list[str]:
    """What each card calls itself, as its driver says; none where it does not."""
    from mlops_cli.usage import gpu

    with suppress(gpu.Failed):
        if names := gpu.opened().names:  # as it said at the beginning: by now it may answer no more
            return list(names)
    try:
        texts = [_read(os.path.join(NVIDIA, name, 'information')) for name in sorted(os.listdir(NVIDIA))]
    except OSError:
        return []
    lines = [line.partition(':') for text in texts for line in text.splitlines()]
    return [value.strip() for name, _, value in lines if name.strip() == 'Model' and value.strip()]


def card_memories() -> list[int]:
    """Bytes that each card had when its driver was last asked, by which no stage is held up; none where nobody asked."""
    from mlops_cli.usage import gpu

    with suppress(gpu.Failed):
        return list(gpu.opened().memories)
    return []


def _cards(environ: Mapping[str, str], ask: bool) -> tuple[int, tuple[Card, ...]]:
    if not ask and not os.path.isdir(NVIDIA):  # as nearly everywhere
        return 0, ()
    from mlops_cli.job import cards

    if not ask:
        return cards.counted(NVIDIA, environ), ()
    found = tuple(cards.listed(environ, NVIDIA))
    return len(found), found


def _read(path: str) -> str:
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            return file.read(1 << 16)
    except OSError:
        return ''
