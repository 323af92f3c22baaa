"""Gates over several seeds, a git revision and a registered model; who holds an alias is part of what a stage depends on."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from mlops_cli.cli.gate_sources import beyond
from mlops_cli.core.errors import UserError
from tests.support.project import Project

PIPELINE = """\
stages:
  train:
    cmd: 'mkdir -p runs/${item.seed}; echo "{\\"acc\\": ${base}${item.seed}}" > runs/${item.seed}/m.json'
    matrix: {seed: [1, 2, 3, 10]}
    params: [base]
    outs: ['runs/${item.seed}/m.json']
  best:
    cmd: cp runs/3/m.json best.json; echo ${base} > model.bin
    deps: [runs/3/m.json]
    outs: [model.bin]
    metrics: [best.json]
    model: {name: digits, path: model.bin}
  gate:
    cmd: mlops gate --first "best.json:acc >= digits@prod/best.json:acc"
    deps: [best.json]
"""


@pytest.fixture(scope='module')
def template(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp('gates') / 'project')
    project.init_git()
    project.write('pipeline.yaml', PIPELINE)
    project.write('params.yaml', 'base: 0.9\n')
    project.mlops('run')
    project.commit('first')
    return project


@pytest.fixture
def project(template: Project, tmp_path: Path) -> Project:
    shutil.copytree(template.path, tmp_path / 'project', symlinks=True)
    return Project(tmp_path / 'project')


def stale(project: Project) -> list[str]:
    return [row['name'] for row in project.mlops('plan', '--json').json['stages'] if row['verdict'] != 'fresh']


def test_seeds(project: Project) -> None:
    passed = project.mlops('gate', 'above(runs/*/m.json:acc, 0.9) and std(runs/*/m.json:acc) < 0.1')
    assert 'mean 0.9175 of 4, 0.91 to 0.93' in passed.out
    project.mlops('gate', 'lower(runs/*/m.json:acc) > 0.92', code=1)
    assert project.mlops('gate', '--json', 'mean(runs/*/m.json:acc) > 0').json['values'] == {
        'runs/*/m.json:acc': [0.91, 0.92, 0.93, 0.91]
    }
    refused = project.mlops('gate', 'mean(nothing/*/m.json:acc) > 0', code=2)
    assert 'no file is called nothing/*/m.json' in refused.err
    project.write('runs/*/m.json', '{"acc": 7}')
    project.mlops('gate', '"runs/*/m.json":acc == 7')  # in quotes it is the file, where there is one


def test_a_revision(project: Project) -> None:
    project.write('params.yaml', 'base: 0.8\n')
    project.mlops('run')
    failed = project.mlops('gate', 'best.json:acc >= best.json@HEAD:acc', code=1)
    assert 'best.json:acc is 0.83, best.json@HEAD:acc is 0.93' in failed.out
    assert "no revision" in project.mlops('gate', 'best.json@nowhere:acc > 0', code=2).err.lower()
    project.write('pipeline.yaml', PIPELINE.replace('digits@prod/best.json', 'best.json@HEAD'))
    failed = project.mlops('run', code=1)
    assert 'what a revision has is no input of a stage' in failed.out + failed.err


def test_a_revision_is_told_by_the_text_alone(project: Project) -> None:
    project.write('best@HEAD', '{"acc": 0}')
    refused = project.mlops('gate', 'best.json:acc >= best@HEAD:acc', code=2)
    assert 'no revision can be named' in refused.err
    project.mlops('gate', 'best.json:acc >= "best@HEAD":acc')  # in quotes it is the file
    project.write('best.json@', '{"acc": 0}')
    refused = project.mlops('gate', 'best.json:acc >= best.json@:acc', code=2)  # of a variable that is not set
    assert 'no revision stands behind the @' in refused.err
    project.write('best.toml', 'acc = 0.5\n')
    project.commit('toml')
    project.write('best.toml@HEAD', '{"acc": 0}')
    assert '(0.5)' in project.mlops('gate', 'best.toml@HEAD:acc > 0').out
    for revision in ('HEAD~1', 'HEAD^', 'HEAD@{0}'):
        project.mlops('gate', f'best.json:acc >= best.json@{revision}:acc')


def test_a_link_to_a_seed_is_no_further_seed(project: Project) -> None:
    (project.path / 'runs/latest').symlink_to('10')
    (project.path / 'runs/first').symlink_to('1')
    assert len(project.mlops('gate', '--json', 'mean(runs/*/m.json:acc) > 0').json['values']['runs/*/m.json:acc']) == 4


def test_many_large_files_are_not_held_at_once(project: Project) -> None:
    for seed in range(9):
        path = project.path / f'large/{seed}/m.json'
        path.parent.mkdir(parents=True)
        path.touch()
        os.truncate(path, 15 << 20)
    refused = project.mlops('gate', 'mean(large/*/m.json:acc) > 0', code=2)
    assert 'the 9 files called large/*/m.json have 141,557,760 bytes, more than 134,217,728' in ' '.join(refused.err.split())


def test_first_is_for_aliases(project: Project) -> None:
    gate = 'best.json:acc >= 0.5 and best.json:acc >= digits@{}/best.json:acc'
    assert project.mlops('gate', '--first', gate.format('prod')).out.startswith('gate passed')
    for which in ('v3', 'deadbeef01'):
        refused = project.mlops('gate', '--first', gate.format(which), code=2)
        assert f'digits@{which}: no model' in refused.err
    project.mlops('gate', '--first', gate.format('prod').replace('0.5', '0.99'), code=1)


def test_who_holds_an_alias_is_part_of_the_key(project: Project) -> None:
    assert stale(project) == []
    refused = project.mlops('gate', 'best.json:acc >= digits@prod/best.json:acc', code=1)
    assert '--first' in refused.err
    project.mlops('models', 'register', 'digits')
    project.mlops('models', 'promote', 'digits@v1', 'staging')
    assert stale(project) == []  # nobody reads that
    project.mlops('models', 'promote', 'digits@v1', 'prod')
    assert stale(project) == ['gate']
    assert 'model:digits@prod' in project.mlops('explain', 'gate').out
    assert 'digits@prod/best.json:acc is 0.93' in project.mlops('run').out
    assert stale(project) == []
    assert project.mlops('status').out.count('Up to date') == 1  # and from the answer that was kept
    assert project.mlops('status').out.count('Up to date') == 1
    project.write('params.yaml', 'base: 0.8\n')
    failed = project.mlops('run', code=1)
    assert 'best.json:acc is 0.83, digits@prod/best.json:acc is 0.93' in failed.out
    near = project.mlops('gate', '--first', 'best.json:acc >= digits@prot/best.json:acc', code=2)
    assert 'did you mean prod?' in near.err
    other = project.mlops('gate', '--first', 'best.json:acc >= digits@prod/other.json:acc', code=2)
    assert 'registered without metrics of other.json; there are those of: best.json' in ' '.join(other.err.split()).replace(
        ' hint: there', '; there'
    )


def test_a_promotion_is_noticed_where_nothing_else_changed(project: Project) -> None:
    project.mlops('models', 'register', 'digits')
    project.commit('registered')
    os.utime(project.path / 'pipeline.yaml', (1, 1))
    for _ in range(3):
        assert 'Up to date' in project.mlops('status').out
    project.mlops('models', 'promote', 'digits@v1', 'prod')
    assert 'gate' in project.mlops('status').out


@pytest.mark.parametrize('isolate', ['folder', None])
def test_a_stage_is_told_of_the_version_that_counts(project: Project, isolate: str | None) -> None:
    """Also where it does not see the project."""
    project.mlops('models', 'register', 'digits')
    project.mlops('models', 'promote', 'digits@v1', 'prod')
    words = ['--isolate', isolate] if isolate else []
    assert 'digits@prod/best.json:acc is 0.93' in project.mlops('run', *words).out


def test_a_model_of_many_metrics_can_be_named(project: Project) -> None:
    """One environment variable holds 128 KiB, and each of two models has more."""
    names = {f'evaluation.{"x" * 180}.class{at:05}.recall': at / 500 for at in range(490)}
    project.write('runs/3/m.json', json.dumps({'acc': 0.93, **names}))
    project.write('pipeline.yaml', '''\
stages:
  best:
    cmd: cp runs/3/m.json best.json; echo 1 > model.bin
    deps: [runs/3/m.json]
    outs: [model.bin]
    metrics: [best.json]
    model: {name: digits, path: model.bin}
''')
    project.mlops('run')
    project.mlops('models', 'register', 'digits')
    for alias in ('prod', 'staging'):
        project.mlops('models', 'promote', 'digits@v1', alias)
    gate = ' and '.join(f'best.json:acc >= digits@{alias}/best.json:acc' for alias in ('prod', 'staging'))
    project.write('pipeline.yaml', f'{(project.path / "pipeline.yaml").read_text()}  gate:\n    cmd: mlops gate "{gate}"\n')
    assert 'digits@staging/best.json:acc is 0.93' in project.mlops('run').out


def test_what_was_left_out_of_a_version_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('MLOPS_STAGE', 'gate')
    monkeypatch.setenv('MLOPS_MODELS', json.dumps({'d@prod': {'metrics': {'a.json': {'x': 1}}, 'left_out': 495}}))
    with pytest.raises(UserError) as error:
        beyond('d@prod/b.json', False, lambda _: None, 1)
    assert error.value.hint == 'there are those of: a.json; 495 numbers were left out when it was registered'


def test_a_script_cannot_read_behind_the_keys_back(project: Project) -> None:
    project.mlops('models', 'register', 'digits')
    project.write('check.sh', 'mlops gate "best.json:acc >= digits@v1/best.json:acc"\n')
    gate = 'mlops gate --first "best.json:acc >= digits@prod/best.json:acc"'
    project.write('pipeline.yaml', PIPELINE.replace(gate, 'sh check.sh'))
    failed = project.mlops('run', code=1)
    said = ' '.join((failed.out + failed.err).split())
    assert 'the command of this stage does not name digits@v1' in said


def test_what_two_branches_decided_ends_the_gate_and_not_the_plan(project: Project) -> None:
    project.mlops('models', 'register', 'digits')
    first = project.path / '.mlops/models/digits'
    project.write('params.yaml', 'base: 0.95\n')
    project.mlops('run')
    project.mlops('models', 'register', 'digits')
    before = {path: path.read_bytes() for path in first.rglob('*') if path.is_file()}
    project.mlops('models', 'promote', 'digits@v1', 'prod')
    ours = {path: path.read_bytes() for path in first.rglob('*') if path.is_file() and path not in before}
    for path in ours:
        path.unlink()
    project.mlops('models', 'promote', 'digits@v2', 'prod')
    for path, data in ours.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert stale(project) == ['gate']
    failed = project.mlops('run', code=1)
    assert 'digits@prod: ' in ' '.join((failed.out + failed.err).split())
    assert json.loads(project.mlops('gate', '--json', 'best.json:acc > digits@prod/best.json:acc', code=5).out)['schema']
