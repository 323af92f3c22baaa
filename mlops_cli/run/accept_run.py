"""``mlops accept RUN``: results of a run that are in doubt count from now on.  Nothing is run.

In doubt is a result whose code changed while it ran, and one of several that the same inputs led to."""

from __future__ import annotations

from collections.abc import Callable

from mlops_cli.core.classes import replace
from mlops_cli.core.clock import iso
from mlops_cli.core.errors import UserError
from mlops_cli.core.events import Event
from mlops_cli.core.manifest import Manifest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.plan.facts import Facts
from mlops_cli.plan.known import Candidate, rival
from mlops_cli.plan.model import Metrics
from mlops_cli.records.metrics import recorded
from mlops_cli.records.runs import Run, StageRun
from mlops_cli.run.accept import CHOSEN, TRUSTED, Author, Done, Proposal, recordable, refused, write
from mlops_cli.run.heal import begin_writing
from mlops_cli.run.outlook import facts_of
from mlops_cli.run.workbench import Workbench
from mlops_cli.store import manifests
from mlops_cli.store.results import ResultEntry, outputs_digest


def propose_run(bench: Workbench, run: Run, reason: str = '') -> tuple[Proposal, ...]:
    """What accepting a run would record: its suspect results, and those of its results that are one of several.

    Raises UserError where there are none, unless one was accepted for this very ``reason``: then the command is given again,
    as after a kill."""
    facts = facts_of(bench)
    found = [one for row in run.stages if (one := _of_run(bench, run, row, facts)) is not None]
    if not found:
        for row in run.stages:
            last = next(reversed(bench.accepted.of_key(row.key)), None) if row.key is not None else None
            if last is not None and last.outs8 == row.outs8:
                if reason and last.reason == reason:
                    return ()
                who = last.who or 'somebody'
                raise UserError(f'run {run.short} has nothing more to accept: {who} accepted {row.name} on {last.when[:10]}')
        trial = f'mlops runs apply {run.short} takes a trial over' if run.overlay else ''
        raise UserError(
            f'run {run.short} has nothing to accept: no result of it is in doubt, none is one of several',
            hint=trial or 'to have what lies here now recorded: mlops accept STAGE --reason ...',
        )
    return tuple(found)


def _of_run(bench: Workbench, run: Run, row: StageRun, facts: Facts) -> Proposal | None:
    if row.key is None or not row.outs8:
        return None
    entries = bench.results.lookup(row.key)
    pins = bench.pins.of_key(row.key)
    entry = next((one for one in entries if one.entry8 == row.outs8 and not one.suspect), None)
    pin = next((one for one in pins if one.outs8 == row.outs8), None)
    last = next(reversed(bench.accepted.of_key(row.key)), None)
    if entry is None and pin is None:
        suspect = next((one for one in entries if one.entry8 == row.outs8 and one.suspect), None)
        return None if suspect is None else _trusted(bench, run, row.name, suspect)
    found = {one.entry8: Candidate(one.outputs, _numbers(one), False) for one in entries if not one.suspect}
    found |= {one.outs8: Candidate(tuple(sorted(one.outputs)), one.metrics, True) for one in pins}
    mine = found.pop(row.outs8)
    if not found or (last is not None and last.outputs == outputs_digest(mine.outputs)):
        return None
    manifest = pins[0].manifest if pins else _manifest(bench, row.name, entry)
    makers = {one.entry8: str(one.origin.get('run', '')) for one in entries}
    instead = tuple(
        rival(mine, other, makers.get(outs8) or facts.maker(row.key, outs8)) for outs8, other in sorted(found.items())
    )
    return Proposal(row.name, CHOSEN, manifest, mine.outputs, mine.metrics, '', (), instead, run.id, entry)


def _numbers(entry: ResultEntry) -> Metrics:
    return recorded(entry.metrics, [path for path, _ in entry.outputs])


def _trusted(bench: Workbench, run: Run, stage: str, entry: ResultEntry) -> Proposal:
    if bench.store.missing([ref for _, ref in entry.outputs]):
        raise refused(
            f'what {stage} made in run {run.short} is no longer in this cache, so it cannot be accepted',
            f'mlops run {stage} makes it again',
        )
    return Proposal(stage, TRUSTED, _manifest(bench, stage, entry), entry.outputs, _numbers(entry), run=run.id, entry=entry)


def _manifest(bench: Workbench, stage: str, entry: ResultEntry | None) -> Manifest:
    """Raises UserError where the store has lost what the key was made of."""
    if entry is None or (kept := entry.manifest) is None or (isinstance(kept, ObjectRef) and bench.store.missing([kept])):
        raise refused(f'what the key of {stage} was made of is no longer in this cache', f'mlops run {stage} makes it again')
    try:
        manifest = manifests.decode(kept, bench.store.read)
    except ValueError as error:
        raise refused(f'what the key of {stage} was made of cannot be read: {error}', 'mlops verify') from error
    if manifest.digest != entry.key:
        raise refused(f'what the store has of {stage} does not give its key', 'mlops verify')
    return manifest


def accept_run(bench: Workbench, run: Run, author: Author, emit: Callable[[Event], None]) -> tuple[Done, ...]:
    """Records what :func:`propose_run` says: nothing where the same was done before.  Raises UserError, OSError."""
    author = replace(author, reason=recordable(bench, author.reason))
    propose_run(bench, run, author.reason)
    with begin_writing(bench, emit, lambda: author.who, author.host):
        done = []
        for one in propose_run(bench, run, author.reason):
            if one.kind == TRUSTED and one.entry is not None:
                said = {'who': author.who, 'when': iso(author.now), 'reason': author.reason}
                bench.results.put(replace(one.entry, suspect=False, origin={**one.entry.origin, 'accepted': said}))
            done.append(write(bench, one, author))
        bench.batch.flush()
    return tuple(done)
