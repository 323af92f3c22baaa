"""What a power cut left of an output is no change by hand; whatever else differs is one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from mlops_cli.fsio import boots
from mlops_cli.run.checkout import recorded, unsaved
from tests.support.project import Project

WHOLE = bytes(range(1, 256)) * 60  # several blocks, none of zeros
PIPELINE = """\
stages:
  file: {cmd: cp src out, deps: [src], outs: [out]}
  folder: {cmd: mkdir d; cp src d/a; echo b > d/b, deps: [src], outs: [d]}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Everything was made before the machine was started."""
    project = Project(tmp_path / 'p')
    project.write('src', WHOLE)
    project.write('pipeline.yaml', PIPELINE)
    project.run()
    monkeypatch.setattr(boots, 'began', lambda: time.time() + 1)
    return project


def refused(project: Project) -> list[str]:
    bench = project.open()
    try:
        return [*unsaved(bench, recorded(bench, bench.order).wanted, clean=False)]
    finally:
        bench.close()


LEFT = {
    'empty': b'',
    'cut': WHOLE[:4096],
    'cut within a block': WHOLE[:4100],
    'zeros': bytes(len(WHOLE)),
    'zeros within': WHOLE[:4096] + bytes(4096) + WHOLE[8192:],
    'cut and zeros': bytes(4096) + WHOLE[4096:8192],
}
CHANGED = {
    'a byte': WHOLE[:5000] + b'\0' + WHOLE[5001:],
    'a line more': WHOLE + b'more\n',
    'longer by zeros': WHOLE + bytes(512),
    'moved': WHOLE[512:],
    'another': b'by hand\n',
}


@pytest.mark.parametrize('name', LEFT)
def test_what_is_left_of_an_output_is_no_change(project: Project, name: str) -> None:
    project.write('out', LEFT[name])
    project.write('d/a', LEFT[name])
    assert refused(project) == []


@pytest.mark.parametrize('name', CHANGED)
def test_whatever_else_is_a_change(project: Project, name: str) -> None:
    assert WHOLE[5000]
    project.write('out', CHANGED[name])
    project.write('d/a', CHANGED[name])
    assert sorted(refused(project)) == ['d', 'out']


@pytest.mark.parametrize('name', LEFT)
def test_so_is_all_that_was_touched_since_the_machine_was_started(
    project: Project, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    project.write('out', LEFT[name])
    monkeypatch.setattr(boots, 'began', lambda: os.stat(project.path / 'out').st_ctime - 0.01)
    assert refused(project) == ([] if name == 'empty' else ['out'])  # of nothing there is a copy: what stages print


def test_what_was_made_of_other_inputs_may_be_torn_too(project: Project) -> None:
    project.write('src', WHOLE[::-1])
    project.run()
    project.write('src', WHOLE)
    project.write('out', WHOLE[::-1][:4096])
    assert refused(project) == []
    project.write('out', WHOLE[4096:8192])
    assert refused(project) == ['out']


def test_checkout_places_it_again_and_keeps_what_was_left(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write('out', WHOLE[:4096])
    assert project.mlops('checkout', code=5).err.count('out (changed since it was made)')  # a process knows when it was started
    bench = project.open()
    try:
        from mlops_cli.run.checkout import bring

        outcome = bring(bench, recorded(bench, bench.order), '20261121T000000Z-aaaaaaaa', backup=True, clean=False)
    finally:
        bench.close()
    assert (project.path / 'out').read_bytes() == WHOLE
    assert [(project.path / kept).read_bytes() for kept in outcome.kept] == [WHOLE[:4096]]
