"""What the doctor sees in real folders."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_cli.checks.doctor import gather_own
from mlops_cli.checks.doctor.facts import Facts
from mlops_cli.checks.doctor.gather import look
from mlops_cli.checks.doctor.gather_stages import simple_commands
from mlops_cli.checks.doctor.rules import examine
from mlops_cli.core import layout
from mlops_cli.pipeline.spec import Command, Stage
from tests.support.project import Project
from tests.support.stages import everything, lay

See = Callable[[], Facts]


@pytest.fixture
def see(project: Project, monkeypatch: pytest.MonkeyPatch) -> See:
    for name in ('GIT_CONFIG_GLOBAL', 'GIT_CONFIG_SYSTEM'):
        monkeypatch.setenv(name, os.devnull)
    return lambda: look(str(project.path), str(project.path), project.environ, time.time())


def found(facts: Facts) -> dict[str, str]:
    return {one.check: one.text for one in examine(facts)}


def test_a_good_project_has_nothing_wrong(see: See, project: Project) -> None:
    lay(project, {'a': {'cmd': 'echo x > out', 'outs': ['out']}})
    project.run()
    project.commit('all')
    before = everything(project)
    assert [one for one in examine(see()) if one.level == 'wrong'] == []
    after = everything(project)
    changed = {name for name in after if after[name] != before.get(name) and name}
    losable = {layout.PIPELINE_KEPT, layout.INDEX, f'{layout.INDEX}-wal', f'{layout.INDEX}-shm', f'{layout.LOCAL}/clock'}
    assert changed <= losable


def test_programs_folders_and_locks_of_stages(see: See, project: Project) -> None:
    project.write('raw/a.csv', '')
    project.write('uv.lock', '')
    stages = {
        'lost': {'cmd': 'nosuchprogram --in raw'},
        'python': {'cmd': 'cd raw && FOO=1 nosuchpython x.py'},
        'script': {'cmd': './missing.sh raw/a.csv'},
        'made': {'cmd': './tool', 'deps': ['tool']},
        'tool': {'cmd': 'touch tool', 'outs': ['tool']},
        'declared': {'cmd': 'cat raw', 'deps': ['raw']},
        'locked': {'cmd': 'true', 'environment': {'uv': 'uv.lock'}},
        'quiet': {'cmd': 'mkdir -p raw; if [ -e raw ]; then echo raw; fi'},
    }
    lay(project, stages)
    by_name = {stage.name: stage for stage in see().stages}
    assert {name: one.program for name, one in by_name.items() if one.program} == {
        'lost': 'nosuchprogram',
        'python': 'nosuchpython',
        'script': './missing.sh',
    }
    assert {name: one.named for name, one in by_name.items() if one.named} == {'lost': ('raw',)}
    assert by_name['locked'].locks == (('uv.lock', '.venv'),)


def test_folders_around_what_others_make(see: See, project: Project) -> None:
    project.write('data/raw.csv', '1')
    stages = {'make': {'cmd': 'touch data/made', 'outs': ['data/made']}, 'use': {'cmd': 'cat data/*', 'deps': ['data']}}
    lay(project, stages)
    assert {stage.name: stage.around for stage in see().stages if stage.around} == {'use': (('data', 'data/made', 'make'),)}


def test_simple_commands_are_told_apart() -> None:
    command = Command('shell', ('A=1 a b | c && (d; e)', "f 'x y' > out", 'g "unfinished'))
    assert [words[0] for words in simple_commands(Stage('s', 's', command)) if words][:5] == ['A=1', 'c', 'd', 'e', 'f']
    assert list(simple_commands(Stage('s', 's', Command('argv', ('a;b', '|'))))) == [['a;b', '|']]


def test_inputs_from_git_lfs_and_from_the_future(see: See, project: Project) -> None:
    project.write('x.bin', 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n')
    ahead = time.time() + 9000
    os.utime(project.write('y.csv', '1'), (ahead, ahead))
    lay(project, {'a': {'cmd': 'true', 'deps': ['x.bin', 'y.csv']}})
    told = found(see())
    assert 'x.bin, which a read, is only a pointer' in told['inputs'] and 'y.csv changed' in told['clock']


def test_git_as_it_should_not_be(see: See, project: Project) -> None:
    project.write('.mlops/local/x', '')
    project.write('out', 'made')
    project.write('big.bin', '')
    os.truncate(project.path / 'big.bin', 60_000_000)
    lay(project, {'a': {'cmd': 'touch out', 'outs': ['out']}, 'b': {'cmd': 'touch other', 'outs': ['other']}})
    project.write('other', '')
    project.git('add', '-f', '.mlops/local/x', 'out')
    project.git('commit', '-qm', 'x')
    project.git('checkout', '-q', '--detach')
    told = found(see())
    assert '.mlops/local/x' in told['ours-in-git'] and 'git tracks out, an output of a' in told['outputs-in-git']
    assert 'git would take other' in told['ignored'] and 'big.bin has 60 MB' in told['big-files'] and 'detached' in told['head']


def test_damaged_records_are_told_each_with_its_place(see: See, project: Project) -> None:
    lay(project, {f's{number}': {'cmd': f'echo {number}'} for number in range(9)})
    project.run()
    assert see().damaged == ()
    records = [*(project.path / '.mlops' / 'stages').glob('*.json'), *(project.path / '.mlops' / 'runs').rglob('*.json')]
    for path in records:
        path.write_text('garbage')
    told = [one for one in examine(see()) if one.check == 'records']
    assert len(see().damaged) == len(records) and len(told) == 6 and told[-1].text.startswith('and 5 more records')
    assert all(one.where.startswith('.mlops/') and 'git checkout' in one.fix for one in told[:-1])


@pytest.mark.parametrize('folder', ['accepted', 'stages', 'runs', 'data', 'kept'])
def test_a_folder_of_records_that_is_a_link_is_told(see: See, project: Project, folder: str) -> None:
    """Other commands refuse it, and end there."""
    lay(project, {'a': {'cmd': 'true'}})
    project.write('elsewhere/x', '')
    project.write('.mlops/x', '')
    (project.path / '.mlops' / folder).symlink_to('../elsewhere')
    [told] = [one for one in examine(see()) if one.check == 'records']
    assert f'.mlops/{folder}' in told.text and 'symbolic link' in told.text


def test_a_damaged_acceptance_is_told(see: See, project: Project) -> None:
    lay(project, {'a': {'cmd': 'true'}})
    name = f'{layout.ACCEPTED}/a~{"0" * 16}-{"0" * 8}.json'
    project.write(name, '{}')
    [told] = [one for one in examine(see()) if one.check == 'records']
    assert told.where.startswith(name)


def test_records_in_conflict(see: See, project: Project) -> None:
    lay(project, {'a': {'cmd': 'true'}})
    project.write('.mlops/stages/a~0000000000000000-00000000.json', '<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> x\n')
    assert '1 record in .mlops left in conflict' in found(see())['conflicts']


def test_a_repository_of_somebody_else(see: See, project: Project) -> None:
    if os.geteuid():
        pytest.skip('only root can give a folder away')
    lay(project, {'a': {'cmd': 'true'}})
    for path in (project.path, project.path / '.git'):
        os.chown(path, 12345, 12345)
    told = examine(see())
    assert any('belongs to another user' in one.text and 'safe.directory' in one.fix for one in told)


def test_mistakes_of_config_and_pipeline_are_told_together_with_the_rest(see: See, project: Project) -> None:
    project.write('pipeline.yaml', 'stages: {a: {cmd: 1, dpes: []}}\n')
    facts = see()
    assert len(facts.errors) >= 1 and facts.stages == () and facts.git.inside
    project.write(layout.CONFIG, 'jobs: x\n')
    assert [str(error.where) for error in see().errors] == [f'{layout.CONFIG}:1:7']


def test_a_damaged_table_and_what_is_kept(see: See, project: Project) -> None:
    lay(project, {'a': {'cmd': 'echo x > out', 'outs': ['out']}})
    project.run()
    path = project.path / layout.LOCAL / 'history-v1.sqlite'
    path.write_bytes(b'SQLite format 3\0' + b'x' * 5000)
    assert layout.LOCAL + '/history-v1.sqlite' in see().own.databases
    whole = project.path / 'whole.sqlite'
    with sqlite3.connect(whole) as connection:
        connection.execute('CREATE TABLE t (x)')
    connection.close()
    assert gather_own.damage(str(whole)) == ''


def test_journals_of_killed_commands(see: See, project: Project) -> None:
    lay(project, {'a': {'cmd': 'true'}})
    project.write(f'{layout.JOURNAL}/20260101-x.jsonl', 'x\n')
    from mlops_cli.fsio.journal import SUFFIX

    project.write(f'{layout.JOURNAL}/old{SUFFIX}', '{}\n')
    assert see().own.journals[-1:] == (f'old{SUFFIX}',)
    assert project.exists(f'{layout.JOURNAL}/old{SUFFIX}')


def test_folders_of_killed_commands(see: See, project: Project) -> None:
    from mlops_cli.fsio.temporaries import PREFIX, boot, new_name

    lay(project, {'a': {'cmd': 'true'}})
    mine, dead = f'{layout.LOCAL}/{new_name(PREFIX)}', f'{layout.LOCAL}/{PREFIX}{boot()}-99999999-1-1'
    for folder in (mine, dead):
        (project.path / folder).mkdir(parents=True)
    assert see().own.leftovers == (dead,)


@pytest.mark.parametrize('path', ['.mlops/cache', '.mlops/local/failed', '.mlops/local/rescue', '.mlops/cache/tmp/quarantine'])
def test_links_in_the_place_of_our_folders_are_not_followed(see: See, project: Project, tmp_path: Path, path: str) -> None:
    lay(project, {'a': {'cmd': 'true'}})
    (tmp_path / 'elsewhere').mkdir()
    (project.path / '.mlops').mkdir(exist_ok=True)
    place = project.path / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(tmp_path / 'elsewhere')
    facts = see()
    assert facts.own.links == (path,) and not os.listdir(tmp_path / 'elsewhere')
    assert 'symbolic link' in found(facts)['rights']


def test_counting_stops_in_time(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write('d/a', 'xx')
    project.write('d/e/b', 'yyy')
    assert gather_own.count(str(project.path / 'd'), 'd') == gather_own.Stored('d', 5, 2, True)
    monkeypatch.setattr(gather_own, 'COUNT_SECONDS', -1.0)
    assert not gather_own.count(str(project.path / 'd'), 'd').all


def test_a_pipeline_that_another_one_includes(project: Project) -> None:
    project.write('pipeline.yaml', 'include: [part/pipeline.yaml]\n')
    project.write('part/pipeline.yaml', 'stages: {a: {cmd: "true"}}\n')
    inner = str(project.path / 'part')
    facts = look(inner, inner, project.environ, time.time())
    assert facts.included_by == str(project.path / 'pipeline.yaml')
    assert f'included by {project.path}/pipeline.yaml' in found(facts)['project']
    project.write('pipeline.yaml', 'stages: {a: {cmd: "true"}}\n')
    facts = look(inner, inner, project.environ, time.time())
    assert facts.included_by == '' and facts.around == str(project.path)


def test_a_folder_without_a_pipeline(project: Project) -> None:
    project.write('dvc.yaml', 'stages: {}\n')
    facts = look(str(project.path), '', project.environ, time.time())
    assert facts.dvc and 'a dvc.yaml, and no pipeline.yaml' in found(facts)['project']


def test_what_gc_leaves(tmp_path: Path) -> None:
    """The trash counts from a day on; a project that used the cache and is gone is told."""
    import time

    from mlops_cli.fsio.paths import Root
    from mlops_cli.store import users

    project = tmp_path / 'p'
    cache = project / '.mlops/cache'
    (project / '.mlops/cache/tmp').mkdir(parents=True)
    for stamp, age in (('20200101T000000Z', 2 * 86_400), ('20200102T000000Z', 3600)):
        thrown = cache / 'trash' / stamp / 'objects-v1/ab'
        thrown.mkdir(parents=True)
        (thrown / 'cd').write_bytes(b'12345')
        os.utime(cache / 'trash' / stamp, (time.time() - age,) * 2)
    with Root(cache) as opened, Root(project) as root:
        users.register(opened, str(project), lambda: False)
        users.register(opened, str(tmp_path / 'gone'), lambda: False)
        found = gather_own.look(root, str(cache))
    assert (found.trash.files, found.trash.bytes) == (1, 5) and found.gone == (str(tmp_path / 'gone'),)
