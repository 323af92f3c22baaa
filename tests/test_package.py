"""What is built is whole: the wheel works where no checkout is."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.full
@pytest.mark.timeout(600)
def test_the_wheel_holds_the_schema_and_runs(tmp_path: Path) -> None:
    base = os.path.realpath(sys.executable)  # the tests' own environment has no pip
    pip = [base, '-m', 'pip', '--disable-pip-version-check', '-q']
    subprocess.run([*pip, 'wheel', '--no-deps', '-w', str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob('*.whl')
    names = zipfile.ZipFile(wheel).namelist()
    assert 'mlops_cli/pipeline/pipeline.schema.yaml' in names and 'mlops_cli/cli/completion/grammar.json' in names
    assert {'mlops_cli/cli/help.txt', 'mlops_cli/pipeline/schema.json'} <= set(names)
    assert any(name.endswith('.data/data/share/man/man1/mlops.1') for name in names)
    for folder in (ROOT / 'examples' / 'templates').iterdir():
        files = {f'mlops_cli/{path.relative_to(ROOT / "examples")}' for path in folder.rglob('*') if path.is_file()}
        assert {name for name in files if '__pycache__' not in name} <= set(names)
    assert not [name for name in names if '__pycache__' in name]
    assert not [name for name in names if name.startswith('tests/')]
    venv = tmp_path / 'venv'
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', str(venv)], check=True)
    subprocess.run([*pip, '--python', str(venv / 'bin/python'), 'install', str(wheel)], check=True)
    environ = {'PATH': f'{venv}/bin:/usr/bin:/bin', 'HOME': str(tmp_path), 'LC_ALL': 'C.UTF-8'}
    mlops = str(venv / 'bin/mlops')
    subprocess.run([mlops, 'init', 'project', '--template', 'minimal'], cwd=tmp_path, env=environ, check=True)
    run = [mlops, '-C', 'project', 'run']
    done = subprocess.run(run, cwd=tmp_path, env=environ, check=True, capture_output=True, text=True)
    assert '3 done' in done.stdout
    assert os.path.exists(tmp_path / 'project/model.json')
