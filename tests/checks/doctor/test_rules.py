"""The doctor's table: facts in, findings out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlops_cli.checks.doctor.facts import Disk, Facts, Finding, GitFacts, OwnFacts, RemoteFacts, StageFacts, Stored
from mlops_cli.checks.doctor.rules import CHECKS, applies, examine
from mlops_cli.core.errors import UserError, Where

GOOD = Facts(
    '/p',
    '/p',
    user=1000,
    git=GitFacts(True, (2, 47, 0), inside=True, top='/p', branch='main', commit='a' * 40),
    disks=(
        Disk('project', '/p', type='ext4', free=10**12, inodes=10**6, device=1, owner=1000),
        Disk('cache', '/p/.mlops/cache', type='ext4', free=10**12, inodes=10**6, device=1, owner=1000),
    ),
    stages=(StageFacts('train', 'pipeline.yaml:3:5'),),
)


def told(**changed: Any) -> list[tuple[str, str]]:
    return [(one.check, one.level) for one in examine(replace(GOOD, **changed))]


def text(**changed: Any) -> str:
    return '\n'.join(f'{one.text} | {one.fix} | {one.where}' for one in examine(replace(GOOD, **changed)))


def project(**changed: Any) -> dict[str, Any]:
    return {'disks': (replace(GOOD.disks[0], **changed), GOOD.disks[1])}


def cache(**changed: Any) -> dict[str, Any]:
    return {'disks': (GOOD.disks[0], replace(GOOD.disks[1], **changed))}


def repo(**changed: Any) -> dict[str, Any]:
    return {'git': replace(GOOD.git, **changed)}


def stage(**changed: Any) -> dict[str, Any]:
    return {'stages': (replace(GOOD.stages[0], **changed),)}


def own(**changed: Any) -> dict[str, Any]:
    return {'own': OwnFacts(**changed)}


CASES: list[tuple[dict[str, Any], str, str, str]] = [  # (facts, check, level, a part of text or fix)
    ({'project': '', 'dvc': True}, 'project', 'wrong', 'mlops adopt dvc'),
    ({'project': ''}, 'project', 'wrong', 'no pipeline.yaml in /p'),
    (own(trash=Stored('/c/trash', 5, 1)), 'cache', 'note', 'mlops gc --undo'),
    (own(gone=('/q',)), 'cache', 'note', 'mlops gc --forget /q'),
    ({'included_by': '/q/pipeline.yaml'}, 'project', 'wrong', 'mlops -C /q'),
    ({'around': '/q'}, 'project', 'note', 'inside another one, /q'),
    ({'errors': (UserError('bad', hint='mend', where=Where('f', 1, 2)),)}, 'input', 'wrong', 'bad | mend | f:1:2'),
    (repo(installed=False, inside=False), 'git', 'note', 'git is not installed'),
    (repo(installed=False, problem='missing', inside=False), 'git', 'wrong', 'git is not installed'),
    (repo(problem='owner', inside=False), 'git', 'wrong', 'safe.directory /p'),
    (repo(problem='bare', inside=False), 'git', 'wrong', 'worktree'),
    (repo(problem='broken', said='fatal: x', inside=False), 'git', 'wrong', 'fatal: x'),
    (repo(inside=False), 'git', 'note', 'git init'),
    (repo(version=(2, 25, 1)), 'git-version', 'wrong', 'git 2.25.1 is too old'),
    (repo(commit=''), 'head', 'note', 'git commit'),
    (repo(branch=''), 'head', 'note', 'detached at aaaaaaaa'),
    (repo(shallow=True), 'head', 'note', 'unshallow'),
    (repo(tracked_ours=('.mlops/local/x',)), 'ours-in-git', 'wrong', 'git rm -r --cached .mlops/local/x'),
    (repo(conflicts=('.mlops/a', '.mlops/b')), 'conflicts', 'wrong', '2 records in .mlops'),
    ({'damaged': (UserError('damaged pin', hint='git checkout', where=Where('p', 1, 1)),)}, 'records', 'wrong', 'damaged pin'),
    (repo(tracked_outputs={'m.bin': ('train', 99_000_000)}), 'outputs-in-git', 'wrong', 'cache: false'),
    (repo(tracked_outputs={'m.json': ('train', 9)}), 'outputs-in-git', 'note', 'git tracks m.json'),
    (repo(not_ignored=('m.bin',)), 'ignored', 'note', 'mlops run adds'),
    (repo(big_untracked={'raw.bin': 10**10}), 'big-files', 'wrong', 'mlops add raw.bin'),
    (project(read_only=True), 'disk', 'wrong', 'read-only'),
    ({**project(type='9p', path='/mnt/c/p'), 'wsl': True}, 'disk', 'wrong', 'Windows disk'),
    (project(network=True, type='nfs4'), 'disk', 'note', 'network disk (nfs4)'),
    (cache(network=True, type='cifs'), 'disk', 'note', 'cache is on a network disk'),
    (cache(in_memory=True, type='tmpfs'), 'disk', 'wrong', 'in memory only (tmpfs)'),
    (project(in_memory=True, type='tmpfs'), 'disk', 'note', 'in memory only'),
    (project(no_exec=True), 'disk', 'note', 'noexec'),
    (project(case_blind=True), 'disk', 'note', 'capitals'),
    (cache(device=2), 'disk', 'note', 'another disk'),
    (project(free=10**8), 'space', 'wrong', '100 MB left'),
    (project(free=2 * 10**9), 'space', 'note', '2.0 GB left'),
    (project(inodes=10), 'space', 'wrong', '10 more files'),
    (project(writable=False), 'rights', 'wrong', 'chmod -R u+rwX /p'),
    (cache(writable=False, owner=0), 'rights', 'wrong', 'chown -R'),
    (own(foreign=(('.mlops/stages', 0),)), 'rights', 'wrong', 'belongs to root'),
    (own(links=('.mlops/cache',)), 'rights', 'wrong', 'symbolic link'),
    (own(quarantine=Stored('q', 10, 2)), 'cache', 'wrong', '2 damaged objects'),
    (own(cache=Stored('c', 2 * 10**11, 9, False)), 'cache', 'note', 'more than 200 GB'),
    (own(databases={'.mlops/local/index-v1.sqlite': 'not a database'}), 'local', 'note', 'makes it anew'),
    (own(journals=('a',)), 'local', 'note', '1 command was killed'),
    (own(leftovers=('.mlops/local/.mlops-tmp-1',)), 'local', 'note', '1 folder in which killed commands worked'),
    (own(ignore_lines=('/cache/',)), 'local', 'wrong', 'lacks /cache/'),
    (own(rescue=Stored('.mlops/local/rescue', 10**10, 1)), 'kept', 'note', 'rm -r .mlops/local/rescue'),
    (own(failed=Stored('.mlops/local/failed', 10**10, 1)), 'kept', 'note', 'failed stages'),
    (own(schema=False), 'editor', 'note', 'mlops init --schema'),
    ({'unconfirmed': (('remotes.o', 's3://b'),)}, 'confirmed', 'note', 'mlops config confirm remotes.o'),
    ({'home': False}, 'surroundings', 'note', 'HOME'),
    ({'utf8': False}, 'surroundings', 'note', 'UTF-8'),
    (stage(program='python'), 'programs', 'wrong', 'write python3 | pipeline.yaml:3:5'),
    (stage(program='nvcc'), 'programs', 'wrong', 'nvcc is not found, which train would start'),
    (stage(locks=(('uv.lock', '.venv'),)), 'environments', 'note', 'uv sync'),
    (stage(locks=(('requirements.txt', '.venv'),)), 'environments', 'note', 'pip install -r requirements.txt'),
    (stage(refused=UserError('needs 9 GPUs', hint='x')), 'machine', 'note', 'needs 9 GPUs'),
    (stage(unmeasured='there is no driver'), 'machine', 'note', 'GPUs is not measured: there is no driver'),
    (stage(unknown=('m.py:3: a name made at run time',)), 'code', 'note', 'not known in full: m.py:3'),
    (stage(named=('data/raw',)), 'declared', 'note', 'deps: [data/raw]'),
    (stage(around=(('data', 'data/made', 'make'),)), 'overlaps', 'note', 'deps: [data/made]'),
    (stage(pointers=('x.bin',)), 'inputs', 'wrong', 'git lfs pull --include x.bin'),
    (stage(big={'out': 2 * 10**10}), 'huge-outputs', 'note', '20 GB'),
    ({'remotes': (RemoteFacts('b', 's3://b/x', 'no network', 'plug it in'),)}, 'remotes', 'wrong', 'does not work: no network'),
    (stage(future={'a.csv': 7200.0, 'b.csv': 300.0}), 'clock', 'note', 'a.csv and 1 other file changed'),
]


def test_where_all_is_well_nothing_is_said() -> None:
    assert told() == []


@pytest.mark.parametrize(('changed', 'check', 'level', 'part'), CASES, ids=[f'{case[1]}: {case[3]}' for case in CASES])
def test_each_fault_is_told_once_with_its_fix(changed: dict[str, Any], check: str, level: str, part: str) -> None:
    assert told(**changed) == [(check, level)]
    assert part in text(**changed)
    (found,) = examine(replace(GOOD, **changed))
    assert found.fix or level == 'note', 'what is wrong has a way to mend it'


def test_every_check_has_a_case() -> None:
    assert {check.name for check in CHECKS} == {case[1] for case in CASES}


def test_what_is_wrong_comes_first() -> None:
    found = examine(replace(GOOD, **repo(commit=''), **stage(program='x')))
    assert [one.level for one in found] == ['wrong', 'note']


def test_of_stages_nothing_is_told_where_the_pipeline_cannot_be_read() -> None:
    facts = replace(GOOD, errors=(UserError('bad'),), **stage(program='x'))
    assert [one.check for one in examine(facts)] == ['input']
    assert not [check for check in CHECKS if check.needs == 'stages' and applies(check, facts)]


def test_stages_with_the_same_fault_are_told_together() -> None:
    many = tuple(StageFacts(f's@{number}', program='nvcc') for number in range(50))
    (found,) = examine(replace(GOOD, stages=many))
    assert 's@0, s@1, s@2, s@3 and 46 more stages' in found.text


def test_many_mistakes_are_not_all_listed() -> None:
    found = examine(replace(GOOD, errors=tuple(UserError(str(number)) for number in range(50))))
    assert len(found) == 21 and found[-1] == Finding('input', 'wrong', 'and 30 more mistakes', 'mlops plan shows all')


def test_remotes_that_were_asked() -> None:
    good, bad = RemoteFacts('a', 's3://a/x', reads=True, writes=True), RemoteFacts('b', 's3://b/x', 'no network', 'plug it in')
    read = RemoteFacts('c', 's3://c/x', 'AccessDenied', 'ask', reads=True)
    assert told(remotes=(good,)) == [] and told(remotes=None) == []
    assert told(remotes=(read, bad)) == [('remotes', 'wrong'), ('remotes', 'note')]
    assert 'remote b (s3://b/x) does not work: no network | plug it in' in text(remotes=(bad,))
