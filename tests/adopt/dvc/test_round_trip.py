"""Real projects of DVC, made by DVC itself, taken over and given back."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.adopt.dvc.compare import quiet
from tests.support.project import Project

PIPELINE = """\
stages:
  prepare:
    cmd: mkdir -p data/prepared && head -${head} data/raw.csv > data/prepared/a.csv && cp data/raw.csv data/prepared/b.csv
    deps: [data/raw.csv]
    params: [head]
    outs: [data/prepared]
  train:
    matrix: {model: [m1, m2], lr: "${lrs}"}
    cmd: cat data/prepared/a.csv > ${item.model}-${item.lr}.txt; echo ${item.lr} >> ${item.model}-${item.lr}.txt
    deps: [data/prepared/a.csv]
    outs: ["${item.model}-${item.lr}.txt"]
  score:
    cmd: |
      X=1
      echo "{\\"n\\": $(wc -l < m1-0.1.txt)}" > score.json
      printf 'a,b\\n1,2\\n' > plot.csv
      echo "#!/bin/sh" > tool.sh; chmod +x tool.sh
    deps: [m1-0.1.txt, data/images]
    outs:
    - tool.sh
    metrics:
    - score.json:
        cache: false
    plots:
    - plot.csv: {x: a, y: b}
  inner:
    cmd: cat in.txt ../m2-0.2.txt > out.txt
    wdir: sub
    deps: [in.txt, ../m2-0.2.txt]
    params: [q, ../conf.toml: [t.z]]
    outs: [out.txt]
"""


@pytest.fixture
def dvc(project: Project, dvc_program: str, tmp_path: Path) -> Callable[..., str]:
    def call(*words: str) -> str:
        done = subprocess.run([dvc_program, *words], cwd=project.path, env=quiet(tmp_path / 'dvc-home'), capture_output=True,
                              text=True, timeout=300, check=False)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    (tmp_path / 'dvc-home').mkdir()
    project.init_git()
    call('init', '-q')
    for name, text in {
        'dvc.yaml': PIPELINE, 'params.yaml': 'head: 3\nlrs: [0.1, 0.2]\n', 'conf.toml': '[t]\nz = 1\n', 'sub/in.txt': 'in\n',
        'sub/params.yaml': 'q: 1\n', 'data/raw.csv': '1\r\n2\r\n3\r\n4\r\n', 'data/images/a/1.txt': '1\n',
        'data/images/2.txt': '2\n',
    }.items():  # fmt: skip
        project.write(name, text)
    call('add', '-q', 'data/raw.csv', 'data/images')
    call('repro', '-q')
    project.commit('by DVC')
    assert 'up to date' in call('status')
    return call


def everything(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob('*') if path.is_file() and '/tmp/' not in str(path.relative_to(folder)))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def verdicts(project: Project) -> dict[str, str]:
    return {one['name']: one['verdict'] for one in project.mlops('status', '--json').json['stages']}


@pytest.mark.full
@pytest.mark.timeout(600)
def test_taken_over_it_is_clean_and_runs_no_more(project: Project, dvc: Callable[..., str]) -> None:
    before = everything(project.path / '.dvc')
    said = project.mlops('adopt', 'dvc', '--json').json
    assert all(one['adopted'] for one in said['stages']) and not said['missing']
    assert set(verdicts(project).values()) == {'fresh'} and len(verdicts(project)) == 7
    assert everything(project.path / '.dvc') == before
    assert 'up to date' in dvc('status')
    shutil.rmtree(project.path / 'data/prepared')
    assert verdicts(project)['prepare'] == 'restore'
    project.mlops('run')
    assert set(verdicts(project).values()) == {'fresh'}
    project.write('params.yaml', 'head: 2\nlrs: [0.1, 0.2]\n')
    assert verdicts(project)['prepare'] == 'run' and verdicts(project)['train@m1-0.1'] == 'maybe'


@pytest.mark.full
@pytest.mark.timeout(600)
def test_from_a_clone_with_the_cache_alone(project: Project, dvc: Callable[..., str], tmp_path: Path) -> None:
    assert dvc('version')
    subprocess.run(['git', 'clone', '-q', str(project.path), str(tmp_path / 'clone')], check=True)
    clone = Project(tmp_path / 'clone')
    shutil.copytree(project.path / '.dvc/cache', clone.path / '.dvc/cache')
    said = clone.mlops('adopt', 'dvc', '--json').json
    assert all(one['adopted'] for one in said['stages']) and said['objects']['copied'] == 0
    clone.mlops('checkout')
    assert (clone.path / 'data/prepared/b.csv').read_bytes() == b'1\r\n2\r\n3\r\n4\r\n'
    assert set(verdicts(clone).values()) == {'fresh'}


@pytest.mark.full
@pytest.mark.timeout(600)
def test_what_the_run_cache_has_is_restored(project: Project, dvc: Callable[..., str]) -> None:
    project.write('params.yaml', 'head: 2\nlrs: [0.1, 0.2]\n')
    dvc('repro', '-q')
    assert project.mlops('adopt', 'dvc', '--json').json['earlier'] >= 5
    assert set(verdicts(project).values()) == {'fresh'}
    project.write('params.yaml', 'head: 3\nlrs: [0.1, 0.2]\n')
    assert verdicts(project)['prepare'] == 'restore'
    ran = project.mlops('run', '--json').json['stages']
    assert {one['state'] for one in ran} == {'restored'}


@pytest.mark.full
@pytest.mark.timeout(600)
def test_given_back_it_is_clean_in_dvc(project: Project, dvc: Callable[..., str]) -> None:
    project.mlops('adopt', 'dvc')
    for name in ('dvc.yaml', 'dvc.lock', 'data/raw.csv.dvc', 'data/images.dvc'):
        (project.path / name).unlink()
    shutil.rmtree(project.path / '.dvc')
    said = project.mlops('export', 'dvc', '--json').json
    assert all(one['locked'] for one in said['stages'])
    assert 'up to date' in dvc('status')
    assert json.loads(dvc('status', '--json')) == {}
    project.write('params.yaml', 'head: 1\nlrs: [0.1, 0.2]\n')
    assert 'prepare' in json.loads(dvc('status', '--json'))
    dvc('repro', '-q')


@pytest.mark.full
@pytest.mark.timeout(600)
def test_what_was_made_here_is_clean_in_dvc(project: Project, dvc: Callable[..., str]) -> None:
    for name in ('dvc.yaml', 'dvc.lock', 'data/raw.csv.dvc', 'data/images.dvc'):
        (project.path / name).unlink()
    project.write('code/lib.py', 'V = 1\n')
    project.write('code/make.py', 'import lib\nopen("made.txt", "w").write(str(lib.V))\n')
    project.write('pipeline.yaml', """\
stages:
  make: {cmd: python code/make.py, outs: [made.txt]}
  several:
    foreach: [1, 2]
    do:
      cmd: cat made.txt data/images/*.txt > o/${item}.txt
      deps: [{stage: make}, 'data/images/*.txt']
      outs: ['o/${item}.txt']
  plain: {argv: [sh, -c, 'cat "$0" > "$1"', o/1.txt, 'with space.txt'], deps: [o], outs: [with space.txt]}
""")
    project.mlops('add', 'data/raw.csv')
    project.mlops('run')
    said = project.mlops('export', 'dvc', '--json').json
    assert all(one['locked'] for one in said['stages'])
    assert json.loads(dvc('status', '--json')) == {}
    project.write('code/lib.py', 'V = 2\n')
    assert 'make' in json.loads(dvc('status', '--json'))
