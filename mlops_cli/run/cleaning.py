"""``mlops gc``: what of the cache nobody needs any more, as far as all projects that use it tell, and what becomes of that.

Whatever keeps from knowing what is needed is an error before anything is moved.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint.index import database_path
from mlops_cli.fingerprint.remembered import placed_values
from mlops_cli.fsio.holders import Holder
from mlops_cli.fsio.locks import LockFile, owner_alive
from mlops_cli.fsio.paths import Root
from mlops_cli.git import walking
from mlops_cli.records import roots
from mlops_cli.records.config import load_config
from mlops_cli.records.roots import Found, Roots
from mlops_cli.run.heal import opened_cache
from mlops_cli.run.workbench import Workbench
from mlops_cli.store import gc, trash, users
from mlops_cli.store.gc import Plan, Swept
from mlops_cli.store.marks import Marks, take_stock

DAY = 86_400.0
GRACE = 14 * DAY
RUNS_SECONDS = 30 * DAY  # how long the outputs of a run are kept that nobody asked to keep
LOCK = 'store'
LOCK_SECONDS = 60.0
NAMED = 5  # projects in a message
WORKSPACE, HISTORY, RUNS, OTHERS, RECENT = 'workspace', 'history', 'runs', 'other projects', 'recent results'
_LINKED = re.compile(rf'.*/{layout.OBJECTS}/([0-9a-f]{{2}})/([0-9a-f]{{62}})\Z', re.DOTALL)
Tell = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """``grace``: seconds for which all that was touched last is spared.  ``since``: seconds before now from which commits hold
    what they name, None: all do.  ``skip``: revisions whose unreadable records are passed over.  ``without``: projects that
    are about to be forgotten."""

    grace: float = GRACE
    since: float | None = None
    skip: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


@dataclass(slots=True)
class Outlook:
    """``plan``: what would go.  ``held``: for whom the rest is kept -> objects and bytes.  ``stock``: objects and bytes there
    are.  ``trash``: folders of the trash.  ``writers``: processes that write at the moment."""

    plan: Plan
    held: Mapping[str, tuple[int, int]]
    stock: tuple[int, int]
    records: int = 0
    commits: int = 0
    projects: tuple[str, ...] = ()
    writers: int = 0
    absent: int = 0
    trash: tuple[str, ...] = ()


@dataclass(slots=True)
class Done:
    """``deleted``: folders of the trash, files and bytes that are gone for good.  ``back``: files that were needed again.
    ``asides``: what is to be deleted."""

    swept: Swept = field(default_factory=Swept)
    back: int = 0
    deleted: tuple[int, int, int] = (0, 0, 0)
    asides: list[str] = field(default_factory=list)


class Cleaning:
    """``locks``: of the cache, from begin_writing.  ``tell``: told what is being looked at, and how many of it so far.

    Methods raise UserError (exit 5) for doubt, LockTimeout, OSError."""

    def __init__(self, bench: Workbench, locks: LockFile, wish: Wish, tell: Tell = lambda _what, _count: None) -> None:
        self._bench, self._locks, self._wish, self._tell = bench, locks, wish, tell
        self._cache = opened_cache(bench)

    def __enter__(self) -> Cleaning:
        return self

    def __exit__(self, *_: object) -> None:
        self._cache.close()

    @contextmanager
    def alone(self, on_wait: Callable[[Holder | None, float], None] = lambda _holder, _seconds: None) -> Iterator[None]:
        """Within, no other process begins to write into the cache."""
        with self._locks.holding(LOCK, 'exclusive', LOCK_SECONDS, on_wait):
            yield

    @property
    def marks_alone(self) -> bool:
        """Whether it has to be alone while it looks, too: what is used then may be older than the grace."""
        return self._wish.grace * 1e9 < gc.FRESH_NS

    def look(self) -> Outlook:
        """What could go, and what holds the rest."""
        now_ns = users.now_ns(self._cache)
        writers = self._writers()
        limit_ns = gc.limit(now_ns, self._wish.grace, writers)
        stock = take_stock(self._cache, lambda count: self._tell('objects', count))
        marks = Marks(self._cache, stock, lambda count: self._tell('objects that are needed', count))
        outlook = Outlook(Plan(limit_ns), {}, (len(stock.objects), sum(size for size, _ in stock.objects.values())))
        self._mark(marks, outlook, now_ns / 1e9)
        marks.holder = RECENT
        gc.mark_young(marks, stock, limit_ns)
        outlook.plan = gc.plan(marks, stock, limit_ns)
        outlook.plan.old = gc.old_folders(self._cache, now_ns, writers)
        outlook.held = {holder: (count, size) for holder, (count, size) in marks.held.items()}
        outlook.writers, outlook.absent = len(writers), marks.absent_trees
        outlook.trash = trash.folders(self._cache)
        return outlook

    def carry_out(self, outlook: Outlook) -> Done:
        """Does it; call it :meth:`alone`, and :meth:`finish` afterwards."""
        plan, writers = outlook.plan, self._writers()
        plan.limit_ns = min(plan.limit_ns, gc.limit(plan.limit_ns, 0.0, writers))
        done = Done(back=gc.bring_back(self._cache, plan))
        now_ns = users.now_ns(self._cache)
        done.swept = gc.sweep(self._cache, plan, now_ns, lambda count: self._tell('moved to the trash', count))
        old = [stamp for stamp in gc.old_folders(self._cache, now_ns, writers) if stamp in plan.old]
        done.asides = gc.take_out(self._cache, old)
        return done

    def finish(self, done: Done) -> Done:
        """Deletes what was in the trash for long enough; nobody has to wait for that."""
        files, size = gc.remove(self._cache, done.asides)
        done.deleted = len(done.asides), files, size
        return done

    def _writers(self) -> list[tuple[str, int]]:
        return list(users.writers(self._cache, owner_alive(self._locks)))

    # Roots

    def _mark(self, marks: Marks, outlook: Outlook, now: float) -> None:
        own = os.path.realpath(self._bench.root.path)
        without = {os.path.realpath(path) for path in self._wish.without}
        everybody = [one for one in users.projects(self._cache) if one.path not in without]
        _refuse_gone(everybody)
        found: dict[str, Found] = {}
        for project in everybody:
            found[project.path] = self._look_at(project, now, own)
        outlook.projects = tuple(project.path for project in everybody)
        outlook.records = sum(one.here.records + one.past.records for one in found.values())
        outlook.commits = sum(one.commits for one in found.values())
        order = sorted(found, key=lambda path: path != own)
        kept = {run for one in found.values() for run in one.here.kept | one.past.kept}
        for path in order:
            one = found[path]
            mine = path == own
            marks.holder = WORKSPACE if mine else OTHERS
            _hold(marks, one.here)
            for place in one.places:
                self._hold_place(marks, place)
            marks.holder = HISTORY if mine else OTHERS
            _hold(marks, one.past)
        for path in order:
            marks.holder = RUNS if path == own else OTHERS
            for held in (found[path].here, found[path].past):
                _hold_runs(marks, held, kept, now)

    def _look_at(self, project: users.Project, now: float, own: str) -> Found:
        path = project.path
        try:
            since = None if self._wish.since is None else now - self._wish.since
            skip = frozenset[str]()
            if self._wish.skip:
                skip = self._skipped(path, path == own)
            return roots.look(
                path, since=since, skip=skip, in_git=project.in_git, step=lambda count: self._tell('records', count)
            )
        except PermissionError as error:
            raise _unreachable(path, f'{error.filename}: {error.strerror}') from error

    def _skipped(self, path: str, own: bool) -> frozenset[str]:
        """Revisions are meant as this project has them; another one need not know them."""
        try:
            return walking.full_names(path, self._wish.skip)
        except UserError:
            if own:
                raise
            return frozenset()

    def _hold_place(self, marks: Marks, place: str) -> None:
        """What lies in a workspace: placed there by mlops, or linked into the cache."""
        with Root(place) as root:
            for value in placed_values(database_path(root, self._bench.environ)):
                marks.hold(_placed(value))
            try:
                links = 'symlink' in load_config(root, self._bench.environ).links
            except UserError:
                links = True
        for digest in linked(place, self._bench.config.cache, strict=links):
            marks.hold_tree(digest) if marks.is_tree(digest) else marks.hold_object(digest)


def _hold(marks: Marks, found: Roots) -> None:
    for digest in found.files:
        marks.hold_object(digest)
    for digest in found.trees:
        marks.hold_tree(digest)
    marks.hold_results(found.results, outputs=True)
    marks.hold_inputs(found.inputs)


def _hold_runs(marks: Marks, found: Roots, kept: set[str], now: float) -> None:
    explained: dict[str, set[str]] = {}
    whole: dict[str, set[str]] = {}
    for run_id, run in found.runs.items():
        into = whole if run_id in kept or run.ended > now - RUNS_SECONDS else explained
        for key, outs8 in run.results:
            into.setdefault(key, set()).add(outs8)
    marks.hold_results(whole, outputs=True)
    marks.hold_results(explained, outputs=False)


def _placed(value: bytes) -> list[ObjectRef]:
    """What a row says lies there; none for one of another version, which no version here relies on."""
    try:
        _key, _run, rows = json.loads(value)
        return [ObjectRef.from_json(row[1:]) for row in rows]
    except (ValueError, TypeError, LookupError):
        return []


def linked(place: str, cache: str, *, strict: bool) -> Iterator[bytes]:
    """The objects that symbolic links in a workspace lead to.  ``strict``: a folder that cannot be looked into is an error."""
    leave_out = {os.path.realpath(cache), os.path.join(os.path.realpath(place), layout.CACHE)}
    waiting = [os.path.realpath(place)]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        found = _LINKED.match(os.readlink(entry.path))
                        if found:
                            yield bytes.fromhex(found[1] + found[2])
                    elif entry.is_dir(follow_symlinks=False) and entry.name != '.git' and entry.path not in leave_out:
                        waiting.append(entry.path)
        except FileNotFoundError:
            continue
        except PermissionError as error:
            if strict:
                raise _unreachable(place, f'{folder}: {error.strerror}') from error


def _refuse_gone(everybody: Sequence[users.Project]) -> None:
    """Raises UserError (exit 5) that names all that are not there."""
    gone = [one.path for one in everybody if not os.path.isdir(os.path.join(one.path, layout.ROOT))]
    if not gone:
        return
    if len(gone) == 1:
        raise _unreachable(gone[0], 'it is not there')
    more = f' and {len(gone) - NAMED} more' if len(gone) > NAMED else ''
    raise UserError(
        f'{len(gone)} projects that used this cache are not there: {", ".join(gone[:NAMED])}{more}',
        hint='bring them back (mount their disk), or for those that are gone for good: mlops gc '
        + ' '.join(f'--forget {path}' for path in gone[:NAMED]) + more,
        exit_code=ExitCode.REFUSED,
    )


def _unreachable(path: str, why: str) -> UserError:
    return UserError(
        f'the project {path} uses this cache, and what it needs cannot be found out: {why}',
        hint=f'bring it back (mount its disk), or if it is gone for good: mlops gc --forget {path}',
        exit_code=ExitCode.REFUSED,
    )


def forget(bench: Workbench, paths: Sequence[str]) -> tuple[str, ...]:
    """Takes projects out of the list of those that use the cache; what they alone needed may go.  Raises UserError, OSError."""
    with Root(bench.config.cache) as cache:
        own = os.path.realpath(bench.root.path)
        for path in paths:
            if os.path.realpath(path) == own:
                raise UserError(f'{path} is this project, whose cache this is', hint='name another one')
            if not users.forget(cache, path):
                known = ', '.join(one.path for one in users.projects(cache) if one.path != own) or 'none but this one'
                raise UserError(f'no project at {path} uses this cache', hint=f'known are: {known}')
    return tuple(paths)


def undo(bench: Workbench, tell: Tell = lambda _what, _count: None) -> gc.Undone:
    """Puts the newest folder of the trash back.  Raises UserError, OSError."""
    with Root(bench.config.cache) as cache:
        return gc.undo(cache, lambda count: tell('put back', count))


def in_trash(bench: Workbench) -> Iterable[str]:
    """The folders of the trash, newest first."""
    with Root(bench.config.cache) as cache:
        return trash.folders(cache)
