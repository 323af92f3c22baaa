"""What stages came to before a run: asked of the tables of history.py."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import Digest
from mlops_cli.records.history import History

_CHUNK = 500  # stages asked about at once: SQLite takes no more than some values


@dataclass(frozen=True, slots=True)
class Earlier:
    """``run``: the id of the last run before, in which the stage had a result."""

    run: str
    key: Digest
    outs8: str


def before(history: History, run_id: str, stages: Sequence[str]) -> dict[str, Earlier]:
    """Stage -> its last result before that run; stages without one are left out."""

    def work(connection: sqlite3.Connection) -> dict[str, Earlier]:
        history.refresh(connection)
        found: dict[str, Earlier] = {}
        for start in range(0, len(stages), _CHUNK):
            names = stages[start : start + _CHUNK]
            rows = connection.execute(
                'SELECT stages.name, max(runs.id), results.key, results.outs8 FROM stages '
                'JOIN runs ON runs.number = stages.run JOIN results ON results.number = stages.result '
                f"WHERE runs.id < ? AND NOT runs.trial AND stages.name IN ({', '.join('?' * len(names))}) GROUP BY stages.name",
                (run_id, *names),
            )
            found |= {name: Earlier(run, Digest(key), outs8) for name, run, key, outs8 in rows}
        return found

    return history.database.use(work)


def last(history: History, *, trials: bool | None = None) -> str:
    """The id of the newest run; empty if there is none."""

    def work(connection: sqlite3.Connection) -> str:
        history.refresh(connection)
        clause = '' if trials is None else f' AND trial = {int(trials)}'
        row = connection.execute(f"SELECT max(id) FROM runs WHERE problem = ''{clause}").fetchone()
        return row[0] or ''

    return history.database.use(work)
