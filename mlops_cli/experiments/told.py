"""All that is known about one run: what was asked, on what code, what came of it and where that is now."""

from __future__ import annotations

from collections.abc import Iterable

from mlops_cli.core.classes import dataclass, replace
from mlops_cli.core.errors import UserError
from mlops_cli.core.manifest import Manifest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.experiments.edited import SOURCE_LIMIT, edited
from mlops_cli.experiments.past import open_history
from mlops_cli.experiments.points import Metrics, Point, StagePoint, recorded, run_point
from mlops_cli.git import commits
from mlops_cli.plan.facts import Facts
from mlops_cli.plan.model import Blessing, Reason
from mlops_cli.plan.reasons import reasons_for
from mlops_cli.records.costs import book_of, costs_of, says_costs
from mlops_cli.records.earlier import Earlier, before
from mlops_cli.records.kept import Keep, Kept
from mlops_cli.records.runs import Run, StageRun
from mlops_cli.run.logs import logs_of
from mlops_cli.run.outlook import facts_of
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.tree import find
from mlops_cli.usage.cost import Cost


@dataclass(frozen=True)
class StageTold:
    """``stored``: whether all it made is in this cache; None without a result.  ``log``: ``here`` (in this worktree),
    ``stored`` (with the result), or empty.  ``reasons``: how it differed from its last result before, in run ``since``.
    ``accepted``: who made this result count, the last of them.  ``suspect``: kept apart, as its code or inputs changed."""

    run: StageRun
    point: StagePoint
    stored: bool | None
    log: str
    reasons: tuple[Reason, ...] = ()
    since: str = ''
    accepted: Blessing | None = None
    suspect: bool = False


@dataclass(frozen=True)
class Told:
    """``edited``: source files that were not as the commit has them; None where that cannot be told.  ``costs``: beside each
    stage, None where it did not run; empty where nobody says what anything costs."""

    run: Run
    point: Point
    stages: tuple[StageTold, ...]
    kept: tuple[Keep, ...]
    described: commits.Described | None
    edited: tuple[str, ...] | None
    costs: tuple[Cost | None, ...] = ()


def tell(bench: Workbench, run: Run) -> Told:
    """Raises UserError for damaged pins, OSError."""
    point = run_point(bench, run)
    history = open_history(bench.root, bench.config, bench.environ)
    try:
        earlier = before(history, run.id, [one.name for one in run.stages])
    finally:
        history.database.close()
    stages = tuple(_stage(bench, run, one, point.stages[one.name], earlier.get(one.name)) for one in run.stages)
    described = commits.describe(bench.root.path, run.commit) if run.commit else None
    book = book_of(bench.config)
    costs = tuple(costs_of(run, book)) if says_costs(run, book) else ()
    return Told(run, point, stages, Kept(bench.root).of(run.id), described, edited(bench, run, point), costs)


def _stage(bench: Workbench, run: Run, one: StageRun, point: StagePoint, earlier: Earlier | None) -> StageTold:
    known = point.manifest is not None or bool(point.outputs)  # a gate that ended well made nothing that could be gone
    stored = known and not bench.store.missing(point.outputs.values()) if one.outs8 else None
    log = 'here' if logs_of(bench.root, run.id, one.name) else ''
    if not log and one.state == 'done' and any(_log_is_here(bench, point)):
        log = 'stored'
    reasons = _reasons(bench, point, earlier) if earlier is not None and one.state == 'done' else ()
    since = earlier.run.partition('-')[2] if earlier and reasons else ''
    return StageTold(one, point, stored, log, reasons, since, _accepted(bench, one), _is_suspect(bench, one))


def _accepted(bench: Workbench, one: StageRun) -> Blessing | None:
    found = [each for each in bench.accepted.of_key(one.key) if each.outs8 == one.outs8] if one.key is not None else []
    if not found:
        return None
    last = found[-1]
    return Blessing(last.who, last.host, last.when, last.reason, last.kind, last.run, differed=last.differed)


def _is_suspect(bench: Workbench, one: StageRun) -> bool:
    if one.key is None or one.state != 'failed' or not one.outs8:
        return False
    return all(entry.suspect for entry in bench.results.lookup(one.key) if entry.entry8 == one.outs8)


def _log_is_here(bench: Workbench, point: StagePoint) -> Iterable[bool]:
    if point.key is not None:
        for entry in bench.results.lookup(point.key):
            if entry.log is not None and dict(entry.outputs) == dict(point.outputs):
                yield not bench.store.missing([entry.log])


@dataclass(frozen=True)
class _Then:
    """What a stage was, as the planner compares states."""

    manifest: Manifest
    outputs: tuple[tuple[str, ObjectRef], ...]
    metrics: Metrics


def _reasons(bench: Workbench, point: StagePoint, earlier: Earlier) -> tuple[Reason, ...]:
    """Why the stage had another key than in its last result before; nothing where a manifest is not known here."""
    old = recorded(bench, StagePoint(point.stage, '', earlier.key), earlier.outs8)
    if point.manifest is None or old.manifest is None or point.key == earlier.key:
        return ()
    then = _Then(old.manifest, tuple(old.outputs.items()), old.metrics)
    return reasons_for(point.manifest, then, _facts_then(bench, point, old))


def _facts_then(bench: Workbench, new: StagePoint, old: StagePoint) -> Facts:
    def source(tree: ObjectRef | None, path: str) -> bytes | None:
        return source_bytes(bench, tree, path)

    return replace(
        facts_of(bench),
        source=lambda _key, path: source(old.sources, path),
        present=lambda path: source(new.sources, path),
        folder=lambda _path: True,
    )


def source_bytes(bench: Workbench, tree: ObjectRef | None, path: str, limit: int = SOURCE_LIMIT) -> bytes | None:
    """A kept source file; None where this cache does not have it, or it is larger than ``limit`` bytes."""
    try:
        ref = find(tree, path, bench.store.read) if tree is not None else None
        return bench.store.read(ref.digest) if ref is not None and ref.kind != 'tree' and ref.size <= limit else None
    except UserError:  # not in this cache, or damaged
        return None


def results_gone(told: Told) -> tuple[str, ...]:
    """Stages whose results this cache does not have any more."""
    return tuple(one.run.name for one in told.stages if one.stored is False)
