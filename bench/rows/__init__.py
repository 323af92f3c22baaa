"""The rows: each is some work, who does it, and what ours may cost."""

from __future__ import annotations

from bench.rows import checks, cold, files, history, noop, placing, remotes, restore, startup
from bench.rows.base import Bench, Row

ROWS: tuple[Row, ...] = (
    *noop.ROWS,
    *cold.ROWS,
    *restore.ROWS,
    *files.ROWS,
    *placing.ROWS,
    *remotes.ROWS,
    *startup.ROWS,
    *history.ROWS,
    *checks.ROWS,
)

__all__ = ['ROWS', 'Bench', 'Row']
