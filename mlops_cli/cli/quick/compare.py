"""Whether the disk is as the groups of a file of answers say; of a large project also where it is not, so that the long way
need not look again at what is as it was.  Loads next to nothing."""

from __future__ import annotations

import os
import stat

from mlops_cli.cli.quick.form import FULL, GROUP, WEAK, full_state, weak_state

LARGE = 12_000  # names from which two processes look, and all is looked at whatever differs

verified: frozenset[str] = frozenset()  # absolute paths of folders, without folders in them, that were as they had been
# Absolute path of what differs -> whether that is a file that has other content or is gone; None: not known.
changed: dict[str, bool] | None = None
state: bytes = b''  # by which the file of answers is known that this was found with
learns = True  # whether what the command says may become an answer
PLAIN, OTHER = b'=', b'!'  # before a path that differs: a regular file that has other content or is gone; anything else


def unchanged(data: bytes, at: int, decisive: frozenset[bytes] | None = None) -> bool:
    """Whether everything is as the groups from ``at`` on say.  Leaves this process in another folder.

    ``decisive``: the files that say which folders are taken as a whole.  While these are as they were, what was looked at in
    such a folder was all of it: the folders of which nothing differs are kept as ``verified``; and all that differs is kept as
    ``changed``."""
    global changed, verified
    starts, names = [], 0
    end = len(data)
    while at < end:
        path, full, weak, followed, absent, length = GROUP.unpack_from(data, at)
        starts.append(at)
        names += full + weak + followed + absent
        at += GROUP.size + path + length + (full + followed) * FULL.size + weak * WEAK.size
    if decisive is None:
        return not any(_different(data, start) for start in starts)
    large = names >= LARGE
    marked = _by_two(data, starts) if large and (os.cpu_count() or 1) > 1 else _all_different(data, starts)
    differing = {one[1:] for one in marked}
    if differing.isdisjoint(decisive):
        changed = {os.fsdecode(path): PLAIN + path in marked and OTHER + path not in marked for path in differing}
        verified = _verified(data, starts, differing) if large and differing else frozenset()
    return not differing


def verified_in(project: str) -> frozenset[str]:
    """The verified folders of a project, from its root."""
    top = f'{project.rstrip("/")}/'
    return frozenset(folder[len(top) :] for folder in verified if folder.startswith(top))


def _by_two(data: bytes, starts: list[int]) -> set[bytes]:
    """Every other group each: a second process takes no more than a millisecond to make."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.close(reading)
            with open(writing, 'wb') as pipe:
                pipe.write(b'\0'.join(_all_different(data, starts[1::2])))
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    differing = _all_different(data, starts[::2])
    with open(reading, 'rb') as pipe:
        differing |= {path for path in pipe.read().split(b'\0') if path}
    if os.waitpid(child, 0)[1]:
        raise OSError('the second process ended early')
    return differing


def _all_different(data: bytes, starts: list[int]) -> set[bytes]:
    return {path for start in starts for path in _different(data, start)}


def _verified(data: bytes, starts: list[int], differing: set[bytes]) -> frozenset[str]:
    """The folders of which nothing differs, themselves included, and that hold nothing but files."""
    folders: set[bytes] = set()
    spoilt = set(map(os.path.dirname, differing)) | differing
    for at in starts:
        path, _, weak, followed, _, _ = GROUP.unpack_from(data, at)
        folder = data[at + GROUP.size : at + GROUP.size + path]
        folders.add(folder)
        if weak or followed:
            spoilt.add(folder)
    spoilt |= set(map(os.path.dirname, folders))
    return frozenset(os.fsdecode(folder) for folder in folders - spoilt)


def _different(data: bytes, at: int) -> list[bytes]:
    """Absolute paths of what of a group is not as it says, each behind PLAIN or OTHER."""
    path, full, weak, followed, absent, length = GROUP.unpack_from(data, at)
    at += GROUP.size
    folder = data[at : at + path]
    at += path
    names = data[at : at + length].split(b'\0') if length else []
    at += length
    known = full + weak + followed
    if len(names) != known + absent:
        return [OTHER + folder]
    try:
        os.chdir(folder)
    except OSError:
        return [OTHER + folder] if known else []
    pack = FULL.pack
    middle = at + full * FULL.size
    end = middle + followed * FULL.size + weak * WEAK.size
    try:
        looks = map(os.lstat, names[:full])
        states = [pack(f.st_ino, f.st_size, f.st_mtime_ns, f.st_ctime_ns, f.st_mode) for f in looks]
        same = b''.join(states) == data[at:middle]
    except OSError:
        same = False
    found = [] if same else _which(names[:full], data[at:middle])
    if end > middle:
        found += _others(names[full : full + weak], names[full + weak : known], data[middle:end])
    found += [OTHER + name for name in filter(_there, names[known:])]
    return [one[:1] + os.path.normpath(os.path.join(folder, one[1:])) for one in found]


def _others(weak: list[bytes], followed: list[bytes], states: bytes) -> list[bytes]:
    """Those folders that are not the same, and links that lead to something else."""
    asks = [(name, os.lstat, weak_state, WEAK.size) for name in weak]
    asks += [(name, os.stat, full_state, FULL.size) for name in followed]
    found, at = [], 0
    for name, look, state_of, size in asks:
        try:
            same = state_of(look(name)) == states[at : at + size]
        except OSError:
            same = False
        if not same:
            found.append(OTHER + name)
        at += size
    return found


def _which(names: list[bytes], states: bytes) -> list[bytes]:
    found = []
    for number, name in enumerate(names):
        state = states[number * FULL.size : (number + 1) * FULL.size]
        mode = FULL.unpack(state)[-1]
        try:
            facts = os.lstat(name)
            if full_state(facts) == state:
                continue
            plain = facts.st_mode == mode
        except FileNotFoundError:
            plain = True
        except OSError:
            plain = False
        found.append((PLAIN if plain and stat.S_ISREG(mode) else OTHER) + name)
    return found


def _there(name: bytes) -> bool:
    try:
        os.lstat(name)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True
