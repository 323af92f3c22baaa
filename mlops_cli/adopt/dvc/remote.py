"""A remote of DVC's, read where a person asks for it: contents by MD5, as in its cache."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_cli.adopt.dvc.config import Config, Remote
from mlops_cli.adopt.dvc.objects import FOLDER_LIMIT, places
from mlops_cli.core.errors import UserError
from mlops_cli.core.near import did_you_mean
from mlops_cli.store.bucket import Absent, Bucket
from mlops_cli.store.remote import open_bucket

PIECE = 8 << 20  # bytes asked for at a time


class Far:
    """Raises Unreachable (exit 4) from every method."""

    def __init__(self, remote: Remote, bucket: Bucket) -> None:
        self.remote, self.bucket = remote, bucket

    def find(self, oid: str, name: str) -> tuple[str, int] | None:
        """(key, bytes) of an object."""
        for key in places(oid, name):
            size = self.bucket.size(key)
            if size is not None:
                return key, size
        return None

    def pieces(self, key: str, size: int) -> Iterator[bytes]:
        """Its bytes; fewer than there should be where it is gone meanwhile."""
        for start in range(0, size, PIECE):
            try:
                yield self.bucket.get(key, start, min(start + PIECE, size))
            except Absent:
                return

    def small(self, oid: str, name: str) -> bytes | None:
        """All of an object, if it is no more than the list of a folder may be."""
        found = self.find(oid, name)
        return b''.join(self.pieces(*found)) if found is not None and found[1] <= FOLDER_LIMIT else None


def open_far(config: Config, name: str) -> Far:
    """The remote of that name; of none, DVC's default, or the only one.  Connects when it is first asked.  Raises UserError."""
    chosen = name or config.default_remote or (next(iter(config.remotes)) if len(config.remotes) == 1 else '')
    if chosen not in config.remotes:
        said = f'DVC has no remote {chosen!r}' if chosen else 'DVC has no default remote'
        raise UserError(said, hint=did_you_mean(chosen, config.remotes) or 'mlops adopt dvc --fetch --remote NAME')
    remote = config.remotes[chosen]
    if remote.version_aware:
        raise UserError(f'the remote {chosen} keeps versions of files, not contents by MD5', hint='dvc pull brings them')
    scheme = remote.url.partition('://')[0] if '://' in remote.url else 'file'
    if scheme not in ('s3', 'file'):
        raise UserError(f'mlops reads remotes of DVC in S3 and in folders; {chosen} is {scheme}://', hint='dvc pull brings it')
    return Far(remote, open_bucket(remote.url if '://' in remote.url else f'file://{remote.url}'))
