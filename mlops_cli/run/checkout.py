"""Brings recorded content into the workspace and never destroys what is saved nowhere else (``mlops checkout``)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from mlops_cli import git
from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass, replace
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.journal import Journal
from mlops_cli.fsio.locks import LockFile, LockTimeout
from mlops_cli.fsio.reading import Nearby
from mlops_cli.fsio.temporaries import PREFIX, new_name
from mlops_cli.plan.facts import Wishes
from mlops_cli.plan.model import Step, Verdict
from mlops_cli.records import data
from mlops_cli.run import aside
from mlops_cli.run.outlook import look
from mlops_cli.run.place import undo
from mlops_cli.run.placed import placed, remember
from mlops_cli.run.torn import is_torn
from mlops_cli.run.workbench import Workbench, open_workbench
from mlops_cli.store.shelf import SMALL
from mlops_cli.store.tree import decode, walk

if TYPE_CHECKING:
    from mlops_cli.store.ingest import Added
    from mlops_cli.store.materialise import Materialise

KNOWN = (Verdict.FRESH, Verdict.RESTORE)
MOST_AT_ONCE = 256  # small files that are replaced together
MOST_UNNOTED = 1000  # files placed until the index hears of them
WAIT_SECONDS = 3.0  # for stages of another command to end that use what is to be placed


@dataclass(frozen=True, slots=True)
class Targets:
    """``wanted``: path -> content.  ``unknown``: stages for whose present state nothing is recorded, with the reason.
    ``steps``: of the other stages, whose outputs are among what is wanted."""

    wanted: Mapping[str, ObjectRef]
    unknown: tuple[tuple[str, str], ...] = ()
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """``placed`` paths, ``same`` ones that were right already, ``kept``: where what stood there went,
    ``stayed``: untracked files in folders, left in place."""

    placed: tuple[str, ...]
    same: int
    kept: tuple[str, ...]
    stayed: tuple[str, ...]


@dataclass(slots=True)
class Watched:
    """How far a placement has come: files and bytes that are there now, bytes that will be.  ``step``: called as they come."""

    step: Callable[[], object] = lambda: None
    files: int = 0
    size: int = 0
    expected: int = 0

    def told(self, files: int, size: int) -> None:
        self.files += files
        self.size += size
        self.step()


def recorded(bench: Workbench, stages: Sequence[str]) -> Targets:
    """What the present state of the project is recorded to lead to."""
    plan = look(bench, stages, Wishes()).plan
    wanted: dict[str, ObjectRef] = {}
    unknown: list[tuple[str, str]] = []
    for step in plan.steps:
        if step.verdict in KNOWN:
            wanted |= step.made
        else:
            unknown.append(
                (
                    step.stage,
                    'waits for ' + ', '.join(step.waits_for[:3]) if step.waits_for else 'nothing recorded for this state',
                )
            )
    return Targets(wanted, tuple(unknown), tuple(step for step in plan.steps if step.verdict in KNOWN))


@contextmanager
def at_revision(bench: Workbench, revision: str) -> Iterator[Workbench]:
    """The project as it is in a revision, in a folder of its own, on the same store.  Raises UserError."""
    from mlops_cli.git import exporting  # needed here alone: status looks into this module, too

    commit = git.resolve(bench.root.path, revision)
    folder = f'{layout.LOCAL}/{new_name(PREFIX)}'  # the next command removes it if this one is killed
    bench.root.makedirs(folder, mode=0o700)
    path = bench.root.full(folder)
    try:
        files = exporting.export(bench.root.path, commit, path)
        other = open_workbench(
            path, bench.config, bench.environ, in_git=lambda below: tuple(f for f in files if f.startswith(below + '/'))
        )
        try:
            yield other
        finally:
            other.close()
    finally:
        bench.root.remove_tree(folder)


def unsaved(bench: Workbench, wanted: Mapping[str, ObjectRef], *, clean: bool) -> dict[str, str]:
    """Paths whose present content is in no store and would be lost, with what is there.  What a power cut left of content that
    is in the store is none of them."""
    found: dict[str, str] = {}
    for path, ref in wanted.items():
        held = bench.workspace.ref(path, ignore=False)
        if held is None or bench.holds(path, ref) or not bench.store.missing([held], sure=True):
            continue
        if held.kind == 'tree' and ref.kind == 'tree':
            lost = _lost_files(bench, path, ref)
            mine = {name for name, _ in walk(ref, bench.store.read)}
            risky = [name for name in lost if clean or name in mine]
            if risky:
                found[path] = f'{len(risky)} files, such as {path}/{risky[0]}'
        elif not is_torn(bench.root, path, bench.store, (ref, *_placed_at(bench, path))):
            found[path] = 'changed since it was made'
    return found


def _placed_at(bench: Workbench, path: str) -> tuple[ObjectRef, ...]:
    """What mlops last put at a path, or saw made there."""
    for stage in bench.pipeline.stages.values():
        if any(output.path == path for output in stage.outputs) and (last := placed(bench, stage.name)) is not None:
            return tuple(ref for other, ref in last.outputs if other == path)
    return ()


def _lost_files(bench: Workbench, path: str, ref: ObjectRef) -> list[str]:
    """Files of a folder that differ from the target and are in no store; none where no folder is."""
    nodes = bench.workspace.nodes(path, ignore=False)
    held = bench.workspace.ref(path, ignore=False)  # what the nodes are of: somebody may have written since it was looked at
    if held is None or held.kind != 'tree':
        return []

    def read(digest: Digest) -> bytes:
        return nodes[digest] if digest in nodes else bench.store.read(digest)

    target = {name: entry.ref for name, entry in walk(ref, bench.store.read) if entry.kind in ('file', 'exec')}
    return [
        name
        for name, entry in walk(held, read)
        if entry.digest is not None
        and entry.kind != 'dir'
        and (name not in target or target[name].digest != entry.digest)
        and not bench.store.has([entry.digest])
        and not (name in target and is_torn(bench.root, f'{path}/{name}', bench.store, (target[name],)))
    ]


def bring(
    bench: Workbench,
    targets: Targets,
    identity: str,
    *,
    backup: bool,
    clean: bool,
    watched: Watched | None = None,
) -> Outcome:
    """Places the content.  What is there and nowhere else goes to ``.mlops/local/rescue`` unless ``backup`` is False.
    ``watched``: told how far it has come.

    Raises MissingObject, Damaged, OSError, UserError (exit 11) for what a running stage uses; a kill in between is undone
    by the next command."""
    wanted = targets.wanted
    stale = {path: ref for path, ref in wanted.items() if not bench.holds(path, ref)}
    watched = watched or Watched()
    watched.expected += sum(ref.size for ref in stale.values())
    bringing = _Bringing(bench, identity, backup, clean, watched.told)
    if stale:
        bringing.all(stale)
    for step in targets.steps:
        _remember(bench, step, stale)
    return Outcome(tuple(stale), len(wanted) - len(stale), tuple(bringing.kept), tuple(bringing.stayed))


class _Bringing:
    """One :func:`bring`.

    Where nothing stands there is nothing to undo: what is placed there appears whole, or not at all.  Only what takes
    the place of something is told to the journal."""

    def __init__(self, bench: Workbench, identity: str, backup: bool, clean: bool, told: Callable[[int, int], object]) -> None:
        self.bench, self.identity, self.backup, self.clean, self.told = bench, identity, backup, clean, told
        self.kept: list[str] = []
        self.stayed: list[str] = []
        self._journal: Journal | None = None
        self._attempts = 0
        self._stack = ExitStack()
        self._written: list[tuple[str, os.stat_result, ObjectRef]] = []

    def all(self, stale: Mapping[str, ObjectRef]) -> None:
        bench = self.bench
        group: dict[str, ObjectRef] = {}
        with self._stack as stack:
            locks = stack.enter_context(LockFile(layout.LOCKS, root=bench.root))
            placing = stack.enter_context(bench.store.placing(bench.root, self.told))
            stack.callback(self._note)
            for path, ref in stale.items():
                held = bench.workspace.ref(path, ignore=False)
                if held is None and self._into_nothing(locks, placing, path, ref):
                    continue
                if held is None or not (_is_short(held) and _is_short(ref)):
                    self._alone(locks, path, ref)
                    continue
                group[path] = ref
                if len(group) >= MOST_AT_ONCE:
                    self._together(locks, placing, group)
                    group = {}
            self._together(locks, placing, group)

    def _into_nothing(self, locks: LockFile, placing: Materialise, path: str, ref: ObjectRef) -> bool:
        """False, and nothing is done, if there is something after all, or a stage uses the path."""
        aside.check_output(path)
        lock = f'path/{path}'
        if not locks.try_exclusive(lock, noted=not _is_short(ref)):
            return False
        from mlops_cli.store.materialise import Taken

        try:
            self._keep(placing.place(ref, path))
        except Taken:
            return False
        finally:
            locks.release(lock)
            self.bench.workspace.forget(path)
        return True

    def _keep(self, added: Added) -> None:
        """For the index, which is told of many files at a time."""
        if len(added.files) == 1 and not added.records:
            self._written += added.files
        else:
            self.bench.index.put_added(added)
        if len(self._written) >= MOST_UNNOTED:
            self._note()

    def _note(self) -> None:
        written, self._written = self._written, []
        self.bench.index.put_many(written)

    def _together(self, locks: LockFile, placing: Materialise, group: Mapping[str, ObjectRef]) -> None:
        """Small files in place of others: all of them, or none."""
        free = {path: ref for path, ref in group.items() if locks.try_exclusive(f'path/{path}', noted=False)}
        try:  # who holds some never waits for others
            if free:
                with self._attempt([*free]) as attempt:
                    self.kept += self._replace(placing, attempt, free)
        finally:
            for path in free:
                locks.release(f'path/{path}')
        for path, ref in group.items():
            if path not in free:
                self._alone(locks, path, ref)

    def _replace(self, placing: Materialise, attempt: str, group: Mapping[str, ObjectRef]) -> tuple[str, ...]:
        """Where what stood there is kept."""
        bench = self.bench
        with placing.building(group.items()) as built:
            aside.move(bench.root, attempt, group, bench.apart)
            for one in built:
                self._keep(placing.put(one))
                bench.workspace.forget(one.rel)
        self._note()

        def is_needless(place: str, near: Nearby) -> bool:
            return not self.backup or _is_saved(bench, place, near)

        return aside.finish(bench.root, attempt, self.identity, group, is_needless)

    def _alone(self, locks: LockFile, path: str, ref: ObjectRef) -> None:
        with _unused(locks, path), self._attempt([path]) as attempt:
            kept, stayed = _bring_one(self, path, ref, attempt)
            self.kept += kept
            self.stayed += stayed

    @contextmanager
    def _attempt(self, paths: list[str]) -> Iterator[str]:
        """Within, what stands at the paths may be moved about: the journal knows of it.  Its name."""
        if self._journal is None:
            self._journal = self._stack.enter_context(Journal(layout.JOURNAL, self.identity, root=self.bench.root))
        journal, run, stage = self._journal, self.identity, paths[0]
        attempt = f'{run}-{self._attempts}'
        self._attempts += 1
        end = {'do': 'end', 'attempt': attempt}
        journal.append({'do': 'begin', 'attempt': attempt, 'stage': stage, 'run': run, 'outputs': paths, 'kind': 'checkout'})
        try:
            yield attempt
        except BaseException as error:  # an object is missing, the disk is full: nothing may be gone that was there
            for path in paths:
                self.bench.workspace.forget(path)
            is_saved = partial(_is_saved, self.bench)
            undo(self.bench.root, attempt, run, stage, paths, paths, error, is_saved, lambda: journal.append(end))
            raise
        journal.append(end)


def _is_short(ref: ObjectRef) -> bool:
    """Placed before anybody asks who does so."""
    return ref.kind != 'tree' and ref.size <= SMALL


def _remember(bench: Workbench, step: Step, stale: Mapping[str, ObjectRef]) -> None:
    """That what was placed was made by nobody's hand; of a stage that got some of its outputs only, beside what it had."""
    mine = {path: ref for path, ref in step.outputs if path in stale}
    if not mine or step.manifest is None:
        return
    if len(mine) < len(step.outputs) and (old := placed(bench, step.stage)) is not None:
        mine = {path: ref for path, ref in old.outputs if path not in mine} | mine
    remember(bench.index, step.stage, step.manifest.digest, mine.items(), step.run)


@contextmanager
def _unused(locks: LockFile, path: str) -> Iterator[None]:
    """While no stage of another command writes or reads the path.  Raises UserError (exit 11) if one does for long."""
    try:
        with locks.holding(f'path/{path}', timeout=WAIT_SECONDS):
            yield
    except LockTimeout as error:
        raise UserError(
            f'{path} is in use by a stage that runs', hint='wait for the run to end', exit_code=ExitCode.LOCK_TIMEOUT
        ) from error


def _bring_one(bringing: _Bringing, path: str, ref: ObjectRef, attempt: str) -> tuple[tuple[str, ...], list[str]]:
    """One path, as :func:`bring`: (where what was there is kept, untracked files that stay)."""
    bench = bringing.bench
    with bench.store.placing(bench.root, bringing.told) as placing, placing.building([(path, ref)]) as built:
        bench.workspace.forget(path)  # that may have taken an hour
        extras = [] if bringing.clean else _extras(bench, path, ref)
        aside.move(bench.root, attempt, [path], bench.apart)
        bench.workspace.forget(path)
        bench.index.put_added(placing.put(built[0]))
    stayed = [f'{path}/{name}' for name in extras if _back(bench, attempt, path, name)]

    def is_needless(place: str, near: Nearby) -> bool:
        if not bringing.backup:
            return True
        return _are_files_saved(bench, ref, place, near) if extras else _is_saved(bench, place, near)

    kept = aside.finish(bench.root, attempt, bringing.identity, [path], is_needless)
    bench.workspace.forget(path)
    return kept, stayed


def _is_saved(bench: Workbench, place: str, near: Nearby) -> bool:
    """Whether what was moved to a place, as it is now, is in the store byte for byte, or a folder without any file."""
    content = bench.apart.content(place, near)
    if content is not None and content.kind == 'tree' and not content.size and _has_folders_only(bench, place, near):
        return True
    return content is not None and not bench.store.missing([content], sure=True)


def _has_folders_only(bench: Workbench, place: str, near: Nearby) -> bool:
    nodes: dict[Digest, bytes] = {}
    bench.apart.content(place, near, nodes)
    return all(entry.kind == 'dir' for node in nodes.values() for entry in decode(node))


def _extras(bench: Workbench, path: str, ref: ObjectRef) -> list[str]:
    """Files in a folder that the target has not and no store holds: the user's own, which stay."""
    if ref.kind != 'tree':
        return []
    mine = {name for name, _ in walk(ref, bench.store.read)}
    return [name for name in _lost_files(bench, path, ref) if name not in mine]


def _back(bench: Workbench, attempt: str, path: str, name: str) -> bool:
    """False, and it stays aside, where its owner has saved it anew meanwhile."""
    target = f'{path}/{name}'
    bench.root.makedirs(target.rpartition('/')[0])
    try:
        aside.rename_free(bench.root, f'{aside.folder_of(attempt)}/{target}', target)
    except FileExistsError:
        return False
    return True


def _are_files_saved(bench: Workbench, ref: ObjectRef, place: str, near: Nearby) -> bool:
    """Whether each file in a folder that was moved is in the store: the folder itself is not, once extras are back in place.
    ``ref``: what replaced it; links have to be in that."""
    nodes: dict[Digest, bytes] = {}
    content = bench.apart.content(place, near, nodes)
    if content is None or content.kind != 'tree':
        return content is not None and not bench.store.missing([content], sure=True)
    there = [*walk(content, nodes.__getitem__)]
    links = {(name, entry.target) for name, entry in there if entry.kind == 'link'}
    if links and not links <= {(name, entry.target) for name, entry in walk(ref, bench.store.read)}:
        return False
    return not bench.store.missing({entry.ref: None for _, entry in there if entry.kind in ('file', 'exec')}, sure=True)


def tracked_targets(bench: Workbench) -> dict[str, ObjectRef]:
    """Tracked data (``mlops add``) as this state of the project records it."""
    return data.tracked(bench.root)


def narrowed(targets: Targets, keep: Callable[[str], bool]) -> Targets:
    return replace(targets, wanted={path: ref for path, ref in targets.wanted.items() if keep(path)})
