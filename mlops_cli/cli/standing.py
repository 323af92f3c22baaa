"""What the status page tells beside the plan: what runs now, what git has not, which tracked data changed.  Reads; changes
nothing, and waits for nobody."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mlops_cli import git
from mlops_cli.cli.uncommitted import NOTHING, Uncommitted, recorded
from mlops_cli.cli.words import progress_words, remaining
from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass
from mlops_cli.core.clock import from_iso
from mlops_cli.core.errors import UserError
from mlops_cli.core.units import ago, show_seconds, show_size
from mlops_cli.fsio.locks import LockFile
from mlops_cli.records import data
from mlops_cli.run import live
from mlops_cli.store.tree import diff

if TYPE_CHECKING:
    from mlops_cli.core.digest import Digest
    from mlops_cli.core.refs import ObjectRef
    from mlops_cli.fsio.holders import Holder
    from mlops_cli.plan.model import Plan
    from mlops_cli.records.history import Problem
    from mlops_cli.records.runs import Run
    from mlops_cli.run.killed import Killed
    from mlops_cli.run.unpulled import Unpulled
    from mlops_cli.run.workbench import Workbench

NOT_HERE = 'not here'
NOWHERE = 'not here and not in this cache'
NO_WAY_BACK = 'what was added is not in this cache'
IN_PLACE = 'recorded in place'
COUNTED = 2_000_000  # bytes of a folder's node beyond which differences are not counted


@dataclass(frozen=True, slots=True)
class Working:
    """A stage that some command works on now.  ``since``: seconds since 1970; ``said``: how far it says it is, else the last
    line that it printed; ``run``: the run's short id, '' where it is none that tells."""

    stage: str
    since: float | None
    host: str
    pid: int
    said: str
    run: str = ''


@dataclass(frozen=True, slots=True)
class Standing:
    """``branch`` None where git has no answer, for the reason ``no_git``; empty on no branch.  ``uncommitted``: what git does
    not have as it is.  ``data``: path of tracked data -> how it differs from its record; ``old``: -> that it is older than
    it may be.  ``cosmetic``: code that was edited and means the same.
    ``unknown_code``: those of the plan's notes that are about code which could not be followed.
    ``died``: runs of which nothing is undone yet.  ``unread``: records of runs after the last one that cannot be read.
    ``unsent``: (remote, results, tracked data) that it is not known to hold, and outputs that are to stay here.
    ``folder``: the project's, where the user does not stand in it."""

    now: float
    branch: str | None = None
    commit: str = ''
    last: Run | None = None
    running: tuple[Working, ...] = ()
    uncommitted: Uncommitted = NOTHING
    data: Mapping[str, str] | None = None
    old: Mapping[str, str] | None = None
    cosmetic: tuple[str, ...] = ()
    unknown_code: Collection[str] = ()
    no_git: str = 'not in a git repository'
    died: tuple[Killed, ...] = ()
    unsaved: Collection[str] | None = None
    unread: int = 0
    unsent: tuple[str, int, tuple[str, ...], tuple[str, ...]] | None = None
    unpulled: Unpulled | None = None
    folder: str = ''


def in_git(bench: Workbench) -> tuple[git.Head | None, tuple[str, ...]]:
    """Where the repository is, and what of the records and the pipeline it does not have."""
    head = git.head(bench.root.path)
    return (head, recorded(bench)) if head is not None else (None, ())


def working(bench: Workbench, stages: Collection[str] | None = None) -> tuple[Working, ...]:
    """Stages that run now, as the runs that go on tell, and those whose lock is held by somebody else; of all stages, or of
    those named.  A stage that runs in a trial too is there twice."""
    wanted = bench.pipeline.stages if stages is None else stages
    doing = [(run, one) for run in live.running(bench) for one in run.stages if stages is None or one.stage in wanted]
    found = [_work(bench, run, one) for run, one in doing]
    names = {one.stage for one in found}
    return (*found, *(_held(bench, name, holder) for name, holder in _holders(bench, wanted) if name not in names))


def _holders(bench: Workbench, stages: Iterable[str]) -> Iterator[tuple[str, Holder | None]]:
    """(stage, who) of the locks that are taken."""
    path = bench.root.full(layout.LOCKS)
    if not os.path.exists(path):
        return
    try:
        locks = LockFile(path)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return  # somebody else's project, or a read-only disk: what runs here cannot be asked
        raise
    with locks:
        for name in stages:
            if locks.is_taken(f'stage/{name}'):
                yield name, locks.holder(f'stage/{name}')


def _work(bench: Workbench, run: live.Live, doing: live.Doing) -> Working:
    from mlops_cli.run.logs import last_line

    said = f'waits: {doing.waits}' if doing.waits else _progress(bench, doing) or last_line(bench.root, doing.log)
    return Working(doing.stage, doing.since, run.host, run.pid, said, run.short)


def _held(bench: Workbench, stage: str, holder: Holder | None) -> Working:
    from mlops_cli.run.logs import last_line, newest_log

    newest = newest_log(bench.root, stage)
    said = last_line(bench.root, newest[1]) if newest else ''
    if holder is None:
        return Working(stage, None, '', 0, said)
    return Working(stage, holder['since'], holder['host'], holder['pid'], said)


def _progress(bench: Workbench, doing: live.Doing) -> str:
    """``epoch 7 of 40, loss 0.412, about 2m05s left``."""
    if not doing.progress:
        return ''
    from mlops_cli.run import progress

    found = progress.read(bench.root, doing.stage, doing.progress, doing.since, bench.redact)
    if found is None:
        return ''
    now = time.time()
    left = remaining(found, doing.since, None, now)
    if left is None and doing.typical is not None:
        left = doing.typical - (now - doing.since)
    return ', '.join([*progress_words(found), *([f'about {show_seconds(left)} left'] if left and left >= 1 else [])])


@dataclass(frozen=True, slots=True)
class DataState:
    """Tracked data as it is here.  ``state``: ``same``, ``changed``, ``absent``.  ``text``: how it differs, in words, empty
    where it does not.  ``counts``: files of a folder that are new, changed and gone, where that is known.  ``saved``:
    whether what is recorded can be put back from this cache.  ``old``: in words, where it is older than it may be."""

    record: data.Record
    state: str
    text: str = ''
    counts: tuple[int, int, int] | None = None
    saved: bool = True
    old: str = ''

    def document(self) -> dict[str, Any]:
        new, changed, gone = self.counts or (None, None, None)
        return {
            'path': self.record.path, 'state': self.state, 'new': new, 'changed': changed, 'gone': gone, 'saved': self.saved,
            'max_age': self.record.max_age, 'checked': self.record.checked, 'overdue': bool(self.old),
        }  # fmt: skip


def data_states(bench: Workbench, now: float) -> tuple[DataState, ...]:
    """Tracked data that is not as its record says, or older than it may be.  ``now``: seconds since 1970."""
    found = (_state(bench, record, now) for record in data.records(bench.root).values())
    return tuple(one for one in found if one.text or one.old)


def data_changes(bench: Workbench) -> dict[str, str]:
    """Tracked data that is not as its record says, in words."""
    return {one.record.path: one.text for one in data_states(bench, 0.0) if one.text}


def _state(bench: Workbench, record: data.Record, now: float) -> DataState:
    old = _too_old(record, now)
    here = bench.workspace.ref(record.path)
    if here is None:
        saved = not bench.store.missing([record.ref])
        return DataState(record, 'absent', NOT_HERE if saved else _absent(record, bench.root.elsewhere), saved=saved, old=old)
    if here.identity == record.ref.identity:
        return DataState(record, 'same', old=old)
    counts, before = _differing(bench, record.ref, here)
    named = zip(counts or (), ('new', 'changed', 'gone'), strict=False)
    words = ', '.join(f'{count:,} {word}' for count, word in named if count)
    saved = not bench.store.missing(before)
    text = (words or 'changed') + (f'; {IN_PLACE}' if record.in_place else '' if saved else f'; {NO_WAY_BACK}')
    return DataState(record, 'changed', text, counts, saved, old)


def _too_old(record: data.Record, now: float) -> str:
    """``imported 40 days ago, max_age 30d``; empty where it is not."""
    due = record.due
    if due is None or now < due:
        return ''
    moment = from_iso(record.checked if 'T' in record.checked else f'{record.checked}T00:00:00Z')
    return f'{"added" if record.source is None else "looked at"} {ago(now - moment)}, max_age {record.max_age}'


def _absent(record: data.Record, elsewhere: Mapping[str, str]) -> str:
    import shlex  # little is absent

    about = f'{show_size(record.ref.size)}, {record.ref.digest.hex[:8]}…'
    if record.in_place:
        if target := elsewhere.get(record.path):
            return f'{NOWHERE}: it lies in {target}, which is not there now, or no longer linked ({about})'
        return f'{NOWHERE}: mlops import --in-place WHERE {shlex.quote(record.path)}, or mlops pull ({about})'
    way = 'mlops pull, or copy it here' if record.source is None else f'mlops update {shlex.quote(record.path)}, or mlops pull'
    return f'{NOWHERE}: {way} ({about})'


def _differing(
    bench: Workbench, before: ObjectRef, after: ObjectRef
) -> tuple[tuple[int, int, int] | None, list[ObjectRef]]:
    """Files of a folder that are new, changed and gone as far as both are known, None for others; and what it takes to go
    back."""
    if before.kind != 'tree' or after.kind != 'tree':
        return None, [before]

    def read(digest: Digest) -> bytes:
        node = bench.workspace.node(digest)
        return bench.store.read(digest) if node is None else node

    counts, gone = [0, 0, 0], []
    try:
        for _, one, two in diff(before, after, read):
            if one is not None and one.digest is not None:
                gone.append(one.ref)
            if (one is not None and one.kind == 'dir') or (two is not None and two.kind == 'dir'):
                continue  # what lies in it is counted
            counts[0 if one is None else 2 if two is None else 1] += 1
    except UserError:  # the recorded state is not in this cache
        return None, [before]
    return (counts[0], counts[1], counts[2]), gone


def unsaved_outputs(bench: Workbench, plan: Plan) -> tuple[str, ...]:
    """Outputs changed by hand that a checkout would refuse to overwrite."""
    wanted = {path: step.made[path] for step in plan.steps for path in step.changed_by_hand if path in step.made}
    if not wanted:
        return ()
    from mlops_cli.run.checkout import unsaved

    return tuple(unsaved(bench, wanted, clean=False))


def last_run(bench: Workbench) -> tuple[Run | None, tuple[Problem, ...]]:
    """The newest whose record can be read, and why that of a newer one cannot."""
    unread: list[UserError] = []
    run = next(bench.runs.newest(unread.append), None)
    if not unread:
        return run, ()
    from mlops_cli.records.history import problem_of

    return run, tuple(map(problem_of, unread))


def ended_at(run: Run) -> float:
    """Seconds since 1970."""
    return from_iso(run.started) + run.seconds
