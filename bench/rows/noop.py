"""Nothing to do, or nearly nothing, in pipelines of many stages."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from bench.bounds import Bound, Race
from bench.measure import Contender
from bench.rows.base import SLOW, Bench, Row
from bench.tools import Ours, Tool

FRESH = 'Nothing to do'


def commands(tool: Tool) -> tuple[str, tuple[str, ...], str]:
    """Name, command and what it says when there is nothing to do."""
    match tool.name:
        case 'make':
            return 'make', (tool.program,), 'Nothing to be done'
        case 'ninja':
            return 'ninja', (tool.program,), 'no work to do'
        case 'dvc':
            return 'dvc repro', (tool.program, 'repro'), 'up to date'
    return tool.name, (tool.program,), ''


def noop(count: int, most: Mapping[str, float], smaller: int = 0) -> Callable[[Bench, Ours], Race]:
    """``most``: peer and the bound to it; ``smaller``: a pipeline to compare the time of each stage with."""

    def race(bench: Bench, ours: Ours) -> Race:
        folder = bench.projects.built(ours, count)
        up_to_date = f'Up to date: {count:,} stages'
        contenders = [
            bench.mlops(ours, folder, 'run', expect=FRESH),
            bench.mlops(ours, folder, 'status', expect=up_to_date),
        ]
        bounds = [Bound(one.name, name, bound) for one in contenders for name, bound in most.items()]
        if smaller:
            name = f'mlops run, {smaller:,} stages'
            contenders.append(bench.mlops(ours, bench.projects.built(ours, smaller), 'run', name=name, expect=FRESH))
            bounds.append(Bound('mlops run', name, 1, scale=count / smaller))
        for tool in bench.peers(*(name.split()[0] for name in most)):
            called, command, expect = commands(tool)
            contenders.append(Contender(called, command, bench.projects.built_by(tool, count), expect=expect))
        return Race(tuple(contenders), tuple(bounds))

    return race


def one_changed(bench: Bench, ours: Ours) -> Race:
    """A source gets new bytes before every plan, in a project of its own, so that each time it is news."""
    count = 1000
    folder = bench.projects.built(ours, count)
    other = bench.projects.built(ours, count, 'changed')

    def change() -> None:
        other.joinpath('src/500.txt').write_text(f'changed {time.time_ns()}\n')

    return Race(
        (
            bench.mlops(ours, other, 'plan', expect='1 run', before=change),
            bench.mlops(ours, folder, 'run', expect=FRESH),
        ),
        (Bound('mlops plan', 'mlops run', 1.5),),
    )


ROWS = (
    Row('noop-1000', 'nothing to do, 1,000 stages', noop(1000, {'make': 1 / 4, 'ninja': 4, 'dvc repro': 1 / 300})),
    Row('noop-10000', 'nothing to do, 10,000 stages', noop(10_000, {'make': 1 / 12, 'ninja': 2.5}, 1000)),
    Row('noop-100000', 'nothing to do, 100,000 stages', noop(100_000, {'make': 1 / 12, 'ninja': 2.5}, 10_000), SLOW),
    Row('plan-one-changed', 'one source of 1,000 stages changed', one_changed),
)
