"""What mlops itself last put into the workspace for a stage, remembered beside the index (docs/formats/index.md).

Pins come and go with branches, outputs stay where they are.  So that a file which mlops made on another branch is not taken
for one that was changed by hand, this outlives the pins.  Lost, it costs nothing but that.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache

from mlops_cli.core.canonical import canonical_bytes
from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import UserError
from mlops_cli.core.manifest import Manifest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint.index import Index
from mlops_cli.plan.facts import Placed
from mlops_cli.plan.model import Metrics
from mlops_cli.records.metrics import recorded
from mlops_cli.run.workbench import Workbench
from mlops_cli.store import manifests
from mlops_cli.store.objects import Damaged, MissingObject

Outputs = Iterable[tuple[str, ObjectRef]]


@dataclass(frozen=True, slots=True)
class Earlier:
    """A state that the planner may compare with; as a pin is."""

    manifest: Manifest
    outputs: tuple[tuple[str, ObjectRef], ...]
    metrics: Metrics = ()


def remember(index: Index, stage: str, key: Digest, outputs: Outputs, run: str = '') -> None:
    """``run``: the id of the run that made it, empty where unknown."""
    index.set_placed(stage, canonical_bytes([str(key), run, sorted([path, *ref.to_json()] for path, ref in outputs)]))


def placed(bench: Workbench, stage: str) -> Placed | None:
    """None where nothing is remembered."""
    value = bench.index.placed(stage)
    return _read(value) if value else None


@lru_cache(64)
def _read(value: bytes) -> Placed | None:
    """Asked for more than once of each stage that is out of date."""
    try:
        key, run, rows = json.loads(value)
        return Placed(Digest.parse(key), tuple((str(row[0]), ObjectRef.from_json(row[1:])) for row in rows), str(run))
    except (ValueError, TypeError, LookupError):  # of another version
        return None


def earlier(bench: Workbench, one: Placed) -> Earlier | None:
    """The same with its inputs; None where this cache has lost them."""
    for entry in bench.results.lookup(one.key):
        if entry.manifest is not None and dict(entry.outputs) == dict(one.outputs):
            try:
                manifest = manifests.decode(entry.manifest, bench.store.read)
            except (MissingObject, Damaged, UserError, ValueError):
                continue
            if manifest.digest == one.key:
                return Earlier(manifest, one.outputs, recorded(entry.metrics, [path for path, _ in one.outputs]))
    return None
