"""A small project that both tools understand, what was in it, and a judge of what became of it.

``made`` gives it in a folder of the caller's own; ``shared`` makes it once for a row and tool, and copies that.  The copy has
the times of the files but other inodes, so whatever a tool remembers of them is worth nothing there: every file is read anew.
``warm`` has the tool look once, so that it remembers.

What the stages make is known without running them (``World.outputs``), so that a tool's word for it is not needed.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3

from tests.faults.base import Bad, Setting, Trial
from tests.faults.tools import Done, Tool, git, mlops

Files = Mapping[str, bytes]  # path from the project's root -> content

LINES = 40  # of words.txt that the first stage takes, to begin with
OUTPUTS = ('first.txt', 'parts', 'totals.txt')
DATA = ('data', 'labels.csv')
USED = ('data/words.txt', 'data/big.bin', 'data/with space.txt', 'labels.csv')  # by what is in the outputs
OWN = ('.git', '.mlops', '.dvc')  # folders whose content is nobody's work
LINGER = 15.0  # seconds after which nothing of a killed command runs any more

PIPELINE = """\
version: 1
stages:
  first:
    cmd: head -n ${lines} data/words.txt > first.txt
    deps: [data/words.txt]
    outs: [first.txt]
  parts:
    cmd: mkdir -p parts/deep && cp data/big.bin 'data/with space.txt' parts && sort first.txt > parts/deep/sorted.txt
    deps: [data, first.txt]
    outs: [parts]
  totals:
    cmd: cat parts/deep/sorted.txt labels.csv > totals.txt
    deps: [parts, labels.csv]
    outs: [totals.txt]
"""
COMMANDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    'mlops': {
        'add': ('add',),
        'run': ('run',),
        'checkout': ('checkout',),
        'replace': ('checkout', '--force'),
        'gc': ('gc', '--grace', '0', '--yes'),
        'status': ('status', '--exit-code'),
    },
    'dvc': {
        'add': ('add',),
        'run': ('repro',),
        'checkout': ('checkout',),
        'replace': ('checkout', '--force'),
        'gc': ('gc', '--workspace', '--force'),
        'status': ('status', '--json'),
    },
}
# Names that each tool gives to what it has not finished.
_UNFINISHED = {'mlops': re.compile(r'\.mlops-tmp-'), 'dvc': re.compile(r'\.[A-Za-z0-9_-]{16,}\.(tmp|unpacked)$|\.tmp$')}


def data(seed: int = 1) -> dict[str, bytes]:
    """A dozen files of a person's own, of several sizes, with names that need care."""
    chance = random.Random(seed)
    words = ''.join(f'{chance.choice("abcdefgh")}{chance.randrange(10**6):06}\n' for _ in range(400))
    return {
        'data/words.txt': words.encode(),
        'data/with space.txt': b'between\n' * 30,
        'data/it\'s "quoted".txt': b'quoted\n',
        'data/\u00e9moji \U0001f388.txt': b'auf und davon\n',
        'data/empty': b'',
        'data/big.bin': chance.randbytes(2 << 20),
        'data/100k.bin': chance.randbytes(100_000),
        'data/sub/a.csv': b'a,b\n1,2\n',
        'data/sub/b.csv': b'a,b\n3,4\n',
        'data/sub/deep/c.csv': chance.randbytes(5000).hex().encode(),
        'data/sub/deep/-n': b'like an option\n',
        'labels.csv': b'word,label\n' + b''.join(b'w%d,%d\n' % (number, number % 3) for number in range(200)),
    }


def made_of(files: Files, lines: int = LINES) -> dict[str, bytes]:
    """What all stages make of these data."""
    words = files['data/words.txt'].splitlines(keepends=True)[:lines]
    found = {
        'first.txt': b''.join(words),
        'parts/big.bin': files['data/big.bin'],
        'parts/with space.txt': files['data/with space.txt'],
        'parts/deep/sorted.txt': b''.join(sorted(words)),
    }
    return {**found, 'totals.txt': found['parts/deep/sorted.txt'] + files['labels.csv']}


@dataclass(frozen=True)
class World:
    """A project.  ``path``: its root, beside which ``<path>-home`` is the home of all commands."""

    tool: Tool
    path: Path

    # Commands

    def words(self, command: str, *paths: str) -> tuple[str, ...]:
        """What this tool calls ``add``, ``run``, ``checkout``, ``replace`` (checkout over changes), ``gc`` (of all that is not
        needed) or ``status``; any other command is taken as it is."""
        return (*COMMANDS[self.tool.name].get(command, (command,)), *paths)

    @property
    def environ(self) -> dict[str, str]:
        """What a command gets beside what it gets anyhow."""
        return {'DVC_SITE_CACHE_DIR': f'{self.path}-home/site', 'CI': '1'} if self.tool.name == 'dvc' else {}

    def environment(self) -> dict[str, str]:
        return self.tool.environment(Path(f'{self.path}-home'), self.environ)

    def do(self, *words: str, timeout: float = 120, code: int | None = None, before: Sequence[str] = ()) -> Done:
        return self.tool.do(self.path, *words, environ=self.environ, timeout=timeout, code=code, before=before)

    def is_up_to_date(self) -> bool | None:
        """What the tool says of all stages; None if it does not answer."""
        done = self.do(*self.words('status'))
        if self.tool.name == 'dvc':
            return done.out.strip() == '{}' if done.code == 0 else None
        return {0: True, 3: False}.get(done.code)

    def warm(self) -> None:
        """The tool looks at all there is, after the files have become old enough to be believed."""
        time.sleep(0.05)
        for _ in range(2):
            self.is_up_to_date()

    # Files

    def write(self, files: Files) -> None:
        for name, content in files.items():
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    def set_lines(self, lines: int) -> None:
        """Another value of the parameter: all stages are out of date."""
        self.write({'params.yaml': f'lines: {lines}\n'.encode()})

    def read(self) -> dict[str, bytes]:
        """Every file of the workspace but what git and the tool keep for themselves."""
        return {name: Path(self.path, name).read_bytes() for name in self.names(OWN)}

    def names(self, without: Iterable[str] = ()) -> Iterator[str]:
        """The paths of all regular files, except below these folders of the root."""
        for folder, folders, files in os.walk(self.path):
            if folder == str(self.path):
                folders[:] = [name for name in folders if name not in set(without)]
            for name in files:
                full = os.path.join(folder, name)
                if not os.path.islink(full):
                    yield os.path.relpath(full, self.path)

    def outputs(self) -> dict[str, bytes]:
        """What all stages make of the files that are there, worked out here."""
        lines = int((self.path / 'params.yaml').read_text().rpartition(':')[2])
        return made_of({name: (self.path / name).read_bytes() for name in USED}, lines)

    def copy(self, to: Path) -> World:
        """The same in another folder, whose inodes and change times are other ones."""
        subprocess.run(['cp', '-a', '--', str(self.path), str(to)], check=True)
        home = Path(f'{self.path}-home')
        if home.exists():
            subprocess.run(['cp', '-a', '--', str(home), f'{to}-home'], check=True)
        _moved(to, self.path, to)
        return World(self.tool, to)

    def remove(self) -> None:
        for path in (self.path, Path(f'{self.path}-home')):
            shutil.rmtree(path, ignore_errors=True)

    def commit(self) -> None:
        git(self.path, 'add', '-A')
        git(self.path, 'commit', '-q', '--allow-empty', '-m', 'next')


# Making


def bare(tool: Tool, path: Path, seed: int = 1) -> World:
    """The project before the first command of the tool: files and stages, committed, but for the data."""
    path.mkdir(parents=True)
    git(path, 'init', '-q', '-b', 'main')
    world = World(tool, path)
    world.set_lines(LINES)
    if tool.name == 'dvc':
        world.do('init', '-q', code=0)
        world.do('config', 'core.check_update', 'false', code=0)
        world.write({'dvc.yaml': PIPELINE.removeprefix('version: 1\n').encode()})
    else:
        world.write({'pipeline.yaml': PIPELINE.encode()})
    world.commit()
    world.write(data(seed))
    return world


def made(tool: Tool, path: Path, seed: int = 1) -> World:
    """The project with all data added and all stages run, committed: what it holds is acknowledged."""
    world = bare(tool, path, seed)
    world.do(*world.words('add', *DATA), code=0)
    world.do(*world.words('run'), code=0)
    world.commit()
    return world


def shared(setting: Setting, name: str = 'made', make: Callable[[Tool, Path], World] = made) -> World:
    """A world that is made once for a row, tool and state of the code.  It is for copying: do nothing in it.

    Several processes may ask at once."""
    base = setting.shared / (version(setting.tool) + '-' + name)
    world = World(setting.tool, base / 'p')
    if not (base / 'complete').exists():
        own = setting.shared / f'making-{os.getpid()}-{name}'
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir(parents=True)
        make(setting.tool, own / 'p')
        (own / 'complete').touch()
        _moved(own / 'p', own / 'p', base / 'p')
        try:
            own.rename(base)
        except OSError:  # another process was faster
            shutil.rmtree(own)
    return world


def _moved(path: Path, old: Path, new: Path) -> None:
    """A remote of the project's own goes with it: that is beside it, in its home."""
    settings = path / '.mlops/config.local.yaml'
    if settings.exists():
        settings.write_text(settings.read_text().replace(f'{old}-home', f'{new}-home'))


def version(tool: Tool) -> str:
    """Tells apart what one state of the code made from what another did."""
    if tool.name != 'mlops':
        return f'{tool.name}-{tool.version}'
    root = Path(mlops().environ['PYTHONPATH']) / 'mlops_cli'
    found = hashlib.sha256()
    for path in (*sorted(root.rglob('*.py')), Path(__file__)):
        found.update(path.read_bytes())
    return f'mlops-{found.hexdigest()[:12]}'


# Judging


@dataclass(frozen=True)
class Snapshot:
    """``files``: all that the user had.  ``stored``: what the tool had said is in its store."""

    files: Files
    stored: Files = field(default_factory=dict)


def below(files: Files, paths: Iterable[str]) -> dict[str, bytes]:
    """Those of the files that are one of the paths or lie in it."""
    wanted = tuple(paths)

    def is_one(name: str) -> bool:
        return any(name == path or name.startswith(f'{path}/') for path in wanted)

    return {name: content for name, content in files.items() if is_one(name)}


def snapshot(world: World, stored: Iterable[str] = ()) -> Snapshot:
    """``stored``: paths of files and folders that the tool has acknowledged."""
    files = world.read()
    return Snapshot(files, below(files, stored))


def lost(world: World, files: Files) -> list[str]:
    """Those whose bytes are neither at their place nor anywhere below the project as a whole file."""
    gone = {name: content for name, content in files.items() if not _is_kept(world, name, content)}
    if not gone:
        return []
    sizes = {len(content) for content in gone.values()}
    there: set[bytes] = set()
    for name in world.names():
        path = world.path / name
        if path.lstat().st_size in sizes:
            there.add(path.read_bytes())
    return sorted(name for name, content in gone.items() if content and content not in there)


def _is_kept(world: World, name: str, content: bytes) -> bool:
    path = world.path / name
    if os.path.basename(name) in ('.gitignore', '.gitattributes') and path.is_file():  # a tool adds lines to it
        return set(content.splitlines()) <= set(path.read_bytes().splitlines())
    return name == 'dvc.lock' or name.endswith('.dvc') or holds(path, content)  # DVC's own, and in git


def holds(path: Path, content: bytes) -> bool:
    try:
        return path.lstat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False


def damaged(world: World) -> list[str]:
    """What lies in the store under a name that is not its bytes' digest."""
    found = []
    is_dvc = world.tool.name == 'dvc'
    for path in (world.path / ('.dvc/cache/files/md5' if is_dvc else '.mlops/cache/objects-v1')).glob('??/*'):
        name, content = (path.parent.name + path.name).removesuffix('.dir'), path.read_bytes()
        digest = hashlib.md5(content).hexdigest() if is_dvc else blake3(content).hexdigest()
        if re.fullmatch('[0-9a-f]+', name) and digest != name:
            found.append(f'{path.relative_to(world.path)} ({path.stat().st_size} bytes)')
    return sorted(found)


def leftovers(world: World) -> list[str]:
    """Temporaries, and what only a command under way has."""
    unfinished = _UNFINISHED[world.tool.name]
    found = []
    for folder, folders, files in os.walk(world.path):
        if folder == str(world.path):
            folders.remove('.git')
        names = [name for name in (*folders, *files) if unfinished.search(name)]
        found += [os.path.relpath(os.path.join(folder, name), world.path) for name in names]
    if world.tool.name == 'mlops':
        for place in ('.mlops/cache/tmp', '.mlops/local/journal', '.mlops/local/work'):
            if (world.path / place).is_dir():
                found += [f'{place}/{name}' for name in os.listdir(world.path / place) if name != 'quarantine']
    elif (lock := world.path / '.dvc/tmp/rwlock').exists() and any(json.loads(lock.read_text() or '{}').values()):
        found.append('.dvc/tmp/rwlock names a holder')
    return sorted(set(found))


def processes(world: World) -> dict[int, str]:
    """Those that were started for a world and run: pid -> its words.  They all have the world's home."""
    mark = f'HOME={world.path}-home'.encode()
    found = {}
    for name in os.listdir('/proc'):
        if name.isdecimal() and int(name) != os.getpid():
            try:
                if mark in Path('/proc', name, 'environ').read_bytes().split(b'\0'):
                    words = Path('/proc', name, 'cmdline').read_bytes().split(b'\0')
                    found[int(name)] = b' '.join(words).decode(errors='replace').strip()[:120]
            except OSError:
                continue  # it ended, or is not ours
    return found


def left_running(world: World, seconds: float = LINGER) -> dict[int, str]:
    """As :func:`processes`, of those that do not end within so long."""
    until = time.monotonic() + seconds
    while (found := processes(world)) and time.monotonic() < until:
        time.sleep(0.02)
    return found


def wrong_outputs(world: World) -> list[str]:
    """Outputs that are not what the stages make of what is there."""
    return sorted(name for name, content in world.outputs().items() if not holds(world.path / name, content))


def judge_files(world: World, before: Snapshot, trial: Trial, note: str) -> None:
    """As things stand this moment: nothing of the user's is gone, nothing in the store is damaged."""
    for name in lost(world, {**before.files, **before.stored}):
        trial.bad(Bad.LOST, f'{name} {note}')
    for name in damaged(world):
        trial.bad(Bad.CORRUPT, f'{name} {note}')


def judge_status(world: World, trial: Trial, note: str) -> None:
    """The tool calls nothing up to date that is not."""
    said = world.is_up_to_date()
    wrong = wrong_outputs(world)
    if said is None:
        trial.bad(Bad.STUCK, f'status does not answer {note}')
    elif said and wrong:
        trial.bad(Bad.WRONG, f'called up to date with {", ".join(wrong)} wrong {note}')


def judge_heal(world: World, again: Sequence[str], usual: float, trial: Trial, note: str) -> bool:
    """The next command goes through by itself, in its usual time and two seconds, and leaves nothing behind; whether it did.

    ``again``: its words.  ``usual``: seconds that it takes otherwise."""
    try:
        done = world.do(*again, timeout=60)
    except subprocess.TimeoutExpired:
        trial.bad(Bad.STUCK, f'{" ".join(again)} does not end {note}')
        return False
    if done.code:
        trial.bad(Bad.STUCK, f'{done.said} {note}')
        return False
    trial.healed(done.seconds - usual, note)
    if running := left_running(world):
        trial.bad(Bad.LEAKED, f'processes {running} {note}')
    if left := leftovers(world):
        trial.bad(Bad.LEAKED, f'{len(left)} left, such as {left[0]} {note}')
    return True


def judge_store(world: World, stored: Files, trial: Trial, note: str) -> None:
    """All that is acknowledged comes back from the store alone, byte for byte; what it says of itself is true.

    Takes the acknowledged files away, so it comes last."""
    if world.tool.name == 'mlops' and (done := world.do('verify')).code:
        trial.bad(Bad.CORRUPT, f'{done.said} {note}')
    tops = [top for top in (*DATA, *OUTPUTS) if below(stored, [top])]
    for top in tops:
        target = world.path / top
        shutil.rmtree(target) if target.is_dir() and not target.is_symlink() else target.unlink(missing_ok=True)
    if (done := world.do(*world.words('checkout', *tops))).code:
        trial.bad(Bad.LOST, f'{done.said} {note}')
        return
    for name, content in stored.items():
        if not holds(world.path / name, content):
            if (world.path / name).exists():
                trial.bad(Bad.CORRUPT, f'{name} comes back as other bytes {note}')
            else:
                trial.bad(Bad.LOST, f'{name} does not come back {note}')


def judge(
    world: World,
    before: Snapshot,
    again: Sequence[str],
    usual: float,
    trial: Trial,
    note: str,
    *,
    settled: bool = True,
    data_files: Files | None = None,
) -> None:
    """All of it, after a fault: ``again`` is the command that shall heal.  ``settled``: after it all outputs are right and
    acknowledged, as after ``run``; else only the data are.  ``data_files``: what the data have to be then, at their places; by
    default what they were."""
    judge_files(world, before, trial, note)
    if not judge_heal(world, again, usual, trial, note):
        return
    judge_files(world, before, trial, f'{note}, healed')
    judge_status(world, trial, note)
    stored = below(before.files, DATA) if data_files is None else dict(data_files)
    for name, content in stored.items():
        if not holds(world.path / name, content):
            trial.bad(Bad.WRONG, f'{name} is not what it has to be after {" ".join(again)} {note}')
    if settled:
        if wrong := wrong_outputs(world):
            trial.bad(Bad.WRONG, f'{" ".join(again)} ended well with {", ".join(wrong)} wrong {note}')
            return
        stored |= world.outputs()
    judge_store(world, stored, trial, note)
