"""All that is known about one run: what was asked, on what code, what came of it and where that is now."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from mlops_cli.core.classes import dataclass, replace
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import UserError
from mlops_cli.core.manifest import Manifest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.experiments.past import open_history
from mlops_cli.experiments.points import Metrics, Point, StagePoint, recorded, run_point
from mlops_cli.fingerprint.pyast import meaning
from mlops_cli.git import commits
from mlops_cli.plan.facts import Facts
from mlops_cli.plan.model import Blessing, Reason
from mlops_cli.plan.reasons import reasons_for
from mlops_cli.records.earlier import Earlier, before
from mlops_cli.records.kept import Keep, Kept
from mlops_cli.records.runs import Run, StageRun
from mlops_cli.run.logs import logs_of
from mlops_cli.run.outlook import facts_of
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.tree import find, walk

SOURCE_LIMIT = 4 << 20  # bytes of a source file that is compared
FILES = 2000  # source files that are compared


@dataclass(frozen=True)
class StageTold:
    """``stored``: whether all it made is in this cache; None without a result.  ``log``: ``here`` (in this worktree),
    ``stored`` (with the result), or empty.  ``reasons``: how it differed from its last result before, in run ``since``.
    ``accepted``: who made this result count, the last of them.  ``suspect``: kept apart, as its code changed while it ran."""

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
    """``edited``: source files that were not as the commit has them; None where that cannot be told."""

    run: Run
    point: Point
    stages: tuple[StageTold, ...]
    kept: tuple[Keep, ...]
    described: commits.Described | None
    edited: tuple[str, ...] | None


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
    return Told(run, point, stages, Kept(bench.root).of(run.id), described, edited(bench, run, point))


def _stage(bench: Workbench, run: Run, one: StageRun, point: StagePoint, earlier: Earlier | None) -> StageTold:
    stored = not bench.store.missing(point.outputs.values()) if one.outs8 and point.outputs else False if one.outs8 else None
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


def sources_of(bench: Workbench, stages: Iterable[StagePoint]) -> dict[str, ObjectRef]:
    """Path -> content of the source files that these stages of a run are known to have used, as far as they are here.

    A result that was there already kept the files of its own time: of these only the code in its key is believed."""
    found: dict[str, ObjectRef] = {}
    for stage in sorted(stages, key=lambda one: (one.state == 'done', str(one.origin.get('run', '')))):
        if stage.sources is None:
            continue
        mine = {entry.name for entry in stage.manifest.entries if entry.kind == 'code'} if stage.manifest else set()
        try:
            for path, entry in walk(stage.sources, bench.store.read):
                if entry.kind in ('file', 'exec') and (stage.state == 'done' or path in mine):
                    found[path] = entry.ref
        except UserError:  # not in this cache, or damaged
            continue
    return found


def edited(bench: Workbench, run: Run, point: Point) -> tuple[str, ...] | None:
    """Source files of a run that were not as its commit has them; None where commit or sources are not here."""
    if not run.commit:
        return None
    sources = sources_of(bench, point.stages.values())
    if not sources:
        return None
    blobs = commits.blobs(bench.root.path, run.commit, sorted(sources)[:FILES])
    if blobs is None:
        return None
    return tuple(path for path in sorted(sources)[:FILES] if not _is_blob(bench, sources[path], blobs.get(path)))


def same_meaning(bench: Workbench, commit: str, code: Mapping[str, Digest]) -> frozenset[str]:
    """Python files that a commit has with other bytes, but as they were when they went into a key: their comments or their
    formatting differ.  ``code``: path -> what the key says of it."""
    paths = [path for path in code if path.endswith('.py')][:FILES]
    blobs = commits.blobs(bench.root.path, commit, paths) if paths else None
    if not blobs:
        return frozenset()
    with commits.reading(bench.root.path) as read:
        sources = {path: read(blobs[path], SOURCE_LIMIT) for path in paths if path in blobs}
    return frozenset(
        path
        for path, source in sources.items()
        if source is not None and any(meaning(source, docstrings=kept) == code[path] for kept in (True, False))
    )


def _is_blob(bench: Workbench, ref: ObjectRef, blob: str | None) -> bool:
    """Whether git has this content, line ends aside.  What cannot be compared counts as equal."""
    if blob is None:
        return False
    if ref.size > SOURCE_LIMIT:
        return True
    try:
        data = bench.store.read(ref.digest)
    except UserError:  # not in this cache, or damaged
        return True
    return blob in (_blob_id(data, len(blob)), _blob_id(data.replace(b'\r\n', b'\n'), len(blob)))


def _blob_id(data: bytes, length: int) -> str:
    """git's name of a content: of 40 hex digits, or of 64."""
    made = hashlib.sha1(usedforsecurity=False) if length == 40 else hashlib.sha256()
    made.update(b'blob %d\0' % len(data))
    made.update(data)
    return made.hexdigest()


def results_gone(told: Told) -> tuple[str, ...]:
    """Stages whose results this cache does not have any more."""
    return tuple(one.run.name for one in told.stages if one.stored is False)
