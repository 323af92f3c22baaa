"""Takes a DVC project over: what its locks record becomes what is recorded here, with our digests.  Runs nothing.

Read: the project, and DVC's cache.  Written: as any command of ours writes, never into .dvc."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mlops_cli.adopt.dvc.convert import Converted
from mlops_cli.adopt.dvc.earlier import Earlier
from mlops_cli.adopt.dvc.hashes import Hashes
from mlops_cli.adopt.dvc.objects import Cache, Taking
from mlops_cli.adopt.dvc.project import Project
from mlops_cli.adopt.dvc.stages import Hash, Locked, Stage, Tracked
from mlops_cli.adopt.dvc.state import Judge, State
from mlops_cli.core.classes import dataclass, field, replace
from mlops_cli.core.clock import iso
from mlops_cli.core.errors import UserError
from mlops_cli.core.manifest import Manifest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint.stage import Draft, fill, read_file
from mlops_cli.records import data, metrics
from mlops_cli.records.accepted import Accepted
from mlops_cli.records.origin import Source, check_url
from mlops_cli.records.pins import Pin
from mlops_cli.run.accept import Author, Keeper
from mlops_cli.run.placed import remember
from mlops_cli.run.sources import keep_sources
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.objects import Damaged, MissingObject
from mlops_cli.store.results import ResultEntry, outputs_digest
from mlops_cli.store.tree import within

REASON = 'adopted from DVC: dvc.lock records this result of this state'


@dataclass
class Taken:
    """``states``: DVC's name of a stage -> how DVC finds it.  ``adopted``: those whose result counts here now.
    ``data``: path -> what is recorded of tracked data.  ``missing``: path -> objects that nobody here has.
    ``earlier``: results of earlier states that came along.  ``notes``: (path or stage, what is to be looked at)."""

    states: dict[str, State] = field(default_factory=dict)
    adopted: dict[str, str] = field(default_factory=dict)
    data: dict[str, ObjectRef] = field(default_factory=dict)
    records: list[str] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    missing: dict[str, list[str]] = field(default_factory=dict)
    earlier: int = 0


class Adoption:
    """``hashes``, ``cache``, ``taking``: of DVC's side, ``author``: whose word it is."""

    def __init__(self, project: Project, converted: Converted, hashes: Hashes, cache: Cache, author: Author) -> None:
        self.project, self.converted, self.hashes, self.cache, self.author = project, converted, hashes, cache, author
        self.locks = {stage.name: file.locks.get(stage.key) for file in project.files for stage in file.stages}
        self.recorded = _recorded(project, self.locks)
        self.judge = Judge(project.root, hashes, cache, self.recorded)
        self.taken = Taken()
        self.earlier = Earlier(cache, hashes)

    # Tracked data

    def take_data(self, bench: Workbench, taking: Taking, told: Callable[[str], None] = lambda _: None) -> None:
        """The records of what .dvc files track.  Raises UserError, OSError."""
        said = data.records(bench.root)
        for one in self.project.tracked:
            path = one.path.path
            if path is None:
                self.taken.notes.append((one.file, f'{one.path.written} is {one.path.elsewhere}: it is not tracked here'))
                continue
            told(path)
            ref = self._data(bench, taking, one, path)
            if ref is not None:
                self.taken.data[path] = ref
                record = said[path] if path in said and said[path].ref == ref else data.Record(path, ref)
                record = replace(record, source=record.source or _source(one))
                self.taken.records.append(data.write(bench.root, record, bench.batch))

    def _data(self, bench: Workbench, taking: Taking, one: Tracked, path: str) -> ObjectRef | None:
        known = one.hash
        if one.source and _source(one) is None:
            self.taken.notes.append((path, f'it was imported from {one.source}; it is tracked as it is, without that'))
        found = self._here(path, known.name)
        if found and (found == known.value or not (known.value or known.files)):
            if not known.value:
                self.taken.notes.append((path, f'{one.file} records nothing of it; what lies there is tracked'))
            return self._from_workspace(bench, taking, path, known)
        ref = taking.content(known)
        if ref is None:
            self.taken.missing[path] = self.cache.lacks(known) if known.value else []
            why = 'differs from what its .dvc file records' if found else 'is not in the workspace'
            self.taken.notes.append((path, f"it {why}, and DVC's cache lacks what is recorded: it is not tracked"))
        elif found:
            self.taken.notes.append((path, 'it differs from what its .dvc file records: that is what is tracked'))
        return ref

    def _here(self, path: str, name: str) -> str:
        try:
            return self.hashes.of(path, name)
        except UserError as error:
            self.taken.notes.append((path, error.message))
            return ''

    def _from_workspace(self, bench: Workbench, taking: Taking, path: str, known: Hash) -> ObjectRef | None:
        """What lies there into the store: by a second name of DVC's object where there is one, else as ``add`` does."""
        if known.value:
            taking.near(known)
        try:
            added = bench.store.add_path(bench.root, path, known=bench.index.get)
        except UserError as error:
            self.taken.notes.append((path, f'{error.message}; {error.hint}' if error.hint else error.message))
            return taking.content(known)
        bench.index.put_added(added)
        bench.workspace.forget(path)
        return added.ref

    # Stages

    def take_stages(self, bench: Workbench, taking: Taking, told: Callable[[str], None] = lambda _: None) -> None:
        """A result and a pin of each stage that DVC would find up to date.  Raises UserError, OSError."""
        theirs = {ours: name for name, ours in self.converted.names.items()}
        stages = {stage.name: stage for file in self.project.files for stage in file.stages}
        made: dict[str, ObjectRef] = {}
        keeper = Keeper(bench)
        for ours in bench.order:
            stage = stages[theirs[ours]]
            told(stage.name)
            state = self.judge.state(stage, self.locks[stage.name])
            self.taken.states[stage.name] = state
            outputs = self._outputs(bench, taking, stage, state)
            made |= outputs
            if state.clean and outputs.keys() == {one.path for one in bench.pipeline.stages[ours].outputs}:
                self._record(bench, keeper, stage, ours, outputs, made)
            self.taken.earlier += self.earlier.take(bench, taking, stage, bench.drafts[ours], self.author)

    def _outputs(self, bench: Workbench, taking: Taking, stage: Stage, state: State) -> dict[str, ObjectRef]:
        """Of a stage that is up to date what is recorded, else what lies there."""
        lock = self.locks[stage.name]
        found: dict[str, ObjectRef] = {}
        for out in stage.outs:
            path = out.path.path
            if path is None:
                continue
            known = lock.outs.get(path) if lock is not None else None
            if path in state.absent and known is not None:
                ref = taking.content(known)
                if ref is None:
                    self.taken.missing[path] = self.cache.lacks(known)
                elif out.flags.get('persist'):
                    why = 'a stage that goes on from its output is not restored'
                    self.taken.notes.append((path, f'dvc checkout brings it: {why}'))
            elif state.clean and known is not None:
                ref = self._from_workspace(bench, taking, path, known)
            else:
                ref = bench.workspace.ref(path, ignore=False)
            if ref is not None:
                found[path] = ref
        return found

    def _record(self, bench: Workbench, keeper: Keeper, stage: Stage, ours: str, outputs: Mapping[str, ObjectRef],
                made: Mapping[str, ObjectRef]) -> None:  # fmt: skip
        draft = bench.drafts[ours]
        manifest = self._manifest(bench, stage, draft, made)
        if manifest is None:
            return
        key, rows = manifest.digest, tuple(sorted(outputs.items()))
        numbers = _numbers(bench, ours, outputs)
        author = self.author
        said = {'who': author.who, 'when': iso(author.now), 'reason': author.reason, 'run': ''}
        sources, kept = keep_sources(keeper, draft, manifest)
        if not any(entry.outputs == rows and not entry.suspect for entry in bench.results.lookup(key)):
            bench.results.put(
                ResultEntry(
                    key, rows, iso(author.now), metrics={f'{file}:{name}': value for file, name, value in numbers},
                    manifest=kept, sources=sources, code_bytes=tuple(sorted(draft.code.items())),
                    origin={'run': '', 'who': author.who, 'host': author.host, 'ci': False, 'accepted': said, 'adopted': 'dvc'},
                )
            )  # fmt: skip
        if all(bench.workspace.ref(path, ignore=False) == ref for path, ref in rows):
            remember(bench.index, ours, key, rows)
        pin = Pin(manifest, rows, numbers)
        before = bench.accepted.of_key(key)
        if not any(one.outputs == outputs_digest(rows) for one in before):
            accepted = Accepted(ours, key, outputs_digest(rows), pin.file_name(ours), author.who[:200], author.host[:200],
                                iso(author.now), author.reason)  # fmt: skip
            bench.accepted.add(accepted, bench.batch)
        bench.pins.add(ours, pin, bench.batch)
        self.taken.adopted[stage.name] = ours

    def _manifest(self, bench: Workbench, stage: Stage, draft: Draft, made: Mapping[str, ObjectRef]) -> Manifest | None:
        """None where an input is missing, which is then told."""
        lacking = [hole.output for hole in draft.holes if hole.output not in made]
        for path in lacking:
            if (ref := bench.workspace.ref(path, ignore=False)) is not None:
                made = {**made, path: ref}
        gone = [hole.output for hole in draft.holes if hole.output not in made] + list(draft.missing)
        if gone:
            self.taken.notes.append((stage.name, f'its input {gone[0]} is neither here nor in DVC\'s cache'))
            return None
        try:
            return fill(draft, made, _Nodes(bench).read)
        except (MissingObject, Damaged) as error:
            self.taken.notes.append((stage.name, f'an input of it cannot be read: {error}'))
            return None


def _source(one: Tracked) -> Source | None:
    """Where data came from, so that it can be brought anew; None where it cannot be said."""
    try:
        return Source(check_url(one.url), pins={'etag': one.tag} if one.tag and one.hash.value else {}) if one.url else None
    except ValueError:
        return None


class _Nodes:
    """Nodes of folders, from the store, or the workspace."""

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench

    def read(self, digest: Any) -> bytes:
        try:
            return self.bench.store.read(digest)
        except (MissingObject, Damaged):
            node = self.bench.workspace.node(digest)
            if node is None:
                raise
            return node


def _recorded(project: Project, locks: Mapping[str, Locked | None]) -> dict[str, Hash]:
    found = {one.path.path: one.hash for one in project.tracked if one.path.path is not None}
    for lock in locks.values():
        if lock is not None:
            found |= {path: known for path, known in lock.outs.items() if known.value}
    return found


def _numbers(bench: Workbench, ours: str, outputs: Mapping[str, ObjectRef]) -> tuple[tuple[str, str, float | int], ...]:
    """The numbers in the files of metrics, as far as they can be read."""
    found: list[tuple[str, str, float | int]] = []
    for output in bench.pipeline.stages[ours].read_as('metric'):
        try:
            ref = within(outputs, output.path, bench.store.read)
            if ref is None or ref.kind == 'tree' or ref.size > metrics.LIMIT:
                continue
            here = bench.workspace.ref(output.path, ignore=False) == ref
            content = read_file(bench.workspace, output.path) if here else bench.store.read(ref.digest)
            found += [(output.path, name, value) for name, value in metrics.scalars(content, output.path)]
        except (UserError, MissingObject, Damaged):
            continue
    return tuple(sorted(found))
