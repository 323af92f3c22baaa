"""Whose time it is: that of libraries belongs to those of our parts that call them."""

from __future__ import annotations

import cProfile
import pstats
from typing import Any

import pytest

from bench.profiling import LIBRARY, LOADING, QUICK, part_of, shares

PLAN, STORE = ('/x/mlops_cli/plan/planner.py', 1, 'decide'), ('/x/mlops_cli/store/local.py', 1, 'read')
JSON, READ = ('/python/json/decoder.py', 1, 'decode'), ('~', 0, '<built-in method posix.read>')


@pytest.mark.parametrize(
    ('function', 'part'),
    [
        (PLAN, 'plan'),
        (('/x/mlops_cli/cli/quick/compare.py', 1, 'unchanged'), QUICK),
        (('/x/mlops_cli/cli/console/text.py', 1, 'pad'), 'cli'),
        (('/x/mlops_cli/yamlfile.py', 1, 'read'), 'cli'),
        (('/x/mlops_cli/plan/planner.py', 1, '<module>'), LOADING),
        (('<frozen importlib._bootstrap>', 1, '_load'), LOADING),
        (JSON, ''),
        (READ, ''),
    ],
)
def test_the_part_of_a_function(function: tuple[str, int, str], part: str) -> None:
    assert part_of(function) == part


def test_time_of_libraries_goes_to_those_who_call_them() -> None:
    def calls(*callers: tuple[tuple[str, int, str], float]) -> dict[Any, Any]:
        return {caller: (1, 1, seconds, seconds) for caller, seconds in callers}

    stats = {
        PLAN: (1, 1, 2.0, 8.0, {}),
        STORE: (1, 1, 2.0, 4.0, calls((PLAN, 4.0))),
        JSON: (1, 1, 1.0, 3.0, calls((PLAN, 1.0), (STORE, 2.0))),
        READ: (1, 1, 3.0, 3.0, calls((JSON, 3.0))),
    }
    found = shares(stats)
    assert found == pytest.approx({'store': (2 + 4 * 2 / 3) / 8, 'plan': (2 + 4 / 3) / 8, LIBRARY: 0})


def test_a_real_profile_adds_up() -> None:
    profile = cProfile.Profile()
    profile.runcall(sorted, [3, 1, 2], key=lambda one: -one)
    stats: Any = pstats.Stats(profile)
    assert sum(shares(stats.stats).values()) == pytest.approx(1)
