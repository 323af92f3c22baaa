"""What the cost of each stage of a run follows from, out of its record."""

from __future__ import annotations

from mlops_cli.records.accounts import RAN
from mlops_cli.records.runs import Run
from mlops_cli.usage.cost import Work
from mlops_cli.usage.prices import Place


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
        cpu = one.usage.get('cpu_seconds')
        unmeasured = run.ended == 'killed' and one.state == 'interrupted'  # nobody was left to measure it
        found.append(
            Work(
                one.name,
                Place(run.host, host, gpus, model),
                None if unmeasured else one.seconds + before,
                None if cpu is None else cpu + cpu_before,
                one.usage.get('memory_peak_bytes'),
                account.spent.get(position, ()) if account else (),
            )
        )
    return found
