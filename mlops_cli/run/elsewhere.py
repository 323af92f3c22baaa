"""Results that somebody else has: looked up in a remote while a run decides, where ``cache.remote`` names one.

What is found comes into the cache, objects first, and is then as if it had always been here; so nothing that decides
or restores knows of remotes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from mlops_cli.core.digest import Digest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.records.pins import Pins
from mlops_cli.store import transfer
from mlops_cli.store.bucket import Unreachable
from mlops_cli.store.depot import Depot
from mlops_cli.store.local import LocalStore
from mlops_cli.store.results import ResultEntry, Results
from mlops_cli.store.shared_results import SharedResults
from mlops_cli.store.transfer import Told
from mlops_cli.store.tree import MalformedTree


class Elsewhere:
    """``told``: what has been brought so far.  ``warn``: told once that the remote cannot be asked; the run goes on without."""

    def __init__(
        self, pins: Pins, store: LocalStore, results: Results, depot: Depot, shared: SharedResults, warn: Callable[[str], None]
    ) -> None:
        self._pins, self._store, self._results = pins, store, results
        self._depot, self._shared, self._warn = depot, shared, warn
        self._asked: set[Digest] = set()
        self._lost = False
        self.told = Told()
        self.found = 0

    def bring(self, key: Digest) -> None:
        """What a key led to, unless something of it is here.  Pins first: whoever reviewed the commit has agreed to them.
        Raises OSError."""
        if key in self._asked or self._lost:
            return
        self._asked.add(key)
        pins = self._pins.of_key(key)
        entries = [entry for entry in self._results.lookup(key) if not entry.suspect]
        here = [*(pin.outputs for pin in pins), *(entry.outputs for entry in entries)]
        if any(not self._store.missing(ref for _, ref in outputs) for outputs in here):
            return
        try:
            if any(self._fetch(pin.outputs) for pin in pins):
                return
            for entry in sorted(self._shared.lookup(key), key=lambda one: (one.created, one.entry8)):
                if self._fetch(entry.outputs):
                    take_entry(entry, self._store, self._results, self._depot, self.told)
                    self.found += 1
                    return
        except Unreachable as error:
            self._lost = True
            self._warn(f'results are not looked up in the remote any more: {error.message}')

    def _fetch(self, outputs: Iterable[tuple[str, ObjectRef]]) -> bool:
        """Whether all of it is here now."""
        wanted = [*outputs]
        told = Told(self.told.step)
        try:
            transfer.fetch(self._store, self._depot, wanted, told)
        except MalformedTree:
            return False
        self.told.moved(told.objects, told.size)
        return not told.missing and not self._store.missing(ref for _, ref in wanted)


def take_entry(entry: ResultEntry, store: LocalStore, results: Results, depot: Depot, told: Told) -> None:
    """A result whose outputs are here, with what explains it as far as that can be had.  Raises Unreachable, OSError."""
    part = Told(told.step)
    with suppress(MalformedTree):
        transfer.fetch(store, depot, [('', ref) for ref in explaining(entry)], part)
    told.moved(part.objects, part.size)
    results.put(entry)


def explaining(entry: ResultEntry) -> tuple[ObjectRef, ...]:
    """Its log, manifest, sources, and what it consumed over time."""
    return entry.refs[len(entry.outputs):]
