"""``mlops gc`` on a small project, in this process: what goes, what stays, what is said, and when it refuses."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from mlops_cli.cli import app
from mlops_cli.fsio.locks import LockFile
from tests.cli.test_commands import Said
from tests.support.project import Project

PIPELINE = """\
version: 1
stages:
  prepare:
    cmd: mkdir -p data && cat in.txt > data/a
    deps: [in.txt]
    outs: [data]
  train:
    cmd: cat data/a > model.bin && echo ${rate} >> model.bin && echo trained
    deps: [data]
    params: [rate]
    outs: [model.bin]
"""
DAY = 86_400
SCHEMA = jsonschema_rs.validator_for(json.loads((Path(__file__).parents[2] / 'docs/schemas/gc.v1.json').read_text()))
Mlops = Callable[..., Said]


@pytest.fixture
def mlops(project: Project, capfd: Any, monkeypatch: pytest.MonkeyPatch) -> Mlops:
    """One command line in this process; the exit code is checked unless ``code`` is None."""
    project.write('pipeline.yaml', PIPELINE)
    project.write('params.yaml', 'rate: 1\n')
    project.write('in.txt', 'one\n')
    for name, value in project.environ.items():
        monkeypatch.setenv(name, value)

    def call(*arguments: str, code: int | None = 0, cwd: str | Path = '.') -> Said:
        monkeypatch.chdir(project.path / cwd)
        ended = app.run(arguments)
        found = capfd.readouterr()
        said = Said(ended, found.out, found.err)
        assert code is None or said.code == code, said
        if arguments[0] == 'gc' and '--json' in arguments and said.code == 0:
            SCHEMA.validate(said.json)
        return said

    return call


def age(project: Project, days: float = 40) -> None:
    """Everything in the cache was used so long ago."""
    then = time.time() - days * DAY
    for part in ('objects-v1', 'results-v1'):
        for path in (project.path / '.mlops/cache' / part).rglob('*'):
            if path.is_file():
                os.utime(path, (then, then))


def objects(project: Project) -> set[str]:
    return {path.parent.name + path.name for path in (project.path / '.mlops/cache/objects-v1').rglob('*') if path.is_file()}


def forget_run(project: Project) -> None:
    """As if another clone had made what is in the cache: no record of runs, no memory of the workspace."""
    shutil.rmtree(project.path / '.mlops/runs', ignore_errors=True)
    shutil.rmtree(project.path / '.mlops/local', ignore_errors=True)


@pytest.fixture
def garbage(mlops: Mlops, project: Project) -> Project:
    """A project with one committed state, and in its cache what another one led to, of which nothing is recorded."""
    mlops('run', '-q')
    forget_run(project)
    project.commit('one')
    project.write('in.txt', 'two\n')
    mlops('run', '-q')
    project.git('checkout', '-q', '--', '.')
    project.git('clean', '-q', '-f', '-d')
    forget_run(project)
    mlops('run', '-q')
    age(project)
    return project


def trash(project: Project) -> list[str]:
    folder = project.path / '.mlops/cache/trash'
    return sorted(path.name for path in folder.rglob('*') if path.is_file()) if folder.exists() else []


def test_what_nothing_needs_goes_to_the_trash_and_undo_brings_it_back(mlops: Mlops, garbage: Project) -> None:
    before = objects(garbage)
    said = mlops('gc', '--yes')
    assert 'not needed' in said.out and 'Moved ' in said.out and 'mlops gc --undo' in said.out
    assert objects(garbage) < before and len(trash(garbage)) >= 4
    assert mlops('status', '--exit-code').code == 0
    assert 'back from trash/' in mlops('gc', '--undo').out
    assert objects(garbage) == before and trash(garbage) == []


def test_the_trash_is_deleted_by_a_gc_a_day_later(mlops: Mlops, garbage: Project) -> None:
    mlops('gc', '--yes')
    assert 'Nothing to throw away' in mlops('gc', '--yes').out and trash(garbage)
    folder = garbage.path / '.mlops/cache/trash'
    (stamp,) = os.listdir(folder)
    (folder / stamp).rename(folder / '20200101T000000Z')
    os.utime(folder / '20200101T000000Z', (time.time() - 2 * DAY,) * 2)
    assert 'Deleted 1 folder of the trash for good' in mlops('gc', '--yes').out
    assert not trash(garbage)


def test_dry_run_and_json_say_the_same_and_change_nothing(mlops: Mlops, garbage: Project) -> None:
    before = objects(garbage)
    found = mlops('gc', '--dry-run', '--json').json
    assert objects(garbage) == before and found['moved'] is None and found['dry_run']
    assert f'{found["unneeded"]["objects"]} objects' in mlops('gc', '--dry-run').out
    held = sum(row['objects'] for row in found['held'])
    assert held + found['unneeded']['objects'] + found['young']['objects'] == len(before)
    done = mlops('gc', '--yes', '--json').json
    assert done['moved']['objects'] == found['unneeded']['objects'] and done['moved']['results'] == found['unneeded']['results']
    undone = mlops('gc', '--undo', '--json').json
    assert (undone['undone'] == done['moved']['trash'] and undone['files'] == len(trash(garbage))) or undone['files'] > 0


def test_without_a_terminal_it_needs_yes(mlops: Mlops, garbage: Project) -> None:
    before = objects(garbage)
    said = mlops('gc', code=5)
    assert 'mlops gc --yes' in said.err and 'Move ' in said.err and objects(garbage) == before
    assert mlops('gc', '--json', code=5).json['schema'] == 'mlops/error/v1'


@pytest.mark.parametrize(('answer', 'goes'), [('y\n', True), ('\n', False), ('', False)])
def test_on_a_terminal_it_asks(
    mlops: Mlops, garbage: Project, monkeypatch: pytest.MonkeyPatch, answer: str, goes: bool
) -> None:
    from mlops_cli.cli.commands import gc

    before = objects(garbage)
    monkeypatch.setattr(gc, 'terminal', lambda _stream: True)
    monkeypatch.setattr(sys, 'stdin', io.StringIO(answer))
    mlops('gc')
    assert (objects(garbage) < before) is goes


def test_nothing_to_do_asks_nothing_and_says_why(mlops: Mlops, project: Project) -> None:
    mlops('run', '-q')
    said = mlops('gc')
    assert 'Nothing to throw away' in said.out and 'what lies here' in said.out


def test_young_things_stay_and_it_says_so(mlops: Mlops, garbage: Project) -> None:
    age(garbage, 2)
    said = mlops('gc', '--dry-run')
    assert 'Nothing to throw away' in said.out and 'results younger than the grace' in said.out
    assert 'not needed' in mlops('gc', '--dry-run', '--grace', '1d').out


def test_what_is_restored_from_the_trash_runs_nothing(mlops: Mlops, garbage: Project) -> None:
    mlops('gc', '--yes')
    garbage.write('in.txt', 'two\n')
    assert [stage['state'] for stage in mlops('run', '--json').json['stages']] == ['restored', 'restored']


def test_a_trial_is_held_for_30_days_or_while_it_is_kept(mlops: Mlops, project: Project) -> None:
    mlops('run', '-q')
    mlops('run', '-q', '--set', 'rate=7')
    age(project)
    trial = mlops('runs', 'list', '--json').json['rows'][0]
    assert trial['trial'] and mlops('gc', '--dry-run', '--json').json['unneeded']['objects'] == 0
    older = trial['id'].replace('2026', '2020', 1)
    path = project.path / f'.mlops/runs/{trial["id"][:4]}-{trial["id"][4:6]}/{trial["id"]}.json'
    text = path.read_text().replace(trial['id'], older)
    started = json.loads(text)['started']
    (project.path / f'.mlops/runs/2020-{trial["id"][4:6]}').mkdir()
    (project.path / f'.mlops/runs/2020-{trial["id"][4:6]}/{older}.json').write_text(text.replace(started, '2020' + started[4:]))
    path.unlink()
    found = mlops('gc', '--dry-run', '--json').json['unneeded']
    assert found['objects'] == 1 and found['results'] == 0, 'its output; what explains it stays'
    mlops('runs', 'keep', older.partition('-')[2])
    assert mlops('gc', '--dry-run', '--json').json['unneeded']['objects'] == 0


def test_a_branch_that_is_deleted_lets_go_when_the_reflog_does(mlops: Mlops, project: Project) -> None:
    mlops('run', '-q')
    forget_run(project)
    project.commit('one')
    project.git('switch', '-q', '-c', 'side')
    project.write('in.txt', 'two\n')
    mlops('run', '-q')
    forget_run(project)
    project.commit('two')
    project.git('switch', '-q', 'main')
    mlops('run', '-q')
    forget_run(project)
    project.git('checkout', '-q', '--', '.')
    age(project)
    found = mlops('gc', '--dry-run', '--json').json
    assert found['unneeded']['objects'] == 0 and any(row['by'] == 'history' for row in found['held'])
    project.git('branch', '-q', '-D', 'side')
    assert mlops('gc', '--dry-run', '--json').json['unneeded']['objects'] == 0
    project.git('reflog', 'expire', '--expire=now', '--all')
    assert mlops('gc', '--dry-run', '--json').json['unneeded']['objects'] > 0


def test_another_project_that_uses_the_cache_holds_what_it_needs(mlops: Mlops, project: Project, tmp_path: Path) -> None:
    cache = tmp_path / 'shared'
    other = Project(tmp_path / 'other')
    for one in (project, other):
        one.write('.mlops/config.local.yaml', f'cache: {{dir: {cache}}}\n')
    other.write('pipeline.yaml', PIPELINE)
    other.write('params.yaml', 'rate: 2\n')
    other.write('in.txt', 'theirs\n')
    mlops('run', '-q')
    mlops('run', '-q', cwd=other.path)
    for path in cache.rglob('*'):
        if path.is_file() and 'roots' not in path.parts:
            os.utime(path, (time.time() - 40 * DAY,) * 2)
    found = mlops('gc', '--dry-run', '--json').json
    assert found['unneeded'] == {'objects': 0, 'results': 0, 'bytes': 0}
    assert found['projects'] == sorted([str(project.path), str(other.path)]) or set(found['projects']) == {
        str(project.path), str(other.path)}
    other.path.rename(tmp_path / 'away')
    said = mlops('gc', '--yes', code=5)
    assert str(other.path) in said.err and f'mlops gc --forget {other.path}' in said.err
    assert mlops('gc', '--dry-run', '--forget', str(other.path), '--json').json['unneeded']['objects'] > 0
    mlops('gc', '--dry-run', code=5)
    assert mlops('gc', '--yes', '--forget', str(other.path), '--json').json['moved']['objects'] > 0
    assert 'no project at' in mlops('gc', '--forget', '/nowhere', code=2).err


def test_it_waits_for_nobody_who_begins_and_says_who(mlops: Mlops, garbage: Project) -> None:
    with LockFile(str(garbage.path / '.mlops/cache/locks-v1'), command='mlops run') as locks, locks.holding('store', 'shared'):
        assert 'mlops run' in mlops('gc', '--yes', '--lock-timeout', '0', code=11).err
    assert mlops('gc', '--yes').code == 0


def test_a_command_that_writes_waits_for_gc(mlops: Mlops, garbage: Project) -> None:
    garbage.write('in.txt', 'three\n')
    with LockFile(str(garbage.path / '.mlops/cache/locks-v1'), command='mlops gc') as locks, locks.holding('store'):
        assert 'mlops gc' in mlops('run', '--lock-timeout', '0', code=11).err
    mlops('run', '-q')


def test_links_into_the_cache_hold_what_they_lead_to(mlops: Mlops, project: Project) -> None:
    project.write('.mlops/config.local.yaml', 'cache: {links: [symlink]}\n')
    mlops('run', '-q')
    project.git('clean', '-q', '-f', 'model.bin')
    (project.path / 'model.bin').unlink()
    mlops('run', '-q')
    assert (project.path / 'model.bin').is_symlink()
    forget_run(project)
    shutil.rmtree(project.path / '.mlops/stages')
    age(project)
    mlops('gc', '--yes', '--grace', '0')
    assert (project.path / 'model.bin').read_text() == 'one\n1\n'


def test_what_mlops_placed_in_the_workspace_is_held(mlops: Mlops, project: Project) -> None:
    mlops('run', '-q')
    shutil.rmtree(project.path / '.mlops/runs')
    shutil.rmtree(project.path / '.mlops/stages')
    age(project)
    held = objects(project)
    mlops('gc', '--yes', '--grace', '0')
    (project.path / 'model.bin').unlink()
    assert len(objects(project)) >= 3 and objects(project) <= held


def test_a_dirty_record_and_a_stash_hold(mlops: Mlops, project: Project) -> None:
    mlops('run', '-q')
    forget_run(project)
    project.commit('one')
    project.write('set.csv', 'a,b\n')
    mlops('add', 'set.csv')
    project.git('add', '-A')
    project.git('stash', '-q')
    (project.path / 'set.csv').unlink()
    assert not (project.path / '.mlops/data').exists()
    forget_run(project)
    age(project)
    mlops('gc', '--yes', '--grace', '0')
    project.git('stash', 'pop', '-q')
    assert not trash(project)
    mlops('checkout', 'set.csv')
    assert project.read('set.csv') == 'a,b\n'


@pytest.mark.parametrize(
    ('arguments', 'says'),
    [(('--grace', 'soon'), 'is no age'), (('--since', 'x'), 'is no age'), (('--undo', '--pins'), 'two things'),
     (('--undo', '--dry-run'), 'nothing to try'), (('--skip-rev', 'nowhere'), 'git knows no revision')],
)  # fmt: skip
def test_what_is_typed_wrong(mlops: Mlops, project: Project, arguments: tuple[str, ...], says: str) -> None:
    project.commit('one')
    assert says in mlops('gc', *arguments, code=2).err


def test_undo_of_nothing(mlops: Mlops) -> None:
    assert 'The trash is empty' in mlops('gc', '--undo').out


def test_a_damaged_record_can_be_passed_over(mlops: Mlops, garbage: Project) -> None:
    garbage.git('add', '-A')
    (pin,) = [path for path in (garbage.path / '.mlops/stages').iterdir() if path.name.startswith('train')]
    good = pin.read_bytes()
    pin.write_text('damaged')
    bad = garbage.commit('bad')
    pin.write_bytes(good)
    garbage.commit('good')
    said = mlops('gc', '--dry-run', code=5)
    assert f'--skip-rev {bad}' in said.err
    mlops('gc', '--dry-run', '--skip-rev', bad[:10])


# Pins


@pytest.fixture
def pinned(mlops: Mlops, project: Project) -> Project:
    """Two states committed; of the first, pins that nothing computes any more."""
    mlops('run', '-q')
    project.commit('one')
    project.write('in.txt', 'two\n')
    mlops('run', '-q')
    project.commit('two')
    return project


def pins(project: Project) -> set[str]:
    return set(os.listdir(project.path / '.mlops/stages'))


def test_pins_that_nothing_computes_are_removed_and_git_has_them(mlops: Mlops, pinned: Project) -> None:
    said = mlops('gc', '--pins', '--yes')
    assert 'Removed 2 pins, kept 2' in said.out and 'git add .mlops/stages' in said.out
    assert len(pins(pinned)) == 2 and mlops('status', '--exit-code').code == 0
    pinned.commit('fewer')
    age(pinned)
    assert mlops('gc', '--dry-run', '--json').json['unneeded']['objects'] == 0, 'the history holds what they name'
    assert 'No pin to remove' in mlops('gc', '--pins').out


def test_pins_are_asked_about_first(mlops: Mlops, pinned: Project) -> None:
    assert 'mlops gc --pins --yes' in mlops('gc', '--pins', code=5).err and len(pins(pinned)) == 4
    found = mlops('gc', '--pins', '--dry-run', '--json').json
    assert len(found['stale']) == 2 and found['removed'] == [] and len(pins(pinned)) == 4


def test_a_stage_that_is_out_of_date_keeps_all_its_pins(mlops: Mlops, pinned: Project) -> None:
    pinned.write('params.yaml', 'rate: 5\n')
    found = mlops('gc', '--pins', '--yes', '--json').json
    assert [row['stage'] for row in found['unsure']] == ['train']
    assert len([name for name in pins(pinned) if name.startswith('train')]) == 2 and len(found['removed']) == 1
    pinned.git('checkout', '-q', '--', '.')
    pinned.write('in.txt', 'three\n')
    assert len(mlops('gc', '--pins', '--json').json['unsure']) == 2


def test_pins_go_on_the_default_branch_alone_and_only_what_git_has(mlops: Mlops, pinned: Project) -> None:
    stray = pinned.write('.mlops/stages/stray', '')
    assert 'is not committed' in mlops('gc', '--pins', '--yes', code=5).err
    stray.unlink()
    pinned.git('switch', '-q', '-c', 'side')
    assert 'git switch main' in mlops('gc', '--pins', '--yes', code=5).err
    pinned.git('switch', '-q', '--detach')
    mlops('gc', '--pins', '--yes', code=5)
    assert len(pins(pinned)) == 4
    shutil.rmtree(pinned.path / '.git')
    assert 'without git' in mlops('gc', '--pins', '--yes', code=5).err


def test_what_was_remembered_is_still_right(mlops: Mlops, garbage: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that were kept, settled stages and local tables say after a gc what a fresh look says."""
    commands = [('status', '--json'), ('plan', '--json'), ('runs', 'list', '--json'), ('explain', 'train')]

    def said() -> list[str]:
        return [mlops(*command).out for command in (*commands, *commands)]

    before = said()
    assert mlops('gc', '--yes', '--grace', '0', '--json').json['moved']['objects'] > 0
    after = said()
    monkeypatch.setenv('MLOPS_QUICK', '0')
    assert after == said() == before
    monkeypatch.delenv('MLOPS_QUICK')
    garbage.write('in.txt', 'two\n')
    verdicts = [one['verdict'] for one in mlops('status', '--json').json['stages']]
    assert verdicts == ['restore', 'restore'], 'it is in the trash, and so it is here'
    mlops('run', '-q')
    garbage.write('in.txt', 'one\n')
    shutil.rmtree(garbage.path / '.mlops/cache/trash', ignore_errors=True)
    assert {one['verdict'] for one in mlops('status', '--json').json['stages']} == {'restore'}


def test_results_without_their_outputs_are_run_again(mlops: Mlops, garbage: Project) -> None:
    """As after a gc whose trash is gone, in a cache of which another command had kept the result."""
    mlops('gc', '--yes')
    mlops('gc', '--undo')
    for path in (garbage.path / '.mlops/cache/objects-v1').rglob('*'):
        if path.is_file() and path.read_bytes() in (b'two\n', b'two\n1\n'):
            path.unlink()
    garbage.write('in.txt', 'two\n')
    assert [one['state'] for one in mlops('run', '--json').json['stages']] == ['done', 'done']
