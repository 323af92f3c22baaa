"""Every way to read a file that is not declared is found, native readers included; and what is declared raises no alarm."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import pickle
import shutil
import sqlite3
import subprocess
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from mlops_cli.checks.audit.tracing import find_strace
from tests.checks.audit import planted
from tests.support.project import Project

STRACE, WHY = find_strace(os.environ)
pytestmark = [pytest.mark.skipif(not STRACE, reason=WHY), pytest.mark.skipif(not shutil.which('gcc'), reason='needs gcc')]


def fill(path: Path, name: str) -> None:
    """The file of a plant, as its reader wants it."""
    path.parent.mkdir(parents=True)
    if path.suffix == '.parquet':
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table({'a': [1, 2]}), path)
    elif path.suffix == '.sqlite':
        with sqlite3.connect(path) as table:
            table.execute('create table t (a)')
    elif path.suffix == '.zip':
        zipfile.ZipFile(path, 'w').close()
    elif path.suffix == '.tar':
        tarfile.open(path, 'w').close()
    elif path.suffix == '.npy':
        import numpy

        numpy.save(path, numpy.arange(3))
    elif name == 'shelve':
        path.write_bytes(b'')
        path.with_suffix('.dir').write_bytes(b'')
    else:
        texts = {'.csv': b'a,b\n1,2\n', '.json': b'{}', '.py': b'X = 1\n', '.pkl': pickle.dumps(1), '.sh': b':\n'}
        text = texts.get(path.suffix)
        text = b'#!/bin/sh\n:\n' if name == 'program' else b'1\n' if name == 'numpy-text' else text or b'abcdef\n'
        text = {'.gz': gzip.compress, '.bz2': bz2.compress, '.xz': lzma.compress}.get(path.suffix, bytes)(text)
        path.write_bytes(text)
    path.chmod(0o755)


def available() -> list[str]:
    def there(name: str) -> bool:
        module = planted.MODULES.get(name.partition('-')[0])
        needs = ([module] if module else []) + (['pyarrow'] if 'parquet' in name or 'arrow' in name else [])
        return all(find_spec(one) is not None for one in needs)

    return [name for name in planted.PYTHON if there(name)]


@pytest.fixture
def field(tmp_path: Path) -> tuple[Project, dict[str, str]]:
    project = Project(tmp_path / 'field')
    plants = {}
    for name in available():
        plants[name] = f'p{len(plants)}/{planted.NAMES.get(name, "x.txt")}'
        fill(project.path / plants[name], name)
    project.write('main.py', planted.script(plants))
    project.write('native.c', planted.NATIVE)
    subprocess.run(['gcc', '-o', 'native', 'native.c'], cwd=project.path, check=True)
    subprocess.run(['gcc', '-static', '-o', 'static', 'native.c'], cwd=project.path, check=True)
    project.write('pipeline.yaml', "version: 1\nstages: {a: {cmd: python main.py, code: [native, static], outs: [out]}}\n")
    return project, plants


def test_every_planted_read_is_found(field: tuple[Project, dict[str, str]]) -> None:
    project, plants = field
    assert len(plants) >= 60
    found = project.mlops('audit', '--json', code=1, timeout=120).json
    (stage,) = found['stages']
    assert (found['by'], stage['state'], stage['whole']) == ('strace', 'done', True), stage
    told = {os.path.normpath(row['path']) for row in stage['undeclared'] if row['kind'] in ('read', 'code')}
    shelf = {f'{plants["shelve"][:-4]}.dir'}
    assert sorted(set(plants.values()) - told) == []  # every one
    assert sorted(told - set(plants.values()) - shelf) == []  # and nothing else
    assert [row['path'] for row in stage['undeclared'] if row['kind'] not in ('read', 'code')] == []


@pytest.mark.parametrize(
    'name', ['words', pytest.param('digits', marks=pytest.mark.full), pytest.param('gpu', marks=pytest.mark.full)]
)
def test_the_examples_raise_no_alarm(tmp_path: Path, name: str) -> None:
    needed = {'gpu': 'torch', 'digits': 'sklearn'}.get(name)
    if needed and find_spec(needed) is None:
        pytest.skip(f'needs {needed}')
    source = Path(__file__).resolve().parents[3] / 'examples' / name
    shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns('.mlops', '.git'))
    project = Project(tmp_path / name)
    project.init_git()
    found = project.mlops('audit', '--json', timeout=900).json
    assert found['clean']
    assert [(one['undeclared'], one['unused']) for one in found['stages']] == [([], [])] * len(found['stages'])
