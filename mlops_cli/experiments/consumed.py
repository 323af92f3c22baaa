"""What the stages of one run consumed as time went by, as far as this machine still knows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import UserError
from mlops_cli.fsio.atomic import read_file
from mlops_cli.records.runs import Run, StageRun
from mlops_cli.run.logs import logs_of
from mlops_cli.run.workbench import Workbench
from mlops_cli.usage.series import SIZE_LIMIT, SUFFIX, decode

RAN = ('done', 'failed', 'interrupted')
SHORTEST = 1e-3  # seconds; what claims to be shorter has no rates
Rows = Sequence[Sequence[float | None]]


@dataclass(frozen=True, slots=True)
class Consumed:
    """One stage that ran.  ``rows``: of usage.series.COLUMNS, GPU_COLUMNS and NETWORK_COLUMNS, none where it was too short, or
    is not known here."""

    run: StageRun
    rows: Rows = ()


def consumed(bench: Workbench, run: Run) -> tuple[Consumed, ...]:
    """Of each stage that ran in it.  Raises OSError."""
    return tuple(Consumed(one, rows_of(bench, run, one)) for one in run.stages if one.state in RAN)


def rows_of(bench: Workbench, run: Run, one: StageRun) -> Rows:
    """Of its last attempt; none where that is not known here."""
    data = _here(bench, run, one) or _stored(bench, run, one)
    try:
        return decode(data) if data else ()
    except (ValueError, RecursionError):
        return ()


def _here(bench: Workbench, run: Run, one: StageRun) -> bytes:
    """Beside the log of the last attempt."""
    logs = logs_of(bench.root, run.id, one.name)
    path = f'{logs[-1]}{SUFFIX}' if logs else ''
    try:
        return read_file(bench.root, path, SIZE_LIMIT) if path and bench.root.stat(path) is not None else b''
    except (OSError, UserError):
        return b''


def _stored(bench: Workbench, run: Run, one: StageRun) -> bytes:
    for entry in bench.results.lookup(one.key) if one.key is not None and one.outs8 else ():
        ref = entry.series
        if entry.entry8 == one.outs8 and entry.origin.get('run') == run.id and ref is not None and ref.size <= SIZE_LIMIT:
            try:
                return bench.store.read(ref.digest)
            except UserError:  # not in this cache any more, or damaged
                return b''
    return b''


def rate(rows: Rows, column: int, parts: int) -> list[float]:
    """How fast a figure that only grows did so, per second, in each of so many equal parts of the time."""
    times, figures = [float(row[0] or 0) for row in rows], [float(row[column] or 0) for row in rows]
    if not times or times[0] > 0:
        times, figures = [0.0, *times], [0.0, *figures]
    step = times[-1] / parts if times[-1] > SHORTEST else 0.0
    at = [_at(times, figures, step * number) for number in range(parts + 1)]
    return [max(0.0, (after - before) / step) if step else 0.0 for before, after in itertools.pairwise(at)]


def level(rows: Rows, column: int, parts: int) -> list[float]:
    """The highest that a figure was, in each of so many equal parts of the time; in between two looks it is the later one."""
    end = float(rows[-1][0] or 0)
    found = []
    for number in range(parts):
        first, last = end * number / parts, end * (number + 1) / parts
        inside = [float(row[column] or 0) for row in rows if first < (row[0] or 0) <= last]
        later = next((float(row[column] or 0) for row in rows if (row[0] or 0) > last), 0.0)
        found.append(max(inside) if inside else later)
    return found


def average(rows: Rows, column: int) -> float:
    """Of a figure that stands for the time since the look before; where it was not told, that time does not count."""
    told = [(float(row[0] or 0), row[column]) for row in rows]
    spans = [(when - before, figure) for (before, _), (when, figure) in itertools.pairwise([(0.0, None), *told])]
    known = [(span, figure) for span, figure in spans if figure is not None]
    whole = sum(span for span, _ in known)
    return sum(span * figure for span, figure in known) / whole if whole else 0.0


def _at(times: Sequence[float], figures: Sequence[float], when: float) -> float:
    """Between two looks, on the straight line between them."""
    from bisect import bisect_left

    after = min(bisect_left(times, when), len(times) - 1)
    if after == 0 or times[after] <= when:
        return figures[after]
    share = (when - times[after - 1]) / (times[after] - times[after - 1])
    return figures[after - 1] + share * (figures[after] - figures[after - 1])
