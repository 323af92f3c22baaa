"""F4 for DVC: what ``dvc add`` and ``dvc repro`` do to the disk, as strace tells it, and the states that a power cut may leave.

Its databases lie elsewhere, and count as lost."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.faults.base import Bad, Trial
from tests.faults.medium import Crash, Medium, State, snapshot
from tests.faults.recording import Recording, foreign
from tests.faults.straced import operations, words
from tests.faults.tools import Tool

CACHE = '.dvc/cache/files/md5/'
COMMANDS: Mapping[str, tuple[str, ...]] = {'add': ('add', 'data/in.txt', 'data/keep'), 'repro': ('repro',)}
PIPELINE = """\
stages:
  prepare: {cmd: sh code/prep.sh, deps: [code/prep.sh, data/in.txt], outs: [out/upper.txt]}
  split:
    cmd: mkdir -p out/parts; head -c 5000 out/upper.txt > out/parts/a; tail -c 300 out/upper.txt > out/parts/b
    deps: [out/upper.txt]
    outs: [out/parts]
  join: {cmd: cat out/parts/b out/parts/a > result.txt, deps: [out/parts], outs: [result.txt]}
"""
FIRM = ('data/in.txt', 'data/keep/x.bin', 'data/keep/y.txt')


def lacks() -> str:
    """Why it cannot be tried here, or ''."""
    if not shutil.which('strace'):
        return 'there is no strace'
    done = subprocess.run(['strace', '-o', '/dev/null', sys.executable, '-c', ''], capture_output=True, check=False)
    return 'strace may not watch programs here' if done.returncode else ''


def environ(folder: Path) -> dict[str, str]:
    return {'DVC_SITE_CACHE_DIR': str(folder / 'site'), 'XDG_CACHE_HOME': str(folder / 'xdg')}


def record(tool: Tool, folder: Path, project: Path, command: str) -> Recording:
    """``project``: with its files.  Raises AssertionError."""
    (project / 'out').mkdir()
    tool.do(project, 'init', '-q', '--no-scm', environ=environ(folder), code=0)
    if command == 'repro':
        (project / 'dvc.yaml').write_text(PIPELINE)
    base = snapshot(project)
    log = folder / 'strace.log'
    tool.do(project, *COMMANDS[command], before=words(log), environ=environ(folder), code=0)
    medium = Medium(str(project), base)
    told = list(operations(log, medium))
    left = [found['rel'] for found in foreign(medium, {}, frozenset({'.dvc/tmp'}))]
    assert not left, f'strace did not tell how these came about: {left}'
    log.unlink()
    return Recording(str(project), base, tuple(told), (b'', b''), COMMANDS[command])


def is_promised(path: str) -> bool:
    return (path.startswith(CACHE) and not path.endswith('.tmp')) or path.endswith(('.dvc', 'dvc.lock'))


def found(recording: Recording, promised: State, last: int, crash: Crash, trial: Trial) -> None:
    """As f04_power.Judge.found; bytes of the user only have to be somewhere."""
    where = f'after {crash.after}, {crash.how}'
    files = {path: held.data for path, held in crash.state.items() if held.kind == 'file'}
    wrong = [path for path, data in files.items() if path.startswith(CACHE) and is_promised(path) and not _is_named(path, data)]
    gone = [path for path in FIRM if recording.base[path].data not in files.values()]
    if crash.after == last:
        gone += [
            path for path, held in promised.items()
            if held.kind == 'file' and is_promised(path) and files.get(path) != held.data
        ]
    if wrong:
        trial.bad(Bad.CORRUPT, f'{where}: other bytes than they say: {", ".join(wrong)}')
    if gone:
        trial.bad(Bad.LOST, f'{where}: {", ".join(gone)}')


def _is_named(path: str, data: bytes) -> bool:
    name = path[len(CACHE) :].replace('/', '').removesuffix('.dir')
    return hashlib.md5(data, usedforsecurity=False).hexdigest() == name


def healed(
    tool: Tool, folder: Path, crash: Crash, project: Path, command: str, wanted: Mapping[str, bytes], trial: Trial
) -> None:
    """The same command again has to end well, and to lead to what it should."""
    done = tool.do(project, *COMMANDS[command], environ=environ(folder))
    where = f'after {crash.after}, {crash.how}'
    if done.code:
        trial.bad(Bad.STUCK, f'{where}: {done.said}')
    elif command == 'repro':
        there = {path: (project / path).read_bytes() for path in wanted if (project / path).is_file()}
        wrong = [path for path, data in wanted.items() if there.get(path) != data]
        if wrong:
            trial.bad(Bad.WRONG, f'{where}: {", ".join(wrong)}: not what they are made from, and repro said nothing')
