"""What a plan will cost: the times it expects at the prices of today, with what its stages used and spent before."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from operator import attrgetter

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.clock import iso
from mlops_cli.pipeline.spec import Stage
from mlops_cli.plan.forecast import makespan
from mlops_cli.plan.model import Estimate, Plan, Step, Verdict
from mlops_cli.records.costs import book_of, works
from mlops_cli.run.machine import card_models
from mlops_cli.run.request import Routes
from mlops_cli.run.workbench import Workbench
from mlops_cli.usage.cost import Cost, Work, added, costs
from mlops_cli.usage.prices import Book, Place

HISTORY_RUNS = 50  # run records that are read, as for times
REMEMBERED = 20  # runs of a stage that count
Amounts = Mapping[str, float]  # currency -> amount


@dataclass(frozen=True, slots=True)
class Range:
    """Of one stage.  ``typical``: as a middle run."""

    low: Cost
    typical: Cost
    high: Cost


@dataclass(frozen=True)
class Expense:
    """``low``: where no stage that may be fresh runs, and all are quick; ``typical``: the same at their usual times; ``high``:
    all run, and are slow.  ``unknown``: why not all is known -> stages; what is known counts all the same."""

    currency: str
    stages: Mapping[str, Range] = field(default_factory=dict)
    low: Amounts = field(default_factory=dict)
    typical: Amounts = field(default_factory=dict)
    high: Amounts = field(default_factory=dict)
    unknown: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Standing:
    """One budget.  ``of``: what it is for, in words; ``name``: its setting.  ``spent``: before this run, in the currency of the
    settings; ``unknown``: stages of which not all is known."""

    name: str
    of: str
    limit: float
    spent: float = 0.0
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Outlay:
    """``exceeded``: sentences about budgets that it would go beyond."""

    expense: Expense
    standings: tuple[Standing, ...] = ()
    exceeded: tuple[str, ...] = ()


def expense(
    bench: Workbench, plan: Plan, routes: Routes, jobs: int, executor: str = '', now: float | None = None
) -> Expense | None:
    """None where nobody says what anything costs."""
    if not bench.config.prices and not bench.config.budgets:
        return None
    book, day = book_of(bench.config), iso(time.time() if now is None else now)[:10]
    open_ = [step for step in plan.steps if step.verdict in (Verdict.RUN, Verdict.MAYBE)]
    past = _past(bench, {step.stage for step in open_})
    machine = os.uname().nodename
    places = {
        step.stage: _place(bench.pipeline.stages[step.stage], routes, executor, machine, past.get(step.stage, ()))
        for step in open_
    }

    def work(step: Step, which: Callable[[Estimate], float | None], rank: float) -> Work:
        return _work(step.stage, places[step.stage], which(step.estimate), past.get(step.stage, ()), rank)

    sides = [(attrgetter('low'), 0.0), (attrgetter('typical'), 0.5), (attrgetter('high'), 1.0)]
    whole = float('inf')
    alone = {
        step.stage: Range(*(costs([work(step, which, rank)], whole, day, book)[0] for which, rank in sides)) for step in open_
    }
    sure = [step for step in open_ if step.verdict is Verdict.RUN or step.certain]
    low, typical, high = (
        _total([work(step, which, rank) for step in (open_ if rank == 1.0 else sure)], plan, jobs, day, book)
        for which, rank in sides
    )
    unknown: dict[str, list[str]] = {}
    for name, one in alone.items():
        if one.high.unknown:
            unknown.setdefault(one.high.unknown, []).append(name)
    return Expense(book.currency, alone, low, typical, high, unknown)


def _total(many: Sequence[Work], plan: Plan, jobs: int, day: str, book: Book) -> Amounts:
    known = {one.stage: one.seconds or 0.0 for one in many}
    return added(costs(many, makespan(known, known, plan.edges, jobs), day, book))[0]


def _past(bench: Workbench, wanted: Iterable[str]) -> dict[str, list[Work]]:
    """Stage -> what it used whenever it was done, newest first."""
    names = set(wanted)
    found: dict[str, list[Work]] = {}
    for run in islice(bench.runs.newest(), HISTORY_RUNS):
        if names.isdisjoint(one.name for one in run.stages):
            continue
        for one, work in zip(run.stages, works(run), strict=True):
            if one.name in names and one.state == 'done' and work is not None and work.seconds is not None:
                found.setdefault(one.name, []).append(work)
    return {name: many[:REMEMBERED] for name, many in found.items()}


def _place(stage: Stage, routes: Routes, executor: str, machine: str, past: Sequence[Work]) -> Place:
    """Where it will run; of which kind the GPUs of a host are, its last run there says."""
    host, gpus = routes.of(stage) or executor, stage.resources.gpus
    if not gpus:
        return Place(machine, host)
    shares = [work.place.share for work in past if work.place.host == host and work.place.gpus == gpus]
    share = shares[0] if shares and stage.resources.gpu_memory_bytes else 1.0
    if host:
        kinds = [work.place.model for work in past if work.place.host == host and work.place.gpus]
    else:
        kinds = [*dict.fromkeys(card_models())]
        kinds = kinds if len(kinds) == 1 else []
    return Place(machine, host, gpus, kinds[0] if kinds else '', share)


def _work(stage: str, place: Place, seconds: float | None, past: Sequence[Work], rank: float) -> Work:
    """``rank``: 0 for the least that it spent before, 1 for the most."""
    if not past:
        return Work(stage, place, seconds)
    rates = [work.cpu_seconds / work.seconds for work in past if work.cpu_seconds is not None and work.seconds]
    cpu = None if seconds is None or not rates else _ranked(rates, rank) * seconds
    held = [work.memory_bytes for work in past if work.memory_bytes is not None]
    spent = sorted((work.spent for work in past), key=lambda many: sum(one.amount or 0.0 for one in many))
    return Work(stage, place, seconds, cpu, _ranked(held, rank) if held else None, spent[round(rank * (len(spent) - 1))])


def _ranked(figures: Sequence[float], rank: float) -> float:
    return sorted(figures)[round(rank * (len(figures) - 1))]
