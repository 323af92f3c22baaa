"""F15: commands that are asked to stop, by whom and in the middle of whatever."""

from __future__ import annotations

import filecmp
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.faults.band import Band, traces, wait_for
from tests.faults.base import Bad, Row, Setting, Trial, Verdict
from tests.faults.tools import REPOSITORY, Tool

GRACE = 1.0  # of the stages, seconds
BEYOND = 1.0  # seconds that a command may take after its stages have ended, or could have
BIG = 24 << 20  # bytes of the large file
SMALL = 300  # small files beside it
TICK = 0.005

# Stages that go on until `go` is there: one with a pool of processes, one that tidies up when it is asked to end, one that
# nothing but KILL ends.
POOL = """\
import os, signal, sys, time
out, logs, deaf = sys.argv[1], os.environ["FAULTS_LOGS"], sys.argv[2:] == ["deaf"]
if deaf:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP): signal.signal(number, signal.SIG_IGN)
with open("in.txt") as f: text = f.read()
with open(out, "w") as f: f.write("half")
workers, until = 0, time.monotonic() + 90  # should nobody be left to end this
while workers < 3 and not os.path.exists(logs + "/go"):
    workers += 1
    if os.fork() == 0:
        if workers == 3: os.setsid()
        while time.monotonic() < until: time.sleep(0.02)
        os._exit(0)
open(logs + "/begun-" + out, "w").close()
while not os.path.exists(logs + "/go") and time.monotonic() < until: time.sleep(0.02)
with open(out, "w") as f: f.write(text)
"""
TRAP = """\
trap 'sleep 0.1; rm -f trap.tmp; exit 3' INT TERM HUP
echo half > trap.txt; echo > trap.tmp; touch "$FAULTS_LOGS/begun-trap.txt"
n=0; while [ ! -e "$FAULTS_LOGS/go" ] && [ $n -lt 1800 ]; do n=$((n + 1)); sleep 0.05; done
rm -f trap.tmp; cat in.txt > trap.txt
"""
LARGE = 'cat "$FAULTS_BIG" in.txt > large.bin; touch "$FAULTS_LOGS/begun-large.bin"'
NUMBERS = {'INT': signal.SIGINT, 'TERM': signal.SIGTERM, 'HUP': signal.SIGHUP, 'INTINT': signal.SIGINT}


@dataclass(frozen=True, slots=True)
class Command:
    """``words``: by tool.  ``stages``: name -> (command, output), of a pipeline.  ``data``: it is about data beside it.
    ``begun``: the signal comes when all stages have begun; else at any moment of the command."""

    words: Mapping[str, tuple[str, ...]]
    stages: Mapping[str, tuple[str, str]]
    data: bool = False
    begun: bool = False


def _pool(out: str, more: str = '') -> tuple[str, str]:
    return f'{sys.executable} -S pool.py {out}{more}', out


RUN = {'mlops': ('run', '-j', '3'), 'dvc': ('repro', '-q')}
COMMANDS = {
    'pool': Command(RUN, {'one': _pool('one.txt'), 'two': _pool('two.txt'), 'trap': ('sh trap.sh', 'trap.txt')}, begun=True),
    'deaf': Command(RUN, {'deaf': _pool('deaf.txt', ' deaf'), 'one': _pool('one.txt')}, begun=True),
    'ingest': Command(RUN, {'large': (LARGE, 'large.bin')}),
    'add': Command({'mlops': ('add', 'data'), 'dvc': ('add', '-q', 'data')}, {}, data=True),
    'checkout': Command({'mlops': ('checkout',)}, {}, data=True),
    'verify': Command({'mlops': ('verify',)}, {}, data=True),
}
if (REPOSITORY / 'mlops_cli/cli/commands/gc.py').exists():
    COMMANDS['gc'] = Command({'mlops': ('gc', '--grace', '0', '--yes')}, {}, data=True)
OLD, NEW = 'old\n', 'new\n'


def fill(folder: Path, seed: str) -> None:
    """Data: a large file, and many small ones."""
    chance = random.Random(seed)
    (folder / 'deep').mkdir(parents=True)
    block = chance.randbytes(1 << 20)
    with (folder / 'big.bin').open('wb') as file:
        for number in range(BIG >> 20):
            file.write(block[number:] + block[:number])
    for number in range(SMALL):
        (folder / 'deep' / f'{number}.txt').write_bytes(chance.randbytes(100 + number))


def same(one: Path, other: Path) -> bool:
    """Whether two folders hold the same, byte for byte."""
    names = [sorted(str(path.relative_to(folder)) for path in folder.rglob('*')) for folder in (one, other)]
    files = [name for name in names[0] if not (one / name).is_dir()]
    return names[0] == names[1] and filecmp.cmpfiles(one, other, files, shallow=False)[1:] == ([], [])


def _do(setting: Setting, path: Path, logs: Path, *words: str) -> float:
    return setting.tool.do(path, *words, environ=surroundings(setting, logs), code=0).seconds


def surroundings(setting: Setting, logs: Path) -> dict[str, str]:
    return {'FAULTS_LOGS': str(logs), 'FAULTS_BIG': str(setting.shared / 'two/big.bin')}


def template(setting: Setting, name: str) -> tuple[Path, float]:
    """A project in which the command has been through once, with other inputs, and how long that took."""
    command, folder = COMMANDS[name], setting.shared / f'made-{name}'
    marker = setting.shared / f'{folder.name}.json'
    if marker.exists():
        return folder, json.loads(marker.read_text())
    shutil.rmtree(folder, ignore_errors=True)
    logs = setting.shared / 'logs'
    logs.mkdir(exist_ok=True)
    (logs / 'go').touch()
    for version in ('one', 'two'):
        if not (setting.shared / version).exists():
            fill(setting.shared / version, version)
    folder.mkdir()
    for file, text in {'pool.py': POOL, 'trap.sh': TRAP, 'in.txt': OLD}.items():
        (folder / file).write_text(text)
    _pipeline(setting.tool, folder, command)
    if setting.tool.name == 'dvc':
        _do(setting, folder, logs, 'init', '--no-scm', '-q')
    if command.data:
        _data(setting, folder, logs, name)
        seconds = 0.6
    else:
        _do(setting, folder, logs, *command.words[setting.tool.name])
        (folder / 'in.txt').write_text('other\n')
        seconds = _do(setting, folder, logs, *command.words[setting.tool.name])
        (folder / 'in.txt').write_text(OLD)
        _do(setting, folder, logs, *command.words[setting.tool.name])
    marker.write_text(json.dumps(seconds))
    return folder, seconds


def _pipeline(tool: Tool, folder: Path, command: Command) -> None:
    stages = {
        name: {'cmd': cmd, 'deps': ['in.txt'], 'outs': [out]} | ({'grace': GRACE} if tool.name == 'mlops' else {})
        for name, (cmd, out) in command.stages.items()
    }
    (folder / ('pipeline.yaml' if tool.name == 'mlops' else 'dvc.yaml')).write_text(json.dumps({'stages': stages}))


def _data(setting: Setting, folder: Path, logs: Path, name: str) -> None:
    """``one`` is tracked and here.  For checkout both are in the store and the record says ``two``; to add there is ``two``."""
    versions = {'add': ('one',), 'checkout': ('two', 'one'), 'verify': ('one', 'two'), 'gc': ('two', 'one')}[name]
    records: dict[str, dict[str, bytes]] = {}
    for version in versions:
        shutil.rmtree(folder / 'data', ignore_errors=True)
        shutil.copytree(setting.shared / version, folder / 'data')
        _do(setting, folder, logs, 'add', 'data')
        found = (folder / '.mlops/data').rglob('*') if setting.tool.name == 'mlops' else iter(())
        records[version] = {str(path): path.read_bytes() for path in found if path.is_file()}
    if name == 'checkout':
        for path, data in records['two'].items():
            Path(path).write_bytes(data)
    if name == 'add':
        shutil.rmtree(folder / 'data')
        shutil.copytree(setting.shared / 'two', folder / 'data')


class Asked:
    """A command under way, in a terminal of its own or in none."""

    def __init__(self, setting: Setting, band: Band, path: Path, logs: Path, name: str, terminal: bool) -> None:
        argv = setting.tool.argv(*COMMANDS[name].words[setting.tool.name])
        environ = setting.tool.environment(path.parent / 'home', surroundings(setting, logs))
        self.said = bytearray()
        self.master = -1
        self.out = logs / 'said'
        if terminal:
            self.master, slave = os.openpty()
            argv = ['/bin/sh', '-c', 'exec <"$0" >"$0" 2>&1; exec "$@"', os.ttyname(slave), *argv]
            self.process = band.start(argv, path, {**environ, 'TERM': 'xterm', 'COLUMNS': '90', 'LINES': '30'})
            self.reader = threading.Thread(target=self._read, args=(os.dup(self.master),), daemon=True)
            self.reader.start()
            wait_for(lambda: self.said or self.process.poll() is not None, 0.2)
            os.close(slave)
        else:
            with self.out.open('wb') as out:
                self.process = band.start(argv, path, environ, out)

    def _read(self, fd: int) -> None:
        try:
            while part := os.read(fd, 1 << 16):
                self.said += part
        except OSError:
            pass
        os.close(fd)

    def ask(self, name: str) -> None:
        """By the key in its terminal, or by that going away; else by its number."""
        if self.master >= 0 and name.startswith('INT'):
            os.write(self.master, b'\x03')
        else:
            self.process.send_signal(NUMBERS[name])

    def wait(self, seconds: float) -> float | None:
        """What it took to end, less the time in which this machine did not let us look; None if it did not."""
        begun = last = time.monotonic()
        lag = 0.0
        while self.process.poll() is None:
            time.sleep(TICK)
            now = time.monotonic()
            lag += max(0.0, now - last - 4 * TICK)
            last = now
            if now - begun - lag > seconds:
                return None
        return max(0.0, time.monotonic() - begun - lag)

    def close(self) -> bytes:
        """What it printed."""
        if self.master >= 0:
            wait_for(lambda: not self.reader.is_alive(), 0.3)
            os.close(self.master)
            self.master = -1
            return bytes(self.said)
        return self.out.read_bytes()


def once(setting: Setting, trial: Trial, name: str, kind: str, terminal: bool, seed: int) -> None:
    command, chance = COMMANDS[name], random.Random(f'{name} {kind} {terminal} {seed}')
    made, usual = template(setting, name)
    path, logs = setting.folder / f'{name}-{kind}-{seed}', setting.folder / f'{name}-{kind}-{seed}-logs'
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(made, path, symlinks=True, copy_function=_copy)
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir()
    if not command.data:
        (path / 'in.txt').write_text(NEW)
    note = f'{name} {kind} {"in a terminal" if terminal else "without a terminal"} seed {seed}'
    trial.tried += 1
    with Band() as band:
        asked = Asked(setting, band, path, logs, name, terminal)
        try:
            began = _await(command, asked, logs, usual, chance, name, setting.tool.name == 'mlops')
            asked.ask(kind)
            limit = GRACE + BEYOND
            if kind == 'INTINT':
                time.sleep(chance.uniform(0.02, 0.3))
                asked.ask(kind)
                limit = BEYOND
            seconds = asked.wait(30 if setting.tool.name == 'mlops' else 8)
        finally:
            text = asked.close()
        _judge_end(trial, setting, asked.process.returncode, seconds, limit, text, kind, began, note)
        judge_left(trial, band, note)
        if not command.data and setting.tool.name == 'mlops':  # DVC says that it takes outputs away first
            judge_outputs(trial, path, command, setting, began and command.begun, note)
        elif name == 'checkout' and kind != 'INTINT':
            judge_whole(trial, setting, path, note)
        if setting.tool.name == 'mlops' and began and command.begun:
            judge_record(trial, setting, path, logs, note)
        (logs / 'go').touch()
        _judge_next(trial, setting, path, logs, name, usual, note)
    shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(logs, ignore_errors=True)


def _copy(source: str, target: str) -> str:
    """What is never written in place gets a second name."""
    if '/objects-v1/' in source or '/data/' in source:
        os.link(source, target)
        return target
    return str(shutil.copy2(source, target))


def _await(
    command: Command, asked: Asked, logs: Path, usual: float, chance: random.Random, name: str, at_once: bool
) -> bool:
    """Until the moment at which it is asked; whether its stages run by then: all ``at_once``, or one after the other."""
    if not command.stages:
        time.sleep(chance.uniform(0.15, max(0.3, usual)))
        return False
    outs = [out for _, out in command.stages.values()]

    def there() -> bool:
        found = [(logs / f'begun-{out}').exists() for out in outs]
        return all(found) if at_once else any(found)

    wait_for(lambda: there() or asked.process.poll() is not None)
    if not there():
        raise AssertionError(f'the stages of {name} never began: {asked.close()[-600:]!r}')
    time.sleep(chance.uniform(0.0, 0.25 if name == 'ingest' else 0.06))
    return True


def _judge_end(
    trial: Trial, setting: Setting, code: int | None, seconds: float | None, limit: float, text: bytes, kind: str,
    began: bool, note: str,
) -> None:  # fmt: skip
    number = int(NUMBERS[kind])
    if seconds is None or code is None:
        trial.bad(Bad.STUCK, f'{note}: it did not end')
        return
    if seconds > limit:
        trial.bad(Bad.STUCK, f'{note}: it took {seconds:.2f} s to end, not {limit:.0f}: {text[-200:]!r}')
    judge_code(trial, setting.tool.name, code, number, began, note + f': {text[-200:]!r}')
    if trace := traces(text):
        trial.bad(Bad.WRONG, f'{note}: it ended with {trace}')


def judge_code(trial: Trial, tool: str, code: int, number: int, began: bool, note: str) -> None:
    """As docs/exit-codes.md has it.  A command that has nothing in hand may die of the signal, which a shell shows the same;
    one that was done when it came may be done."""
    good = {128 + number} | (set() if began else {-number, 0})
    if tool == 'dvc':  # promises no number
        good = {code} - {0}
    if code not in good and not (began and code == 0 and 'ingest' in note):
        trial.bad(Bad.WRONG, f'{note}: exit {code} after signal {number}')


def judge_left(trial: Trial, band: Band, note: str) -> None:
    if left := band.left_after(0.5):
        trial.bad(Bad.LEAKED, f'{note}: {len(left)} processes live on: {sorted(left.values())[0][-100:]}')


def judge_outputs(trial: Trial, path: Path, command: Command, setting: Setting, before: bool, note: str) -> None:
    """What was there before is there; of a stage that may have ended, also what it makes.  ``before``: none can have ended."""
    for _, out in command.stages.values():
        head = (setting.shared / 'two/big.bin').read_bytes() if out == 'large.bin' else b''
        good = {head + OLD.encode()} | (set() if before else {head + NEW.encode()})
        found = (path / out).read_bytes() if (path / out).exists() else None
        if found not in good:
            trial.bad(Bad.WRONG, f'{note}: {out} holds {None if found is None else found[-20:]!r}, not what was there before')


def judge_whole(trial: Trial, setting: Setting, path: Path, note: str) -> None:
    """The data is what it was, or what it was to become; nothing between."""
    if not any((path / 'data').exists() and same(path / 'data', setting.shared / version) for version in ('one', 'two')):
        trial.bad(Bad.WRONG, f'{note}: data is neither what it was nor what was to be placed')


def judge_record(trial: Trial, setting: Setting, path: Path, logs: Path, note: str) -> None:
    done = setting.tool.do(path, 'runs', 'list', '--json', environ=surroundings(setting, logs))
    rows = json.loads(done.out)['rows'] if not done.code else []
    if not rows or rows[0]['ended'] != 'interrupted':
        trial.bad(Bad.WRONG, f'{note}: the record says {rows[0]["ended"] if rows else done.said}')


def _judge_next(trial: Trial, setting: Setting, path: Path, logs: Path, name: str, usual: float, note: str) -> None:
    command = COMMANDS[name]
    words = command.words[setting.tool.name]
    try:
        done = setting.tool.do(path, *words, environ=surroundings(setting, logs), timeout=60)
    except subprocess.TimeoutExpired:
        trial.bad(Bad.STUCK, f'{note}: the next command did not end')
        return
    if done.code:
        trial.bad(Bad.STUCK, f'{note}: next: {done.said}')
        return
    if trace := traces((done.out + done.err).encode()):
        trial.bad(Bad.WRONG, f'{note}: next: {trace}')
    if setting.tool.name == 'mlops' and not command.data:
        trial.healed(max(0.0, done.seconds - usual), note)
    for _, out in command.stages.values():
        if not (path / out).read_bytes().endswith(NEW.encode()):
            trial.bad(Bad.CORRUPT, f'{note}: {out} is not what the next run makes')
    if command.data and setting.tool.name == 'mlops':
        _judge_data(trial, setting, path, logs, name, note)


def _judge_data(trial: Trial, setting: Setting, path: Path, logs: Path, name: str, note: str) -> None:
    """All of it is in the store: taken away, it comes back."""
    version = {'add': 'two', 'checkout': 'two', 'verify': 'two', 'gc': 'one'}[name]
    if not same(path / 'data', setting.shared / version):
        trial.bad(Bad.LOST, f'{note}: data is not what it has to be')
    shutil.rmtree(path / 'data')
    done = setting.tool.do(path, 'checkout', environ=surroundings(setting, logs))
    if done.code or not same(path / 'data', setting.shared / version):
        trial.bad(Bad.LOST, f'{note}: data does not come back: {done.said}')


COUNT = 50  # of each command and signal, half of them in a terminal
PART = 5
FAST = ('pool-INT-pty', 'deaf-INTINT-plain', 'ingest-TERM-plain', 'add-INT-pty', 'checkout-TERM-plain', 'verify-HUP-pty')
DVC = (
    *('pool-INT-plain', 'pool-INT-pty', 'pool-TERM-plain', 'deaf-INT-pty', 'deaf-INTINT-plain'),
    *('add-INT-pty', 'add-TERM-plain'),
)


def cases(setting: Setting) -> list[str]:
    if not setting.full:
        return [f'{case}-0-1' for case in (FAST if setting.tool.name == 'mlops' else DVC[:1])]
    if setting.tool.name == 'dvc':
        return [f'{case}-{first}-{first + 2}' for case in DVC for first in (0, 2)]
    return [
        f'{name}-{kind}-{where}-{first}-{min(first + PART, COUNT // 2)}'
        for first in range(0, COUNT // 2, PART)
        for name in COMMANDS
        for kind in NUMBERS
        for where in ('plain', 'pty')
    ]


def run(setting: Setting, case: str) -> Verdict:
    name, kind, where, first, end = case.split('-')
    trial = Trial()
    for seed in range(int(first), int(end)):
        once(setting, trial, name, kind, where == 'pty', seed)
    return trial.verdict()


ROWS = (
    Row(
        'F15',
        'INT, TERM, HUP and INT twice, from a terminal and without, in the middle of run, add, checkout, verify and gc',
        f'each signal {COUNT} times in each: right code, ended within grace + 1 s, nothing left, outputs from before',
        cases,
        run,
        ('mlops', 'dvc'),
        lambda: '' if sys.platform == 'linux' else 'only Linux tells which processes a command has left',
    ),
)
