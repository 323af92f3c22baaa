from __future__ import annotations

import pytest

from mlops_cli.core.errors import UserError
from mlops_cli.pipeline.spec import Command, Output, Pipeline, Stage
from mlops_cli.plan.forecast import critical_paths, estimate, forecast, makespan
from mlops_cli.plan.model import UNKNOWN, Estimate, Plan, Step, Verdict
from mlops_cli.plan.select import select

EDGES = {'a': (), 'b@1': ('a',), 'b@2': ('a',), 'c': ('b@1', 'b@2'), 'd': ('a',)}
ORDER = ['a', 'b@1', 'b@2', 'c', 'd']


def pipeline() -> Pipeline:
    command = Command('shell', ('true',))
    return Pipeline(
        'p', {name: Stage(name, name.partition('@')[0], command, outputs=(Output(f'out/{name}'),)) for name in ORDER}
    )


@pytest.mark.parametrize(
    ('words', 'options', 'chosen'),
    [
        ((), {}, ORDER),
        (('c',), {}, ['a', 'b@1', 'b@2', 'c']),
        (('b',), {}, ['a', 'b@1', 'b@2']),
        (('b@*',), {'only': True}, ['b@1', 'b@2']),
        (('out/b@2',), {}, ['a', 'b@2']),
        (('./out/b@2/',), {'only': True}, ['b@2']),
        (('b@1',), {'downstream': True}, ['a', 'b@1', 'b@2', 'c']),
        (('b@1',), {'downstream': True, 'only': True}, ['b@1', 'c']),
        (('?',), {'only': True}, ['a', 'c', 'd']),
    ],
)
def test_which_stages_words_mean(words: tuple[str, ...], options: dict[str, bool], chosen: list[str]) -> None:
    assert list(select(pipeline(), EDGES, ORDER, words, **options)) == chosen


def test_an_unknown_word_gets_the_near_one() -> None:
    with pytest.raises(UserError) as caught:
        select(pipeline(), EDGES, ORDER, ('b@3',))
    assert 'b@' in caught.value.hint


def test_estimates_come_from_the_newest_runs() -> None:
    assert estimate([]) is UNKNOWN
    found = estimate([3.0, 1.0, 2.0])
    assert found.low is not None and found.high is not None
    assert (found.low < 1.0, found.high > 3.0, found.typical, found.basis) == (True, True, 2.0, 'history')
    assert estimate([1.0] * 20 + [99.0]) == estimate([1.0] * 20)
    steady = estimate([1.0] * 20)
    assert steady.low is not None and steady.high is not None and 0.9 < steady.low < 1.0 < steady.high < 1.1
    assert estimate([0.0] * 3).low == 0.0


def test_what_a_stage_did_lately_counts_more() -> None:
    before, after = estimate([10.0] * 10 + [100.0] * 10), estimate([100.0] * 10 + [10.0] * 10)
    assert before.low is not None and before.high is not None and after.low is not None and after.high is not None
    assert before.low < 10.0 < before.high < after.high and before.low < after.low < 100.0 < after.high


def test_makespan_runs_the_longest_path_first() -> None:
    seconds = {'a': 1.0, 'b@1': 5.0, 'b@2': 2.0, 'c': 1.0, 'd': 3.0}
    assert makespan(ORDER, seconds, EDGES, 1) == 12.0
    assert makespan(ORDER, seconds, EDGES, 2) == 7.0
    assert makespan(ORDER, seconds, EDGES, 9) == 7.0
    assert critical_paths(ORDER, seconds, {'a': ['b@1', 'b@2', 'd'], 'b@1': ['c'], 'b@2': ['c']})['a'] == 7.0


def test_a_forecast_needs_history_of_all_that_runs() -> None:
    known = Estimate(1.0, 2.0, 1.5, 'history')
    steps = [Step('a', Verdict.RUN, estimate=known), Step('b@1', Verdict.MAYBE, estimate=known), Step('d', Verdict.FRESH)]
    assert forecast(Plan('p', tuple(steps), EDGES), 1) == (1.0, 4.0)
    steps[1] = Step('b@1', Verdict.MAYBE)
    assert forecast(Plan('p', tuple(steps), EDGES), 1) == (1.0, None)
