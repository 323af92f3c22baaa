"""What the stages of a run cost, out of its record and the price book of today."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mlops_cli.records.accounts import RAN
from mlops_cli.records.config import Config
from mlops_cli.records.runs import Run
from mlops_cli.usage.cost import Cost, Work, added, costs
from mlops_cli.usage.prices import Book, Place


def book_of(config: Config) -> Book:
    clusters = [name for name, host in config.hosts.items() if not host.url.startswith('ssh://')]
    return Book(config.prices, config.currency, frozenset(clusters))


def costs_of(run: Run, book: Book) -> list[Cost | None]:
    """Of each stage in the order of the record; None where it did not run."""
    found = works(run)
    seconds = float('inf') if run.ended == 'killed' else run.seconds  # nobody was left to measure it
    each = iter(costs([one for one in found if one is not None], seconds, run.started[:10], book))
    return [None if one is None else next(each) for one in found]


def says_costs(run: Run, book: Book) -> bool:
    """Whether there is anything to tell of what it cost."""
    return bool(book) or (run.account is not None and bool(run.account.spent))


def spent_by(runs: Iterable[Run], book: Book, wanted: Callable[[Run], bool]) -> tuple[dict[str, float], int]:
    """Currency -> what the runs cost that are wanted, as far as it is known; and of how many of their stages it is not."""
    amounts: dict[str, float] = {}
    unknown = 0
    for run in runs:
        if wanted(run):
            each, lacking = added(cost for cost in costs_of(run, book) if cost is not None)
            unknown += lacking
            for currency, amount in each.items():
                amounts[currency] = amounts.get(currency, 0.0) + amount
    return amounts, unknown


def works(run: Run) -> list[Work | None]:
    """Of each stage what its cost follows from; None where it did not run."""
    found: list[Work | None] = []
    for position, one in enumerate(run.stages):
        if one.state not in RAN:
            found.append(None)
            continue
        account = run.account
        host, gpus, model = account.places.get(position, ('', 0, '')) if account else ('', 0, '')
        _, before, cpu_before = account.earlier.get(position, (0, 0.0, 0.0)) if account else (0, 0.0, 0.0)
        share = account.shares.get(position, 1.0) if account else 1.0
        cpu = one.usage.get('cpu_seconds')
        unmeasured = run.ended == 'killed' and one.state == 'interrupted'  # nobody was left to measure it
        found.append(
            Work(
                one.name,
                Place(run.host, host, gpus, model, share),
                None if unmeasured else one.seconds + before,
                None if cpu is None else cpu + cpu_before,
                one.usage.get('memory_peak_bytes'),
                account.spent.get(position, ()) if account else (),
                None if before or share < 1 else one.usage.get('gpu_energy_joules'),
            )
        )
    return found
