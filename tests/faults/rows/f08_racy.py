"""F8: edits that leave a file's size as it was, some its times too, on clocks that are coarse or jump: none is missed, and what
is left alone is not read again.

Most are tried in this process, where what stat says passes through a made clock: its steps are coarse, it is set forward and
back, and time passes on it without waiting.  The seams are those of the index (``stat_filter``, ``clock``); the file system,
its inodes and its order of times are real.  Fewer are tried through whole commands, by the real clock."""

from __future__ import annotations

import json
import os
import random
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

from mlops_cli.core.digest import digest_of
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint import files, scan
from mlops_cli.fingerprint.files import Workspace
from mlops_cli.fingerprint.ignore import Ignore
from mlops_cli.fingerprint.index import Index
from mlops_cli.fsio.paths import Root
from mlops_cli.store.tree import build
from tests.faults.base import Bad, Row, Setting, Trial, Verdict
from tests.faults.tools import git

SECOND = 1_000_000_000
STEPS = {'2s': 2 * SECOND, '1s': SECOND, '10ms': SECOND // 100, '1ms': SECOND // 1000, 'native': 1}
PER_CASE = 500
HOUR = 3600 * SECOND
JUMPS = (HOUR, 24 * HOUR, -HOUR, -24 * HOUR, -2 * SECOND, -7 * SECOND)
FILES = 40  # in each of the two places; fewer where a look has to be over before the clock goes on


class Clock:
    """What stat says, as a coarse clock would have it that is set at times.  ``step``: its granularity in nanoseconds."""

    def __init__(self, step: int) -> None:
        self.step = step
        self._since = [0]
        self._offsets = [0]

    def set(self, by: int) -> None:
        """Forward or back from now on; nothing that was touched before gets another time."""
        time.sleep(0.0005)  # beyond what the kernel gave last
        self._since.append(time.time_ns())
        self._offsets.append(self._offsets[-1] + by)

    def at(self, real: int) -> int:
        found = real + self._offsets[bisect_right(self._since, real) - 1]
        return found - found % self.step

    def now(self) -> int:
        return self.at(time.time_ns())

    def filter(self, facts: os.stat_result) -> os.stat_result:
        return facts if isinstance(facts, Facts) else Facts(facts, self)  # type: ignore[return-value,unreachable]


class Facts:
    """What stat said, by another clock."""

    def __init__(self, facts: os.stat_result, clock: Clock) -> None:
        self._facts = facts
        self.st_mtime_ns, self.st_ctime_ns = clock.at(facts.st_mtime_ns), clock.at(facts.st_ctime_ns)

    def __getattr__(self, name: str) -> object:
        return getattr(self._facts, name)


# How a file gets other content of the same size


def in_place(path: Path, content: bytes) -> None:
    with path.open('r+b') as file:
        file.write(content)


def with_its_time(path: Path, content: bytes) -> None:
    facts = path.stat()
    in_place(path, content)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def renamed_over(path: Path, content: bytes) -> None:
    facts = path.stat()
    beside = path.with_name(f'.{path.name}.new')
    beside.write_bytes(content)
    os.utime(beside, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    os.replace(beside, path)


def same_inode(path: Path, content: bytes) -> None:
    """Gone and made anew, which mostly gets the inode that just came free."""
    facts = path.stat()
    path.unlink()
    path.write_bytes(content)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def mapped(path: Path, content: bytes) -> None:
    import mmap

    with path.open('r+b') as file, mmap.mmap(file.fileno(), 0) as view:
        view[:] = content


EDITS: tuple[Callable[[Path, bytes], None], ...] = (in_place, with_its_time, renamed_over, same_inode, mapped)


class World:
    """A project with files that are looked at one by one, others in a folder, and links that are swapped."""

    def __init__(self, folder: Path, clock: Clock, chance: random.Random) -> None:
        self.folder, self.clock, self.chance = folder, clock, chance
        self.number = 0
        for place in ('lone', 'held/below'):
            (folder / place).mkdir(parents=True)
        (folder / '.mlops/local').mkdir(parents=True)
        files = FILES if clock.step >= SECOND else FILES // 5
        self.lone = [f'lone/{number}' for number in range(files)]
        self.held = [f'held/{"below/" if number % 3 == 0 else ""}{number}' for number in range(files)]
        self.links = [f'link{number}' for number in range(4)]
        for path in (*self.lone, *self.held):
            (folder / path).write_bytes(self.content())
        for number, link in enumerate(self.links):
            (folder / link).symlink_to(self.lone[number])
        self.read = 0
        self.meanwhile: dict[str, Callable[[], None]] = {}

    def content(self) -> bytes:
        self.number += 1
        return f'{self.number:08}'.encode()

    def edit(self, path: str) -> str:
        """The name of the edit."""
        if path in self.links:
            target = self.chance.choice([one for one in self.lone if one != os.readlink(self.folder / path)])
            beside = self.folder / f'.{path}.new'
            beside.symlink_to(target)
            os.replace(beside, self.folder / path)
            return 'another link'
        how = self.chance.choice(EDITS)
        how(self.folder / path, self.content())
        return how.__name__

    def look(self) -> dict[str, ObjectRef | None]:
        """What a command would take each to hold."""
        with ExitStack() as stack:
            root = stack.enter_context(Root(self.folder))
            index = Index(self.folder / '.mlops/local/index', root, stat_filter=self.clock.filter, clock=self.clock.now)
            stack.callback(index.close)
            for module in (files, scan):
                stack.enter_context(mock.patch.object(module, 'hash_open_file', self._hashing(module.hash_open_file)))
            workspace = Workspace(root, index, Ignore.load(root))
            return {path: workspace.ref(path) for path in (*self.lone, *self.links, 'held')}

    def _hashing(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def hashing(source: int, path: str) -> Any:
            self.read += 1
            if do := self.meanwhile.pop(f'{path} before', None):
                do()
            found = real(source, path)
            if do := self.meanwhile.pop(f'{path} after', None):
                do()
            return found

        return hashing

    def missed(self) -> list[str]:
        """Of which a look does not tell what is there."""
        found = self.look()
        wrong = [path for path in (*self.lone, *self.links) if found[path] != _ref((self.folder / path).read_bytes())]
        held = {path.removeprefix('held/'): _ref((self.folder / path).read_bytes()) for path in self.held}
        return wrong + ([] if found['held'] == build(held)[0] else ['held'])


def _ref(content: bytes) -> ObjectRef:
    return ObjectRef(digest_of(content), len(content), 'file')


def within(setting: Setting, step: int, seed: str, trial: Trial, count: int) -> None:
    """So many edits, some at a time, each time at a moment of the worst kinds."""
    chance = random.Random(seed)
    clock = Clock(step)
    world = World(setting.folder / 'project', clock, chance)
    while trial.tried < count:
        if chance.random() < 0.4:
            clock.set(chance.choice(JUMPS))
        _ = world.look()
        aged = chance.random() < 0.5
        if aged:  # what was left alone long enough is known from here on
            clock.set(5 * SECOND)
            _ = world.look()
            before = world.read
            _ = world.look()
            if world.read != before and not _jumped_back(world, clock):
                trial.bad(Bad.STUCK, f'{seed}: {world.read - before} files that were left alone were read again')
        chosen = chance.sample([*world.lone, *world.held, *world.links], chance.randrange(3, len(world.lone)))
        if not aged:  # what comes now shares its tick with what was seen
            for path in chosen:
                world.edit(path)
            _ = world.look()
        how = dict.fromkeys(chosen, '')
        for path in chosen:
            if chance.random() < 0.2 and path not in world.links:
                moment = chance.choice(('before', 'after'))
                how[path] = f'{world.edit(path)}, again {moment} it was read'
                world.meanwhile[f'{path} {moment}'] = _again(world, path)
            else:
                how[path] = world.edit(path)
        if world.meanwhile:
            _ = world.look()
            world.meanwhile.clear()
        if chance.random() < 0.2:
            clock.set(chance.choice(JUMPS))
        trial.tried += len(chosen)
        for path in world.missed():
            said = how.get(path) or '; '.join(f'{name}: {edit}' for name, edit in how.items() if name.startswith('held'))
            trial.bad(Bad.WRONG, f'{seed}: {path} after {said}{", aged" if aged else ""} is taken for what it was')


def _again(world: World, path: str) -> Callable[[], None]:
    return lambda: world.edit(path) and None


def _jumped_back(world: World, clock: Clock) -> bool:
    """Whether some file was touched at a time that the clock has not reached again: then nobody can know that it rests."""
    facts = (os.lstat(world.folder / path) for path in (*world.lone, *world.held))
    newest = max(max(clock.at(one.st_mtime_ns), clock.at(one.st_ctime_ns)) for one in facts)
    return newest > clock.now() - 3 * SECOND


# Whole commands, by the real clock

STAGES = 12
_MLOPS = '  s{0}: {{cmd: cp data/{0} out/{0}, deps: [data/{0}], outs: [out/{0}]}}\n'


class Commands:
    """A dozen files that the tool looks after, and what its status says of them."""

    def __init__(self, setting: Setting) -> None:
        self.tool, self.folder = setting.tool, setting.folder / 'project'
        self.paths = [f'data/{number}' for number in range(STAGES)]
        (self.folder / 'data').mkdir(parents=True)
        for number, path in enumerate(self.paths):
            (self.folder / path).write_bytes(f'{number:08}'.encode())
        git(self.folder, 'init', '-q')
        if self.tool.name == 'mlops':
            (self.folder / 'pipeline.yaml').write_text('stages:\n' + ''.join(map(_MLOPS.format, range(STAGES))))
            self.tool.do(self.folder, 'run', code=0)
        else:
            self.tool.do(self.folder, 'init', '-q', code=0)
            self.tool.do(self.folder, 'add', '-q', *self.paths, code=0)

    def changed(self) -> set[str]:
        """Those that the tool says differ from what it has."""
        done = self.tool.do(self.folder, 'status', '--json', code=0)
        said = json.loads(done.out)
        if self.tool.name == 'mlops':
            return {f'data/{stage["name"][1:]}' for stage in said['stages'] if stage['verdict'] != 'fresh'}
        return {name.removesuffix('.dvc') for name in said}


def through_commands(setting: Setting, seed: str, trial: Trial, rounds: int) -> None:
    """Edits, a look, all put back as it was, a look: at moments right after the last look, and later ones."""
    chance = random.Random(seed)
    world = Commands(setting)
    original = {path: (world.folder / path).read_bytes() for path in world.paths}
    for number in range(rounds):
        if number % 2:
            time.sleep(0.05)
            world.changed()
            world.changed()  # from here on it may be told from what is remembered
        chosen = chance.sample(world.paths, chance.randrange(1, STAGES))
        hows = {path: chance.choice(EDITS) for path in chosen}
        for back in (False, True):
            for path, edit in hows.items():
                edit(world.folder / path, original[path] if back else b'%08d' % chance.randrange(10**8))
            trial.tried += len(chosen)
            found = world.changed()
            wanted = set() if back else set(chosen)
            for path in sorted(found ^ wanted):
                how = hows[path].__name__ if path in hows else 'nobody'
                trial.bad(Bad.WRONG, f'{seed} round {number}: {path} was {"put back" if back else "edited"} by {how}')


def cases(setting: Setting) -> Sequence[str]:
    if setting.tool.name == 'dvc':
        return [f'command {number}' for number in range(8 if setting.full else 1)]
    if not setting.full:
        return [*(f'{step} 0' for step in STEPS), 'command 0']
    found = [f'{step} {number}' for step in STEPS for number in range(20)]
    return [*found, *(f'command {number}' for number in range(40))]


def run(setting: Setting, case: str) -> Verdict:
    trial = Trial()
    kind = case.partition(' ')[0]
    if kind == 'command':
        rounds = (6 if setting.tool.name == 'mlops' else 4) if setting.full else 2
        through_commands(setting, case, trial, rounds)
    else:
        within(setting, STEPS[kind], case, trial, PER_CASE if setting.full else 60)
    return trial.verdict()


ROWS = (
    Row(
        'F8',
        'edits of the same size, times put back, renames, inodes used again, clocks that are coarse or jump',
        '10,000 edits for each of 5 granularities, and some through whole commands: none missed, nothing read without need',
        cases,
        run,
        ('mlops', 'dvc'),
    ),
)
