"""A table against its contract, by the way that is there for it."""

from __future__ import annotations

from mlops_cli.checks import contract as form
from mlops_cli.checks import holding, holding_sql, reading, tables


def check(of: form.Contract, path: str, open_file: reading.Open, now: float, step: holding.Step) -> holding.Held:
    """``now``: seconds since 1970.  Raises UserError for what is no table."""
    reading.refuse_no_table(path)
    if tables.suffix(path) not in tables.LINES:
        reading.refuse_twins(path, reading.columns(path, open_file))
        if (found := holding_sql.counted(of, path, open_file)) is not None:
            return holding.judged(of, *found, now)
    return holding.judged(of, *holding.counted(of, path, open_file, step), now)
