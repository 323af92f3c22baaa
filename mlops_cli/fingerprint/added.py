"""What a folder is that was just added to the store, without another look at all that is in it."""

from __future__ import annotations

from mlops_cli.core.states import SIGNATURE, record_is
from mlops_cli.fingerprint.ignore import Ignore
from mlops_cli.fingerprint.index import Index, Seal
from mlops_cli.fingerprint.scan import signature_of
from mlops_cli.store.ingest import Listing
from mlops_cli.store.tree import TreeEntry


class Whole:
    """To be told of each folder that is added.  ``is_counted``: whether no name in any of them is ignored, so that what was
    added is what a look at it finds."""

    def __init__(self, index: Index, ignore: Ignore) -> None:
        self._index, self._ignore = index, ignore
        self._view = bytes.fromhex(ignore.digest.hex)
        self._seals: dict[str, Seal] = {}
        self.is_counted = True

    def listed(self, listing: Listing) -> None:
        """A folder, those in it before it."""
        self.is_counted = self.is_counted and not self._ignores(listing)
        if self.is_counted and self._index.stat_filter is None and (seal := _seal(listing)) is not None:
            self._seals[listing.path] = seal

    def remember(self) -> None:
        """Give the index the folders whose files were all read by others and have settled, so that the next look at them only
        sees that they are as they were."""
        if self.is_counted:
            for path, seal in self._seals.items():
                self._index.put_seal(path, self._view, seal)

    def _ignores(self, listing: Listing) -> bool:
        may_ignore, records = self._ignore.may_ignore, listing.records
        if any(may_ignore(name) and self._ignore.entry_ignored(listing.path, name, False) for name in records):
            return True
        return any(self._ignore.entry_ignored(listing.path, entry.name, entry.kind == 'dir')
                   for entry in listing.entries if entry.name not in records)


def _seal(listing: Listing) -> Seal | None:
    """None unless each file in it has a record of a settled state.  A state that is no longer the file's makes the seal one of
    another folder, so that it is not believed."""
    records = listing.records
    parts: list[bytes] = []
    others: dict[str, TreeEntry] = {}
    if len(records) < len(listing.entries):
        others = {entry.name: entry for entry in listing.entries if entry.name not in records}
    ordered: list[TreeEntry] = []
    for name in listing.names:
        record = records.get(name)
        if record is not None:
            state = record[:SIGNATURE.size]
            if not record_is(record, state):
                return None
            parts.append(name.encode('utf-8', 'surrogateescape') + b'\0' + state)
        elif (entry := others.get(name)) is not None:
            if entry.kind not in ('dir', 'link'):
                return None
            ordered.append(entry)
    return Seal(signature_of(parts, ordered), listing.ref)
