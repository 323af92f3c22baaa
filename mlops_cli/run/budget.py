"""Holds runs to the budgets of the settings: before anything runs by what it is expected to cost, then by what it did."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from mlops_cli import git
from mlops_cli.core.clock import iso
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.units import show_money
from mlops_cli.plan.model import Plan
from mlops_cli.records.accounts import RAN
from mlops_cli.records.costs import book_of, spent_by
from mlops_cli.records.runs import Run, Runs
from mlops_cli.run.accounting import place_of, share_of
from mlops_cli.run.expense import Expense, Outlay, Standing, expense
from mlops_cli.run.report import Settled
from mlops_cli.run.request import Request, Routes
from mlops_cli.run.session import Session
from mlops_cli.run.workbench import Workbench
from mlops_cli.usage.cost import Work, added, costs
from mlops_cli.usage.prices import Place

HINT = 'mlops run --over-budget runs all the same; the limits are the settings budgets.month, branch and run'
FEW = 100  # stages after each of which is looked
PAUSE_SECONDS = 1.0  # between two looks where there are more


def standings(bench: Workbench, now: float) -> tuple[Standing, ...]:
    """How much of each budget is gone.  Reads the records that matter for them."""
    book, limits = book_of(bench.config), bench.config.budgets
    found = []
    month = iso(now)[:7]
    head = git.head(bench.root.path) if 'branch' in limits else None
    branch = head.branch if head else ''
    which: Mapping[str, tuple[str, Callable[[], Iterable[Run]]]] = {
        'month': (f'the month {month}', lambda: _of_month(bench.runs, month)),
        'branch': (f'the branch {branch}', lambda: (run for run in bench.runs.newest() if run.branch == branch)),
        'run': ('a run', lambda: ()),
    }
    for name, (of, runs) in which.items():
        if name in limits and (name != 'branch' or branch):
            amounts, unknown = spent_by(runs(), book, lambda _: True)
            found.append(Standing(name, of, limits[name], amounts.get(book.currency, 0.0), unknown))
    return tuple(found)


def _of_month(runs: Runs, month: str) -> Iterator[Run]:
    first = month.replace('-', '')
    for run_id in runs.ids():
        if run_id[:6] < first:
            return
        if run_id.startswith(first):
            try:
                yield runs.get(run_id)
            except (UserError, FileNotFoundError):  # of which other commands tell
                continue


def exceeded(found: Sequence[Standing], planned: Expense | None) -> list[str]:
    """A sentence for each budget that a run at its usual times would go beyond."""
    if planned is None:
        return []
    currency = planned.currency
    low, typical, high = (one.get(currency, 0.0) for one in (planned.low, planned.typical, planned.high))
    between = f' ({low:,.2f} to {high:,.2f})' if high - low > 0.005 else ''
    told = []
    for one in found:
        if typical > 0 and one.spent + typical > one.limit:
            before = f', {show_money(one.spent, currency)} are gone' if one.name != 'run' else ''
            told.append(f'this run is expected to cost {show_money(typical, currency)}{between}{before}, '
                        f'and the budget of {one.of} is {show_money(one.limit, currency)}')  # fmt: skip
    return told


def refuse(bench: Workbench, plan: Plan, request: Request, routes: Routes, now: float) -> None:
    """Raises UserError (exit 5) where what is to run would go beyond a budget."""
    jobs = request.jobs or bench.config.jobs or os.cpu_count() or 1
    planned = expense(bench, plan, routes, jobs, request.executor, now)
    if told := exceeded(standings(bench, now), planned):
        raise UserError(told[0], hint=HINT, exit_code=ExitCode.REFUSED)


def outlay(bench: Workbench, planned: Expense, now: float, allowed: bool) -> Outlay:
    """With what is gone of each budget, and which this would go beyond; ``allowed``: that does not matter."""
    found = standings(bench, now)
    return Outlay(planned, found, () if allowed else tuple(exceeded(found, planned)))


class Guard:
    """Adds up what a run costs as its stages end."""

    def __init__(self, bench: Workbench, session: Session) -> None:
        self._bench, self._session = bench, session
        self._began = session.now()
        self._book = book_of(bench.config)
        self._standings = standings(bench, self._began)
        self._works: list[Work] = []
        self._looked = 0.0

    def unaffordable(self, settled: Settled) -> str:
        """Why nothing more is to start once a stage has ended; '' as long as there is no reason."""
        if str(settled.state) not in RAN:
            return ''
        self._works.append(self._work(settled))
        now = self._session.now()
        if len(self._works) > FEW and now - self._looked < PAUSE_SECONDS:
            return ''
        self._looked = now
        amounts, _ = added(costs(self._works, now - self._began, iso(self._began)[:10], self._book))
        cost, currency = amounts.get(self._book.currency, 0.0), self._book.currency
        for one in self._standings:
            if one.spent + cost > one.limit:
                return (f'stopped before the next stage: {show_money(one.spent + cost, currency)} are gone, and the budget of '
                        f'{one.of} is {show_money(one.limit, currency)} (mlops run --over-budget goes on)')  # fmt: skip
        return ''

    def _work(self, settled: Settled) -> Work:
        stage = self._bench.pipeline.stages[settled.stage]
        host, gpus, model = place_of(self._session, stage, self._session.routes.of(stage))
        tally = self._session.tallies.get(settled.stage)
        cpu, memory = settled.usage.get('cpu_seconds'), settled.usage.get('memory_peak_bytes')
        return Work(
            settled.stage,
            Place(str(self._session.origin['host']), host, gpus, model, share_of(self._session, stage, host)),
            settled.seconds + (tally.seconds if tally else 0.0),
            None if cpu is None else cpu + (tally.cpu_seconds if tally else 0.0),
            memory,
            tally.spent if tally else (),
        )
