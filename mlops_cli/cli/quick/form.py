"""The file of answers (docs/formats/answers.md): what a command said when nothing had to be done, and the state of everything
that it looked at then.  Loads next to nothing: it is read before anything else is.

What is not as it was means no more than that the long way has to be gone; a damaged file means that too."""

from __future__ import annotations

import os
import struct
import sys
import time

from mlops_cli import __version__
from mlops_cli.fsio import boots

TYPE_CHECKING = False  # as that of typing, which takes longer to load than all the rest
if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b'mlops answers 3\n'
FILE = '.mlops/local/answers-v1'
LOCKS = '.mlops/local/locks-v1'
INDEX = '.mlops/local/index-v1.sqlite'
# Refused where they are links.
OWN = (INDEX, f'{INDEX}-wal', f'{INDEX}-shm', *(f'.mlops/cache/{name}' for name in ('tmp', 'locks-v1', 'trash', 'roots')))
HEADER = struct.Struct('<IIIQQ')  # bytes of environment, facts, pages, groups; when it ends to hold
SEAL = 32  # bytes before it: of all that follows them
LIMIT = 1 << 28  # bytes of the file
DIGEST = 32  # bytes of what stands for the environment; what follows it tells this file from all others
IDENTITY = 16  # bytes
GROUP = struct.Struct('<HIIIII')  # bytes of the folder's path; names of four kinds; bytes of the names
FULL = struct.Struct('<QQqqI')  # inode, size, time of content, time of state, mode
WEAK = struct.Struct('<QQII')  # device, inode, mode, owner: of folders of which it only matters that they are these
FLOCK = 'hhqqi4x'  # of Linux
CHUNK = 4096  # names in a group at most
TIME = '\x01'  # around a moment that is put into words when it is printed

# Variables that no answer depends on unless the pipeline names them: terminals and sessions have their own.
PASSING = frozenset(
    b'_ PWD OLDPWD SHLVL COLUMNS LINES TERM COLORTERM NO_COLOR TERM_PROGRAM TERM_PROGRAM_VERSION TERM_SESSION_ID VTE_VERSION '
    b'WINDOWID TMUX TMUX_PANE STY SSH_CLIENT SSH_CONNECTION SSH_TTY SSH_AUTH_SOCK SSH_AGENT_PID DISPLAY WAYLAND_DISPLAY '
    b'XAUTHORITY XDG_SESSION_ID DBUS_SESSION_BUS_ADDRESS GPG_TTY PS1 PS2 PROMPT RPROMPT HISTFILE HISTSIZE LS_COLORS LESSOPEN '
    b'LESSCLOSE PYTEST_CURRENT_TEST'.split()
)


def environment(secret: bytes, named: frozenset[bytes] = frozenset()) -> bytes:
    """The variables that count, as a digest: there are passwords among them.  ``named``: those of PASSING that the pipeline
    names.  ``secret``: the user's token, so that who has none can neither test guesses nor write an answer."""
    from _blake2 import blake2b  # what hashlib loads, without the rest of it

    passing = PASSING - named
    found = sorted(name + b'=' + value for name, value in os.environb.items() if name not in passing)
    return blake2b(b'\0'.join(found), key=secret, digest_size=DIGEST).digest()


def assemble(secret: bytes, env: bytes, facts: bytes, pages: bytes, groups: bytes, until: int = 0) -> bytes:
    """``until``: seconds since 1970 from which on it says nothing any more; 0: never."""
    header = HEADER.pack(len(env), len(facts), len(pages), len(groups), until)
    rest = b''.join((header, env, facts, pages, groups))
    return b''.join((MAGIC, _seal(secret, rest), rest))


def _seal(secret: bytes, rest: bytes | memoryview) -> bytes:
    """Whoever has not the user's token can make no file that is believed, not even of one that is."""
    from _blake2 import blake2b

    return bytes(blake2b(rest, key=secret, digest_size=SEAL, person=b'mlops answers').digest())


def parts_of(secret: bytes, data: bytes) -> tuple[bytes, bytes, bytes, int] | None:
    """(environment, facts, pages, where the groups begin); None for what is no whole file of answers of the user's own,
    or held until a moment that is over."""
    sealed = len(MAGIC) + SEAL
    start = sealed + HEADER.size
    if len(data) < start or not data.startswith(MAGIC) or _seal(secret, memoryview(data)[sealed:]) != data[len(MAGIC) : sealed]:
        return None
    env, facts, pages, groups, until = HEADER.unpack_from(data, sealed)
    if until and time.time() >= until:
        return None
    ends = (start + env, start + env + facts, start + env + facts + pages)
    if len(data) != ends[2] + groups:
        return None
    return data[start : ends[0]], data[ends[0] : ends[1]], data[ends[1] : ends[2]], ends[2]


def facts(project: str) -> bytes:
    """What else has to be the same.  After a new start of the machine, states prove nothing of what was not synced before."""
    own = (__version__, str(sys.hexversion), os.path.dirname(__file__), project, str(os.geteuid()), boots.identity())
    return '\0'.join(own).encode(errors='surrogateescape')


def key(command: str, options: str, project: str, here: str) -> bytes:
    """Names a page.  ``options``: v for verbose.  ``here``: where the user stands."""
    from mlops_cli.cli.terminal import width

    columns = 0 if command == 'run' else width(sys.stdout)
    return f'{command} {options} {columns} {os.path.relpath(here, project)}'.encode(errors='surrogateescape')


def page(pages: bytes, name: bytes) -> list[bytes] | None:
    """The lines of one page, each text, word and style; None where there is none of that name."""
    for one in pages.split(b'\x1d'):
        first, *lines = one.split(b'\x1e')
        if first == name:
            return lines
    return None


def open_moment(moment: float | None = None) -> str:
    """To be put into words when it is printed: how long ago a moment was (seconds since 1970), or how long this took."""
    return f'{TIME}{"" if moment is None else moment}{TIME}'


def in_words(text: str, began: float = 0.0) -> str:
    """With moments in words.  ``began``: when this command did, as of perf_counter."""
    if text.count(TIME) != 2:
        return text
    from mlops_cli.core.units import ago, show_seconds

    before, moment, after = text.split(TIME)
    if moment.strip('0123456789.'):
        return text
    words = ago(time.time() - float(moment)) if moment else show_seconds(time.perf_counter() - began)
    return f'{before}{words}{after}'


def open_own(project: str, rel: str) -> int:
    """A descriptor for reading; waits for nobody, whatever somebody put there.  Raises OSError."""
    return os.open(f'{project}/{rel}', os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def misplaced(project: str) -> bool:
    """Whether a link stands where every command writes, and which changes too often for its state to count."""
    return any(os.path.islink(f'{project}/{name}') for name in OWN)


def locked(project: str) -> bool:
    """Whether anybody works on a stage: holds any of the project's locks."""
    import fcntl

    try:
        fd = open_own(project, LOCKS)
    except FileNotFoundError:
        return False
    try:
        found = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    finally:
        os.close(fd)
    return bool(struct.unpack_from(FLOCK, found)[0] != fcntl.F_UNLCK)


def group(
    folder: bytes, full: list[bytes], weak: list[bytes], followed: list[bytes], absent: list[bytes], states: bytes
) -> bytes:
    """One folder's names: their states are compared, of links also that of what they lead to, and some are not there.
    ``states``: of the first three kinds, in order."""
    names = b'\0'.join((*full, *weak, *followed, *absent))
    head = GROUP.pack(len(folder), len(full), len(weak), len(followed), len(absent), len(names))
    return b''.join((head, folder, names, states))


def names(groups: bytes) -> Iterator[tuple[bytes, bytes, str]]:
    """(folder, name, kind) of everything in groups."""
    at = 0
    while at < len(groups):
        path, full, weak, followed, absent, length = GROUP.unpack_from(groups, at)
        at += GROUP.size
        folder = groups[at : at + path]
        at += path
        found = groups[at : at + length].split(b'\0') if length else []
        at += length + (full + followed) * FULL.size + weak * WEAK.size
        kinds = ['full'] * full + ['weak'] * weak + ['followed'] * followed + ['absent'] * absent
        for name, kind in zip(found, kinds, strict=True):
            yield folder, name, kind


def full_state(facts: os.stat_result) -> bytes:
    return FULL.pack(facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_mode)


def weak_state(facts: os.stat_result) -> bytes:
    return WEAK.pack(facts.st_dev, facts.st_ino, facts.st_mode, facts.st_uid)
