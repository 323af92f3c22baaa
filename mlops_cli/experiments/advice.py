"""How much of what stages declare they used: from their last runs, with the numbers behind each word, or why there are none."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from mlops_cli.core.classes import dataclass, field, replace
from mlops_cli.experiments.consumed import rows_of
from mlops_cli.pipeline.spec import Stage
from mlops_cli.records.runs import Run, StageRun
from mlops_cli.run.workbench import Workbench
from mlops_cli.usage.offers import MARGIN, TARGET

RECORDS = 200  # run records that are read
REMEMBERED = 20  # runs of a stage that count
FEWEST = 3  # runs with which anything is said
SHARE = 0.99  # of the time in which it used no more
STEP = 128 << 20  # bytes in which memory is declared
SHORT_SECONDS = 10.0  # whose use says little
BACK = 5  # newest runs that are left out one by one, to find the one since which there is nothing to say


@dataclass(frozen=True, slots=True)
class Use:
    """Of one run of a stage.  ``processors``: at most, but for a hundredth of its time; ``sampled``: whether somebody looked
    while it ran, else it is the mean.  ``memory``: the most it held, None where unknown."""

    seconds: float
    processors: float
    sampled: bool
    memory: float | None
    run: str = ''


@dataclass(frozen=True, slots=True)
class Advice:
    """``what``: cpus or memory.  ``declared`` None: nothing.  ``used``: processors, or bytes, over ``runs`` runs; None where
    nobody knows.  ``wanted``: what to declare, None where there is nothing to change, and ``why`` says why.  ``vanished``:
    since which run that is so, where something else was advised before."""

    stage: str
    what: str
    declared: float | None
    used: float | None
    runs: int
    wanted: float | None
    why: str
    vanished: str = ''


@dataclass
class Group:
    """Instances of a stage that declare the same."""

    name: str
    cpus: float
    says_cpus: bool
    memory: int | None
    uses: list[Use] = field(default_factory=list)


def advise(bench: Workbench, names: Sequence[str]) -> list[Advice]:
    """``names``: of stages."""
    groups: dict[tuple[str, float, int | None], Group] = {}
    of: dict[str, Group] = {}
    for name in names:
        stage = bench.pipeline.stages[name]
        needs, base = stage.resources, name.partition('@')[0]
        key = base, needs.cpus, needs.memory_bytes
        of[name] = groups.setdefault(key, Group(base, needs.cpus, _says_cpus(stage), needs.memory_bytes))
    for run, one in _done(bench, of):
        group = of[one.name]
        if len(group.uses) < REMEMBERED and (use := use_of(bench, run, one)) is not None:
            group.uses.append(use)
    return [_judged(group, judge) for group in groups.values() for judge in (_cpus, _memory)]


def _judged(group: Group, judge: Callable[[Group], Advice]) -> Advice:
    """With the run since which it is not advised any more."""
    found = judge(group)
    for count in range(1, min(BACK, len(group.uses) - FEWEST) + 1) if found.wanted is None else ():
        before = judge(replace(group, uses=group.uses[count:]))
        if before.wanted is not None:
            was = in_words(found.what, before.wanted)
            return replace(found, vanished=f'until run {group.uses[count - 1].run} it was {was}')
    return found


def in_words(what: str, figure: float) -> str:
    """As it is declared: ``1.5``, ``768MiB``."""
    if what == 'cpus':
        return f'{figure:.3g}'
    return f'{figure / (1 << 30):.3g}GiB' if figure >= 10 << 30 else f'{figure / (1 << 20):.0f}MiB'


def _says_cpus(stage: Stage) -> bool:
    return stage.resources.cpus != 1


def _done(bench: Workbench, names: Iterable[str]) -> Iterable[tuple[Run, StageRun]]:
    wanted = set(names)
    for run in islice(bench.runs.newest(), RECORDS):
        for one in run.stages:
            if one.name in wanted and one.state == 'done':
                yield run, one


def use_of(bench: Workbench, run: Run, one: StageRun) -> Use | None:
    cpu, memory = one.usage.get('cpu_seconds'), one.usage.get('memory_peak_bytes')
    rows = rows_of(bench, run, one) if one.seconds >= 2 else ()
    if rows:
        return Use(one.seconds, high(rows), True, memory, run.short)
    return Use(one.seconds, cpu / one.seconds, False, memory, run.short) if cpu is not None and one.seconds > 0 else None


def high(rows: Sequence[Sequence[float | None]], share: float = SHARE) -> float:
    """Processors in use, but for so much of the time in which more were.  ``rows``: of usage.series.COLUMNS."""
    spans = []
    for before, after in itertools.pairwise([(0.0, 0.0), *((row[0] or 0.0, row[1] or 0.0) for row in rows)]):
        if after[0] > before[0]:
            spans.append(((after[1] - before[1]) / (after[0] - before[0]), after[0] - before[0]))
    spans.sort()
    rest = share * sum(length for _, length in spans)
    for rate, length in spans:
        rest -= length
        if rest <= 0:
            return rate
    return spans[-1][0] if spans else 0.0


def _why_not(group: Group) -> str:
    if not group.uses:
        return 'it has not run yet'
    if len(group.uses) < FEWEST:
        return f'fewer than {FEWEST} runs of it are known'
    if max(use.seconds for use in group.uses) < SHORT_SECONDS:
        return f'it never took {SHORT_SECONDS:g}s, so there is nothing to gain'
    return ''


def _cpus(group: Group) -> Advice:
    used = max((use.processors for use in group.uses), default=None)
    declared = group.cpus

    def said(wanted: float | None, why: str) -> Advice:
        return Advice(group.name, 'cpus', declared, used, len(group.uses), wanted, why)

    if why := _why_not(group):
        return said(None, why)
    assert used is not None
    wanted = max(1, math.ceil(round(used / TARGET, 3)))
    if used > declared * 1.25:
        return said(math.ceil(round(used, 3)), 'it takes what stages beside it were given')
    if group.says_cpus and wanted < declared:
        return said(wanted, 'others could have the rest meanwhile')
    return said(None, 'that fits')


def _memory(group: Group) -> Advice:
    held = [use.memory for use in group.uses if use.memory is not None]
    used = max(held, default=None)

    def said(wanted: float | None, why: str) -> Advice:
        return Advice(group.name, 'memory', group.memory, used, len(group.uses), wanted, why)

    if why := _why_not(group):
        return said(None, why)
    if used is None:
        return said(None, 'nobody measured what it held')
    wanted = math.ceil(used * MARGIN / STEP) * STEP
    if group.memory is None:
        return said(None, 'it declares none, so nothing is held free for it')
    if used > group.memory:
        return said(wanted, 'it held more than it says, so that stages beside it may run out')
    if wanted * 2 <= group.memory:
        return said(wanted, 'others could have the rest meanwhile')
    return said(None, 'that fits')
