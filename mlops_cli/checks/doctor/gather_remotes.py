"""Asks each remote whether it can be read and written: the one thing that the doctor does elsewhere, and only when told to."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from mlops_cli.checks.doctor.facts import RemoteFacts
from mlops_cli.core.errors import UserError
from mlops_cli.fsio.paths import Root
from mlops_cli.records import trust
from mlops_cli.records.config import load_settings
from mlops_cli.records.destinations import Remote
from mlops_cli.store.bucket import Absent, Bucket
from mlops_cli.store.depot import PACKS

WORDS = b'mlops doctor was here\n'


def look(root: Root, environ: Mapping[str, str]) -> tuple[RemoteFacts, ...]:
    """Of all that may be used from here.  Raises UserError for a config that cannot be read."""
    found = []
    for name, setting in sorted(load_settings(root, environ).items()):
        if name.startswith('remotes.') and not trust.needs_confirmation(root, setting):
            found.append(_ask(name.partition('.')[2], setting.value))
    return tuple(found)


def _ask(name: str, remote: Remote) -> RemoteFacts:
    from mlops_cli.store.remote import open_bucket

    reads = False
    try:
        bucket = open_bucket(remote.url, remote.python)
        try:
            for _ in bucket.list(PACKS):
                break
            reads = True
            _write(bucket)
        finally:
            bucket.close()
    except UserError as error:
        problem = error.message.removeprefix(f'{remote.url}: ')
        return RemoteFacts(name, remote.url, problem, error.hint, reads)
    return RemoteFacts(name, remote.url, reads=True, writes=True)


def _write(bucket: Bucket) -> None:
    """A small value there and away again, by a name that is none of a pack.  Raises UserError."""
    key = f'{PACKS}/doctor-{secrets.token_hex(8)}'
    try:
        bucket.put(key, WORDS)
        came = bucket.get(key)
    except Absent:
        came = b''
    if came != WORDS:
        raise UserError('what is written there does not come back as it was', hint='ask who runs it')
    bucket.delete([key])
