"""Contents to and from more than one remote, where the pipeline has it so, and what it keeps from all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mlops_cli.cli import context
from mlops_cli.cli.console import one_line, out
from mlops_cli.cli.transferring import depot_of
from mlops_cli.core.classes import replace
from mlops_cli.run.checkout import Targets
from mlops_cli.run.routes import Routes
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.depot import Depot


class Routing(Routes):
    """``alone``: the user has named the remote."""

    def __init__(self, bench: Workbench, usual: str, alone: bool) -> None:
        super().__init__(bench.pipeline, bench.config.remotes, usual, alone=alone)
        self._bench = bench

    def there(self, targets: Targets) -> Targets:
        """Without what has not come, as it does not travel, and is not here either."""
        stored = self._bench.store.missing
        wanted = {path: ref for path, ref in targets.wanted.items() if path not in self.left_out or not stored([ref])}
        return replace(targets, wanted=wanted)

    def document(self) -> dict[str, Any]:
        return {'left_out': [{'path': path, 'why': why} for path, why in sorted(self.left_out.items())]}

    def tell(self) -> None:
        if not context.current.quiet:
            for path, why in sorted(self.left_out.items()):
                out(f'  {"left out":<9} {one_line(path)}: {why}')


@contextmanager
def depot_or(bench: Workbench, name: str, usual: str, depot: Depot) -> Iterator[Depot]:
    """What is in a remote; ``depot`` where that is the usual one.  Raises UserError."""
    if name == usual:
        yield depot
        return
    with depot_of(bench, name) as (_, other):
        yield other


