"""S11: whatever the umask, nothing that mlops makes may be changed by others, and what a stage printed or was given may be read
by nobody else."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.faults.base import Bad, Row, Setting, Trial, Verdict
from tests.faults.tools import git

UMASKS = ('000', '002', '007', '022', '027', '077')
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
OTHERS = stat.S_IRWXG | stat.S_IRWXO
PIPELINE = """\
version: 1
stages:
  made:
    cmd: mkdir -p folder && cp data/in.txt out.txt && cp data/in.txt folder/in.txt && echo said
    deps: [data]
    params: [rate]
    outs: [out.txt, folder]
  failing:
    cmd: mkdir -p half && echo said && exit ${fails}
    params: [fails]
    outs: [half]
  apart:
    cmd: cp out.txt apart.txt
    deps: [out.txt]
    outs: [apart.txt]
    isolate: folder
    checkpoint: state
"""
SESSION: tuple[tuple[tuple[str, ...], int], ...] = (
    (('add', 'data'), 0),
    (('run', '-k'), 1),
    (('run', 'apart', '--set', 'rate=2'), 0),
    (('run', '--set', 'fails=0'), 0),
    (('runs', 'list'), 0),
    (('config', 'set', 'jobs', '2'), 0),
    (('verify',), 0),
    (('checkout', 'apart', 'made', 'data'), 0),
    (('status',), 0),
    (('run', 'made', '--force', '--detach'), 0),
    (('runs', 'attach'), 0),
    (('doctor',), 0),
)
STEPS = len(SESSION)
PRIVATE = ('.mlops/local/', '.mlops/cache/locks', '.mlops/cache/tmp')
PLACED = ('data', 'apart.txt')  # by checkout; what a stage writes has the mode that its program gives it


def cases(setting: Setting) -> Sequence[str]:
    return UMASKS if setting.full else ('000', '077')


def run(setting: Setting, case: str) -> Verdict:
    folder = setting.folder / 'project [1]'
    folder.joinpath('data').mkdir(parents=True)
    folder.joinpath('data/in.txt').write_text('in\n')
    folder.joinpath('params.yaml').write_text('rate: 1\nfails: 1\n')
    folder.joinpath('pipeline.yaml').write_text(PIPELINE)
    git(folder, 'init', '-q', '-b', 'main')
    written = {str(path) for path in folder.rglob('*')}  # by the user
    trial = Trial()
    for words, code in SESSION:
        if words[0] == 'checkout':
            for name in ('apart.txt', 'out.txt', 'data/in.txt'):
                folder.joinpath(name).unlink()
            folder.joinpath('data').rmdir()
            written -= {str(folder / name) for name in ('data', 'data/in.txt')}
        done = setting.tool.do(folder, *words, before=('sh', '-c', f'umask {case}; exec "$@"', 'sh'))
        trial.tried += 1
        if done.code != code:
            trial.bad(Bad.WRONG, f'umask {case}: {done.said}')
        judge(folder, trial, f'umask {case}, after {" ".join(words)}', written)
    return trial.verdict()


def judge(folder: Path, trial: Trial, when: str, written: set[str]) -> None:
    """``written``: paths of the user's own, which have the modes that he gave them."""
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != '.git']
        for name in (*folders, *files):
            path = os.path.join(where, name)
            if path not in written:
                with suppress(FileNotFoundError):  # a run that is detached goes on
                    _judge_one(folder, os.path.relpath(path, folder), os.lstat(path).st_mode, trial, when)


def _judge_one(folder: Path, inside: str, mode: int, trial: Trial, when: str) -> None:
    ours = inside.startswith('.mlops') or inside.startswith(PLACED) or inside in ('.gitignore', '.gitattributes')
    if not ours or stat.S_ISLNK(mode) or _of_a_stage(inside):
        return
    if mode & OTHERS_WRITE:
        trial.bad(Bad.ESCAPED, f'{inside} may be changed by others ({stat.filemode(mode)}); {when}')
    if inside.startswith(PRIVATE) and mode & OTHERS and not _hidden(folder, inside):
        trial.bad(Bad.LEAKED, f'{inside} may be read by others ({stat.filemode(mode)}); {when}')


def _of_a_stage(inside: str) -> bool:
    """What a stage's program wrote: the outputs of one that failed, and those made apart."""
    return inside.startswith(('.mlops/local/failed/', '.mlops/local/work/', '.mlops/local/checkpoints/'))


def _hidden(folder: Path, inside: str) -> bool:
    """Whether a folder above lets nobody else in."""
    above = Path(inside).parent
    return any(not (folder / one).stat().st_mode & OTHERS for one in (above, *above.parents) if str(one) != '.')


ROWS = (
    Row(
        'S11',
        'every command under six umasks, 000 among them',
        f'{len(UMASKS) * STEPS} commands: nothing of ours may be changed by others, nothing private read',
        cases,
        run,
    ),
)
