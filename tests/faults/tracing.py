"""Stops a program before each system call by which it, its threads or its children change the disk, and kills it before one.

For Linux on x86_64.  Who watches is a program of its own, ``python tracing.py KILL VICTIM PROGRAM``, that :func:`trace` starts.
All threads and processes are counted together, in the order in which they come to their calls, so that one number names a
moment.  Who is not killed goes on, and is watched on, since a filtered call fails where nobody watches.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import json
import os
import platform
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

# Those that change files, names or what is on the medium.  The number is the argument that is a descriptor, or None.
CALLS = {
    'write': (1, 0), 'pwrite64': (18, 0), 'writev': (20, 0), 'pwritev': (296, 0), 'pwritev2': (328, 0), 'sendfile': (40, 0),
    'copy_file_range': (326, 2), 'fsync': (74, 0), 'fdatasync': (75, 0), 'sync_file_range': (277, 0), 'syncfs': (306, 0),
    'sync': (162, None), 'msync': (26, None), 'truncate': (76, None), 'ftruncate': (77, 0), 'fallocate': (285, 0),
    'rename': (82, None), 'renameat': (264, None), 'renameat2': (316, None), 'link': (86, None), 'linkat': (265, None),
    'symlink': (88, None), 'symlinkat': (266, None), 'unlink': (87, None), 'unlinkat': (263, None), 'mkdir': (83, None),
    'mkdirat': (258, None), 'rmdir': (84, None), 'mknod': (133, None), 'mknodat': (259, None), 'creat': (85, None),
    'chmod': (90, None), 'fchmod': (91, 0), 'fchmodat': (268, None), 'fchmodat2': (452, None), 'chown': (92, None),
    'fchown': (93, 0), 'lchown': (94, None), 'fchownat': (260, None), 'utime': (132, None), 'utimes': (235, None),
    'utimensat': (280, None), 'futimesat': (261, None), 'setxattr': (188, None), 'lsetxattr': (189, None),
    'fsetxattr': (190, 0), 'io_submit': (209, None), 'io_uring_enter': (426, None), 'openat2': (437, None),
}  # fmt: skip
_OPEN, _OPENAT, _IOCTL = 2, 257, 16  # traced as their arguments say
_NAMES = {number: name for name, (number, _) in CALLS.items()} | {_OPEN: 'open', _OPENAT: 'openat', _IOCTL: 'ioctl'}
_DESCRIPTORS = {number: place for number, place in CALLS.values() if place is not None} | {_IOCTL: 0}
_WITHOUT = frozenset(('sync', 'msync', 'io_submit', 'io_uring_enter'))  # no path, no descriptor
_CHANGING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_FICLONE = 0x40049409

_SEIZE, _CONT, _INFO, _LISTEN = 0x4206, 7, 0x420E, 0x4208
_FOLLOW = 0x2 | 0x4 | 0x8 | 0x10 | 0x80 | 0x100000  # forks, threads, filters; and nobody outlives who watches
_EVENT_STOP, _EVENT_SECCOMP = 128, 7
_ALL = 0x40000000  # __WALL: threads too
_FACTS = struct.Struct('=B3xIQQQ6Q')  # struct ptrace_syscall_info, as far as it is of a stop by a filter


def lacks() -> str:
    """Why programs cannot be watched so here, or ''."""
    if sys.platform != 'linux' or platform.machine() != 'x86_64':
        return 'the numbers of the system calls are those of Linux on x86_64'
    return _try()


@functools.cache
def _try() -> str:
    with tempfile.TemporaryDirectory() as folder:
        try:
            with trace(['/bin/mkdir', f'{folder}/a'], Path(folder), {'PATH': os.defpath}) as seen:
                code = seen.code
        except (OSError, RuntimeError) as error:
            return f'programs cannot be traced: {error}'
        return '' if (code, seen.calls) == (0, 1) else 'programs cannot be traced'


@dataclass
class Traced:
    """``code``: how the program itself ended, negative for a signal.  ``calls``: how many it, its threads and children made,
    known once all have ended; ``names`` are theirs, and ``own`` which of them the program made itself.  ``killed``: the call
    before which one was killed, in words, or ''; ``by_itself``: whether that was the program itself.  ``seconds``: until it
    ended."""

    code: int = 0
    calls: int = 0
    killed: str = ''
    by_itself: bool = True
    seconds: float = 0.0
    out: str = ''
    err: str = ''
    names: list[str] = field(default_factory=list)
    own: list[bool] = field(default_factory=list)


@contextmanager
def trace(
    argv: Sequence[str], cwd: Path, environ: Mapping[str, str], kill: int = 0, *, victim: str = 'caller', timeout: float = 120
) -> Iterator[Traced]:
    """Runs a program until it has ended; within, its children may still run.  Afterwards all of them have ended.

    ``kill``: before which call to kill, from 1; 0 for none.  ``victim``: the process that makes the call (``caller``) or the
    program itself (``first``), whoever makes it.  Raises RuntimeError if it cannot be watched; subprocess.TimeoutExpired."""
    found = Traced()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        watcher = subprocess.Popen(
            [sys.executable, '-I', '-S', __file__, str(kill), victim, *argv],
            cwd=cwd, env={}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            pass_fds=(out.fileno(), err.fileno()), bufsize=0,
        )  # fmt: skip
        assert watcher.stdin and watcher.stdout and watcher.stderr
        begun = time.monotonic()
        try:
            asked = {'out': out.fileno(), 'err': err.fileno(), 'environ': dict(environ)}
            watcher.stdin.write(json.dumps(asked).encode() + b'\n')
            watcher.stdin.close()
            _next(watcher, found, argv, timeout)
            found.seconds = time.monotonic() - begun
            for file, name in ((out, 'out'), (err, 'err')):
                file.seek(0)
                setattr(found, name, file.read().decode(errors='replace'))
            yield found
            _next(watcher, found, argv, timeout)
        except BaseException:
            watcher.kill()  # and with it goes all that it watches
            raise
        finally:
            watcher.stdout.close()
            watcher.stderr.close()
            watcher.wait()


def _next(watcher: subprocess.Popen[bytes], found: Traced, argv: Sequence[str], timeout: float) -> None:
    """What the watcher says next."""
    assert watcher.stdout and watcher.stderr
    if not select.select([watcher.stdout], [], [], timeout)[0]:
        raise subprocess.TimeoutExpired(list(argv), timeout)
    line = watcher.stdout.readline()
    if not line:
        raise RuntimeError(watcher.stderr.read().decode(errors='replace').strip()[-300:] or 'the watcher was ended')
    for name, value in json.loads(line).items():
        setattr(found, name, value)


# The watcher


class _Instruction(ctypes.Structure):
    _fields_ = [('code', ctypes.c_ushort), ('jt', ctypes.c_ubyte), ('jf', ctypes.c_ubyte), ('k', ctypes.c_uint)]


class _Program(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('filter', ctypes.c_void_p)]


def _filter() -> list[tuple[int, int, int, int]]:
    """In the language of seccomp: stop at the calls above, let all others through."""
    load, equal, any_bit, answer = 0x20, 0x15, 0x45, 0x06
    stop, allow = 0x7FF00000, 0x7FFF0000
    program = [(load, 0, 0, 4), (equal, 1, 0, 0xC000003E), (answer, 0, 0, allow), (load, 0, 0, 0)]
    for number, _ in CALLS.values():
        program += [(equal, 0, 1, number), (answer, 0, 0, stop)]
    for number, place, test, wanted in (
        (_OPEN, 1, any_bit, _CHANGING), (_OPENAT, 2, any_bit, _CHANGING), (_IOCTL, 1, equal, _FICLONE)
    ):  # fmt: skip
        program += [(equal, 0, 4, number), (load, 0, 0, 16 + 8 * place), (test, 0, 1, wanted), (answer, 0, 0, stop)]
        program += [(answer, 0, 0, allow)]
    return [*program, (answer, 0, 0, allow)]


class Watcher:
    """``kill``: before which call; ``first``: whether to kill the program itself, whoever makes the call."""

    def __init__(self, kill: int, first: bool) -> None:
        self.kill, self.first = kill, first
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self.libc.ptrace.restype = ctypes.c_long
        self.count = 0
        self.killed = ''
        self.by_itself = True
        self.names: list[str] = []
        self.own: list[bool] = []
        self.pid = 0

    def start(self, argv: Sequence[str], environ: Mapping[str, str], out: int, err: int) -> None:
        """Raises OSError."""
        may_go, go = os.pipe()
        instructions = _filter()
        code = (_Instruction * len(instructions))(*(_Instruction(*one) for one in instructions))
        program = _Program(len(instructions), ctypes.cast(code, ctypes.c_void_p).value)
        self.pid = os.fork()
        if not self.pid:
            self._become(argv, environ, out, err, may_go, program)
        os.close(may_go)
        self._trace(_SEIZE, self.pid, _FOLLOW)
        os.write(go, b'.')
        os.close(go)

    def _become(
        self, argv: Sequence[str], environ: Mapping[str, str], out: int, err: int, may_go: int, program: _Program
    ) -> NoReturn:
        try:
            nothing = os.open(os.devnull, os.O_RDONLY)
            for number, source in enumerate((nothing, out, err)):
                os.dup2(source, number)
            os.read(may_go, 1)
            os.closerange(3, 256)
            set_no_new_privileges, set_seccomp, by_filter = 38, 22, 2
            self.libc.prctl(set_no_new_privileges, 1, 0, 0, 0)
            if self.libc.prctl(set_seccomp, by_filter, ctypes.byref(program), 0, 0):
                os._exit(126)
            os.execvpe(argv[0], list(argv), dict(environ))
        finally:
            os._exit(127)

    def _trace(self, request: int, pid: int, data: int = 0) -> None:
        if self.libc.ptrace(request, pid, None, data) < 0 and ctypes.get_errno() != errno.ESRCH:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def watch(self) -> Iterator[int]:
        """Until nobody is left; yields how the program ended, once."""
        while True:
            try:
                pid, status = os.waitpid(-1, _ALL)
            except ChildProcessError:
                return
            if os.WIFSTOPPED(status):
                self._stopped(pid, os.WSTOPSIG(status), status >> 16)
            elif pid == self.pid:
                yield os.waitstatus_to_exitcode(status)

    def _stopped(self, pid: int, number: int, event: int) -> None:
        if event == _EVENT_SECCOMP:
            self._called(pid)
        if event == _EVENT_STOP and number in (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
            self._trace(_LISTEN, pid)
        else:
            self._trace(_CONT, pid, 0 if event else number)

    def _called(self, pid: int) -> None:
        facts = ctypes.create_string_buffer(128)
        if self.libc.ptrace(_INFO, pid, ctypes.c_void_p(128), ctypes.addressof(facts)) <= 0:
            return  # it has just been killed
        _, _, _, _, call, *arguments = _FACTS.unpack_from(facts.raw)
        on_what = self._on_what(pid, call, arguments)
        if on_what is None:
            return
        self.count += 1
        group = _group(pid)
        self.names.append(_NAMES[call])
        self.own.append(group == self.pid)
        if self.count == self.kill:
            self.killed = f'{_NAMES[call]} {on_what}'.strip()
            self.by_itself = self.first or group == self.pid
            os.kill(self.pid if self.first else group, signal.SIGKILL)

    def said(self) -> dict[str, object]:
        return {'killed': self.killed, 'by_itself': self.by_itself}

    def _on_what(self, pid: int, call: int, arguments: Sequence[int]) -> str | None:
        """The path it is about, as far as it is easily known; None if that is nothing on a disk."""
        if (place := _DESCRIPTORS.get(call)) is not None:
            path = _link(f'/proc/{pid}/fd/{ctypes.c_int(arguments[place] & 0xFFFFFFFF).value}')
            nowhere = not path.startswith('/') or path.startswith(('/dev/', '/proc/')) or path.endswith(' (deleted)')
            return None if nowhere else path
        if call in (_OPEN, _OPENAT):
            path = _text(pid, arguments[0 if call == _OPEN else 1])
            return None if path.startswith(('/dev/', '/proc/')) else path
        if _NAMES[call] in _WITHOUT:
            return ''
        return _text(pid, arguments[1 if _NAMES[call].endswith(('at', 'at2')) else 0])


def _group(pid: int) -> int:
    """The process of a thread."""
    with open(f'/proc/{pid}/status', encoding='ascii', errors='replace') as file:
        return next(int(line.split()[1]) for line in file if line.startswith('Tgid:'))


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ''


def _text(pid: int, address: int) -> str:
    """What stands at an address in a process, to its end or the end of its page."""
    try:
        with open(f'/proc/{pid}/mem', 'rb', buffering=0) as file:
            file.seek(address)
            return file.read(4096 - address % 4096).partition(b'\0')[0].decode(errors='replace')
    except (OSError, OverflowError):
        return ''


def main(arguments: Sequence[str]) -> int:
    asked = json.loads(sys.stdin.readline())
    watcher = Watcher(int(arguments[0]), arguments[1] == 'first')
    watcher.start(arguments[2:], asked['environ'], asked['out'], asked['err'])
    for fd in (asked['out'], asked['err']):
        os.close(fd)
    for code in watcher.watch():
        print(json.dumps({'code': code, **watcher.said()}), flush=True)
    print(json.dumps({'calls': watcher.count, **watcher.said(), 'names': watcher.names, 'own': watcher.own}), flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
