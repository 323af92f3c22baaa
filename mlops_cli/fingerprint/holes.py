"""What other stages make, left open in a stage's draft until it is known; then the manifest is complete."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import Digest
from mlops_cli.core.manifest import Entry, Manifest, absent_entry, value_entry
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.values import lookup
from mlops_cli.fingerprint.params import MISSING
from mlops_cli.pipeline import paramfile
from mlops_cli.store.tree import decode, find, walk

Reader = Callable[[Digest], bytes]
HOPS = 40  # links followed for one path, as the kernel has it


@dataclass(frozen=True, slots=True)
class Hole:
    """An input that ``producer`` makes.  ``output``: the path it declares.  ``subpath``: the part of that folder that is
    meant, '' for all of it; ``pattern``: only its files that match (a regular expression over whole relative paths).

    ``kind`` and ``name`` are those of the entry it becomes (``name`` '': the path); of a parameter, ``key`` is its key,
    None for the whole file."""

    path: str
    producer: str
    output: str
    subpath: str = ''
    pattern: str = ''
    kind: Literal['data', 'code', 'param', 'environment'] = 'data'
    name: str = ''
    key: str | None = None

    @property
    def entry_name(self) -> str:
        return self.name or self.path


def fill(entries: Iterable[Entry], holes: Iterable[Hole], made: Mapping[str, ObjectRef], read: Reader) -> Manifest:
    """The manifest, with each hole closed by what its producer made.

    ``made``: declared output path -> reference, of every producer.  ``read``: bytes of an object by digest.
    Raises KeyError where a producer's output is unknown, UserError for a parameter file that is none, what ``read`` raises."""
    found = {entry.sort_key: entry for entry in entries}
    for hole in holes:
        for entry in _closed(hole, made[hole.output], read):
            found[entry.sort_key] = entry
    return Manifest.of(found.values())


def _closed(hole: Hole, ref: ObjectRef, read: Reader) -> Iterator[Entry]:
    if hole.pattern:
        for path, part in matching(hole, ref, read):
            yield Entry(hole.kind, path, part.identity)
        return
    inner = part_of(ref, hole.subpath, read)
    if inner is None:
        yield absent_entry(hole.kind, hole.entry_name)
    elif hole.kind == 'param':
        yield _parameter(hole, inner, read)
    else:
        yield Entry(hole.kind, hole.entry_name, inner.identity)


def matching(hole: Hole, ref: ObjectRef, read: Reader) -> Iterator[tuple[str, ObjectRef]]:
    """(path, content) of the files that a hole with a pattern means."""
    matches = re.compile(hole.pattern).fullmatch
    for relative, node in walk(ref, read) if ref.kind == 'tree' else ():
        path = f'{hole.output}/{relative}'
        if node.digest is not None and node.kind in ('file', 'exec') and matches(path):
            yield path, node.ref


def _parameter(hole: Hole, ref: ObjectRef, read: Reader) -> Entry:
    value = parameter_in(ref, hole.path, hole.key, read)
    return absent_entry('param', hole.entry_name) if value is MISSING else value_entry('param', hole.entry_name, value)


def parameter_in(ref: ObjectRef, file: str, key: str | None, read: Reader) -> Any:
    """The value of a dotted key (None: all of them) in a stored parameter file, or MISSING.  Raises as :func:`fill`."""
    document = paramfile.read(b'' if ref.kind == 'tree' else read(ref.digest), file)
    return document if key is None else lookup(document, key)


def part_of(ref: ObjectRef, subpath: str, read: Reader) -> ObjectRef | None:
    """What a folder holds at a path, through links inside of it; None if nothing."""
    if not subpath:
        return ref
    if (direct := find(ref, subpath, read)) is not None:
        return direct
    waiting, here = subpath.split('/')[::-1], ''
    hops = 0
    while waiting:
        path = posixpath.normpath(posixpath.join(here, waiting.pop()))
        parent = find(ref, posixpath.dirname(path), read)
        if parent is None or parent.kind != 'tree':
            return None
        entry = next((one for one in decode(read(parent.digest)) if one.name == posixpath.basename(path)), None)
        if entry is None:
            return None
        if entry.kind == 'link':
            hops += 1
            if hops > HOPS:
                return None
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), entry.target))
            waiting += path.split('/')[::-1]
            path = ''
        here = path
    return find(ref, here, read)
