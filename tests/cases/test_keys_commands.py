"""``cmd``, ``argv``, ``wdir``, ``env`` and what a command sees of its stage."""

from __future__ import annotations

import json

import pytest

from tests.support.project import Project
from tests.support.stages import ended, failure, lay, printed, reasons, run, verdict

HOSTILE = [
    '$(touch CANARY)',
    '`touch CANARY`',
    "'; touch CANARY; '",
    '"; touch CANARY; "',
    '&& touch CANARY',
    '| tee CANARY',
    '> CANARY',
    '\n touch CANARY\n',
    '-n',
    '--help',
    '*',
    '~',
    '!!',
    '${HOME}',
    '\\',
    'it\'s "5" o\'clock',
    'tab\there',
    'emoji 🎉 and umlaut ä',
    ' leading and trailing ',
    '#no comment',
    '%s%n',
    'a\\nb',
    '$0 $1 $@ $$',
]


def test_a_list_of_commands_runs_in_order_until_one_fails(project: Project) -> None:
    lay(
        project,
        {'a': {'cmd': ['echo one >> log.txt', 'echo two >> log.txt; false', 'echo three >> log.txt'], 'outs': ['log.txt']}},
    )
    report = project.run()
    assert failure(report, 'a').startswith('exit 1')
    kept = [path.read_text() for path in (project.path / '.mlops/local/failed').rglob('log.txt')]
    assert kept == ['one\ntwo\n']
    lay(project, {'a': {'cmd': ['echo one >> log.txt', 'echo two >> log.txt'], 'outs': ['log.txt']}})
    assert run(project) == {'a': 'done'}
    assert project.read('log.txt') == 'one\ntwo\n'


def test_a_script_of_several_lines_stops_at_the_first_that_fails(project: Project) -> None:
    lay(project, {'a': {'cmd': 'echo one\nfalse\necho two\n'}})
    report = project.run()
    assert failure(report, 'a').startswith('exit 1') and printed(project, report, 'a') == 'one\n'


def test_variables_and_folders_last_through_one_script_but_not_through_a_list(project: Project) -> None:
    project.write('sub/here.txt', 'here')
    lay(project, {'a': {'cmd': 'cd sub\nX=1\necho "$X $(cat here.txt)"'}, 'b': {'cmd': ['cd sub; X=1', 'echo "[$X]" *.yaml']}})
    report = project.run()
    assert printed(project, report, 'a') == '1 here\n' and printed(project, report, 'b') == '[] pipeline.yaml\n'


def test_argv_starts_the_program_without_a_shell(project: Project) -> None:
    words = ['$HOME', '*', '; touch CANARY', "it's", '', '--', 'a b', '🎉']
    lay(
        project,
        {'a': {'argv': ['python', '-c', 'import json, sys; json.dump(sys.argv[1:], open("o", "w"))', *words], 'outs': ['o']}},
    )
    assert run(project) == {'a': 'done'}
    assert json.loads(project.read('o')) == words and not project.exists('CANARY')


def test_argv_without_such_a_program_says_so(project: Project) -> None:
    lay(project, {'a': {'argv': ['no-such-program-here']}})
    report = project.run()
    assert 'exit 127' in failure(report, 'a')
    assert 'no-such-program-here' in printed(project, report, 'a')


def test_hostile_values_arrive_byte_for_byte_and_start_nothing(project: Project) -> None:
    """In every place where a value may stand: bare, in both kinds of quotes, in argv, in the environment."""
    write = 'import json, os, sys; json.dump([*sys.argv[1:], os.environ["MLOPS_PARAM_V"]], open("out.json", "w"))'
    project.write('write.py', write)
    stages = {
        'bare': {'cmd': 'python ../write.py ${v}'},
        'double': {'cmd': 'python ../write.py "${v}"'},
        'single': {'cmd': "python ../write.py '${v}'"},
        'argv': {'argv': ['python', '../write.py', '${v}']},
        'word': {'cmd': 'V=${v}; python ../write.py "$V"'},
    }
    names = [f'{place}-{number}' for number in range(len(HOSTILE)) for place in stages]
    lay(
        project,
        {
            place: {
                'foreach': '${values}',
                'do': {
                    **{key: json.loads(json.dumps(value).replace('${v}', '${item.v}')) for key, value in stage.items()},
                    'wdir': f'{place}-${{item.n}}',
                    'params': ['v'],
                    'outs': ['out.json'],
                },
            }
            for place, stage in stages.items()
        },
        params='values.json',
    )
    project.write('values.json', json.dumps({'values': [{'n': n, 'v': v} for n, v in enumerate(HOSTILE)], 'v': 'canary'}))
    report = project.run(jobs=4)
    assert report.ended == 'done', [one.event for one in report.settled.values() if one.state != 'done'][:2]
    for name in names:
        value = HOSTILE[int(name.rpartition('-')[2])]
        assert json.loads(project.read(f'{name}/out.json')) == [value, 'canary'], name
    assert not list(project.path.rglob('CANARY')) and not list(project.path.parent.glob('CANARY'))


@pytest.mark.parametrize('value', HOSTILE)
def test_a_hostile_parameter_arrives_in_the_environment(project: Project, value: str) -> None:
    project.write('params.yaml', json.dumps({'train': {'v': value, 'n': 3, 'yes': True}}, ensure_ascii=False))
    lay(
        project,
        {
            'a': {
                'argv': [
                    'python',
                    '-c',
                    'import os; print([os.environ["MLOPS_PARAM_TRAIN_" + n] for n in ("V", "N", "YES")], end="")',
                ],
                'params': ['train'],
            }
        },
    )
    report = project.run()
    assert printed(project, report, 'a') == repr([value, '3', 'true'])


def test_a_command_knows_its_stage_run_and_attempt(project: Project) -> None:
    lay(
        project,
        {'a': {'cmd': 'echo $MLOPS_STAGE $MLOPS_RUN $MLOPS_ATTEMPT_NUMBER; test $MLOPS_ATTEMPT_NUMBER = 2', 'retry': 1}},
    )
    report = project.run()
    assert report.run is not None
    assert printed(project, report, 'a') == f'a {report.run.id} 2\n'
    first = next((project.path / '.mlops/local/logs').rglob('a.log'))
    assert first.read_text() == f'a {report.run.id} 1\n'


def test_paths_are_relative_to_wdir(project: Project) -> None:
    project.write('sub/in.txt', 'in')
    project.write('sub/params.yaml', 'p: 5\n')
    project.write('sub/code.py', 'print(open("in.txt").read())\n')
    stage = {
        'cmd': 'python code.py > out.txt',
        'wdir': 'sub',
        'deps': ['in.txt'],
        'params': ['p'],
        'outs': ['out.txt', '../up.txt'],
    }
    lay(project, {'a': {**stage, 'cmd': 'python code.py > out.txt; cp in.txt ../up.txt'}})
    assert run(project) == {'a': 'done'}
    assert project.read('sub/out.txt') == 'in\n' and project.read('up.txt') == 'in'
    for file, text in (('sub/in.txt', 'other'), ('sub/params.yaml', 'p: 6\n'), ('sub/code.py', 'print("new")\n')):
        project.write(file, text)
        assert verdict(project, 'a') == 'run', file
        assert run(project) == {'a': 'done'}


def test_wdir_is_made_and_counts(project: Project) -> None:
    lay(project, {'a': {'cmd': 'pwd > where.txt', 'wdir': 'deep/er', 'outs': ['where.txt']}})
    assert run(project) == {'a': 'done'}
    assert project.read('deep/er/where.txt').strip() == str(project.path / 'deep/er')
    lay(project, {'a': {'cmd': 'pwd > where.txt', 'wdir': 'other', 'outs': ['where.txt']}})
    assert ('command', '') in reasons(project, 'a')


def test_declared_variables_count_and_others_do_not(project: Project) -> None:
    lay(project, {'a': {'cmd': 'echo "$DECLARED $OTHER" > o', 'env': ['DECLARED'], 'outs': ['o']}})
    assert run(project) == {'a': 'done'}
    assert verdict(project, 'a', OTHER='x') == 'fresh'
    assert verdict(project, 'a', DECLARED='1') == 'run'
    assert verdict(project, 'a', DECLARED='') == 'run', 'empty is another value than unset'
    project.environ['DECLARED'] = '1'
    assert reasons(project, 'a') == [('environment', 'DECLARED')]
    assert run(project) == {'a': 'done'} and project.read('o') == '1 \n'
    del project.environ['DECLARED']
    assert run(project) == {'a': 'restored'}


def test_a_declared_variable_can_stand_in_the_command(project: Project) -> None:
    project.environ['NAME'] = "it's $HOME"
    lay(project, {'a': {'cmd': 'printf %s ${env:NAME}', 'env': ['NAME']}})
    report = project.run()
    assert printed(project, report, 'a') == "it's $HOME"


def test_a_stage_without_outputs_remembers_that_it_went_well(project: Project) -> None:
    lay(project, {'a': {'cmd': 'test -e ../fine'}})
    assert run(project) == {'a': 'failed'}
    project.write('../fine', '')
    assert run(project) == {'a': 'done'}
    assert verdict(project, 'a') == 'fresh'


def test_what_a_command_needs_of_a_terminal_is_not_there(project: Project) -> None:
    """No input to wait for, and what it prints goes to one log in order."""
    lay(project, {'a': {'cmd': 'read line || echo no input; echo out; echo err >&2; echo out'}})
    report = project.run()
    assert printed(project, report, 'a') == 'no input\nout\nerr\nout\n'


def test_a_stage_may_leave_processes_behind_which_are_ended_and_told(project: Project) -> None:
    lay(project, {'a': {'cmd': 'sleep 300 & echo $! > pid; (setsid sleep 300 &) ; echo made > o', 'outs': ['o', 'pid']}})
    report = project.run()
    assert ended(report, 'a').state == 'done'
    assert any('processes behind' in note for note in ended(report, 'a').notes)
    assert project.read('o') == 'made\n'
