"""Results that travel: what a push sends of them, and where a run looks them up."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mlops_cli.cli import context
from mlops_cli.cli.console import Line, out, say
from mlops_cli.cli.transferring import depot_of
from mlops_cli.core.classes import replace
from mlops_cli.core.units import plural, show_size
from mlops_cli.plan.model import Step
from mlops_cli.run.elsewhere import Elsewhere
from mlops_cli.run.person import who
from mlops_cli.run.remotes import bring_results, send_results
from mlops_cli.run.tiers import Tiers, tiers
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.depot import Depot
from mlops_cli.store.results import ResultEntry
from mlops_cli.store.shared_results import SharedResults

BELIEVED = {'trusted': 'which all use', 'pr': 'which this pull request uses', 'user': 'which you alone use'}


def tiers_of(bench: Workbench) -> Tiers:
    return tiers(os.environ, bench.config.cache_tier, who(bench.root.path))


class Sharing:
    """The results of a remote, as this machine reads and writes them.  ``count``: how many travelled."""

    def __init__(self, bench: Workbench, depot: Depot) -> None:
        self._bench, self._depot = bench, depot
        self.tiers = tiers_of(bench)
        self._shared = SharedResults(depot.bucket, self.tiers.read, self.tiers.write)
        self.count = 0

    def send(self, entries: Sequence[ResultEntry], missing: Iterable[str]) -> None:
        """``missing``: paths of which something is not in the remote.  Raises Unreachable."""
        if entries:
            self.count = send_results(self._shared, entries, [*missing])

    def bring(self, steps: Iterable[Step]) -> None:
        """Raises Unreachable, OSError."""
        self.count = bring_results(self._bench, self._shared, self._depot, steps)

    def document(self) -> dict[str, Any]:
        return {'results': self.count, 'tier': self.tiers.write}

    def tell(self) -> None:
        if context.current.quiet:
            return
        if self.count:
            out(Line(f'  {"results":<9} {self.count:,}, {BELIEVED[self.tiers.write.partition("/")[0]]}', 'done'))
        elif not self.tiers.write:
            out(f'No results were sent: {self.tiers.why}.')


@contextmanager
def looking_elsewhere(bench: Workbench) -> Iterator[Workbench]:
    """The same, and where ``cache.remote`` names a remote, results are looked up there.  Raises UserError."""
    if not bench.config.cache_remote:
        yield bench
        return
    with depot_of(bench, bench.config.cache_remote) as (name, depot):
        found = tiers_of(bench)
        shared = SharedResults(depot.bucket, found.read, found.write)
        place = Elsewhere(
            bench.pins, bench.store, bench.results, depot, shared, lambda text: say(Line(f'note: {text}', 'note:'))
        )
        yield replace(bench, elsewhere=place)
    if place.told.objects and not context.current.quiet:
        said = f'{plural(place.told.objects, "object")}, {show_size(place.told.size)} from {name}'
        say(Line(f'  fetched   {said}', 'done'))
