"""What every command does before it writes: makes its folders, and heals what killed commands left."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from mlops_cli import git
from mlops_cli.core import layout
from mlops_cli.core.clock import check_time
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.events import Event, Note
from mlops_cli.fsio.holders import Holder
from mlops_cli.fsio.locks import LockFile, describe, hold_owner, owner_alive
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.temporaries import owner_in, sweep_temporaries
from mlops_cli.records.files import prepare_folders
from mlops_cli.records.metrics import recorded
from mlops_cli.records.runs import USAGE, Run, StageRun
from mlops_cli.run.recover import Recovered, Undone, recover
from mlops_cli.run.workbench import Workbench
from mlops_cli.store import users
from mlops_cli.store.results import ResultEntry

if TYPE_CHECKING:
    from mlops_cli.records.accounts import Account

OURS = (layout.LOCAL, layout.CACHE)
NAMED = 3  # paths of a stage
TOLD_SECONDS = 0.3  # of waiting, until that is told
WAIT_SECONDS = 60.0  # for gc, which needs the cache for itself for a moment


@contextmanager
def begin_writing(
    bench: Workbench,
    emit: Callable[[Event], None],
    who: Callable[[], str],
    host: str,
    allowed: Callable[[Undone], None] = lambda _: None,
    go_on: Callable[[], None] = lambda: None,
    command: str = 'mlops',
) -> Iterator[LockFile]:
    """Within, the locks of the cache, open: this process's temporaries are safe from others' sweeps, and what it relies on in
    the cache from gc, which also knows this project from now on.

    ``allowed``: called for each stage that was put back, to raise where the command may not go on after that.  ``go_on``:
    called while it is waited for what killed runs left running, to raise where the command was asked to stop.  ``command``: for
    those who wait for it.

    Undoes what killed commands left in flight, writes the run records they could not write, removes their temporaries.
    Raises UserError, also while gc cleans up for longer than a minute, OSError."""
    prepare_folders(bench.root)
    # By its folder, not by its path: a link could come in its place meanwhile.
    with (
        LockFile(layout.CACHE_LOCKS, root=bench.store.root, command=command) as locks,
        _using(bench, locks, emit),
    ):
        _heal(bench, locks, emit, who, host, allowed, go_on)
        yield locks


def _heal(
    bench: Workbench,
    locks: LockFile,
    emit: Callable[[Event], None],
    who: Callable[[], str],
    host: str,
    allowed: Callable[[Undone], None],
    go_on: Callable[[], None],
) -> None:
    told: set[str] = set()

    def waiting(run: str, seconds: float) -> None:
        go_on()
        if seconds >= TOLD_SECONDS and run not in told:
            told.add(run)
            emit(Note(f'run {run.partition("-")[2]} was killed here; waiting until what it left running has ended'))

    recovered = _recover(bench, emit, who, host, waiting)
    cache = bench.store.root
    for folder in (layout.TEMPORARY, layout.PROJECTS):
        if cache.stat(folder) is not None:
            sweep_temporaries(cache, owner_alive(locks), folder)
    for one in recovered.undone:
        allowed(one)


def tidy(bench: Workbench) -> None:
    """Removes the temporaries of killed commands from the project and the cache, as far as that works: for who otherwise only
    reads."""
    with suppress(OSError, UserError):
        if bench.root.stat(layout.LOCAL) is not None:
            sweep_temporaries(bench.root, rel=layout.LOCAL)
    with suppress(OSError, UserError), opened_cache(bench) as cache:
        if cache.stat(layout.TEMPORARY) is None or not any(owner_in(one.name) for one in cache.scandir(layout.TEMPORARY)):
            return
        with LockFile(layout.CACHE_LOCKS, root=cache) as locks:
            sweep_temporaries(cache, owner_alive(locks), layout.TEMPORARY)


def opened_cache(bench: Workbench) -> Root:
    """Its folder, if it is there, which the caller closes; the project's own is not looked for behind a link.  Raises OSError,
    UserError."""
    own = os.path.join(bench.root.path, layout.CACHE)
    return bench.root.sub(layout.CACHE) if bench.config.cache == own else Root(bench.config.cache)


def heal_meanwhile(bench: Workbench, emit: Callable[[Event], None], who: Callable[[], str], host: str) -> None:
    """The same of runs that were killed since this command began, without waiting for any.  Raises UserError, OSError."""
    _recover(bench, emit, who, host, None)


def _recover(
    bench: Workbench,
    emit: Callable[[Event], None],
    who: Callable[[], str],
    host: str,
    waiting: Callable[[str, float], None] | None,
) -> Recovered:
    def record(records: tuple[dict[str, Any], ...]) -> None:
        _record_killed(bench, records, who(), host)

    recovered = recover(bench.root, record, lambda: _refuse_foreign(bench), waiting)
    for one in recovered.undone:
        emit(Note(f'run {one.short} was killed here; the outputs from before it are back{whereabouts(one)}', one.stage))
    if recovered.runs:
        bench.workspace.forget()
    return recovered


@contextmanager
def _using(bench: Workbench, locks: LockFile, emit: Callable[[Event], None]) -> Iterator[None]:
    """Before anything in the cache is looked at, until nothing in it is needed.  Raises LockTimeout, OSError."""

    def on_wait(holder: Holder | None, _seconds: float) -> None:
        emit(Note(f'waiting for {describe(holder)}, which cleans the cache up'))

    with ExitStack() as stack:
        cache = bench.store.root
        with locks.holding('store', 'shared', WAIT_SECONDS, on_wait, noted=False):  # for a moment: who cleans up stays noted
            hold_owner(locks)
            stack.callback(users.end, bench.config.cache, users.begin(cache))
            users.register(cache, bench.root.path, lambda: git.has_repository(bench.root.path))
        yield


def whereabouts(one: Undone) -> str:
    """``; what stood at model.bin is in .mlops/local/failed/...``, as far as there was anything."""
    places = [f'; what stood at {path} is now {place}' for path, place in one.kept.items()]
    more = f'; so are {len(places) - NAMED} more' if len(places) > NAMED else ''
    return ''.join(places[:NAMED]) + more


def _refuse_foreign(bench: Workbench) -> None:
    """A journal that came with a branch could have our files moved about."""
    if tracked := git.tracked(bench.root.path, OURS):
        raise UserError(
            f'git tracks {tracked[0]}, which only this machine may write',
            hint=f'git rm -r --cached {OURS[0]} {OURS[1]}, and ask who committed it',
            exit_code=ExitCode.REFUSED,
        )


def _record_killed(bench: Workbench, records: Sequence[Mapping[str, Any]], who: str, host: str) -> None:
    first = next((record for record in records if record.get('do') == 'run'), None)
    if first is None or 'started' not in first or any(record.get('do') == 'recorded' for record in records):
        return
    try:
        started = check_time(first['started'])
    except ValueError:
        return  # nobody could read the record
    begun = {r['attempt']: r for r in records if r.get('do') == 'begin' and r.get('kind') == 'run'}
    ended = {r['attempt']: str(r['key']) for r in records if r.get('do') == 'end' and r.get('key')}
    entries = {attempt: _result(bench, key, str(first['run'])) for attempt, key in ended.items()}
    last = {record['stage']: attempt for attempt, record in begun.items()}  # a record names a stage once
    stages = tuple(_stage_run(name, entries.get(attempt)) for name, attempt in last.items())
    if not stages:
        return
    overlay, left_out = _values(first.get('set')), first.get('values_left_out')
    numbers = tuple(
        (begun[attempt]['stage'], *number)
        for attempt, entry in entries.items()
        if overlay and entry is not None and attempt in begun
        for number in recorded(entry.metrics, dict(entry.outputs))
    )
    run = Run(
        first['run'],
        started,
        0.0,
        'killed',
        stages,
        command=tuple(map(str, first.get('command', ()))),
        who=str(first.get('who', who)),
        host=str(first.get('host', host)),
        commit=str(first.get('commit', '')),
        branch=str(first.get('branch', '')),
        overlay=overlay,
        metrics=numbers,
        values=_values(first['values']) if 'values' in first else None,
        values_left_out=left_out if isinstance(left_out, int) else 0,
        account=_account([(begun[attempt], entries.get(attempt)) for attempt in last.values()]),
    )
    bench.runs.add(run, bench.batch)
    bench.batch.flush()  # the journal that told of it goes next


def _account(stages: Sequence[tuple[Mapping[str, Any], ResultEntry | None]]) -> Account | None:
    """Of each stage what the journal and its result say.  What those spent that have no result is not known."""
    if not any(record.get('place') or (entry is not None and entry.usage.get('spent')) for record, entry in stages):
        return None
    from mlops_cli.records import accounts

    rows: list[list[Any]] = []
    shares: list[list[Any]] = []
    spent: list[list[Any]] = []
    for position, (record, entry) in enumerate(stages):
        rows += [[*record['place'], [position]]] if isinstance(record.get('place'), list) else []
        shares += [[record['gpu_share'], [position]]] if 'gpu_share' in record else []
        told = entry.usage.get('spent') if entry is not None else None
        spent += [[position, *row] for row in told if isinstance(row, list)] if isinstance(told, list) else []
    try:
        return accounts.read({'places': rows, 'gpu_shares': shares, 'spent': spent}, len(stages))
    except ValueError:  # written by another version
        return None


def _values(rows: Any) -> tuple[tuple[str, str, Any], ...]:
    """Parameters, as the journal has them; none in a journal of a version that did not write it."""
    if not isinstance(rows, list):
        return ()
    return tuple((str(row[0]), str(row[1]), row[2]) for row in rows if isinstance(row, list) and len(row) == 3)


def _result(bench: Workbench, key: str, run: str) -> ResultEntry | None:
    """What a stage of that run had stored before the kill; of several results of one key its own, if it is one of them."""
    try:
        found = bench.results.lookup(Digest.parse(key))
    except ValueError:
        return None
    sound = [entry for entry in found if not entry.suspect]
    return min(sound, key=lambda entry: (entry.origin.get('run') != run, entry.created), default=None)


def _stage_run(stage: str, entry: ResultEntry | None) -> StageRun:
    if entry is None:  # or it ended well, but its result was not durable yet
        return StageRun(stage, 'interrupted', None, '', 0.0)
    usage = {name: value for name, value in entry.usage.items() if name in USAGE and isinstance(value, int | float)}
    return StageRun(stage, 'done', entry.key, entry.entry8, entry.seconds, 0, usage)
