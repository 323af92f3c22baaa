"""What a remote is known to hold, noted behind each transfer, and what of that status says."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from mlops_cli.core.errors import UserError
from mlops_cli.run.remotes import chosen
from mlops_cli.run.routes import kept_here
from mlops_cli.run.sent import Sent, pins_and_data, unsent
from mlops_cli.run.workbench import Workbench


def note_sent(bench: Workbench, remote: str, paths: Collection[str] | None, missing: Iterable[str]) -> None:
    """``paths``: what the transfer was about, None for all.  ``missing``: of which something has not come or gone.

    Raises UserError."""
    Sent(bench.root, bench.config.remotes[remote].url).add(pins_and_data(bench, {*missing}, paths))


def unsent_here(bench: Workbench) -> tuple[str, int, tuple[str, ...], tuple[str, ...]] | None:
    """(remote, results, tracked data, outputs that stay here); None where no remote is the usual one.  Asks no network."""
    try:
        name = chosen(bench.config.remotes, '')
    except UserError:
        return None
    results, data = unsent(bench, bench.config.remotes[name].url)
    return name, results, data, tuple(sorted(kept_here(bench.pipeline)))
