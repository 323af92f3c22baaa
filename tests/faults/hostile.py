"""For the rows of hostile input: a project, what lies around it, and whether a command touched that.

Commands are forked from this process (warm.py): there are tens of thousands of trials."""

from __future__ import annotations

import ctypes
import hashlib
import io
import os
import select
import shutil
import signal
import stat
import struct
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.faults.base import Bad, Trial
from tests.faults.tools import Tool, git
from tests.faults.warm import NO_EXIT, Notes, descendants, load

DEEP = 'a/b/c'  # where the project lies in its world, so that `..` has somewhere to go
BUG = 70
SECONDS = 10.0  # after which a command hangs
CPU_SECONDS = 1.0  # beyond what the command takes otherwise
MEMORY = 200 << 20  # bytes
OWN_MEMORY = 30 << 20  # of them what the program takes that reads nothing
PWNED = 'pwned'  # what is made by what should not run


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended.  ``code``: negative for a signal, NO_EXIT if it hung.  ``cpu``: processor seconds, its children's
    too.  ``grown``: bytes of memory beyond those that it had from its parent when it began; 0 of another tool's
    program, of which the system tells only the most that it or its parent had."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str
    seconds: float
    cpu: float
    grown: int

    @property
    def said(self) -> str:
        return f'mlops {" ".join(self.words)!r}: exit {self.code}: {(self.err or self.out)[-300:]!r}'


@contextmanager
def single(trial: Trial) -> Iterator[Trial]:
    """Within, one single trial: whatever is found, it ends badly in each way once."""
    found = Trial()
    try:
        yield found
    finally:
        trial.tried += 1
        verdict = found.verdict()
        for kind in verdict.bad:
            notes = [note.removeprefix(f'{kind}: ') for note in verdict.notes if note.startswith(f'{kind}: ')]
            trial.bad(Bad(kind), '; '.join(notes[:4]) + (f'; and {len(notes) - 4} more' if len(notes) > 4 else ''))


_preloaded = False


def command(
    cwd: Path, environ: Mapping[str, str], *words: str, timeout: float = SECONDS, start: Sequence[str] = (),
    begin: Callable[[], None] | None = None,
) -> Ended:
    """``mlops`` with these words, to its end.  ``start``: the program of another tool, which is then run in its place;
    ``begin``: what is called in its place."""
    global _preloaded
    if not _preloaded and not start:
        load()
        _preloaded = True
    begun = time.monotonic()
    with Notes() as out, Notes() as err, Notes() as first:
        pid = os.fork()
        if not pid:
            os.write(first.fd, b'%d' % _resident())
            _become(cwd, environ, words, out.fd, err.fd, start, begin)
        code, usage = _wait(pid, timeout)
        grown = 0 if start else max(0, usage.ru_maxrss * 1024 - int(first.text() or 0))
        cpu = usage.ru_utime + usage.ru_stime
        return Ended(words, code, out.text(), err.text(), time.monotonic() - begun, cpu, grown)


def _resident() -> int:
    with open('/proc/self/statm', 'rb') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGESIZE')


def _become(
    cwd: Path, environ: Mapping[str, str], words: Sequence[str], out: int, err: int, start: Sequence[str],
    begin: Callable[[], None] | None,
) -> None:
    """Never returns."""
    code = 1
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (out, 1), (err, 2)):
            os.dup2(source, target)
        os.close(null)
        os.chdir(cwd)
        if start:
            os.execve(start[0], [*start, *words], dict(environ))
        os.environ.clear()
        os.environ.update(environ)
        sys.stdout = io.TextIOWrapper(io.FileIO(1, 'w', closefd=False), encoding='utf-8')  # type: ignore[arg-type]
        sys.stderr = io.TextIOWrapper(  # as the interpreter's own
            io.FileIO(2, 'w', closefd=False), encoding='utf-8', errors='backslashreplace',
            write_through=True  # type: ignore[arg-type]
        )
        sys.argv[:] = ['mlops', *words]
        from mlops_cli.__main__ import start as usual

        (begin or usual)()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 -- told to the parent
        os.write(2, traceback.format_exc().encode(errors='replace'))
    finally:
        os._exit(code)


def _wait(pid: int, timeout: float) -> tuple[int, os.struct_rusage]:  # type: ignore[name-defined]
    """Its exit code and what it took.  What takes too long is ended, with all it started."""
    ended = os.pidfd_open(pid)
    try:
        in_time = bool(select.select([ended], [], [], timeout)[0])
    finally:
        os.close(ended)
    if not in_time:
        for one in [*descendants(pid), pid]:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    return (os.waitstatus_to_exitcode(status) if in_time else NO_EXIT), usage


def judge(trial: Trial, ended: Ended, what: str) -> None:
    """Of any command: it ends by itself, in its own words."""
    if ended.code == NO_EXIT:
        trial.bad(Bad.STUCK, f'{what}: {ended.said}')
    elif ended.code < 0 or ended.code == BUG or 'Traceback (most recent' in ended.err:
        trial.bad(Bad.WRONG, f'{what}: {ended.said}')
    elif ended.code and not (ended.out or ended.err):
        trial.bad(Bad.WRONG, f'{what}: {" ".join(ended.words)} ended with {ended.code} and said nothing')


def judge_cost(trial: Trial, ended: Ended, what: str, otherwise: float, others: int = 0) -> None:
    """``otherwise``: processor seconds that the command takes when nothing is hostile.  ``others``: bytes of memory that
    another program takes for the same, which the command starts."""
    if ended.cpu - otherwise > CPU_SECONDS:
        trial.bad(Bad.STUCK, f'{what}: {" ".join(ended.words)} took {ended.cpu:.1f} s of the processor, not {otherwise:.1f} s')
    if ended.grown > max(MEMORY - OWN_MEMORY, others):
        trial.bad(Bad.STUCK, f'{what}: {" ".join(ended.words)} took {ended.grown >> 20} MiB of memory')


# What lies around

_IN_OPEN, _IN_ACCESS, _IN_CHANGES = 0x20, 0x1, 0x2 | 0x4 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400
_IN_ISDIR = 0x40000000
_EVENT = struct.Struct('iIII')


class Watch:
    """Which files of some folders are opened, read or changed.  Raises OSError where that cannot be watched."""

    def __init__(self, *tops: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), 'inotify_init1')
        self._folders: dict[int, str] = {}
        for top in tops:
            for folder, _, _ in list(os.walk(top)):  # looked at before it is watched
                number = self._libc.inotify_add_watch(
                    self.fd, os.fsencode(folder), _IN_OPEN | _IN_ACCESS | _IN_CHANGES
                )
                if number < 0:
                    raise OSError(ctypes.get_errno(), f'inotify_add_watch {folder}')
                self._folders[number] = os.path.relpath(folder, top)

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def seen(self) -> list[str]:
        """What happened since it was asked last, each name once."""
        found: dict[str, None] = {}
        while True:
            try:
                data = os.read(self.fd, 1 << 16)
            except BlockingIOError:
                return list(found)
            at = 0
            while at < len(data):
                number, mask, _, length = _EVENT.unpack_from(data, at)
                name = data[at + _EVENT.size : at + _EVENT.size + length].rstrip(b'\0').decode(errors='replace')
                how = 'listed' if mask & _IN_ISDIR else 'read' if mask & (_IN_OPEN | _IN_ACCESS) else 'changed'
                if not (mask & _IN_ISDIR and mask & _IN_OPEN):  # of a folder that says nothing yet
                    found[f'{how} {os.path.join(self._folders.get(number, "?"), name)}'] = None
                at += _EVENT.size + length


def digest(top: Path, leave_out: Sequence[str] = ()) -> dict[str, str]:
    """Path -> content, mode and times of everything below a folder, itself included; not of what is left out."""
    found: dict[str, str] = {}
    for folder, folders, names in os.walk(os.fsencode(top)):
        rel = os.path.relpath(folder, os.fsencode(top)).decode(errors='backslashreplace')
        if rel in leave_out:
            folders.clear()
            continue
        facts = os.stat(folder)
        found[rel] = f'{stat.S_IMODE(facts.st_mode):o}'
        for name in [*names, *(one for one in folders if os.path.islink(os.path.join(folder, one)))]:
            path = os.path.join(folder, name)
            facts = os.lstat(path)
            content = b''
            if stat.S_ISLNK(facts.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(facts.st_mode):
                with open(path, 'rb') as file:
                    content = hashlib.sha256(file.read()).digest()
            key = f'{rel}/{name.decode(errors="backslashreplace")}'
            found[key] = f'{facts.st_mode:o} {facts.st_mtime_ns} {content.hex()}'
    return found


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    return [path for path in sorted({*before, *after}) if before.get(path) != after.get(path)]


PIPELINE = """\
stages:
  make:
    cmd: mkdir -p made && cp in.txt made/out.txt && echo '{"acc":0.5}' > m.json && printf 'x,y\\n1,2\\n2,3\\n' > p.csv
    deps: [in.txt, data/raw]
    params: [lr]
    outs: [made]
    metrics: [m.json]
    plots: [p.csv]
  use:
    cmd: cp made/out.txt data/used.txt
    deps: [made]
    outs: [data/used.txt]
"""
TRIAL_ID_FILE = '../trial'


@dataclass(frozen=True, slots=True)
class World:
    """One project and what is not to be touched.  ``top``: the folder that holds both."""

    top: Path

    @property
    def project(self) -> Path:
        return self.top / DEEP / 'project'

    @property
    def outside(self) -> Path:
        return self.top / 'outside'

    @property
    def trial(self) -> str:
        """The id of a run with --set."""
        return (self.project / TRIAL_ID_FILE).read_text()

    def write(self, rel: str, content: str | bytes) -> Path:
        target = Path(os.path.join(self.project, rel))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode('utf-8', 'surrogateescape'))
        return target

    def commit(self) -> None:
        """As a branch brings it: everything is tracked, what git ignores too."""
        git(self.project, 'add', '-A', '-f', '--', '.')
        git(self.project, '-c', 'core.hooksPath=/dev/null', 'commit', '-q', '--allow-empty', '-m', 'hostile')

    def around(self) -> dict[str, str]:
        """The state of all that no command may touch: what lies outside, and what is git's."""
        leave_out = (f'{DEEP}/project', f'{DEEP}/project-home')
        found = digest(self.top, leave_out) | {f'.git/{path}': state for path, state in digest(self.project / '.git').items()}
        for name in ('.mlops/keep.txt', '.mlops/local/keep.txt', '.mlops/cache/keep.txt', '.mlops/config.yaml',
            '.mlops/config.local.yaml'):
            path = self.project / name
            found[name] = path.read_text(errors='surrogateescape') if path.is_file() and not path.is_symlink() else 'no file'
        return found


def template(folder: Path, tool: Tool) -> Path:
    """A world that is copied for each trial; made the first time."""
    made = folder / f'world-{tool.name}'
    if (made / 'complete').exists():
        return made
    shutil.rmtree(made, ignore_errors=True)
    world = World(made)
    project = world.project
    project.mkdir(parents=True)
    outside = world.outside
    for rel, text in {
        'secret.txt': 'secret\n', 'in.txt': 'outside\n', 'params.yaml': 'lr: 9\n', 'raw/f': 'outside\n',
        'made/out.txt': 'outside\n',
        'used.txt': 'outside\n', 'm.json': '{"acc":9}', 'p.csv': 'x,y\n9,9\n', 'x.py': 'print("outside")\n', 'file': '',
        'pipeline.yaml': f'stages:\n  out: {{cmd: touch {PWNED}}}\n', 'config.yaml': 'jobs: 3\n',
        'foreign/.mlops/local/journal/x.jsonl': '', 'foreign/.mlops/local/keep.txt': 'k',
        'foreign/.mlops/config.yaml': 'jobs: 2\n',
        'foreign/pipeline.yaml': 'stages: {a: {cmd: "true"}}\n', 'foreign/.mlops/local/work/x': '',
        'foreign/.mlops/local/index-v1.sqlite': '',
    }.items():
        (outside / rel).parent.mkdir(parents=True, exist_ok=True)
        (outside / rel).write_text(text)
    (outside / 'run.sh').write_text(f'#!/bin/sh\ntouch {outside}/{PWNED}\n')
    (outside / 'run.sh').chmod(0o755)
    git(project, 'init', '-q', '-b', 'main', '--template=')
    for rel, text in {'pipeline.yaml': PIPELINE, 'params.yaml': 'lr: 1\n', 'in.txt': 'in\n', 'data/raw/f': 'raw\n'}.items():
        world.write(rel, text)
    (project / '.git/hooks').mkdir()
    (project / '.git/hooks/README').write_text('none\n')
    environ = tool.environment(Path(f'{project}-home'))

    def do(*words: str) -> str:
        ended = command(project, environ, *words, timeout=60)
        assert ended.code == 0, ended.said
        return ended.out

    do('add', 'data/raw')
    do('run')
    do('run', '--set', 'lr=2')
    ids = sorted(path.stem for path in (project / '.mlops/runs').rglob('*.json'))
    (project / TRIAL_ID_FILE).write_text(next(one for one in reversed(ids)))
    do('runs', 'keep', ids[0])
    (project / 'made/out.txt').write_text('by hand\n')
    do('accept', 'make', '--reason', 'by hand')
    for name in ('.mlops/keep.txt', '.mlops/local/keep.txt', '.mlops/cache/keep.txt'):
        world.write(name, 'keep\n')
    world.write('.mlops/config.yaml', 'tokens: {seat: 1}\n')
    git(project, 'add', '-A')
    git(project, 'commit', '-q', '-m', 'all')
    (made / 'complete').touch()
    return made


def worlds(shared: Path, folder: Path, tool: Tool) -> Iterator[World]:
    """Fresh ones, one after the other; the one before is gone."""
    made = template(shared, tool)
    number = 0
    while True:
        number += 1
        top = folder / f'w{number}'
        shutil.copytree(made, top, symlinks=True)
        try:
            yield World(top)
        finally:
            _remove(top)


def _remove(top: Path) -> None:
    shutil.rmtree(top, onerror=_by_force)


def _by_force(function: object, path: str, _: object) -> None:
    """Folders that are too deep for one path are taken apart from below."""
    import subprocess

    subprocess.run(['rm', '-rf', path], check=False)


def judge_around(
    trial: Trial, world: World, before: Mapping[str, str], seen: Sequence[str], what: str, *,
    but: Callable[[str], object] = lambda _path: False,
) -> None:
    """That nothing outside was touched, and nothing ran that should not.  ``but``: which paths do not count."""
    changed = [path for path in differences(before, world.around()) if not but(path)]
    if changed:
        trial.bad(Bad.ESCAPED, f'{what}: changed {", ".join(changed[:5])}')
    if seen:
        trial.bad(Bad.ESCAPED, f'{what}: outside, {", ".join(seen[:5])}')
    ran = [name for folder, _, names in os.walk(world.top) for name in names if name.startswith(PWNED)]
    if ran:
        trial.bad(Bad.ESCAPED, f'{what}: something ran that made {ran[0]!r}')


def in_yaml(text: str) -> str:
    """In double quotes, every character as it is meant."""
    out = []
    for character in text:
        code = ord(character)
        if character in '"\\':
            out.append(f'\\{character}')
        elif code < 0x20 or 0x7F <= code < 0xA0 or code in (0x2028, 0x2029, 0xFEFF):
            out.append(f'\\x{code:02x}' if code < 0x100 else f'\\u{code:04x}')
        else:
            out.append(character)
    return f'"{"".join(out)}"'
