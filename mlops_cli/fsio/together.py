"""fsync of many descriptors in two system calls, by Linux's asynchronous I/O: the kernel's own threads do them side by side.

A thread of ours per fsync takes turns with all the others at the interpreter's lock; a thousand small files take a third of
the time so.  The context of the calls is kept for the life of the process: to give one back takes the kernel some 25 ms, and so
does the end of a process that has one.  So it is for those who sync hundreds.  Knows nothing of recorders: only ops calls it.
"""
from __future__ import annotations

import errno
import os
import struct
import sys
import threading
from collections.abc import Sequence
from typing import Any

_NUMBERS = {'x86_64': (206, 209, 208), 'aarch64': (0, 2, 4), 'riscv64': (0, 2, 4)}  # io_setup, io_submit, io_getevents
_SLOTS = 512
_FSYNC = 2  # IOCB_CMD_FSYNC
_REQUEST = struct.Struct('=QIIHhIQQqQII')  # struct iocb: the first field comes back in the event, the sixth is the descriptor
_EVENT = struct.Struct('=QQqq')  # struct io_event: that field, the request's address, what the call returned
_lock = threading.Lock()
_contexts: dict[int, Any] = {}  # process -> its context, None where there can be none: a forked child needs its own
_round = 0


def available() -> bool:
    """Whether this system has it, and lets us."""
    with _lock:
        return _context() is not None


def _context() -> Any:
    me = os.getpid()
    if me not in _contexts:
        _contexts[me] = _made()
    return _contexts[me]


def _made() -> Any:
    numbers = _NUMBERS.get(os.uname().machine) if sys.platform == 'linux' and struct.calcsize('P') == 8 else None
    if numbers is None:
        return None
    import ctypes
    call = ctypes.CDLL(None, use_errno=True).syscall
    context = ctypes.c_ulong(0)
    made = call(ctypes.c_long(numbers[0]), ctypes.c_uint(_SLOTS), ctypes.byref(context)) == 0
    return (call, numbers, context) if made else None


def sync(fds: Sequence[int]) -> dict[int, int]:
    """Waits until all are done; what each that was not synced failed with, by its place, 0 if it was never begun."""
    failed: dict[int, int] = {}
    with _lock:
        for start in range(0, len(fds), _SLOTS):
            part = fds[start:start + _SLOTS]
            failed |= {start + place: number for place, number in _sync_some(part).items()}
    return failed


def _sync_some(fds: Sequence[int]) -> dict[int, int]:
    import ctypes
    global _round
    _round += 1  # what an interrupted round left in the kernel's queue must not be taken for ours
    call, (_, submit, collect), context = _context()
    tag = (_round & 0xFFFFFFFF) << 32
    requests = b''.join(_REQUEST.pack(tag | place, 0, 0, _FSYNC, 0, fd, 0, 0, 0, 0, 0, 0) for place, fd in enumerate(fds))
    buffer = ctypes.create_string_buffer(requests, len(requests))
    first = ctypes.addressof(buffer)
    pointers = (ctypes.c_void_p * len(fds))(*range(first, first + len(requests), _REQUEST.size))
    begun = 0
    while begun < len(fds):
        count = call(ctypes.c_long(submit), context, ctypes.c_long(len(fds) - begun), ctypes.byref(pointers, 8 * begun))
        if count <= 0:
            break
        begun += count
    failed = dict.fromkeys(range(begun, len(fds)), 0)
    events = ctypes.create_string_buffer(_EVENT.size * _SLOTS)
    while begun:
        count = call(ctypes.c_long(collect), context, ctypes.c_long(begun), ctypes.c_long(_SLOTS), events, None)
        if count < 0:
            if ctypes.get_errno() == errno.EINTR:
                continue
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        for name, _, result, _ in _EVENT.iter_unpack(events.raw[:count * _EVENT.size]):
            if name >> 32 == _round & 0xFFFFFFFF:
                begun -= 1
                if result:
                    failed[name & 0xFFFFFFFF] = -result
    return failed
