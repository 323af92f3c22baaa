"""F2: each single change of the disk fails in turn, once or from then on, and each system call of which ops knows nothing."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import whole
from tests.faults.alone import alone
from tests.faults.base import HEAL_SECONDS, Bad, Row, Setting, Trial, Verdict
from tests.faults.little import SCENARIOS, Scenario
from tests.faults.tools import Done, Tool

ERRORS = ('ENOSPC', 'EIO', 'EDQUOT', 'EMFILE', 'EACCES', 'EINTR')
MODES = ('once', 'sticky')
KILLS = {'healed-run': ('run', (0.3, 0.5, 0.7, 0.9)), 'healed-force': ('force', (0.4, 0.6, 0.8)), 'healed-add': ('add', (0.5,))}
"""What was killed, and where: after that part of its changes."""

# System calls of which ops knows nothing, or that it makes for more than one of its own, and what they fail with.
CALLS = {
    'openat': ('EMFILE', 'EACCES', 'EIO', 'EINTR'),
    'read': ('EIO', 'EINTR'),
    'pread64': ('EIO',),
    'getdents64': ('EIO',),
    'newfstatat': ('EIO', 'EACCES'),
    'statx': ('EIO',),
    'readlink': ('EIO',),
    'write': ('ENOSPC', 'EIO', 'EINTR'),
    'pwrite64': ('ENOSPC', 'EIO'),
    'ftruncate': ('ENOSPC', 'EIO'),
    'fsync': ('EIO', 'ENOSPC'),
    'fdatasync': ('EIO',),
    'fcntl': ('ENOLCK',),
    'mkdir': ('ENOSPC',),
    'unlink': ('EIO', 'EACCES'),
}
DVC_CALLS = {
    'openat': ('EMFILE', 'ENOSPC'),
    'write': ('ENOSPC', 'EIO'),
    'rename': ('EIO', 'ENOSPC'),
    'link': ('EIO',),
    'ioctl': ('ENOSPC',),
    'mkdir': ('ENOSPC',),
    'unlink': ('EACCES', 'EIO'),
    'chmod': ('EIO',),
    'copy_file_range': ('ENOSPC',),
}
FAST_STEP = 25  # of the fast tier: every such change only
FAST = (
    'add ENOSPC once',
    'run EIO sticky',
    'first EACCES once',
    'restore EINTR sticky',
    'force EDQUOT sticky',
    'accept EMFILE once',
    'gc ENOSPC sticky',
    'healed-run EIO once',
)
_NAMES = {one.name: one for one in SCENARIOS}


def scenario(name: str) -> Scenario:
    return _NAMES[KILLS[name][0] if name in KILLS else name]


def cases(setting: Setting) -> Sequence[str]:
    """``add ENOSPC once`` by ops; ``add openat EMFILE`` by strace."""
    if setting.tool.name == 'dvc':
        names = [one.name for one in SCENARIOS if 'dvc' in one.words and one.name != 'force']
        return [f'{name} {call} {error}' for name in names for call, errors in DVC_CALLS.items() for error in errors]
    names = [one.name for one in SCENARIOS if one.name != 'gc' or has_gc()] + [*KILLS]
    if not setting.full:
        return [case for case in FAST if case.split()[0] in names]
    found = [f'{name} {error} {mode}' for name in names for error in ERRORS for mode in MODES]
    if not no_strace():
        found += [f'{name} {call} {error}' for name in names for call, errors in CALLS.items() for error in errors]
    return found


def has_gc() -> bool:
    from tests.faults.tools import REPOSITORY

    return (REPOSITORY / 'mlops_cli/cli/commands/gc.py').exists()


def no_strace() -> str:
    return '' if shutil.which('strace') else 'there is no strace here'


def run(setting: Setting, case: str) -> Verdict:
    return alone(setting, __name__, case)


@dataclass
class World:
    """A project as it was before the command that is tried, and how that ends where nothing fails.

    ``before``: the user's files.  ``usual``: the seconds that it takes.  ``changes``: how many of the disk it makes."""

    setting: Setting
    what: Scenario
    original: Path
    before: Mapping[str, bytes]
    do: Callable[..., Done]
    usual: float = 0.0
    changes: Sequence[Sequence[str]] = ()
    _count: int = field(default=0)

    @property
    def words(self) -> Sequence[str]:
        return self.what.words[self.setting.tool.name]

    @contextmanager
    def copy(self) -> Iterator[Path]:
        self._count += 1
        folder = self.setting.folder / f'copy-{self._count}'
        shutil.copytree(self.original, folder, symlinks=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder)
            shutil.rmtree(f'{folder}-home', ignore_errors=True)

    def mend(self, folder: Path) -> None:
        """After the fault: what made it goes away."""


def inside(setting: Setting, case: str) -> Verdict:
    """In a process of its own."""
    name, *how = case.split()
    trial = Trial()
    if setting.tool.name == 'dvc':
        world = made(setting, name, setting.tool.do)
        _by_strace_from_outside(world, trial, *how)
        return trial.verdict()
    from tests.faults import warm

    warm.load()
    world = made(setting, name, warmly(setting.tool))
    if how[0] in ERRORS:
        _by_ops(world, trial, *how)
    else:
        _by_strace(world, trial, *how)
    return trial.verdict()


def warmly(tool: Tool) -> Callable[..., Done]:
    from tests.faults import warm

    def do(cwd: Path, *words: str, code: int | None = None, **options: object) -> Done:
        done = warm.do(tool, cwd, *words, **options)  # type: ignore[arg-type]
        assert code is None or done.code == code, done.said
        return done

    return do


def made(setting: Setting, name: str, do: Callable[..., Done]) -> World:
    """The world of a scenario, tried thrice without a fault."""
    what = scenario(name)
    original = setting.folder / 'world'
    what.prepare(setting.tool.name, original, do)
    before = whole.read(original)
    world = World(setting, what, original, before, do)
    measure(world)
    if name in KILLS:
        _kill(world, KILLS[name][1])
        world.before = {**before, **whole.read(original)}
        measure(world)
    return world


def measure(world: World) -> None:
    """How long it takes, which changes it makes, that it ends well."""
    seconds = []
    tool = world.setting.tool.name
    if tool == 'mlops':
        _count_changes(world)
    for _ in range(2):
        with world.copy() as folder:
            done = world.do(folder, *world.words)
            problems = [*incomplete(world, folder), *whole.left(tool, folder), *damage(world, folder)]
            assert done.code in world.what.codes and (not problems or tool == 'dvc'), (problems, done.said)
            seconds.append(done.seconds)
    world.usual = statistics.median(seconds)


def _count_changes(world: World) -> None:
    from tests.faults import warm

    with world.copy() as folder, warm.Notes() as notes:
        world.do(folder, *world.words, hook=warm.Fault(-1, 0, False, notes.fd))
        world.changes = notes.lines()


def damage(world: World, folder: Path) -> list[str]:
    """What is wrong in the store; where the scenario is that something is, an object may be missing then."""
    found = whole.damaged(world.setting.tool.name, folder)
    return [one for one in found if not (world.what.harmed and ' names ' in one)]


def _kill(world: World, parts: Sequence[float]) -> None:
    """The command killed again and again: each time the next one heals, and is killed further on."""
    from tests.faults import warm

    for part in parts:
        _count_changes(world)
        hook = warm.Killed(int(part * len(world.changes)))
        done = world.do(world.original, *world.words, hook=hook)
        assert done.code == -signal.SIGKILL, done.said


def incomplete(world: World, folder: Path) -> list[str]:
    """What the command was to bring about, and is not so."""
    now = whole.read(folder)
    found = [path for path, text in world.what.right.items() if now.get(path) != text.encode()]
    if world.setting.tool.name == 'mlops':
        found += [path for path in world.what.after if not any(one.startswith(path) for one in now)]
    return found


def _by_ops(world: World, trial: Trial, error: str, mode: str) -> None:
    from tests.faults import warm

    number = getattr(errno, error)
    step = 1 if world.setting.full else FAST_STEP
    for position in range(0 if world.setting.full else number % step, len(world.changes), step):
        with world.copy() as folder, warm.Notes() as notes:
            fault = warm.Fault(position, number, mode == 'sticky', notes.fd)
            done = world.do(folder, *world.words, hook=fault)
            failed = notes.lines()
            what = ' '.join(failed[0]).replace(str(folder), '.') if failed else 'none'
            label, paths = f'{error} {mode} at {position} ({what})', [path for one in failed for path in one[1:]]
            judge(world, trial, folder, done, label, error, paths, lasting=mode == 'sticky')


def judge(world: World, trial: Trial, folder: Path, done: Done, label: str, error: str, paths: Sequence[str], *,
          lasting: bool = False) -> None:
    """The command ended, perhaps with a fault; then comes the same again, without one.

    ``lasting``: every call from the fault on failed, so that what had been moved could not be moved back: the next command
    does that."""
    trial.tried += 1
    tool = world.setting.tool.name
    told = f'{label}: exit {done.code}: {(done.err or done.out).strip()[-300:]!r}'.replace(str(folder), '.')
    if done.code in world.what.codes or (done.code == 1 and re.search(world.what.reports or '$^', done.out)):
        if problems := incomplete(world, folder):
            trial.bad(Bad.WRONG, f'success with {problems[:3]} not right: {told}')
    elif error == 'EINTR' and paths:
        trial.bad(Bad.WRONG, f'a signal came through: {told}')
    else:
        for problem in unsaid(done, folder, paths, tool):
            trial.bad(Bad.WRONG, f'{problem}: {told}')
    if gone := whole.lost(world.before, folder):
        trial.bad(Bad.LOST, f'{gone[:3]}: {told}')
    own = dict.fromkeys(world.what.own)
    if not lasting and (changed := whole.moved(world.before, folder, own)):
        trial.bad(Bad.LOST, f'{changed[:3]} not what they were: {told}')
    if objects := [one for one in damage(world, folder) if not world.what.harmed]:
        trial.bad(Bad.CORRUPT, f'{objects[:3]}: {told}')
    world.mend(folder)
    again = world.do(folder, *world.words)
    if again.code not in (*world.what.codes, *(world.what.again if done.code == 0 else ())):
        trial.bad(Bad.STUCK, f'after {told}: exit {again.code}: {again.err.strip()[-300:]!r}')
    elif problems := incomplete(world, folder):
        trial.bad(Bad.WRONG, f'after {told}: {problems[:3]} not right')
    trial.healed(longer(world, again.seconds), label)
    if gone := [*whole.lost(world.before, folder), *whole.moved(world.before, folder, own)]:
        trial.bad(Bad.LOST, f'{gone[:3]} by the next command after {told}')
    if objects := damage(world, folder):
        trial.bad(Bad.CORRUPT, f'{objects[:3]} after the next command: {told}')
    if remains := whole.left(tool, folder):
        trial.bad(Bad.LEAKED, f'{remains[:3]} after {told}')


def longer(world: World, seconds: float) -> float:
    """How much more it took than it usually does; on a machine that is busy just now, than it does just now."""
    if seconds - world.usual > HEAL_SECONDS:
        with world.copy() as folder:
            world.usual = max(world.usual, world.do(folder, *world.words).seconds)
    return max(0.0, seconds - world.usual)


def unsaid(done: Done, folder: Path, paths: Sequence[str], tool: str = 'mlops') -> list[str]:
    """What is wrong with how a failure was told.  What to do next is asked of mlops only, for it says that it tells."""
    text = done.err + done.out
    if done.code in (70, -1000) or done.code < 0 or 'Traceback' in text:
        return ['a crash']
    found = []
    if not re.search('error|failed', text, re.IGNORECASE):
        found.append('no message')
    near = {one for path in paths for one in (path, os.path.dirname(path)) if one}
    names = near | {os.path.relpath(path, folder) for path in near}
    if paths and not any(name in text for name in names if name not in ('', '.')):
        found.append('no path')
    if tool == 'mlops' and not re.search(r'hint:|^  try  ', text, re.MULTILINE):
        found.append('no word of what next')
    return found


# By strace

_NO_FILE = re.compile(r'<(pipe:|socket:|anon_inode:|/proc/|/sys/|/dev/)|"/(proc|sys|dev)/')  # with what has no path to tell
_BY_NAME = re.compile(r'(open|stat|link|mkdir|rename|chmod)\w*\(')  # of other calls a text is no path
_PATHS = re.compile(r'(?:<(/[^>]*)>(?:, )?)?(?:"([^"]*)")?')


def paths_in(line: str) -> Iterator[str]:
    """As strace tells them: ``openat(3</folder>, "name"...)``, ``read(4</file>...)``."""
    named = _BY_NAME.search(line)
    for folder, name in _PATHS.findall(line):
        if folder or (name and named):
            yield os.path.normpath(os.path.join(folder, name if named else ''))


def _is_ours(line: str, folder: Path) -> bool:
    """Whether it is about a file of the project; what the interpreter loads is not."""
    return any(path == str(folder) or path.startswith(f'{folder}/') for path in paths_in(line))


def _by_strace(world: World, trial: Trial, call: str, error: str) -> None:
    """The system calls of the command's own thread, from where it begins: once and, unless interrupted, from then on."""
    log = world.setting.folder / 'strace'
    with world.copy() as folder:
        _traced(world, folder, log, call, '')
        lines = log.read_text().splitlines()
    mine = [number for number, line in enumerate(lines, 1) if _is_ours(line, folder) and (call != 'fcntl' or 'SETLK' in line)]
    step = max(1, len(mine) // 8) if world.setting.full else max(1, len(mine) // 3)
    for number in mine[::step]:
        for mode in ('',) if error == 'EINTR' or call == 'write' else ('', '+'):  # else it could not even say so
            with world.copy() as folder:
                done = _traced(world, folder, log, call, f'{call}:error={error}:when={number}{mode}')
                failed = [line for line in log.read_text().splitlines() if 'INJECTED' in line]
                paths = [] if any(map(_NO_FILE.search, failed)) else [path for line in failed for path in paths_in(line)]
                label = f'strace {call} {error} when={number}{mode} ({failed[0][:160] if failed else ""})'
                judge(world, trial, folder, done, label, error, paths, lasting=bool(mode))


def _traced(world: World, folder: Path, log: Path, call: str, inject: str) -> Done:
    """The command with one kind of its system calls in the log."""
    log.unlink(missing_ok=True)
    tracers: list[subprocess.Popen[bytes]] = []

    def attach(pid: int) -> None:
        argv = ['strace', '-qq', '-y', '-o', str(log), '-e', f'trace={call}', *(['-e', f'inject={inject}'] if inject else [])]
        tracers.append(subprocess.Popen([*argv, '-p', str(pid)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        end = time.monotonic() + 10
        while 'TracerPid:\t0\n' in Path(f'/proc/{pid}/status').read_text():
            assert time.monotonic() < end and tracers[0].poll() is None, 'strace does not attach'
            time.sleep(0.001)

    try:
        return world.do(folder, *world.words, attach=attach)
    finally:
        for tracer in tracers:
            try:
                tracer.wait(10)
            except subprocess.TimeoutExpired:
                tracer.kill()
                tracer.wait()


def _by_strace_from_outside(world: World, trial: Trial, call: str, error: str) -> None:
    """The same of a program of another, of which only the system calls can be seen."""
    log = world.setting.folder / 'strace'
    calls = {
        'mkdir': 'mkdir,mkdirat',
        'rename': 'rename,renameat,renameat2',
        'unlink': 'unlink,unlinkat',
        'link': 'link,linkat',
        'chmod': 'chmod,fchmodat,fchmod',
        'openat': 'openat',
    }.get(call, call)
    start = ['strace', '-f', '-qq', '-y', '-o', str(log)]
    with world.copy() as folder:
        world.do(folder, *world.words, before=[*start, '-e', f'trace={calls}'])
        seen: dict[tuple[str, str], int] = {}
        mine = []
        for line in log.read_text(errors='replace').splitlines():
            pid, _, rest = line.partition(' ')
            name = rest.strip().partition('(')[0]
            seen[pid, name] = seen.get((pid, name), 0) + 1
            if str(folder) in line and '.git/' not in line and ('O_CREAT' in line or call != 'openat'):
                mine.append((name, seen[pid, name]))
    step = max(1, len(mine) // (3 if world.setting.full else 1))
    for name, number in mine[::step][:3]:
        with world.copy() as folder:
            before = [*start, '-e', f'trace={calls}', '-e', f'inject={name}:error={error}:when={number}']
            done = world.do(folder, *world.words, before=before)
            failed = [line for line in log.read_text(errors='replace').splitlines() if 'INJECTED' in line]
            paths = [path for line in failed for path in paths_in(line)]
            label = f'strace {name} {error} when={number} ({failed[0][:160] if failed else ""})'
            judge(world, trial, folder, done, label, error, paths)


ROWS = (
    Row(
        'F2',
        'an I/O error at each change of the disk, once and from then on',
        'every call x 6 errors x 2 ways for 7 commands and healing; what does not go through our own functions by strace',
        cases,
        run,
        ('mlops', 'dvc'),
    ),
)
