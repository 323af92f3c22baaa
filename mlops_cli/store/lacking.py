"""The files that a push is about, of which only those are kept that the remote lacks: flat memory for a million of them."""
from __future__ import annotations

from array import array
from collections.abc import Iterator

from mlops_cli.core.digest import Digest
from mlops_cli.store.depot import Depot
from mlops_cli.store.packs import SMALL, name_bytes

AT_ONCE = 65_536  # files that are asked for together


class Lacking:
    """``count``: how many files there were, once :meth:`close` was called.  ``size``: bytes of those that are lacking.

    A file that is lacking takes some 100 bytes of memory, any other 8."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot
        self._asked: dict[bytes, int] = {}
        self._small: dict[bytes, None] = {}
        self._large: dict[Digest, int] = {}
        self._seen = array('Q')
        self.count = self.size = 0

    def add(self, digest: Digest, size: int) -> None:
        """Raises Unreachable."""
        self._asked[name_bytes(digest)] = size
        if len(self._asked) >= AT_ONCE:
            self._ask()

    def close(self) -> None:
        """No more will come.  Raises Unreachable."""
        self._ask()
        self.count = len({*self._seen})  # a digest is told from others by its first eight bytes, as good as surely
        del self._seen[:]

    def _ask(self) -> None:
        self._seen.extend(int.from_bytes(name[:8], 'big') for name in self._asked)
        asked = {name: size for name, size in self._asked.items() if name not in self._small}
        self._asked.clear()
        lacking = self._depot.lacks([(Digest(name.hex()), size) for name, size in asked.items()])
        for name, size in asked.items():  # in the order in which they came: so the same push makes the same packs
            digest = Digest(name.hex())
            if digest not in lacking:
                continue
            if size <= SMALL:
                self._small[name] = None
            elif digest not in self._large:
                self._large[digest] = size
            else:
                continue
            self.size += size

    def small(self) -> Iterator[Digest]:
        return (Digest(name.hex()) for name in self._small)

    def large(self) -> Iterator[Digest]:
        return iter(self._large)
