"""Opens the records that the index finds: results with all that is known of them, who made a content, who read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from mlops_cli.core import layout
from mlops_cli.core.classes import replace
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import UserError
from mlops_cli.core.manifest import Manifest
from mlops_cli.core.paths import ancestors
from mlops_cli.core.patterns import pattern
from mlops_cli.core.refs import ObjectRef
from mlops_cli.experiments.lineage_model import Acceptance, Made, Maker, Through
from mlops_cli.records import pins
from mlops_cli.records.accepted import Acceptances
from mlops_cli.records.database import Database, local_path
from mlops_cli.records.files import keeps_local, read_small
from mlops_cli.records.lineage import NAME, TABLES, LineageIndex, Mention, RecordName
from mlops_cli.records.pins import slug
from mlops_cli.records.runs import Run
from mlops_cli.run.workbench import Workbench
from mlops_cli.store import manifests
from mlops_cli.store.objects import Damaged, MissingObject
from mlops_cli.store.results import ResultEntry
from mlops_cli.store.tree import MalformedTree, find

SMALL = 32  # bytes: files that are shorter are often equal by chance, so their content proves nothing at another path
NODE_BYTES = 64 << 20  # of a folder's listing: some 500,000 names
FOLDERS = 50  # versions of a folder that are opened to find a file in them; where there are more, the index is asked
_SLUGGED = pattern(r'.*-[0-9a-f]{8}')


class Records:
    """All that is recorded in a project, as far as lineage asks.  Close it with the workbench.

    Raises UserError for symbolic links in place of records, OSError."""

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench
        self.tracked: Mapping[str, ObjectRef] = bench.describer.tracked.records
        self._nodes: dict[Digest, bytes] = {}
        self._database = Database(local_path(bench.root, bench.environ, NAME), TABLES, keeps=keeps_local(bench.root))
        self.index = LineageIndex(
            self._database,
            bench.root,
            bench.config.cache,
            read=self.node,
            settled=bench.index.settled,
            folders=self.tracked.values(),
        )
        self.notes: list[str] = []
        self._made: dict[str, Made] = {}
        self._opened: dict[RecordName, str] = {}
        self._runs: dict[str, Run | None] = {}
        self._parts: dict[tuple[Digest, str], ObjectRef | None] = {}
        self._accepted = Acceptances(bench.root)

    def close(self) -> None:
        self._database.close()

    @property
    def problems(self) -> list[str]:
        """Records that could not be read, in a sentence each."""
        return list(dict.fromkeys([*self.index.problems, *self.notes]))

    # Results

    def result(self, identity: str) -> Made:
        """One that was opened already, by its id."""
        return self._made[identity]

    def open(self, name: RecordName) -> Made | None:
        """The result that a record is about, with all else that is recorded of it; None where it cannot be read."""
        if name not in self._opened:
            try:
                made = self._of_pin(name.name) if name.source == 'pin' else self._of_result(name.name)
            except FileNotFoundError:
                made = None
            except UserError as error:
                self.notes.append(f'{error.where or name.name}: {error.message}')
                made = None
            self._opened[name] = made.id if made else ''
            if made is not None and made.id not in self._made:
                self._made[made.id] = self._completed(made)
        return self._made.get(self._opened[name])

    def of_key(self, key: Digest) -> list[Made]:
        """The results of a key."""
        return self.opened(self.index.of_key(key.hex), lambda made: made.key == key)

    def opened(self, names: Iterable[RecordName], fits: Any = bool) -> list[Made]:
        """The results of some records, each once, as far as ``fits`` says that they do."""
        found: dict[str, Made] = {}
        for name in names:
            made = self.open(name)
            if made is not None and fits(made):
                found.setdefault(made.id, made)
        return list(found.values())

    def _of_pin(self, name: str) -> Made:
        path = f'{layout.STAGES}/{name}'
        pin = pins.decode(read_small(self.bench.root, path), path)
        found = slug_of = name.partition('~')[0]
        if slug_of in self._slugs:
            found = self._slugs[slug_of]
        elif _SLUGGED.fullmatch(slug_of):
            found = ''
        return Made(found, pin.key, pin.outs8, pin.manifest, pin.outputs, pin.metrics, (path,))

    def _of_result(self, name: str) -> Made | None:
        entries = self.bench.results.lookup(Digest(name[:64]))
        entry = next((one for one in entries if one.file_name == name), None)
        if entry is None:
            return None
        return Made('', entry.key, entry.entry8, self._manifest(entry), entry.outputs, entry=entry)

    @cached_property
    def _slugs(self) -> dict[str, str]:
        return {slug(name): name for name in self.bench.pipeline.stages}

    def _manifest(self, entry: ResultEntry) -> Manifest | None:
        found = manifests.found(entry.manifest, self.node)
        return found if found is not None and found.digest == entry.key else None

    def _completed(self, made: Made) -> Made:
        """With what the other records of the same result add: pins, the cache, runs, acceptances."""
        names = [name for name in self.index.of_key(made.key.hex) if name.source == 'pin']
        held = dict.fromkeys(made.pins)
        for name in names:
            path = f'{layout.STAGES}/{name.name}'
            if path not in held:
                try:
                    other = self._of_pin(name.name)
                except (FileNotFoundError, UserError):
                    continue
                if other.id == made.id and other.key == made.key:
                    held[path] = None
                    made = replace(made, stage=made.stage or other.stage, manifest=other.manifest, metrics=other.metrics)
        entry = made.entry or self._entry(made)
        runs = tuple(self.index.runs_of(made.key, made.outs8))
        named = [run.stage for run in runs]
        stage = made.stage if made.stage in self.bench.pipeline.stages or not named else named[-1]
        accepted = self._acceptances(made)
        record = next((self.run(one.run) for one in runs if one.state == 'done'), None)
        if record is None and not (entry and entry.origin.get('run')):
            # Nobody ran it: the outputs are those of the run that was accepted.
            record = next((self.run(one.run) for one in reversed(accepted) if one.run), None)
        return replace(
            made,
            stage=stage,
            pins=tuple(sorted(held)),
            entry=entry,
            runs=runs,
            record=record,
            metrics=made.metrics or _metrics(entry),
            maker=_maker(entry, record),
            accepted=accepted,
        )

    def _entry(self, made: Made) -> ResultEntry | None:
        entries = [one for one in self.bench.results.lookup(made.key) if one.entry8 == made.outs8]
        return min(entries, default=None, key=lambda one: (one.suspect, one.created))

    def _acceptances(self, made: Made) -> tuple[Acceptance, ...]:
        try:
            found = self._accepted.of_key(made.key)
        except UserError as error:
            self.notes.append(f'{error.where or layout.ACCEPTED}: {error.message}')
            return ()
        return tuple(Acceptance(one.who, one.when, one.reason, one.run) for one in found if one.outs8 == made.outs8)

    def run(self, run_id: str) -> Run | None:
        """A run's record; None where it is not here or cannot be read."""
        if run_id not in self._runs:
            try:
                self._runs[run_id] = self.bench.runs.get(run_id)
            except FileNotFoundError:
                self._runs[run_id] = None
            except UserError as error:
                self.notes.append(f'{error.where or run_id}: {error.message}')
                self._runs[run_id] = None
        return self._runs[run_id]

    # Contents

    def makers(self, path: str, identity: Digest, *, deep: bool = False) -> list[tuple[Made, Through, str]]:
        """(result, how, its output) of those that made a content, for one path first of all; of an empty one, for any.

        ``identity``: as keys hold it; of a file also its plain digest.  ``deep``: look inside all stored folders, too."""
        exact, elsewhere = [], []
        for mention in self._outputs(identity):
            made = self.open(mention.record)
            ref = made.made.get(mention.path) if made else None
            if made is not None and ref is not None and identity in (ref.identity, ref.digest):
                if mention.path == path or not path:
                    exact.append((made, mention.path))
                elif ref.size >= SMALL:
                    elsewhere.append((made, mention.path))
        if exact:
            return _each('path', exact)
        if path and (inside := list(self._makers_around(path, identity))):
            return _each('inside', inside)
        if elsewhere:
            return _each('content', elsewhere)
        return _each('inside', self._makers_deep(identity)) if deep else []

    def _outputs(self, identity: Digest) -> list[Mention]:
        return [mention for mention in self.index.with_digest(identity.hex) if mention.role == 'out']

    def _makers_around(self, path: str, identity: Digest) -> Iterator[tuple[Made, str]]:
        for folder in ancestors(path):
            names = [mention.record for mention in self.index.with_name(folder, 'out', FOLDERS + 1)]
            if len(names) > FOLDERS:
                yield from ((made, output) for made, output in self._makers_deep(identity) if output == folder)
                continue
            for made in self.opened(names):
                ref = made.made.get(folder)
                part = self.part(ref, path[len(folder) + 1 :]) if ref is not None and ref.kind == 'tree' else None
                if part is not None and identity in (part.identity, part.digest):
                    yield made, folder

    def _makers_deep(self, digest: Digest) -> Iterator[tuple[Made, str]]:
        for folder, below in self.index.holders(digest):
            for mention in self._outputs(folder):
                made = self.open(mention.record)
                ref = made.made.get(mention.path) if made else None
                if made is not None and ref is not None and ref.digest == folder:
                    part = self.part(ref, below)
                    if part is not None and digest in (part.digest, part.identity):
                        yield made, mention.path

    def part(self, ref: ObjectRef, below: str) -> ObjectRef | None:
        """What a folder holds at a relative path; None where that is nothing, or its nodes are not here."""
        known = (ref.digest, below)
        if known not in self._parts:
            try:
                self._parts[known] = find(ref, below, self.node)
            except (MissingObject, Damaged, MalformedTree):
                self._parts[known] = None
        return self._parts[known]

    def learn(self, path: str) -> None:
        """Makes what the workspace holds in a folder known, whether or not it was ever stored."""
        self._nodes |= self.bench.workspace.nodes(path, ignore=path not in self.bench.describer.made)

    def node(self, digest: Digest) -> bytes:
        """A folder's listing, or another small object.  Raises MissingObject, also where it is too large for one; Damaged."""
        if digest in self._nodes:
            return self._nodes[digest]
        facts = self.bench.store.stat(digest)
        if facts is None or facts.st_size > NODE_BYTES:
            raise MissingObject(digest)
        return self.bench.store.read(digest)


def _each(through: Through, found: Iterable[tuple[Made, str]]) -> list[tuple[Made, Through, str]]:
    return list({made.id: (made, through, output) for made, output in found}.values())


def _metrics(entry: ResultEntry | None) -> tuple[tuple[str, str, float | int], ...]:
    if entry is None:
        return ()
    paths = sorted((path for path, _ in entry.outputs), key=len, reverse=True)
    found = []
    for name, number in entry.metrics.items():
        file = next((path for path in paths if name.startswith(f'{path}:')), None)
        if file is not None and isinstance(number, int | float) and not isinstance(number, bool):
            found.append((file, name[len(file) + 1 :], number))
    return tuple(found)


def _maker(entry: ResultEntry | None, record: Run | None) -> Maker:
    """From the record of the run that made it; without one, from what the cache notes."""
    origin = entry.origin if entry else {}
    if record is None:
        created = entry.created if entry else ''
        run, who, host = (str(origin.get(name) or '') for name in ('run', 'who', 'host'))
        return Maker(run, created, who, host, ci=bool(origin.get('ci')))
    ci = bool(origin.get('ci')) and origin.get('run') == record.id
    trial = bool(record.overlay)
    return Maker(record.id, record.started, record.who, record.host, record.commit, record.branch, ci, trial)
