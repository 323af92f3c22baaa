"""What a stage depends on, as digests.  The key and the explanation are read off the same entries.

Format ``key-v1`` (docs/formats/key.md): a key is the BLAKE3 of the line ``mlops key-v1`` and the canonical JSON of
``[kind, name, digest]`` of all entries, sorted.
"""
from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from operator import attrgetter
from typing import Any, Literal

from mlops_cli.core.canonical import canonical, canonical_bytes
from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import Digest, digest_of

EntryKind = Literal['command', 'code', 'data', 'param', 'environment', 'output']
KINDS: tuple[EntryKind, ...] = ('command', 'code', 'param', 'data', 'environment', 'output')  # as people want to read them

_KIND_AND_NAME = attrgetter('kind', 'name')
PREFIX = b'mlops key-v1\n'
ABSENT = digest_of(b'mlops absent-v1\n')  # a missing parameter, an unset variable, a missing file: a value of its own
VALUE_LIMIT = 4096  # characters of canonical JSON; a longer value is explained by its digest and the kept sources


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing a stage depends on.

    ``value``: the plain value where it is short (a command, a parameter, a variable), so that a change can be
    shown as before -> after; None where only the digest is known.  It follows from the digest, so it is not hashed."""

    kind: EntryKind
    name: str
    digest: Digest
    value: str | None = None  # canonical JSON

    @property
    def sort_key(self) -> tuple[str, str]:
        return (self.kind, self.name)


def value_entry(kind: EntryKind, name: str, value: Any) -> Entry:
    """An entry whose digest is that of a plain value's canonical JSON."""
    text = canonical(value)
    return Entry(kind, name, digest_of(text.encode()), text if len(text) <= VALUE_LIMIT else None)


def absent_entry(kind: EntryKind, name: str) -> Entry:
    return Entry(kind, name, ABSENT)


def key_of(rows: list[list[str]]) -> Digest:
    """The stage key of [kind, name, digest] of all entries, sorted."""
    return digest_of(PREFIX + canonical_bytes(rows))


@dataclass(frozen=True, slots=True)
class Change:
    """One entry that differs; ``before`` is None where it is new, ``after`` None where it is gone."""

    before: Entry | None
    after: Entry | None

    @property
    def entry(self) -> Entry:
        found = self.after or self.before
        assert found is not None
        return found


class Manifest:
    """All entries of a stage, sorted by kind and name, each name once per kind.  Never changed."""

    __slots__ = ('_digest', 'entries')

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self.entries = entries
        self._digest: Digest | None = None

    def __eq__(self, other: object) -> bool:
        return self.entries == other.entries if isinstance(other, Manifest) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.entries)

    def __repr__(self) -> str:
        return f'Manifest(entries={self.entries!r})'

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Manifest:
        """Raises ValueError if two entries have one kind and name."""
        ordered = tuple(sorted(entries, key=_KIND_AND_NAME))
        for one, two in pairwise(ordered):
            if one.name == two.name and one.kind == two.kind:
                raise ValueError(f'two entries of kind {one.kind} named {one.name!r}')
        return cls(ordered)

    @property
    def digest(self) -> Digest:
        """The stage key."""
        if self._digest is None:
            self._digest = key_of([[e.kind, e.name, str(e.digest)] for e in self.entries])
        return self._digest

    def changes_since(self, old: Manifest) -> tuple[Change, ...]:
        """What differs from an older manifest, in the order of :data:`KINDS`, then by name."""
        before = {entry.sort_key: entry for entry in old.entries}
        after = {entry.sort_key: entry for entry in self.entries}
        changed = [
            Change(before.get(key), after.get(key))
            for key in before.keys() | after.keys()
            if key not in before or key not in after or before[key].digest != after[key].digest
        ]
        return tuple(sorted(changed, key=lambda c: (KINDS.index(c.entry.kind), c.entry.name)))
