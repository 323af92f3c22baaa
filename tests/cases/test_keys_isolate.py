"""``isolate: folder`` and trials: a stage sees what it declares and nothing else, and the workspace gets what belongs to it."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.support.project import Project
from tests.support.stages import ended, failure, lay, printed, run, states, track, verdict

SEE = 'find . -mindepth 1 ! -name o -not -type d | LC_ALL=C sort > o'


def seen(project: Project, **stage: object) -> list[str]:
    """The files that an isolated stage finds."""
    lay(project, {'a': {'cmd': SEE, 'outs': ['o'], 'isolate': 'folder', **stage}})
    assert run(project) == {'a': 'done'}
    return [line.removeprefix('./') for line in project.read('o').splitlines()]


@pytest.fixture
def files(project: Project) -> Project:
    for name in ('in.txt', 'other.txt', 'data/a', 'data/b.csv', 'lib/__init__.py', 'lib/x.py', 'main.py', 'conf/p.yaml'):
        project.write(name, '')
    project.write('params.yaml', 'x: 1\ny: 2\n')
    return project


def test_a_stage_sees_its_inputs_and_nothing_else(files: Project) -> None:
    assert seen(files) == []
    assert seen(files, deps=['in.txt', 'data/*.csv']) == ['data/b.csv', 'in.txt']
    assert seen(files, deps=['data']) == ['data/a', 'data/b.csv']
    assert seen(files, code=['lib']) == ['lib/__init__.py', 'lib/x.py']
    assert seen(files, params=['x']) == ['params.yaml']
    assert seen(files, params=[{'conf/p.yaml': ['z']}]) == [], 'an empty file of parameters has none'
    assert seen(files, params=['x'], deps=['params.yaml']) == ['params.yaml']


def test_found_code_is_there(files: Project) -> None:
    files.write('main.py', 'import lib.x, os\nprint(sorted(f for _, _, fs in os.walk(".") for f in fs))\n')
    lay(files, {'a': {'cmd': 'python main.py', 'isolate': 'folder'}})
    report = files.run()
    assert printed(files, report, 'a') == "['__init__.py', 'main.py', 'x.py']\n"


def test_a_forgotten_dependency_shows_at_once(files: Project) -> None:
    project = files
    project.write('main.py', 'print(open("in.txt").read())\n')
    lay(project, {'a': {'cmd': 'python main.py', 'isolate': 'folder'}})
    report = project.run()
    assert 'only what it declares' in failure(report, 'a') and 'in.txt' in printed(project, report, 'a')
    lay(project, {'a': {'cmd': 'python main.py', 'isolate': 'folder', 'deps': ['in.txt']}})
    assert run(project) == {'a': 'done'}


def test_the_flag_isolates_every_stage_and_can_turn_it_off(files: Project) -> None:
    lay(files, {'a': {'cmd': 'cat in.txt > o; cat data/*', 'outs': ['o']}})
    assert run(files, isolate='folder', force=True) == {'a': 'failed'}
    assert run(files, force=True) == {'a': 'done'}
    lay(files, {'a': {'cmd': 'cat in.txt > o; cat data/*', 'outs': ['o'], 'isolate': 'folder'}})
    assert run(files, isolate='none', force=True) == {'a': 'done'}
    assert files.mlops('run', '--force', '--isolate', 'folder', code=1)


def test_outputs_land_in_the_workspace_and_nothing_else_does(project: Project) -> None:
    project.write('o/mine', 'mine')
    lay(project, {'a': {'cmd': 'mkdir o; echo 1 > o/x; echo 2 > scratch', 'outs': ['o'], 'isolate': 'folder'}})
    assert run(project) == {'a': 'done'}
    assert project.read('o/x') == '1\n' and not project.exists('scratch') and not project.exists('o/mine')
    assert [path.read_text() for path in (project.path / '.mlops/local/rescue').rglob('mine')] == ['mine']
    assert list((project.path / '.mlops/local/work').iterdir()) == []
    assert run(project) == {'a': 'fresh'}


def test_a_failed_stage_leaves_the_workspace_alone_and_its_outputs_where_they_can_be_looked_at(project: Project) -> None:
    project.write('o', 'before')
    lay(project, {'a': {'cmd': 'echo half > o; false', 'outs': ['o'], 'isolate': 'folder', 'retry': 1}})
    report = project.run()
    assert any('.mlops/local/failed/' in note for note in ended(report, 'a').notes)
    assert project.read('o') == 'before'
    kept = [path.read_text() for path in (project.path / '.mlops/local/failed').rglob('o*') if path.is_file()]
    assert kept == ['half\n', 'half\n']
    assert list((project.path / '.mlops/local/work').iterdir()) == []


def test_what_other_stages_made_is_brought_as_far_as_it_is_declared(project: Project) -> None:
    make = {'cmd': 'mkdir -p made/deep; for f in a.csv b.csv c.txt deep/d.csv; do echo $f > made/$f; done', 'outs': ['made']}
    for deps, expected in (
        (['made/a.csv'], ['made/a.csv']),
        (['made/deep'], ['made/deep/d.csv']),
        (['made/*.csv'], ['made/a.csv', 'made/b.csv']),
        ([{'stage': 'make'}], ['made/a.csv', 'made/b.csv', 'made/c.txt', 'made/deep/d.csv']),
    ):
        lay(project, {'make': make, 'a': {'cmd': SEE, 'outs': ['o'], 'isolate': 'folder', 'deps': deps}})
        assert states(project.run())['a'] == 'done'
        assert [line.removeprefix('./') for line in project.read('o').splitlines()] == expected


def test_a_folder_without_what_is_ignored_and_links_by_what_they_lead_to(project: Project) -> None:
    project.write('real/a', 'one')
    project.write('data/b', 'two')
    project.write('data/__pycache__/x.pyc', 'ignored')
    project.write('data/.DS_Store', 'ignored')
    (project.path / 'data/inner').symlink_to('b')
    (project.path / 'data/outer').symlink_to('../real')
    (project.path / 'single').symlink_to('real/a')
    (project.path / 'empty').mkdir()
    lay(
        project,
        {
            'a': {
                'cmd': 'cat data/inner data/outer/a single > o; ls -A data >> o; test -d empty',
                'deps': ['data', 'single', 'empty'],
                'outs': ['o'],
                'isolate': 'folder',
            }
        },
    )
    assert run(project) == {'a': 'done'}
    assert project.read('o').replace('\n', ' ') == 'twooneoneb inner outer '


def test_a_stage_that_changes_its_own_copy_of_an_input_harms_nobody(project: Project) -> None:
    project.write('in', 'one')
    lay(project, {'a': {'cmd': 'cat in > o; echo more >> in; rm in', 'deps': ['in'], 'outs': ['o'], 'isolate': 'folder'}})
    assert run(project) == {'a': 'done'} and project.read('in') == 'one' and project.read('o') == 'one'
    (project.path / 'o').unlink()
    assert run(project) == {'a': 'restored'}
    assert not list(project.open().store.verify())


def test_an_executable_stays_one(project: Project) -> None:
    tool = project.write('tool', '#!/bin/sh\necho ran\n')
    tool.chmod(0o755)
    lay(project, {'a': {'cmd': './tool > o', 'outs': ['o'], 'isolate': 'folder'}})
    assert run(project) == {'a': 'done'} and project.read('o') == 'ran\n'


def test_wdir_and_paths_above_it(project: Project) -> None:
    project.write('sub/in', '1')
    project.write('up', '2')
    lay(
        project,
        {'a': {'cmd': 'cat in ../up > o', 'wdir': 'sub', 'deps': ['in', '../up'], 'outs': ['o', '../p'], 'isolate': 'folder'}},
    )
    assert 'did not make p' in failure(project.run(), 'a')
    lay(
        project,
        {
            'a': {
                'cmd': 'cat in ../up | tee ../p > o',
                'wdir': 'sub',
                'deps': ['in', '../up'],
                'outs': ['o', '../p'],
                'isolate': 'folder',
            }
        },
    )
    assert run(project) == {'a': 'done'} and project.read('sub/o') == project.read('p') == '12'


def test_the_package_of_the_project_is_the_copy(project: Project) -> None:
    """PYTHONPATH, and a ``src`` folder that is installed in place, lead to the folder's copies."""
    project.write('src/pkg/__init__.py', 'WHERE = __file__\n')
    project.write('main.py', 'import pkg\nprint(pkg.WHERE)\n')
    project.environ['PYTHONPATH'] = str(project.path / 'src')
    lay(project, {'a': {'cmd': 'python main.py', 'isolate': 'folder'}})
    report = project.run()
    assert '/.mlops/local/work/' in printed(project, report, 'a')


# Trials


def test_a_trial_changes_only_what_is_declared(project: Project) -> None:
    """A stage that reads more of params.yaml than it declares gets what the workspace has: its result must fit its key."""
    project.write('params.yaml', 'a: 1\nb: 1\nmap: {x: 1, y: 1}\n')
    lay(project, {'one': {'cmd': 'cat params.yaml > o', 'params': ['a', 'map.x'], 'outs': ['o']}})
    report = project.run(overlay={('params.yaml', 'a'): 2, ('params.yaml', 'b'): 2, ('params.yaml', 'map.y'): 2})
    made = content(project, report.settled['one'].outputs[0][1].digest)
    assert made == b'a: 2\nb: 1\nmap: {x: 1, y: 1}\n'
    report = project.run(overlay={('params.yaml', 'map'): {'x': 5, 'y': 5}})
    assert content(project, report.settled['one'].outputs[0][1].digest) == b'a: 1\nb: 1\nmap: {x: 5, y: 1}\n'
    assert not project.exists('o')


def content(project: Project, digest: object) -> bytes:
    bench = project.open()
    try:
        return bench.store.read(digest)  # type: ignore[arg-type]
    finally:
        bench.close()


def test_a_trial_leaves_the_workspace_as_it_was(project: Project) -> None:
    project.write('params.yaml', 'x: 1\n')
    lay(
        project,
        {
            'a': {'cmd': 'echo ${x} > a', 'outs': ['a']},
            'b': {'cmd': 'cat a a > b; echo \'{"m": 1}\' > m.json', 'deps': ['a'], 'outs': ['b'], 'metrics': ['m.json']},
            'c': {'cmd': 'echo c > c', 'outs': ['c']},
        },
    )
    run(project)
    project.write('b', 'changed by hand')
    pins = sorted(os.listdir(project.path / '.mlops/stages'))
    report = project.run(overlay={('params.yaml', 'x'): 2})
    assert states(report) == {'a': 'done', 'b': 'done', 'c': 'fresh'}
    assert project.read('a') == '1\n' and project.read('b') == 'changed by hand'
    assert sorted(os.listdir(project.path / '.mlops/stages')) == pins
    assert report.run is not None and [value for *_, value in report.run.metrics] == [1]
    assert states(project.run(overlay={('params.yaml', 'x'): 2})) == {'a': 'restored', 'b': 'restored', 'c': 'fresh'}


def test_a_trial_whose_stage_fails(project: Project) -> None:
    project.write('params.yaml', 'x: 0\n')
    lay(
        project, {'a': {'cmd': 'echo ${x} > a; exit ${x}', 'outs': ['a']}, 'b': {'cmd': 'cp a b', 'deps': ['a'], 'outs': ['b']}}
    )
    run(project)
    report = project.run(overlay={('params.yaml', 'x'): 3})
    assert states(report) == {'a': 'failed', 'b': 'skipped'} and report.ended == 'failed'
    assert (project.read('a'), project.read('b')) == ('0\n', '0\n')
    assert set(project.verdicts().values()) == {'fresh'}


def test_a_trial_of_a_project_with_tracked_data_that_is_not_here(project: Project) -> None:
    project.write('params.yaml', 'x: 1\n')
    project.write('data/a', 'tracked\n')
    lay(project, {'a': {'cmd': 'cat data/a > o; echo ${x} >> o', 'deps': ['data'], 'outs': ['o'], 'isolate': 'folder'}})
    track(project, 'data')
    shutil.rmtree(project.path / 'data')
    report = project.run(overlay={('params.yaml', 'x'): 2})
    assert states(report) == {'a': 'done'} and not project.exists('data') and not project.exists('o')
    assert content(project, report.settled['a'].outputs[0][1].digest) == b'tracked\n2\n'
    assert run(project) == {'a': 'done'} and project.read('o') == 'tracked\n1\n'


def test_a_trial_whose_input_turns_out_damaged_makes_it_again(project: Project) -> None:
    project.write('params.yaml', 'x: 1\n')
    project.write('in', 'one')
    lay(
        project,
        {
            'a': {'cmd': 'cp in a', 'deps': ['in'], 'outs': ['a']},
            'b': {'cmd': 'cp a b; echo ${x} >> b', 'deps': ['a'], 'outs': ['b']},
        },
    )
    run(project)
    project.write('in', 'two')
    run(project)
    project.write('in', 'one')  # `a` is to be restored, from an object that is damaged
    for path in (project.path / '.mlops/cache/objects-v1').rglob('*'):
        if path.is_file() and path.read_bytes() == b'one':
            path.chmod(0o644)
            path.write_bytes(b'0ne')
    report = project.run(overlay={('params.yaml', 'x'): 2})
    assert states(report) == {'a': 'done', 'b': 'done'}
    assert content(project, report.settled['b'].outputs[0][1].digest) == b'one2\n'
    assert run(project) == {'a': 'restored', 'b': 'restored'} and project.read('b') == 'one1\n'


def test_several_values_are_set_at_once_and_applied_with_the_files_they_were_meant_for(project: Project) -> None:
    project.write('params.yaml', '# mine\nx: 1  # one\ny: {z: 1}\n')
    project.write('conf/big.toml', '# tables\nlr = 0.1\n')
    lay(project, {'a': {'cmd': 'echo ${x} ${y.z} $MLOPS_PARAM_LR > o', 'params': [{'conf/big.toml': ['lr']}], 'outs': ['o']}})
    run(project)
    done = project.mlops('run', '--json', '--set', 'x=2', '--set', 'y.z=7', '--set', 'conf/big.toml:lr=0.5')
    assert project.read('o') == '1 1 0.1\n' and project.read('params.yaml').startswith('# mine\nx: 1')
    project.write('params.yaml', '# mine, edited meanwhile\nx: 1  # one\ny: {z: 1}\nnew: 3\n')
    project.mlops('runs', 'apply', done.json['run'].partition('-')[2])
    assert project.read('params.yaml') == '# mine, edited meanwhile\nx: 2  # one\ny: {z: 7}\nnew: 3\n'
    assert project.read('conf/big.toml') == '# tables\nlr = 0.5\n'
    assert project.read('o') == '2 7 0.5\n' and verdict(project, 'a') == 'fresh'
