"""Inputs that an audit saw beyond what is declared: a result that was made with them counts only as long as they are what they
were.  Which keys have such results is known by a name in the cache for each, so that all others cost nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Protocol, TypeVar

from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint.files import Workspace
from mlops_cli.plan.facts import Seen
from mlops_cli.store.results import ResultEntry, Results


class Recorded(Protocol):
    @property
    def key(self) -> Digest: ...
    @property
    def outputs(self) -> tuple[tuple[str, ObjectRef], ...]: ...


One = TypeVar('One', bound=Recorded)


class Discovered:
    """Reads the names once."""

    def __init__(self, results: Results, workspace: Workspace) -> None:
        self._results, self._workspace = results, workspace

    @cached_property
    def _keys(self) -> frozenset[str]:
        return self._results.discovered()

    def counting(self, key: Digest, found: Sequence[One]) -> tuple[One, ...]:
        """Of pins or results of a key those that still count."""
        if key.hex not in self._keys:
            return tuple(found)
        stale = {tuple(sorted(entry.outputs)) for entry in self._entries(key) if any(self._changed(entry))}
        return tuple(one for one in found if tuple(sorted(one.outputs)) not in stale)

    def seen(self, key: Digest) -> tuple[Seen, ...]:
        """What was discovered of the results of a key, and what of it is here, by path."""
        if key.hex not in self._keys:
            return ()
        before = {path: digest for entry in self._entries(key) for path, digest in entry.discovered}
        return tuple(Seen(path, digest, self.identity(path)) for path, digest in sorted(before.items()))

    def again(self, key: Digest) -> tuple[tuple[str, Digest], ...]:
        """The same inputs as they are now: of a result of that key which nobody looked at."""
        if key.hex not in self._keys:
            return ()
        paths = sorted({path for entry in self._entries(key) for path, _ in entry.discovered})
        return tuple((path, digest) for path in paths if (digest := self.identity(path)) is not None)

    def identity(self, path: str) -> Digest | None:
        """Of a path of the project; None where there is nothing that can be read."""
        try:
            ref = self._workspace.ref(path)
        except (UserError, OSError):  # such as a link that leaves the project
            return None
        return ref.identity if ref is not None else None

    def _entries(self, key: Digest) -> Iterable[ResultEntry]:
        return [entry for entry in self._results.lookup(key) if not entry.suspect]

    def _changed(self, entry: ResultEntry) -> Iterator[bool]:
        return (self.identity(path) != digest for path, digest in entry.discovered)
