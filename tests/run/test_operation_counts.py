"""What one more trivial stage costs a run from nothing, and one more output a checkout, counted in operations, which no busy
machine blurs.

The difference of two runs, so that what a run costs once does not count.  Where a number is beaten, write the new one; one that
has to rise needs a reason.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import Project

FEW, MANY = 10, 30
ROOM = 1.15  # which folders of objects stages share is chance
SLACK = 0.2
# Calls of Python's os by the run's own process, for each stage.
CALLS = {'open': 21.5, 'stat': 16.0, 'fstat': 20.0, 'close': 21.5, 'listdir': 3.0, 'scandir': 0.0, 'read': 2.2, 'lseek': 0.0,
         'readlink': 0.0, 'posix_spawn': 0.0, 'fork': 0.0}
# Changes of the disk, by the functions of fsio.ops.
CHANGES = {'create': 4.0, 'write': 8.0, 'pwrite': 2.0, 'rename': 2.0, 'link': 2.0, 'unlink': 2.0, 'mkdir': 2.75, 'fchmod': 3.0,
           'fsync': 6.75, 'sync_range': 0.0, 'utime': 0.0, 'truncate': 0.0, 'rename_noreplace': 0.0, 'exchange': 0.0}
# The same of each output that checkout puts where nothing stands, and of each file in a folder: what comes before it is
# planning, and not counted here.  One fstat is for gc: what is placed is relied on, and touched if it is older than a day.
PLACED = {'open': 2.0, 'stat': 1.0, 'fstat': 2.0, 'close': 2.0, 'read': 1.0, 'ops.create': 1.0, 'ops.write': 1.0,
          'ops.rename_noreplace': 1.0, 'fcntl': 2.0}
PLACED_IN_FOLDER = {'open': 2.0, 'fstat': 2.0, 'close': 2.0, 'read': 1.0, 'ops.create': 1.0, 'ops.write': 1.0}

DRIVER = """\
import collections, fcntl, json, os, sys
counts = collections.Counter()

def counted(module, name, key, how_many=lambda *args: 1):
    call = getattr(module, name)
    def counting(*args, **options):
        counts[key] += how_many(*args)
        return call(*args, **options)
    setattr(module, name, counting)

for name in CALLS:
    counted(os, name, name)
counted(fcntl, 'fcntl', 'fcntl')
from mlops_cli.__main__ import main
from mlops_cli.fingerprint import index
from mlops_cli.fsio import durable, ops
from mlops_cli.job import client
for name in CHANGES:
    if name != 'create':
        counted(ops, name, 'ops.' + name)
counted(ops, 'fsync_many', 'ops.fsync', len)
counted(ops, 'open_with', 'ops.create', lambda path, flags, *rest: bool(flags & os.O_CREAT))
def uncounted(kind, name):
    call = getattr(kind, name)
    def calling(*args, **options):
        before = counts.copy()
        try:
            return call(*args, **options)
        finally:
            counts.clear()
            counts.update(before)
    setattr(kind, name, calling)

# How often these are done depends on how long the stages take.
uncounted(client.Supervisor, '_receive')
uncounted(index.Index, '_probe')
due = durable.Batch.flush_if_due
durable.Batch.flush_if_due = lambda batch: due(batch, max_age_seconds=1e9)
if 'PLACING':
    from mlops_cli.cli.commands import checkout
    bring = checkout.bring
    def bringing(*args, **options):
        counts.clear()
        found = bring(*args, **options)
        if found.placed:
            placing.update(counts)
        return found
    placing = collections.Counter()
    checkout.bring = bringing
sys.argv = ['mlops', *COMMAND]
try:
    code = main()
except SystemExit as ended:
    code = ended.code
assert not code, code
print(json.dumps(placing if 'PLACING' else counts))
"""


def count(folder: Path, stages: int) -> dict[str, int]:
    project = Project(folder)
    lines = ['stages:']
    for number in range(stages):
        project.write(f'src/{number}.txt', f'line {number}\n')
        paths = f'deps: [src/{number}.txt], outs: [out/{number}.txt]'
        lines.append(f'  s{number}: {{cmd: cp src/{number}.txt out/{number}.txt, {paths}}}')
    project.write('pipeline.yaml', '\n'.join(lines) + '\n')
    return counted(project, ['run', '-j2', '--quiet'])


def counted(project: Project, command: list[str], placing: str = '') -> dict[str, int]:
    """Operations of a command; with ``placing`` of the part of it that places outputs."""
    program = DRIVER.replace('CALLS', repr([*CALLS])).replace('CHANGES', repr([*CHANGES]))
    program = program.replace('COMMAND', repr(command)).replace('PLACING', placing)
    done = subprocess.run(
        [sys.executable, '-c', program], cwd=project.path, env=project.environ, stdout=-1, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope='module')
def cost(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """What one more stage takes, by operation; ``ops.`` in front of changes."""
    few, many = (count(tmp_path_factory.mktemp('counted') / 'p', number) for number in (FEW, MANY))
    return {name: (many[name] - few.get(name, 0)) / (MANY - FEW) for name in many}


@pytest.mark.parametrize('name', CALLS)
def test_calls_of_the_system(cost: dict[str, float], name: str) -> None:
    assert cost.get(name, 0.0) <= CALLS[name] * ROOM + SLACK


@pytest.mark.parametrize('name', CHANGES)
def test_changes_of_the_disk(cost: dict[str, float], name: str) -> None:
    assert cost.get(f'ops.{name}', 0.0) <= CHANGES[name] * ROOM + SLACK


def test_a_stage_still_has_its_object_its_result_and_its_pin_made_durable(cost: dict[str, float]) -> None:
    assert cost['ops.create'] >= 3 and cost['ops.fsync'] >= 3


def placed(folder: Path, files: int, *, together: bool) -> dict[str, int]:
    """What a checkout does that places so many files: as one folder, or each as a stage's own."""
    project = Project(folder)
    names = [f'out/{number}.txt' for number in range(files)]
    make = [f'echo {name} > {name}' for name in names]
    if together:
        lines = ['  s:', '    outs: [out]', '    cmd: [mkdir out, ' + ', '.join(make) + ']']
    else:
        lines = [f'  s{number}: {{cmd: "mkdir -p out; {make[number]}", outs: [{names[number]}]}}' for number in range(files)]
    project.write('pipeline.yaml', '\n'.join(['stages:', *lines]) + '\n')
    project.run()
    shutil.rmtree(project.path / 'out')
    found = counted(project, ['checkout', '--quiet'], 'placing')
    assert [project.read(name) for name in names] == [f'{name}\n' for name in names]
    return found


@pytest.mark.parametrize('together', [False, True], ids=['files', 'folder'])
def test_what_each_file_that_is_placed_takes(tmp_path: Path, together: bool) -> None:
    few, many = (placed(tmp_path / str(files), files, together=together) for files in (FEW, MANY))
    found = {name: (many[name] - few.get(name, 0)) / (MANY - FEW) for name in many}
    allowed = PLACED_IN_FOLDER if together else PLACED
    assert {name: cost for name, cost in found.items() if cost > allowed.get(name, 0.0) * ROOM + SLACK} == {}
    assert found['ops.write'] == 1.0
