"""What a result was made under, read from disk: never by running the interpreter."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from mlops_cli.fingerprint import environment
from mlops_cli.fingerprint.closure import Found
from mlops_cli.fingerprint.environment import driver_version, environment_of


@pytest.mark.parametrize(
    ('line', 'version'),
    [
        ('NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n', '535.104.05'),
        ('NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build  (dvs-builder@U16)\n', '550.54.15'),
        ('NVRM version: NVIDIA UNIX aarch64 Kernel Module  560.35  Fri\n', '560.35'),
        ('something else\n', 'something else'),
        ('\n', ''),
    ],
)
def test_the_driver_says_its_version_among_other_things(line: str, version: str) -> None:
    assert driver_version(line) == version


def test_of_a_stage_without_python_the_platform_is_all() -> None:
    assert set(environment_of(None, {})) <= {'platform', 'gpu_driver'}


def install(site: Path, name: str, version: str) -> None:
    (site / name).mkdir(parents=True)
    (site / name / '__init__.py').write_text('')
    info = site / f'{name}-{version}.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')
    (info / 'RECORD').write_text(f'{name}/__init__.py,,\n')


def test_packages_of_the_users_own_count_as_python_counts_them(tmp_path: Path) -> None:
    """They are where PYTHONUSERBASE says, unless PYTHONNOUSERSITE is set."""
    minor = f'{sys.version_info.major}.{sys.version_info.minor}'
    install(tmp_path / f'lib/python{minor}/site-packages', 'mine_alone', '1.2.3')
    found = Found(python=sys.base_prefix + f'/bin/python{minor}', distributions=('mine_alone', 'json'))
    seen = environment_of(found, {'PYTHONUSERBASE': str(tmp_path)})
    assert seen['packages'] == {'mine_alone': '1.2.3'} and seen['python'].startswith(minor)
    assert environment_of(found, {'PYTHONUSERBASE': str(tmp_path), 'PYTHONNOUSERSITE': '1'})['packages'] == {}
    assert environment_of(found, {})['packages'] == {}


def test_it_is_read_once_for_all_stages_that_import_the_same() -> None:
    found = Found(python=sys.executable, distributions=('yaml', 'rich', 'numpy'))
    environment_of(found, {})
    begin = time.process_time()
    for _ in range(1000):
        environment_of(found, {})
    assert time.process_time() - begin < 1
    assert environment._packages.cache_info().hits >= 1000
