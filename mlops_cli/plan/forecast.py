"""How long a run will take, from how long its stages took before."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop, heappush
from operator import mul

from mlops_cli.plan.model import UNKNOWN, Estimate, Plan, Verdict

REMEMBERED = 20  # earlier runs of a stage that count
HALF = 5  # runs after which one counts half as much as the newest: what stages do changes
SPREAD, TAKEN_FOR = 0.08, 2  # how much the logarithm of a time is thought to vary before any run, and for how many that counts
JITTER = 0.05  # seconds by which starting a process varies, however short it is
# Student's t for 19 of 20, by degrees of freedom from 1 on.
QUANTILES = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110,
)  # fmt: skip


def estimate(seconds: Sequence[float]) -> Estimate:
    """Of one stage, from the seconds it took, newest first: the range in which the next one will lie nineteen times of twenty,
    if times vary by factors as they did lately."""
    recent = seconds[:REMEMBERED]
    if not recent:
        return UNKNOWN
    logs = [math.log(one + JITTER) for one in recent]
    weights = [0.5 ** (number / HALF) for number in range(len(logs))]
    total = sum(weights)
    middle = sum(map(mul, weights, logs)) / total
    effective = total * total / sum(weight * weight for weight in weights)  # how many runs of equal weight tell as much
    scatter = sum(weight * (one - middle) ** 2 for weight, one in zip(weights, logs, strict=True)) / total * effective
    freedom = TAKEN_FOR + effective - 1
    spread = math.sqrt((TAKEN_FOR * SPREAD**2 + scatter) / freedom)
    width = QUANTILES[min(round(freedom), len(QUANTILES)) - 1] * spread * math.sqrt(1 + 1 / effective)
    low, high = max(0.0, math.exp(middle - width) - JITTER), math.exp(middle + width) - JITTER
    typical = sorted(recent)[len(recent) // 2]
    return Estimate(min(low, typical), max(high, typical), typical, 'history')


def makespan(tasks: Iterable[str], seconds: Mapping[str, float], after: Mapping[str, tuple[str, ...]], jobs: int) -> float:
    """Seconds until the last of the tasks ends, ``jobs`` at once, longest remaining path first (list scheduling,
    R. L. Graham, Bounds on multiprocessing timing anomalies, 1969).  ``after``: task -> tasks it comes after."""
    todo = list(tasks)
    members = set(todo)
    before = {task: [other for other in after.get(task, ()) if other in members] for task in todo}
    following: dict[str, list[str]] = {task: [] for task in todo}
    for task, others in before.items():
        for other in others:
            following[other].append(task)
    tail = critical_paths(todo, seconds, following)
    waiting = {task: len(others) for task, others in before.items()}
    ready: list[tuple[float, str]] = []
    for task in todo:
        if not waiting[task]:
            heappush(ready, (-tail[task], task))
    now = 0.0
    running: list[tuple[float, str]] = []
    while ready or running:
        while ready and len(running) < max(jobs, 1):
            _, task = heappop(ready)
            heappush(running, (now + seconds.get(task, 0.0), task))
        now, task = heappop(running)
        for following_task in following[task]:
            waiting[following_task] -= 1
            if not waiting[following_task]:
                heappush(ready, (-tail[following_task], following_task))
    return now


def critical_paths(
    order: Sequence[str], seconds: Mapping[str, float], following: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """Task -> seconds of the longest chain that begins with it.  ``order``: topological."""
    tail: dict[str, float] = {}
    for task in reversed(order):
        tail[task] = seconds.get(task, 0.0) + max((tail.get(other, 0.0) for other in following.get(task, ())), default=0.0)
    return tail


def forecast(plan: Plan, jobs: int) -> tuple[float | None, float | None]:
    """Seconds the plan will take at least (no maybe runs) and at most (all do); None where a stage has no history."""
    low_tasks = [s.stage for s in plan.steps if s.verdict is Verdict.RUN or (s.verdict is Verdict.MAYBE and s.certain)]
    high_tasks = [s.stage for s in plan.steps if s.verdict in (Verdict.RUN, Verdict.MAYBE)]
    by_name = plan.by_name
    low = {name: by_name[name].estimate.low for name in low_tasks}
    high = {name: by_name[name].estimate.high for name in high_tasks}
    return _span(low, plan, jobs), _span(high, plan, jobs)


def _span(seconds: Mapping[str, float | None], plan: Plan, jobs: int) -> float | None:
    known = {name: value for name, value in seconds.items() if value is not None}
    return makespan(known, known, plan.edges, jobs) if len(known) == len(seconds) else None
