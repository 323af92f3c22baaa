"""F4: the power is cut.  What a command did to the disk is recorded, every state in which a medium may be found after a cut is
laid out (medium.py), and the real program is let loose on each.

The index goes through SQLite and not through the recorder: it may hold anything, from nothing over torn pages to the rows of
the very state that was lost, with the states of files as they are found.  Commands after the cut see another boot."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from unittest import mock

from tests.faults import power_dvc, warm
from tests.faults.alone import alone
from tests.faults.base import Bad, Row, Setting, Trial, Verdict
from tests.faults.medium import BLOCK, Crash, State, crashes
from tests.faults.recording import INDEX, OBJECTS, Recording, record
from tests.faults.tools import REPOSITORY, Tool

SEED = 4
FULL, CHUNK = 900, 150  # states of a scenario and kind of file system; of a case
FAST = 22  # of each in the fast tier
LET_LOOSE, FAST_LET_LOOSE = 2, 8  # the program is let loose on one of so many states; all are looked at as they are found
DVC_FULL, DVC_STATES, DVC_LET_LOOSE = 5, 40, 8  # parts of each, states of one, of which DVC is let loose on one of so many
RESULTS = '.mlops/cache/results-v1'
RECORDS = ('.mlops/stages', '.mlops/data', '.mlops/runs', '.mlops/accepted')
PROMISED = (*RECORDS, OBJECTS, RESULTS, '.mlops/cache/roots/projects')
SETTLED_SECONDS = 0.03  # after which the index believes that nothing was changed since without a trace
OUTPUTS = ('out/upper.txt', 'out/parts/a', 'out/parts/b', 'result.txt')
PIPELINE = """\
stages:
  prepare: {cmd: sh code/prep.sh, deps: [data/in.txt], outs: [out/upper.txt]}
  split:
    cmd: mkdir -p out/parts; head -c 5000 out/upper.txt > out/parts/a; tail -c 300 out/upper.txt > out/parts/b
    deps: [out/upper.txt]
    outs: [out/parts]
  join: {cmd: cat out/parts/b out/parts/a > result.txt, deps: [out/parts], outs: [result.txt]}
"""


def text(seed: int, size: int = 9000) -> bytes:
    dice = random.Random(seed)
    return bytes(dice.choice(b'abcdefghij klmnop\n') for _ in range(size))


def outputs_of(source: bytes) -> dict[str, bytes]:
    """What the pipeline makes of ``data/in.txt``."""
    upper = source.upper()
    first, last = upper[:5000], upper[-300:]
    return dict(zip(OUTPUTS, (upper, first, last, last + first), strict=True))


# What is done

Do = Callable[[Tool, Path], None]


@dataclass(frozen=True, slots=True)
class Scenario:
    """``words``: the command.  ``before``: what is done to the project first, and is durable; ``late``: what a person does
    then, and is not.  ``then``: commands of which one is given after the cut, and has to end well.  ``saved``: bytes that have
    to be somewhere in any case.  ``firm``: files that nobody changes.  ``many``: folders are taken for ones of thousands of
    files, which are written to where whole folders of them get their names.  ``brings``: what records name, and neither
    workspace nor store has before.  ``lie``: done to the project wherever it is laid out."""

    words: tuple[str, ...]
    before: Do
    then: tuple[tuple[str, ...], ...] = (('run',), ('checkout', 'run'), ('status', 'run'))
    late: Do = lambda tool, project: None
    saved: tuple[bytes, ...] = ()
    firm: tuple[str, ...] = ('data/in.txt', 'data/keep/x.bin', 'data/keep/y.txt', 'code/prep.sh', 'pipeline.yaml')
    many: bool = False
    brings: Mapping[str, bytes] = field(default_factory=dict)
    lie: Do = lambda tool, project: None


def write(project: Path, rel: str, data: bytes) -> None:
    (project / rel).parent.mkdir(parents=True, exist_ok=True)
    (project / rel).write_bytes(data)


def lay(tool: Tool, project: Path) -> None:
    write(project, 'pipeline.yaml', PIPELINE.encode())
    write(project, 'code/prep.sh', b'tr a-z A-Z < data/in.txt > out/upper.txt\n')
    write(project, 'data/in.txt', text(1))
    write(project, 'data/keep/x.bin', text(2, 6000))
    write(project, 'data/keep/y.txt', b'small\n')


MANY = {f'data/many/{number % 3}/{number % 2}/{number}': text(20 + number, 700 * number) for number in range(12)}


def _large(tool: Tool, project: Path) -> None:
    lay(tool, project)
    for path, data in MANY.items():
        write(project, path, data)


def _with_remote(tool: Tool, project: Path) -> None:
    """A folder in the project itself, so that it is wherever that is laid out."""
    write(project, '.mlops/config.local.yaml', f'remotes: {{origin: {{url: {project}/remote}}}}\n'.encode())


def _cloned(tool: Tool, project: Path) -> None:
    _large(tool, project)
    _with_remote(tool, project)
    do(tool, project, 'add', 'data/many')
    do(tool, project, 'push')
    for path in ('data/many', '.mlops/cache', '.mlops/local'):
        shutil.rmtree(project / path)


def made(tool: Tool, project: Path) -> None:
    lay(tool, project)
    do(tool, project, 'add', 'data/keep')
    do(tool, project, 'run')


def do(tool: Tool, project: Path, *words: str) -> None:
    done = warm.do(tool, project, *words)
    assert done.code == 0, done.said


def _edited(tool: Tool, project: Path) -> None:
    made(tool, project)
    write(project, 'data/in.txt', text(3))


def _edit_in_place(tool: Tool, project: Path) -> None:
    with (project / 'data/in.txt').open('r+b') as file:
        file.seek(10)
        file.write(b'zzz')


def _other_code(tool: Tool, project: Path) -> None:
    made(tool, project)
    write(project, 'code/prep.sh', b'LC_ALL=C tr a-z A-Z < data/in.txt > out/upper.txt\n')


def _gone(tool: Tool, project: Path) -> None:
    made(tool, project)
    for name in ('out', 'data/keep'):
        shutil.rmtree(project / name)
    (project / 'result.txt').unlink()


BY_HAND = b'written by hand, and nowhere else\n' + text(9, 5000)


def _other_outputs(tool: Tool, project: Path) -> None:
    made(tool, project)
    write(project, 'data/in.txt', text(3))
    do(tool, project, 'run')
    write(project, 'data/in.txt', text(1))
    write(project, 'result.txt', BY_HAND)


def _by_hand(tool: Tool, project: Path) -> None:
    made(tool, project)
    write(project, 'result.txt', BY_HAND)


def _killed(tool: Tool, project: Path) -> None:
    """A run was killed while a stage ran, and what stood at its output was nowhere else."""
    made(tool, project)
    write(project, 'data/in.txt', text(3))
    write(project, 'out/upper.txt', BY_HAND)
    moves = 0

    def kill(operation: str, details: Mapping[str, object]) -> None:
        nonlocal moves
        if operation == 'rename' and str(details['target']).endswith('/aside/out/upper.txt'):
            moves = 1
        elif moves:
            moves += 1
        if moves == 4:
            os.kill(os.getpid(), 9)

    warm.do(tool, project, 'run', hook=kill)


def _needless(tool: Tool, project: Path) -> None:
    """What nothing needs is in the cache."""
    made(tool, project)
    write(project, 'old/a', text(5, 5000))
    write(project, 'old/b', text(6, 100))
    do(tool, project, 'add', 'old')
    shutil.rmtree(project / 'old')
    (project / '.mlops/data/old.json').unlink()


def _in_trash(tool: Tool, project: Path) -> None:
    _needless(tool, project)
    do(tool, project, *GC)


GC = ('gc', '--grace', '0', '--yes')
SCENARIOS: dict[str, Scenario] = {
    'add': Scenario(('add', 'data/in.txt', 'data/keep'), lay, (('add', 'data/in.txt', 'data/keep'), ('run',))),
    'add many': Scenario(('add', 'data/many'), _large, (('add', 'data/many'), ('run',)), many=True),
    'pull many': Scenario(('pull', 'data/many'), _cloned, (('pull', 'data/many'),), many=True, brings=MANY, lie=_with_remote),
    'run': Scenario(('run',), lay),
    'run after an edit': Scenario(('run',), _edited),
    'run after an edit in memory': Scenario(('run',), made, late=_edit_in_place, firm=('data/keep/x.bin', 'pipeline.yaml')),
    'run with early cutoff': Scenario(('run',), _other_code),
    'checkout': Scenario(
        ('checkout',), _gone, (('checkout',), ('run',)), firm=('data/in.txt', 'code/prep.sh', 'pipeline.yaml')
    ),
    'checkout over others': Scenario(
        ('checkout', '--force'), _other_outputs, (('checkout', '--force'), ('run',)), saved=(BY_HAND,)
    ),
    'accept': Scenario(('accept', 'join', '--reason', 'better'), _by_hand, (('status', 'run'), ('run',)), saved=(BY_HAND,)),
    'gc': Scenario(GC, _needless, (GC, ('run',), ('gc', '--undo'))),
    'gc --undo': Scenario(('gc', '--undo'), _in_trash, (('gc', '--undo'), ('run',), GC)),
    'recovery': Scenario(('run',), _killed, (('run',),), saved=(BY_HAND,)),
}


# What is found afterwards


def found_in(state: State, away: bool = False) -> list[str]:
    """What of a state breaks the rules of the store: objects that are not what their names say, and records, results and trees
    that name what is not there, all as found, before anybody could mend it.  ``away``: records may name what is in a remote."""
    from mlops_cli.core.digest import digest_of
    from mlops_cli.core.errors import UserError
    from mlops_cli.core.refs import ObjectRef
    from mlops_cli.records import data, pins
    from mlops_cli.store import results, tree

    problems: list[str] = []
    objects: dict[str, bytes] = {}
    for path, held in state.items():
        if path.startswith(f'{OBJECTS}/') and held.kind == 'file' and path.count('/') == OBJECTS.count('/') + 2:
            name = path[len(OBJECTS) + 1 :].replace('/', '')
            objects[name] = held.data
            if digest_of(held.data).hex != name:
                problems.append(f'{path} holds {len(held.data)} other bytes')

    def need(ref: ObjectRef, by: str) -> None:
        content = objects.get(ref.digest.hex)
        if content is None:
            problems.append(f'{by} needs {ref.digest.hex[:8]}, which is not there')
        elif ref.kind == 'tree':
            for entry in tree.decode(content) if digest_of(content) == ref.digest else ():
                if entry.kind != 'link':
                    need(entry.ref, f'{by}, {entry.name}')

    for path, held in state.items():
        name = path.rpartition('/')[2]
        if held.kind != 'file' or name.startswith('.mlops-tmp-'):
            continue
        try:
            if path.startswith(f'{RESULTS}/'):
                for ref in results.decode(held.data).refs:
                    need(ref, path)
            elif path.startswith('.mlops/stages/') and pins.is_pin(name):
                for _, ref in pins.decode(held.data, path).outputs:
                    need(ref, path)
            elif path.startswith('.mlops/data/') and not away:
                need(data.decode(held.data, path).ref, path)
            elif path.startswith(RECORDS):
                json.loads(held.data)
        except (ValueError, LookupError, UserError) as error:
            problems.append(f'{path} is damaged: {error}')
    return problems


def missing_of(promised: State, state: State) -> list[str]:
    """What was promised when the command ended, and is gone."""
    return [
        path for path, held in promised.items()
        if path.startswith(PROMISED) and held.kind == 'file' and '.mlops-tmp-' not in path
        and (path not in state or state[path].data != held.data)
    ]


# The index


def plain(database: bytes) -> sqlite3.Connection:
    """In memory, without the log that the file says it has."""
    connection = sqlite3.connect(':memory:')
    connection.deserialize(database[:18] + b'\1\1' + database[20:])
    return connection


def fitted(database: bytes, project: Path) -> bytes:
    """The index as if it had seen the files that are there: what it says of each that has the size that it knows is taken for
    its state.  So may it be where the names and times of files reached the medium, and their bytes did not."""
    from mlops_cli.core.states import SIGNATURE, pack
    from mlops_cli.fingerprint import indexed

    with closing(plain(database)) as connection:
        for path, stored in connection.execute('SELECT path, value FROM folders').fetchall():
            value = indexed.unsealed(indexed.FORM + path, stored)
            if value is None:
                continue
            records = dict(indexed.records_in(value))
            for name, row in records.items():
                file = project / os.fsdecode(path) / name
                if file.is_file() and not file.is_symlink() and file.stat().st_size == int.from_bytes(row[16:24], 'little'):
                    records[name] = pack(file.stat()) + bytes((row[SIGNATURE.size] | 1,)) + row[SIGNATURE.size + 1 :]
            fit = indexed.sealed(indexed.FORM + path, value[: indexed.BOOT.size] + indexed.joined(records))
            connection.execute('UPDATE folders SET value = ? WHERE path = ?', (fit, path))
        connection.execute('DELETE FROM seals')
        connection.commit()
        return connection.serialize()


def torn(new: bytes, old: bytes, dice: random.Random) -> bytes:
    pages = range(0, len(new), BLOCK)
    return b''.join(dice.choice((new[at : at + BLOCK], old[at : at + BLOCK] or bytes(BLOCK))) for at in pages)


def lay_index(project: Path, databases: tuple[bytes, bytes], dice: random.Random) -> str:
    """One of the states in which the index may be found; which."""
    before, after = databases
    which = dice.choice(('absent', 'before', 'torn', 'fitted', 'fitted', 'fitted before'))
    base = before if which in ('before', 'fitted before') else after
    if which == 'absent' or not base:
        return 'no index'
    content = fitted(base, project) if which.startswith('fitted') else torn(after, before, dice) if which == 'torn' else base
    (project / INDEX).parent.mkdir(parents=True, exist_ok=True)
    (project / INDEX).write_bytes(content)
    return f'index {which}'


# The program


@contextmanager
def another_boot() -> Iterator[None]:
    """Within, mlops takes the machine for one that was started anew this moment."""
    from mlops_cli.fsio import boots

    with mock.patch.object(boots, 'identity', lambda: '00000000-another-boot'), mock.patch.object(boots, 'began', time.time):
        yield


def lay_out(state: State, project: Path) -> None:
    project.mkdir()
    for path in sorted(state):
        held = state[path]
        target = f'{project}/{path}'
        if held.kind == 'dir':
            os.mkdir(target)
        elif held.kind == 'link':
            os.symlink(held.data, target)
        else:
            fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, held.mode)
            os.write(fd, held.data)
            os.close(fd)


@dataclass(slots=True)
class Judge:
    """``promised``: what has to be there once the command has ended."""

    tool: Tool
    scenario: Scenario
    recording: Recording
    promised: State
    last: int
    trial: Trial
    usual: float = 1.0

    def say(self, kind: Bad, crash: Crash, text: str) -> None:
        operation = self.recording.operations[crash.after - 1] if crash.after else ('nothing', {})
        at = operation[1].get('path') or operation[1].get('target') or operation[1].get('rel') or ''
        short = str(at).removeprefix(f'{self.recording.root}/')
        self.trial.bad(kind, f'after {crash.after} ({operation[0]} {short}), {crash.how}: {text}')

    def found(self, crash: Crash) -> None:
        """Before anything is done about it."""
        if problems := found_in(crash.state, bool(self.scenario.brings)):
            self.say(Bad.CORRUPT, crash, '; '.join(problems))
        gone = missing_of(self.promised, crash.state) if crash.after == self.last else []
        base = self.recording.base
        gone += [
            path for path in self.scenario.firm
            if path in base and (path not in crash.state or crash.state[path].data != base[path].data)
        ]
        if gone:
            self.say(Bad.LOST, crash, ', '.join(gone))

    def healed(self, crash: Crash, project: Path, dice: random.Random) -> None:
        """The next commands, and what they lead to."""
        words = dice.choice(self.scenario.then)
        chain = [words] if words[0] not in ('status', 'checkout') or words[-1] != 'run' else [(one,) for one in words]
        for one in chain:
            done = warm.do(self.tool, project, *one)
            self.trial.healed(max(0.0, done.seconds - self.usual), f'by {one[0]}')
            known = crash.after == self.last and crash.state.get('data/in.txt') == self.promised.get('data/in.txt')
            if one == ('checkout',) and done.code == 5 and not known and 'not saved anywhere' in done.err:
                continue  # half of an output of which nothing was recorded yet: it may be anybody's.  A run puts it right
            if done.code and not (done.code == 1 and 'nothing recorded for this state' in done.out and not known):
                kind = Bad.WRONG if 'Traceback' in done.err or 'bug' in done.err else Bad.STUCK
                self.say(kind, crash, done.said)
                return
        self.after(crash, project, chain[-1][0])

    def after(self, crash: Crash, project: Path, command: str) -> None:
        base = self.recording.base
        gone = [path for path in self.scenario.firm if path in base and not _holds(project / path, base[path].data)]
        gone += ['what was written by hand' for data in self.scenario.saved if not _is_somewhere(project, data)]
        if gone:
            self.say(Bad.LOST, crash, f'{", ".join(gone)}, by {command}')
        lacks = [path for path, data in self.scenario.brings.items() if not _holds(project / path, data)]
        if command == 'pull' and lacks:
            self.say(Bad.LOST, crash, f'{", ".join(lacks)}: not there, and pull said nothing')
        if command == 'run':
            accepted = {'result.txt': self.scenario.saved} if self.scenario.words[0] == 'accept' else {}
            wanted = outputs_of((project / 'data/in.txt').read_bytes())
            wrong = [
                path for path, data in wanted.items()
                if not any(_holds(project / path, one) for one in (data, *accepted.get(path, ())))
            ]
            if wrong:
                self.say(Bad.WRONG, crash, f'{", ".join(wrong)}: not what they are made from, and run said nothing')


def _holds(path: Path, data: bytes) -> bool:
    return path.is_file() and path.read_bytes() == data


def _is_somewhere(project: Path, data: bytes) -> bool:
    return any(path.stat().st_size == len(data) and path.read_bytes() == data for path in project.rglob('*') if path.is_file())


# The cases


def names(full: bool) -> list[str]:
    chunks = FULL // CHUNK if full else 1
    kinds = [f'{name}, {kind}' for name in SCENARIOS for kind in ('ordered', 'loose')]
    return [f'{kind} {part}/{chunks}' for part in range(1, chunks + 1) for kind in kinds]


def cases(setting: Setting) -> Sequence[str]:
    if setting.tool.name == 'mlops':
        return names(setting.full)
    parts = DVC_FULL if setting.full else 1
    kinds = [f'{name}, {kind}' for name in power_dvc.COMMANDS for kind in ('ordered', 'loose')]
    return [] if power_dvc.lacks() else [f'{kind} {part}/{parts}' for part in range(1, parts + 1) for kind in kinds]


def run(setting: Setting, case: str) -> Verdict:
    return alone(setting, __name__, case) if setting.tool.name == 'mlops' else run_dvc(setting, case)


def run_dvc(setting: Setting, case: str) -> Verdict:
    """Each case has a recording of its own: two of DVC are never the same."""
    name, kind, part, _ = _parts_of(case)
    trial, ordered = Trial(), kind == 'ordered'
    with scratch(setting) as folder:
        project = folder / 'recorded'
        project.mkdir()
        lay(setting.tool, project)
        (project / 'pipeline.yaml').unlink()
        recording = power_dvc.record(setting.tool, folder, project, name)
        medium = recording.medium()
        promised = medium.now()
        for number, crash in enumerate(choose(recording, ordered=ordered, count=DVC_STATES, seed=SEED + part)):
            trial.tried += 1
            power_dvc.found(recording, promised, medium.when, crash, trial)
            if number % DVC_LET_LOOSE == 0:
                again = folder / f'p{number}'
                lay_out(crash.state, again)
                power_dvc.healed(setting.tool, folder, crash, again, name, outputs_of(text(1)), trial)
                shutil.rmtree(again)
    return trial.verdict()


def inside(setting: Setting, case: str) -> Verdict:
    """In a process of its own."""
    warm.load()
    trial = Trial()
    for one in names(False) if case == 'all' else [case]:
        _try(setting, one, trial)
    return trial.verdict()


def _try(setting: Setting, case: str, trial: Trial) -> None:
    name, kind, number, of = _parts_of(case)
    with scratch(setting) as folder:
        recording = recorded(setting, folder, name, kind == 'ordered')
        chosen = choose(recording, ordered=kind == 'ordered', count=FULL if of > 1 else FAST)
        each = LET_LOOSE if of > 1 else FAST_LET_LOOSE
        try_all(setting.tool, SCENARIOS[name], recording, chosen[number - 1 :: of], folder, trial, each)


def _parts_of(case: str) -> tuple[str, str, int, int]:
    """What is done, kind of file system, which part of how many."""
    name, _, rest = case.rpartition(', ')
    kind, _, part = rest.partition(' ')
    number, of = (int(word) for word in part.split('/'))
    return name, kind, number, of


def try_all(
    tool: Tool, scenario: Scenario, recording: Recording, chosen: Iterable[Crash], folder: Path, trial: Trial, each: int = 1
) -> None:
    """``each``: the program is let loose on one of so many."""
    medium = recording.medium()
    judge = Judge(tool, scenario, recording, medium.now(), medium.when, trial)
    with another_boot():
        for number, crash in enumerate(chosen):
            dice = random.Random(f'{SEED} {number} {crash.after}')
            trial.tried += 1
            judge.found(crash)
            if number % each:
                continue
            project = folder / f'p{number}'
            lay_out(crash.state, project)
            scenario.lie(tool, project)
            begun = time.monotonic()
            crash = Crash(crash.after, f'{crash.how}, {lay_index(project, recording.databases, dice)}', crash.state)
            time.sleep(max(0.0, begun + SETTLED_SECONDS - time.monotonic()))
            judge.healed(crash, project, dice)
            shutil.rmtree(project)
            shutil.rmtree(f'{project}-home', ignore_errors=True)


@contextmanager
def scratch(setting: Setting) -> Iterator[Path]:
    """Where states are laid out: in memory, if there is such a place."""
    with ExitStack() as stack:
        place = '/dev/shm' if os.access('/dev/shm', os.W_OK) else str(setting.folder)
        yield Path(stack.enter_context(tempfile.TemporaryDirectory(prefix='mlops-power-', dir=place)))


def recorded(setting: Setting, folder: Path, name: str, ordered: bool) -> Recording:
    """Made once, and kept: all cases of a scenario have the same one."""
    kept = setting.shared / f'{name.replace(" ", "-")}-{"ordered" if ordered else "loose"}-{_version()}.pickle'
    if not kept.exists():
        made = recording_of(setting.tool, folder / 'recorded', SCENARIOS[name], ordered)
        own = setting.folder / 'recording'
        own.write_bytes(pickle.dumps(made))
        try:
            os.link(own, kept)
        except FileExistsError:
            own.unlink()
    found: Recording = pickle.loads(kept.read_bytes())
    return found


def recording_of(
    tool: Tool, project: Path, scenario: Scenario, ordered: bool, lost: Callable[[str], bool] = lambda _: False
) -> Recording:
    project.mkdir()
    scenario.before(tool, project)
    late = scenario.late
    with as_many() if scenario.many else nullcontext():
        return record(tool, project, *scenario.words, ordered=ordered, lost=lost, late=lambda: late(tool, project))[0]


@contextmanager
def as_many() -> Iterator[None]:
    """Within, three files are as good as thousands, and nobody else writes to the disk."""
    from mlops_cli.store import bulk, incoming, staging

    small = [mock.patch.object(module, 'ENOUGH', 3) for module in (bulk, incoming)]
    with small[0], small[1], mock.patch.object(staging, '_to_be_written', lambda: 0):
        yield


def _version() -> str:
    seen = hashlib.sha256()
    for path in sorted([*(REPOSITORY / 'mlops_cli').rglob('*.py'), *Path(__file__).parents[1].glob('*.py'), Path(__file__)]):
        seen.update(path.read_bytes())
    return seen.hexdigest()[:16]


def choose(recording: Recording, *, ordered: bool, count: int, seed: int = SEED) -> list[Crash]:
    """So many of the states, the same each time: of those at its end a quarter, else from all of its way."""
    medium, dice = recording.medium(), random.Random(seed)
    moments: Sequence[int] = range(medium.when + 1)
    if count < len(moments):
        moments = sorted(dice.sample(moments, count))
    each = 1 + 2 * count // len(moments)
    chosen = [*islice(crashes(medium, ordered=ordered, seed=-seed, each=count // 4, after=[medium.when]), count // 4)]
    known = {one.key for one in chosen}
    rest = [one for one in crashes(medium, ordered=ordered, seed=seed, each=each, after=moments) if one.key not in known]
    return [*chosen, *dice.sample(rest, min(len(rest), count - len(chosen)))]


ROWS = (
    Row(
        'F4',
        'the power is cut after any change of the disk, and what was not synced is lost in part',
        '20,000 states of the disk in add, pull, run, checkout, accept, gc, recovery; half of them go on with the next command',
        cases,
        run,
        ('mlops', 'dvc'),
    ),
)
