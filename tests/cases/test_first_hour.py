"""What a new user does in the first hour, with the whole program, on a small Python project."""

from __future__ import annotations

import pytest

from tests.support.project import Project

PIPELINE = """\
version: 1
stages:
  prepare:
    cmd: python prepare.py
    deps: [data.csv]
    params: [prepare]
    outs: [prepared.txt]
  train:
    matrix: {model: [small, large], seed: [1, 2]}
    cmd: python -m lib.train ${item.model} ${item.seed}
    deps: [prepared.txt]
    params: [train]
    outs: ["models/${item.model}-${item.seed}.bin"]
    metrics: [{"metrics/${item.model}-${item.seed}.json": {primary: accuracy, goals: {accuracy: max}}}]
  select:
    cmd: python select_best.py
    deps: [{stage: train}]
    outs: [best.bin]
    metrics: [best.json]
  validate:
    cmd: mlops gate "best.json:accuracy >= ${gate}"
    deps: [best.json]
"""
FILES = {
    'pipeline.yaml': PIPELINE,
    'params.yaml': 'prepare: {rows: 3}\ntrain: {rate: 0.5}\ngate: 0.1\n',
    'data.csv': 'a,1\nb,2\nc,3\nd,4\n',
    'prepare.py': (
        'import yaml\nfrom lib.common import HEADER\nrows = yaml.safe_load(open("params.yaml"))["prepare"]["rows"]\n'
        'open("prepared.txt", "w").write(HEADER + "".join(open("data.csv").readlines()[:rows]))\n'
    ),
    'lib/__init__.py': '',
    'lib/common.py': 'HEADER = "name,value\\n"\n\n\ndef scale(x):\n    return x * 2\n',
    'lib/score.py': 'def score(text, rate, seed):\n    return round(len(text) * rate / 100 + seed / 1000, 4)\n',
    'lib/train.py': (
        'import json, os, sys\nimport yaml\nfrom lib.score import score\n\n'
        'model, seed = sys.argv[1], int(sys.argv[2])\nrate = yaml.safe_load(open("params.yaml"))["train"]["rate"]\n'
        'text = open("prepared.txt").read()\nos.makedirs("models", exist_ok=True)\nos.makedirs("metrics", exist_ok=True)\n'
        'open(f"models/{model}-{seed}.bin", "w").write(f"{model} {seed} {rate} {text}")\n'
        'bonus = 0.1 if model == "large" else 0\n'
        'json.dump({"accuracy": score(text, rate, seed) + bonus}, open(f"metrics/{model}-{seed}.json", "w"))\n'
    ),
    'select_best.py': (
        'import glob, json, shutil\nbest = max(sorted(glob.glob("metrics/*.json")),\n'
        '           key=lambda p: json.load(open(p))["accuracy"])\n'
        'shutil.copy(best, "best.json")\nshutil.copy(best.replace("metrics", "models").replace("json", "bin"), "best.bin")\n'
    ),
}
TRAIN = [f'train@{model}-{seed}' for model in ('small', 'large') for seed in (1, 2)]
ALL = ['prepare', *TRAIN, 'select', 'validate']


@pytest.fixture
def trained(project: Project) -> Project:
    for path, text in FILES.items():
        project.write(path, text)
    project.mlops('run', '-j', '2')
    project.commit('first')
    return project


def states(project: Project, *arguments: str) -> dict[str, str]:
    found = project.mlops('run', '--json', *arguments).json
    return {stage['name']: stage['state'] for stage in found['stages'] if stage['state'] != 'fresh'}


def test_the_first_run_does_all_and_the_second_nothing(project: Project) -> None:
    for path, text in FILES.items():
        project.write(path, text)
    first = project.mlops('run', '--json').json
    assert sorted(stage['name'] for stage in first['stages'] if stage['state'] == 'done') == sorted(ALL)
    again = project.mlops('run')
    assert again.out.startswith(f'Nothing to do: {len(ALL)} stages are up to date')
    assert project.mlops('status', '--exit-code').code == 0
    project.git('add', '-A')
    tracked = project.git('diff', '--cached', '--name-only').split()
    assert 'best.bin' not in tracked and not any(
        path.startswith(('.mlops/cache', '.mlops/local', 'models/')) for path in tracked
    )
    assert sum(path.startswith('.mlops/stages/') for path in tracked) == len(ALL)


def test_a_comment_does_nothing_and_a_constant_what_depends_on_it(trained: Project) -> None:
    trained.write(
        'lib/common.py',
        '# a comment\n' + FILES['lib/common.py'].replace('    return x * 2', '    return (x\n            * 2)  # twice'),
    )
    assert states(trained) == {}
    trained.write('lib/score.py', FILES['lib/score.py'].replace('100', '90'))
    plan = trained.mlops('plan', '--json').json
    assert {stage['name']: stage['verdict'] for stage in plan['stages']} == {
        'prepare': 'fresh',
        **dict.fromkeys(TRAIN, 'run'),
        'select': 'maybe',
        'validate': 'maybe',
    }
    reasons = next(stage for stage in plan['stages'] if stage['name'] == TRAIN[0])['reasons']
    assert [(one['kind'], one['subject'], one['detail']) for one in reasons] == [
        ('code', 'lib/score.py', 'function score changed')
    ]
    assert states(trained) == dict.fromkeys([*TRAIN, 'select', 'validate'], 'done')


def test_going_back_restores(trained: Project) -> None:
    model = trained.read('best.bin')
    trained.write('params.yaml', FILES['params.yaml'].replace('0.5', '0.25'))
    plan = trained.mlops('plan', '--json', 'train').json
    assert next(one for stage in plan['stages'] for one in stage['reasons']) == {
        'kind': 'param',
        'subject': 'train.rate',
        'before': '0.5',
        'after': '0.25',
        'detail': '',
    }
    assert states(trained) == dict.fromkeys([*TRAIN, 'select', 'validate'], 'done')
    assert trained.read('best.bin') != model
    trained.write('params.yaml', FILES['params.yaml'])
    assert states(trained) == dict.fromkeys([*TRAIN, 'select'], 'restored')
    assert trained.read('best.bin') == model


def test_an_older_commit_brings_its_model_back(trained: Project) -> None:
    old = trained.read('best.bin')
    trained.write('params.yaml', FILES['params.yaml'].replace('0.5', '0.25'))
    trained.mlops('run')
    trained.commit('second')
    new = trained.read('best.bin')
    trained.git('checkout', '-q', 'HEAD~1')
    assert trained.read('best.bin') == new
    trained.mlops('checkout')
    assert trained.read('best.bin') == old
    assert trained.mlops('status', '--exit-code').code == 0
    trained.mlops('checkout', 'best.bin', '--at', 'main')
    assert trained.read('best.bin') == new
    trained.mlops('checkout', '--at', 'HEAD')
    assert trained.read('best.bin') == old


def test_explain_tells_each_component(trained: Project) -> None:
    trained.write('params.yaml', FILES['params.yaml'].replace('0.5', '0.25'))
    rows = trained.mlops('explain', TRAIN[0], '--json').json['stages'][0]['entries']
    assert {(row['kind'], row['name']): row['state'] for row in rows} == {
        ('command', 'cmd'): 'same',
        ('code', 'lib/__init__.py'): 'same',
        ('code', 'lib/score.py'): 'same',
        ('code', 'lib/train.py'): 'same',
        ('param', 'params.yaml:train'): 'changed',
        ('data', 'prepared.txt'): 'same',
        ('output', 'models/small-1.bin'): 'same',
        ('output', 'metrics/small-1.json'): 'same',
    }
    text = trained.mlops('explain', TRAIN[0]).out
    assert 'params.yaml:train' in text and '0.25' in text


def test_a_gate_that_fails_stops_the_run_and_tells_why(trained: Project) -> None:
    trained.write('params.yaml', FILES['params.yaml'].replace('gate: 0.1', 'gate: 0.99'))
    result = trained.mlops('run', code=1)
    assert 'FAILED    validate' in result.out
    assert 'accuracy' in result.out and '0.99' in result.out
    assert states_after(trained)['validate'] == 'run'


def states_after(project: Project) -> dict[str, str]:
    return {stage['name']: stage['verdict'] for stage in project.mlops('status', '--json').json['stages']}


def test_a_trial_leaves_everything_alone_until_it_is_applied(trained: Project) -> None:
    before = trained.read('best.bin')
    shown = trained.mlops('run', '--set', 'train.rate=0.75', '--json').json
    assert {stage['state'] for stage in shown['stages']} == {'fresh', 'done'}
    assert trained.read('best.bin') == before and trained.read('params.yaml') == FILES['params.yaml']
    assert trained.mlops('status', '--exit-code').code == 0
    trained.mlops('runs', 'apply', shown['run'].partition('-')[2])
    assert '0.75' in trained.read('params.yaml') and '0.75' in trained.read('best.bin')
    assert trained.mlops('status', '--exit-code').code == 0
    rows = trained.mlops('runs', 'list', '--json').json['rows']
    assert [row['trial'] for row in rows] == [False, True, False]


def test_a_failure_keeps_what_was_there_and_shows_what_matters(trained: Project) -> None:
    before = trained.read('best.bin')
    trained.write('select_best.py', 'open("best.bin", "w").write("half")\nraise SystemExit("no idea")\n')
    result = trained.mlops('run', code=1)
    assert 'FAILED    select' in result.out and '| no idea' in result.out and 'skipped   validate' in result.out
    assert trained.read('best.bin') == before
    assert 'no idea' in trained.mlops('logs', 'select').out
    trained.write('select_best.py', FILES['select_best.py'])
    assert states(trained) == {}


def test_an_output_edited_by_hand_is_kept_and_put_right(trained: Project) -> None:
    before = trained.read('best.json')
    trained.write('best.json', '{"accuracy": 1}')
    status = trained.mlops('status', '--json').json
    assert next(stage for stage in status['stages'] if stage['name'] == 'select')['changed_by_hand'] == ['best.json']
    assert trained.mlops('checkout', 'best.json', code=5).err
    trained.mlops('run')
    assert trained.read('best.json') == before
    kept = list((trained.path / '.mlops/local/rescue').rglob('best.json'))
    assert [path.read_text() for path in kept] == ['{"accuracy": 1}']
