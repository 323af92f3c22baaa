"""Which machine would do, and what that saves: from what stages used, and what the price book offers (docs/howto/costs.md).

Each word comes with its numbers, or with the reason why there is none."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from statistics import median
from typing import Any

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.clock import from_iso, iso
from mlops_cli.core.units import plural, show_seconds, show_size
from mlops_cli.experiments.advice import FEWEST, RECORDS, REMEMBERED, SHORT_SECONDS, use_of
from mlops_cli.records import sightings
from mlops_cli.records.costs import book_of, costs_of, works
from mlops_cli.run.workbench import Workbench
from mlops_cli.usage.offers import Commitment, Need, Offer, cheapest, commitment, lacking, offers, projected
from mlops_cli.usage.prices import HERE, Book, Place

IDLE = 0.3  # of its time, below which a GPU counts as idle
WAITING = 0.7  # below which it may wait for its input
BUSY = 0.85  # of the processors that a stage declares, from which on they are what it waits for
SPOT_SECONDS = 1800.0  # as long as a stage may take to be lost whole
LEAST = 0.05  # of a cost, below which a saving is not worth a word
DAYS = 90  # of runs by which commitments are judged
FEWEST_DAYS = 7
BACK = 5  # newest runs that are left out one by one, to find the one since which there is nothing to say


@dataclass(frozen=True, slots=True)
class Sample:
    """Of one run of a stage.  ``cpu``: processors busy on average; ``need``: at most.  ``busy``: share of the time in which its
    GPUs did something, None where nobody measured it."""

    run: str
    seconds: float
    place: Place
    cpu: float
    need: Need
    busy: float | None


@dataclass(frozen=True, slots=True)
class Hint:
    """``what``: machine, spot, gpu, input or commitment.  ``of``: a stage, or the name of a price.  ``now``: what it is, and
    ``wanted``: what would be better, '' where there is nothing to change, and ``why`` says why.  ``cost``, ``instead``: of a
    run in the middle (of the window, for a commitment), None where nobody knows.  ``used``: at most, by what it is of;
    ``share``: of what is wanted, how much would be in use.  ``vanished``: since which run it is not advised any more, and what
    that used."""

    what: str
    of: str
    now: str
    wanted: str
    runs: int
    why: str
    cost: float | None = None
    instead: float | None = None
    currency: str = ''
    used: Mapping[str, float] = field(default_factory=dict)
    share: Mapping[str, float] = field(default_factory=dict)
    vanished: str = ''


@dataclass(frozen=True)
class Ground:
    """What stages are judged by."""

    book: Book
    day: str
    offers: Sequence[Offer]

    def here(self, place: Place) -> Offer | None:
        """What is paid for now, where that is one price for an hour; what is paid by use beside it stays as it is."""
        rate = self.book.rate(place, self.day)
        names = rate.names if rate is not None and not rate.lacking else ()
        mine = [one for one in self.offers if one.name in names]
        return mine[0] if len(mine) == 1 else None


def machine_advice(bench: Workbench, names: Sequence[str], now: float | None = None) -> list[Hint]:
    """``names``: of stages."""
    now = time.time() if now is None else now
    book, day = book_of(bench.config), iso(now)[:10]
    if not book:
        return []
    ground = Ground(book, day, offers(book, day, _seen(bench)))
    found: list[Hint] = []
    for stage, samples in _samples(bench, names).items():
        declared = bench.pipeline.stages[next(name for name in names if name.partition('@')[0] == stage)]
        judges: list[Callable[[Sequence[Sample]], Hint]] = [
            partial(_machine, stage, ground=ground),
            partial(_spot, stage, ground=ground, keeps=bool(declared.checkpoint)),
        ]
        if declared.resources.gpus:
            judges += [
                partial(_idle, stage, ground=ground, shares=declared.resources.gpu_memory_bytes is not None),
                partial(_input, stage, cpus=declared.resources.cpus),
            ]
        found += [judged(samples, judge) for judge in judges]
    return [*found, *_commitments(bench, ground, now)]


def judged(samples: Sequence[Sample], judge: Callable[[Sequence[Sample]], Hint]) -> Hint:
    """With what would have been said before the newest runs, where it is not said any more.  ``samples``: newest first."""
    from mlops_cli.core.classes import replace

    hint = judge(samples)
    if hint.wanted:
        return hint
    for count in range(1, min(BACK, len(samples) - FEWEST) + 1):
        before = judge(samples[count:])
        if before.wanted:
            last = samples[count - 1]
            used = [f'{last.need.cpus:.1f} processors', *_memory_words(last.need), show_seconds(last.seconds)]
            told = f'until run {last.run} ({", ".join(used)}) it was: {before.wanted}'
            return replace(hint, vanished=told)
    return hint


def _seen(bench: Workbench) -> dict[str, dict[str, float]]:
    """What hosts said that they have when they were last seen from here."""
    found: dict[str, dict[str, float]] = {}
    for name, host in bench.config.hosts.items():
        seen = sightings.last(bench.root, name, host.url)
        if seen is not None and not seen.engine:
            sizes = {'cpus': seen.cpus, 'memory': seen.memory_bytes, 'gpus': seen.gpus,
                     'gpu_memory': min((card.memory_bytes or 0 for card in seen.cards), default=None)}  # fmt: skip
            found[name] = {size: float(figure) for size, figure in sizes.items() if figure is not None}
    return found


def _samples(bench: Workbench, names: Sequence[str]) -> dict[str, list[Sample]]:
    """Of each stage where it ran last, newest first; instances together.  Stages that never ran have none."""
    wanted, last = set(names), dict[str, Place]()
    found: dict[str, list[Sample]] = {}
    for run in islice(bench.runs.newest(), RECORDS):
        for one, work in zip(run.stages, works(run), strict=True):
            if one.name not in wanted or one.state != 'done' or work is None or not one.seconds:
                continue
            group = one.name.partition('@')[0]
            kind = Place(work.place.name, '', work.place.gpus, work.place.model)
            if last.setdefault(group, kind) != kind:  # what it did elsewhere says little of where it runs now
                continue
            some = found.setdefault(group, [])
            if len(some) < REMEMBERED and (use := use_of(bench, run, one)) is not None:
                gpus, usage = work.place.gpus, one.usage
                held, busy = usage.get('gpu_memory_peak_bytes'), usage.get('gpu_seconds')
                need = Need(use.processors, use.memory, gpus, held / gpus if held is not None and gpus else None)
                cpu = usage.get('cpu_seconds', 0.0) / one.seconds
                share = min(1.0, busy / (gpus * one.seconds)) if busy is not None and gpus else None
                some.append(Sample(run.short, one.seconds, work.place, cpu, need, share))
    return found


def _why_not(samples: Sequence[Sample]) -> str:
    if len(samples) < FEWEST:
        return f'fewer than {FEWEST} runs of it are known'
    if max(one.seconds for one in samples) < SHORT_SECONDS:
        return f'it never took {SHORT_SECONDS:g}s, so there is nothing to gain'
    return ''


def _need(samples: Sequence[Sample]) -> Need:
    def most(figures: Iterable[float | None]) -> float | None:
        known = [one for one in figures if one is not None]
        return max(known, default=None)

    return Need(max(one.need.cpus for one in samples), most(one.need.memory for one in samples), samples[0].place.gpus,
                most(one.need.gpu_memory for one in samples))  # fmt: skip


def _used(need: Need) -> dict[str, float]:
    found = {'cpus': need.cpus, 'memory': need.memory, 'gpus': need.gpus or None, 'gpu_memory': need.gpu_memory}
    return {name: float(figure) for name, figure in found.items() if figure is not None}


def _memory_words(need: Need) -> list[str]:
    said = [show_size(need.memory)] if need.memory is not None else []
    return said + ([f'{show_size(need.gpu_memory)} of each GPU'] if need.gpu_memory is not None else [])


def _price(offer: Offer, hour: float, samples: Sequence[Sample]) -> float:
    """Of a run in the middle."""
    gpus = samples[0].place.gpus * samples[0].place.share if offer.of_gpu else 1
    return hour * gpus * median(one.seconds for one in samples) / 3600


def _machine(stage: str, samples: Sequence[Sample], ground: Ground) -> Hint:
    place, need = samples[0].place, _need(samples)
    here = ground.here(place)
    now = here.name if here is not None else place.name

    def said(wanted: str, why: str, **more: Any) -> Hint:
        return Hint('machine', stage, now, wanted, len(samples), why, used=_used(need), **more)

    if why := _why_not(samples):
        return said('', why)
    if here is None:
        return said('', f'nobody says what an hour of {place.name} costs')
    others = [one for one in ground.offers if one.name not in (here.name, HERE)]
    best = cheapest(others, need, here.currency, of_gpu=here.of_gpu)
    cost = _price(here, here.hour, samples)
    if best is None:
        rivals = [one for one in others if one.of_gpu == here.of_gpu and one.currency == here.currency]
        reasons = '; '.join(f'{one.name}: {lacking(one, need)}' for one in rivals[:3])
        why = f'nothing else in the price book fits{f" ({reasons})" if reasons else ""}'
        return said('', why, cost=cost, currency=here.currency)
    instead, share = _price(best, best.hour, samples), projected(best, need)
    if instead > cost * (1 - LEAST):
        why = f'{best.name} is the next that fits, and no cheaper'
        return said('', why, cost=cost, instead=instead, currency=here.currency)
    parts = ', '.join(f'{figure:.0%} of its {name.replace("_", " ")}' for name, figure in share.items())
    return said(best.name, f'it would use {parts}, if it takes as long there', cost=cost, instead=instead, share=share,
                currency=here.currency)  # fmt: skip


def _spot(stage: str, samples: Sequence[Sample], ground: Ground, keeps: bool) -> Hint:
    here = ground.here(samples[0].place)
    now = here.name if here is not None else samples[0].place.name
    middle = median(one.seconds for one in samples)

    def said(wanted: str, why: str, **more: Any) -> Hint:
        return Hint('spot', stage, now, wanted, len(samples), why, used={'seconds': middle}, **more)

    if why := _why_not(samples):
        return said('', why)
    if here is None or here.spot is None:
        return said('', f'nobody says what {now} costs as spot (spot_hour)')
    cost, instead = _price(here, here.hour, samples), _price(here, here.spot, samples)
    longest = max(one.seconds for one in samples)
    if not keeps and longest > SPOT_SECONDS:
        return said('', f'it takes up to {show_seconds(longest)} and keeps no checkpoint, all of which may be lost', cost=cost,
                    instead=instead, currency=here.currency)  # fmt: skip
    if instead > cost * (1 - LEAST):
        return said('', 'spot is no cheaper', cost=cost, instead=instead, currency=here.currency)
    why = 'it keeps a checkpoint, so little is lost' if keeps else f'it takes at most {show_seconds(longest)}, all that is lost'
    return said('spot', why, cost=cost, instead=instead, currency=here.currency)


def _idle(stage: str, samples: Sequence[Sample], ground: Ground, shares: bool) -> Hint:
    known = [one for one in samples if one.busy is not None]
    place, need = samples[0].place, _need(samples)
    now = f'{place.gpus} {place.model or "GPU"}'

    def said(wanted: str, why: str, **more: Any) -> Hint:
        return Hint('gpu', stage, now, wanted, len(known), why, used=_used(need), **more)

    if why := _why_not(samples):
        return said('', why)
    if len(known) < FEWEST:
        return said('', 'nobody measured how busy its GPUs were')
    busy = median(one.busy or 0.0 for one in known)
    here = ground.here(place)
    cost = _price(here, here.hour, samples) if here is not None and here.of_gpu else None
    more = {'cost': cost, 'currency': here.currency if here is not None and cost is not None else '', 'share': {'busy': busy}}
    if busy >= IDLE:
        return said('', f'its GPUs were busy {busy:.0%} of the time', **more)
    if shares:
        return said('', f'its GPUs were busy {busy:.0%} of the time, and it shares them', **more)
    if need.gpu_memory is None:
        return said('', f'its GPUs were busy {busy:.0%} of the time; nobody measured their memory', **more)
    size = math.ceil(need.gpu_memory * 1.2 / (1 << 30))
    return said(f'gpu_memory: {size}GiB', f'its GPUs were busy {busy:.0%} of the time: others could share them', **more)


def _input(stage: str, samples: Sequence[Sample], cpus: float) -> Hint:
    known = [one for one in samples if one.busy is not None]

    def said(wanted: str, why: str, **more: Any) -> Hint:
        return Hint('input', stage, f'{cpus:g} processors', wanted, len(known), why, **more)

    if why := _why_not(samples):
        return said('', why)
    if len(known) < FEWEST:
        return said('', 'nobody measured how busy its GPUs were')
    busy, cpu = median(one.busy or 0.0 for one in known), median(one.cpu for one in known)
    more = {'used': {'cpus': cpu}, 'share': {'busy': busy}}
    if busy >= WAITING:
        return said('', f'its GPUs were busy {busy:.0%} of the time', **more)
    if cpu < BUSY * cpus:
        return said('', f'its GPUs waited, but not for processors: {cpu:.1f} of {cpus:g} were busy', **more)
    why = f'its GPUs were busy {busy:.0%} of the time, and {cpu:.1f} of {cpus:g} processors: what loads the data holds it up'
    return said(f'cpus: {math.ceil(cpus * 2)}', why, **more)


def _commitments(bench: Workbench, ground: Ground, now: float) -> Iterable[Hint]:
    """Of each entry of the price book that says what it costs where it is paid for day and night."""
    committed = {one.name: one for one in ground.offers if one.committed is not None}
    if not committed:
        return
    hours = dict.fromkeys(committed, 0.0)
    runs, first = dict.fromkeys(committed, 0), now
    for run in bench.runs.newest():
        at = from_iso(run.started)
        if at < now - DAYS * 86400:
            break
        first = min(first, at)
        used: set[str] = set()
        for cost in costs_of(run, ground.book):
            for name in cost.prices if cost is not None else ():
                if cost is not None and name in committed:
                    hours[name] += cost.gpu_hours if committed[name].of_gpu else cost.hours
                    used.add(name)
        for name in used:
            runs[name] += 1
    window = (now - first) / 3600
    for name, offer in committed.items():
        yield _commitment(name, offer, commitment(offer, hours[name], window), runs[name], window)


def _commitment(name: str, offer: Offer, found: Commitment | None, runs: int, window: float) -> Hint:
    if found is None or window < FEWEST_DAYS * 24:
        return Hint('commitment', name, 'on demand', '', runs, f'fewer than {FEWEST_DAYS} days of runs are known')
    text = (f'{found.hours:,.0f} of {window:,.0f} hours in {plural(round(window / 24), "day")} ({found.hours / window:.0%}); '
            f'it pays from {found.pays_from:.0%} on')  # fmt: skip
    return Hint('commitment', name, 'on demand', 'committed' if found.pays else '', runs, text, found.paid, found.instead,
                offer.currency, {'hours': found.hours}, {'window': found.hours / window})  # fmt: skip
