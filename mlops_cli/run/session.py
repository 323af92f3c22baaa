"""What a run holds open while it lasts, and the few things done with it everywhere."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.events import Event, Note
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.secrets import environment_secrets
from mlops_cli.executors.base import Executor
from mlops_cli.fingerprint.apart import Apart
from mlops_cli.fingerprint.files import Workspace
from mlops_cli.fingerprint.index import Index
from mlops_cli.fingerprint.stage import Describer
from mlops_cli.fingerprint.written import LOCAL
from mlops_cli.fsio import filesystem
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.journal import Journal
from mlops_cli.fsio.locks import LockFile
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.reading import Nearby
from mlops_cli.records.pins import Pins
from mlops_cli.run.inflight import InFlight
from mlops_cli.run.logs import RunLogs
from mlops_cli.store.local import LocalStore
from mlops_cli.store.results import Results

if TYPE_CHECKING:
    from mlops_cli.records.accounts import Tally
    from mlops_cli.run.discovered import Discovered
    from mlops_cli.run.request import Routes
    from mlops_cli.run.watching import Watch


@dataclass(frozen=True)
class Session:
    """``run``: the id.  ``overlay``: (file, key) -> value of a trial, which leaves the workspace alone.
    ``isolate``: overrides the stages' own, unless empty.  ``adopts``: what another run has begun on a host counts.
    ``watch``: what looks on while stages run.
    ``routes``: where stages go.  ``now``: seconds since 1970.  ``environ``: what stages inherit.
    ``redact``: takes secrets out of a text.  ``trees``: files -> the tree of them that is stored already.
    ``tallies``: stage -> what there is to say of it so that its cost can be told (accounting.py)."""

    run: str
    root: Root
    workspace: Workspace
    index: Index
    describer: Describer
    store: LocalStore
    results: Results
    pins: Pins
    batch: Batch
    journal: Journal
    stage_locks: LockFile
    key_locks: LockFile
    executor: Executor
    emit: Callable[[Event], None]
    now: Callable[[], float]
    environ: Mapping[str, str]
    redact: Callable[[str], str]
    routes: Routes
    origin: Mapping[str, Any] = field(default_factory=dict)
    overlay: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    isolate: str = ''
    adopts: bool = True
    watch: Watch | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    trees: dict[tuple[tuple[str, ObjectRef], ...], ObjectRef] = field(default_factory=dict)
    tallies: dict[str, Tally] = field(default_factory=dict)
    heal: Callable[[], None] = lambda: None  # undoes other runs that were killed meanwhile, if nothing of them lives

    @cached_property
    def guessed_secrets(self) -> frozenset[str]:
        """Variables that nobody declared and whose name and value say that they are secrets."""
        return frozenset(environment_secrets(self.environ, ()))

    @cached_property
    def apart(self) -> Apart:
        return Apart(self.root, self.index, self.store.objects)

    @cached_property
    def own_clock(self) -> bool:
        """Whether the times of files here are of this machine's clock."""
        return filesystem.probe(self.root.fd).type in LOCAL

    @cached_property
    def logs(self) -> RunLogs:
        """Open from the first attempt until :meth:`close`."""
        return RunLogs(self.root, self.run)

    @cached_property
    def in_flight(self) -> InFlight:
        return InFlight(self.root, self.run)

    @cached_property
    def _some_discovered(self) -> bool:
        return bool(self.results.discovered())

    def discovered(self) -> Discovered | None:
        """What audits saw; None where there was none when it was first asked for, and nobody looks on now."""
        if self.watch is None and not self._some_discovered:
            return None
        from mlops_cli.run.discovered import Discovered

        return Discovered(self.results, self.workspace)

    def close(self) -> None:
        """Lets go of what it opened itself."""
        self.logs.close()
        self.in_flight.close()

    @property
    def trial(self) -> bool:
        return bool(self.overlay)

    def tell_journal(self, record: dict[str, Any]) -> None:
        """Appends to the journal; results are taken in by several threads."""
        with self.lock:
            self.journal.append(record)

    def note(self, text: str, stage: str = '') -> None:
        self.emit(Note(text, stage))

    def held(self, path: str) -> ObjectRef | None:
        """What the workspace holds at a declared output, complete (nothing ignored)."""
        return self.workspace.ref(path, ignore=False)

    def known(self, path: str, status: os.stat_result) -> ObjectRef | None:
        return self.index.get(path, status)

    def stored(self, refs: tuple[ObjectRef, ...]) -> bool:
        return not self.store.missing(refs)

    def saved(self, refs: tuple[ObjectRef, ...]) -> bool:
        """As stored, and sound byte for byte: what is asked before the only other copy goes."""
        return not self.store.missing(refs, sure=True)

    def is_saved(self, place: str, near: Nearby) -> bool:
        """The same of what was moved to a place, as it is now."""
        content = self.apart.content(place, near)
        return content is not None and self.saved((content,))
