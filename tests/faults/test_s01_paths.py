"""Hostile paths and links: some of S1 at every change, and that its judge sees what is touched outside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.base import Setting, Trial
from tests.faults.hostile import Watch, World, command, judge_around, template, worlds
from tests.faults.rows import s01_paths as s1
from tests.faults.tools import mlops

pytestmark = pytest.mark.skipif(bool(s1.lacks()), reason=s1.lacks())


@pytest.fixture(scope='module')
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('shared')
    template(folder, mlops())
    return folder


@pytest.fixture
def setting(shared: Path, tmp_path: Path) -> Setting:
    return Setting(mlops(), tmp_path, shared, False)


@pytest.fixture
def world(setting: Setting) -> Iterator[World]:
    fresh = worlds(setting.shared, setting.folder, setting.tool)
    yield next(fresh)
    fresh.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize('case', s1.cases(Setting(mlops(), Path(), Path(), False)))
def test_nothing_outside_is_touched(setting: Setting, case: str) -> None:
    verdict = s1.attempt(setting, case)
    assert not verdict.bad, '\n'.join(verdict.notes)


@pytest.mark.parametrize(
    'script',
    [
        'echo x > "$OUT/new"',
        'echo x > "$OUT/secret.txt"',
        'chmod +x "$OUT/secret.txt"',
        'touch -d 2020-01-01 "$OUT/secret.txt"',
        'rm "$OUT/secret.txt"',
        'cat "$OUT/secret.txt"',
        'ls "$OUT/raw"',
        'ln -s "$OUT" link; cp in.txt link/planted',
        'cp in.txt .git/hooks/pre-commit',
        'echo x >> .git/config',
        'echo x > .mlops/keep.txt',
        'echo "cache: {dir: /x}" > .mlops/config.local.yaml',
        'touch ../beside',
        'mkdir -p data/a; touch data/a/pwned',
    ],
)
def test_the_judge_can_see(world: World, script: str) -> None:
    trial = Trial()
    before = world.around()
    with Watch(world.outside) as watch:
        ended = command(world.project, {**os.environ, 'OUT': str(world.outside)}, script, start=('/bin/sh', '-c'))
        seen = watch.seen()
    judge_around(trial, world, before, seen, 'judged')
    assert ended.code == 0 and trial.verdict().bad.get('escaped')


def test_the_judge_is_silent_about_what_a_command_may_do(world: World) -> None:
    trial = Trial()
    before = world.around()
    with Watch(world.outside) as watch:
        ended = command(world.project, mlops().environment(Path(f'{world.project}-home')), 'run')
        judge_around(trial, world, before, watch.seen(), 'judged')
    assert (ended.code, trial.verdict().bad) == (0, {})


def test_the_swapper_swaps(tmp_path: Path) -> None:
    one, two = tmp_path / 'one', tmp_path / 'two'
    one.mkdir()
    two.symlink_to('/')
    seen = set()
    with s1.swapper(one, two):
        for _ in range(200_000):
            seen.add(one.is_symlink())
            if len(seen) == 2:
                break
    assert seen == {True, False} and one.is_dir() and not one.is_symlink() and two.is_symlink()
