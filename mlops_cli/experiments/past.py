"""The history of runs of a project, opened with what this machine's store adds to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlops_cli.core.digest import Digest
from mlops_cli.fsio.paths import Root
from mlops_cli.records.config import Config
from mlops_cli.records.database import Database, local_path
from mlops_cli.records.files import keeps_local
from mlops_cli.records.history import NAME, TABLES, VERSION, History, Progress

if TYPE_CHECKING:
    from mlops_cli.core.manifest import Manifest
    from mlops_cli.store.local import LocalStore
    from mlops_cli.store.results import Results


def open_history(
    root: Root, config: Config, environ: Mapping[str, str], progress: Progress = lambda _what, _done, _all: None
) -> History:
    """Close its database when done.  Writes only what can be made again."""
    database = Database(local_path(root, environ, NAME), TABLES, version=VERSION, keeps=keeps_local(root))
    return History(root, database, progress, _Explainer(config).manifest)


class _Explainer:
    """Manifests of results, from the store; opened when the first is asked for."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.opened: tuple[LocalStore, Results] | None = None

    def manifest(self, key: Digest, outs8: str) -> Manifest | None:
        if self.opened is None:
            from mlops_cli.fsio.durable import Batch
            from mlops_cli.store.local import LocalStore
            from mlops_cli.store.results import Results  # most commands find all explained

            cache = self.config.cache
            batch = Batch(self.config.durability)
            self.opened = LocalStore(cache, links=self.config.links, batch=batch, verified=None), Results(cache, batch)
        from mlops_cli.store import manifests

        store, results = self.opened
        entry = next((entry for entry in results.lookup(key) if entry.entry8 == outs8), None)
        return manifests.found(entry.manifest, store.read) if entry is not None else None
