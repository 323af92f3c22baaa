"""init, config, doctor, mlops alone on a branch that nobody trusts: nothing executed, no link followed, no escape printed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.adopt.script import Guess
from mlops_cli.adopt.surroundings import Surroundings
from mlops_cli.checks.doctor.facts import Finding
from mlops_cli.cli.commands.init import Made
from mlops_cli.cli.console import Line, out
from mlops_cli.cli.screens import config, doctor, here, init
from mlops_cli.cli.uncommitted import Uncommitted
from mlops_cli.core.errors import Where
from mlops_cli.plan.model import Reason
from mlops_cli.records.config import Setting
from mlops_cli.records.destinations import Host, Remote
from tests.cli.hostile import HOSTILE, harmless
from tests.cli.values import NOW, plan, run_record, step
from tests.support.project import Project


def screens(text: str) -> list[Line]:
    """Every screen, with the text wherever a text from outside can stand."""
    surroundings = Surroundings((text,), (text,), ((text, 'make'), ('dvc.yaml', 'DVC')))
    made = Made(text, text, [text], None, Guess(text, text, text, (text,), (text,)), surroundings, text, False)
    lines = init.made_lines(made) + init.advice_lines(Made(text, text, here=surroundings, inside=text))
    lines += here.outside_lines(text, surroundings, True, 80)
    of = plan(step(text, 'run', Reason('data', text)), step('b', 'restore', changed_by_hand=(text,)), pipeline=text)
    last = run_record('failed', branch=text)
    standing = here.Here(NOW, of, text, text, last, (), Uncommitted((text,), (text,)), {text: text})
    lines += here.here_lines(standing, 80) + here.here_lines(here.Here(NOW, of, None, text), 200)
    lines += doctor.doctor_lines([Finding('x', 'wrong', text, text, text), Finding('y', 'note', text)], [text], 80)
    values = [text, (text, text), Remote(text, text), Host(text, 1, text)]
    settings = [Setting(f'remotes.{text}', value, text, Where(text, 1, 2)) for value in values]
    return lines + config.list_lines([config.Row(tuple(settings), True)], 80, everything=True)


def test_nothing_hostile_is_printed(capsys: Any) -> None:
    for text in HOSTILE:
        for line in screens(text):
            out(line)
        found = capsys.readouterr()
        assert harmless(found.out) and '\t' not in found.out, ascii(text)


@pytest.mark.parametrize('text', ['x\n  done      forged', 'a\r\nb', '\n\n', '\x0b\x0c', 'x\u2028y'])
def test_no_text_makes_a_line_of_its_own(text: str) -> None:
    lines = screens(text)
    assert len(lines) > 30
    assert not [line for line in lines if '\n' in line.text or '\r' in line.text or line.text.startswith('  done      forged')]


@pytest.fixture
def hostile(project: Project, tmp_path: Path) -> Project:
    """Whatever is executed leaves a file ``pwned`` in ``tmp_path``."""
    evil = f'touch {tmp_path}/pwned'
    project.write('evil.sh', f'#!/bin/sh\n{evil}\n')
    os.chmod(project.path / 'evil.sh', 0o755)
    project.write('train.py', f"import os\nos.system('{evil}')\nopen('out.txt', 'w')\n")
    project.write('sitecustomize.py', f"import os\nos.system('{evil}')\n")
    project.write('git', f'#!/bin/sh\n{evil}\n')
    project.write('.gitattributes', '* filter=evil\n')
    project.git('config', 'filter.evil.clean', str(project.path / 'evil.sh'))
    project.git('config', 'core.fsmonitor', str(project.path / 'evil.sh'))
    project.git('config', 'core.hooksPath', str(project.path))
    for name in ('post-index-change', 'pre-commit'):
        project.write(name, f'#!/bin/sh\n{evil}\n')
        os.chmod(project.path / name, 0o755)
    stages = f'stages:\n  a:\n    cmd: {evil}\n    deps: [train.py]\n  b:\n    cmd: $({evil}) `{evil}`\n'
    project.write('pipeline.yaml', f'{stages}  c: {{argv: [./evil.sh]}}\n')
    project.write('.mlops/config.yaml', 'remotes: {o: {url: "ssh://h/x"}}\nhosts: {g: {url: "ssh://gpu"}}\n')
    project.write('.mlops/local/trust.json', '{"schema": "mlops/trust/v1", "entries": {}}\n')
    return project


@pytest.mark.parametrize(
    'arguments', ['', 'doctor -v', 'doctor --json', 'config list -v', 'init new', 'init --list', 'init --schema']
)
def test_nothing_of_the_branch_is_executed(hostile: Project, tmp_path: Path, arguments: str) -> None:
    environ = {'PATH': f'.:{hostile.environ["PATH"]}'}
    hostile.mlops(*arguments.split(), code=None, environ=environ)
    assert not (tmp_path / 'pwned').exists()
    assert not list(tmp_path.rglob('pwned'))


def test_a_script_is_read_and_not_run(hostile: Project, tmp_path: Path) -> None:
    (hostile.path / 'pipeline.yaml').unlink()
    hostile.mlops('init')
    assert 'it writes out.txt' in hostile.mlops('init', '--script', 'train.py').out
    assert not (tmp_path / 'pwned').exists()


def test_links_that_lead_out_are_not_followed(project: Project, tmp_path: Path) -> None:
    outside = tmp_path / 'outside'
    outside.mkdir()
    (outside / 'secret').write_text('jobs: hunter2\n')
    project.write('pipeline.yaml', 'stages: {a: {cmd: "cat data", deps: [data]}}\n')
    (project.path / '.mlops').mkdir()
    (project.path / '.mlops' / 'config.yaml').symlink_to(outside / 'secret')
    (project.path / '.mlops' / 'local').symlink_to(outside)
    (project.path / 'data').symlink_to(outside)
    for arguments in (
        [],
        ['doctor'],
        ['config', 'list'],
        ['config', 'set', 'jobs', '1'],
        ['config', 'set', 'jobs', '1', '--project'],
    ):
        done = project.mlops(*arguments, code=None)
        assert done.code in (0, 1, 5) and 'hunter2' not in done.out + done.err and 'Traceback' not in done.err
    assert os.listdir(outside) == ['secret'] and (outside / 'secret').read_text() == 'jobs: hunter2\n'


def test_a_crash_in_a_real_command_ends_with_70(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from mlops_cli.cli import app
    from mlops_cli.cli.commands import status

    def broken(*_: object) -> None:
        raise AssertionError('this cannot be')

    project.write('pipeline.yaml', 'stages: {a: {cmd: "true"}}\n')
    monkeypatch.chdir(project.path)
    monkeypatch.setattr(status, 'planned', broken)
    assert app.run(['status', '-q']) == 70
    said = capsys.readouterr().err
    assert 'this is a bug of mlops, not of yours: AssertionError: this cannot be' in said
    assert list((project.path.parent).rglob('mlops-crash-*.log')) or 'attach /' in said
