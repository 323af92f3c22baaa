"""F5: objects, results and pins that are no longer what was written.  Every one is found, none is served, and what has another
copy here is healed from it.

A case damages two dozen objects in one way, in a copy of one world for each command that could serve them, since each puts
aside what it finds.  DVC has no command that looks for damage; it is judged by what ``dvc status`` says and by what it checks
out."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from blake3 import blake3

from tests.faults import world as worlds
from tests.faults.base import Bad, Row, Setting, Trial, Verdict
from tests.faults.tools import Tool
from tests.faults.world import DATA, LINES, World, made_of

OBJECTS = 24  # damaged in a case
SAID = 'what it said'
TRIAL = 10  # another value of the parameter, which only a trial was run with


def make(tool: Tool, path: Path) -> World:
    """As world.made, with a stage that prints, and for mlops with a trial."""
    world = worlds.bare(tool, path)
    file = 'dvc.yaml' if tool.name == 'dvc' else 'pipeline.yaml'
    text = (path / file).read_text().replace('cmd: cat parts', f'cmd: echo {SAID} && cat parts')
    world.write({file: text.encode()})
    world.do(*world.words('add', *DATA), code=0)
    world.do(*world.words('run'), code=0)
    if tool.name == 'mlops':
        world.do('run', '--set', f'lines={TRIAL}', code=0)
    world.commit()
    return world


# Damage


def flipped(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    _write(path, bytes(content))


def cut(path: Path, chance: random.Random) -> None:
    content = path.read_bytes()
    _write(path, content[: chance.randrange(len(content))])


def emptied(path: Path, _: random.Random) -> None:
    _write(path, b'')


def zeroed(path: Path, _: random.Random) -> None:
    content = path.read_bytes()
    _write(path, bytes(min(4096, len(content))) + content[4096:])


def swapped(path: Path, chance: random.Random) -> None:
    """With the bytes of some other object; who is damaged next swaps with another one."""
    others = [one for one in path.parent.parent.rglob('*') if one.is_file() and not one.is_symlink()]
    content = path.read_bytes()
    _write(path, chance.choice([other for one in others if (other := one.read_bytes()) != content]))


def folder(path: Path, _: random.Random) -> None:
    path.unlink()
    path.mkdir()
    (path / 'inside').write_text('inside')


def link(path: Path, _: random.Random) -> None:
    path.unlink()
    path.symlink_to('/etc/hostname')


def pipe(path: Path, _: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def modes(path: Path, _: random.Random) -> None:
    path.chmod(0)


def _write(path: Path, content: bytes) -> None:
    """As a disk would: with the same mode and time."""
    facts = path.stat()
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(facts.st_mode & 0o777)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


WAYS: Mapping[str, Callable[[Path, random.Random], None]] = {
    way.__name__: way for way in (flipped, cut, emptied, zeroed, swapped, folder, link, pipe, modes)
}
_STORES = {'mlops': '.mlops/cache/objects-v1', 'dvc': '.dvc/cache/files/md5'}
_RECORDS = {'result': '.mlops/cache/results-v1', 'pin': '.mlops/stages'}
RECORD_WAYS = ('flipped', 'cut', 'emptied', 'folder', 'link', 'pipe')


def hurt(world: World, place: str, way: str, chance: random.Random, most: int) -> list[Path]:
    """Damages some of the files below a place; which it were."""
    every = sorted(path for path in (world.path / place).rglob('*') if path.is_file() and any(path.read_bytes()))
    found = chance.sample(every, min(most, len(every)))
    for path in found:
        WAYS[way](path, chance)
    return found


def digest_at(path: Path) -> str:
    return f'blake3:{path.parent.name}{path.name}'


# Commands that could serve what is damaged: each leaves or prints what is then judged


class Judge:
    """``sound``: what each command says in an undamaged copy."""

    def __init__(self, setting: Setting, case: str, trial: Trial) -> None:
        self.setting, self.case, self.trial = setting, case, trial
        self.way, self.place, self.number = case.split(' ')
        self.made = worlds.shared(setting, 'damage', make)
        self.files = self.made.read()
        self.most = OBJECTS if setting.full else 12
        self.count = 0

    def damaged(self, *, warm: bool = False) -> tuple[World, list[Path]]:
        """A copy, damaged as each time.  ``warm``: the tool had looked at all of it before."""
        self.count += 1
        world = self.made.copy(self.setting.folder / f'p{self.count}')
        if warm:
            world.warm()
            if world.tool.name == 'mlops':
                world.do('verify', code=0)
        place = _RECORDS.get(self.place) or _STORES[world.tool.name]
        return world, hurt(world, place, self.way, random.Random(self.case), self.most)

    def bad(self, kind: Bad, note: str) -> None:
        self.trial.bad(kind, f'{self.case}: {note}')

    def served(self, world: World, after: str, wanted: Mapping[str, bytes], *, whole: bool = False) -> None:
        """What is there is what is wanted.  ``whole``: and all of it is there."""
        there = world.read()
        for path, content in wanted.items():
            if path in there and there[path] != content:
                self.bad(Bad.CORRUPT, f'{after} gave {path} {len(there[path])} bytes that are not those recorded')
            elif path not in there and whole:
                self.bad(Bad.LOST, f'{after} ended well without {path}')
        for path in there:
            if path.partition('/')[0] in (*DATA, 'first.txt', 'parts', 'totals.txt', 'again') and path not in wanted:
                self.bad(Bad.CORRUPT, f'{after} gave {path}, which is not recorded')

    def clear(self, world: World, *paths: str) -> None:
        for path in paths:
            target = world.path / path
            shutil.rmtree(target) if target.is_dir() else target.unlink()

    @property
    def wanted(self) -> dict[str, bytes]:
        outputs = made_of(self.files, LINES)
        return {**{path: self.files[path] for path in self.files if path.partition('/')[0] in DATA}, **outputs}

    def checkout(self) -> None:
        world, _ = self.damaged(warm=int(self.number) % 2 == 1)
        self.clear(world, *DATA, 'first.txt', 'parts', 'totals.txt')
        done = world.do(*world.words('checkout'))
        self.served(world, 'checkout', self.wanted, whole=done.code == 0)
        self._no_traceback(done.err, 'checkout')
        world.remove()

    def run(self) -> None:
        world, _ = self.damaged(warm=int(self.number) % 2 == 1)
        self.clear(world, 'first.txt', 'parts', 'totals.txt')
        done = world.do(*world.words('run'))
        self.served(world, 'run', self.wanted, whole=done.code == 0)
        if done.code and self.place != 'pin':
            self.bad(Bad.STUCK, f'run, which could make all again: {done.said}')
        self._no_traceback(done.err, 'run')
        world.remove()

    def add(self) -> None:
        """The same content once more, under another name."""
        world, _ = self.damaged(warm=int(self.number) % 2 == 1)
        shutil.copytree(world.path / 'data', world.path / 'again')
        done = world.do('add', 'again')
        again = {f'again/{path[5:]}': content for path, content in self.files.items() if path.startswith('data/')}
        if done.code:
            self.bad(Bad.STUCK, f'add, which had all it needs: {done.said}')
        else:
            self.clear(world, 'again')
            back = world.do('checkout', 'again' if world.tool.name == 'mlops' else 'again.dvc')
            self.served(world, 'add and checkout', {**self.wanted, **again}, whole=back.code == 0)
            if back.code:
                self.bad(Bad.LOST, f'what add had acknowledged: {back.said}')
        world.remove()

    def apply(self) -> None:
        world, _ = self.damaged()
        rows = json.loads(world.do('runs', 'list', '--json', code=0).out)['rows']
        run = next(row['id'] for row in rows if row['trial'])
        done = world.do('runs', 'apply', run)
        lines = int((world.path / 'params.yaml').read_text().rpartition(':')[2])
        before, after = made_of(self.files, LINES), made_of(self.files, lines)
        there = world.read()
        kept = {path for path, content in before.items() if done.code and there.get(path) == content}  # nothing was put there
        wanted = {path: before[path] if path in kept else content for path, content in after.items()}
        self.served(world, 'runs apply', {**self.wanted, **wanted}, whole=done.code == 0)
        self._no_traceback(done.err, 'runs apply')
        world.remove()

    def told(self) -> None:
        """What a stage printed, and where something came from: right, or not told."""
        world, _ = self.damaged()
        for words in (('logs', 'totals'), ('lineage', 'upstream', 'totals.txt', '--json')):
            name = ' '.join(words)
            done, sound = world.do(*words), self.made.do(*words)
            self._no_traceback(done.err, name)
            if done.code == 0 and (made_up := sorted(_facts(done.out) - _facts(sound.out))):
                self.bad(Bad.CORRUPT, f'{name} told {made_up[:3]}')
        world.remove()

    def verify(self) -> None:
        world, hurt_paths = self.damaged(warm=int(self.number) % 2 == 1)
        self.trial.tried += len(hurt_paths)
        done = world.do('verify', '--json')
        self._no_traceback(done.err, 'verify')
        if done.code != 1:
            self.bad(Bad.WRONG, f'verify over damage: {done.said}')
            return
        said = json.loads(done.out)
        if self.place == 'object':
            found, wanted = {row['digest'] for row in said['damaged']}, {digest_at(path) for path in hurt_paths}
        else:
            found = {os.path.basename(row['path']) for row in said['records']}
            wanted = {path.name for path in hurt_paths}
        for name in sorted(wanted - found):
            self.bad(Bad.CORRUPT, f'verify did not find {name}')
        for name in sorted(found - wanted):
            self.bad(Bad.WRONG, f'verify found {name}, which is sound')
        self.healed(world)
        world.remove()

    def healed(self, world: World) -> None:
        """Afterwards all that the workspace has is in the store, right, and nothing else needs a hand."""
        if left := worlds.damaged(world) if self.way != 'pipe' or self.place != 'object' else []:
            self.bad(Bad.CORRUPT, f'left in the store by verify: {left[:3]}')
        for path, content in self.wanted.items():
            hexes = blake3(content).hexdigest()
            if not (world.path / _STORES['mlops'] / hexes[:2] / hexes[2:]).is_file():
                self.bad(Bad.LOST, f'{path} is in the workspace, and verify did not heal the store from it')
        if self.place == 'pin':
            for path in (world.path / '.mlops/stages').iterdir():  # git has a copy, but writes into no folder
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            worlds.git(world.path, 'checkout', '-q', '--', '.mlops/stages')
        again = world.do('verify')
        if again.code:
            self.bad(Bad.STUCK, f'after verify: {again.said}')
        if (up := world.is_up_to_date()) is not True:
            self.bad(Bad.STUCK, f'after verify the stages are up to date: {up}')

    def status(self) -> None:
        """Of DVC, which has nothing else that looks."""
        world, hurt_paths = self.damaged()
        self.trial.tried += len(hurt_paths)
        if world.is_up_to_date():
            for path in hurt_paths:
                self.bad(Bad.WRONG, f'status says up to date over {path.parent.name}/{path.name}')
        world.remove()

    def _no_traceback(self, text: str, name: str) -> None:
        if 'Traceback (most recent call last)' in text or 'internal error' in text:
            self.bad(Bad.WRONG, f'{name}: {text[-300:]}')


_FACT = re.compile(r'[0-9a-f]{8,}|-?\d+\.\d+|' + SAID)


def _facts(text: str) -> set[str]:
    """Digests and numbers in what was printed, and what the stage said."""
    return set(_FACT.findall(text))


def cases(setting: Setting) -> Sequence[str]:
    """``<way> <what> <number>``."""
    if setting.tool.name == 'dvc':
        ways = ('flipped', 'cut', 'emptied', 'zeroed', 'swapped')
        return [f'{way} object 0' for way in (ways if setting.full else ways[:1])]
    if not setting.full:
        return ['flipped object 1', 'folder result 0']
    objects = [f'{way} object {number}' for number in range(5) for way in WAYS]
    return [*objects, *(f'{way} {what} {number}' for number in range(2) for what in _RECORDS for way in RECORD_WAYS)]


def run(setting: Setting, case: str) -> Verdict:
    trial = Trial()
    judge = Judge(setting, case, trial)
    if setting.tool.name == 'dvc':
        judge.status()
        judge.checkout()
        return trial.verdict()
    for command in (judge.verify, judge.checkout, judge.run, judge.add, judge.apply, judge.told):
        if setting.full or command in _quick(judge, case):
            command()
    return trial.verdict()


def _quick(judge: Judge, case: str) -> tuple[Callable[[], None], ...]:
    """Of the fast tier."""
    return (judge.verify, judge.run) if 'result' in case else (judge.verify, judge.checkout, judge.add)


ROWS = (
    Row(
        'F5',
        'stored objects with flipped bits, cut, emptied, zeroed, swapped, replaced or locked; results and pins too',
        '1,000 damaged: 1,000 found by verify, none served, all that has another copy here healed',
        cases,
        run,
        ('mlops', 'dvc'),
    ),
)
