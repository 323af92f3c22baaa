"""What a stage depends on, as digests.  The key and the explanation are read off the same entries.

Format ``key-v1`` (docs/formats/key.md): a key is the BLAKE3 of the line ``mlops key-v1`` and the canonical JSON of
``[kind, name, digest]`` of all entries, sorted.
"""
from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

from mlops_cli.core.canonical import canonical, canonical_bytes
from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import Digest, digest_of

EntryKind = Literal['command', 'code', 'data', 'param', 'environment', 'output']
KINDS: tuple[EntryKind, ...] = ('command', 'code', 'param', 'data', 'environment', 'output')  # as people want to read them

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


@dataclass(frozen=True)
class Manifest:
    """All entries of a stage, sorted by kind and name, each name once per kind."""

    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Manifest:
        """Raises ValueError if two entries have one kind and name."""
        ordered = tuple(sorted(entries, key=lambda entry: entry.sort_key))
        for one, two in pairwise(ordered):
            if one.sort_key == two.sort_key:
                raise ValueError(f'two entries of kind {one.kind} named {one.name!r}')
        return cls(ordered)

    @cached_property
    def digest(self) -> Digest:
        """The stage key."""
        return key_of([[e.kind, e.name, str(e.digest)] for e in self.entries])

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
