"""A record of a run that cannot be read is told and left out; it stops no command that does not ask for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlops_cli.core import layout
from tests.support.project import Project
from tests.support.stages import lay

NEW = '20991231T235959Z-zzzzzzzz'


def record(project: Project) -> Path:
    [path] = (project.path / layout.RUNS).rglob('*.json')
    return path


@pytest.fixture
def ran(project: Project) -> Project:
    lay(project, {'a': {'cmd': 'echo x > out', 'outs': ['out']}})
    project.run()
    return project


@pytest.mark.parametrize('change', [{'started': '9999-99-99T99:99:99Z'}, {'seconds': float('nan')}, {'id': NEW[:-1] + 'y'}])
def test_one_beside_others(ran: Project, change: dict[str, object]) -> None:
    good = record(ran)
    path = ran.path / layout.run_record(NEW)
    path.parent.mkdir()
    path.write_text(json.dumps(json.loads(good.read_text()) | {'id': NEW} | change))
    for command in (['status'], [], ['runs', 'list']):
        said = ran.mlops(*command)
        assert f'note: {layout.run_record(NEW)} is left out: damaged run record' in said.err
        assert good.stem[-8:] in said.out
    ran.mlops('plan')


def test_the_only_one(ran: Project) -> None:
    record(ran).write_text('{}')
    for command in (['status'], [], ['runs', 'list']):
        out = ran.mlops(*command).out
        assert 'o record of a run can be read' in out and 'yet' not in out, out


def test_names_that_are_no_unicode(ran: Project) -> None:
    """Such as a login of bytes: the tables hold text."""
    path = record(ran)
    path.write_text(json.dumps(json.loads(path.read_text()) | {'who': '\udcff', 'branch': 'b\udc80'}))
    for command in (['status'], ['runs', 'list'], ['runs', 'list', '--json'], ['runs', 'show', path.stem[-8:]]):
        ran.mlops(*command)
