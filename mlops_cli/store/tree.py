"""Folders as Merkle trees, format ``tree-v1`` (docs/formats/tree.md).  Pure: reads objects through a function it is given.

One node per folder, so that ten changed files of 100,000 rewrite eleven nodes.  A node is the line ``mlops tree-v1``
and one canonical JSON array a line, sorted by the bytes of the name:
``[name, kind, digest, size]``, for a symlink ``[name, "link", target]``.
"""
from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from json.encoder import encode_basestring
from operator import attrgetter
from typing import Any, Literal, NamedTuple, NoReturn

from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import ALGORITHM, Digest, digest_of
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.paths import ancestors, check_component
from mlops_cli.core.patterns import pattern
from mlops_cli.core.refs import ObjectRef

PREFIX = b'mlops tree-v1\n'
PATH_LIMIT = 4096  # characters of a path within a tree
DEPTH_LIMIT = 128  # folders below folders: a descriptor each, and some four calls of Python's 1,000

SIZE_LIMIT = 1 << 63

# A line whose name is nothing special on any file system, and whose size is below the limit.
_PLAIN_NAME = '[A-Za-z0-9_][A-Za-z0-9_.+=,@%-]{0,200}'
_PLAIN_NAMES = pattern(rf'(?:{_PLAIN_NAME}\n)*')
_PLAIN_LINE = pattern(rf'\["({_PLAIN_NAME})","(file|exec|dir)",'
                      rf'"{ALGORITHM}:([0-9a-f]{{64}})",(0|[1-9][0-9]{{0,17}})\]\n')

EntryKind = Literal['file', 'exec', 'dir', 'link']
Read = Callable[[Digest], bytes]


class MalformedTree(UserError):
    """A node that no version of ours wrote, or that means harm: nothing of it is used."""

    def __init__(self, problem: str) -> None:
        super().__init__(f'not a folder in the format tree-v1: {problem}', exit_code=ExitCode.UNREACHABLE,
                         hint='it was written by a newer mlops, or by something else; nothing of it was used')


class TreeEntry(NamedTuple):
    """One name in a folder.

    ``name``: undecodable bytes as surrogate escapes.  ``digest``: None for a link.  ``size``: bytes of the content, of a dir
    of all the files below it, 0 for a link.  ``target``: where a link points, else empty."""

    name: str
    kind: EntryKind
    digest: Digest | None
    size: int
    target: str = ''

    @property
    def ref(self) -> ObjectRef:
        """What it refers to; not for links."""
        assert self.digest is not None
        return ObjectRef(self.digest, self.size, 'tree' if self.kind == 'dir' else 'exec' if self.kind == 'exec' else 'file')


def entry_of(name: str, ref: ObjectRef) -> TreeEntry:
    """The entry under which a folder holds a file or a folder."""
    return TreeEntry(name, 'dir' if ref.kind == 'tree' else ref.kind, ref.digest, ref.size)


def name_bytes(name: str) -> bytes:
    """The bytes of a name on disk; UTF-8, whatever the locale."""
    return name.encode('utf-8', 'surrogateescape')


_by_name = attrgetter('name')


def ordered(entries: Iterable[TreeEntry]) -> list[TreeEntry]:
    """Sorted by the bytes of the names."""
    found = sorted(entries, key=_by_name)
    if not all(entry.name.isascii() for entry in found):
        found.sort(key=lambda entry: name_bytes(entry.name))
    return found


def folded(name: str) -> str:
    """Equal for names that some file system would take for one: case and Unicode composition left out."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize('NFC', unicodedata.normalize('NFC', name).casefold())


def _is_bytes(text: str) -> bool:
    """Whether a text is what some bytes on disk are read as: no other surrogates, and none where UTF-8 has a character."""
    if text.isascii():
        return True
    try:
        return name_bytes(text).decode('utf-8', 'surrogateescape') == text
    except UnicodeEncodeError:
        return False


def name_problem(name: str) -> str | None:
    """Why a folder of ours cannot hold this name; None if it can."""
    if name in ('', '.', '..'):
        return f'the name {name!r}'
    if '/' in name or '\0' in name:
        return f'the name {name!r} (a slash or NUL)'
    if not _is_bytes(name):
        return f'the name {name[:80]!r} (not what bytes are read as)'
    try:
        check_component(name)
    except ValueError as error:
        return f'the name {name[:80]!r}, which {error}'
    return None


def all_plain(names: Sequence[str]) -> bool:
    """Whether none of them needs a closer look, by itself or beside the others: found in a tenth of the time of that look."""
    text = '\n'.join(names) + '\n'
    return (text.count('\n') == len(names) and _PLAIN_NAMES.fullmatch(text) is not None
            and len({*text.lower().split('\n')}) == len(names) + 1)


def link_problem(target: str, depth: int) -> str | None:
    """Why a symlink ``depth`` folders below the root of its tree must not point to ``target``; None if it may.

    `..` only in front: after a name that is itself a symlink it would climb from wherever that one leads."""
    if not target or '\0' in target or not _is_bytes(target):
        return 'it points nowhere'
    if target.startswith('/'):
        return 'it points to an absolute path'
    climbed, descending = 0, False
    for part in target.split('/'):
        if part == '..':
            climbed += 1
            if descending:
                return 'it has .. after a name'
        elif part not in ('', '.'):
            descending = True
            if name_problem(part):
                return f'it points into {part!r}'
    return 'it points out of the folder' if climbed > depth else None


def collision(names: Iterable[str]) -> tuple[str, str] | None:
    """Two names that differ only in case or Unicode composition, if there are any."""
    seen: dict[str, str] = {}
    for name in names:
        key = folded(name)
        if key in seen:
            return seen[key], name
        seen[key] = name
    return None


def encode(entries: Iterable[TreeEntry]) -> bytes:
    """The bytes of a node.  The entries may come in any order; their names were checked."""
    lines = []
    for name, kind, digest, size, target in ordered(entries):
        if kind == 'link':
            lines.append(f'[{encode_basestring(name)},"link",{encode_basestring(target)}]\n')
        else:
            lines.append(f'[{encode_basestring(name)},"{kind}","{digest}",{size}]\n')
    text = ''.join(lines)
    if text.isascii():
        return PREFIX + text.encode()
    return PREFIX + b''.join(_escaped(line) for line in lines)


def _escaped(line: str) -> bytes:
    """As core.canonical: lone surrogates, which UTF-8 has no bytes for, as JSON escapes."""
    try:
        return line.encode()
    except UnicodeEncodeError:
        return ''.join(c if not '\ud800' <= c <= '\udfff' else f'\\u{ord(c):04x}' for c in line).encode()


EMPTY = PREFIX  # the node of an empty folder


def tree_ref(node: bytes, entries: Iterable[TreeEntry]) -> ObjectRef:
    """The reference to a node that holds these entries."""
    return ObjectRef(digest_of(node), sum(entry.size for entry in entries), 'tree')


def _fail(problem: str) -> NoReturn:
    raise MalformedTree(problem)


def _entry(row: Any) -> TreeEntry:
    match row:
        case [str(name), 'link', str(target)]:
            return TreeEntry(name, 'link', None, 0, target)
        case [str(name), 'file' | 'exec' | 'dir' as kind, str(digest), int(size)] if 0 <= size < SIZE_LIMIT:
            try:
                return TreeEntry(name, kind, Digest.parse(digest), size)
            except ValueError as error:
                _fail(str(error))
    _fail(f'the line {str(row)[:80]}')


def decode(data: bytes) -> tuple[TreeEntry, ...]:
    """The entries of a node, in order.  Raises MalformedTree on everything :func:`encode` cannot have written and
    on names and links that must never reach a disk (whether a link leaves the tree shows only in :func:`walk`)."""
    if not data.startswith(PREFIX):
        _fail('it does not begin with its name')
    body = data[len(PREFIX):]
    found = _decode_plain(body)
    return _decode_any(data, body) if found is None else found


def _decode_plain(body: bytes) -> tuple[TreeEntry, ...] | None:
    """As _decode_any in a third of the time, where no name needs a closer look, as in most folders; else None."""
    if not body.isascii():
        return None
    text = body.decode()
    rows: list[tuple[str, Any, str, str]] = _PLAIN_LINE.findall(text)
    names = [row[0] for row in rows]
    if names != sorted(names) or len({name.lower() for name in names}) != len(names):
        return None
    if ''.join([f'["{name}","{kind}","{ALGORITHM}:{digits}",{size}]\n' for name, kind, digits, size in rows]) != text:
        return None
    return tuple([TreeEntry(name, kind, Digest(digits), int(size)) for name, kind, digits, size in rows])


def _decode_any(data: bytes, body: bytes) -> tuple[TreeEntry, ...]:
    try:
        rows = json.loads(b'[' + b','.join(body.splitlines()) + b']')
    except (ValueError, RecursionError):
        _fail('it is not JSON')
    entries = tuple(map(_entry, rows))
    for entry in entries:
        problem = name_problem(entry.name) or (entry.kind == 'link' and link_problem(entry.target, PATH_LIMIT))
        if problem:
            _fail(f'{entry.name[:80]!r}: {problem}')
    if encode(entries) != data:
        _fail('it is not in canonical form')
    if len({entry.name for entry in entries}) != len(entries):
        _fail('a name twice')
    if both := collision(map(_by_name, entries)):
        _fail(f'the names {both[0]!r} and {both[1]!r} differ only in case or composition')
    return entries


@dataclass(frozen=True, slots=True)
class Link:
    """Content of a symlink, for :func:`build`."""

    target: str


def build(content: Mapping[str, ObjectRef | Link]) -> tuple[ObjectRef, dict[Digest, bytes]]:
    """The tree that holds this content at these relative paths, and all the nodes made for it.

    A reference to a tree grafts that tree, so ``EMPTY`` makes an empty folder.  Raises ValueError on a path that a
    tree cannot hold, or that is both a file and a folder."""
    nested: dict[str, Any] = {}
    for path, value in content.items():
        parts = path.split('/')
        folder = nested
        for part in parts[:-1]:
            folder = folder.setdefault(part, {})
            if not isinstance(folder, dict):
                raise ValueError(f'{path}: {part} is not a folder')
        if parts[-1] in folder:
            raise ValueError(f'{path} is there twice')
        if isinstance(value, Link) and (problem := link_problem(value.target, len(parts) - 1)):
            raise ValueError(f'{path}: {problem}')
        folder[parts[-1]] = value
    nodes: dict[Digest, bytes] = {}
    return _build(nested, nodes), nodes


def _build(folder: dict[str, Any], nodes: dict[Digest, bytes]) -> ObjectRef:
    entries = []
    for name, value in folder.items():
        if problem := name_problem(name):
            raise ValueError(problem)
        if isinstance(value, Link):
            entries.append(TreeEntry(name, 'link', None, 0, value.target))
        else:
            entries.append(entry_of(name, _build(value, nodes) if isinstance(value, dict) else value))
    if both := collision(map(_by_name, entries)):
        raise ValueError(f'the names {both[0]!r} and {both[1]!r} differ only in case or composition')
    node = encode(entries)
    ref = tree_ref(node, entries)
    nodes[ref.digest] = node
    return ref


def walk(ref: ObjectRef, read: Read) -> Iterator[tuple[str, TreeEntry]]:
    """Every entry below a tree, a folder before what it holds, in the order of the names' bytes.

    Raises MalformedTree also on a link that leaves the tree, and what ``read`` raises."""
    stack: list[tuple[str, int, Iterator[TreeEntry]]] = [('', 0, iter(decode(read(ref.digest))))]
    while stack:
        above, depth, entries = stack[-1]
        entry = next(entries, None)
        if entry is None:
            stack.pop()
            continue
        path = f'{above}{entry.name}'
        if len(path) > PATH_LIMIT or depth > DEPTH_LIMIT:
            _fail(f'{path[:80]!r}... lies too deep')
        if entry.kind == 'link' and (problem := link_problem(entry.target, depth)):
            _fail(f'the link {path!r}: {problem}')
        yield path, entry
        if entry.kind == 'dir':
            assert entry.digest is not None
            stack.append((f'{path}/', depth + 1, iter(decode(read(entry.digest)))))


def find(ref: ObjectRef, subpath: str, read: Read) -> ObjectRef | None:
    """What a tree holds at a relative path; None if that is nothing, or a link.  ``.`` is the tree itself."""
    if subpath in ('', '.'):
        return ref
    for part in subpath.split('/'):
        if ref.kind != 'tree':
            return None
        entry = next((entry for entry in decode(read(ref.digest)) if entry.name == part), None)
        if entry is None or entry.kind == 'link':
            return None
        ref = entry.ref
    return ref


def within(outputs: Mapping[str, ObjectRef], path: str, read: Read) -> ObjectRef | None:
    """What lies at a path that is an output, or in one that is a folder; None where nothing does."""
    made = next((one for one in (path, *ancestors(path)) if one in outputs), None)
    return None if made is None else find(outputs[made], path[len(made) + 1 :], read)


def diff(old: ObjectRef | None, new: ObjectRef | None, read: Read) -> Iterator[tuple[str, TreeEntry | None, TreeEntry | None]]:
    """(path, before, after) of every file and link that differs between two trees, and of every folder that is new or gone.

    Opens only the nodes that differ.  None for a tree that is not there."""
    stack = [('', old, new)]
    while stack:
        above, one, two = stack.pop()
        if one is not None and two is not None and one.digest == two.digest:
            continue
        before = {entry.name: entry for entry in decode(read(one.digest))} if one else {}
        after = {entry.name: entry for entry in decode(read(two.digest))} if two else {}
        below = []
        for name in sorted(before.keys() | after.keys(), key=name_bytes):
            left, right = before.get(name), after.get(name)
            if left == right:
                continue
            folders = [entry.ref if entry and entry.kind == 'dir' else None for entry in (left, right)]
            if not (folders[0] and folders[1]):
                yield f'{above}{name}', left, right
            if folders[0] or folders[1]:
                below.append((f'{above}{name}/', folders[0], folders[1]))
        stack += reversed(below)
