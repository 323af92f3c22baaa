"""A project in which the examples of every command's help can be typed, and the commands found by walking them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from mlops_cli.cli import manual
from mlops_cli.cli import tree as known
from mlops_cli.cli.completion import grammar
from tests.support.project import Project, Result

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / 'docs' / 'schemas'
PLACEHOLDERS = re.compile(r'\b7k2m\w*\b'), re.compile(r'\b6hx2\w*\b')  # what help calls a trial, and a run before it

PIPELINE = """\
version: 1
name: digits
stages:
  prepare:
    cmd: mkdir -p data/prepared && cat data/labels.csv data/images/* > data/prepared/table.csv
    deps: [data/labels.csv, data/images]
    outs: [data/prepared]
  train:
    matrix: {model: [logistic, forest], seed: [1, 2]}
    cmd: sh scripts/train.sh ${item.model} ${item.seed} ${train.depth} ${train.rate}
    deps: [data/prepared]
    params: [train]
    outs: ['models/${item.model}-${item.seed}.skops']
    metrics: [{'metrics/${item.model}-${item.seed}.json': {primary: accuracy, goals: {accuracy: max}}}]
    plots: [{'plots/${item.model}-${item.seed}.csv': {x: epoch, y: loss}}]
  select:
    cmd: cp models/forest-1.skops models/best.skops && cp models/forest-1.skops best.skops && cp metrics/forest-1.json best.json
    deps: [{stage: train}]
    outs: [models/best.skops, best.skops]
    metrics: [{best.json: {primary: accuracy, goals: {accuracy: max}, tolerance: {accuracy: 0.001}}}]
    model: {name: digits, path: best.skops}
"""
TRAIN = """\
mkdir -p models metrics plots
echo "$@" > models/$1-$2.skops
echo "{\\"accuracy\\": 0.97$2$3, \\"loss\\": 0.$2}" > metrics/$1-$2.json
printf 'epoch,loss\\n1,0.5\\n2,0.%s\\n' $2 > plots/$1-$2.csv
echo "trained $1 with seed $2"
"""


def prepare(folder: Path) -> Project:
    """Tracked data, two runs on main of which one is tagged v1.2, and a trial."""
    project = Project(folder)
    project.write('pipeline.yaml', PIPELINE)
    project.write('params.yaml', 'train:\n  depth: 8\n  rate: 0.1\n')
    project.write('scripts/train.sh', TRAIN)
    project.write('train.py', 'print("a script of one\'s own")\n')
    project.write('data/labels.csv', 'image,label\na,1\n')
    project.write('data/images/a.txt', 'a\n')
    project.write('docs/README.md', 'Here.\n')
    project.init_git()
    project.mlops('add', 'data/images', 'data/labels.csv')
    project.mlops('run', '-q')
    project.commit('start')
    project.git('tag', 'v1.2')
    project.git('branch', 'deeper-trees')
    project.write('params.yaml', 'train:\n  depth: 9\n  rate: 0.1\n')
    project.mlops('run', '-q')
    project.commit('deeper')
    project.mlops('run', '-q', '--set', 'train.depth=10')
    return project


def copied(template: Project, folder: Path) -> Project:
    """The same project elsewhere, to be spoilt."""
    shutil.copytree(template.path, folder, symlinks=True)
    return Project(folder)


def only_words_changed(project: Project) -> None:
    project.write('scripts/train.sh', TRAIN.replace('trained', 'has trained'))


def a_run_goes_on(project: Project) -> str:
    project.write('scripts/train.sh', 'sleep 60\n')
    identity: str = project.mlops('run', '--detach', '--json').json['run']
    return identity.partition('-')[2]


def a_remote_came_by_git(project: Project) -> None:
    project.write('.mlops/config.yaml', 'remotes: {origin: {url: s3://example/cache}}\n')


def a_remote_is_there(project: Project) -> None:
    project.mlops('remote', 'add', 'origin', str(project.path.parent / f'{project.path.name}-remote'))


def a_host_is_there(project: Project) -> None:
    project.mlops('hosts', 'add', 'gpu1', 'ssh://ada@gpu1.example.org')


def a_host_answers(project: Project) -> None:
    """Its ``ssh`` does here what is to be done there."""
    program = project.path.parent / f'{project.path.name}-ssh/ssh'
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nfor last; do :; done\nexec /bin/sh -c "$last"\n')
    program.chmod(0o755)
    project.environ['PATH'] = f'{program.parent}:{project.environ.get("PATH", os.defpath)}'
    project.environ['HOME'] = str(program.parent)
    project.mlops('hosts', 'add', 'gpu1', 'ssh://ada@gpu1.example.org')


def all_is_in_a_remote(project: Project) -> None:
    a_remote_is_there(project)
    project.mlops('push')


def data_is_elsewhere(project: Project) -> None:
    project.write('../delivered/digits.csv', 'image,label\na,1\n')


def data_was_imported(project: Project) -> None:
    data_is_elsewhere(project)
    project.mlops('import', '../delivered/digits.csv', 'data/digits.csv')


def it_is_of_dvc(project: Project) -> None:
    project.write('dvc.yaml', 'stages:\n  greet:\n    cmd: echo hello > hello.txt\n    outs: [hello.txt]\n')
    project.write('.dvc/config', '')
    (project.path / 'pipeline.yaml').unlink()


def data_was_split(project: Project) -> None:
    project.write('data/train.csv', 'image,label\na,1\n')
    project.write('data/test.csv', 'image,label\nb,1\n')


def data_has_a_contract(project: Project) -> None:
    data_was_split(project)
    project.write('data/train.contract.yaml', 'version: 1\ncolumns:\n  label: {type: integer, max: 9}\n')


def data_has_a_baseline(project: Project) -> None:
    project.write('data/train.csv', 'x,y\n' + ''.join(f'{at % 9},{at % 2}\n' for at in range(90)))
    project.write('data/new.csv', 'x,y\n' + ''.join(f'{at % 9},{at % 2}\n' for at in range(60)))
    project.mlops('check', 'drift', 'data/train.csv', '--baseline', 'data/train.baseline.json', '--init')


def predictions_are_fair(project: Project) -> None:
    project.write('data/predictions.csv', 'label,prediction,sex\n1,1,f\n0,0,f\n1,1,m\n0,0,m\n')


def a_model_is_registered(project: Project) -> None:
    project.mlops('models', 'register')


def a_model_is_in_use(project: Project) -> None:
    a_model_is_registered(project)
    project.mlops('models', 'promote', 'digits@v1', 'prod')


def a_person_can_sign(project: Project) -> None:
    a_model_is_in_use(project)
    key = project.path.parent / 'key'
    if not key.exists():
        subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', str(key)], check=True)
    project.git('config', 'user.signingKey', str(key))
    public = ' '.join(key.with_suffix('.pub').read_text().split()[:2])
    project.write('.mlops/trust', f'ada@example.org {public}\n')
    project.commit('trust')


def a_statement_was_signed(project: Project) -> None:
    a_person_can_sign(project)
    project.mlops('lineage', 'export', 'digits@prod', '--sign', '-o', 'digits.intoto.json')
    project.mlops('models', 'get', 'digits@prod', 'serving')


def a_key_is_there(project: Project) -> None:
    why = "no model-signing (pip install 'mlops-cli[sign]')"
    pytest.importorskip('model_signing.signing', reason=why, exc_type=ImportError)
    a_model_is_registered(project)
    made = ['openssl', 'ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', 'key.pem']
    subprocess.run(made, cwd=project.path, check=True)


def somebody_else_registered_a_model(project: Project) -> None:
    a_model_is_registered(project)
    project.git('config', 'user.name', 'Ben')
    project.git('config', 'user.email', 'ben@example.org')


def another_model_took_its_place(project: Project) -> None:
    a_model_is_in_use(project)
    project.write('params.yaml', 'train:\n  depth: 8\n  rate: 0.1\n')
    project.mlops('run', '-q')
    project.mlops('models', 'register')
    project.mlops('models', 'promote', 'digits@v2', 'prod')


# What has to be so before an example makes sense, by command; the run that it is about, if that is not the trial.
BEFORE: dict[tuple[str, ...], Callable[[Project], str | None]] = {
    ('accept',): only_words_changed,
    ('adopt', 'dvc'): it_is_of_dvc,
    ('runs', 'cancel'): a_run_goes_on,
    ('config', 'confirm'): a_remote_came_by_git,
    ('remote', 'remove'): a_remote_is_there,
    ('hosts', 'remove'): a_host_is_there,
    ('hosts', 'setup'): a_host_answers,
    ('push',): a_remote_is_there,
    ('import',): data_is_elsewhere,
    ('update',): data_was_imported,
    ('check', 'overlap'): data_was_split,
    ('check', 'data'): data_has_a_contract,
    ('check', 'drift'): data_has_a_baseline,
    ('check', 'fairness'): predictions_are_fair,
    ('fetch',): all_is_in_a_remote,
    ('pull',): all_is_in_a_remote,
    ('storage', 'duplicates'): all_is_in_a_remote,
    **{('models', name): a_model_is_registered for name in ('list', 'show', 'card', 'get', 'verify', 'promote', 'tag', 'note')},
    ('lineage', 'upstream'): a_model_is_in_use,
    ('lineage', 'export'): a_person_can_sign,
    ('lineage', 'verify'): a_statement_was_signed,
    ('models', 'sign'): a_key_is_there,
    ('models', 'approve'): somebody_else_registered_a_model,
    ('models', 'diff'): a_model_is_in_use,
    ('models', 'history'): a_model_is_in_use,
    ('models', 'rollback'): another_model_took_its_place,
}


@cache
def tree() -> grammar.Node:
    """All commands, as they are in the code now."""
    return grammar.node(typer.main.get_command(known.app), 'mlops')


@cache
def commands() -> dict[tuple[str, ...], grammar.Node]:
    return dict(grammar.walk(tree()))


def reports(of: grammar.Node) -> bool:
    return any('--json' in param['names'] for param in of['params'])


def schema_file(path: tuple[str, ...]) -> Path:
    return SCHEMAS / f'{"-".join(path)}.v1.json'


def examples() -> list[tuple[tuple[str, ...], str]]:
    """(command, example) of each."""
    return [(path, line) for path, of in commands().items() for line in manual.examples(of)]


def ids(project: Project) -> list[str]:
    """Short ids, newest first."""
    names = sorted((path.stem for path in (project.path / '.mlops/runs').rglob('*.json')), reverse=True)
    return [name.partition('-')[2] for name in names]


def typeable(project: Project, path: tuple[str, ...], line: str) -> str:
    """An example, all made ready for it, with ids of runs that there are; without jq what stands in front of it."""
    about = BEFORE.get(path, lambda _: None)(project)
    known = [about, *ids(project)[1:]] if about else ids(project)
    for pattern, run in zip(PLACEHOLDERS, known, strict=False):
        line = pattern.sub(run, line)
    return line if shutil.which('jq') else line.partition(' | ')[0]


def asking_for_json(path: tuple[str, ...], line: str) -> str:
    """The example with --json, nothing behind it, and whatever comes before it silent."""
    line = re.split(r' \| | > ', line)[0]
    parts = line.split(' && ')
    last = max(number for number, part in enumerate(parts) if part.startswith(f'mlops {" ".join(path)}'))
    asked = parts[last] if ' --json' in parts[last] else f'{parts[last]} --json'
    return ' && '.join([*(f'{part} >/dev/null' for part in parts[:last]), asked])


def typed(project: Project, line: str) -> Result:
    """A line typed into a shell in the project; ``mlops`` is the one under test."""
    done = subprocess.run(
        ['/bin/sh', '-c', line], cwd=project.path, env=project.environ, capture_output=True, timeout=120, check=False
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


def problems(schema: Any, document: Any) -> list[str]:
    import jsonschema_rs

    found = jsonschema_rs.Draft202012Validator(schema).iter_errors(document)
    return [f'{"/".join(map(str, one.instance_path))}: {one.message[:300]}' for one in found]
