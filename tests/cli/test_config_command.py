"""``mlops config``: values with their origins, careful edits, and the question about what came by git."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from mlops_cli.cli import app, trusting
from mlops_cli.core import layout
from tests.support.project import GIT, Project

ROOT = Path(__file__).resolve().parents[2]
Mlops = Callable[..., Any]


class Said:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        found = json.loads(self.out)
        name, version = found['schema'].removeprefix('mlops/').split('/')
        schema = json.loads((ROOT / 'docs' / 'schemas' / f'{name}.{version}.json').read_text())
        jsonschema_rs.Draft202012Validator(schema).validate(found)
        return found


@pytest.fixture
def mlops(project: Project, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Mlops:
    project.write('pipeline.yaml', 'stages: {a: {cmd: "true"}}\n')
    monkeypatch.chdir(project.path)
    monkeypatch.setenv('HOME', project.environ['HOME'])
    monkeypatch.delenv('XDG_CONFIG_HOME', raising=False)
    for name, value in GIT.items():
        monkeypatch.setenv(name, value)
    for name in [name for name in os.environ if name.startswith('MLOPS_')]:
        monkeypatch.delenv(name)

    def call(*arguments: str, code: int = 0) -> Said:
        found = app.run(['config', *arguments])
        said = Said(found, *capsys.readouterr())
        assert found == code, (said.out, said.err)
        return said

    return call


def test_a_table_of_all_settings(mlops: Mlops) -> None:
    assert [' '.join(line.split()) for line in mlops('list').out.splitlines()] == [
        'SETTING VALUE FROM',
        'budgets.branch default',
        'budgets.month default',
        'budgets.run default',
        'cache.dir .mlops/cache default',
        'cache.links reflink, copy default',
        'cache.price default',
        'cache.remote default',
        'cache.tier default',
        'currency USD default',
        'durability batch default',
        f'jobs 0 (one per processor: {os.cpu_count()}) default',
    ]


def test_what_no_number_of_jobs_means(mlops: Mlops) -> None:
    meant = f'0 (one per processor: {os.cpu_count()})'
    said = mlops('get', 'jobs')
    assert (said.out, said.err) == ('0\n', f'jobs is {meant}\n'), 'what scripts read is the value alone'
    assert mlops('get', 'jobs', '-v').out == f'{meant}   (default)\n' and mlops('get', 'jobs', '-q').err == ''


def test_where_values_come_from_and_what_they_override(mlops: Mlops, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write(layout.CONFIG, 'jobs: 1\n')
    project.write(layout.CONFIG_LOCAL, '\njobs: 2\n')
    monkeypatch.setenv('MLOPS_JOBS', '3')
    rows = [line.split() for line in mlops('list', '-v').out.splitlines() if 'jobs' in line or 'overrides' in line]
    assert rows == [
        ['jobs', '3', 'MLOPS_JOBS'],
        ['overrides', '2', f'{layout.CONFIG_LOCAL}:2'],
        ['overrides', '1', f'{layout.CONFIG}:1'],
        ['overrides', '0', 'default'],
    ]
    row = mlops('get', 'jobs', '--json').json
    assert (row['value'], row['source'], row['variable'], row['default']) == (3, 'MLOPS_JOBS', 'MLOPS_JOBS', 0)
    assert [one['source'] for one in row['overrides']] == [layout.CONFIG_LOCAL, layout.CONFIG, 'default']
    assert mlops('get', 'jobs').err == ''
    assert mlops('get', 'jobs').out == '3\n' and mlops('get', 'jobs', '-v').out == '3   (MLOPS_JOBS)\n'


def test_a_value_goes_where_it_is_said(mlops: Mlops, project: Project) -> None:
    mlops('set', 'jobs', '1', '--project')
    assert 'note: here jobs is' not in mlops('set', 'jobs', '2', '--local').err
    said = mlops('set', 'jobs', '3', '--user')
    assert said.out == (
        f'  wrote     ~/.config/mlops/config.yaml\nnote: here jobs is 2 all the same, from {layout.CONFIG_LOCAL}:1\n'
    )
    assert [row['value'] for row in mlops('list', '--json').json['rows'] if row['name'] == 'jobs'] == [2]
    assert project.read(layout.CONFIG) == 'jobs: 1\n' and project.read(layout.CONFIG_LOCAL) == 'jobs: 2\n'
    assert project.read('.mlops/.gitignore') == layout.GITIGNORE_TEXT
    assert mlops('set', 'jobs', '--unset', '--json').json['counts']['value'] == 3


def test_comments_stay(mlops: Mlops, project: Project) -> None:
    project.write(layout.CONFIG, '# ours\njobs: 1  # few\n\ntokens:\n  # of the simulator\n  licence: 2\n')
    mlops('set', 'tokens.licence', '5', '--project')
    mlops('set', 'jobs', '7', '--project')
    assert project.read(layout.CONFIG) == '# ours\njobs: 7  # few\n\ntokens:\n  # of the simulator\n  licence: 5\n'


@pytest.mark.parametrize(
    ('words', 'read_back'),
    [
        (('cache.links', 'copy,reflink'), ['copy', 'reflink']),
        (('cache.links', '[copy]'), ['copy']),
        (('cache.dir', '12'), '12'),
        (('cache.dir', 'true'), 'true'),
        (('remotes.o', '{url: s3://b, desc: "x: y"}'), {'url': 's3://b', 'desc': 'x: y'}),
        (('hosts.g.url', 'ssh://ada@gpu1'), {'url': 'ssh://ada@gpu1'}),
    ],
)
def test_values_of_every_kind(mlops: Mlops, words: tuple[str, str], read_back: Any) -> None:
    mlops('set', *words)
    name = '.'.join(words[0].split('.')[:2])
    assert mlops('get', name, '--json').json['value'] == read_back


@pytest.mark.parametrize(
    ('arguments', 'code', 'message', 'hint'),
    [
        (['set', 'jobs', 'many'], 2, 'jobs is not a whole number', '0 means'),
        (['set', 'job', '3'], 2, "unknown setting 'job'", 'did you mean jobs?'),
        (['set', 'jobs'], 2, 'VALUE is missing', 'mlops config set jobs VALUE'),
        (['set', 'jobs', '3', '--unset'], 2, 'a value, and --unset', 'mlops config set jobs'),
        (['set', 'jobs', '3', '--user', '--local'], 2, 'three places', 'take one'),
        (['set', 'jobs', '--unset'], 2, 'jobs is not set in', 'config list -v'),
        (['set', 'cache.dir', '/x', '--project'], 5, 'cache.dir may not come with a branch', 'config.local.yaml'),
        (['set', 'durability', 'none', '--project'], 5, 'may not come with a branch', 'config.local.yaml'),
        (['set', 'tokens.a', '0'], 2, 'tokens.a is not a whole number above 0', 'licence'),
        (['set', 'tokens', '{a: 1}'], 2, 'tokens are set one by one', 'tokens.NAME'),
        (['set', 'remotes.o.url', 's3://k:secretsecret@b'], 2, 'a password in a URL', 'such as'),
        (['set', 'remotes.o.ulr', 's3://b'], 2, "has no 'ulr' (did you mean url?)", 'such as'),
        (['get', 'tokens.licence'], 2, 'tokens.licence is not set', 'mlops config set tokens.licence'),
        (['get', 'durabilty'], 2, 'unknown setting', 'did you mean durability?'),
        (['confirm', 'jobs'], 2, 'jobs needs no confirmation', 'lead out'),
        (['confirm', 'remotes.o'], 2, 'remotes.o is not set', 'config set remotes.o'),
    ],
)
def test_what_is_wrong_is_told_and_nothing_written(
    mlops: Mlops, project: Project, arguments: list[str], code: int, message: str, hint: str
) -> None:
    said = mlops(*arguments, code=code)
    assert message in said.err and hint in said.err and 'secretsecret' not in said.err
    assert not project.exists(layout.CONFIG) and not project.exists(layout.CONFIG_LOCAL)


def test_a_file_that_is_wrong_already_is_told_with_its_line(mlops: Mlops, project: Project) -> None:
    project.write(layout.CONFIG_LOCAL, 'jobs: [\n')
    assert f'{layout.CONFIG_LOCAL}:2:1' in mlops('set', 'jobs', '2', code=2).err
    assert f'{layout.CONFIG_LOCAL}:2:1' in mlops('list', code=2).err


def test_outside_a_project_there_are_a_persons_own_settings(
    mlops: Mlops, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mlops('set', 'jobs', '5', '--user')
    assert '~/.config/mlops/config.yaml:1' in mlops('list').out
    assert 'no pipeline.yaml in' in mlops('set', 'jobs', '5', code=2).err
    assert 'no pipeline.yaml in' in mlops('confirm', 'remotes.o', code=2).err
    monkeypatch.setenv('HOME', '')
    assert 'HOME is not set' in mlops('set', 'jobs', '5', '--user', code=2).err


def test_a_remote_that_came_by_git_is_confirmed_once(mlops: Mlops, project: Project) -> None:
    project.write(layout.CONFIG, 'remotes: {origin: {url: s3://bucket}}\n')
    listed = mlops('list').out
    assert 'not confirmed yet' in listed and 'mlops config confirm remotes.origin' in listed
    refused = mlops('confirm', 'remotes.origin', code=5).err
    assert (
        'which came with git and nobody here has confirmed' in refused
        and 'mlops config confirm remotes.origin --yes' in refused
    )
    assert mlops('confirm', 'remotes.origin', '--yes', '--json').json['leads_to'] == 's3://bucket'
    assert 'not confirmed' not in mlops('list').out and mlops('get', 'remotes.origin', '--json').json['confirmed'] is True
    mlops('confirm', 'remotes.origin')
    mlops('set', 'remotes.origin.url', 's3://other', '--project')
    assert 'not confirmed yet' in mlops('list').out


def test_ones_own_remote_needs_no_confirmation(mlops: Mlops) -> None:
    mlops('set', 'remotes.origin.url', 's3://bucket')
    assert 'not confirmed' not in mlops('list').out
    assert 'nothing to confirm' in mlops('confirm', 'remotes.origin').out


@pytest.mark.parametrize(('answer', 'code'), [('y\n', 0), ('YES\n', 0), ('n\n', 5), ('\n', 5), ('', 5)])
def test_on_a_terminal_it_is_asked(
    mlops: Mlops, project: Project, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    project.write(layout.CONFIG, 'remotes: {origin: {url: s3://bucket}}\n')
    monkeypatch.setattr(trusting, 'terminal', lambda _: True)
    monkeypatch.setattr('sys.stdin', io.StringIO(answer))
    said = mlops('confirm', 'remotes.origin', code=code)
    assert 'remote origin leads to s3://bucket' in said.err and '[y/N]' in said.err
    assert ('not confirmed yet' in mlops('list').out) == (code == 5)


def test_the_variable_answers_too(mlops: Mlops, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write(layout.CONFIG, 'hosts: {gpu: {url: "ssh://gpu1"}}\n')
    monkeypatch.setenv('MLOPS_YES', '1')
    mlops('confirm', 'hosts.gpu')


def test_names_from_a_branch_cannot_act_on_the_terminal(mlops: Mlops, project: Project) -> None:
    project.write(layout.CONFIG, 'tokens: {"x[red]": 1}\nremotes: {o: {url: "s3://\\u202ex"}}\n')
    out = mlops('list').out
    assert '\u202e' not in out and 'x[red]' in out
    project.write(layout.CONFIG, 'tokens: {"\\u001b[2J": 1}\n')
    assert '\x1b' not in mlops('list', code=2).err


def test_alone_it_lists(mlops: Mlops) -> None:
    assert mlops().out == mlops('list').out
    assert 'list (also without a command)' in mlops('-h').out.replace('\n  ', ' ')
