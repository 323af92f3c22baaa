"""S7: results that somebody planted in the team's bucket.

The server is real and enforces a policy by itself: who builds a pull request may write objects, and results below
``results-v1/pr/7/`` only.  There an attacker leaves results for the very keys that the trusted build will look up, made by the
tool itself from other programs than the stage names, and damages what others have sent.  The trusted build has to compute what
is right."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.faults.base import Bad, Row, Setting, Trial, Verdict
from tests.faults.rows.f13_remote import judge_said, lacks
from tests.faults.tools import Done, git
from tests.faults.world import World
from tests.servers import s3

INSTANCES = 100
FEW = 6
ATTACKS = ('planted', 'planted and damaged', 'written as trusted', 'written as trusted by hand', 'made in a fork')


class Team:
    """A bucket, the trusted clone and the attacker's."""

    def __init__(self, setting: Setting, server: s3.S3, count: int) -> None:
        self.tool, self.folder, self.count = setting.tool, setting.folder, count
        self.owner, self.name = server, f'poison{os.getpid()}'
        self.url = f'{server.make_bucket(self.name)}/x'
        self.pull_request = server.allowed(pull_request_policy(self.name))
        path = self.folder / 'trusted'
        path.mkdir()
        git(path, 'init', '-q', '-b', 'main')
        self.trusted = World(self.tool, path)
        instances = ', '.join(map(str, range(count)))
        stage = f'    matrix: {{n: [{instances}]}}\n    cmd: sort data.txt > out-${{item.n}}.txt\n'
        text = f'version: 1\nstages:\n  s:\n{stage}    deps: [data.txt]\n    outs: ["out-${{item.n}}.txt"]\n'
        self.trusted.write({'pipeline.yaml': text.encode(), 'data.txt': b'b\na\n'})
        self.do(self.trusted, server, 'remote', 'add', 'origin', self.url, code=0)
        self.trusted.commit()
        git(self.folder, 'clone', '-q', str(path), 'attacker')
        self.attacker = World(self.tool, self.folder / 'attacker')
        for world, tier in ((self.trusted, 'trusted'), (self.attacker, 'pr/7')):
            self.do(world, server, 'config', 'set', 'cache.remote', 'origin', '--local', code=0)
            self.do(world, server, 'config', 'set', 'cache.tier', tier, '--local', code=0)
        self.do(self.attacker, server, 'config', 'confirm', 'remotes.origin', '--yes', code=0)

    def do(self, world: World, who: s3.S3, *words: str, path: str = '', code: int | None = None) -> Done:
        environ = {**world.environ, **who.environ}
        if path:
            environ['PATH'] = f'{path}{os.pathsep}{self.tool.environment(Path(f"{world.path}-home"))["PATH"]}'
        return self.tool.do(world.path, *words, environ=environ, code=code, timeout=300)

    def poison(self, who: s3.S3) -> Done:
        """The attacker runs all stages with a program of their own, and sends what came of it."""
        tools = self.folder / 'tools'
        tools.mkdir(exist_ok=True)
        (tools / 'sort').write_text('#!/bin/sh\necho poison\n')
        (tools / 'sort').chmod(0o755)
        self.do(self.attacker, who, 'run', '--force', path=str(tools), code=0)
        assert (self.attacker.path / 'out-0.txt').read_bytes() == b'poison\n'
        return self.do(self.attacker, who, 'push')

    def keys(self, below: str) -> list[str]:
        found = self.owner.client('s3').get_paginator('list_objects_v2').paginate(Bucket=self.name, Prefix=f'x/{below}')
        return [row['Key'] for page in found for row in page.get('Contents', ())]


def pull_request_policy(bucket: str) -> dict[str, object]:
    """As docs/howto/remotes.md has it for pull requests."""
    there = f'arn:aws:s3:::{bucket}'
    places = ('objects-v1', 'packs-v1', 'results-v1/pr/7')
    return {
        'Version': '2012-10-17',
        'Statement': [
            {'Effect': 'Allow', 'Action': ['s3:ListBucket', 's3:GetObject'], 'Resource': [there, f'{there}/*']},
            {
                'Effect': 'Allow', 'Action': 's3:PutObject',
                'Resource': [*(f'{there}/x/{place}/*' for place in places), f'{there}/x/gc-v1/roots-*'],
            },
        ],
    }


@contextmanager
def team(setting: Setting, count: int) -> Iterator[Team]:
    folder = setting.folder / 'server'
    folder.mkdir()
    with s3.running(folder) as server:
        yield Team(setting, server, count)


def judge(trial: Trial, there: Team, what: str) -> None:
    """The trusted build, on a machine that has nothing yet."""
    done = there.do(there.trusted, there.owner, 'run')
    if not judge_said(trial, done, f'{what}: the trusted build'):
        trial.bad(Bad.WRONG, f'{what}: the trusted build fails: {done.said}')
    outputs = [(there.trusted.path / f'out-{number}.txt') for number in range(there.count)]
    wrong = [path.name for path in outputs if not path.exists() or path.read_bytes() != b'a\nb\n']
    for name in wrong:
        trial.bad(Bad.CORRUPT, f'{what}: {name} is not what its stage makes')
    trial.tried += there.count


def cases(setting: Setting) -> Sequence[str]:
    return ATTACKS


def run(setting: Setting, case: str) -> Verdict:
    trial = Trial()
    with team(setting, INSTANCES if setting.full else FEW) as there:
        if case.startswith('planted'):
            sent = there.poison(there.pull_request)
            if sent.code != 0 or len(there.keys('results-v1/pr/7/')) != there.count:
                trial.bad(Bad.WRONG, f'the attacker could not plant anything, so nothing was tried: {sent.said}')
            if 'damaged' in case:
                _damage(there)
        elif case == 'written as trusted':
            there.do(there.attacker, there.pull_request, 'config', 'set', 'cache.tier', 'trusted', '--local', code=0)
            _is_denied(trial, there, there.poison(there.pull_request))
        elif case == 'written as trusted by hand':
            there.poison(there.pull_request)
            _by_hand(trial, there)
        else:
            there.do(there.attacker, there.pull_request, 'config', 'set', 'cache.tier', 'none', '--local', code=0)
            there.poison(there.pull_request)
            if there.keys('results-v1/'):
                trial.bad(Bad.ESCAPED, 'who only reads has sent results')
        judge(trial, there, case)
    return trial.verdict()


def _is_denied(trial: Trial, there: Team, done: Done) -> None:
    lines = [line for line in done.err.splitlines() if line.startswith('error:')]
    if done.code != 4 or len(lines) != 1 or 'AccessDenied' not in lines[0]:
        trial.bad(Bad.WRONG, f'a push that may not write there does not end with one clear line: {done.said}')
    if there.keys('results-v1/trusted/'):
        trial.bad(Bad.ESCAPED, 'results of the pull request stand among the trusted ones')


def _by_hand(trial: Trial, there: Team) -> None:
    """Without the tool, and without its manners."""
    from botocore.exceptions import ClientError

    client = there.pull_request.client('s3')
    for key in there.keys('results-v1/pr/7/'):
        data = client.get_object(Bucket=there.name, Key=key)['Body'].read()
        try:
            client.put_object(Bucket=there.name, Key=key.replace('/pr/7/', '/trusted/'), Body=data)
            trial.bad(Bad.ESCAPED, f'{key} could be written as trusted')
        except ClientError as error:
            assert error.response['Error']['Code'] == 'AccessDenied', error


def _damage(there: Team) -> None:
    """Objects may be written by all, and so be overwritten: what they hold says whether they are what they are called."""
    client = there.pull_request.client('s3')
    for key in [*there.keys('packs-v1/'), *there.keys('objects-v1/')]:
        data = client.get_object(Bucket=there.name, Key=key)['Body'].read()
        client.put_object(Bucket=there.name, Key=key, Body=data.replace(b'poison', b'p0ison').replace(b'a\nb\n', b'x\ny\n'))


ROWS = (
    Row(
        'S7',
        'results that a pull request plants in the bucket, or tries to write as trusted; then the trusted build',
        f'{INSTANCES} results of each: denied, and not one is used',
        cases,
        run,
        lacks=lacks,
    ),
)
