"""``params``, ``vars``, templates, ``matrix``, ``foreach`` and ``include``: which values make which stage run again."""

from __future__ import annotations

import json

import pytest

from tests.support.project import Project
from tests.support.stages import lay, printed, reasons, run, states, verdict

SHOW = {'cmd': 'env | grep ^MLOPS_PARAM_ | LC_ALL=C sort > o', 'outs': ['o']}


def test_only_declared_parameters_count(project: Project) -> None:
    project.write('params.yaml', 'train: {lr: 0.1, epochs: 3}\nother: 1\n')
    lay(project, {'a': {**SHOW, 'params': ['train.lr']}})
    assert run(project) == {'a': 'done'} and project.read('o') == 'MLOPS_PARAM_TRAIN_LR=0.1\n'
    project.write('params.yaml', '# a comment\nother: 2\ntrain:\n  epochs: 4\n  lr:   0.1\n')
    assert verdict(project, 'a') == 'fresh'
    project.write('params.yaml', 'train: {lr: 0.2}\n')
    assert reasons(project, 'a') == [('param', 'train.lr')]


@pytest.mark.parametrize(
    ('one', 'two'),
    [('1', '1.0'), ('1', '"1"'), ('1', 'true'), ('null', '""'), ('[1, 2]', '[2, 1]'), ('{}', 'null'), ('1.5', '1.50000000001')],
)
def test_values_of_another_type_or_order_are_other_values(project: Project, one: str, two: str) -> None:
    lay(project, {'a': {'cmd': 'true', 'params': ['x']}})
    project.write('params.yaml', f'x: {one}\n')
    assert run(project) == {'a': 'done'}
    project.write('params.yaml', f'x: {two}\n')
    assert verdict(project, 'a') == 'run'
    project.write('params.yaml', f'y: 1\nx:    {one}\n')
    assert verdict(project, 'a') == 'fresh'


def test_the_order_of_a_mapping_does_not_count(project: Project) -> None:
    lay(project, {'a': {'cmd': 'true', 'params': ['x']}})
    project.write('params.yaml', 'x: {a: 1, b: {c: 1, d: 2}}\n')
    assert run(project) == {'a': 'done'}
    project.write('params.yaml', 'x:\n  b: {d: 2, c: 1}\n  a: 1\n')
    assert verdict(project, 'a') == 'fresh'


def test_a_missing_parameter_is_a_value_of_its_own(project: Project) -> None:
    lay(project, {'a': {'cmd': 'true', 'params': ['x']}})
    assert run(project) == {'a': 'done'} and verdict(project, 'a') == 'fresh', 'not even a file'
    for text in ('x: null\n', 'x: ""\n'):
        project.write('params.yaml', text)
        assert verdict(project, 'a') == 'run', text
    project.write('params.yaml', 'y: 1\n')
    assert verdict(project, 'a') == 'fresh'


@pytest.mark.parametrize(
    ('file', 'one', 'two', 'same'),
    [
        ('p.yaml', 'k: {x: 1}\n', 'k: {x: 2}\n', 'k:\n  x: 1  # the same\n'),
        ('p.json', '{"k": {"x": 1}}', '{"k": {"x": 2}}', '{"other": 0,\n "k": {"x": 1}}'),
        ('conf/p.toml', '[k]\nx = 1\n', '[k]\nx = 2\n', '# the same\nother = 0\nk = {x = 1}\n'),
    ],
)
def test_keys_of_other_files(project: Project, file: str, one: str, two: str, same: str) -> None:
    lay(project, {'a': {**SHOW, 'params': [{file: ['k.x']}]}})
    project.write(file, one)
    assert run(project) == {'a': 'done'} and project.read('o') == 'MLOPS_PARAM_K_X=1\n'
    project.write(file, same)
    assert verdict(project, 'a') == 'fresh'
    project.write(file, two)
    assert reasons(project, 'a') == [('param', f'{file}:k.x')]


def test_a_whole_file_counts_by_its_values(project: Project) -> None:
    lay(project, {'a': {'cmd': 'true', 'params': [{'p.yaml': None}]}})
    project.write('p.yaml', 'a: 1\nb: [1, 2]\n')
    assert run(project) == {'a': 'done'}
    project.write('p.yaml', '# comment\nb: [1, 2]\na: 1\n')
    assert verdict(project, 'a') == 'fresh'
    project.write('p.yaml', 'a: 1\nb: [1, 2]\nc: 1\n')
    assert verdict(project, 'a') == 'run'


def test_the_pipeline_may_name_another_file_of_parameters(project: Project) -> None:
    project.write('conf/main.toml', 'lr = 0.5\n')
    lay(project, {'a': {'cmd': 'echo ${lr} $MLOPS_PARAM_LR', 'params': ['lr']}}, params='conf/main.toml')
    report = project.run()
    assert printed(project, report, 'a') == '0.5 0.5\n'


def test_a_parameter_in_the_command_counts_by_the_command(project: Project) -> None:
    project.write('params.yaml', 'lr: 0.1\nname: x\n')
    lay(project, {'a': {'cmd': 'echo ${lr}'}})
    assert run(project) == {'a': 'done'}
    project.write('params.yaml', 'lr: 0.1\nname: y\n')
    assert verdict(project, 'a') == 'fresh'
    project.write('params.yaml', 'lr: 0.2\nname: y\n')
    assert reasons(project, 'a') == [('command', '')]


def test_parameters_that_another_stage_makes(project: Project) -> None:
    """As in a search for parameters: what is found is read by the stage after it, key by key."""
    project.write('in', '1')
    lay(
        project,
        {
            'use': {**SHOW, 'params': [{'best.json': ['lr']}]},
            'search': {
                'cmd': 'printf \'{"lr": %s, "seconds": %s}\' $(cat in) $(date +%N | sed s/^0*//) > best.json',
                'deps': ['in'],
                'outs': ['best.json'],
            },
        },
    )
    assert run(project) == {'search': 'done', 'use': 'done'} and project.read('o') == 'MLOPS_PARAM_LR=1\n'
    assert run(project) == {'search': 'fresh', 'use': 'fresh'}
    assert run(project, 'search', force=True) == {'search': 'done'}
    assert verdict(project, 'use') == 'fresh', 'the key that it reads came out the same'
    project.write('in', '2')
    assert run(project) == {'search': 'done', 'use': 'done'} and project.read('o') == 'MLOPS_PARAM_LR=2\n'
    assert run(project) == {'search': 'fresh', 'use': 'fresh'}


def test_the_same_key_in_two_files_has_no_variable_unless_both_agree(project: Project) -> None:
    project.write('a.yaml', 'x: 1\ny: 1\n')
    project.write('b.yaml', 'x: 2\ny: 1\n')
    lay(project, {'a': {**SHOW, 'params': [{'a.yaml': ['x', 'y']}, {'b.yaml': ['x', 'y']}]}})
    assert run(project) == {'a': 'done'} and project.read('o') == 'MLOPS_PARAM_Y=1\n'


def test_vars_of_the_file_and_of_a_stage(project: Project) -> None:
    project.write('shared.yaml', 'names: {first: ada}\nunused: 1\n')
    lay(
        project,
        {'a': {'cmd': 'echo ${greeting} ${names.first} ${mark}', 'vars': [{'mark': '!'}]}, 'b': {'cmd': 'echo ${greeting}'}},
        vars=[{'greeting': 'hello'}, 'shared.yaml:names'],
    )
    report = project.run()
    assert printed(project, report, 'a') == 'hello ada !\n'
    project.write('shared.yaml', 'names: {first: ben}\nunused: 2\n')
    assert project.verdicts() == {'a': 'run', 'b': 'fresh'}


def test_a_matrix_with_include_and_exclude_end_to_end(project: Project) -> None:
    project.write('params.yaml', 'seeds: [1, 2]\n')
    lay(
        project,
        {
            'train': {
                'matrix': {
                    'model': ['log', 'forest'],
                    'seed': '${seeds}',
                    'include': [{'model': 'big', 'seed': 9}],
                    'exclude': [{'model': 'log', 'seed': 2}],
                },
                'cmd': 'echo ${item.model} ${item.seed} > m/${item.model}-${item.seed}',
                'outs': ['m/${item.model}-${item.seed}'],
            },
            'best': {'cmd': 'cat m/* > best', 'deps': [{'stage': 'train'}], 'outs': ['best']},
        },
    )
    assert sorted(run(project)) == ['best', 'train@big-9', 'train@forest-1', 'train@forest-2', 'train@log-1']
    assert project.read('best') == 'big 9\nforest 1\nforest 2\nlog 1\n'
    project.write('params.yaml', 'seeds: [1, 2, 3]\n')
    assert run(project) == {
        **dict.fromkeys(['train@big-9', 'train@forest-1', 'train@forest-2', 'train@log-1'], 'fresh'),
        **dict.fromkeys(['train@forest-3', 'train@log-3', 'best'], 'done'),
    }
    project.write('params.yaml', 'seeds: [1]\n')
    assert run(project)['best'] == 'done', 'outputs of instances that are no more are no input'
    (project.path / 'm/forest-3').unlink()
    assert set(project.verdicts().values()) == {'fresh'}


def test_foreach_over_a_mapping_runs_one_instance_for_one_changed_item(project: Project) -> None:
    project.write('params.yaml', json.dumps({'langs': {'en': {'word': 'hello'}, 'de': {'word': 'hallo'}}}))
    lay(project, {'say': {'foreach': '${langs}', 'do': {'cmd': 'echo ${item.word} > ${key}', 'outs': ['${key}']}}})
    assert run(project) == {'say@en': 'done', 'say@de': 'done'}
    project.write('params.yaml', json.dumps({'langs': {'de': {'word': 'servus'}, 'en': {'word': 'hello'}}}))
    assert project.verdicts() == {'say@de': 'run', 'say@en': 'fresh'}
    assert run(project, 'say@de') == {'say@de': 'done'} and project.read('de') == 'servus\n'


def test_an_included_pipeline_stands_on_its_own_and_shares_the_graph(project: Project) -> None:
    project.write('sub/params.yaml', 'x: inner\n')
    project.write('params.yaml', 'x: outer\n')
    project.write('sub/pipeline.yaml', 'stages: {inner: {cmd: "echo ${x} > o", params: [x], outs: [o]}}\n')
    lay(
        project,
        {'outer': {'cmd': 'echo ${x} $(cat sub/o) > o', 'deps': ['sub/o'], 'outs': ['o']}},
        include=['sub/pipeline.yaml'],
    )
    assert run(project) == {'inner': 'done', 'outer': 'done'} and project.read('o') == 'outer inner\n'
    project.write('sub/params.yaml', 'x: changed\n')
    assert run(project) == {'inner': 'done', 'outer': 'done'} and project.read('o') == 'outer changed\n'


def test_what_describes_a_stage_or_limits_it_runs_nothing_again(project: Project) -> None:
    stage = {'cmd': 'echo 1 > o', 'outs': ['o'], 'metrics': ['m.json']}
    stage['cmd'] = 'echo 1 > o; echo \'{"acc": 1}\' > m.json'
    lay(project, {'a': stage})
    assert run(project) == {'a': 'done'}
    for change in (
        {'desc': 'Makes o'},
        {'meta': {'owner': 'me'}},
        {'resources': {'cpus': 2, 'memory': '1MiB'}},
        {'timeout': '1h', 'grace': '3s'},
        {'retry': {'max': 3, 'causes': ['network']}},
        {'mutex': ['db']},
        {'isolate': 'folder'},
        {'caches': ['.cache/x'], 'checkpoint': 'ckpt'},
        {'model': {'name': 'digits', 'path': 'o'}},
        {'outs': [{'o': {'desc': 'one', 'cache': False}}]},
        {'metrics': [{'m.json': {'primary': 'acc', 'goals': {'acc': 'max'}}}]},
        {'metrics': [], 'plots': ['m.json']},
    ):
        lay(project, {'a': {**stage, **change}}, name='other', desc='A pipeline')
        assert verdict(project, 'a') == 'fresh', change
    lay(project, {'renamed': stage})
    assert project.verdicts() == {'renamed': 'fresh'}, 'the name of a stage is not in its key'
    lay(project, {'a': stage, 'b': {'cmd': 'true'}})
    assert run(project) == {'a': 'fresh', 'b': 'done'}
    lay(project, {'b': {'cmd': 'true'}, 'a': {**stage, 'needs': ['b']}})
    assert states(project.run()) == {'b': 'fresh', 'a': 'fresh'}


def test_a_renamed_stage_whose_output_is_gone_is_restored(project: Project) -> None:
    lay(project, {'a': {'cmd': 'echo 1 > o', 'outs': ['o']}})
    run(project)
    (project.path / 'o').unlink()
    lay(project, {'b': {'cmd': 'echo 1 > o', 'outs': ['o']}})
    assert run(project) == {'b': 'restored'}
