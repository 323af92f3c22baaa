"""The same dvc.yaml to DVC and to mlops: same stages, commands, paths, parameters, flags and edges, or refused by both."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adopt.dvc.cases import CASES, Files, random_case
from tests.adopt.dvc.compare import ask, differences, made_project

RANDOM = {f'random {seed}': random_case(seed) for seed in range(150)}


def written(folder: Path, files: Files) -> Path:
    for name, text in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return folder


@pytest.mark.full
@pytest.mark.timeout(900)
def test_dvc_and_mlops_read_the_same(tmp_path: Path, dvc_python: str) -> None:
    cases = {**CASES, **RANDOM}
    folders = [made_project(written(tmp_path / 'source' / str(number), files), tmp_path / 'copy' / str(number))
               for number, files in enumerate(cases.values())]  # fmt: skip
    found = {}
    for name, folder, said in zip(cases, folders, ask(dvc_python, folders, tmp_path), strict=True):
        if differing := differences(said, folder):
            found[name] = differing
    assert not found, '\n'.join(f'{name}: {one}' for name, several in found.items() for one in several)
