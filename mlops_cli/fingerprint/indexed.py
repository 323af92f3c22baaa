"""What the index keeps, as bytes (docs/formats/index.md): values that say of themselves whether they are whole, and what of
them a power cut may have made wrong."""
from __future__ import annotations

import struct
from collections.abc import Iterator

from mlops_cli.core.digest import digest_of
from mlops_cli.core.states import RECORD_BYTES, doubted, newest
from mlops_cli.fsio import boots

UNWRITTEN_NS = 600_000_000_000  # systems write out within a minute or so; a laptop may take ten
BOOT = struct.Struct('<8sq')
FORM = b'2 '  # of what follows the check of folders and seals
_CHECK_BYTES = 16
_NAME = struct.Struct('<H')


def encoded(rel: str) -> bytes:
    """A path as the index keeps it."""
    return rel.encode('utf-8', 'surrogateescape')


def boot() -> bytes:
    """Eight bytes for the present start of the machine."""
    return bytes.fromhex(digest_of(boots.identity().encode()).hex[:16])


def sealed(path: bytes, value: bytes) -> bytes:
    """With a check in front that binds it to its path: after a power loss any page may be an old one."""
    return bytes.fromhex(digest_of(path + b'\0' + value).hex[:2 * _CHECK_BYTES]) + value


def unsealed(path: bytes, stored: bytes) -> bytes | None:
    value = stored[_CHECK_BYTES:]
    return value if sealed(path, value) == stored else None


def joined(records: dict[str, bytes]) -> bytes:
    parts = []
    for name, record in records.items():
        as_bytes = encoded(name)
        parts += [_NAME.pack(len(as_bytes)), as_bytes, record]
    return b''.join(parts)


def believed(value: bytes) -> dict[str, bytes]:
    """The records of a folder.  What was touched shortly before they were written, in an earlier start of the machine, has to
    be read once more: if the power was cut, the times of a file may be on the medium, and its bytes not."""
    whose, written = BOOT.unpack_from(value)
    records = dict(records_in(value))
    if whose == boot():
        return records
    return {name: record if newest(record) < written - UNWRITTEN_NS else doubted(record) for name, record in records.items()}


def records_in(value: bytes) -> Iterator[tuple[str, bytes]]:
    at = BOOT.size
    while at < len(value):
        start = at + _NAME.size
        end = start + _NAME.unpack_from(value, at)[0]
        at = end + RECORD_BYTES
        yield value[start:end].decode('utf-8', 'surrogateescape'), value[end:at]
