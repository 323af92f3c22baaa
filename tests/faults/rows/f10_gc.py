"""F10: gc while everything else goes on, and in histories of every shape: nothing goes that anything needs, and undo puts all
of it back."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mlops_cli.core.digest import digest_of
from mlops_cli.core.manifest import Entry, Manifest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.records import data
from mlops_cli.records.kept import Keep
from mlops_cli.records.pins import Pin
from mlops_cli.records.runs import Run, StageRun
from mlops_cli.run.cleaning import Cleaning, Wish, undo
from mlops_cli.run.heal import begin_writing
from mlops_cli.store.local import LocalStore
from mlops_cli.store.results import ResultEntry, Results, outputs_digest
from tests.faults.base import Bad, Row, Setting, Trial, Verdict
from tests.faults.reachable import Git, reachable
from tests.faults.tools import git
from tests.support.project import Project

HISTORIES, PER_CASE = 5000, 25
ROUNDS, ROUNDS_PER_CASE = 500, 5
STOPS, STOPS_PER_CASE = 100, 5
WRITERS = 8
DAY = 86_400

# Histories: random ones, judged by the model.


class History:
    """A repository that things happen to.  ``rng``: decides all of it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.project = Project(folder / 'p')
        self.project.init_git()
        self.project.write('pipeline.yaml', 'stages: {}\n')
        self.project.write('.mlops/.gitignore', '/cache/\n/local/\n/config.local.yaml\n')
        self.project.commit('first')
        self.cache = self.project.path / '.mlops/cache'
        self.batch = Batch('none')
        self.store = LocalStore(self.cache, batch=self.batch)
        self.store.prepare()
        self.results = Results(self.cache, self.batch)
        self.git = Git(self.project.path, self.project.environ)
        self.count = 0
        self.told: list[str] = []

    def close(self) -> None:
        self.git.close()
        self.results.close()
        self.store.close()

    def places(self) -> list[Path]:
        return self.git.worktrees()

    def do(self) -> None:
        """One thing, at random.  What git refuses to do did not happen."""
        name, act = self.rng.choice(ACTS)
        self.told.append(name)
        try:
            act(self)
        except subprocess.CalledProcessError:
            self.settle()

    def settle(self) -> None:
        """A merge that git left undecided is given up: gc refuses records with conflicts in them."""
        for place in self.places():
            if subprocess.run(['git', 'ls-files', '-u'], cwd=place, env=self.project.environ, capture_output=True).stdout:
                subprocess.run(['git', 'reset', '-q', '--hard'], cwd=place, env=self.project.environ, check=True)

    def content(self) -> ObjectRef:
        """Something in the store; what was there before, now and then."""
        self.count += 1
        text = f'{self.rng.randrange(40) if self.rng.random() < 0.3 else f"new {self.count} {self.rng.random()}"}'
        if self.rng.random() < 0.6:
            return self.store.add_bytes(text.encode())
        folder = self.project.path.parent / f'made-{self.count}'
        for number in range(self.rng.randrange(1, 4)):
            (folder / f'd{number % 2}').mkdir(parents=True, exist_ok=True)
            (folder / f'd{number % 2}/{number}').write_text(f'{text} {number if self.rng.random() < 0.7 else ""}')
        with Root(folder.parent) as root:
            ref = self.store.add_path(root, folder.name).ref
        shutil.rmtree(folder)
        return ref

    def place(self) -> Path:
        return self.rng.choice(self.places())

    def path(self, *names: str) -> Path:
        made = self.place() / '/'.join(names)
        made.parent.mkdir(parents=True, exist_ok=True)
        return made

    def pin(self) -> None:
        ref = self.content()
        made = Pin(Manifest.of([Entry('data', 'in', digest_of(str(self.rng.random()).encode()))]), (('out', ref),))
        self.batch.flush()
        self.path('.mlops/stages', made.file_name(f's{self.rng.randrange(3)}')).write_bytes(made.data)

    def data(self) -> None:
        ref, name = self.content(), f'd{self.rng.randrange(3)}'
        self.batch.flush()
        self.path(data.record_path(name)).write_bytes(data.encode(name, ref))

    def run(self) -> None:
        outputs = (('out', self.content()),)
        key, log = digest_of(str(self.rng.random()).encode()), self.store.add_bytes(f'log {self.count}'.encode())
        manifest = self.store.add_bytes(f'manifest {self.count}'.encode())
        self.results.put(ResultEntry(key, outputs, '2026-11-20T10:15:22Z', log=log, manifest=manifest))
        self.batch.flush()
        then = time.time() - self.rng.choice((1, 10, 29, 31, 200)) * DAY
        started = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(then))
        run_id = f'{time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(then))}-{self.count:08d}'
        outs8 = outputs_digest(outputs).hex[:8]
        record = Run(run_id, started, 1.0, 'done', (StageRun('s', 'done', key, outs8, 1.0, 0),))
        self.path('.mlops/runs', f'{run_id[:4]}-{run_id[4:6]}', f'{run_id}.json').write_bytes(record.encode())
        if self.rng.random() < 0.3:
            keep = Keep(run_id, '', 'Ada', '2026-11-20T10:15:22Z')
            self.path('.mlops/kept', keep.file_name).write_bytes(keep.encode())

    def garbage(self) -> None:
        self.content()
        self.batch.flush()

    def remove(self) -> None:
        place = self.place()
        parts = ('stages', 'data', 'runs', 'kept')
        found = [one for part in parts for one in sorted((place / '.mlops' / part).rglob('*.json'))]
        if found:
            self.rng.choice(found).unlink()

    def g(self, *words: str) -> str:
        done = subprocess.run(
            ['git', *words], cwd=self.place(), env=self.project.environ, capture_output=True, text=True, check=True
        )
        return done.stdout

    def commit(self) -> None:
        place = self.place()
        for words in (('add', '-A'), ('commit', '-q', '--allow-empty', '-m', f'c{self.count}')):
            subprocess.run(['git', *words], cwd=place, env=self.project.environ, capture_output=True, check=True)

    def stage(self) -> None:
        self.g('add', '-A', '--', '.mlops')

    def branch(self) -> None:
        self.count += 1
        self.g('branch', f'b{self.count}')

    def named(self, kind: str) -> str:
        names = self.project.git('for-each-ref', '--format=%(refname:lstrip=2)', kind).split()
        return self.rng.choice(names) if names else 'nothing'

    def switch(self) -> None:
        self.g('switch', '-q', '--discard-changes', self.named('refs/heads/'))

    def drop_branch(self) -> None:
        self.g('branch', '-q', '-D', self.named('refs/heads/'))

    def tag(self) -> None:
        self.count += 1
        self.g('tag', *self.rng.choice(([], ['-a', '-m', 'x'])), f't{self.count}', self.named('refs/heads/'))

    def drop_tag(self) -> None:
        self.g('tag', '-d', self.named('refs/tags/'))

    def merge(self) -> None:
        how = self.rng.choice(('ours', 'ort'))
        self.g('merge', '-q', '-s', how, '--no-edit', self.named('refs/heads/'))

    def stash(self) -> None:
        self.g('stash', '-q', *self.rng.choice(([], ['-u'])))

    def unstash(self) -> None:
        self.g('stash', self.rng.choice(('pop', 'drop', 'apply')), '-q')

    def back(self) -> None:
        self.g('reset', '-q', '--hard', 'HEAD~1')

    def amend(self) -> None:
        self.g('commit', '-q', '--amend', '--allow-empty', '-a', '-m', 'amended')

    def worktree(self) -> None:
        self.count += 1
        self.g('worktree', 'add', '-q', '--detach', str(self.project.path.parent / f'w{self.count}'))

    def drop_worktree(self) -> None:
        others = [place for place in self.places() if place != self.project.path]
        if others:
            self.project.git('worktree', 'remove', '--force', str(self.rng.choice(others)))

    def expire(self) -> None:
        self.g('reflog', 'expire', '--expire=now', '--all')

    def remote(self) -> None:
        self.g('update-ref', f'refs/remotes/origin/r{self.rng.randrange(3)}', self.named('refs/heads/'))

    def objects(self) -> dict[str, bytes]:
        folder = self.cache / 'objects-v1'
        return {f'{path.parent.name}{path.name}': path.read_bytes() for path in folder.glob('??/*')}

    def everything(self) -> dict[str, bytes]:
        parts = (self.cache / 'objects-v1', self.cache / 'results-v1')
        return {path.relative_to(self.cache).as_posix(): path.read_bytes() for part in parts for path in part.glob('??/*')}


Act = Callable[[History], None]
ACTS: tuple[tuple[str, Act], ...] = tuple(
    (name, getattr(History, name))
    for name, weight in {
        'pin': 6, 'data': 5, 'run': 3, 'garbage': 2, 'remove': 4, 'commit': 7, 'stage': 2, 'branch': 2, 'switch': 3,
        'drop_branch': 3, 'tag': 1, 'drop_tag': 1, 'merge': 3, 'stash': 2, 'unstash': 2, 'back': 2, 'amend': 1,
        'worktree': 1, 'drop_worktree': 1, 'expire': 2, 'remote': 1,
    }.items()
    for _ in range(weight)
)  # fmt: skip


@contextmanager
def cleaning(project: Project, wish: Wish) -> Iterator[Cleaning]:
    """A gc in this process."""
    bench = project.open()
    try:
        with (
            begin_writing(bench, lambda _: None, lambda: 'Ada', 'box') as locks,
            Cleaning(bench, locks, wish) as clean,
            clean.alone(),
        ):
            yield clean
    finally:
        bench.close()


def collect(project: Project) -> None:
    """gc without any grace."""
    with cleaning(project, Wish(grace=0.0)) as clean:
        clean.finish(clean.carry_out(clean.look()))


def put_back(project: Project) -> None:
    bench = project.open()
    try:
        undo(bench)
    finally:
        bench.close()


def judge(history: History, trial: Trial, note: str, gc: Callable[[Project], None] = collect) -> int:
    """One gc and its undo; how many objects went."""
    trial.tried += 1
    before = history.everything()
    objects = history.objects()
    needed = reachable(history.git, history.places(), history.cache, time.time()) & objects.keys()
    gc(history.project)
    left = history.objects()
    for lost in sorted(needed - left.keys())[:3]:
        trial.bad(Bad.LOST, f'{lost[:12]} {note}, after {" ".join(history.told[-30:])}')
    put_back(history.project)
    after = history.everything()
    if after != before:
        odd = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        trial.bad(Bad.LOST, f'undo left {len(odd)} differences, such as {odd[0]} {note}')
    return len(objects) - len(left)


def histories(setting: Setting, case: str) -> Verdict:
    trial = Trial()
    seed = int(case.split()[-1])
    history = History(setting.folder, seed)
    went = 0
    try:
        for number in range(PER_CASE if setting.full else 6):
            for _ in range(history.rng.randrange(3, 9)):
                history.do()
            went += judge(history, trial, f'(seed {seed}, number {number})')
        if setting.full and not went:
            trial.bad(Bad.WRONG, f'nothing ever went (seed {seed})')
    finally:
        history.close()
    return trial.verdict()


# Beside others: real processes on one cache.

PIPELINE = """\
version: 1
stages:
  prepare:
    cmd: mkdir -p data/deep && cat in.txt > data/a && cat in.txt in.txt > data/deep/b
    deps: [in.txt]
    outs: [data]
  train:
    cmd: cat data/a > model.bin && echo ${rate} >> model.bin
    deps: [data]
    params: [rate]
    outs: [model.bin]
"""


class Sharing:
    """Clones that share a cache in which all that they will make lies already, old and named by nobody."""

    def __init__(self, setting: Setting, count: int) -> None:
        self.setting, self.tool = setting, setting.tool
        self.cache = setting.folder / 'cache'
        self.places = [setting.folder / f'c{number}' for number in range(count)]
        for place in self.places:
            place.mkdir()
            (place / 'pipeline.yaml').write_text(PIPELINE)
            (place / 'params.yaml').write_text('rate: 1\n')
            (place / 'in.txt').write_text('0\n')
            (place / 'set.csv').write_text('0\n')
            (place / '.mlops').mkdir()
            (place / '.mlops/config.local.yaml').write_text(f'cache: {{dir: {self.cache}}}\n')
            git(place, 'init', '-q', '-b', 'main')
        self.round = 0

    def prepare(self) -> None:
        """What the next round makes again is stored once, and forgotten."""
        self.round += 1
        first = self.places[0]
        for number, place in enumerate(self.places):
            (place / 'in.txt').write_text(f'{self.round} {number % 3}\n')
            (place / 'set.csv').write_text(f'{self.round} {number % 3}\n')
        for place in self.places[:3]:
            self.tool.do(place, 'run', '-q', code=0)
            self.tool.do(place, 'add', 'set.csv', code=0)
            for part in ('stages', 'data', 'runs', 'local'):
                shutil.rmtree(place / '.mlops' / part, ignore_errors=True)
            shutil.rmtree(place / 'data')
            (place / 'model.bin').unlink()
        then = time.time() - 40 * DAY
        for path in self.cache.glob('*-v1/??/*'):
            os.utime(path, (then, then))
        assert first.exists()

    def start(self, place: Path, *words: str) -> subprocess.Popen[bytes]:
        environ = self.tool.environment(Path(f'{place}-home'))
        return subprocess.Popen(
            self.tool.argv(*words), cwd=place, env=environ, stdin=subprocess.DEVNULL, stdout=-1, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

    def needed(self, place: Path) -> set[str]:
        history = Git(place, self.tool.environment(Path(f'{place}-home')))
        try:
            return reachable(history, [place], self.cache, time.time())
        finally:
            history.close()

    def judge(self, trial: Trial, note: str) -> None:
        """What any clone needs is in the cache or in its trash; and after one more gc in the cache."""
        for last in (False, True):
            if last:
                done = self.tool.do(self.places[0], 'gc', '--yes')
                if done.code:
                    trial.bad(Bad.STUCK, f'{done.said} {note}')
            here = {path.parent.name + path.name for path in self.cache.glob('objects-v1/??/*')}
            trash = {path.parent.name + path.name for path in self.cache.glob('trash/*/objects-v1/??/*')}
            for place in self.places:
                lost = self.needed(place) - here - (set() if last else trash)
                if lost:
                    when = 'after' if last else 'before'
                    trial.bad(Bad.LOST, f'{len(lost)} objects of {place.name}, {when} another gc, {note}')


def beside(setting: Setting, case: str) -> Verdict:
    trial, seed = Trial(), int(case.split()[-1])
    rng = random.Random(seed)
    sharing = Sharing(setting, 4)
    for number in range(ROUNDS_PER_CASE if setting.full else 1):
        trial.tried += 1
        note = f'(seed {seed}, round {number})'
        sharing.prepare()
        words = [('run', '-q', '-j1'), ('add', 'set.csv'), ('status',), ('run', '-q', '--set', f'rate={number + 2}')]
        jobs = [(place, words[(index + half) % 4]) for half in (0, 1) for index, place in enumerate(sharing.places)]
        rng.shuffle(jobs)
        started: list[tuple[Path, subprocess.Popen[bytes]]] = []
        try:
            at = rng.randrange(len(jobs))
            for index, (place, line) in enumerate(jobs):
                started.append((place, sharing.start(place, *line)))
                if index == at or rng.random() < 0.2:
                    started.append((place, sharing.start(place, 'gc', '--grace', '0', '--yes', '-q')))
                time.sleep(rng.random() * 0.2)
            for place, process in started:
                out, _ = process.communicate(timeout=180)
                if process.returncode not in (0, 11):
                    argv = process.args[-3:] if isinstance(process.args, list) else process.args
                    trial.bad(Bad.WRONG, f'{place.name} {argv}: exit {process.returncode}: {out.decode()[-300:]!r} {note}')
        finally:
            end(process for _, process in started)
        sharing.judge(trial, note)
    return trial.verdict()


def end(processes: Iterator[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.communicate()


def stopped(setting: Setting, case: str) -> Verdict:
    """A writer that is stopped in the middle, gc, and the writer goes on."""
    trial, seed = Trial(), int(case.split()[-1])
    rng = random.Random(seed)
    sharing = Sharing(setting, 2)
    for number in range(STOPS_PER_CASE if setting.full else 1):
        trial.tried += 1
        note = f'(seed {seed}, number {number})'
        sharing.prepare()
        writer = sharing.start(sharing.places[0], *(('run', '-q', '-j1') if rng.random() < 0.8 else ('add', 'set.csv')))
        try:
            time.sleep(rng.random() * 1.2)
            writer.send_signal(signal.SIGSTOP)
            done = setting.tool.do(sharing.places[1], 'gc', '--grace', '0', '--yes', '-q', '--lock-timeout', '2')
            if done.code not in (0, 11):
                trial.bad(Bad.WRONG, f'{done.said} {note}')
            writer.send_signal(signal.SIGCONT)
            out, _ = writer.communicate(timeout=120)
            if writer.returncode:
                trial.bad(Bad.WRONG, f'exit {writer.returncode}: {out.decode()[-300:]!r} {note}')
        finally:
            end(iter([writer]))
        sharing.judge(trial, note)
    return trial.verdict()


# Where git still has the record: both tools, each with each of its ways to collect.

SITUATIONS = ('branch', 'tag', 'old commit', 'stash', 'staged', 'dirty', 'worktree', 'deleted branch')
WAYS = {  # and what each says that it keeps: of the workspace, of all branches, of all commits
    'mlops': {'': SITUATIONS},
    'dvc': {'-w': ('staged', 'dirty'), '-a': ('staged', 'dirty', 'branch'),
            '-A': ('staged', 'dirty', 'branch', 'tag', 'old commit', 'stash')},
}  # fmt: skip


def situation(setting: Setting, name: str, way: str, trial: Trial) -> None:
    """Data is added; its record lies where the name says; then gc.  Git can bring the record back: can the tool the data?"""
    trial.tried += 1
    tool, place = setting.tool, setting.folder / name.replace(' ', '-')
    place.mkdir()
    git(place, 'init', '-q', '-b', 'main')
    if tool.name == 'dvc':
        tool.do(place, 'init', '-q', code=0)
    else:
        (place / 'pipeline.yaml').write_text('stages: {}\n')
        tool.do(place, 'run', '-q')
    git(place, 'add', '-A')
    git(place, 'commit', '-q', '-m', 'first')
    content = f'{name} {random.random()}\n'
    work = place
    if name == 'worktree':
        work = Path(f'{place}-tree')
        git(place, 'worktree', 'add', '-q', '-b', 'tree', str(work))
        if tool.name == 'dvc':
            tool.do(work, 'cache', 'dir', '--local', str(place / '.dvc/cache'), code=0)
        else:
            (work / '.mlops/config.local.yaml').write_text(f'cache: {{dir: {place}/.mlops/cache}}\n')
    if name in ('branch', 'tag', 'deleted branch'):
        git(place, 'switch', '-q', '-c', 'side')
    (work / 'd.csv').write_text(content)
    tool.do(work, 'add', 'd.csv', code=0)
    if name not in ('dirty',):
        git(work, 'add', '-A')
    if name in ('branch', 'tag', 'old commit', 'deleted branch'):
        git(work, 'commit', '-q', '-m', 'data')
        (place / 'd.csv').unlink()
    if name == 'old commit':
        (place / 'd.csv').write_text('newer\n')
        tool.do(place, 'add', 'd.csv', code=0)
        git(place, 'add', '-A')
        git(place, 'commit', '-q', '-m', 'newer')
    if name in ('branch', 'tag', 'deleted branch'):
        git(place, 'tag', 'v1') if name == 'tag' else None
        git(place, 'switch', '-q', 'main')
        git(place, 'branch', '-q', '-D', 'side') if name != 'branch' else None
    if name == 'stash':
        git(place, 'stash', '-q')
        (place / 'd.csv').unlink(missing_ok=True)
    if tool.name == 'dvc':
        done = tool.do(place, 'gc', way, '-f', '-q')
    else:
        done = tool.do(place, 'gc', '--grace', '0', '--yes', '-q')
    if done.code:
        trial.bad(Bad.WRONG, done.said)
    folder = place / ('.dvc/cache' if tool.name == 'dvc' else '.mlops/cache/objects-v1')
    held = any(path.is_file() and path.read_bytes() == content.encode() for path in folder.rglob('*'))
    if not held:
        trial.bad(Bad.LOST, f'the data of a record in a {name}, gc {way}')


def situations(setting: Setting, case: str) -> Verdict:
    trial = Trial()
    way = case.partition('gc')[2].strip()
    names = WAYS[setting.tool.name][way]
    for name in names if setting.full else names[:4]:
        situation(setting, name, way, trial)
    return trial.verdict()


def _numbered(what: str, count: int) -> Callable[[Setting], Sequence[str]]:
    return lambda setting: [f'{what} {number}' for number in range(count if setting.full else 1)]


def _lacks() -> str:
    return '' if sys.platform == 'linux' else 'it stops processes as Linux does'


ROWS = (
    Row('F10', 'gc where a record lies in a branch, tag, stash, index, worktree, reflog', '8 places',
        lambda setting: [f'gc {way}'.strip() for way in WAYS[setting.tool.name]], situations, ('mlops', 'dvc')),
    Row('F10-histories', 'gc and its undo after random histories of git and records', f'{HISTORIES:,} histories',
        _numbered('seed', HISTORIES // PER_CASE), histories),
    Row('F10-beside', f'gc without grace while {WRITERS} commands use the same cache', f'{ROUNDS} rounds',
        _numbered('seed', ROUNDS // ROUNDS_PER_CASE), beside, lacks=_lacks),
    Row('F10-stopped', 'gc without grace while a command is stopped in the middle', f'{STOPS} times',
        _numbered('seed', STOPS // STOPS_PER_CASE), stopped, lacks=_lacks),
)  # fmt: skip
