"""Forecasts against histories that are made up: the true time lies in the range about as often as it should.

Each history is a pipeline of three stages, run five times, and then once more.  Times vary as those of stages do: by factors,
slower from run to run as data grows, or much slower now and then as another program has the disk."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import pytest

from mlops_cli.plan.forecast import estimate, forecast, makespan
from mlops_cli.plan.model import Plan, Step, Verdict

HISTORIES = 200
RUNS = 5
STAGES = ('prepare', 'train@1', 'train@2')
EDGES = {'train@1': ('prepare',), 'train@2': ('prepare',)}
Times = Callable[[Random, float, int], float]


def noise(sigma: float) -> Times:
    return lambda random, base, _run: base * math.exp(random.gauss(0, sigma))


def drift(random: Random, base: float, run: int) -> float:
    return base * 1.06**run * math.exp(random.gauss(0, 0.1))


def outliers(random: Random, base: float, run: int) -> float:
    return noise(0.1)(random, base, run) * (random.uniform(2, 5) if random.random() < 0.1 else 1)


def short(random: Random, base: float, run: int) -> float:
    """Of stages that are over at once, however long the others take."""
    return 0.02 + random.expovariate(60)


KINDS: dict[str, Times] = {
    'steady': noise(0.02), 'usual': noise(0.1), 'noisy': noise(0.4), 'drift': drift, 'outliers': outliers, 'short': short,
}  # fmt: skip


def history(random: Random, times: Times, runs: int) -> dict[str, list[float]]:
    """Stage -> what it took, the newest first."""
    bases = {stage: math.exp(random.uniform(0, 8)) for stage in STAGES}
    return {stage: [times(random, base, run) for run in reversed(range(runs))] for stage, base in bases.items()}


@pytest.mark.parametrize('kind', KINDS)
def test_the_true_time_of_a_run_lies_in_the_range(kind: str) -> None:
    random = Random(f'{kind} {HISTORIES}')
    inside = 0
    for _ in range(HISTORIES):
        whole = history(random, KINDS[kind], RUNS + 1)
        true = makespan(STAGES, {stage: seconds[0] for stage, seconds in whole.items()}, EDGES, 2)
        steps = tuple(Step(stage, Verdict.RUN, estimate=estimate(seconds[1:])) for stage, seconds in whole.items())
        low, high = forecast(Plan('p', steps, EDGES), 2)
        assert low is not None and high is not None
        inside += low <= true <= high
    assert inside >= 0.8 * HISTORIES


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('runs', [3, 5, 10, 20])
def test_the_true_time_of_a_stage_lies_in_the_range(kind: str, runs: int) -> None:
    random = Random(f'{kind} {runs}')
    found = [history(random, KINDS[kind], runs + 1)['train@1'] for _ in range(5 * HISTORIES)]
    ranges = [(one[0], estimate(one[1:])) for one in found]
    assert sum((each.low or 0.0) <= true <= (each.high or 0.0) for true, each in ranges) >= 0.8 * len(found)


def test_a_range_says_something() -> None:
    """It is no wider than what varies: else it would always hold, and tell nothing."""
    widths = {}
    for kind in ('steady', 'usual'):
        random = Random(kind)
        found = [estimate(history(random, KINDS[kind], 10)['train@1']) for _ in range(HISTORIES)]
        widths[kind] = sorted((one.high or 0.0) / (one.low or 1e-9) for one in found)[HISTORIES // 2]
    assert widths['steady'] < 1.4 and widths['usual'] < 1.8
