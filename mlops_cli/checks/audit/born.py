"""Whether a file was there before a moment, or written since: by the time of its birth, where the file system keeps that."""

from __future__ import annotations

import ctypes
import os
import sys

_SLACK_NS = 20_000_000  # the kernel's clock of files lags behind by a tick
_AT_FDCWD, _NOFOLLOW, _BTIME = -100, 0x100, 0x800
_MASK_AT, _BIRTH_AT, _SIZE = 0, 80, 256  # of struct statx


def existed(path: str, moment_ns: int) -> bool:
    """Whether a file that is written to since was there before.  One that is gone was not."""
    born = _born(path)
    if born is None:
        try:
            return os.lstat(path).st_mtime_ns < moment_ns - _SLACK_NS
        except OSError:
            return False
    return born < moment_ns - _SLACK_NS


def changed(path: str, moment_ns: int) -> bool:
    """Whether it was written to since, or made."""
    try:
        return os.lstat(path).st_ctime_ns >= moment_ns - _SLACK_NS
    except OSError:
        return False


def _born(path: str) -> int | None:
    """Nanoseconds since 1970; None where nobody knows."""
    if sys.platform != 'linux':
        try:
            return int(os.lstat(path).st_birthtime * 1e9)
        except (OSError, AttributeError):
            return None
    try:
        statx = ctypes.CDLL(None, use_errno=True).statx
    except (OSError, AttributeError):
        return None
    found = ctypes.create_string_buffer(_SIZE)
    if statx(_AT_FDCWD, os.fsencode(path), _NOFOLLOW, _BTIME, found) != 0:
        return None
    data = found.raw
    if not int.from_bytes(data[_MASK_AT : _MASK_AT + 4], sys.byteorder) & _BTIME:
        return None
    seconds = int.from_bytes(data[_BIRTH_AT : _BIRTH_AT + 8], sys.byteorder, signed=True)
    return seconds * 1_000_000_000 + int.from_bytes(data[_BIRTH_AT + 8 : _BIRTH_AT + 12], sys.byteorder)
