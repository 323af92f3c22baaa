"""``mlops doctor``: lines, exit code, document."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from mlops_cli.checks.doctor.facts import Finding
from mlops_cli.cli import app
from mlops_cli.cli.screens.doctor import doctor_lines
from tests.support.project import GIT, Project
from tests.support.stages import lay

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def here(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)
    monkeypatch.setenv('HOME', project.environ['HOME'])
    for name, value in GIT.items():
        monkeypatch.setenv(name, value)


def doctor(capsys: Any, *arguments: str, code: int = 0) -> str:
    found = app.run(['doctor', *arguments])
    said = capsys.readouterr()
    assert found == code, (said.out, said.err)
    return str(said.out)


def test_lines_for_people(pinned: Any) -> None:
    found = [
        Finding('programs', 'wrong', 'nvcc is not found, which train would start', 'install it', 'pipeline.yaml:3:5'),
        Finding(
            'head', 'note', 'on no branch (detached at 1234abcd): commits made here are easily lost, ' + 'x' * 40, 'git switch'
        ),
        Finding('machine', 'note', 'a [name] with\nlines \x1b[2J', ''),
    ]
    pinned('doctor-80', doctor_lines(found, [], 80))
    pinned('doctor-200', doctor_lines(found, ['git is here'], 200))
    pinned('doctor-well', doctor_lines([], [], 80))


def test_what_is_wrong_ends_with_1_and_notes_alone_with_0(capsys: Any, project: Project) -> None:
    lay(project, {'a': {'cmd': 'true'}})
    out = doctor(capsys)
    assert 'note: no commit yet' in out and out.splitlines()[-1].startswith('Nothing wrong, ')
    lay(project, {'a': {'cmd': 'nosuchprogram'}})
    out = doctor(capsys, code=1)
    assert '  wrong pipeline.yaml:' in out and 'nosuchprogram is not found' in out and '\n        fix: ' in out
    assert '1 thing wrong' in out


def test_with_v_it_says_what_is_right(capsys: Any, project: Project) -> None:
    lay(project, {'a': {'cmd': 'true'}})
    assert '  right no file is from the future\n' in doctor(capsys, '-v') and '  right' not in doctor(capsys)


@pytest.mark.parametrize('cmd', ['true', 'nosuchprogram'])
def test_the_document(capsys: Any, project: Project, cmd: str) -> None:
    lay(project, {'a': {'cmd': cmd}})
    found = json.loads(doctor(capsys, '--json', code=int(cmd != 'true')))
    schema = json.loads((ROOT / 'docs' / 'schemas' / 'doctor.v1.json').read_text())
    jsonschema_rs.Draft202012Validator(schema).validate(found)
    assert ('programs' in found['right']) == (cmd == 'true')


def test_without_a_project(capsys: Any, project: Project) -> None:
    assert 'no pipeline.yaml in' in doctor(capsys, code=1)
    project.write('dvc.yaml', '')
    assert 'mlops adopt dvc' in doctor(capsys, code=1)


def test_mistakes_have_their_place(capsys: Any, project: Project) -> None:
    project.write('pipeline.yaml', 'stages:\n  a: {cmd: x, dpes: []}\n')
    assert 'wrong pipeline.yaml:2:' in doctor(capsys, code=1)


def test_a_thousand_stages_take_seconds_not_minutes(capsys: Any, project: Project) -> None:
    lay(project, {f's{number}': {'cmd': f'echo {number} > out{number}', 'outs': [f'out{number}']} for number in range(1000)})
    begun = time.process_time()
    doctor(capsys)
    assert time.process_time() - begun < 15
