"""The objects of a remote: small ones in packs, large ones by themselves (docs/formats/remote.md).

An object is there once the index of its pack is, or its own key; both come after its bytes.  Nothing that was read is believed
before it hashed to its name.
"""
from __future__ import annotations

import builtins
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from typing import Protocol

from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.layout import OBJECTS
from mlops_cli.store.bucket import BLOCK, Absent, Bucket, Sure, at_once, side_by_side
from mlops_cli.store.objects import Chunks, Damaged, MissingObject, checked
from mlops_cli.store.packs import SMALL, Index, MalformedPack, Packed, Packing, name_bytes, spans

PACKS = 'packs-v1'
PACK, INDEX = '.pack', '.index'
GAP = 64 << 10  # bytes that nobody wants and that come along, where that saves a request
LARGE_PARTS = 8  # of a large object that are under way
PIECES = 6  # of packs that are under way: each is some 8 MiB of memory
READS = 3  # of what is damaged: then it is so there, and not only on its way here
FEW = 64  # large objects that are asked for one by one; of more, all are listed


class Kept(Protocol):
    """Keeps indexes of packs, which never change."""

    def get(self, pack: Digest) -> bytes | None: ...
    def put(self, pack: Digest, data: bytes) -> None: ...


class Depot:
    """An ObjectStore on a bucket.  What it holds is asked for once; :meth:`look_again` asks anew.

    ``kept``: where indexes are remembered; they are asked for each time without.  Not thread safe."""

    def __init__(self, bucket: Bucket, kept: Kept | None = None) -> None:
        self.bucket = bucket
        self.where = bucket.where
        self._kept = kept
        self._indexes: dict[Digest, Index] | None = None
        self._large: dict[Digest, int | None] = {}
        self._all_large = False

    def close(self) -> None:
        self.bucket.close()

    # What is there

    def look_again(self) -> None:
        """Forget what is known of it."""
        self._indexes, self._large, self._all_large = None, {}, False

    @property
    def indexes(self) -> dict[Digest, Index]:
        """Pack -> what is in it, of all packs that have both.  Raises Unreachable, MalformedPack."""
        if self._indexes is None:
            packs: dict[Digest, int] = {}
            named: list[Digest] = []
            for key, size, _ in self.bucket.list(PACKS):
                name = key.rpartition('/')[2]
                pack = _digest(name.partition('.')[0])
                if pack is not None and name.endswith(PACK):
                    packs[pack] = size
                elif pack is not None and name.endswith(INDEX):
                    named.append(pack)
            found = self._read_indexes([pack for pack in named if pack in packs])
            self._indexes = {pack: index for pack, index in found.items() if packs[pack] == index.pack_size}
        return self._indexes

    def _read_indexes(self, packs: builtins.list[Digest]) -> dict[Digest, Index]:
        found: dict[Digest, Index] = {}
        new: list[Digest] = []
        for pack in packs:
            data = self._kept.get(pack) if self._kept is not None else None
            try:
                if data is not None:
                    found[pack] = Index(pack, data)
                    continue
            except MalformedPack:
                pass  # ours was damaged here: it is brought anew
            new.append(pack)
        with closing(side_by_side(self._index, new)) as brought:
            for pack, data in brought:
                if data is None:
                    continue  # as if it were not there: what it names is sent again, under the same name
                found[pack] = Index(pack, data)
                if self._kept is not None:
                    self._kept.put(pack, data)
        return found

    def _index(self, pack: Digest) -> tuple[Digest, bytes | None]:
        """The bytes of an index; None if they are damaged there, or gone meanwhile."""
        for _ in range(READS):
            try:
                data = self.bucket.get(index_key(pack))
            except Absent:
                break
            if digest_of(data) == pack:
                try:
                    Index(pack, data)
                except MalformedPack:
                    break
                return pack, data
        return pack, None

    def has(self, digests: Iterable[Digest]) -> set[Digest]:
        """Those of them that are here, large ones by their name alone."""
        wanted = {name_bytes(digest): digest for digest in digests}
        found = {wanted[name] for name in self._packed(set(wanted))}
        rest = [digest for digest in wanted.values() if digest not in found]
        return found | {digest for digest, size in self.large_sizes(rest).items() if size is not None}

    def packed(self, digests: Iterable[Digest]) -> set[Digest]:
        """Those of them that are in packs."""
        return {Digest(name.hex()) for name in self._packed({name_bytes(digest) for digest in digests})}

    def _packed(self, names: set[bytes]) -> set[bytes]:
        found: set[bytes] = set()
        for index in self.indexes.values():
            found.update(names.intersection(index.names()))
        return found

    def lacks(self, wanted: Iterable[tuple[Digest, int]]) -> set[Digest]:
        """Those of the objects, given with their sizes, that are not here, or with another size.  Only what is large is asked
        for by itself."""
        small = {name_bytes(digest): digest for digest, size in wanted if size <= SMALL}
        held = self._packed(set(small))
        large = {digest: size for digest, size in wanted if size > SMALL}
        there = self.large_sizes(large)
        missing = {digest for name, digest in small.items() if name not in held}
        return missing | {digest for digest, size in large.items() if there[digest] != size}

    def large_sizes(self, digests: Iterable[Digest]) -> dict[Digest, int | None]:
        """The size of each that has a key of its own."""
        asked = list(digests)
        unknown = [digest for digest in asked if digest not in self._large]
        if len(unknown) > FEW and not self._all_large:
            for key, size, _ in self.bucket.list(OBJECTS):
                digest = _digest(key.removeprefix(f'{OBJECTS}/').replace('/', ''))
                if digest is not None:
                    self._large[digest] = size
            self._all_large = True
        elif unknown and not self._all_large:
            with closing(side_by_side(lambda digest: (digest, self.bucket.size(object_key(digest))), unknown)) as found:
                self._large.update(found)
        return {digest: self._large.get(digest) for digest in asked}

    @property
    def large_known(self) -> dict[Digest, int]:
        """Those with a key of their own that were asked for, or sent, and are there; with their sizes."""
        return {digest: size for digest, size in self._large.items() if size is not None}

    def forget_large(self, digest: Digest) -> None:
        """Take a large object for one that is not here: it is damaged, and is to be sent again in its place."""
        self._large[digest] = None

    # Out of it

    def get(self, digests: Iterable[Digest]) -> Iterator[tuple[Digest, Iterator[bytes]]]:
        """As ObjectStore: objects of packs first, a few requests for many.  Raises Unreachable, too."""
        wanted = dict.fromkeys(digests)
        names = {name_bytes(digest) for digest in wanted}
        pieces: list[tuple[Digest, int, int, list[Packed]]] = []
        taken: set[bytes] = set()
        for pack, index in self.indexes.items():
            rows = [row for row in index.find(names) if row.name not in taken]
            taken.update(row.name for row in rows)
            pieces += [(pack, *span) for span in _pieces(rows)]
        large = [digest for digest in wanted if name_bytes(digest) not in taken]
        sizes = self.large_sizes(large)
        with closing(side_by_side(self._piece, pieces, PIECES)) as brought:
            for (pack, start, _, rows), data in brought:
                for row in rows:
                    yield row.digest, self.one(pack, row, data[row.offset - start:row.offset - start + row.size])
        for digest in large:
            if (size := sizes[digest]) is not None:
                yield digest, self._chunks(digest, size)
        for digest in large:
            if sizes[digest] is None:
                raise MissingObject(digest, self.where)

    def _piece(self, asked: tuple[Digest, int, int, builtins.list[Packed]]) -> tuple[
            tuple[Digest, int, int, builtins.list[Packed]], bytes]:
        pack, start, end, rows = asked
        if start == end:
            return asked, b''
        try:
            return asked, self.bucket.get(pack_key(pack), start, end)
        except Absent:
            raise MissingObject(rows[0].digest, self.where) from None

    def one(self, pack: Digest, row: Packed, data: bytes) -> Iterator[bytes]:
        for _ in range(READS - 1):
            if digest_of(data) == row.digest:
                break
            with suppress(Absent):  # was it the way here that damaged it?
                data = self.bucket.get(pack_key(pack), row.offset, row.offset + row.size)
        else:
            if digest_of(data) != row.digest:
                raise Damaged(row.digest, f'its {row.size} bytes in the pack {pack.short} hash to something else', self.where)
        yield data

    def _chunks(self, digest: Digest, size: int) -> Iterator[bytes]:
        return checked(digest, self.rest(digest, size, 0), self.where)

    def rest(self, digest: Digest, size: int, start: int) -> Generator[bytes, None, None]:
        """What follows on ``start`` bytes of a large object, not verified.  Raises Unreachable, MissingObject."""
        key = object_key(digest)

        def part(at: int) -> bytes:
            return self.bucket.get(key, at, min(at + BLOCK, size))

        try:
            with closing(side_by_side(part, range(start, size, BLOCK), LARGE_PARTS)) as parts:
                yield from parts
        except Absent:
            raise MissingObject(digest, self.where) from None

    # Into it

    def put(self, objects: Iterable[tuple[Digest, Chunks]]) -> None:
        """As ObjectStore; small ones are there once all are."""
        packing = Packing()
        for digest, chunks in objects:
            with tempfile.SpooledTemporaryFile(SMALL + 1) as spool:
                for chunk in checked(digest, chunks, 'what was sent'):
                    spool.write(chunk)
                size = spool.tell()
                if size > SMALL:
                    self.put_large(digest, spool.fileno(), size)
                    continue
                spool.seek(0)
                packing.add(digest, spool.read())
            if packing.full:
                self.put_pack(packing)
                packing = Packing()
        self.put_pack(packing)

    def put_pack(self, packing: Packing) -> None:
        """Send a pack, then its index.  May be called from several threads."""
        if not len(packing):
            return
        name, pack, index = packing.finish()
        self.bucket.put(pack_key(name), pack)
        self.bucket.put(index_key(name), index)
        if self._kept is not None:
            self._kept.put(name, index)
        if self._indexes is not None:
            self._indexes[name] = Index(name, index)

    def put_large(self, digest: Digest, fd: int, size: int, sent: Callable[[int], object] = lambda _: None,
                  sure: Sure = at_once) -> None:
        """Send what a descriptor holds, which hashes to the digest; or so ``sure`` says, as that of a Bucket.  May be called
        from several threads."""
        self.bucket.put_file(object_key(digest), fd, size, sent, sure)
        self._large[digest] = size

    # Looking after it

    def list(self) -> Iterator[tuple[Digest, int]]:
        """As ObjectStore."""
        seen: set[bytes] = set()
        for index in builtins.list(self.indexes.values()):
            for row in index:
                if row.name not in seen:
                    seen.add(row.name)
                    yield row.digest, row.size
        for key, size, _ in self.bucket.list(OBJECTS):
            digest = _digest(key.removeprefix(f'{OBJECTS}/').replace('/', ''))
            if digest is not None and name_bytes(digest) not in seen:
                yield digest, size

    def delete(self, digests: Iterable[Digest]) -> None:
        """As ObjectStore.  Of a pack what is left is packed anew, and sent before the old one goes."""
        gone = {name_bytes(digest): digest for digest in digests}
        for pack, index in builtins.list(self.indexes.items()):
            if gone.keys().isdisjoint(index.names()):
                continue
            data = self.bucket.get(pack_key(pack))
            packing = Packing()
            for row in sorted(index, key=lambda row: (row.offset, row.size)):
                if row.name not in gone:
                    packing.add(row.digest, b''.join(self.one(pack, row, data[row.offset:row.offset + row.size])))
            self.put_pack(packing)
            self.bucket.delete([index_key(pack)])
            self.bucket.delete([pack_key(pack)])
            self.indexes.pop(pack, None)
        self.bucket.delete(map(object_key, gone.values()))
        for digest in gone.values():
            self._large[digest] = None


def pack_key(pack: Digest) -> str:
    return f'{PACKS}/{pack.hex}{PACK}'


def index_key(pack: Digest) -> str:
    return f'{PACKS}/{pack.hex}{INDEX}'


def object_key(digest: Digest) -> str:
    return f'{OBJECTS}/{digest.hex[:2]}/{digest.hex[2:]}'


def _digest(text: str) -> Digest | None:
    """What a part of a key names; None for what is not ours."""
    try:
        return Digest.parse(f'blake3:{text}')
    except ValueError:
        return None


def _pieces(rows: builtins.list[Packed]) -> Iterator[tuple[int, int, builtins.list[Packed]]]:
    """Pieces of a pack to ask for, of some ``BLOCK`` each."""
    for _, _, near in spans(rows, GAP):
        piece: list[Packed] = []
        for row in near:
            if piece and row.offset + row.size - piece[0].offset > BLOCK:
                yield piece[0].offset, piece[-1].offset + piece[-1].size, piece
                piece = []
            piece.append(row)
        yield piece[0].offset, piece[-1].offset + piece[-1].size, piece
