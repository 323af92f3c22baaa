"""``mlops logs``."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import IO, Annotated, Any

import typer

from mlops_cli.cli import exits, options
from mlops_cli.cli.console import one_line, out, plain, print_json
from mlops_cli.cli.standing import working
from mlops_cli.cli.wiring import output_words, workbench
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import UserError
from mlops_cli.plan.select import matching
from mlops_cli.records.runs import Run
from mlops_cli.run.logs import is_going_on, logs_of, newest_log, runs_with_logs
from mlops_cli.run.workbench import Workbench

EXITS = exits.line()
PIECE = 1 << 16  # bytes of a line that are held at once
PAUSE = 0.2  # seconds between looks at a log that grows


@dataclass(frozen=True, slots=True)
class Log:
    """What one attempt of a stage printed.  ``place``: where it is, for people; ``open``: its bytes."""

    stage: str
    run: str
    place: str
    open: Callable[[], IO[bytes]]


def command(
    stage: Annotated[str, typer.Argument(metavar='STAGE', help='A stage, an instance, or a glob.')],
    run: Annotated[
        str, typer.Option('--run', metavar='ID', help='Of this run. Default: the last one in which the stage ran.')
    ] = '',
    lines: Annotated[
        int, typer.Option('--lines', '-n', metavar='N', min=0, show_default=False, help='Only the last N lines.')
    ] = 0,
    follow: Annotated[bool, typer.Option('--follow', '-f', help='Go on while the stage runs.')] = False,
    raw: Annotated[bool, typer.Option('--raw', help='The bytes as they came, control characters too.')] = False,
    json: options.Json = False,
) -> int:
    """What a stage printed, both streams, as it came; made safe for terminals.

    Example:  mlops logs train@forest-2 --lines 50
    """
    with workbench() as bench:
        names = matching(bench.pipeline, *output_words(bench, [stage]))
        logs = [log for name in names for log in find_logs(bench, name, run)]
        if not logs:
            raise _nothing(bench, names, run)
        if json:
            print_json({'schema': 'mlops/logs/v1', 'rows': [_document(log, lines) for log in logs]})
            return 0
        for number, log in enumerate(logs):
            if len(logs) > 1:
                out(('' if not number else '\n') + f'==> {one_line(log.stage)}, run {log.run.partition("-")[2]} <==')
            following = follow and log is logs[-1] and is_going_on(bench.root, log.run)
            with log.open() as file:
                _print(file, lines, raw, hold=following)
                if following:
                    _follow(bench, log, file, raw)
    return 0


def find_logs(bench: Workbench, stage: str, run: str) -> list[Log]:
    """The files of this machine, an attempt each; else the copy in the store.  Raises UserError for an unknown run."""
    wanted = _run_id(bench, run) if run else ''
    if not run and (newest := newest_log(bench.root, stage)):
        wanted = newest[0]
    here = [_file(bench, stage, wanted, path) for path in logs_of(bench.root, wanted, stage)] if wanted else []
    if here:
        return here if run else here[-1:]
    runs: Iterable[Run] = [bench.runs.find(run)] if run else bench.runs.newest()
    stored = (log for one in runs if (log := _stored(bench, stage, one)) is not None)
    return list(islice(stored, 1))


def _run_id(bench: Workbench, text: str) -> str:
    """A run with logs here may not have a record yet: it still goes on."""
    known = [one for one in runs_with_logs(bench.root) if text in (one, one.partition('-')[2])]
    return known[0] if len(known) == 1 else bench.runs.find(text).id


def _file(bench: Workbench, stage: str, run: str, path: str) -> Log:
    return Log(stage, run, path, lambda: open(bench.root.open(path, os.O_RDONLY), 'rb'))


def _stored(bench: Workbench, stage: str, run: Run) -> Log | None:
    row = next((row for row in run.stages if row.name == stage and row.key and row.state == 'done'), None)
    if row is None or row.key is None:
        return None
    for entry in bench.results.lookup(row.key):
        if entry.entry8 == row.outs8 and entry.log is not None and not bench.store.missing([entry.log]):
            return _object(bench, stage, run.id, entry.log.digest)
    return None


def _object(bench: Workbench, stage: str, run: str, digest: Digest) -> Log:
    return Log(stage, run, str(digest), lambda: open(bench.store.open(digest)[0], 'rb'))


def _nothing(bench: Workbench, names: tuple[str, ...], run: str) -> UserError:
    what = one_line(names[0]) if len(names) == 1 else f'any of {len(names)} stages'
    hint = 'logs are kept on the machine that ran the stage, and in the store with its result'
    if run:
        return UserError(f'no log of {what} in run {run}', hint=f'mlops runs show {run} tells what ran then')
    return UserError(f'no log of {what}', hint='it has not run yet: mlops run' if not any(bench.runs.ids()) else hint)


def shown(file: IO[bytes], *, hold: bool = False) -> Iterator[str]:
    """Lines made safe, of a log of any size; of a line drawn again and again, as progress bars do, the last drawing.

    ``hold``: leave a last line that has no end yet for the next time."""
    carried, begin = '', file.tell() if hold else 0
    while piece := file.readline(PIECE):
        text = piece.decode('utf-8', 'replace')
        whole = text.endswith('\n')
        drawn = text.rstrip('\r\n') if whole else text
        last = drawn.rpartition('\r')[2] if '\r' in drawn else carried + drawn
        if whole or len(last) >= PIECE:
            yield plain(last)
            carried, begin = '', file.tell() if hold else 0
        else:
            carried = last
    if carried and hold:
        file.seek(begin)
    elif carried:
        yield plain(carried)


def _print(file: IO[bytes], lines: int, raw: bool, *, hold: bool = False) -> None:
    if raw and sys.stdout is not None:
        sys.stdout.flush()
        for part in deque(file, lines) if lines else iter(lambda: file.read(PIECE), b''):
            sys.stdout.buffer.write(part)
    else:
        for line in deque(shown(file, hold=hold), lines) if lines else shown(file, hold=hold):
            out(line)
    if sys.stdout is not None:
        sys.stdout.flush()


def _follow(bench: Workbench, log: Log, file: IO[bytes], raw: bool) -> None:
    """Goes on until the stage or the run has ended; a further attempt has a log of its own, which is followed too."""
    seen, was_held = len(logs_of(bench.root, log.run, log.stage)), False
    while True:
        # Asked before it is read, so that what was printed last is not missed.
        held = bool(working(bench, (log.stage,)))
        going_on = is_going_on(bench.root, log.run) and (held or not was_held)
        _print(file, 0, raw, hold=going_on)
        was_held |= held
        attempts = logs_of(bench.root, log.run, log.stage)
        if len(attempts) > seen:
            out(f'==> attempt {seen + 1} <==')
            with _file(bench, log.stage, log.run, attempts[seen]).open() as further:
                _follow(bench, log, further, raw)
            return
        if not going_on:
            return
        time.sleep(PAUSE)


def _document(log: Log, lines: int) -> dict[str, Any]:
    with log.open() as file:
        found = list(deque(shown(file), lines) if lines else shown(file))
    return {'stage': log.stage, 'run': log.run, 'place': log.place, 'lines': found}
