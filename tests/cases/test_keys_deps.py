"""``deps``: what of files, folders, globs, other stages' outputs and tracked data makes a stage run again."""

from __future__ import annotations

import os
import shutil
import socket

import pytest

from mlops_cli.core.errors import UserError
from tests.support.project import Project
from tests.support.stages import lay, reasons, run, states, track, verdict

# `out` lists what the stage can see, so that the output tells what it was given.
LIST = 'find {} -type f | LC_ALL=C sort > out.txt'


def reader(*deps: object, look: str = 'data') -> dict[str, object]:
    return {'cmd': LIST.format(look), 'deps': list(deps), 'outs': ['out.txt']}


def test_a_file_counts_by_its_bytes_and_not_by_its_time(project: Project) -> None:
    path = project.write('data/a', 'one')
    lay(project, {'r': reader('data/a')})
    assert run(project) == {'r': 'done'}
    os.utime(path, (1, 1))
    project.write('data/b', 'beside it')
    assert verdict(project, 'r') == 'fresh'
    project.write('data/a', 'two')
    assert reasons(project, 'r') == [('data', 'data/a')]


def test_the_mode_bit_counts_and_other_permissions_do_not(project: Project) -> None:
    path = project.write('data/a', 'one')
    lay(project, {'r': reader('data')})
    assert run(project) == {'r': 'done'}
    path.chmod(0o600)
    assert verdict(project, 'r') == 'fresh'
    path.chmod(0o755)
    assert verdict(project, 'r') == 'run'
    lay(project, {'r': reader('data/a')})
    path.chmod(0o644)
    run(project)
    path.chmod(0o755)
    assert verdict(project, 'r') == 'run'


def test_a_folder_counts_by_all_that_is_in_it(project: Project) -> None:
    project.write('data/a', 'one')
    project.write('data/deep/er/b', 'two')
    lay(project, {'r': reader('data')})

    def expect(verdict_now: str, why: str) -> None:
        assert verdict(project, 'r') == verdict_now, why
        run(project)
        assert verdict(project, 'r') == 'fresh', why

    expect('run', 'never run')
    project.write('data/deep/c', 'new')
    expect('run', 'a new file')
    project.write('data/deep/c', 'changed')
    expect('run', 'a changed file')
    (project.path / 'data/empty/deep').mkdir(parents=True)
    expect('run', 'an empty folder')
    shutil.rmtree(project.path / 'data/empty')
    (project.path / 'data/deep/c').unlink()
    expect('restore', 'as it was at first')
    (project.path / 'data/a').rename(project.path / 'data/A2')
    expect('run', 'a renamed file')
    project.write('data/__pycache__/a.cpython-311.pyc', 'x')
    project.write('data/.DS_Store', 'x')
    assert verdict(project, 'r') == 'fresh', 'what is ignored does not count'
    project.write('.mlopsignore', '*.tmp\n')
    project.write('data/x.tmp', 'x')
    assert verdict(project, 'r') == 'fresh'


def test_a_folder_written_with_a_slash_is_the_same(project: Project) -> None:
    project.write('data/a', 'one')
    lay(project, {'r': reader('data')})
    assert run(project) == {'r': 'done'}
    lay(project, {'r': reader('./data/')})
    assert verdict(project, 'r') == 'fresh'


def test_a_glob_counts_by_the_files_that_match(project: Project) -> None:
    for name in ('a.csv', 'b.csv', 'c.txt', 'deep/d.csv', '.hidden.csv'):
        project.write(f'data/{name}', name)
    lay(project, {'r': reader('data/*.csv')})
    assert run(project) == {'r': 'done'}
    for name in ('c.txt', 'deep/d.csv', '.hidden.csv', 'e.csv.txt'):
        project.write(f'data/{name}', 'does not match')
        assert verdict(project, 'r') == 'fresh', name
    project.write('data/e.csv', 'new')
    assert verdict(project, 'r') == 'run'
    (project.path / 'data/e.csv').unlink()
    project.write('data/a.csv', 'changed')
    assert verdict(project, 'r') == 'run'
    (project.path / 'data/a.csv').unlink()
    assert verdict(project, 'r') == 'run'
    shutil.rmtree(project.path / 'data')
    assert verdict(project, 'r') == 'run', 'none match: a value of its own, not a mistake'
    lay(project, {'r': {**reader('data/*.csv'), 'cmd': 'echo none > out.txt'}})
    assert run(project) == {'r': 'done'} and verdict(project, 'r') == 'fresh'


def test_a_glob_with_two_stars_reaches_every_folder(project: Project) -> None:
    project.write('data/a.csv', 'a')
    project.write('data/deep/er/d.csv', 'd')
    lay(project, {'r': reader('data/**/*.csv')})
    assert run(project) == {'r': 'done'}
    project.write('data/deep/er/d.csv', 'e')
    assert verdict(project, 'r') == 'run'


def test_a_path_with_wildcards_in_its_name_can_be_meant_literally(project: Project) -> None:
    project.write('data/[raw]*.csv', 'one')
    project.write('data/r1.csv', 'one')
    lay(project, {'r': reader({'path': 'data/[raw]*.csv'})})
    assert run(project) == {'r': 'done'}
    project.write('data/r1.csv', 'two')
    assert verdict(project, 'r') == 'fresh'
    project.write('data/[raw]*.csv', 'two')
    assert verdict(project, 'r') == 'run'


def test_a_stage_as_dependency_means_all_outputs_of_all_its_instances(project: Project) -> None:
    make = {
        'foreach': ['x', 'y'],
        'do': {
            'cmd': 'cat ${item}.in > data/${item}; echo > data/${item}.log',
            'deps': ['${item}.in'],
            'outs': ['data/${item}', 'data/${item}.log'],
        },
    }
    project.write('x.in', '1')
    project.write('y.in', '1')
    lay(
        project,
        {'r': {**reader({'stage': 'make'}), 'cmd': 'cat data/x data/y > out.txt; ls data/x.log data/y.log'}, 'make': make},
    )
    assert run(project) == {'make@x': 'done', 'make@y': 'done', 'r': 'done'}
    project.write('y.in', '2')
    assert run(project) == {'make@x': 'fresh', 'make@y': 'done', 'r': 'done'}
    assert project.read('out.txt') == '12'
    project.write('data/other', 'nobody made this')
    assert set(project.verdicts().values()) == {'fresh'}


def test_one_file_of_another_stages_folder(project: Project) -> None:
    project.write('in', '1')
    make = {
        'cmd': 'mkdir -p data/deep; cat in > data/a; date +%N > data/b; echo c > data/deep/c',
        'deps': ['in'],
        'outs': ['data'],
    }
    lay(project, {'make': make, 'r': {'cmd': 'cat data/deep/c > out.txt', 'deps': ['data/deep/c'], 'outs': ['out.txt']}})
    assert run(project) == {'make': 'done', 'r': 'done'}
    project.write('in', '2')
    assert run(project) == {'make': 'done', 'r': 'fresh'}, 'that file came out the same'
    lay(
        project,
        {'make': make, 'r': {'cmd': 'cat data/deep/none > out.txt; true', 'deps': ['data/deep/none'], 'outs': ['out.txt']}},
    )
    report = project.run()
    assert states(report)['r'] == 'failed', 'the stage that makes the folder did not make that file'


def test_a_glob_into_another_stages_folder(project: Project) -> None:
    project.write('in', '1')
    make = {
        'cmd': 'mkdir -p data/s; cat in > data/s/a.csv; date +%N > data/noise.txt; echo x > data/s/b.csv',
        'deps': ['in'],
        'outs': ['data'],
    }
    lay(project, {'make': make, 'r': {'cmd': 'cat data/s/*.csv > out.txt', 'deps': ['data/**/*.csv'], 'outs': ['out.txt']}})
    assert run(project) == {'make': 'done', 'r': 'done'}
    assert run(project, force=True) == {'make': 'done', 'r': 'done'}
    project.write('in', '2')
    assert run(project) == {'make': 'done', 'r': 'done'} and project.read('out.txt') == '2x\n'
    project.write('in', '1')
    shutil.rmtree(project.path / 'data')
    assert run(project)['r'] == 'restored'


def test_a_glob_over_outputs_and_files_of_the_user(project: Project) -> None:
    project.write('data/mine.csv', 'mine\n')
    lay(
        project,
        {
            'r': {'cmd': 'cat data/*.csv > out.txt', 'deps': ['data/*.csv'], 'outs': ['out.txt']},
            'make': {'cmd': 'echo made > data/made.csv', 'outs': ['data/made.csv']},
        },
    )
    assert run(project) == {'make': 'done', 'r': 'done'}
    assert project.read('out.txt') == 'made\nmine\n' and run(project) == {'make': 'fresh', 'r': 'fresh'}
    project.write('data/mine.csv', 'other\n')
    assert run(project) == {'make': 'fresh', 'r': 'done'}


def test_a_folder_that_stages_write_into_means_their_outputs_and_what_git_tracks(project: Project) -> None:
    project.write('data/readme', 'tracked')
    project.git('add', 'data/readme')
    project.write('in', '1')
    lay(
        project,
        {
            'make': {'cmd': 'cat in > data/made', 'deps': ['in'], 'outs': ['data/made']},
            'r': {'cmd': 'cat data/readme data/made > out.txt', 'deps': ['data'], 'outs': ['out.txt']},
        },
    )
    assert run(project) == {'make': 'done', 'r': 'done'}
    project.write('data/scratch', 'nobody knows this file')
    assert set(project.verdicts().values()) == {'fresh'}
    project.write('data/readme', 'changed')
    assert verdict(project, 'r') == 'run'
    run(project)
    project.write('in', '2')
    assert run(project) == {'make': 'done', 'r': 'done'} and project.read('out.txt') == 'changed2'
    project.git('add', 'data/scratch')
    assert verdict(project, 'r') == 'run', 'now git tracks it'


def test_missing_data_is_told_before_anything_runs(project: Project) -> None:
    lay(project, {'first': {'cmd': 'echo ran > ../ran'}, 'r': reader('data/a', look='.')})
    with pytest.raises(UserError, match='data/a'):
        project.run()
    assert not project.exists('../ran')
    assert project.verdicts() == {'first': 'run', 'r': 'blocked'}
    assert run(project, keep_going=True) == {'first': 'done', 'r': 'failed'}


@pytest.mark.parametrize(
    ('deps', 'command', 'expected'),
    [
        (['data'], 'cat data/a.csv data/deep/c.csv', 'a.csv\ndeep/c.csv\n'),
        (['data/a.csv'], 'cat data/a.csv', 'a.csv\n'),
        (['data/deep'], 'cat data/deep/c.csv', 'deep/c.csv\n'),
        (['data/*.csv'], 'cat data/*.csv', 'a.csv\nb.csv\n'),
        (['data/**/*.csv'], 'cat data/*.csv data/*/*.csv', 'a.csv\nb.csv\ndeep/c.csv\n'),
    ],
)
@pytest.mark.parametrize('isolate', ['none', 'folder'])
def test_tracked_data_that_is_not_here_counts_as_recorded_and_is_brought(
    project: Project, deps: list[str], command: str, expected: str, isolate: str
) -> None:
    for name in ('a.csv', 'b.csv', 'deep/c.csv'):
        project.write(f'data/{name}', f'{name}\n')
    lay(project, {'r': {'cmd': f'{command} > out.txt', 'deps': deps, 'outs': ['out.txt'], 'isolate': isolate}})
    track(project, 'data')
    assert run(project) == {'r': 'done'}
    shutil.rmtree(project.path / 'data')
    assert verdict(project, 'r') == 'fresh', 'as a clone without the data sees it'
    lay(project, {'r': {'cmd': f'true; {command} > out.txt', 'deps': deps, 'outs': ['out.txt'], 'isolate': isolate}})
    assert run(project) == {'r': 'done'}
    assert project.read('out.txt') == expected


def test_a_folder_with_tracked_data_in_it_that_is_not_here(project: Project) -> None:
    project.write('data/readme', 'mine\n')
    project.write('data/big/images', 'images\n')
    lay(project, {'r': {'cmd': 'cat data/readme data/big/images > out.txt', 'deps': ['data'], 'outs': ['out.txt']}})
    track(project, 'data/big')
    assert run(project) == {'r': 'done'}
    shutil.rmtree(project.path / 'data/big')
    assert verdict(project, 'r') == 'fresh'
    project.write('data/readme', 'other\n')
    assert run(project) == {'r': 'done'}
    assert project.read('out.txt') == 'other\nimages\n'
    assert verdict(project, 'r') == 'fresh'


@pytest.mark.parametrize('kind', ['pipe', 'socket', 'device', 'link out'])
def test_what_has_no_content_of_its_own_is_refused_with_its_name(
    project: Project, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.path / 'data').mkdir()
    path = project.path / 'data/odd'
    if kind == 'pipe':
        os.mkfifo(path)
    elif kind == 'socket':
        monkeypatch.chdir(project.path)
        socket.socket(socket.AF_UNIX).bind('data/odd')
    elif kind == 'device':
        path.symlink_to('/dev/zero')
    else:
        path.symlink_to('/etc')
    for dep in ('data/odd', 'data'):
        lay(project, {'r': reader(dep)})
        with pytest.raises(UserError, match='data/odd'):
            project.run()


def test_a_link_inside_the_project_counts_by_what_it_leads_to(project: Project) -> None:
    project.write('real/a', 'one')
    (project.path / 'data').symlink_to('real')
    (project.path / 'single').symlink_to('real/a')
    lay(project, {'r': reader('data', 'single', look='data/')})
    assert run(project) == {'r': 'done'}
    project.write('real/a', 'two')
    assert verdict(project, 'r') == 'run'


def test_names_of_every_kind_can_be_depended_on(project: Project) -> None:
    names = ['with space', '-leading-dash', 'emoji 🎉', "quo'te", 'semi;colon', '$dollar', 'back`tick', 'a' * 200, 'ä']
    for name in names:
        project.write(name, name)
    lay(project, {'r': {'cmd': 'cat -- ./* > ../all; cp ../all out.txt', 'deps': names, 'outs': ['out.txt']}})
    assert run(project) == {'r': 'done'}
    for name in names:
        project.write(name, 'changed')
        assert reasons(project, 'r') == [('data', name)]
        project.write(name, name)
    assert verdict(project, 'r') == 'fresh'


def test_tracked_data_that_is_nowhere_is_told_before_anything_runs(project: Project) -> None:
    project.write('data/a', 'one')
    lay(project, {'first': {'cmd': 'echo ran > ../ran'}, 'r': reader('data')})
    track(project, 'data')
    shutil.rmtree(project.path / 'data')
    shutil.rmtree(project.path / '.mlops/cache/objects-v1')
    with pytest.raises(UserError, match='neither here nor in this cache'):
        project.run()
    assert not project.exists('../ran')


def test_without_the_cache_parts_of_outputs_are_still_known_from_the_workspace(project: Project) -> None:
    lay(
        project,
        {
            'make': {'cmd': 'mkdir -p data/s; echo 1 > data/s/a.csv; ln -s s/a.csv data/latest', 'outs': ['data']},
            'part': {'cmd': 'cat data/s/a.csv > part', 'deps': ['data/s/a.csv'], 'outs': ['part']},
            'glob': {'cmd': 'cat data/s/*.csv > glob', 'deps': ['data/**/*.csv'], 'outs': ['glob']},
            'link': {'cmd': 'cat data/latest > link', 'deps': ['data/latest'], 'outs': ['link']},
        },
    )
    assert set(run(project).values()) == {'done'}
    shutil.rmtree(project.path / '.mlops/cache')
    assert set(project.verdicts().values()) == {'fresh'}


def test_a_link_in_another_stages_folder_counts_by_what_it_leads_to(project: Project) -> None:
    project.write('in', '1')
    lay(
        project,
        {
            'make': {
                'cmd': 'mkdir -p data/v1; cp in data/v1/a; date +%N > data/n; ln -s v1 data/latest',
                'deps': ['in'],
                'outs': ['data'],
            },
            'r': {'cmd': 'cat data/latest/a > out.txt', 'deps': ['data/latest/a'], 'outs': ['out.txt']},
        },
    )
    assert run(project) == {'make': 'done', 'r': 'done'}
    assert run(project, 'make', force=True) == {'make': 'done'}
    assert verdict(project, 'r') == 'fresh'
    project.write('in', '2')
    assert run(project) == {'make': 'done', 'r': 'done'} and project.read('out.txt') == '2'


def test_the_whole_project_can_be_depended_on(project: Project) -> None:
    project.write('in', '1')
    lay(project, {'a': {'cmd': 'ls', 'deps': ['.']}})
    assert run(project) == {'a': 'done'} and verdict(project, 'a') == 'fresh'
    project.write('new', '1')
    assert verdict(project, 'a') == 'run'
    lay(project, {'a': {'cmd': 'ls', 'deps': ['.']}, 'make': {'cmd': 'cp in made/x', 'outs': ['made/x']}})
    project.commit('first')
    assert run(project) == {'make': 'done', 'a': 'done'}
    project.commit('second')
    assert set(run(project).values()) == {'fresh'}, 'what mlops and git write for themselves is no input'
    project.write('in', '2')
    assert reasons(project, 'a') == [('data', 'in')]
