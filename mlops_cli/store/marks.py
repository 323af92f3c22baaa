"""What of a cache is wanted: from what records name, down to the last file.  Looks and marks; changes nothing.

What cannot be followed to its end is an error, never a guess: a folder whose node is damaged may need anything there is.
"""
from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.layout import OBJECTS, RESULTS, TRASH
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio import ops
from mlops_cli.fsio.atomic import read_file
from mlops_cli.fsio.paths import Root
from mlops_cli.store import tree
from mlops_cli.store.manifests import Kept, read_rows
from mlops_cli.store.results import SCHEMA, SIZE_LIMIT, ResultEntry, decode
from mlops_cli.store.shelf import read_all
from mlops_cli.store.trash import folders, names_in

State = tuple[int, int]  # bytes, and when it was last touched in ns
Step = Callable[[int], None]

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_KEY_LENGTH = 64
_NAME_LENGTH = 62


def _nothing(_count: int) -> None:
    return None


@dataclass(slots=True)
class Stock:
    """What a cache holds: objects by the bytes of their digests, results by their file names; each where it belongs, and
    thrown away, then with the folder of the trash in which it lies."""

    objects: dict[bytes, State] = field(default_factory=dict)
    results: dict[str, State] = field(default_factory=dict)
    thrown_objects: dict[bytes, str] = field(default_factory=dict)
    thrown_results: dict[str, str] = field(default_factory=dict)


def object_name(digest: bytes) -> str:
    """The path of an object, relative to the cache."""
    text = digest.hex()
    return f'{OBJECTS}/{text[:2]}/{text[2:]}'


def result_name(name: str) -> str:
    """The path of a result, relative to the cache."""
    return f'{RESULTS}/{name[:2]}/{name}'


def take_stock(cache: Root, step: Step = _nothing) -> Stock:
    """``step``: told how many files were seen.  Raises OSError, UserError for a link in place of a folder."""
    stock = Stock()
    for shard in _shards(cache, OBJECTS):
        for name, facts in _files(cache, f'{OBJECTS}/{shard}'):
            if (digest := _digest(shard, name)) is not None:
                stock.objects[digest] = facts
        step(len(stock.objects))
    for shard in _shards(cache, RESULTS):
        for name, facts in _files(cache, f'{RESULTS}/{shard}'):
            if _is_result(shard, name):
                stock.results[name] = facts
    for stamp in folders(cache):
        for shard in _shards(cache, f'{TRASH}/{stamp}/{OBJECTS}'):
            for name in names_in(cache, f'{TRASH}/{stamp}/{OBJECTS}/{shard}'):
                if (digest := _digest(shard, name)) is not None:
                    stock.thrown_objects.setdefault(digest, stamp)  # the newest comes first
        for shard in _shards(cache, f'{TRASH}/{stamp}/{RESULTS}'):
            for name in names_in(cache, f'{TRASH}/{stamp}/{RESULTS}/{shard}'):
                if _is_result(shard, name):
                    stock.thrown_results.setdefault(name, stamp)
    return stock


def _shards(cache: Root, folder: str) -> list[str]:
    return sorted(name for name in names_in(cache, folder) if len(name) == 2)


def _files(cache: Root, folder: str) -> Iterator[tuple[str, State]]:
    try:
        fd = cache.open_dir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        with ops.Naming(fd), os.scandir(fd) as found:
            for entry in found:
                try:
                    facts = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(facts.st_mode):
                    yield entry.name, (facts.st_size, facts.st_mtime_ns)
    finally:
        os.close(fd)


def _digest(shard: str, name: str) -> bytes | None:
    try:
        return bytes.fromhex(shard + name) if len(name) == _NAME_LENGTH and name.islower() | name.isdigit() else None
    except ValueError:
        return None


def _is_result(shard: str, name: str) -> bool:
    return name.startswith(shard) and name.endswith('.json') and name[_KEY_LENGTH:_KEY_LENGTH + 1] == '-'


class Marks:
    """What is wanted.  ``holder``: for whom what follows is marked; what is marked once is counted for the first of them.

    Methods raise OSError, and UserError (exit 5) for a folder or a result that is there and cannot be followed."""

    def __init__(self, cache: Root, stock: Stock, step: Step = _nothing) -> None:
        self.holder = ''
        self.objects: set[bytes] = set()
        self.results: set[str] = set()
        self.held: dict[str, list[int]] = {}  # holder -> objects and bytes of them that are in the cache
        self.absent_trees = 0
        self._cache, self._stock, self._step = cache, stock, step
        self._walked: set[bytes] = set()
        self._nodes: set[bytes] = set()
        self._whole: set[str] = set()  # results with all that they name
        self._by_key: dict[str, list[str]] = {}
        for name in {*stock.results, *stock.thrown_results}:
            self._by_key.setdefault(name[:_KEY_LENGTH], []).append(name)

    def hold(self, refs: Iterable[ObjectRef]) -> None:
        """Files, and folders with all that is in them."""
        for ref in refs:
            digest = bytes.fromhex(ref.digest.hex)
            if ref.kind == 'tree':
                self.hold_tree(digest)
            else:
                self.hold_object(digest)

    def hold_object(self, digest: bytes) -> None:
        """One object and nothing that it may name."""
        if digest in self.objects:
            return
        self.objects.add(digest)
        state = self._stock.objects.get(digest)
        if state is not None:
            counts = self.held.setdefault(self.holder, [0, 0])
            counts[0] += 1
            counts[1] += state[0]
        if not len(self.objects) % 4096:
            self._step(len(self.objects))

    def hold_tree(self, digest: bytes, *, files: bool = True) -> None:
        """A folder with all that is in it; without ``files`` only its nodes, which tell what was in it."""
        done = self._walked if files else self._nodes
        waiting = [digest]
        while waiting:
            one = waiting.pop()
            self.hold_object(one)
            if one in done:
                continue
            done.add(one)
            entries = self._entries(one)
            for entry in entries or ():
                if entry.digest is not None:
                    below = bytes.fromhex(entry.digest.hex)
                    if entry.kind == 'dir':
                        waiting.append(below)
                    elif files:
                        self.hold_object(below)

    def _entries(self, digest: bytes) -> tuple[tree.TreeEntry, ...] | None:
        """What a node names; None where it is nowhere here."""
        data = self._read(digest)
        if data is None:
            self.absent_trees += 1
            return None
        try:
            if digest_of(data).hex != digest.hex():
                raise tree.MalformedTree('its bytes hash to something else')
            return tree.decode(data)
        except tree.MalformedTree as error:
            raise UserError(
                f'the folder blake3:{digest.hex()}, which is wanted ({self.holder}), cannot be read, so nobody knows what it '
                f'needs: {error.message}', exit_code=ExitCode.REFUSED,
                hint='mlops verify puts it aside if it is damaged; mlops run makes it again. Nothing was removed') from None

    def _read(self, digest: bytes) -> bytes | None:
        path = object_name(digest)
        stamp = self._stock.thrown_objects.get(digest)
        for place in (path, *([f'{TRASH}/{stamp}/{path}'] if stamp else ())):
            try:
                fd = self._cache.open(place, _READ)
            except FileNotFoundError:
                continue
            try:
                facts = ops.fstat(fd)
                with ops.Naming(fd):
                    start = os.pread(fd, len(tree.PREFIX), 0)
                if start != tree.PREFIX:  # so that nothing large is read for a record that calls it a folder
                    return start
                return read_all(fd, facts.st_size)
            finally:
                os.close(fd)
        return None

    def is_tree(self, digest: bytes) -> bool:
        """Whether an object looks like the node of a folder."""
        state = self._stock.objects.get(digest)
        if state is not None and state[0] < len(tree.PREFIX):
            return False
        stamp = self._stock.thrown_objects.get(digest)
        return looks_like_tree(self._cache, object_name(digest)) or (
            stamp is not None and looks_like_tree(self._cache, f'{TRASH}/{stamp}/{object_name(digest)}'))

    def hold_inputs(self, digests: Iterable[bytes]) -> None:
        """What a key was made of: of folders the nodes, which tell later what differed.  Their files are held by who made or
        added them, if by anybody."""
        for digest in digests:
            if digest not in self._nodes and (digest in self._stock.objects or digest in self._stock.thrown_objects):
                if self.is_tree(digest):
                    self.hold_tree(digest, files=False)
                else:
                    self._nodes.add(digest)

    # Results

    def hold_results(self, wanted: Mapping[str, Iterable[str]], *, outputs: bool) -> None:
        """The results of keys that say which outputs they have (key -> ``outs8``), with what explains them: manifest, sources,
        and the nodes of folders that the key was made of.  ``outputs``: with these and the log, too."""
        for key, outs8 in wanted.items():
            ends = tuple(outs8)
            for name in self._by_key.get(key, ()):
                if name[_KEY_LENGTH + 1:].startswith(ends):
                    self.hold_result(name, outputs=outputs)

    def hold_result(self, name: str, *, outputs: bool) -> None:
        """One result by its file name; as :meth:`hold_results`."""
        done = self._whole if outputs else self.results
        if name in done or (entry := self.result(name)) is None:
            return
        done.add(name)
        self.results.add(name)
        self.hold(entry.refs if outputs else [ref for ref in (entry.manifest, entry.sources) if isinstance(ref, ObjectRef)])
        if entry.manifest is not None:
            self.hold_inputs(self._inputs(entry.manifest))

    def _inputs(self, manifest: Kept) -> Iterator[bytes]:
        """The data that a manifest names; what cannot be read as one holds nothing more."""
        try:
            for kind, _name, digest, *_ in read_rows(manifest, self._object):
                if kind == 'data':
                    yield bytes.fromhex(Digest.parse(digest).hex)
        except (OSError, UserError, ValueError, TypeError, LookupError, RecursionError):
            return

    def _object(self, digest: Digest) -> bytes:
        return read_file(self._cache, object_name(bytes.fromhex(digest.hex)), 64 << 20)

    def result(self, name: str) -> ResultEntry | None:
        """None for one that is damaged, which is never used, or gone.  Raises UserError for one of a later version."""
        stamp = self._stock.thrown_results.get(name)
        for place in (result_name(name), *([f'{TRASH}/{stamp}/{result_name(name)}'] if stamp else ())):
            try:
                data = read_file(self._cache, place, SIZE_LIMIT)
            except FileNotFoundError:
                continue
            except UserError as error:
                if error.exit_code == ExitCode.REFUSED:
                    raise
                return None  # too large for one of ours
            try:
                return decode(data)
            except ValueError:
                if _is_of_later_version(data):
                    raise UserError(
                        f'{self._cache.full(place)} was written by a later version of mlops, so this one cannot tell what it '
                        'needs', exit_code=ExitCode.REFUSED, hint='update mlops. Nothing was removed') from None
                return None
        return None


def _is_of_later_version(data: bytes) -> bool:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return False
    schema = found.get('schema') if isinstance(found, dict) else None
    return isinstance(schema, str) and schema.startswith('mlops/') and schema != SCHEMA


def looks_like_tree(cache: Root, path: str) -> bool:
    """Whether a file begins as the node of a folder does.  Raises OSError."""
    try:
        fd = cache.open(path, _READ)
    except FileNotFoundError:
        return False
    try:
        with ops.Naming(fd):
            return os.read(fd, len(tree.PREFIX)) == tree.PREFIX
    finally:
        os.close(fd)
