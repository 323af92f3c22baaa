"""What runs cost, added up by what people ask about: from run records alone, at the prices of today's book for their day."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.clock import from_iso
from mlops_cli.core.digest import Digest
from mlops_cli.records.costs import costs_of, works
from mlops_cli.records.runs import Run, StageRun
from mlops_cli.usage.cost import Cost, Work
from mlops_cli.usage.prices import Book

Made = tuple[Digest, str]  # a key, and what tells its results apart
# What people ask about -> what it is called for a stage of a run.
BY: Mapping[str, Callable[[Run, StageRun, Work | None], str]] = {
    'stage': lambda _run, one, _work: one.name.partition('@')[0],
    'run': lambda run, _one, _work: run.short,
    'branch': lambda run, _one, _work: run.branch,
    'user': lambda run, _one, _work: run.who,
    'month': lambda run, _one, _work: run.started[:7],
    'host': lambda run, _one, work: work.place.name if work is not None else run.host,
}


@dataclass
class Row:
    """``amounts``: currency -> what is known.  ``stages``: that ran; ``unknown``: of which not all is known.  ``runs``: ids.
    ``kwh``: of ``metered`` stages, ``co2`` (grams): of ``weighed`` ones; of others nobody says.  ``restored``: stages that need
    not run, and what they took and cost when they did; ``lost``: of how many of them that is not known."""

    name: str
    amounts: dict[str, float] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)
    stages: int = 0
    unknown: int = 0
    seconds: float = 0.0
    gpu_hours: float = 0.0
    kwh: float = 0.0
    co2: float = 0.0
    metered: int = 0
    weighed: int = 0
    restored: int = 0
    saved_seconds: float = 0.0
    saved: dict[str, float] = field(default_factory=dict)
    lost: int = 0

    def ran(self, run: Run, work: Work, cost: Cost) -> None:
        self.runs.add(run.id)
        self.stages += 1
        self.unknown += not cost.known
        self.seconds += work.seconds or 0.0
        self.gpu_hours += cost.gpu_hours
        if cost.kwh is not None:
            self.metered += 1
            self.kwh += cost.kwh
        if cost.co2 is not None:
            self.weighed += 1
            self.co2 += cost.co2
        _add(self.amounts, cost.amounts)

    def spared(self, run: Run, made: tuple[float, Cost] | None) -> None:
        self.runs.add(run.id)
        self.restored += 1
        if made is None or not made[1].known:
            self.lost += 1
        if made is not None:
            self.saved_seconds += made[0]
            _add(self.saved, made[1].amounts)


@dataclass(frozen=True)
class Ledger:
    """``rows``: by name.  ``why``: what is not known -> of how many stages."""

    rows: Mapping[str, Row]
    total: Row
    why: Mapping[str, int]

    def sorted(self, by: str, currency: str) -> Sequence[Row]:
        """Months in their order; all else by what it cost, most first."""
        rows = self.rows.values()
        if by == 'month':
            return sorted(rows, key=lambda row: row.name)
        return sorted(rows, key=lambda row: (-row.amounts.get(currency, 0.0), -row.seconds, row.name))


def ledger(runs: Iterable[Run], book: Book, by: str, since: float | None = None, until: float | None = None) -> Ledger:
    """``since``, ``until``: seconds since 1970, of runs that count; what a restored stage took before is looked up in all."""
    every = sorted(runs, key=lambda run: run.id)
    made: dict[Made, tuple[float, Cost]] = {}
    rows: dict[str, Row] = {}
    total, why = Row(''), dict[str, int]()
    for run in every:
        counts = (since is None or from_iso(run.started) >= since) and (until is None or from_iso(run.started) < until)
        for one, work, cost in zip(run.stages, works(run), costs_of(run, book), strict=True):
            if work is not None and cost is not None:
                if one.state == 'done' and one.key is not None:
                    made.setdefault((one.key, one.outs8), (work.seconds or 0.0, cost))
                if counts:
                    row = rows.setdefault(name := BY[by](run, one, work), Row(name))
                    row.ran(run, work, cost)
                    total.ran(run, work, cost)
                    if cost.unknown:
                        why[cost.unknown] = why.get(cost.unknown, 0) + 1
            elif counts and one.state == 'restored' and one.key is not None:
                row = rows.setdefault(name := BY[by](run, one, None), Row(name))
                row.spared(run, made.get((one.key, one.outs8)))
                total.spared(run, made.get((one.key, one.outs8)))
    return Ledger(rows, total, why)


def _add(to: dict[str, float], amounts: Mapping[str, float]) -> None:
    for currency, amount in amounts.items():
        to[currency] = to.get(currency, 0.0) + amount
