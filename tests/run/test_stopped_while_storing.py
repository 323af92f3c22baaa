"""A run that is asked to end while it stores what a stage has made."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from mlops_cli.core import layout
from mlops_cli.fsio.paths import Root
from mlops_cli.run.invoke import Report, Request, execute
from mlops_cli.run.settle import Unwanted
from mlops_cli.run.states import State
from mlops_cli.store import ingest
from tests.support.project import Project

SIZE = 5 << 20  # taken in by a thread of its own
PIPELINE = """\
stages:
  large:
    cmd: cat in.txt > large.bin; head -c 5242880 /dev/zero >> large.bin
    deps: [in.txt]
    outs: [large.bin]
    grace: GRACE
"""


def stopped(project: Project, monkeypatch: pytest.MonkeyPatch, level: int) -> tuple[Report, float]:
    """A run that is asked so when it begins to store; that would take for ever."""
    asked = [0]
    real = ingest.hash_rest

    def endless(fd: int, size: int, write: Callable[[memoryview], object] | None = None) -> object:
        if size < SIZE or write is None:
            return real(fd, size, write)
        asked[0] = level
        until = time.monotonic() + 200
        while time.monotonic() < until:
            time.sleep(0.01)
            write(memoryview(b'half'))
        raise AssertionError('it was never told')

    monkeypatch.setattr(ingest, 'hash_rest', endless)
    bench = project.open()
    begun = time.monotonic()
    try:
        report = execute(
            bench, Request(), emit=lambda _: None, now=time.time, clock=time.monotonic, random_bytes=os.urandom(16),
            interrupted=lambda: asked[0],
        )  # fmt: skip
    finally:
        bench.close()
        monkeypatch.undo()
    return report, time.monotonic() - begun


@pytest.mark.parametrize(('level', 'grace'), [(1, 1), (2, 200)])
def test_it_is_not_waited_for_longer_than_for_the_stage(
    project: Project, monkeypatch: pytest.MonkeyPatch, level: int, grace: int
) -> None:
    """The second time not at all.  What was there before is back."""
    project.write('pipeline.yaml', PIPELINE.replace('GRACE', str(grace)))
    project.write('in.txt', 'old')
    project.run()
    project.write('in.txt', 'new')
    report, seconds = stopped(project, monkeypatch, level)
    assert report.ended == 'interrupted' and report.exit_code == 130
    assert report.settled['large'].state is State.INTERRUPTED
    assert seconds < 60
    assert seconds > grace or level == 2
    assert project.read('large.bin').startswith('old')
    temporaries = (project.path / layout.CACHE / layout.TEMPORARY).iterdir()
    assert not any(path.read_bytes().startswith(b'half') for path in temporaries)
    assert project.run().exit_code == 0
    assert project.read('large.bin').startswith('new')


def test_what_is_not_wanted_any_more_leaves_nothing_in_the_store(project: Project) -> None:
    project.write('pipeline.yaml', 'stages: {}\n')
    project.write('folder/large.bin', os.urandom(20 << 20))
    project.write('folder/small.txt', 'x')
    bench, calls = project.open(), 0

    def go_on() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Unwanted

    try:
        bench.store.prepare()
        with Root(str(project.path)) as root, pytest.raises(Unwanted):
            bench.store.add_path(root, 'folder', go_on=go_on)
        bench.batch.flush()
        assert [*bench.store.list()] == []
        assert all(path.stat().st_size < SIZE for path in (project.path / layout.CACHE / layout.TEMPORARY).iterdir())
    finally:
        bench.close()
