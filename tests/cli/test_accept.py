"""``mlops accept``, and what plan, status, explain and run say of acceptances, rival results and other environments."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from mlops_cli.cli import app
from mlops_cli.core import layout
from mlops_cli.core.digest import digest_of
from mlops_cli.records.accepted import Accepted
from mlops_cli.store.results import decode, encode
from tests.cli.test_commands import Said
from tests.support.project import Project

SCHEMAS = Path(__file__).resolve().parents[2] / 'docs/schemas'
PIPELINE = """\
version: 1
stages:
  prepare:
    cmd: cat in.txt > data
    deps: [in.txt]
    outs: [data]
  train:
    cmd: python train.py
    deps: [data]
    outs: [model]
    metrics: [{m.json: {primary: accuracy, goals: {accuracy: max}}}]
  noise:
    cmd: 'echo "{\\"loss\\": 0.$(date +%N)}" > n.json'
    metrics: [n.json]
"""
TRAIN = 'import json\nopen("model", "w").write(open("data").read())\njson.dump({"accuracy": 0.9}, open("m.json", "w"))\n'
Mlops = Callable[..., Said]


@pytest.fixture
def mlops(project: Project, capfd: Any, monkeypatch: pytest.MonkeyPatch) -> Mlops:
    """One command line in this process; the exit code is checked unless ``code`` is None."""
    project.write('pipeline.yaml', PIPELINE)
    project.write('in.txt', 'one\n')
    project.write('train.py', TRAIN)
    for name, value in project.environ.items():
        monkeypatch.setenv(name, value)

    def call(*arguments: str, code: int | None = 0, cwd: str = '.') -> Said:
        monkeypatch.chdir(project.path / cwd)
        ended = app.run(arguments)
        found = capfd.readouterr()
        said = Said(ended, found.out, found.err)
        assert code is None or said.code == code, said
        return said

    return call


def valid(said: Said, name: str) -> Any:
    """The document, which its schema allows."""
    document = said.json
    jsonschema_rs.validator_for(json.loads((SCHEMAS / f'{name}.v1.json').read_text())).validate(document)
    return document


def edit(project: Project, text: str = 'print("hello")\n') -> None:
    project.write('train.py', TRAIN + text)


def test_a_stage(mlops: Mlops, project: Project) -> None:
    mlops('run')
    edit(project)
    shown = mlops('accept', 'train', '-n')
    assert 'differs: code train.py' in shown.out and 'Nothing was changed' in shown.out
    assert not project.exists('.mlops/accepted')
    said = mlops('accept', 'train', '--reason', 'only a greeting')
    assert said.lines[0].split() == ['accepted', 'train', 'accuracy', '0.9', 'model,', '4', 'B']
    assert 'Keep it: git add' in said.out and '.mlops' in said.out and 'only a greeting' in said.out
    assert 'only a greeting' in mlops('plan').out
    assert 'only a greeting' in mlops('status').out
    explained = mlops('explain', 'train').out
    assert 'Accepted\n' in explained and 'only a greeting' in explained and 'differed then: code train.py' in explained
    assert mlops('run').lines[0].startswith('Nothing to do')


def test_documents(mlops: Mlops, project: Project) -> None:
    mlops('run')
    edit(project)
    dry = valid(mlops('accept', 'model', '--dry-run', '--json'), 'accept')
    assert dry['dry_run'] and dry['stages'][0]['record'] is None and dry['stages'][0]['was'] == 'run'
    mlops('run', '--force', 'noise')
    said = valid(mlops('accept', 'train', 'prepare', '--reason', 'only a greeting', '--json'), 'accept')
    assert said['stages'][0]['differed'][0]['subject'] == 'train.py' and said['up_to_date'] == ['prepare']
    assert project.exists(said['stages'][0]['record']) and project.exists(said['stages'][0]['pin'])
    for command in ('plan', 'status'):
        document = valid(mlops(command, '--json'), command)
        stages = {stage['name']: stage for stage in document['stages']}
        assert stages['train']['accepted']['reason'] == 'only a greeting'
        assert stages['noise']['other_results'][0]['differs'] == ['n.json']
    assert {'in.txt', 'train.py'} <= set(document['not_committed']['files']) and document['not_committed']['records']
    explained = valid(mlops('explain', 'noise', '--json'), 'explain')
    assert explained['stages'][0]['other_results'][0]['run']
    (project.path / 'model').unlink()
    project.write('data', 'by hand')
    (project.path / 'in.txt').unlink()
    for command in (('plan',), ('status',), ('explain', 'train')):
        valid(mlops(*command, '--json'), command[0])


def test_the_same_for_the_same_reason_is_no_mistake(mlops: Mlops, project: Project) -> None:
    mlops('run')
    edit(project)
    mlops('accept', 'train', '--reason', 'only a greeting')
    records = sorted(path.name for path in (project.path / '.mlops/accepted').rglob('*'))
    again = mlops('accept', 'train', '--reason', 'only a greeting')
    assert 'recorded already, for the same reason' in again.out
    said = valid(mlops('accept', 'train', '--reason', 'only a greeting', '--json'), 'accept')
    assert said['stages'] == [] and said['up_to_date'] == ['train']
    assert sorted(path.name for path in (project.path / '.mlops/accepted').rglob('*')) == records
    assert 'nothing to accept' in mlops('accept', 'train', '--reason', 'another', code=2).err


def test_a_run_is_chosen_again_for_the_same_reason(mlops: Mlops) -> None:
    mlops('run')
    run = json.loads(mlops('runs', 'list', '--json').out)['rows'][0]['run']
    mlops('run', '--force', 'noise')
    mlops('accept', run, '--reason', 'the published one')
    assert 'recorded already' in mlops('accept', run, '--reason', 'the published one').out
    assert 'nothing more to accept' in mlops('accept', run, '--reason', 'x', code=2).err


def test_a_dry_run_is_a_plan(mlops: Mlops) -> None:
    document = valid(mlops('run', '--dry-run', '--json'), 'run-plan')
    assert [stage['verdict'] for stage in document['stages']] == ['run', 'run', 'run']


def test_a_run_is_chosen(mlops: Mlops, project: Project) -> None:
    mlops('run')
    first = json.loads(mlops('runs', 'list', '--json').out)['rows'][0]['run']
    again = mlops('run', '--force', 'noise')
    assert 'note: noise: not deterministic' in again.err and f'run {first} the other' in again.err and 'loss (' in again.err
    assert 'not deterministic' in mlops('plan').out and 'not deterministic' in mlops('status').out
    explained = mlops('explain', 'noise').out
    assert f'also         run {first}' in explained and 'tolerance, under metrics' in ' '.join(explained.split())
    assert 'not deterministic' in mlops('run').err, 'also where there is nothing to do'
    held = project.read('n.json')
    said = mlops('accept', first, '--reason', 'the published one')
    assert said.lines[0].split()[:2] == ['chosen', 'noise'] and 'The workspace holds another n.json' in said.out
    status = mlops('status').out
    assert 'not the result that was accepted' in status and 'of 2 results: the published one' in status
    ran = mlops('run')
    assert 'restored  noise' in ran.out and 'the published one' in ran.err and project.read('n.json') != held
    document = valid(mlops('accept', first, '--reason', 'x', '--json', code=2), 'error')
    assert 'nothing more to accept' in document['message']


def test_a_run_shows_what_was_accepted_of_it(mlops: Mlops, project: Project) -> None:
    mlops('run')
    run = json.loads(mlops('runs', 'list', '--json').out)['rows'][0]['run']
    mlops('run', '--force', 'noise')
    mlops('accept', run, '--reason', 'the published one')
    assert 'accepted   noise: chosen by' in mlops('runs', 'show', run).out
    stages = {stage['name']: stage for stage in valid(mlops('runs', 'show', run, '--json'), 'runs-show')['stages']}
    assert stages['noise']['accepted']['reason'] == 'the published one' and stages['train']['accepted'] is None


def test_a_suspect_result_can_be_trusted(mlops: Mlops, project: Project) -> None:
    edit(project, 'open("train.py", "a").write("x = 1\\n")\n')
    mlops('run', 'train', code=1)
    run = json.loads(mlops('runs', 'list', '--json').out)['rows'][0]['run']
    shown = mlops('runs', 'show', run).out
    assert f'mlops accept {run} --reason TEXT' in shown and 'code or inputs changed while it ran' in shown
    said = mlops('accept', run, '--reason', 'it only appends')
    assert said.lines[0].split()[:2] == ['trusted', 'train'] and 'for the code that it started with' in said.out
    stages = {stage['name']: stage for stage in valid(mlops('runs', 'show', run, '--json'), 'runs-show')['stages']}
    assert stages['train']['accepted']['kind'] == 'trusted' and not stages['train']['suspect']


def test_many_instances_share_a_line(mlops: Mlops, project: Project) -> None:
    text = 'version: 1\nstages:\n  a:\n    foreach: [1, 2, 3, 4, 5, 6, 7]\n    do:\n      cmd: echo ${item} > o${item}\n'
    project.write('pipeline.yaml', f'{text}      outs: ["o${{item}}"]\n')
    mlops('run')
    project.write('pipeline.yaml', f'{text}      outs: ["o${{item}}"]\n'.replace('echo', 'printf "%s\\\\n"'))
    said = mlops('accept', 'a', '--dry-run')
    assert said.lines[0].split() == ['accepted', 'a@*', '7', 'instances'] and 'and the like for the others (6)' in said.out
    assert len(mlops('accept', 'a', '--dry-run', '-v').lines) > 14
    last = mlops('accept', 'a', '--reason', 'printf').lines[-2]
    assert last.startswith('7 stages are recorded so, by ') and last.endswith(': printf')
    assert 'a@*: accepted by' in mlops('plan').out


def test_a_forced_run_says_so_in_its_document(mlops: Mlops, project: Project) -> None:
    mlops('run')
    document = mlops('run', '--force', 'noise', '--json').json
    (stage,) = [stage for stage in document['stages'] if stage['name'] == 'noise']
    assert stage['other_results'][0]['metrics'][0]['name'] == 'loss'


WRONG = [
    ((), 2, 'needs a reason', '--reason'),
    (('--reason', ' '), 2, 'needs a reason', '--reason'),
    (('--reason', 'a\nb'), 2, 'one line', 'commit'),
    (('--reason', 'x' * 1001), 2, '1,000', 'commit'),
]


@pytest.mark.parametrize(('options', 'code', 'what', 'hint'), WRONG)
def test_reasons_that_are_none(
    mlops: Mlops, project: Project, options: tuple[str, ...], code: int, what: str, hint: str
) -> None:
    mlops('run')
    edit(project)
    said = mlops('accept', 'train', *options, code=code)
    assert what in said.err and hint in said.err and not said.out and not project.exists('.mlops/accepted')


def test_words_that_mean_nothing(mlops: Mlops, project: Project) -> None:
    mlops('run')
    said = mlops('accept', 'trian', '--reason', 'x', code=2)
    assert "no stage, instance, output or run 'trian'" in said.err and 'did you mean train' in said.err
    run = json.loads(mlops('runs', 'list', '--json').out)['rows'][0]['run']
    assert 'accepted by itself' in mlops('accept', 'train', run, '--reason', 'x', code=2).err
    assert 'nothing to accept' in mlops('accept', 'train', '--reason', 'x', code=2).err
    assert 'Usage' in mlops('accept', code=2).err + mlops('accept', '-h').out


def test_refusals(mlops: Mlops, project: Project) -> None:
    mlops('run')
    project.write('in.txt', 'two\n')
    said = mlops('accept', 'train', '--reason', 'x', code=5)
    assert 'before prepare' in said.err and 'mlops run prepare' in said.err
    edit(project)
    (project.path / 'model').unlink()
    assert 'model is missing' in mlops('accept', 'train', 'prepare', '--reason', 'x', code=5).err


def test_it_works_before_any_run_and_outside_git(mlops: Mlops, project: Project) -> None:
    import shutil

    shutil.rmtree(project.path / '.git')
    project.write('data', 'one\n')
    project.write('model', 'from elsewhere')
    project.write('m.json', '{"accuracy": 0.8}')
    said = mlops('accept', 'train', 'prepare', '--reason', 'came by courier')
    assert [line.split()[1] for line in said.lines[:1]] == ['prepare'] and 'Keep it' not in said.out
    assert mlops('status', 'train', '--exit-code').code == 0


def test_from_another_folder(mlops: Mlops, project: Project) -> None:
    (project.path / 'deep').mkdir()
    mlops('run')
    edit(project)
    said = mlops('accept', '../model', '--reason', 'x', cwd='deep')
    assert 'accepted  train' in said.out


def test_a_hostile_acceptance(mlops: Mlops, project: Project) -> None:
    """What a branch brings reaches the terminal without its escape codes, on one line."""
    mlops('run')
    edit(project)
    mlops('accept', 'train', '--reason', 'fine')
    (path,) = (project.path / layout.ACCEPTED).iterdir()
    with_evil = '\x1b]0;owned\x07\x1b[2J[bold]‮evil\nFresh, 99 {}'
    found = json.loads(path.read_text())
    path.unlink()
    evil = Accepted(
        found['stage'], *(digest_of(b'').parse(found[name]) for name in ('key', 'outputs')), found['pin'], with_evil, with_evil,
        found['when'], with_evil, with_evil, 'accepted', (('code', with_evil, with_evil, None, with_evil),),
    )  # fmt: skip
    (path.parent / evil.file_name).write_bytes(evil.data)
    for command in ('plan', 'status', 'explain train', 'explain -v train', 'accept train --reason x'):
        said = mlops(*command.split(), code=None)
        text = said.out + said.err
        assert 'evil' in text and not any(sign in text for sign in '\x1b\x07‮'), command
        assert not any(line.startswith('Fresh, 99') for line in text.splitlines()), command
    valid(mlops('plan', '--json'), 'plan')


def test_a_damaged_acceptance_is_told(mlops: Mlops, project: Project) -> None:
    mlops('run')
    edit(project)
    mlops('accept', 'train', '--reason', 'fine')
    (path,) = (project.path / layout.ACCEPTED).iterdir()
    path.write_text(path.read_text().replace('fine', 'fake'))
    said = mlops('plan', code=1)
    assert path.name in said.err and 'does not give its name' in said.err and 'git checkout' in said.err
    path.unlink()
    path.symlink_to('/etc/hostname')
    assert 'symbolic link' in mlops('status', code=5).err


# Environments


def remade(project: Project, stage: str, environment: dict[str, Any], who: str = 'ben', host: str = 'gpu1') -> None:
    """As if the stage's result had come from another machine."""
    for path in (project.path / '.mlops/cache/results-v1').rglob('*.json'):
        entry = decode(path.read_bytes())
        if any(output == stage for output, _ in entry.outputs):
            os.chmod(path, 0o644)
            origin = {**entry.origin, 'who': who, 'host': host}
            path.write_bytes(encode(replace(entry, environment={**entry.environment, **environment}, origin=origin)))


def test_a_restore_from_another_environment(mlops: Mlops, project: Project) -> None:
    project.write('train.py', f'import yaml\n{TRAIN}')
    mlops('run')
    here = json.loads(mlops('explain', 'train', '--json').out)['stages'][0]['environment']
    assert here == []
    packages = {'PyYAML': '5.4', 'gone': '1'}
    other = {'python': '3.12.1', 'platform': 'Linux riscv64', 'gpu_driver': '550.54.15', 'packages': packages}
    remade(project, 'model', other)
    (project.path / 'model').unlink()
    plan = ' '.join(mlops('plan').out.split())
    assert '(ben, gpu1; Python 3.12.1, here ' in plan and 'platform Linux riscv64, here Linux' in plan and '; 2 more)' in plan
    short = mlops('explain', 'train').out
    assert 'Made in another environment' in short and 'PyYAML' in short
    document = valid(mlops('explain', 'train', '--json'), 'explain')['stages'][0]
    assert [one['name'] for one in document['environment']] == ['Python', 'platform', 'GPU driver', 'PyYAML', 'gone']
    assert document['environment'][-1] == {'name': 'gone', 'recorded': '1', 'here': None}
    ran = mlops('run')
    assert 'note: train: made in another environment: Python 3.12.1, here' in ran.err and 'restored  train' in ran.out


def test_the_same_environment_is_not_worth_a_word(mlops: Mlops, project: Project) -> None:
    mlops('run')
    (project.path / 'model').unlink()
    assert 'here' not in mlops('plan').out.replace('nowhere', '') and 'environment' not in mlops('run').err


def test_of_two_results_the_one_made_here_is_restored(mlops: Mlops, project: Project) -> None:
    """Neither is pinned: the environment decides, before the time."""
    mlops('run', 'noise')
    here = project.read('n.json')
    elsewhere = list((project.path / '.mlops/cache/results-v1').rglob('*.json'))
    mlops('run', '--force', 'noise')
    (new,) = set((project.path / '.mlops/cache/results-v1').rglob('*.json')) - set(elsewhere)
    os.chmod(new, 0o644)
    entry = decode(new.read_bytes())
    new.write_bytes(encode(replace(entry, environment={'platform': 'Linux riscv64'}, created='2001-01-01T00:00:00Z')))
    for path in (project.path / layout.STAGES).iterdir():
        path.unlink()
    (project.path / 'n.json').unlink()
    mlops('run', 'noise')
    assert project.read('n.json') == here


# What git does not have


def test_what_a_colleague_would_miss(mlops: Mlops, project: Project) -> None:
    project.write('pipeline.yaml', PIPELINE.replace('outs: [data]', 'outs: [data, {kept.txt: {cache: false}}]').replace(
        'cat in.txt > data', 'cat in.txt big.bin secret.txt > data; echo kept > kept.txt').replace(
        'deps: [in.txt]', 'deps: [in.txt, big.bin, secret.txt]'))  # fmt: skip
    project.write('big.bin', b'x' * (2 << 20))
    project.write('secret.txt', 'mine')
    project.write('.gitignore', 'secret.txt\n')
    ran = mlops('run')
    keep = next(line for line in ran.lines if line.startswith('Keep it'))
    assert all(f' {name} ' in keep for name in ('in.txt', 'kept.txt', 'train.py', '.mlops')) and 'big' not in keep
    found = valid(mlops('status', '--json'), 'status')['not_committed']
    assert set(found['data']) == {'big.bin', 'secret.txt'} and {'in.txt', 'kept.txt', 'train.py'} <= set(found['files'])
    page = mlops('status').out
    assert 'Nowhere but here' in page and '(mlops add big.bin secret.txt)' in page
    mlops('add', 'big.bin', 'secret.txt')
    project.commit('all')
    found = valid(mlops('status', '--json'), 'status')['not_committed']
    assert found == {'records': [], 'files': [], 'data': [], 'ignored': []}
    edit(project)
    assert valid(mlops('status', '--json'), 'status')['not_committed']['files'] == ['train.py']


def test_code_that_git_ignores(mlops: Mlops, project: Project) -> None:
    project.write('.gitignore', '*.py\n')
    mlops('run')
    assert valid(mlops('status', '--json'), 'status')['not_committed']['ignored'] == ['train.py']
    assert 'Ignored by git' in mlops('status').out


def test_many_files_are_named_by_their_folders(mlops: Mlops, project: Project) -> None:
    project.write('pipeline.yaml', PIPELINE.replace('deps: [in.txt]', "deps: [in.txt, 'texts/*.txt']"))
    for number in range(300):
        project.write(f'texts/{number}.txt', str(number))
    keep = next(line for line in mlops('run').lines if line.startswith('Keep it'))
    assert keep == 'Keep it: git add .gitattributes .gitignore .mlops in.txt pipeline.yaml texts train.py && git commit'
    project.commit('all')
    assert not any(valid(mlops('status', '--json'), 'status')['not_committed'].values())
    project.write('texts/7.txt', 'seven')
    assert valid(mlops('status', '--json'), 'status')['not_committed']['files'] == ['texts/7.txt']
