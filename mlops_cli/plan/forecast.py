"""How long a run will take, from how long its stages took before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop, heappush

from mlops_cli.plan.model import UNKNOWN, Estimate, Plan, Verdict

REMEMBERED = 20  # earlier runs of a stage that count


def estimate(seconds: Sequence[float]) -> Estimate:
    """Of one stage, from the seconds it took, newest first."""
    recent = sorted(seconds[:REMEMBERED])
    if not recent:
        return UNKNOWN
    return Estimate(recent[0], recent[-1], recent[len(recent) // 2], 'history')


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
