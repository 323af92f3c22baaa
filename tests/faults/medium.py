"""What a disk may hold after the power was cut: a tree of files that is told every change, and tells the states in which it
may be found afterwards.  Knows nothing of mlops but the names of its recorder's operations.

Two kinds of file systems.  *Ordered*, as ext4 and xfs with their journals: names and other metadata reach the medium in the
order in which they were changed, and an fsync of a file takes along all metadata up to the last change of that file's own.
*Loose*: an fsync of a file makes durable what is in that file, one of a folder the names in that folder, and of all else any
part may be there or not; but neither a file that was renamed nor what is in a folder is lost by that: a rename is not found
without the folder that it led into, and no folder is gone while there is something in it.

On both, of what was written to a file since it was last synced any part may be missing, in blocks of 4 KiB: as it was before,
as it is now, as zeros, or cut off."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

BLOCK = 4096
TRIES = 4  # states laid out for each that is new


class Held(NamedTuple):
    """What has a name.  ``kind``: file, dir or link; of a link ``data`` is where it leads.  ``node``: which file it is."""

    kind: str
    mode: int
    data: bytes
    node: int


State = dict[str, Held]  # by relative path


def snapshot(root: Path, skip: Collection[str] = ()) -> State:
    """All below a folder but what is named in ``skip``, relative."""
    found: State = {}

    def look(folder: Path) -> None:
        for path in sorted(folder.iterdir()):
            rel = str(path.relative_to(root))
            if rel in skip:
                continue
            mode = path.lstat().st_mode & 0o777
            if path.is_symlink():
                found[rel] = Held('link', mode, bytes(path.readlink()), 0)
            elif path.is_dir():
                found[rel] = Held('dir', mode, b'', 0)
                look(path)
            else:
                found[rel] = Held('file', mode, path.read_bytes(), 0)

    look(root)
    return found


@dataclass(slots=True)
class Node:
    """A file, folder or link.  ``versions``: (when, all bytes) after each change of its content; ``modes`` likewise.
    ``touched``: when its metadata was changed."""

    kind: str
    versions: list[tuple[int, bytes]]
    modes: list[tuple[int, int]]
    touched: list[int] = field(default_factory=list)
    entries: dict[str, int] = field(default_factory=dict)  # of a folder, as it is now

    @property
    def data(self) -> bytes:
        return self.versions[-1][1]

    def at(self, moment: int) -> bytes:
        return next((data for when, data in reversed(self.versions) if when <= moment), b'')

    def mode_at(self, moment: int) -> int:
        return next((mode for when, mode in reversed(self.modes) if when <= moment), self.modes[0][1])


class Change(NamedTuple):
    """Names given and taken in one step: (folder, name, node or None)."""

    when: int
    edits: tuple[tuple[int, str, int | None], ...]


class Sync(NamedTuple):
    """``what``: fsync, range (written, not yet durable) or all."""

    when: int
    what: str
    node: int


class Refused(Exception):
    """An operation that the file system refused, which changed nothing."""


class Medium:
    """``root``: absolute path of the folder that counts.  ``base``: what is in it, all of it durable."""

    def __init__(self, root: str, base: State) -> None:
        self.root = root
        self.nodes: list[Node] = [Node('dir', [(0, b'')], [(0, 0o755)])]
        self.changes: list[Change] = []
        self.syncs: list[Sync] = []
        self.when = 0
        self._inodes: dict[Any, int] = {}
        self.start: list[dict[str, int]] = [{}]
        for path in sorted(base):
            held = base[path]
            folder, name = self._parent(path)
            self.nodes[folder].entries[name] = self._new(held.kind, held.mode, held.data)
        self.start = [dict(node.entries) for node in self.nodes]
        for node in self.nodes:
            node.touched.clear()

    # What is done to it

    def apply(self, operation: str, details: Mapping[str, Any]) -> None:
        """One operation as fsio.ops.record tells it, or a foreign one.  What the file system would refuse changes nothing."""
        self.when += 1
        method = getattr(self, f'_do_{operation}', None)
        if method is not None:
            try:
                method(details)
            except Refused:
                return

    def _new(self, kind: str, mode: int, data: bytes = b'') -> int:
        self.nodes.append(Node(kind, [(self.when, data)], [(self.when, mode)], [self.when]))
        return len(self.nodes) - 1

    def rel(self, path: str) -> str:
        """Raises Refused for what lies elsewhere."""
        if path != self.root and not path.startswith(f'{self.root}/'):
            raise Refused
        return path[len(self.root) + 1 :]

    def _parent(self, rel: str) -> tuple[int, str]:
        at, (*folders, name) = 0, rel.split('/')
        for one in folders:
            found = self.nodes[at].entries.get(one)
            if found is None or self.nodes[found].kind != 'dir':
                raise Refused
            at = found
        return at, name

    def find(self, rel: str) -> int | None:
        if not rel:
            return 0
        try:
            folder, name = self._parent(rel)
        except Refused:
            return None
        return self.nodes[folder].entries.get(name)

    def _there(self, path: str) -> int:
        found = self.find(self.rel(path))
        if found is None:
            raise Refused
        return found

    def _opened(self, details: Mapping[str, Any]) -> int:
        """The file of a descriptor: what has its path, or had it."""
        try:
            self._inodes[details['inode']] = found = self._there(details['path'])
        except Refused:
            if details['inode'] not in self._inodes:
                raise
            found = self._inodes[details['inode']]
        return found

    def _edit(self, *edits: tuple[int, str, int | None]) -> None:
        for folder, name, node in edits:
            entries = self.nodes[folder].entries
            for touched in {folder, node, entries.get(name)} - {None}:
                self.nodes[touched].touched.append(self.when)  # type: ignore[index]
        for folder, name, node in edits:
            if node is None:
                self.nodes[folder].entries.pop(name, None)
            else:
                self.nodes[folder].entries[name] = node
        self.changes.append(Change(self.when, edits))

    def _create(self, path: str, kind: str, mode: int, data: bytes = b'') -> int:
        folder, name = self._parent(self.rel(path))
        if name in self.nodes[folder].entries:
            raise Refused
        made = self._new(kind, mode, data)
        self._edit((folder, name, made))
        return made

    def _put(self, node: int, data: bytes) -> None:
        one = self.nodes[node]
        if len(data) != len(one.data):
            one.touched.append(self.when)
        one.versions.append((self.when, data))

    def _do_open(self, details: Mapping[str, Any]) -> None:
        import os

        found = self.find(self.rel(details['path']))
        if found is None and details['flags'] & os.O_CREAT:
            self._create(details['path'], 'file', details['mode'] & ~0o022)
        elif found is not None and details['flags'] & os.O_TRUNC:
            self._put(found, b'')

    def _do_write(self, details: Mapping[str, Any]) -> None:
        node = self._opened(details)
        data, at = self.nodes[node].data, details['offset']
        new = details['data']
        self._put(node, data[:at].ljust(at, b'\0') + new + data[at + len(new) :])

    def _do_truncate(self, details: Mapping[str, Any]) -> None:
        node = self._opened(details)
        self._put(node, self.nodes[node].data[: details['size']].ljust(details['size'], b'\0'))

    def _do_fsync(self, details: Mapping[str, Any]) -> None:
        self.syncs.append(Sync(self.when, 'fsync', self._opened(details)))

    def _do_sync_range(self, details: Mapping[str, Any]) -> None:
        if details['wait']:
            self.syncs.append(Sync(self.when, 'range', self._opened(details)))

    def _do_sync_filesystem(self, _details: Mapping[str, Any]) -> None:
        self.syncs.append(Sync(self.when, 'all', 0))

    def _names(self, details: Mapping[str, Any]) -> tuple[int, str, int, int, str, int | None]:
        """(folder, name, node) of the source, the same of the target."""
        source, name = self._parent(self.rel(details['source']))
        node = self.nodes[source].entries.get(name)
        target, new = self._parent(self.rel(details['target']))
        if node is None:
            raise Refused
        return source, name, node, target, new, self.nodes[target].entries.get(new)

    def _do_rename(self, details: Mapping[str, Any]) -> None:
        source, name, node, target, new, old = self._names(details)
        if old is not None and self.nodes[old].kind == 'dir' and (self.nodes[old].entries or self.nodes[node].kind != 'dir'):
            raise Refused
        if old != node:
            self._edit((source, name, None), (target, new, node))

    def _do_rename_noreplace(self, details: Mapping[str, Any]) -> None:
        source, name, node, target, new, old = self._names(details)
        if old is not None:
            raise Refused
        self._edit((source, name, None), (target, new, node))

    def _do_exchange(self, details: Mapping[str, Any]) -> None:
        source, name, node, target, new, old = self._names(details)
        if old is None:
            raise Refused
        self._edit((source, name, old), (target, new, node))

    def _do_link(self, details: Mapping[str, Any]) -> None:
        _, _, node, target, new, old = self._names(details)
        if old is not None:
            raise Refused
        self._edit((target, new, node))

    def _do_symlink(self, details: Mapping[str, Any]) -> None:
        self._create(details['path'], 'link', 0o777, details['target'].encode())

    def _do_unlink(self, details: Mapping[str, Any]) -> None:
        folder, name = self._parent(self.rel(details['path']))
        if name not in self.nodes[folder].entries:
            raise Refused
        self._edit((folder, name, None))

    def _do_rmdir(self, details: Mapping[str, Any]) -> None:
        if self.nodes[self._there(details['path'])].entries:
            raise Refused
        self._do_unlink(details)

    def _do_mkdir(self, details: Mapping[str, Any]) -> None:
        self._create(details['path'], 'dir', details['mode'] & ~0o022)

    def _do_chmod(self, details: Mapping[str, Any]) -> None:
        node = self._opened(details) if 'inode' in details else self._there(details['path'])
        self.nodes[node].modes.append((self.when, details['mode']))
        self.nodes[node].touched.append(self.when)

    def _do_utime(self, details: Mapping[str, Any]) -> None:
        node = self._opened(details) if 'inode' in details else self._there(details['path'])
        self.nodes[node].touched.append(self.when)

    def _do_foreign(self, details: Mapping[str, Any]) -> None:
        """Somebody else's doing, seen when it was done: ``held`` is what is there now, None if nothing is."""
        path, held = f'{self.root}/{details["rel"]}', details['held']
        found = self.find(details['rel'])
        if held is None:
            self._edit((*self._parent(details['rel']), None))
        elif found is None or self.nodes[found].kind != held.kind or held.kind == 'link':
            if found is not None:
                self._edit((*self._parent(details['rel']), None))
            self._create(path, held.kind, held.mode, held.data if held.kind == 'link' else b'')
            if held.kind == 'file' and held.data:
                self._put(self._there(path), held.data)
        else:
            if self.nodes[found].data != held.data:
                self._put(found, held.data)
            if self.nodes[found].modes[-1][1] != held.mode:
                self._do_chmod({'path': path, 'mode': held.mode})

    # What is there

    def now(self) -> State:
        """Everything, with nothing lost."""
        return self._tree([node.entries for node in self.nodes], lambda node: self.nodes[node].data, self.when)

    def _tree(self, entries: Sequence[Mapping[str, int]], data_of: Any, moment: int) -> State:
        found: State = {}
        waiting = [('', 0)]
        while waiting:
            path, folder = waiting.pop()
            for name, number in entries[folder].items():
                node = self.nodes[number]
                full = f'{path}{name}'
                data = data_of(number) if node.kind == 'file' else node.versions[0][1]
                found[full] = Held(node.kind, node.mode_at(moment), data, number)
                if node.kind == 'dir':
                    waiting.append((f'{full}/', number))
        return found


@dataclass(frozen=True, slots=True)
class Crash:
    """``after``: how many operations were made.  ``how``: in words, what of them was lost.  ``state``: what is found."""

    after: int
    how: str
    state: State

    @property
    def key(self) -> int:
        return hash(frozenset((path, held.kind, held.mode, held.data) for path, held in self.state.items()))


@dataclass(frozen=True, slots=True)
class _Safe:
    """What of a medium is durable for certain.  ``names``: of the changes so far; ``data``: node -> up to when."""

    names: frozenset[int]
    data: Mapping[int, int]
    barrier: int = 0


def _safe_ordered(medium: Medium, after: int) -> _Safe:
    barrier, data = 0, dict[int, int]()
    ranged: dict[int, int] = {}
    for sync in medium.syncs:
        if sync.when > after:
            break
        if sync.what == 'range':
            ranged[sync.node] = sync.when
            continue
        if sync.what == 'all':
            barrier = sync.when
            data = dict.fromkeys(range(len(medium.nodes)), sync.when)
            continue
        last = max((when for when in medium.nodes[sync.node].touched if when <= sync.when), default=0)
        barrier = max(barrier, last)
        data[sync.node] = sync.when
        for node, when in ranged.items():
            if when <= barrier:
                data[node] = max(data.get(node, 0), when)
    names = frozenset(number for number, change in enumerate(medium.changes) if change.when <= barrier)
    return _Safe(names, data, barrier)


def _safe_loose(medium: Medium, after: int) -> _Safe:
    data: dict[int, int] = {}
    all_of_it = 0
    for sync in medium.syncs:
        if sync.when <= after and sync.what == 'all':
            all_of_it = sync.when
            data = dict.fromkeys(range(len(medium.nodes)), sync.when)
        elif sync.when <= after and sync.what == 'fsync':
            data[sync.node] = sync.when
    names = frozenset(
        number
        for number, change in enumerate(medium.changes)
        if change.when <= all_of_it or any(change.when <= data.get(folder, -1) for folder, _, _ in change.edits)
    )
    return _Safe(names, data)


def crashes(medium: Medium, *, ordered: bool, seed: int, each: int, after: Iterable[int] | None = None) -> Iterator[Crash]:
    """States after each number of operations, no two the same.  ``each``: how many to look for after one of them."""
    seen: set[int] = set()
    for count in range(medium.when + 1) if after is None else after:
        dice = random.Random(f'{seed} {count} {ordered}')
        found = 0
        for crash in islice(_crashes_after(medium, count, ordered, dice), TRIES * each):
            if (key := crash.key) not in seen:
                seen.add(key)
                yield crash
                found += 1
                if found >= each:
                    break


def _crashes_after(medium: Medium, after: int, ordered: bool, dice: random.Random) -> Iterator[Crash]:
    safe = (_safe_ordered if ordered else _safe_loose)(medium, after)
    made = [number for number, change in enumerate(medium.changes) if change.when <= after]
    free = [number for number in made if number not in safe.names]
    plans = _name_plans(free, ordered, dice)
    shapes = ['new', 'old', 'zero', 'short', 'torn']
    dice.shuffle(plans)
    for turn, (how, kept) in enumerate([*plans, *plans]):
        names = safe.names.union(kept)
        limit = after
        if ordered and len(kept) < len(free):
            limit = max([safe.barrier, *(medium.changes[number].when for number in kept)])
        entries = _entries(medium, names)
        unsure = _unsure(medium, entries, safe, limit)
        dice.shuffle(shapes)
        for shape in shapes if turn < 2 else shapes[:2]:
            yield _crash(medium, after, f'names {how}, data {shape}', entries, dict.fromkeys(unsure, shape), safe, limit, dice)
        if unsure:
            one = dice.choice(unsure)
            for shape in ('old', 'zero', 'torn'):
                yield _crash(medium, after, f'names {how}, data of one {shape}', entries, {one: shape}, safe, limit, dice)
            mixed = {node: dice.choice(shapes) for node in unsure}
            yield _crash(medium, after, f'names {how}, data mixed', entries, mixed, safe, limit, dice)


def _name_plans(free: list[int], ordered: bool, dice: random.Random) -> list[tuple[str, list[int]]]:
    """Which of the names that are not durable yet are there."""
    plans = [('all', free), ('none', [])] if free else [('all', [])]
    if ordered:
        return plans + [(f'up to {count} of {len(free)}', free[:count]) for count in range(1, len(free))]
    plans += [(f'but {one}', [other for other in free if other != one]) for one in free]
    plans += [(f'only {one}', [one]) for one in free]
    some = range(6 if len(free) > 2 else 0)
    return plans + [(f'some {number}', [one for one in free if dice.random() < 0.5]) for number in some]


def _entries(medium: Medium, names: Collection[int]) -> list[dict[str, int]]:
    """What is in each folder if these changes reached the medium."""
    entries = [dict(one) for one in medium.start]
    entries += [{} for _ in range(len(medium.nodes) - len(entries))]
    above = {node: folder for folder, one in enumerate(entries) for node in one.values() if medium.nodes[node].kind == 'dir'}
    for number in sorted(names):
        edits = medium.changes[number].edits
        if not _may_be(medium, edits, entries, above):
            continue
        for folder, name, node in edits:
            old = entries[folder].pop(name, None) if node is None else entries[folder].get(name)
            if node is not None:
                entries[folder][name] = node
            if old is not None and above.get(old) == folder:
                del above[old]
        for folder, _, node in edits:
            if node is not None and medium.nodes[node].kind == 'dir':
                above[node] = folder
    return entries


def _may_be(
    medium: Medium, edits: Sequence[tuple[int, str, int | None]], entries: Sequence[Mapping[str, int]], above: Mapping[int, int]
) -> bool:
    """Whether a file system lets this be found, with those before it that are."""
    moved = {node for _, _, node in edits if node is not None}
    if len(edits) > 1:  # a rename
        for folder, _, node in edits:
            at: int | None = folder
            while at:
                at = above.get(at) if node is None or at != node else None
            if node is not None and at is None:
                return False
    for folder, name, _ in edits:
        old = entries[folder].get(name)
        if old is not None and old not in moved and medium.nodes[old].kind == 'dir' and entries[old]:
            return False
    return True


def _unsure(medium: Medium, entries: Sequence[Mapping[str, int]], safe: _Safe, limit: int) -> list[int]:
    """Files that have a name and of whose content a part may be lost."""
    named = {node for one in entries for node in one.values()}
    return sorted(
        number for number in named
        if medium.nodes[number].kind == 'file'
        and any(0 < when <= limit and when > safe.data.get(number, 0) for when, _ in medium.nodes[number].versions[1:])
    )


def _crash(
    medium: Medium, after: int, how: str, entries: Sequence[Mapping[str, int]], shapes: Mapping[int, str], safe: _Safe,
    limit: int, dice: random.Random,
) -> Crash:
    known: dict[int, bytes] = {}

    def data_of(number: int) -> bytes:
        if number not in known:
            node = medium.nodes[number]
            old, new = node.at(safe.data.get(number, 0)), node.at(limit)
            known[number] = shaped(old, new, shapes.get(number, 'new'), dice)
        return known[number]

    return Crash(after, how, medium._tree(entries, data_of, limit))


def shaped(old: bytes, new: bytes, shape: str, dice: random.Random) -> bytes:
    """What may be found of a file that was durable as ``old`` and is ``new`` by now."""
    if shape == 'new' or old == new:
        return new
    if shape == 'old':
        return old
    if shape == 'short':
        whole = (len(new) - 1) // BLOCK * BLOCK if len(new) > len(old) else len(new) // BLOCK * BLOCK
        return new[: max(len(old), whole) if len(new) > len(old) else whole]
    blocks = []
    for at in range(0, len(new), BLOCK):
        was, now = old[at : at + BLOCK], new[at : at + BLOCK]
        if was == now:
            blocks.append(now)
        elif shape == 'zero':
            kept = was if now.startswith(was) else b''
            blocks.append(kept + bytes(len(now) - len(kept)))
        else:
            blocks.append(dice.choice((was.ljust(len(now), b'\0')[: len(now)], now, bytes(len(now)))))
    torn = b''.join(blocks)
    if shape == 'torn' and dice.random() < 0.3:
        torn = torn[: max(len(old) if len(old) < len(new) else 0, dice.randrange(len(new) // BLOCK + 1) * BLOCK)]
    return torn
