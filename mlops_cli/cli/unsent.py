"""What a remote is known to hold, noted behind each transfer, and what of that status says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from mlops_cli.cli.routing import Routing, depot_or
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.run.remotes import chosen
from mlops_cli.run.routes import kept_here
from mlops_cli.run.sent import Sent, pins_and_data, unknown_names, unsent
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.depot import Depot


def note_sent(bench: Workbench, remote: str, paths: Collection[str] | None, missing: Iterable[str]) -> None:
    """Behind a push.  ``paths``: what it was about, None for all.  ``missing``: of which something has not gone.

    Raises UserError."""
    Sent(bench.root, bench.config.remotes[remote].url).add(pins_and_data(bench, {*missing}, paths))


def note_there(bench: Workbench, routes: Routing, depot: Depot, wanted: Mapping[str, ObjectRef]) -> None:
    """Behind what was brought: what the remotes have of ``wanted``.  They are asked, as what was here already may never have
    been sent.  Raises UserError, Unreachable."""
    sent = Sent(bench.root, bench.config.remotes[routes.usual].url)
    unknown = unknown_names(bench, sent, wanted)
    there: set[Digest] = set()
    for name, part in routes.split({path: wanted[path] for paths in unknown.values() for path in paths}.items()):
        if part:
            with depot_or(bench, name, routes.usual, depot) as other:
                there |= other.has({ref.digest for _, ref in part})
    away = {path for paths in unknown.values() for path in paths} - {*routes.left_out}
    away = {path for path in away if wanted[path].digest not in there}
    sent.add(name for name, paths in unknown.items() if away.isdisjoint(paths))


def unsent_here(bench: Workbench) -> tuple[str, int, tuple[str, ...], tuple[str, ...]] | None:
    """(remote, results, tracked data, outputs that stay here); None where no remote is the usual one.  Asks no network."""
    try:
        name = chosen(bench.config.remotes, '')
    except UserError:
        return None
    results, data = unsent(bench, bench.config.remotes[name].url)
    return name, results, data, tuple(sorted(kept_here(bench.pipeline)))
