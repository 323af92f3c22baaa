"""Takes out of a cache what nobody wants: into its trash, from where it comes back, and a day later for good.

Nothing is deleted that was not thrown away by an earlier gc, and asked about once more.  Knows marks, not who made them.
"""
from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.layout import TEMPORARY, TRASH
from mlops_cli.fsio import ops, syncing, temporaries
from mlops_cli.fsio.paths import Root
from mlops_cli.store.marks import Marks, Step, Stock, looks_like_tree, object_name, result_name
from mlops_cli.store.trash import folders, freshen, moment_of, names_in, new_stamp, paths, put_back

DAY_NS = 86_400_000_000_000
FRESH_NS = DAY_NS + DAY_NS // 24  # how old what a writer relies on may be: a day, and an hour in which clocks may differ
_AT_ONCE = 64  # folders that are synced together
_PART = 1 << 20  # bytes that are compared at a time


@dataclass(slots=True)
class Plan:
    """What a gc would do.  ``objects``: of no use to anybody, folders' nodes first; ``results`` the same; both with their
    sizes.  ``young``: bytes and number of objects that nobody wants and that are spared because they are young.  ``back``:
    paths of what is wanted and lies in the trash.  ``old``: folders of the trash that can be deleted."""

    limit_ns: int
    objects: list[tuple[bytes, int]] = field(default_factory=list)
    results: list[tuple[str, int]] = field(default_factory=list)
    young: tuple[int, int] = (0, 0)
    back: list[tuple[str, str]] = field(default_factory=list)
    old: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of the objects and results to go."""
        return sum(size for _, size in self.objects) + sum(size for _, size in self.results)


def limit(now_ns: int, grace_seconds: float, writers: Iterable[tuple[str, int]]) -> int:
    """Before when something must have been touched last to be thrown away: what is younger than the grace stays, and so does
    what a process that writes at the moment may rely on since it began."""
    return min([now_ns - int(grace_seconds * 1e9), *(began - FRESH_NS for _, began in writers)])


def mark_young(marks: Marks, stock: Stock, limit_ns: int) -> None:
    """Results that are young hold what they name.  So do folders that are young: whoever finds the node of one may take it
    that what is in it is here, too."""
    for name, (_, touched) in stock.results.items():
        if touched >= limit_ns:
            marks.hold_result(name, outputs=True)


def plan(marks: Marks, stock: Stock, limit_ns: int) -> Plan:
    """What nobody wants and is old enough.  Raises OSError, UserError as Marks."""
    made = Plan(limit_ns)
    young = [digest for digest, (_, touched) in stock.objects.items() if touched >= limit_ns and digest not in marks.objects]
    made.young = len(young), sum(stock.objects[digest][0] for digest in young)
    for digest in young:
        if marks.is_tree(digest):
            marks.hold_tree(digest)
    trees: list[tuple[bytes, int]] = []
    for digest, (size, touched) in stock.objects.items():
        if touched < limit_ns and digest not in marks.objects:
            (trees if marks.is_tree(digest) else made.objects).append((digest, size))
    made.objects = trees + made.objects  # a kill in between leaves no folder whose files are gone
    made.results = [(name, size) for name, (size, touched) in stock.results.items()
                    if touched < limit_ns and name not in marks.results]
    made.back = [(stamp, object_name(digest)) for digest, stamp in stock.thrown_objects.items()
                 if digest in marks.objects and digest not in stock.objects]
    made.back += [(stamp, result_name(name)) for name, stamp in stock.thrown_results.items()
                  if name in marks.results and name not in stock.results]
    return made


def old_folders(cache: Root, now_ns: int, writers: Sequence[tuple[str, int]]) -> list[str]:
    """Folders of the trash that lie there for a day, by their names and by the clock of the file system, and that no process
    that writes at the moment has seen come.  Raises OSError."""
    found = []
    for stamp in folders(cache):
        facts, moment = cache.stat(f'{TRASH}/{stamp}'), moment_of(stamp)
        if facts is None or moment is None:
            continue
        thrown_ns = max(int(moment * 1e9), facts.st_mtime_ns)
        if thrown_ns + DAY_NS <= now_ns and all(began > thrown_ns for _, began in writers):
            found.append(stamp)
    return found


@dataclass(slots=True)
class Swept:
    """``stamp``: the folder of the trash, empty if nothing was thrown away.  ``spared``: what was gone, or touched at the last
    moment."""

    stamp: str = ''
    objects: int = 0
    results: int = 0
    bytes: int = 0
    spared: int = 0


def bring_back(cache: Root, plan: Plan) -> int:
    """Puts what is wanted back from the trash; how many.  Raises OSError."""
    count = 0
    for stamp, path in plan.back:
        with suppress(FileNotFoundError):  # whoever missed it was faster
            count += put_back(cache, f'{TRASH}/{stamp}/{path}', path)
    return count


def sweep(cache: Root, plan: Plan, now_ns: int, step: Step = lambda _count: None) -> Swept:
    """Throws away what the plan says, as far as it is still as old as it was.  Durable afterwards.  Raises OSError; what was
    thrown away until then is in the trash."""
    swept = Swept()
    doomed = [*((result_name(name), False) for name, _ in plan.results), *((object_name(one), True) for one, _ in plan.objects)]
    if not doomed:
        return swept
    swept.stamp = _new_folder(cache, now_ns)
    with _Mover(cache, f'{TRASH}/{swept.stamp}', plan.limit_ns) as mover:
        for number, (path, is_object) in enumerate(doomed, 1):
            size = mover.move(path)
            if size is None:
                swept.spared += 1
                continue
            swept.objects += is_object
            swept.results += not is_object
            swept.bytes += size
            step(number)
    return swept


def _new_folder(cache: Root, now_ns: int) -> str:
    cache.makedirs(TRASH, 0o755)
    stamp = first = new_stamp(now_ns / 1e9)
    number = 1
    while True:
        try:
            with cache.parent(f'{TRASH}/{stamp}') as (folder, name):
                ops.mkdir(name, 0o755, dir_fd=folder)
            _sync(cache, TRASH)
            _sync(cache, '')
            return stamp
        except FileExistsError:
            number += 1
            stamp = f'{first}-{number}'


class _Mover:
    """Moves files of the cache below another folder of it, where their paths are the same; durable when it is left."""

    def __init__(self, cache: Root, base: str, limit_ns: int) -> None:
        self._cache, self._base, self._limit_ns = cache, base, limit_ns
        self._open: dict[str, tuple[int, int]] = {}

    def __enter__(self) -> _Mover:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._settle()
        finally:
            self._close()

    def move(self, path: str) -> int | None:
        """Its bytes; None for what is gone, or was touched meanwhile and so is wanted: that stays, or is put back."""
        folder, _, name = path.rpartition('/')
        try:
            source, target = self._folders(folder)
            if not self._is_old(source, name):
                return None
            ops.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
        except FileNotFoundError:
            return None
        facts = ops.lstat(name, target)
        if facts.st_mtime_ns >= self._limit_ns:  # touched between the two: somebody relies on its being there
            put_back(self._cache, f'{self._base}/{path}', path)
            return None
        return facts.st_size

    def _is_old(self, folder: int, name: str) -> bool:
        return ops.lstat(name, folder).st_mtime_ns < self._limit_ns

    def _folders(self, folder: str) -> tuple[int, int]:
        found = self._open.get(folder)
        if found is None:
            if len(self._open) >= _AT_ONCE:
                self._settle()
                self._close()
            source = self._cache.open_dir(folder)
            try:
                self._cache.makedirs(f'{self._base}/{folder}')
                found = self._open[folder] = source, self._cache.open_dir(f'{self._base}/{folder}')
            except BaseException:
                os.close(source)
                raise
        return found

    def _settle(self) -> None:
        """Where things are now becomes durable before where they no longer are."""
        syncing.sync_each([target for _, target in self._open.values()])
        above = sorted({os.path.dirname(f'{self._base}/{folder}') for folder in self._open}, reverse=True)
        for path in (*above, self._base):
            _sync(self._cache, path)
        syncing.sync_each([source for source, _ in self._open.values()])

    def _close(self) -> None:
        while self._open:
            for fd in self._open.popitem()[1]:
                os.close(fd)


def take_out(cache: Root, stamps: Iterable[str]) -> list[str]:
    """Folders of the trash become temporaries, to be removed, so that nobody ever sees half of one, and what a kill leaves goes
    with the next command.  What of them is wanted has been brought back before.  Raises OSError."""
    asides = []
    for stamp in stamps:
        asides.append(f'{TEMPORARY}/{temporaries.new_name()}')
        cache.rename(f'{TRASH}/{stamp}', asides[-1])
    return asides


def remove(cache: Root, asides: Iterable[str]) -> tuple[int, int]:
    """Removes them: (files, bytes).  It may take long, and needs no lock.  Raises OSError."""
    files = size = 0
    for aside in asides:
        for part in names_in(cache, aside):
            for shard in names_in(cache, f'{aside}/{part}'):
                found = [entry.stat().st_size for entry in cache.scandir(f'{aside}/{part}/{shard}', stats=True)]
                files, size = files + len(found), size + sum(found)
        cache.remove_tree(aside)
    return files, size


@dataclass(slots=True)
class Undone:
    """``taken``: paths of what could not be put back because something else has its place; it is still in the trash."""

    stamp: str = ''
    files: int = 0
    bytes: int = 0
    taken: list[str] = field(default_factory=list)


def undo(cache: Root, step: Step = lambda _count: None) -> Undone:
    """Puts the newest folder of the trash back, files before the nodes of the folders they are in, results last.  What is put
    back counts as touched now.  Raises OSError, UserError."""
    stamp = next((one for one in folders(cache) if next(paths(cache, one), '')), '')
    if not stamp:
        return Undone()
    undone = Undone(stamp)
    base = f'{TRASH}/{undone.stamp}'
    for number, path in enumerate(_in_order(cache, undone.stamp), 1):
        source = f'{base}/{path}'
        facts, present = cache.stat(source), cache.stat(path)
        if facts is None:
            continue  # whoever missed it was faster
        if present is None:
            freshen(cache, source)
            if put_back(cache, source, path):
                undone.files, undone.bytes = undone.files + 1, undone.bytes + facts.st_size
                step(number)
                continue
            present = cache.stat(path)
        if present is not None and _same(cache, source, path):  # it was made again
            cache.unlink(source)
        else:
            undone.taken.append(path)
    _settle(cache, base)
    if not undone.taken:
        cache.remove_tree(base)
    return undone


def _same(cache: Root, one: str, two: str) -> bool:
    """Whether two files have the same bytes."""
    with open(cache.open(one), 'rb') as first, open(cache.open(two), 'rb') as second:
        while True:
            with ops.Naming(first.fileno()):
                part = first.read(_PART)
            with ops.Naming(second.fileno()):
                if second.read(_PART) != part:
                    return False
            if not part:
                return True


def _in_order(cache: Root, stamp: str) -> Iterator[str]:
    """Results last, the nodes of folders before them."""
    rest: list[str] = []
    trees: list[str] = []
    for path in paths(cache, stamp):
        if not path.startswith(object_name(b'').partition('/')[0]):
            rest.append(path)
        elif looks_like_tree(cache, f'{TRASH}/{stamp}/{path}'):
            trees.append(path)
        else:
            yield path
    yield from trees
    yield from rest


def _settle(cache: Root, base: str) -> None:
    """The places of all that was put back become durable."""
    for part in names_in(cache, base):
        for shard in names_in(cache, f'{base}/{part}'):
            _sync(cache, f'{part}/{shard}')


def _sync(cache: Root, folder: str) -> None:
    """The names in a folder become durable."""
    fd = cache.open_dir(folder)
    try:
        ops.fsync(fd)
    finally:
        os.close(fd)
