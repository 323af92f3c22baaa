"""What ``push``, ``fetch`` and ``pull`` share: the remote that is meant, what is told while bytes travel, and afterwards."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Protocol

from mlops_cli.cli import context, options
from mlops_cli.cli.console import Line, one_line, out, print_json
from mlops_cli.cli.progress import Progress
from mlops_cli.cli.trusting import require_confirmed
from mlops_cli.cli.wiring import output_words
from mlops_cli.core.errors import ExitCode
from mlops_cli.core.units import plural, show_seconds, show_size
from mlops_cli.records.config import load_settings
from mlops_cli.run.named import named_paths
from mlops_cli.run.remotes import KeptIndexes, chosen
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.depot import Depot
from mlops_cli.store.transfer import Told

RemoteName = Annotated[
    str,
    options.Option('--remote', '-r', metavar='REMOTE', help='Which remote. Default: the only one, or the one called origin.'),
]
Paths = Annotated[
    list[str] | None, options.Argument(metavar='[PATH|STAGE]...', help='Outputs, tracked data or stages. Default: all.')
]


def named(bench: Workbench, paths: Sequence[str] | None) -> list[str] | None:
    """What words typed where the user stands mean as paths; None: all.  Raises UserError."""
    return named_paths(bench, output_words(bench, paths or ()))


@contextmanager
def depot_of(bench: Workbench, name: str) -> Iterator[tuple[str, Depot]]:
    """(the remote's name, what is in it).  Nothing is asked of it yet.  Raises UserError."""
    name = chosen(bench.config.remotes, name)
    require_confirmed(bench.root, load_settings(bench.root, os.environ)[f'remotes.{name}'])
    remote = bench.config.remotes[name]
    from mlops_cli.store.remote import open_bucket

    depot = Depot(open_bucket(remote.url, remote.python), KeptIndexes(bench.root, remote.url))
    try:
        yield name, depot
    finally:
        depot.close()


class Transfer:
    """One of them: ``with`` it, ``told`` is what the transfer is given.  ``doing``, ``done``: ``pushing``, ``pushed``."""

    def __init__(self, doing: str, done: str, name: str, depot: Depot) -> None:
        self.doing, self.done, self.name, self.where = doing, done, name, depot.where
        self._begun = time.monotonic()
        self.seconds = 0.0
        self.told = Told()
        self._progress = Progress(self._line)
        self.told.step = self._progress.step

    def __enter__(self) -> Told:
        self._progress.__enter__()
        return self.told

    def __exit__(self, *details: Any) -> None:
        self._progress.__exit__(*details)
        self.seconds = time.monotonic() - self._begun

    def _line(self) -> str:
        told, seconds = self.told, max(0.001, time.monotonic() - self._begun)
        rate = told.size / seconds
        left = f', {show_seconds((told.expected - told.size) / rate)} left' if rate and told.size < told.expected else ''
        of = f' of {show_size(told.expected)}' if told.expected else ''
        return f'  {self.doing:<9} {show_size(told.size)}{of}, {show_size(int(rate))}/s{left}'

    def document(self, schema: str) -> dict[str, Any]:
        told = self.told
        return {
            'schema': schema, 'remote': self.name, 'url': self.where, 'objects': told.wanted, 'moved': told.objects,
            'bytes': told.size, 'seconds': round(self.seconds, 3), 'missing': self.missing(),
        }  # fmt: skip

    def missing(self) -> list[dict[str, Any]]:
        """Path -> how many objects of it are neither here nor there."""
        counts: dict[str, int] = {}
        for path in self.told.missing.values():
            counts[path] = counts.get(path, 0) + 1
        return [{'path': path, 'objects': count} for path, count in sorted(counts.items())]

    def tell(self, hint: str) -> None:
        """``hint``: what helps where something is missing."""
        told = self.told
        rest = told.wanted - told.objects - len(told.missing)
        there = f'; {plural(rest, "object")} {"was" if rest == 1 else "were"} there already' if rest > 0 else ''
        if told.objects and not context.current.quiet:
            rate = f', {show_size(int(told.size / max(0.001, self.seconds)))}/s' if self.seconds > 1 else ''
            line = f'{plural(told.objects, "object")}, {show_size(told.size)} in {show_seconds(self.seconds)}{rate}{there}'
            out(Line(f'  {self.done:<9} {line}', 'done'))
        for row in self.missing():
            what = f'{plural(row["objects"], "object")} neither here nor in {self.name}, or damaged'
            out(Line(f'  {"missing":<9} {one_line(row["path"])}: {what}', 'failed'))
        if told.missing:
            out(hint)
        elif not told.objects and not context.current.quiet:
            out(f'Nothing to do: {plural(told.wanted, "object")}, all there already.')


def code_of(transfer: Transfer) -> ExitCode:
    return ExitCode.FAILED if transfer.told.missing else ExitCode.DONE


class Further(Protocol):
    """What else there is to tell."""

    def document(self) -> dict[str, Any]: ...
    def tell(self) -> None: ...


def tell(transfer: Transfer, schema: str, hint: str, json: bool, *further: Further) -> None:
    if json:
        document = transfer.document(schema)
        for one in further:
            document |= one.document()
        print_json(document)
        return
    transfer.tell(hint)
    for one in further:
        one.tell()
