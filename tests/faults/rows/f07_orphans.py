"""F7: the process of a run is killed, and its stage would live on."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.faults.band import Band, supervisor_of, traces, wait_for
from tests.faults.base import Bad, Row, Setting, Trial, Verdict
from tests.faults.tools import Tool

GONE_SECONDS = 15.0  # after the kill nothing of the stage lives any more
GRACE = 1  # of the stage
CHILDREN = 6
STILL = 0.3  # seconds for which what stands at the output is watched

# A stage whose children get away in the manners that there are; each goes on writing to the stage's output, and notes in a
# file of its own when it did so first and last.  With `go` there it is an ordinary stage.
LIFE = """\
import os, signal, sys, time
logs, attempt, name = sys.argv[1:4]
if name in ("stubborn", "closing", "worker"):
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(number, signal.SIG_IGN)
first = time.monotonic_ns()
place = logs + "/" + attempt + "--" + name + "-" + str(os.getpid())
fd = os.open(place + ".new", os.O_RDWR | os.O_CREAT, 0o600)
until = time.monotonic() + 60
while time.monotonic() < until:
    try:
        with open("out.txt", "w") as f: f.write("of a killed run")
    except OSError:
        pass
    os.pwrite(fd, first.to_bytes(8, "little") + time.monotonic_ns().to_bytes(8, "little"), 0)
    if place: os.rename(place + ".new", place)
    place = ""
    time.sleep(0.004)
"""
STAGE = (
    """\
import os, subprocess, sys, time
logs, attempt = os.environ["FAULTS_LOGS"], os.environ.get("MLOPS_ATTEMPT") or os.environ["FAULTS_ATTEMPT"]
if os.path.exists(logs + "/go"):
    first = time.monotonic_ns()
    with open("in.txt") as f: text = f.read()
    time.sleep(0.02)
    with open("out.txt", "w") as f: f.write(text)
    with open(logs + "/" + attempt + "--whole-" + str(os.getpid()), "wb") as f:
        f.write(first.to_bytes(8, "little") + time.monotonic_ns().to_bytes(8, "little"))
    sys.exit()
def live(name):
    sys.argv[1:] = [logs, attempt, name]
    exec(compile(LIFE, "life", "exec"), {})
    os._exit(0)
for name in ("plain", "session", "double", "closing", "launcher"):
    if os.fork(): continue
    if name != "plain": os.setsid()
    if name == "double" and os.fork(): os._exit(0)
    if name == "launcher":  # as torchrun: what it starts inherits no descriptor
        worker = [sys.executable, "-S", "-c", LIFE, logs, attempt, "worker"]
        subprocess.Popen(worker, close_fds=True, start_new_session=True).wait()
        os._exit(0)
    if name == "closing": os.closerange(0, 256)
    live(name)
live("leader")
"""
).replace('(LIFE', f'({LIFE!r}').replace(', LIFE', f', {LIFE!r}')
PIPELINE = """\
stages:
  slow:
    cmd: {python} -S stage.py
    deps: [in.txt]
    outs: [out.txt]
    grace: {grace}
"""
DVC_PIPELINE = """\
stages:
  slow:
    cmd: {python} -S stage.py
    deps: [in.txt]
    outs: [out.txt]
"""
OLD, NEW = 'old\n', 'new\n'


@dataclass(frozen=True, slots=True)
class Life:
    """A process that wrote to the output.  ``first``, ``last``: monotonic seconds."""

    attempt: str
    name: str
    first: float
    last: float


def lives(logs: Path) -> list[Life]:
    found = []
    for path in logs.glob('*--*'):
        data = path.read_bytes()
        if len(data) == 16 and path.suffix != '.new':
            attempt, _, name = path.name.partition('--')
            first, last = (int.from_bytes(data[at : at + 8], 'little') / 1e9 for at in (0, 8))
            found.append(Life(attempt, name.rpartition('-')[0], first, last))
    return found


def together(found: Sequence[Life]) -> list[str]:
    """What wrote while another attempt did."""
    said = []
    for one in found:
        for other in found:
            if one.attempt != other.attempt and one.first <= other.first < one.last:
                said.append(f'{one.name} of {one.attempt} went on for {one.last - other.first:.3f} s beside {other.attempt}')
    return said


def judge_lives(trial: Trial, logs: Path, note: str) -> None:
    """No two attempts of the stage wrote at once."""
    if said := together(lives(logs)):
        trial.bad(Bad.WRONG, f'{note}: two wrote at once: {said[0]}')


def judge_left(trial: Trial, band: Band, killed: float, note: str) -> None:
    """Nothing of the stage lives ``GONE_SECONDS`` after the kill."""
    left = band.left_after(max(0.0, killed + GONE_SECONDS - time.monotonic()))
    if left:
        trial.bad(Bad.LEAKED, f'{note}: {len(left)} processes live on: {sorted(left.values())[0][-120:]}')


def template(setting: Setting) -> tuple[Path, float]:
    """A project whose stage has run once, and how long its commands take."""
    folder = setting.shared / 'made'
    marker = setting.shared / 'made.json'
    if not marker.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / 'stage.py').write_text(STAGE)
        (folder / 'in.txt').write_text(OLD)
        logs = setting.shared / 'made-logs'
        logs.mkdir(exist_ok=True)
        (logs / 'go').touch()
        environ = {'FAULTS_LOGS': str(logs), 'FAULTS_ATTEMPT': 'first'}
        text = PIPELINE if setting.tool.name == 'mlops' else DVC_PIPELINE
        name = 'pipeline.yaml' if setting.tool.name == 'mlops' else 'dvc.yaml'
        (folder / name).write_text(text.format(python=sys.executable, grace=GRACE))
        if setting.tool.name == 'dvc':
            setting.tool.do(folder, 'init', '--no-scm', '-q', code=0)
        setting.tool.do(folder, *_run(setting.tool), environ=environ, code=0)
        (folder / 'in.txt').write_text(OLD + OLD)
        seconds = setting.tool.do(folder, *_run(setting.tool), environ=environ, code=0).seconds
        (folder / 'in.txt').write_text(OLD)
        setting.tool.do(folder, *_run(setting.tool), environ=environ, code=0)
        marker.write_text(json.dumps(seconds))
    return folder, json.loads(marker.read_text())


def _run(tool: Tool) -> tuple[str, ...]:
    return ('run',) if tool.name == 'mlops' else ('repro', '-q')


class Scene:
    """A trial: the project, its logs, its processes."""

    def __init__(self, setting: Setting, name: str, band: Band) -> None:
        made, self.usual = template(setting)
        self.tool, self.band = setting.tool, band
        self.path, self.logs = setting.folder / name, setting.folder / f'{name}-logs'
        shutil.copytree(made, self.path, symlinks=True)
        self.logs.mkdir()
        (self.path / 'in.txt').write_text(NEW)
        (self.path / 'other.txt').write_text('other\n')
        self.count = 0

    def start(self, *words: str) -> tuple[subprocess.Popen[bytes], Path]:
        """A command, and the file that takes what it prints."""
        self.count += 1
        said = self.logs / f'said.{self.count}'
        environ = self.tool.environment(
            self.path.parent / 'home', {'FAULTS_LOGS': str(self.logs), 'FAULTS_ATTEMPT': f'attempt{self.count}'}
        )
        with said.open('wb') as out:
            return self.band.start(self.tool.argv(*words), self.path, environ, out), said

    def finish(self, trial: Trial, words: Sequence[str], note: str) -> float:
        """The command after the fault, which has to go through.  Its seconds."""
        begun = time.monotonic()
        process, said = self.start(*words)
        try:
            code = process.wait(60)
        except subprocess.TimeoutExpired:
            trial.bad(Bad.STUCK, f'{note}: {" ".join(words)} did not end in 60 s')
            return 60.0
        text = said.read_bytes()
        if code:
            trial.bad(Bad.STUCK, f'{note}: {" ".join(words)}: exit {code}: {text[-300:]!r}')
        if trace := traces(text):
            trial.bad(Bad.WRONG, f'{note}: {" ".join(words)}: {trace}')
        return time.monotonic() - begun

    def holds(self, trial: Trial, text: str, note: str) -> None:
        """What stands at the output, for a while."""
        until = time.monotonic() + STILL
        found: set[str] = set()
        while time.monotonic() < until:
            found.add((self.path / 'out.txt').read_text() if (self.path / 'out.txt').exists() else '(nothing)')
            time.sleep(0.01)
        if found != {text}:
            trial.bad(Bad.WRONG if text == OLD else Bad.CORRUPT, f'{note}: at the output stood {sorted(found)}, not {text!r}')


def begun(scene: Scene, chance: random.Random) -> Callable[[], bool]:
    """When to strike: with all children there, or at some moment before that."""
    enough = chance.choice((1, 3, CHILDREN, CHILDREN))
    return lambda: sum('--' in path.name and path.suffix != '.new' for path in scene.logs.iterdir()) >= enough


def once(setting: Setting, trial: Trial, name: str, who: str, then: str, seed: int) -> None:
    """One trial.  ``who``: is killed; ``then``: the next command."""
    chance = random.Random(f'{who} {then} {seed}')
    note = f'{who}-{then} seed {seed}'
    trial.tried += 1
    with Band() as band:
        scene = Scene(setting, name, band)
        process, said = scene.start(*_run(scene.tool))
        there = begun(scene, chance)
        wait_for(lambda: there() or process.poll() is not None)
        if not there():
            raise AssertionError(f'the stage never began: {said.read_bytes()!r}')
        time.sleep(chance.random() * 0.05)
        supervisor = supervisor_of(band)
        killed = time.monotonic()
        for pid in {'runner': (process.pid,), 'supervisor': (supervisor,), 'both': (supervisor, process.pid)}[who]:
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
        if who == 'supervisor':
            _run_goes_on(trial, scene, process, said, note)
        else:
            process.wait()
        (scene.logs / 'go').touch()
        seconds = scene.finish(trial, ('add', 'other.txt') if then == 'add' else _run(scene.tool), note)
        if setting.tool.name == 'mlops':
            trial.healed(max(0.0, seconds - scene.usual - GRACE), note)
        scene.holds(trial, OLD if then == 'add' else NEW, note)
        if then == 'add':
            scene.finish(trial, _run(scene.tool), note)
            scene.holds(trial, NEW, note)
        judge_lives(trial, scene.logs, note)
        judge_left(trial, band, killed, note)
        if setting.tool.name == 'mlops':
            _judge_records(trial, scene, who, note)
    shutil.rmtree(scene.path, ignore_errors=True)


def _run_goes_on(trial: Trial, scene: Scene, process: subprocess.Popen[bytes], said: Path, note: str) -> None:
    """Of a run whose supervisor was killed: it says so, and leaves what was there before."""
    try:
        code = process.wait(30)
    except subprocess.TimeoutExpired:
        trial.bad(Bad.STUCK, f'{note}: the run goes on without its supervisor')
        return
    text = said.read_bytes()
    if code != 1 or traces(text) or b'supervised' not in text:
        trial.bad(Bad.WRONG, f'{note}: exit {code}: {text[-300:]!r}')
    scene.holds(trial, OLD, note)
    if left := scene.band.left():
        trial.bad(Bad.LEAKED, f'{note}: {len(left)} processes outlived the run that told of them')


def _judge_records(trial: Trial, scene: Scene, who: str, note: str) -> None:
    environ: Mapping[str, str] = {'FAULTS_LOGS': str(scene.logs)}
    rows = json.loads(scene.tool.do(scene.path, 'runs', 'list', '--json', environ=environ, code=0).out)['rows']
    ended = [row['ended'] for row in rows][:2]
    if ended != ['done', 'failed' if who == 'supervisor' else 'killed']:
        trial.bad(Bad.WRONG, f'{note}: the records say {ended}')
    done = scene.tool.do(scene.path, 'status', '--exit-code', environ=environ)
    if done.code:
        trial.bad(Bad.WRONG, f'{note}: {done.said}')


# What is tried: who is killed, what comes next, how many trials.
FULL = {('runner', 'run'): 60, ('runner', 'add'): 40, ('both', 'run'): 40, ('both', 'add'): 20, ('supervisor', 'run'): 40}
FAST = {('runner', 'run'): 1, ('runner', 'add'): 1, ('both', 'run'): 1, ('supervisor', 'run'): 1}
DVC = {('runner', 'run'): 8}
PART = 4  # trials of a case


def cases(setting: Setting) -> list[str]:
    counts = FULL if setting.full else FAST
    if setting.tool.name == 'dvc':
        counts = DVC if setting.full else {('runner', 'run'): 1}
    return [
        f'{who}-{then}-{first}-{min(first + PART, count)}'
        for (who, then), count in counts.items()
        for first in range(0, count, PART)
    ]


def run(setting: Setting, case: str) -> Verdict:
    who, then, first, end = case.split('-')
    trial = Trial()
    numbers = range(int(first), int(end))
    if setting.tool.name == 'dvc':  # each of them waits for what never ends by itself
        template(setting)
        with ThreadPoolExecutor(PART) as pool:
            list(pool.map(lambda seed: once(setting, trial, f'{who}-{then}-{seed}', who, then, seed), numbers))
    else:
        for seed in numbers:
            once(setting, trial, f'{who}-{then}-{seed}', who, then, seed)
    return trial.verdict()


def lacks() -> str:
    return '' if sys.platform == 'linux' else 'only Linux tells which processes a run has left'


ROWS = (
    Row(
        'F7',
        'the process of a run, the one that owns its stages, or both are killed while children of all kinds run',
        '200 trials: 0 processes left after 15 s, 0 writing beside the next run, outputs from before back',
        cases,
        run,
        ('mlops', 'dvc'),
        lacks,
    ),
)
