"""What every source of tracked data is asked, and where what it holds goes: into the store, a piece at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Protocol

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.units import show_size
from mlops_cli.store import partial, tree
from mlops_cli.store.local import LocalStore

SPARE = 256 << 20  # bytes of the cache's disk that are left alone
EVERY = 64 << 20  # bytes after which the disk is looked at, of what does not say its size


class Unreached(UserError):
    """A source that does not answer, or not with what was asked for."""

    def __init__(self, where: str, problem: str, hint: str) -> None:
        super().__init__(f'{where}: {problem}', hint=hint, exit_code=ExitCode.UNREACHABLE)


class Unconfirmed(UserError):
    """Another project keeps what is wanted in a remote of its own, from which nobody here has confirmed to fetch."""

    def __init__(self, place: str) -> None:
        super().__init__(
            f'what that repository tracks is kept at {place}, which came with git and nobody here has confirmed',
            exit_code=ExitCode.REFUSED, hint='if that is right, the same again with: mlops --yes',
        )  # fmt: skip
        self.place = place


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at a source tells.  ``same``: whether it is as the pins say; None: only bringing it would tell.  ``ref``: its
    content, where that is known.  ``size``: bytes, -1 if unknown."""

    same: bool | None
    ref: ObjectRef | None = None
    size: int = -1


@dataclass(frozen=True, slots=True)
class Brought:
    """``pins``: what the source said of its state, for its record."""

    ref: ObjectRef
    pins: Mapping[str, str] = field(default_factory=dict)


class Origin(Protocol):
    """``pins``: what the source said when its content was last brought; empty: never.  Both raise UserError, OSError."""

    def look(self, pins: Mapping[str, str]) -> Seen:
        """Stores nothing."""

    def bring(self, pins: Mapping[str, str], into: Into) -> Brought | None:
        """None if the source says that it is as it was then."""


class Into:
    """The way into the store.  ``files``, ``size``: brought so far; ``expected``: bytes that are to come, 0 if unknown.
    ``step``: called often."""

    def __init__(self, store: LocalStore, cache: str, step: Callable[[], object] = lambda: None) -> None:
        self.store, self.step = store, step
        self._cache = cache
        self.files = self.size = self.expected = 0
        self._looked = 0

    def expect(self, size: int) -> None:
        """So many bytes more are to come.  Raises UserError (exit 6) where there is no room for them."""
        self.expected += size
        self.room(size)

    def room(self, size: int) -> None:
        folder = self._cache
        while not os.path.isdir(folder) and folder != os.path.dirname(folder):
            folder = os.path.dirname(folder)
        facts = os.statvfs(folder)
        free = facts.f_bavail * facts.f_frsize
        if size + SPARE > free:
            raise UserError(
                f'{show_size(size)} are to come, and the disk of the cache has {show_size(free)} left ({self._cache})',
                exit_code=ExitCode.MACHINE, hint='mlops gc, or move the cache: mlops config set cache.dir FOLDER',
            )  # fmt: skip

    def file(self, chunks: Iterable[bytes]) -> ObjectRef:
        """One file, as it comes."""
        ref = self.store.add_chunks(self._counted(chunks))
        self._done()
        return ref

    def large(self, source: str, size: int, rest: Callable[[int], Generator[bytes, None, None]]) -> ObjectRef:
        """One file of so many bytes, gone on with where an earlier command was broken off.  ``source``: says which state of
        which file it is.  ``rest``: what follows on so many bytes of it."""
        ref = partial.gather(self.store, source, size, rest, self._count)
        self._done()
        return ref

    def whole(self, data: bytes) -> ObjectRef:
        """One file that is in memory."""
        self._count(len(data))
        ref = self.store.add_bytes(data)
        self._done()
        return ref

    def folder(self, content: Mapping[str, ObjectRef] | Mapping[str, ObjectRef | tree.Link], where: str) -> ObjectRef:
        """A folder of files that are stored already, by their paths in it.  Raises UserError for names that none can hold."""
        entries: dict[str, ObjectRef | tree.Link] = {**content}
        try:
            ref, nodes = tree.build(entries)
        except ValueError as error:
            raise UserError(
                f'{where} holds what no folder here can: {error}', exit_code=ExitCode.REFUSED,
                hint='import a part of it that has other names',
            ) from error  # fmt: skip
        self.store.add_nodes(nodes.values())
        self.store.batch.flush()
        return ref

    def _done(self) -> None:
        self.files += 1
        self.store.batch.flush_if_due()
        self.step()

    def _counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._count(len(chunk))
            yield chunk

    def _count(self, size: int) -> None:
        self.size += size
        if self.size - self._looked > EVERY:
            self._looked = self.size
            self.room(0)
        self.step()
