"""F1: commands are killed, and the next one has to make all well by itself.

F1 kills before every system call by which a command changes the disk, one trial a call: whichever process makes the call is
killed (the command, its supervisor, a stage, git), and once more, for calls that others make, the command itself.
F1-random kills at random moments, half of the time the whole process group.

A command is a :class:`Scenario`: to kill another one, give it a line in ``SCENARIOS``.  ``register``
joins when it is there.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

from tests.faults import bucket, world
from tests.faults.base import HEAL_SECONDS, Bad, Row, Setting, Trial, Verdict
from tests.faults.tools import Tool, git
from tests.faults.tracing import lacks, trace
from tests.faults.world import DATA, LINES, OUTPUTS, Files, World

BLOCK = 8  # calls of one case
BATCH = 10  # random kills of one case
RANDOM = 1000
DVC_POINTS = 8  # of each command
DVC_RANDOM = 40
TRIES = 3  # where a command that heals took long: whoever else used the machine does not do so each time
FAST = ('run-again', 'checkout-forced', 'recover-35')


@dataclass(frozen=True)
class Scenario:
    """A command, and where it finds itself.

    ``make``: the world.  ``words``: the command that is killed, ``again``: the one that heals, by default the same.
    ``fills``: whether it fills the remote beside the project, which has to be whole then, with all that was made.
    ``settled``: whether all outputs are right after that.  ``data``: what the data have to be then; by default what they are
    before.  ``acknowledged``: what the store has before."""

    name: str
    make: Callable[[Tool, Path], World]
    words: tuple[str, ...]
    again: tuple[str, ...] = ()
    settled: bool = True
    data: Callable[[], Files] | None = None
    acknowledged: Callable[[], Files] = dict
    tools: tuple[str, ...] = ('mlops', 'dvc')
    fills: bool = False

    @property
    def healing(self) -> tuple[str, ...]:
        return self.again or self.words


def _outputs(lines: int = LINES, files: Files | None = None) -> dict[str, bytes]:
    return world.made_of(files if files is not None else world.data(), lines)


def _all_made() -> dict[str, bytes]:
    return {**world.data(), **_outputs()}


# Worlds


def _bare(tool: Tool, path: Path) -> World:
    return world.bare(tool, path)


def _data_changed(tool: Tool, path: Path) -> World:
    found = world.made(tool, path)
    found.write(
        {
            'data/sub/a.csv': b'a,b\n1,3\n',
            'data/new file.bin': random.Random(2).randbytes(3 << 18),
            'labels.csv': b'word,label\nw0,1\n',
        }
    )
    (path / 'data/sub/b.csv').unlink()
    return found


def _added(tool: Tool, path: Path) -> World:
    found = world.bare(tool, path)
    found.do(*found.words('add', *DATA), code=0)
    found.commit()
    return found


def _out_of_date(tool: Tool, path: Path) -> World:
    found = world.made(tool, path)
    found.set_lines(LINES + 20)
    return found


def _known(tool: Tool, path: Path) -> World:
    """Another state was run since; now the first one is wanted again, and is in the store."""
    found = _out_of_date(tool, path)
    found.do(*found.words('run'), code=0)
    found.commit()
    found.set_lines(LINES)
    return found


def _emptied(tool: Tool, path: Path) -> World:
    found = world.made(tool, path)
    for top in (*DATA, *OUTPUTS):
        target = path / top
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    return found


def _with_remote(found: World) -> World:
    found.do('remote', 'add', '--local', 'origin', f'{found.path}-home/remote', code=0)
    return found


def _away(tool: Tool, path: Path) -> World:
    """A fresh clone, so to speak: all contents are in a remote, and none here."""
    found = world.made(tool, path)
    _with_remote(found)
    found.do('push', code=0)
    for top in (*DATA, *OUTPUTS, '.mlops/cache/objects-v1'):
        target = path / top
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    return found


def _to_send(tool: Tool, path: Path) -> World:
    return _with_remote(world.made(tool, path))


def _more_to_send(tool: Tool, path: Path) -> World:
    found = _with_remote(_out_of_date(tool, path))
    found.do('push', code=0)
    found.do('run', code=0)
    return found


def _older(tool: Tool, path: Path) -> World:
    found = _out_of_date(tool, path)
    found.do(*found.words('run'), code=0)
    found.commit()
    git(path, 'checkout', '-q', 'HEAD~1')
    return found


def _edited(tool: Tool, path: Path) -> World:
    """Outputs and data that a person has changed, and saved nowhere."""
    found = world.made(tool, path)
    found.write(
        {
            'first.txt': b'my own words\n',
            'parts/deep/sorted.txt': b'my own order\n',
            'parts/mine.txt': b'mine alone\n',
            'data/sub/a.csv': b'my,own\n',
            'labels.csv': b'my own labels\n',
        }
    )
    return found


def _rewritten(tool: Tool, path: Path) -> World:
    found = world.made(tool, path)
    file = path / 'pipeline.yaml'
    file.write_text(file.read_text().replace('cat parts', 'true && cat parts'))
    return found


def _littered(tool: Tool, path: Path) -> World:
    """Two files and a folder were added, and are not wanted any more: nothing but gc knows of them."""
    found = world.made(tool, path)
    own = {name: (path / name).read_bytes() for name in ('labels.csv', 'data/sub/a.csv')}
    for number in range(2):
        found.write({'labels.csv': b'other labels %d\n' % number, 'data/sub/a.csv': b'other,%d\n' % number})
        found.do(*found.words('add', *DATA), code=0)
    found.write(own)
    found.do(*found.words('add', *DATA), code=0)
    return found


def _cleaned(tool: Tool, path: Path) -> World:
    found = _littered(tool, path)
    found.do(*found.words('gc'), code=0)
    return found


def _old_trash(tool: Tool, path: Path) -> World:
    """The next gc deletes for good what this one took out."""
    found = _cleaned(tool, path)
    (thrown,) = (path / '.mlops/cache/trash').iterdir()
    thrown.rename(thrown.with_name('20200101T000000Z'))
    return found


def _killed(percent: int, tool: Tool, path: Path) -> World:
    """As a run leaves it that was killed on its way."""
    found = _out_of_date(tool, path)
    other = found.copy(path.parent / 'counted')
    with trace(other.tool.argv('run'), other.path, other.environment()) as all_of_it:
        pass
    other.remove()
    with trace(found.tool.argv('run'), path, found.environment(), all_of_it.calls * percent // 100, victim='first'):
        pass
    return found


def _recovery(percent: int) -> Scenario:
    return Scenario(
        f'recover-{percent}',
        partial(_killed, percent),
        ('add', 'labels.csv'),
        again=('run',),
        acknowledged=_all_made,
        tools=('mlops',),
    )


SCENARIOS = (
    Scenario('add', _bare, ('add', *DATA), settled=False),
    Scenario('add-changed', _data_changed, ('add', *DATA), settled=False, acknowledged=_all_made),
    Scenario('run', _added, ('run',), acknowledged=world.data),
    Scenario('run-again', _out_of_date, ('run',), acknowledged=_all_made),
    Scenario('run-known', _known, ('run',), acknowledged=_all_made),
    Scenario('checkout', _emptied, ('checkout',), data=world.data, acknowledged=_all_made),
    Scenario('checkout-older', _older, ('checkout',), acknowledged=_all_made),
    Scenario('checkout-forced', _edited, ('replace',), data=world.data, acknowledged=_all_made, tools=('mlops',)),
    Scenario('push', _to_send, ('push',), acknowledged=_all_made, tools=('mlops',), fills=True),
    Scenario('push-more', _more_to_send, ('push',), settled=False, acknowledged=_all_made, tools=('mlops',), fills=True),
    Scenario('pull', _away, ('pull',), data=world.data, tools=('mlops',)),
    Scenario('fetch', _away, ('fetch',), again=('pull',), data=world.data, tools=('mlops',)),
    Scenario('accept', _rewritten, ('accept', 'totals', '--reason', 'the same'), acknowledged=_all_made, tools=('mlops',)),
    Scenario('gc', _littered, ('gc',), acknowledged=_all_made),
    Scenario('gc-undo', _cleaned, ('gc', '--undo'), acknowledged=_all_made, tools=('mlops',)),
    Scenario('gc-delete', _old_trash, ('gc',), acknowledged=_all_made, tools=('mlops',)),
    *(_recovery(percent) for percent in (20, 35, 50, 65, 80)),
)
BY_NAME = {one.name: one for one in SCENARIOS}


# What is known of a scenario before anything is killed


@dataclass(frozen=True)
class Facts:
    """``calls``: that change the disk.  ``others``: which of them (from 1) the command does not make itself.  ``usual``:
    seconds that the healing command takes where nothing was killed.  ``seconds``: the same of the command."""

    calls: int
    others: tuple[int, ...]
    usual: float
    seconds: float


def _prepared(setting: Setting, scenario: Scenario) -> tuple[World, Facts]:
    def make(tool: Tool, path: Path) -> World:
        found = scenario.make(tool, path)
        usual, seconds = [], []
        for number in range(3 if setting.full else 1):
            copied = found.copy(path.parent / f'timed-{number}')
            seconds.append(copied.do(*copied.words(*scenario.words)).seconds)
            if scenario.again:
                usual.append(copied.do(*copied.words(*scenario.again)).seconds)
            copied.remove()
        copied = found.copy(path.parent / 'counted')
        with trace(tool.argv(*copied.words(*scenario.words)), copied.path, copied.environment()) as counted:
            assert not counted.code, counted.err
        copied.remove()
        others = [number for number, own in enumerate(counted.own, 1) if not own]
        facts = {'calls': counted.calls, 'others': others, 'usual': median(usual or seconds), 'seconds': median(seconds)}
        (path.parent / 'facts.json').write_text(json.dumps(facts))
        return found

    found = world.shared(setting, scenario.name, make)
    facts = json.loads((found.path.parent / 'facts.json').read_text())
    return found, Facts(**{**facts, 'others': tuple(facts['others'])})


def _of_tool(setting: Setting) -> list[Scenario]:
    return [one for one in SCENARIOS if setting.tool.name in one.tools]


# F1


def cases(setting: Setting) -> Sequence[str]:
    """``run-again caller 9-16``: before these calls."""
    if not setting.full:
        return [f'{name} caller {percent}%' for name in FAST for percent in ((45, 80) if name == 'run-again' else (60,))]
    found = []
    for scenario in _of_tool(setting):
        if setting.tool.name == 'dvc':
            found += [f'{scenario.name} caller {round((part + 0.5) * 100 / DVC_POINTS)}%' for part in range(DVC_POINTS)]
            continue
        facts = _prepared(setting, scenario)[1]
        starts = range(1, facts.calls + 1, BLOCK)
        found += [f'{scenario.name} caller {start}-{min(start + BLOCK - 1, facts.calls)}' for start in starts]
        found += [
            f'{scenario.name} first {",".join(map(str, facts.others[start : start + BLOCK]))}'
            for start in range(0, len(facts.others), BLOCK)
        ]
    return found


def points(case: str, calls: int) -> tuple[str, str, list[int]]:
    """Scenario, victim, and before which calls."""
    name, victim, where = case.split(' ')
    if where.endswith('%'):
        return name, victim, [max(1, calls * int(where[:-1]) // 100)]
    if '-' in where:
        first, last = map(int, where.split('-'))
        return name, victim, [*range(first, last + 1)]
    return name, victim, [int(word) for word in where.split(',')]


def run(setting: Setting, case: str) -> Verdict:
    scenario = BY_NAME[case.partition(' ')[0]]
    base, facts = _prepared(setting, scenario)
    _, victim, wanted = points(case, facts.calls)
    clock = _Clock(scenario, base, facts.usual, setting.folder)
    verdicts = [_timed(partial(_at, setting, scenario, base, victim, call), clock) for call in wanted]
    return together(verdicts)


def _at(setting: Setting, scenario: Scenario, base: World, victim: str, call: int, usual: float) -> Verdict:
    """Killed before one call.  Where the command had fewer than when they were counted, nothing was tried."""
    trial = Trial()
    copied = base.copy(setting.folder / f'at-{call}')
    before = world.Snapshot(copied.read(), scenario.acknowledged())
    argv = copied.tool.argv(*copied.words(*scenario.words))
    with trace(argv, copied.path, copied.environment(), call, victim=victim) as ended:
        note = f'({scenario.name} {victim} {call}, before {ended.killed.replace(str(copied.path), ".")})'
        if ended.killed:
            trial.tried = 1
            if 'Traceback (most recent' in ended.err and setting.tool.name == 'mlops':
                trial.bad(Bad.WRONG, f'a traceback, when a process of it was killed {note}: {ended.err[-300:]}')
            _judge(scenario, copied, before, usual, trial, note)
        elif ended.code:
            trial.bad(Bad.WRONG, f'exit {ended.code}, and nobody was killed {note}: {ended.err[-300:]}')
    copied.remove()
    return replace(trial.verdict(), tried=trial.tried)


def _judge(scenario: Scenario, copied: World, before: world.Snapshot, usual: float, trial: Trial, note: str) -> None:
    again = copied.words(*scenario.healing)
    expected = scenario.data() if scenario.data else None
    remote = Path(f'{copied.path}-home/remote')
    if scenario.fills and (wrong := bucket.problems(remote)):
        trial.bad(Bad.CORRUPT, f'the remote: {wrong[:3]} {note}')
    world.judge(copied, before, again, usual, trial, note, settled=scenario.settled, data_files=expected)
    if scenario.fills:
        there, wrong = bucket.objects(remote)[0].values(), bucket.problems(remote)
        lost = [path for path, content in _all_made().items() if content not in there]
        if wrong or lost:
            trial.bad(Bad.LOST if lost else Bad.CORRUPT, f'the remote, after the next push: {wrong[:3]} {lost[:3]} {note}')
        if left := bucket.left(remote):
            trial.bad(Bad.LEAKED, f'the remote, after the next push: {left[:3]} {note}')


@dataclass(frozen=True)
class _Clock:
    """What the command that heals takes where nothing was killed."""

    scenario: Scenario
    base: World
    usual: float
    folder: Path

    def now(self) -> float:
        """As long as the machine is as busy as it is this moment."""
        copied = self.base.copy(self.folder / 'clock')
        first = copied.do(*copied.words(*self.scenario.words)).seconds
        seconds = copied.do(*copied.words(*self.scenario.again)).seconds if self.scenario.again else first
        copied.remove()
        return max(self.usual, seconds)


def _timed(attempt: Callable[[float], Verdict], clock: _Clock) -> Verdict:
    """One trial, which is told what is usual; again where all that was bad is the time it took, which may be that of others."""
    found = attempt(clock.usual)
    for _ in range(TRIES - 1):
        if found.heal <= HEAL_SECONDS or dict(found.bad) != {Bad.STUCK.value: 1}:
            break
        found = attempt(clock.now())
    return found


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """Of several trials, one verdict."""
    bad: Counter[str] = Counter()
    for one in verdicts:
        bad.update(one.bad)
    tried, heal = sum(one.tried for one in verdicts), max((one.heal for one in verdicts), default=0.0)
    return Verdict(tried, dict(bad), heal, tuple(note for one in verdicts for note in one.notes))


# F1-random


def random_cases(setting: Setting) -> Sequence[str]:
    if not setting.full:
        return ['batch 0, 2 kills']
    count = RANDOM if setting.tool.name == 'mlops' else DVC_RANDOM
    return [f'batch {number}, {BATCH} kills' for number in range(count // BATCH)]


def run_random(setting: Setting, case: str) -> Verdict:
    words = case.replace(',', '').split(' ')
    chance = random.Random(f'{setting.tool.name} {words[1]}')
    names = [one.name for one in _of_tool(setting)] if setting.full else ['run-again']
    verdicts: list[Verdict] = []
    longest: dict[str, float] = {}  # seconds until the latest kill, by scenario
    for number in range(10 * int(words[2])):  # some end before they are killed, and do not count
        if sum(one.tried for one in verdicts) >= int(words[2]):
            break
        scenario = BY_NAME[chance.choice(names)]
        base, facts = _prepared(setting, scenario)
        after, group = chance.random() * longest.get(scenario.name, facts.seconds), chance.random() < 0.5
        note = f'({scenario.name}, {number} of {case}: {"its group" if group else "it alone"} after {after:.3f} s)'
        folder = setting.folder / f'n-{number}'
        clock = _Clock(scenario, base, facts.usual, setting.folder)
        verdicts.append(_timed(partial(_at_random, scenario, base, folder, after, group, note), clock))
        if not verdicts[-1].tried:  # the machine is quicker than when the command was timed
            longest[scenario.name] = after
    return together(verdicts)


def _at_random(
    scenario: Scenario, base: World, folder: Path, after: float, group: bool, note: str, usual: float
) -> Verdict:
    trial = Trial()
    copied = base.copy(folder)
    before = world.Snapshot(copied.read(), scenario.acknowledged())
    if _kill_after(copied, scenario, after, group):
        trial.tried = 1
        _judge(scenario, copied, before, usual, trial, note)
    copied.remove()
    return replace(trial.verdict(), tried=trial.tried)


def _kill_after(copied: World, scenario: Scenario, seconds: float, group: bool) -> bool:
    """Whether the command was still under way."""
    with open(os.devnull, 'r+b') as nothing:
        process = subprocess.Popen(
            copied.tool.argv(*copied.words(*scenario.words)),
            cwd=copied.path,
            env=copied.environment(),
            stdin=nothing,
            stdout=nothing,
            stderr=nothing,
            start_new_session=True,
        )
    time.sleep(seconds)
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL) if group else process.kill()
    return process.wait() == -signal.SIGKILL and alive


ROWS = (
    Row(
        'F1',
        'killed before each system call that changes the disk',
        'every such call of add, run, checkout, accept and gc in 12 situations, of the command, all its processes and threads '
        'in the order they come, and of the recovery after 5 kills; DVC: 8 calls of each command',
        cases,
        run,
        ('mlops', 'dvc'),
        lacks,
    ),
    Row(
        'F1-random',
        'killed at a random moment, alone or with its process group',
        f'{RANDOM:,} kills, seeded; DVC: {DVC_RANDOM}',
        random_cases,
        run_random,
        ('mlops', 'dvc'),
    ),
)
