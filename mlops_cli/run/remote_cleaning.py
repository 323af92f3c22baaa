"""``mlops gc --remote``: what of a remote nobody needs, as far as this clone's history and what all clones have said tell.

Whatever keeps from knowing what is needed is an error before anything is marked or deleted.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from mlops_cli import git
from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.core.layout import RESULTS
from mlops_cli.fsio.atomic import read_file, write_file
from mlops_cli.git import elsewhere, walking
from mlops_cli.records import data, roots
from mlops_cli.run.elsewhere import explaining
from mlops_cli.run.remotes import recorded_here, results_here
from mlops_cli.run.sent import remote_folder
from mlops_cli.run.workbench import Workbench
from mlops_cli.store import remote_gc
from mlops_cli.store.bucket import Absent
from mlops_cli.store.depot import Depot
from mlops_cli.store.remote_gc import Live, Plan
from mlops_cli.store.results import SIZE_LIMIT, ResultEntry, decode


@dataclass(slots=True)
class Outlook:
    """``plan``: what could go.  ``marked``: when it was marked before, by the remote's clock, or None.  ``clones``: that have
    said what they rely on; ``old``: that are not believed any more.  ``absent``: folders whose list is nowhere."""

    plan: Plan
    now: float
    marked: tuple[float, Mapping[str, float]] | None
    clones: int
    old: int
    absent: int
    commits: int

    def ripe(self, wait: float) -> bool:
        """Whether what was marked may be deleted."""
        return self.marked is not None and self.now - self.marked[0] >= wait


def project_of(bench: Workbench) -> dict[str, Any]:
    """What tells this project from others.  Raises UserError where git does not say."""
    top = git.top(bench.root.path)
    commits = elsewhere.first_commits(top) if top else []
    if top is None or not commits:
        raise walking.doubt(
            f'{bench.root.path} has no commits: what others need cannot be known', 'commit what is recorded first'
        )
    folder = os.path.relpath(os.path.realpath(bench.root.path), os.path.realpath(top))
    return {'commits': commits, 'folder': folder}


def announce(bench: Workbench, depot: Depot, url: str) -> None:
    """Before a push: say in the remote what this clone relies on there.  Raises UserError, Unreachable."""
    refs = [ref for _, ref in recorded_here(bench)]
    refs += [ref for entry in results_here(bench) for ref in explaining(entry)]
    try:
        project = project_of(bench)
    except UserError:
        project = {'commits': [], 'folder': ''}  # not yet under git: nobody can clean there until it is
    content = remote_gc.encode_roots(project, refs)
    path = f'{remote_folder(url)}/said'
    clone, last = '', b''
    with suppress(OSError, UserError):
        clone, _, said = read_file(bench.root, path, 1 << 10).decode().partition(' ')
        last = said.encode()
    clone = clone if len(clone) == 32 and clone.isalnum() else secrets.token_hex(16)
    now = digest_of(content).hex.encode()
    remote_gc.announce(depot.bucket, clone, content, known=last == now)
    if last != now:
        with suppress(OSError, UserError):
            write_file(bench.root, path, f'{clone} {now.decode()}'.encode(), 0o600, durable=False)


def look(bench: Workbench, depot: Depot, grace: float, tell: Callable[[str, int], None]) -> Outlook:
    """What could go.  Raises UserError (exit 5) for doubt, (exit 4) for a git remote that cannot be asked; Unreachable."""
    project = project_of(bench)
    top = git.top(bench.root.path)
    assert top is not None
    walking.refuse_incomplete(top)
    unknown = elsewhere.unknown_tips(top, {*walking.commits(top)})
    if unknown:
        names = ', '.join(f'{ref} of {remote}' for remote, ref in unknown[:3])
        raise walking.doubt(
            f'this clone does not know {names}' + (f' and {len(unknown) - 3} more' if len(unknown) > 3 else ''),
            'git fetch --all --tags, then again: what they record is needed, too',
        )
    now = remote_gc.clock(depot.bucket, secrets.token_hex(8))
    before = now - grace
    found = roots.look(bench.root.path, in_git=True, step=lambda count: tell('records', count))
    said, clones, old = remote_gc.other_roots(depot.bucket, project, now)
    refs: list[tuple[bool, Digest]] = [*said]
    refs += [(ref.kind == 'tree', ref.digest) for _, ref in recorded_here(bench)]
    refs += [(ref.kind == 'tree', ref.digest) for ref in data.tracked(bench.root).values()]
    wanted: dict[str, set[str]] = {}
    for part in (found.here, found.past):
        refs += [(False, _digest(name)) for name in part.files]
        refs += [(True, _digest(name)) for name in part.trees]
        for key, outs in part.results.items():
            wanted.setdefault(key, set()).update(outs)
        for run in part.runs.values():
            for key, outs8 in run.results:
                wanted.setdefault(key, set()).add(outs8)
    needed: dict[str, bool] = {}
    for listed in depot.bucket.list(RESULTS):
        tell('results', len(needed))
        key, outs8 = _named(listed.key)
        young = listed.changed >= before
        needed[listed.key] = young or outs8 in wanted.get(key, ())
        if needed[listed.key] and listed.size <= SIZE_LIMIT and (entry := _entry(depot, listed.key)) is not None:
            refs += [(ref.kind == 'tree', ref.digest) for ref in entry.refs]
    live = Live()
    remote_gc.expand(depot, bench.store, refs, live)
    remote_gc.hold_young(depot, bench.store, live, before)
    tell('objects that are needed', len(live.objects))
    plan = remote_gc.plan(depot, live, needed, before)
    marked = remote_gc.marked(depot.bucket)
    return Outlook(plan, now, marked, clones, old, live.absent, found.commits)


def _digest(name: bytes) -> Digest:
    return Digest(name.hex())


def _named(key: str) -> tuple[str, str]:
    """(the key as records have it, first digits of the outputs) of a result's place."""
    parts = key.removesuffix('.json').rsplit('/', 3)
    return (parts[1] + parts[2], parts[3]) if len(parts) == 4 else ('', '')


def _entry(depot: Depot, key: str) -> ResultEntry | None:
    with suppress(Absent, ValueError):
        return decode(depot.bucket.get(key))
    return None


def carry_out(
    bench: Workbench, depot: Depot, grace: float, wait: float, tell: Callable[[str, int], None]
) -> tuple[Outlook, Plan]:
    """Delete what was marked long enough ago and may still go; looks again for that, as others may have pushed meanwhile.

    Raises as look."""
    nonce = secrets.token_hex(16)
    remote_gc.begin_sweep(depot.bucket, nonce, remote_gc.clock(depot.bucket, secrets.token_hex(8)))
    try:
        depot.look_again()
        outlook = look(bench, depot, grace, tell)
        if not outlook.ripe(wait) or outlook.marked is None:
            return outlook, Plan()
        done = remote_gc.sweep(depot, outlook.plan, outlook.marked[1], lambda count: tell('packs deleted', count))
        depot.bucket.delete([remote_gc.MARK])
        return outlook, done
    finally:
        remote_gc.end_sweep(depot.bucket)
