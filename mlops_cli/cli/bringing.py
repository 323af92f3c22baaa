"""What ``import`` and ``update`` do with what a source holds: progress while it comes, then its place in the workspace."""

from __future__ import annotations

import time
from typing import Any

from mlops_cli.cli.commands import checkout
from mlops_cli.cli.console import one_line
from mlops_cli.cli.progress import Progress
from mlops_cli.cli.trusting import require_source
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.units import plural, show_seconds, show_size
from mlops_cli.records import data
from mlops_cli.run import importing
from mlops_cli.run.checkout import Targets
from mlops_cli.run.origins.base import Into
from mlops_cli.run.workbench import Workbench


class Bringing:
    """``with`` it: the way into the store of what comes for one path."""

    def __init__(self, bench: Workbench, path: str) -> None:
        self._path = path
        self._begun = time.monotonic()
        self._progress = Progress(self._line)
        self.sink = importing.into(bench, self._progress.step)

    def __enter__(self) -> Into:
        self._progress.__enter__()
        return self.sink

    def __exit__(self, *details: Any) -> None:
        self._progress.__exit__(*details)

    def _line(self) -> str:
        sink, seconds = self.sink, max(0.001, time.monotonic() - self._begun)
        rate = sink.size / seconds
        of = f' of {show_size(sink.expected)}' if sink.expected else ''
        left = f', {show_seconds((sink.expected - sink.size) / rate)} left' if rate and sink.size < sink.expected else ''
        files = f'{plural(sink.files, "file")}, ' if sink.files > 1 else ''
        return f'  fetching  {one_line(self._path)}: {files}{show_size(sink.size)}{of}, {show_size(int(rate))}/s{left}'


def bring(bench: Workbench, record: data.Record, now: float) -> importing.Fetched:
    """What the source of a record holds, into the store.  Where it leads on to a place that nobody here has confirmed, that is
    asked first.  Raises UserError, OSError."""
    from mlops_cli.run.origins.base import Unconfirmed

    try:
        with Bringing(bench, record.path) as sink:
            return importing.bring(bench, record, sink, now)
    except Unconfirmed as error:
        require_source(bench.root, record.path, error.place)
    with Bringing(bench, record.path) as sink:
        return importing.bring(bench, record, sink, now)


def require_place(bench: Workbench, record: data.Record) -> None:
    """Raises UserError where no record could be written, before anything is put into the workspace."""
    del bench
    data.place_for(record.path)


def place(bench: Workbench, record: data.Record, force: bool, before: ObjectRef | None = None) -> tuple[str, ...]:
    """Into the workspace; where what stood there is kept.  ``before``: what it was when it was brought last: of a large folder
    in which few files are new or changed since, these alone are placed.  Raises UserError where that would destroy what is
    saved nowhere."""
    path, placing = record.path, checkout.Placing(bench, force)
    few = importing.few(bench, path, before, record.ref) if before is not None else {}
    if few and bench.workspace.ref(path) == before:
        kept = placing.these(Targets(few)).kept
        bench.workspace.forget(path)
        if bench.workspace.ref(path) == record.ref:
            return kept
    return placing.these(Targets({path: record.ref})).kept
