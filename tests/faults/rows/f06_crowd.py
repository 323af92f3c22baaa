"""F6: many commands at once, in one project and in worktrees that share a cache."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.band import Band, traces
from tests.faults.base import Bad, Row, Setting, Trial, Verdict
from tests.faults.tools import REPOSITORY, git
from tests.faults.tools import run as do

SECONDS = 600  # within which a command has to end; 64 of them share two processors
STAGES = 4
LOCKED = (b'LockError', b'Unable to acquire lock', b'database is locked', b'timed out', b' is busy, ')
GC = (REPOSITORY / 'mlops_cli/cli/commands/gc.py').exists()

# A stage: what it makes follows from its name, a parameter and its inputs; it tells when it began and ended.
WORK = """\
import os, sys, time
name, alpha, out, *ins = sys.argv[1:]
texts = [open(path).read().strip() for path in ins]
key = "|".join([name, alpha, *texts]).replace(" ", "_")
where = "apart" if "/.mlops/local/work/" in os.getcwd() else os.getcwd().replace(" ", "_")
log = os.open(os.environ["FAULTS_LOGS"] + "/stages", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
def tell(what): os.write(log, f"{what} {os.getpid()} {name} {key} {where} {time.monotonic_ns()}\\n".encode())
tell("begin")
with open(out, "w") as f: f.write("half")
time.sleep(0.03)
with open(out, "w") as f: f.write(name + "(" + alpha + "," + ",".join(texts) + ")\\n")
tell("end")
"""


def made(name: str, alpha: int, *texts: str) -> str:
    return f'{name}({alpha},{",".join(text.strip() for text in texts)})\n'


@dataclass(frozen=True, slots=True)
class Span:
    """An execution of a stage.  ``where``: the project, or 'apart' for one in a folder of its own."""

    stage: str
    key: str
    where: str
    begin: int
    end: int | None


def spans(log: Path) -> list[Span]:
    begun: dict[str, list[str]] = {}
    found = []
    for line in log.read_text().splitlines() if log.exists() else []:
        what, pid, stage, key, where, at = line.split(' ')
        if what == 'begin':
            begun[pid] = [stage, key, where, at]
        else:
            stage, key, where, begin = begun.pop(pid)
            found.append(Span(stage, key, where, int(begin), int(at)))
    return found + [Span(one[0], one[1], one[2], int(one[3]), None) for one in begun.values()]


def judge_spans(trial: Trial, found: Sequence[Span], note: str) -> None:
    """No key is executed twice at once, wherever, and no stage of a workspace."""
    for one in found:
        if one.end is None:
            trial.bad(Bad.WRONG, f'{note}: {one.stage} began and never ended')
    for name, group in (('key', lambda one: one.key), ('stage', lambda one: f'{one.stage} in {one.where}')):
        last: dict[str, Span] = {}
        for one in sorted(found, key=lambda one: one.begin):
            if one.end is None or (name == 'stage' and one.where == 'apart'):
                continue
            before = last.get(group(one))
            if before is not None and before.end is not None and before.end > one.begin:
                trial.bad(Bad.WRONG, f'{note}: the {name} {group(one)} was executed twice at once')
            last[group(one)] = one


@dataclass
class Place:
    """A project, and what its commands said: ``records`` of runs, ``kept`` runs, what each member's data is."""

    path: Path
    records: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    data: dict[str, str] = field(default_factory=dict)
    reproduced: set[str] = field(default_factory=set)


def build(path: Path, tool: str) -> None:
    path.mkdir(parents=True, exist_ok=True)
    (path / 'work.py').write_text(WORK)
    (path / 'params.yaml').write_text('alpha: 1\n')
    alpha = '${alpha}' if tool == 'mlops' else '1'
    outs = [f'p{number}.txt' for number in range(STAGES)]
    stages = {
        f'p{number}': _stage(f'p{number}', alpha, out, [f'in{number}.txt']) for number, out in enumerate(outs)
    } | {'j': _stage('j', alpha, 'j.txt', outs), 'q': _stage('q', '0', 'q.txt', ['inq.txt'])}
    (path / ('pipeline.yaml' if tool == 'mlops' else 'dvc.yaml')).write_text(json.dumps({'stages': stages}))


def _stage(name: str, alpha: str, out: str, ins: Sequence[str]) -> dict[str, object]:
    return {'cmd': f'{sys.executable} -S work.py {name} {alpha} {out} {" ".join(ins)}', 'deps': [*ins], 'outs': [out]}


def inputs(path: Path, number: int) -> None:
    for stage in range(STAGES):
        (path / f'in{stage}.txt').write_text(f'round-{number}-{stage}\n')
    (path / 'inq.txt').write_text('q' + ' ' * number + '\n')  # with which its stage makes the same again


def wanted(number: int) -> dict[str, str]:
    """What stands at the outputs in the end."""
    found = {f'p{stage}.txt': made(f'p{stage}', 1, f'round-{number}-{stage}') for stage in range(STAGES)}
    return {**found, 'j.txt': made('j', 1, *found.values()), 'q.txt': made('q', 0, 'q')}


class Crowd:
    """Some members, each doing one command after the other."""

    def __init__(self, setting: Setting, trial: Trial, band: Band, places: Sequence[Place], logs: Path, note: str) -> None:
        self.tool, self.trial, self.band, self.places, self.logs, self.note = setting.tool, trial, band, places, logs, note
        self.environ = setting.tool.environment(setting.folder / 'home', {'FAULTS_LOGS': str(logs)})
        self.lock = threading.Lock()
        self.count = 0
        self.codes: Counter[tuple[str, int]] = Counter()

    def run(self, members: int, operations: int, seed: str) -> None:
        threads = [
            threading.Thread(target=self._member, args=(number, operations, random.Random(f'{seed} {number}')))
            for number in range(members)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _member(self, number: int, operations: int, chance: random.Random) -> None:
        place = self.places[number % len(self.places)]
        choose = self._mlops if self.tool.name == 'mlops' else self._dvc
        for step in range(operations):
            try:
                choose(place, number, step, chance)
            except subprocess.TimeoutExpired as error:
                self.bad(Bad.STUCK, f'{error.cmd} did not end')

    def bad(self, kind: Bad, note: str) -> None:
        with self.lock:
            self.trial.bad(kind, f'{self.note}: {note}')

    def do(self, place: Place, *words: str, good: Sequence[int] = (0,)) -> tuple[int, bytes]:
        """A command.  Whatever it is, it meets no lock that another one holds, and no bug."""
        with self.lock:
            self.count += 1
            self.trial.tried += 1
            said = self.logs / f'said-{self.count}'
        with said.open('wb') as out, Path(f'{said}.err').open('wb') as err:
            process = self.band.start(self.tool.argv(*words), place.path, self.environ, out, stderr=err)
        code = process.wait(SECONDS)
        text, errors = said.read_bytes(), Path(f'{said}.err').read_bytes()
        with self.lock:
            self.codes[words[0], code] += 1
        line = f'{" ".join(words)}: exit {code}: {(errors or text)[-300:]!r}'
        if trace := traces(text + errors):
            self.bad(Bad.WRONG, f'{line}: {trace}')
        elif code == 11 or any(word in text + errors for word in LOCKED):
            self.bad(Bad.STUCK, f'a lock: {line}')
        elif code not in good:
            self.bad(Bad.WRONG, line)
        said.unlink()
        Path(f'{said}.err').unlink()
        return code, text

    def _mlops(self, place: Place, number: int, step: int, chance: random.Random) -> None:
        what = chance.choices(('run', 'one', 'set', 'add', 'keep', 'look', 'checkout', 'accept'), (5, 4, 3, 3, 2, 4, 1, 1))[0]
        stage = f'p{chance.randrange(STAGES)}'
        if what in ('run', 'one', 'set'):
            more = {'run': (), 'one': (stage,), 'set': (stage, '--set', f'alpha={chance.randrange(2, 5)}')}[what]
            self._ran(place, *self.do(place, 'run', *more, '--json'))
        elif what == 'add':
            name = f'data/{number}'
            text = f'{number} {step} {chance.random()}\n'
            (place.path / name).mkdir(parents=True, exist_ok=True)
            (place.path / name / 'values.txt').write_text(text)
            if self.do(place, 'add', name)[0] == 0:
                place.data[f'{name}/values.txt'] = text
        elif what == 'keep':
            with self.lock:
                run = chance.choice(sorted(place.runs)) if place.runs else ''
            if run and self.do(place, 'runs', 'keep', run, good=(0, 1))[0] == 0:
                place.kept.add(run)
        elif what == 'checkout':
            self.do(place, 'checkout', good=(0, 1, 5))  # nothing recorded yet; what is being made is saved nowhere
        elif what == 'accept':
            # It runs just now, was never made, or another one was first.
            self.do(place, 'accept', 'q', '--reason', 'it is right', good=(0, 2, 5))
        else:
            looks = [('status',), ('plan',), ('runs', 'list'), ('verify', '--sample', '1/3')]
            self.do(place, *chance.choice([*looks, *([('gc', '--dry-run')] if GC else [])]))

    def _ran(self, place: Place, code: int, text: bytes) -> None:
        if code == 0:
            document = json.loads(text)
            with self.lock:
                if document['record']:
                    place.records.add(document['record'])
                    place.runs.add(document['run'].partition('-')[2] or document['run'])

    def _dvc(self, place: Place, number: int, step: int, chance: random.Random) -> None:
        what = chance.choice(('one', 'one', 'add', 'status'))
        if what == 'one':
            stage = f'p{number % STAGES}'
            if self.do(place, 'repro', '-s', stage)[0] == 0:
                place.reproduced.add(stage)
        elif what == 'add':
            name = f'data{number}.txt'
            (place.path / name).write_text(text := f'{number} {step}\n')
            if self.do(place, 'add', name)[0] == 0:
                place.data[name] = text
        else:
            self.do(place, 'status')


def judge_place(trial: Trial, setting: Setting, place: Place, number: int, environ: Mapping[str, str], note: str) -> None:
    """After the crowd has gone: nothing that one of them was told is missing, and what stands there is right."""
    tool = setting.tool
    if tool.name == 'dvc':
        judge_lock(trial, place, note)
        return
    ended = do(tool.argv('run', '--json'), place.path, environ, SECONDS)
    if ended.code:
        trial.bad(Bad.STUCK, f'{note}: {ended.said}')
    elif record := json.loads(ended.out)['record']:
        place.records.add(record)
    for name, text in wanted(number).items():
        if (found := (place.path / name).read_text() if (place.path / name).exists() else '(nothing)') != text:
            trial.bad(Bad.CORRUPT, f'{note}: {name} holds {found!r}, not {text!r}')
    judge_records(trial, place, note)
    listed = json.loads(do(tool.argv('runs', 'list', '-n', '100000', '--json'), place.path, environ, SECONDS, 0).out)['rows']
    lost = place.kept - {row['run'] for row in listed if row['kept']}
    if lost or len(listed) != len(place.records):
        trial.bad(Bad.LOST, f'{note}: {len(listed)} runs are listed of {len(place.records)}; no longer kept: {sorted(lost)}')
    status = do(tool.argv('status', '--exit-code', '--strict'), place.path, environ, SECONDS)
    if status.code:
        trial.bad(Bad.WRONG, f'{note}: {status.said}')
    judge_pins(trial, place, number + 1, note)
    for name in wanted(number):
        (place.path / name).unlink(missing_ok=True)
    shutil.rmtree(place.path / 'data', ignore_errors=True)
    back = do(tool.argv('checkout'), place.path, environ, SECONDS)
    for name, text in {**wanted(number), **place.data}.items():
        if not (place.path / name).exists() or (place.path / name).read_text() != text:
            trial.bad(Bad.LOST, f'{note}: {name} does not come back as it was: {back.said}')


def judge_records(trial: Trial, place: Place, note: str) -> None:
    """Each run that said where its record is has one, and there are no others."""
    found = {str(path.relative_to(place.path)) for path in (place.path / '.mlops/runs').rglob('*.json')}
    if lost := place.records - found:
        trial.bad(Bad.LOST, f'{note}: {len(lost)} records of {len(place.records)} are gone: {sorted(lost)[0]}')
    if more := found - place.records:
        trial.bad(Bad.WRONG, f'{note}: {len(more)} records of no run that said so: {sorted(more)[0]}')


def judge_pins(trial: Trial, place: Place, rounds: int, note: str) -> None:
    """One for each state that a stage was in."""
    names = Counter(path.name.partition('~')[0] for path in (place.path / '.mlops/stages').glob('*~*.json'))
    expected = {**{f'p{stage}': rounds for stage in range(STAGES)}, 'j': rounds, 'q': rounds}
    if names != expected:
        kind = Bad.LOST if any(names[name] < count for name, count in expected.items()) else Bad.WRONG
        trial.bad(kind, f'{note}: pins {dict(names)}, not {expected}')


def judge_lock(trial: Trial, place: Place, note: str) -> None:
    """Of DVC: what a repro or an add that ended well has recorded is recorded still."""
    text = (place.path / 'dvc.lock').read_text() if (place.path / 'dvc.lock').exists() else ''
    for stage in sorted(place.reproduced):
        digest = hashlib.md5((place.path / f'{stage}.txt').read_bytes()).hexdigest()
        if not re.search(rf'path: {stage}\.txt\n\s+hash: md5\n\s+md5: {digest}', text):
            trial.bad(Bad.LOST, f'{note}: dvc.lock has lost {stage}')
    for name, data in place.data.items():
        record = place.path / f'{name}.dvc'
        if hashlib.md5(data.encode()).hexdigest() not in (record.read_text() if record.exists() else ''):
            trial.bad(Bad.LOST, f'{note}: {name}.dvc has lost what was added last')


def places_of(setting: Setting, kind: str, count: int) -> list[Place]:
    """One project, or worktrees of one that share a cache."""
    base = setting.folder / 'project'
    build(base, setting.tool.name)
    if setting.tool.name == 'dvc':
        setting.tool.do(base, 'init', '--no-scm', '-q', code=0)
    if kind == 'crowd':
        return [Place(base)]
    (base / '.gitignore').write_text('/*.txt\n/data/\n')
    git(base, 'init', '-q', '-b', 'main')
    git(base, 'add', '-A')
    git(base, 'commit', '-q', '-m', 'First')
    found = []
    for number in range(count):
        path = setting.folder / f'tree{number}'
        git(base, 'worktree', 'add', '-q', '-b', f'tree{number}', str(path))
        (path / '.mlops').mkdir()
        (path / '.mlops/config.local.yaml').write_text(f'cache: {{dir: {setting.folder / "cache"}}}\n')
        found.append(Place(path))
    return found


# kind, members, commands of each, rounds; how many of such cases
FULL = {('crowd', 8, 20, 2): 5, ('crowd', 64, 20, 1): 5, ('trees', 8, 20, 1): 5}
FAST = {('crowd', 4, 5, 1): 1, ('trees', 2, 3, 1): 1}
DVC = {('crowd', 8, 8, 2): 2}


def cases(setting: Setting) -> list[str]:
    counts = (DVC if setting.tool.name == 'dvc' else FULL) if setting.full else FAST
    return [
        f'{kind}-{members}-{operations}-{rounds}-{number}'
        for (kind, members, operations, rounds), count in counts.items()
        for number in range(count)
        if setting.tool.name == 'mlops' or kind == 'crowd'
    ]


def run(setting: Setting, case: str) -> Verdict:
    kind, *numbers = case.split('-')
    members, operations, rounds, seed = map(int, numbers)
    trial = Trial()
    places = places_of(setting, kind, members)
    logs = setting.folder / 'logs'
    logs.mkdir()
    with Band() as band:
        for number in range(rounds):
            crowd = Crowd(setting, trial, band, places, logs, f'{case} round {number}')
            for place in places:
                inputs(place.path, number)
            crowd.run(members, operations, f'{case} {seed} {number}')
            for place in places:
                judge_place(trial, setting, place, number, crowd.environ, crowd.note)
            if band.left():
                trial.bad(Bad.LEAKED, f'{crowd.note}: {sorted(band.left().values())[0]}')
        judge_spans(trial, spans(logs / 'stages'), case)
    return trial.verdict()


ROWS = (
    Row(
        'F6',
        'many commands of all kinds at once, in one project, and in worktrees that share a cache',
        '8 x 20 commands x 10 rounds, 64 x 20 x 5, 8 worktrees x 20 x 5: no lock error, no record lost, no key twice at once',
        cases,
        run,
        ('mlops', 'dvc'),
        lambda: '' if sys.platform == 'linux' else 'only Linux tells which processes a command has left',
    ),
)
