"""Whether a push has anything to do, by one request and no record opened: the same is recorded as when the last one ended well,
and the remote holds the same packs, and the large objects by themselves.

``.mlops/local/remotes/<remote>/settled``; lost, a push looks at everything.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from mlops_cli import git
from mlops_cli.core.canonical import canonical_bytes
from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.core.layout import OBJECTS
from mlops_cli.fsio.atomic import read_file, write_file
from mlops_cli.records import data
from mlops_cli.records.pins import is_pin
from mlops_cli.run.remotes import versions_here
from mlops_cli.run.sent import name_of_data, remote_folder
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.depot import INDEX, PACK, PACKS, Depot, object_key

SCHEMA = 'mlops/settled-push/v3'
LIMIT = 1 << 20
LARGE_MOST = 10_000  # objects that are noted one by one
LONGEST = 9 * 86_400.0  # seconds; behind that the remote is told again that this clone is there


class NothingNew:
    """``tier``: under which results go."""

    def __init__(self, bench: Workbench, url: str, tier: str) -> None:
        self._bench, self._tier = bench, tier
        self._path = f'{remote_folder(url)}/settled'
        outputs = [output for stage in bench.pipeline.stages.values() for output in stage.outputs]
        self._routed = any(output.remote for output in outputs)
        self._flags = sorted(output.path for output in outputs if not output.push)

    def known(self, depot: Depot) -> dict[str, Any] | None:
        """What the last push noted, if all is as it was then: ``objects``, ``left_out``.  Raises Unreachable."""
        with suppress(OSError, UserError, ValueError):
            kept = json.loads(read_file(self._bench.root, self._path, LIMIT))
            if isinstance(kept, dict) and kept.get('schema') == SCHEMA and kept.get('recorded') == self._recorded():
                if not 0 <= time.time() - kept['when'] < LONGEST:
                    return None
                listed = [(one.key.removeprefix(f'{PACKS}/'), one.size) for one in depot.bucket.list(PACKS)]
                indexes = {name.removesuffix(INDEX) for name, _ in listed if name.endswith(INDEX)}
                packs = [(name.removesuffix(PACK), size) for name, size in listed if name.endswith(PACK)]
                same = _packs((name, size) for name, size in packs if name in indexes) == kept.get('packs')
                if same and self._has_large(depot, kept['large']):
                    return kept
        return None

    def _has_large(self, depot: Depot, large: list[list[Any]]) -> bool:
        if not large:
            return True
        there = {one.key: one.size for one in depot.bucket.list(OBJECTS)}
        return all(there.get(object_key(Digest(name))) == size for name, size in large)

    def note(self, depot: Depot, objects: int, left_out: Iterable[str]) -> None:
        """Behind a push of everything that missed nothing."""
        # Before its first commit a clone could not say whose project this is: it will, with the next push.
        head = git.head(self._bench.root.path)
        if self._routed or head is None or not head.commit:
            return
        kept = {
            'schema': SCHEMA, 'recorded': self._recorded(), 'when': int(time.time()), 'objects': objects,
            'left_out': sorted(left_out), 'packs': _packs((pack.hex, index.pack_size) for pack, index in depot.indexes.items()),
            'large': sorted([digest.hex, size] for digest, size in depot.large_known.items()),
        }  # fmt: skip
        if len(depot.large_known) > LARGE_MOST:
            return
        with suppress(OSError, UserError):
            write_file(self._bench.root, self._path, canonical_bytes(kept), 0o600, durable=False)

    def _recorded(self) -> str:
        """A digest of what there is to push, by names that name contents."""
        pins = sorted(filter(is_pin, self._bench.pins.names()))
        tracked = sorted(name_of_data(path, ref) for path, ref in data.tracked(self._bench.root).items())
        models = sorted(version.file for version in versions_here(self._bench))
        return digest_of(canonical_bytes([pins, tracked, models, self._flags, self._routed, self._tier])).hex


def _packs(found: Iterable[tuple[str, int]]) -> str:
    return digest_of(canonical_bytes([*map(list, sorted(found))])).hex
