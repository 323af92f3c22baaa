"""F13: remotes in trouble.

F13-server puts a proxy in front of a real S3 server that lets requests go wrong (tests/servers/fault_proxy.py): the end of
push and pull must be exact, or an error in a line; nothing that does not hash to its name is believed; no folder is in the
bucket without all that it names.  F13 kills pushes, and deletes at random what is in the bucket."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from tests.faults import bucket, world
from tests.faults.band import traces
from tests.faults.base import Bad, Row, Setting, Trial, Verdict
from tests.faults.tools import Done, Tool, git
from tests.faults.world import World
from tests.servers import s3
from tests.servers.fault_proxy import ALL, BUSY, CONDITION, CONTENT, NETWORK, REFUSED, Proxy, in_front_of

SMALL, LARGE = 488, 12  # files; the large ones travel alone
RATES = (0.05, 0.3)
TRIALS = 200  # of push and pull, at each rate
BATCH = 5
DVC_TRIALS = 5
KINDS = {'5xx': BUSY, 'network': NETWORK, 'content': CONTENT, 'conditions': CONDITION, 'refused': REFUSED, 'all': ALL}
KILLS = 200
SUCCESS = 0.99  # of pushes and pulls where 30 % of the answers are 5xx


def files() -> dict[str, bytes]:
    """500 of them, in folders; no two are the same."""
    chance = random.Random(1)
    found = {f'data/d{n % 7}/e{n % 3}/{n:03}': chance.randbytes(chance.randint(0, 4000)) + b'%d' % n for n in range(SMALL)}
    return {**found, **{f'data/large/{n}': chance.randbytes(1_100_000) for n in range(LARGE)}}


def _made(tool: Tool, path: Path) -> World:
    path.mkdir(parents=True)
    git(path, 'init', '-q', '-b', 'main')
    made = World(tool, path)
    if tool.name == 'dvc':
        made.do('init', '-q', code=0)
        made.do('config', 'core.check_update', 'false', code=0)
    else:
        made.write({'pipeline.yaml': b'version: 1\nstages: {}\n'})
    made.write(files())
    made.do('add', 'data', code=0)
    made.commit()
    return made


class Place:
    """A server with a proxy before it, a project that has all, and a clone that has nothing."""

    def __init__(self, setting: Setting, server: s3.S3, proxy: Proxy, number: int) -> None:
        self.tool, self.server, self.proxy = setting.tool, server, proxy
        self.folder = setting.folder / str(number)
        self.folder.mkdir()
        self.name = f'bucket{os.getpid()}-{number}'
        self.url = f'{server.make_bucket(self.name)}/x'
        self.one = world.shared(setting, 'remote', _made).copy(self.folder / 'one')
        self._configure(self.one)
        self.one.commit()
        git(self.folder, 'clone', '-q', str(self.one.path), 'two')
        self.two = World(self.tool, self.folder / 'two')
        if self.tool.name == 'mlops':
            self.do(self.two, 'config', 'confirm', 'remotes.origin', '--yes')

    def _configure(self, of: World) -> None:
        if self.tool.name == 'mlops':
            of.do('remote', 'add', 'origin', self.url, code=0)
            return
        of.do('remote', 'add', '-d', 'origin', self.url, code=0)
        of.do('remote', 'modify', 'origin', 'endpointurl', self.proxy.endpoint, code=0)

    @property
    def environ(self) -> dict[str, str]:
        nothing = self.folder / 'nothing'
        nothing.touch()  # DVC takes no /dev/null for a config
        files = dict.fromkeys(('AWS_CONFIG_FILE', 'AWS_SHARED_CREDENTIALS_FILE'), str(nothing))
        return {**self.server.environ, **files, 'AWS_ENDPOINT_URL': self.proxy.endpoint}

    def do(self, of: World, *words: str, timeout: float = 300) -> Done:
        return self.tool.do(of.path, *words, environ={**of.environ, **self.environ}, timeout=timeout)

    def start(self, of: World, *words: str) -> subprocess.Popen[bytes]:
        environ = self.tool.environment(Path(f'{of.path}-home'), {**of.environ, **self.environ})
        none = subprocess.DEVNULL
        return subprocess.Popen(
            self.tool.argv(*words), cwd=of.path, env=environ, stdin=none, stdout=none, stderr=none, start_new_session=True
        )

    # What is there

    def keys(self) -> list[str]:
        found = self.server.client('s3').get_paginator('list_objects_v2').paginate(Bucket=self.name)
        return [row['Key'] for page in found for row in page.get('Contents', ())]

    def delete(self, keys: Sequence[str]) -> None:
        client = self.server.client('s3')
        for key in keys:
            client.delete_object(Bucket=self.name, Key=key)

    def copied(self) -> Path:
        """The bucket as a folder, asked of the server itself."""
        folder = self.folder / 'copy'
        shutil.rmtree(folder, ignore_errors=True)
        client = self.server.client('s3')
        for key in self.keys():
            path = folder / key.removeprefix('x/')
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(client.get_object(Bucket=self.name, Key=key)['Body'].read())
        folder.mkdir(exist_ok=True)
        return folder

    def clear(self) -> None:
        """The clone as it was, and nothing in the bucket."""
        self.delete(self.keys())
        self.proxy.lists.clear()
        self.forget()

    def forget(self) -> None:
        """The clone as it was."""
        shutil.rmtree(self.two.path / 'data', ignore_errors=True)
        shutil.rmtree(self.two.path / ('.mlops/cache' if self.tool.name == 'mlops' else '.dvc/cache'), ignore_errors=True)
        if self.tool.name == 'dvc':
            shutil.rmtree(f'{self.two.path}-home', ignore_errors=True)


@contextmanager
def places(setting: Setting, seed: int, count: int = 1) -> Iterator[list[Place]]:
    folder = setting.folder / 'server'
    folder.mkdir()
    with ExitStack() as stack:
        server = stack.enter_context(s3.running(folder))
        proxy = stack.enter_context(in_front_of(server.endpoint, seed))
        yield [Place(setting, server, proxy, number) for number in range(count)]


# Judging


def judge_said(trial: Trial, done: Done, what: str) -> bool:
    """Whether it went well; that it ended in a way that a person understands."""
    if trace := traces((done.out + done.err).encode()):
        trial.bad(Bad.WRONG, f'{what}: a traceback: {trace}')
        return False
    if done.code == 0:
        return True
    lines = [line for line in done.err.splitlines() if line.startswith(('error:', 'ERROR:'))]
    if done.argv and done.argv[0].endswith('/dvc'):
        return False  # DVC says more, and has other codes
    if done.code not in (1, 4) or (done.code == 4 and len(lines) != 1) or not (done.err + done.out).strip():
        trial.bad(Bad.WRONG, f'{what} ends neither well nor with one clear line: {done.said}')
    return False


def judge_bucket(trial: Trial, place: Place, what: str, complete: bool) -> None:
    """Whether what stands in the bucket is whole.  ``complete``: all has to be there."""
    if place.tool.name == 'dvc':
        _judge_dvc_bucket(trial, place, what, complete)
        return
    folder = place.copied()
    # An index whose pack was deleted counts as absent, so it may stay; what it named has to be there in another.
    if wrong := [one for one in bucket.problems(folder) if not one.endswith('is not there, or not whole')]:
        trial.bad(Bad.CORRUPT, f'{what}: the bucket: {wrong[:3]}')
    if complete:
        there = {*bucket.objects(folder)[0].values()}
        if gone := [name for name, data in files().items() if data not in there]:
            trial.bad(Bad.LOST, f'{what}: push said it was done, and {len(gone)} files are not there: {gone[:3]}')


def _judge_dvc_bucket(trial: Trial, place: Place, what: str, complete: bool) -> None:
    import hashlib
    import json

    folder = place.copied() / 'files/md5'
    there = {path.parent.name + path.name: path.read_bytes() for path in folder.glob('??/*')}
    wrong = [name for name, data in there.items() if hashlib.md5(data).hexdigest() != name.removesuffix('.dir')]
    for name, data in there.items():
        if name.endswith('.dir'):
            wrong += [f'{name} names {row["md5"]}' for row in json.loads(data) if row['md5'] not in there]
    if wrong:
        trial.bad(Bad.CORRUPT, f'{what}: the bucket: {len(wrong)}, such as {wrong[:3]}')
    if complete and (gone := [name for name, data in files().items() if hashlib.md5(data).hexdigest() not in there]):
        trial.bad(Bad.LOST, f'{what}: push said it was done, and {len(gone)} files are not there: {gone[:3]}')


def judge_clone(trial: Trial, place: Place, what: str, complete: bool) -> None:
    """Whether all that came is right, in the workspace and in the cache."""
    wanted = files()
    here = {name: data for name, data in place.two.read().items() if name.startswith('data/')}
    if wrong := [name for name, data in here.items() if wanted.get(name) != data]:
        trial.bad(Bad.CORRUPT, f'{what}: {len(wrong)} files are not what was pushed: {wrong[:3]}')
    if damaged := world.damaged(place.two):
        trial.bad(Bad.CORRUPT, f'{what}: the cache has damage: {damaged[:3]}')
    if complete and len(here) != len(wanted):
        trial.bad(Bad.LOST, f'{what}: pull said it was done, and {len(wanted) - len(here)} files are not there')


# F13-server


def server_cases(setting: Setting) -> list[str]:
    if setting.tool.name == 'dvc':
        return [f'{kind} {rate} {seed}' for rate in RATES for kind in ('5xx', 'all') for seed in range(DVC_TRIALS)]
    if not setting.full:
        return ['5xx 0.3 0', 'all 0.05 0']
    per = TRIALS // BATCH // len(KINDS) + 1
    return [f'{kind} {rate} {seed}' for seed in range(per) for rate in RATES for kind in KINDS]


def server(setting: Setting, case: str) -> Verdict:
    kind, rate, _ = case.split()
    trial = Trial()
    batch = BATCH if setting.full and setting.tool.name == 'mlops' else 1
    failed = 0
    with places(setting, hash_of(case)) as [place]:
        for number in range(batch):
            place.clear()
            place.proxy.faults = KINDS[kind]
            what = f'{case}, number {number}'
            trial.tried += 1
            place.proxy.rate = float(rate)
            pushed = judge_said(trial, done := place.do(place.one, 'push'), f'{what}, push')
            failed += not pushed
            place.proxy.rate = 0.0
            judge_bucket(trial, place, f'{what}, push: {done.said}', pushed)
            if not pushed:
                again = place.do(place.one, 'push')
                if again.code != 0:
                    trial.bad(Bad.STUCK, f'{what}: the next push, with nothing in its way: {again.said}')
                judge_bucket(trial, place, f'{what}, push again', again.code == 0)
            place.proxy.rate = float(rate)
            pulled = judge_said(trial, done := place.do(place.two, 'pull'), f'{what}, pull')
            failed += not pulled
            place.proxy.rate = 0.0
            judge_clone(trial, place, f'{what}, pull: {done.said}', pulled)
            if not pulled:
                again = place.do(place.two, 'pull')
                if again.code != 0:
                    trial.bad(Bad.STUCK, f'{what}: the next pull, with nothing in its way: {again.said}')
                judge_clone(trial, place, f'{what}, pull again', again.code == 0)
    if kind == '5xx' and failed:
        trial.bad(Bad.STUCK, f'{case}: {failed} of {2 * batch} pushes and pulls gave up')
    return trial.verdict()


def hash_of(case: str) -> int:
    return sum(ord(character) * 31**place for place, character in enumerate(case)) % 2**31


# F13


def kill_cases(setting: Setting) -> list[str]:
    count = DVC_TRIALS if setting.tool.name == 'dvc' else KILLS // BATCH if setting.full else 1
    return [f'seed {seed}' for seed in range(count)]


def kills(setting: Setting, case: str) -> Verdict:
    """Of each: a push that is killed, the bucket looked at, some of it deleted, a pull, a push, a pull."""
    trial = Trial()
    chance = random.Random(case)
    batch = BATCH if setting.full and setting.tool.name == 'mlops' else 1
    with places(setting, hash_of(case)) as [place]:
        begun = time.monotonic()
        place.do(place.one, 'push')
        usual = time.monotonic() - begun
        for number in range(batch):
            place.clear()
            what = f'{case}, number {number}'
            trial.tried += 1
            process = place.start(place.one, 'push')
            time.sleep(chance.uniform(0.2 * usual, usual))
            process.send_signal(signal.SIGKILL)
            process.wait()
            judge_bucket(trial, place, f'{what}, after the kill', False)
            _delete_some(trial, place, chance, what)
    return trial.verdict()


def _delete_some(trial: Trial, place: Place, chance: random.Random, what: str) -> None:
    if keys := place.keys():
        place.delete(chance.sample(keys, chance.randint(0, min(3, len(keys)))))
    pulled = place.do(place.two, 'pull')
    judge_said(trial, pulled, f'{what}, pull of a part')
    judge_clone(trial, place, f'{what}, pull of a part: {pulled.said}', pulled.code == 0)
    if pulled.code == 1 and 'data' not in pulled.out + pulled.err:
        trial.bad(Bad.WRONG, f'{what}: pull does not say what is missing: {pulled.said}')
    pushed = place.do(place.one, 'push')
    if pushed.code != 0:
        trial.bad(Bad.STUCK, f'{what}: the next push: {pushed.said}')
    judge_bucket(trial, place, f'{what}, the next push', pushed.code == 0)
    again = place.do(place.two, 'pull')
    if again.code != 0:
        trial.bad(Bad.STUCK, f'{what}: the next pull: {again.said}')
    judge_clone(trial, place, f'{what}, the next pull', again.code == 0)


def lacks() -> str:
    try:
        import moto  # noqa: F401
    except ImportError:
        return 'moto is not installed'
    return ''


def with_s3(setting: Setting) -> Setting:
    """DVC needs one package more."""
    if setting.tool.name != 'dvc':
        return setting
    python = Path(setting.tool.start[0]).with_name('python')
    mark = python.parent.parent / 'complete-s3'
    if not mark.exists():
        import sys

        argv = [sys.executable, '-m', 'pip', '--python', str(python), 'install', '--quiet', '--compile', 'dvc-s3']
        subprocess.run(argv, check=True)
        mark.touch()
    return replace(setting)


ROWS = (
    Row(
        'F13',
        'a push of 500 files is killed, and what is in the bucket is deleted at random; then pull, push, pull',
        f'{KILLS} kills',
        kill_cases,
        lambda setting, case: kills(with_s3(setting), case),
        tools=('mlops', 'dvc'),
        lacks=lacks,
    ),
    Row(
        'F13-server',
        'push and pull of 500 files where 5 % and 30 % of the requests to S3 go wrong',
        f'{TRIALS} at each rate; at 30 % 5xx 99 % go through',
        server_cases,
        lambda setting, case: server(with_s3(setting), case),
        tools=('mlops', 'dvc'),
        lacks=lacks,
    ),
)
