"""examples/notebook: plans as it stands, and runs where papermill and nbconvert are installed."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.project import Project

EXAMPLE = Path(__file__).resolve().parents[2] / 'examples' / 'notebook'
MADE = ('.mlops', 'houses.csv', 'explored.*', '*.json')


@pytest.fixture
def copy(project: Project) -> Project:
    shutil.copytree(EXAMPLE, project.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*MADE))
    return project


def test_it_plans(copy: Project) -> None:
    steps = copy.mlops('plan', '--json').json['stages']
    assert [step['name'] for step in steps] == ['sample', 'explore', 'page']


def jupyter_folder() -> str:
    """Where papermill and jupyter are: with the Python of the tests, or with the one that MLOPS_TEST_JUPYTER names."""
    have = all(importlib.util.find_spec(name) for name in ('papermill', 'nbconvert', 'ipykernel'))
    named = os.environ.get('MLOPS_TEST_JUPYTER') or (sys.executable if have else '')
    return str(Path(named).parent) if named else ''


def edit(copy: Project, cell: str, text: str = '', *, ran: bool = False) -> None:
    found = json.loads(copy.read('explore.ipynb'))
    for one in found['cells']:
        if one['id'] == cell and text:
            one['source'] = text
        if ran and one['cell_type'] == 'code':
            one |= {'execution_count': 3, 'outputs': [{'output_type': 'stream', 'name': 'stdout', 'text': ['hello\n']}]}
    copy.write('explore.ipynb', json.dumps(found))


@pytest.mark.full
@pytest.mark.skipif(not jupyter_folder(), reason='no papermill and nbconvert here, and MLOPS_TEST_JUPYTER names no Python')
def test_only_code_cells_count_with_the_real_programs(copy: Project) -> None:
    path = f'{jupyter_folder()}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    environ = {'PATH': path}

    def stale() -> list[str]:
        rows = copy.mlops('plan', '--json', environ=environ).json['stages']
        return [row['name'] for row in rows if row['verdict'] == 'run']

    copy.mlops('run', timeout=250, environ=environ)
    first = json.loads(copy.read('line.json'))
    assert 'What does a square metre cost?' in copy.read('explored.html') and round(first['slope'], 1) == 3.0
    assert stale() == []

    edit(copy, 'title', '# Another title', ran=True)
    assert stale() == []
    assert 'not in meaning (outputs, text)' in copy.mlops('run', environ=environ).err

    edit(copy, 'load', "import json\nimport houses\npairs = houses.load('houses.csv')[:20]")
    assert stale() == ['explore']
    assert 'code cell 2 changed' in copy.mlops('plan', environ=environ).out
    copy.mlops('run', timeout=250, environ=environ)
    assert json.loads(copy.read('line.json')) != first

    copy.write('houses.py', copy.read('houses.py').replace('+ penalty', '+ 2 * penalty'))
    assert stale() == ['explore']
    trial = copy.mlops('plan', '--set', 'explore.penalty=7', '--json', environ=environ).json['stages']
    assert [row['verdict'] for row in trial if row['name'] == 'explore'] == ['run']
