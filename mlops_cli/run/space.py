"""What takes the space of a cache or a remote, and for whom (``mlops storage``).  Looks; changes nothing.

Each object counts once: for tracked data before stages, for what the present state has before older versions, for this project
before others that use the same cache."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.atomic import read_file
from mlops_cli.fsio.paths import Root
from mlops_cli.git import commits, walking
from mlops_cli.records import data, pins, repository, roots
from mlops_cli.run.checkout import recorded
from mlops_cli.run.workbench import Workbench
from mlops_cli.store import results, tree, users
from mlops_cli.store.depot import Depot
from mlops_cli.store.marks import Stock, result_name, take_stock
from mlops_cli.store.objects import Damaged, MissingObject

DATA, STAGE, GONE, RUNS, PROJECT, NOBODY = 'data', 'stage', 'gone', 'runs', 'project', 'nobody'
AGES = (7, 30, 90, 365)  # days
DAY = 86_400.0
GB = 1e9
BESIDE = (layout.RESCUE, layout.FAILED, layout.CHECKPOINTS, layout.WORK, layout.LOGS, layout.REMOTES)
Tell = Callable[[str, int], None]


class Held(NamedTuple):
    """An object of a place.  ``name``: the 32 bytes of its digest.  ``touched``: seconds since 1970; 0.0: unknown."""

    name: bytes
    size: int
    touched: float


@dataclass(slots=True)
class Part:
    """For whom.  ``kind``: data, stage, gone (outputs that no stage has any more), runs (logs, sources and manifests), project
    (another one that uses the cache), nobody.  ``versions``: different contents that are recorded.  ``now``: bytes of what the
    present state has; ``bytes``: with older versions.  ``touched``: when any of it was last, 0.0: unknown."""

    kind: str
    name: str
    model: str = ''
    objects: int = 0
    bytes: int = 0
    now: int = 0
    touched: float = 0.0
    contents: set[tuple[str, Digest]] = field(default_factory=set)

    @property
    def versions(self) -> int:
        most: dict[str, int] = {}
        for path, _ in self.contents:
            most[path] = most.get(path, 0) + 1
        return max(most.values(), default=0)


@dataclass(slots=True)
class Space:
    """``parts``: those that have any bytes, in the order in which they count.  ``ages``: (days, objects, bytes) of what was
    touched in so many days, and not in fewer; the last with days 0 is older.  ``beside``: (path, bytes) of what else mlops
    keeps here.  ``absent``: recorded folders whose content nobody here knows.  ``notes``: what could not be looked at."""

    parts: list[Part] = field(default_factory=list)
    objects: int = 0
    bytes: int = 0
    ages: list[tuple[int, int, int]] = field(default_factory=list)
    beside: list[tuple[str, int]] = field(default_factory=list)
    absent: int = 0
    notes: list[str] = field(default_factory=list)


def of_cache(bench: Workbench, tell: Tell = lambda _what, _count: None) -> Space:
    """Raises UserError, OSError."""
    with Root(bench.config.cache) as cache:
        stock = take_stock(cache, lambda count: tell('objects', count))
        owners = _owners(bench, cache, stock, tell, lambda digest: _node_here(bench, digest))
        held = (Held(name, size, touched / 1e9) for name, (size, touched) in stock.objects.items())
        space = _counted(owners, held, users.now_ns(cache) / 1e9)
        entries = sum(size for size, _ in stock.results.values())
        space.beside = [(layout.RESULTS, entries)]
        space.beside += [(path, _size_below(cache, path)) for path in (layout.TRASH, layout.TEMPORARY)]
    space.beside += [(path, _size_below(bench.root, path)) for path in BESIDE]
    space.beside = [(path, size) for path, size in space.beside if size]
    return space


def of_remote(bench: Workbench, depot: Depot, now: float, tell: Tell = lambda _what, _count: None) -> Space:
    """The same of what a remote holds.  Raises UserError, Unreachable, OSError."""
    nodes: dict[Digest, bytes] = {}

    def node(digest: Digest) -> bytes | None:
        found = _node_here(bench, digest)
        if found is None and digest not in nodes:
            with suppress(MissingObject, Damaged):
                for _, chunks in depot.get([digest]):
                    nodes[digest] = b''.join(chunks)
        return found if found is not None else nodes.get(digest)

    with Root(bench.config.cache) as cache:
        stock = take_stock(cache)
        owners = _owners(bench, cache, stock, tell, node)
    return _counted(owners, inventory(depot), now)


def inventory(depot: Depot) -> Iterator[Held]:
    """What a remote holds, an object once for each time that it is stored.  Raises Unreachable."""
    for index in depot.indexes.values():
        for row in index:
            yield Held(row.name, row.size, 0.0)
    for key, size, changed in depot.bucket.list(layout.OBJECTS):
        with suppress(ValueError):
            yield Held(bytes.fromhex(key.removeprefix(f'{layout.OBJECTS}/').replace('/', '')), size, changed)


def _counted(owners: _Owners, held: Iterable[Held], now: float) -> Space:
    space = Space(absent=owners.absent, notes=owners.notes)
    nobody = Part(NOBODY, '')
    ages = dict.fromkeys((*AGES, 0), (0, 0))
    dated = False
    for one in held:
        slot = owners.of.get(one.name)
        part = nobody if slot is None else owners.parts[slot >> 1]
        part.objects += 1
        part.bytes += one.size
        part.now += one.size if slot is not None and slot & 1 else 0
        part.touched = max(part.touched, one.touched)
        space.objects += 1
        space.bytes += one.size
        if one.touched:
            dated = True
            days = next((days for days in AGES if now - one.touched <= days * DAY), 0)
            count, size = ages[days]
            ages[days] = count + 1, size + one.size
    space.parts = [part for part in (*owners.parts, nobody) if part.objects]
    space.ages = [(days, count, size) for days, (count, size) in ages.items()] if dated else []
    return space


# For whom


class _Owners:
    """``of``: object -> twice the number of its part, and one more if the present state has it."""

    def __init__(self, node: Callable[[Digest], bytes | None]) -> None:
        self.parts: list[Part] = []
        self.of: dict[bytes, int] = {}
        self.absent = 0
        self.notes: list[str] = []
        self._node = node
        self._numbers: dict[tuple[str, str], int] = {}

    def part(self, kind: str, name: str, model: str = '') -> int:
        number = self._numbers.setdefault((kind, name), len(self.parts))
        if number == len(self.parts):
            self.parts.append(Part(kind, name, model))
        return number

    def claim(self, number: int, path: str, ref: ObjectRef, now: bool = False) -> None:
        """A content, with all that is in it."""
        if path:
            self.parts[number].contents.add((path, ref.digest))
        slot = number << 1 | now
        waiting = [ref]
        while waiting:
            one = waiting.pop()
            name = bytes.fromhex(one.digest.hex)
            if name in self.of:
                continue
            self.of[name] = slot
            if one.kind == 'tree':
                content = self._node(one.digest)
                if content is None:
                    self.absent += 1
                    continue
                waiting += [entry.ref for entry in tree.decode(content) if entry.kind != 'link']


def _owners(
    bench: Workbench, cache: Root, stock: Stock, tell: Tell, node: Callable[[Digest], bytes | None]
) -> _Owners:
    owners = _Owners(node)
    tracked = data.tracked(bench.root)
    for path, ref in tracked.items():
        owners.claim(owners.part(DATA, path), path, ref, now=True)
    by_path: dict[str, int] = {}
    for stage in bench.pipeline.stages.values():
        number = owners.part(STAGE, stage.group, stage.model.name if stage.model else '')
        by_path.update(dict.fromkeys((one.path for one in stage.outputs), number))

    def number_of(path: str) -> int:
        return by_path[path] if path in by_path else owners.part(GONE, path)

    for path, ref in recorded(bench, bench.order).wanted.items():
        owners.claim(number_of(path), path, ref, now=True)
    for name in bench.pins.names():
        if pins.is_pin(name) and (content := bench.pins.bytes_of(name)) is not None:
            for path, ref in pins.decode(content, f'{layout.STAGES}/{name}').outputs:
                owners.claim(number_of(path), path, ref)
    own = os.path.realpath(bench.root.path)
    for project in users.projects(cache):
        if project.path != own:
            tell('other projects', len(owners.parts))
            _claim_records(owners, owners.part(PROJECT, project.path), project.path)
    entries = sorted(_entries(cache, stock, tell), key=lambda one: one.created, reverse=True)
    for entry in entries:
        for path, ref in entry.outputs:
            owners.claim(number_of(path), path, ref)
    for path, ref in _old_data(bench.root.path, owners.notes):
        owners.claim(owners.part(DATA, path), path, ref)
    runs = owners.part(RUNS, '')
    for entry in entries:
        for found in (entry.log, entry.manifest, entry.sources, entry.series):
            if isinstance(found, ObjectRef):
                owners.claim(runs, '', found)
    _claim_records(owners, runs, bench.root.path)
    return owners


def _entries(cache: Root, stock: Stock, tell: Tell) -> Iterator[results.ResultEntry]:
    for count, name in enumerate(stock.results, 1):
        with suppress(ValueError, OSError, UserError):  # verify tells of damage
            yield results.decode(read_file(cache, result_name(name), results.SIZE_LIMIT))
        tell('results', count)


def _old_data(folder: str, notes: list[str]) -> Iterator[tuple[str, ObjectRef]]:
    """What the records of data were in any commit."""
    if not repository.access(folder).inside or (top := _top(folder)) is None:
        return
    prefix = os.path.relpath(os.path.realpath(folder), os.path.realpath(top))
    records = f'{layout.DATA}/' if prefix == '.' else f'{prefix}/{layout.DATA}/'
    try:
        found = walking.introduced(top, walking.commits(top), lambda path: path.startswith(records))
        with commits.reading(top) as read:
            for path, blob in found:
                with suppress(UserError):
                    if blob and (content := read(blob, data.LIMIT)) is not None:
                        record = data.decode(content, path[len(records) - len(layout.DATA) - 1 :])
                        yield record.path, record.ref
    except UserError as error:
        notes.append(f'older versions of data: {error.message}')


def _top(folder: str) -> str | None:
    from mlops_cli import git

    return git.top(folder)


def _claim_records(owners: _Owners, number: int, folder: str) -> None:
    """All that the records of a project name, wherever they are."""
    try:
        found = roots.look(folder)
    except (UserError, OSError) as error:
        owners.notes.append(f'records of {folder}: {error.message if isinstance(error, UserError) else error.strerror}')
        return
    for held in (found.here, found.past):
        for names, kind in ((held.trees, 'tree'), (held.files | held.inputs, 'file')):
            for name in names:
                owners.claim(number, '', ObjectRef(Digest(name.hex()), 0, kind))  # type: ignore[arg-type]


def _node_here(bench: Workbench, digest: Digest) -> bytes | None:
    try:
        return bench.store.read(digest)
    except (MissingObject, Damaged, UserError):
        return bench.workspace.node(digest)


def _size_below(root: Root, folder: str) -> int:
    """Bytes of all files below a folder; of one with two names once."""
    total, seen = 0, set()
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        try:
            entries = root.scandir(path)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        for entry in entries:
            if entry.is_dir():
                waiting.append(f'{path}/{entry.name}')
            elif (facts := root.stat(f'{path}/{entry.name}')) is not None and (facts.st_dev, facts.st_ino) not in seen:
                seen.add((facts.st_dev, facts.st_ino))
                total += facts.st_size
    return total

