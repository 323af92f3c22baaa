"""A regular file's state and content as a few bytes, which the index keeps and processes of ours hand each other."""
from __future__ import annotations

import os
import struct
from typing import Literal

from mlops_cli.core.digest import Digest
from mlops_cli.core.refs import ObjectRef

SIGNATURE = struct.Struct('<QQqqqI')
_DIGEST = SIGNATURE.size + 1
RECORD_BYTES = _DIGEST + 32
_CLEAN, _EXEC = 1, 2
_TIMES, _TIMES_AT = struct.Struct('<qq'), 24
FileKind = Literal['file', 'exec']


def pack(facts: os.stat_result) -> bytes:
    """The 44 bytes that stand for one file's state."""
    return SIGNATURE.pack(facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_mode)


def make_record(signature: bytes, ref: ObjectRef, settled: bool) -> bytes:
    """What the index keeps of one file."""
    return raw_record(signature, bytes.fromhex(ref.digest.hex), ref.kind == 'exec', settled)


def raw_record(signature: bytes, digest: bytes, executable: bool, settled: bool) -> bytes:
    """As :func:`make_record`."""
    return signature + bytes(((_CLEAN if settled else 0) | (_EXEC if executable else 0),)) + digest


def record_is(record: bytes, signature: bytes) -> bool:
    """Whether a record may be trusted for a file in this state."""
    return bool(record[SIGNATURE.size] & _CLEAN) and record.startswith(signature)


def doubted(record: bytes) -> bytes:
    """The same, not to be trusted before the file was read once more."""
    return record[:SIGNATURE.size] + bytes((record[SIGNATURE.size] & ~_CLEAN,)) + record[SIGNATURE.size + 1:]


def settled_before(record: bytes, limit: int) -> bytes:
    """The same; not to be trusted if its file was changed or touched at ``limit``, in nanoseconds since 1970, or later."""
    touched, changed = _TIMES.unpack_from(record, _TIMES_AT)
    return record if touched < limit and changed < limit else doubted(record)


def newest(record: bytes) -> int:
    """When its file was changed or touched last, in nanoseconds since 1970."""
    touched, changed = _TIMES.unpack_from(record, _TIMES_AT)
    return max(int(touched), int(changed))


def record_ref(record: bytes) -> ObjectRef:
    """The content that a record names."""
    return ObjectRef(*record_parts(record))


def record_parts(record: bytes) -> tuple[Digest, int, FileKind]:
    """As :func:`record_ref`: digest, size and kind."""
    return Digest(record[_DIGEST:].hex()), int.from_bytes(record[16:24], 'little'), 'exec' if record[44] & _EXEC else 'file'
