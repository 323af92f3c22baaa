"""What holds for every command, also for one that is added tomorrow: an example that works, JSON that is published."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from mlops_cli.cli import app, manual
from tests.cli import contract
from tests.cli.contract import SCHEMAS, commands, reports, schema_file
from tests.support.project import Project

REPORTING = [path for path, of in commands().items() if reports(of)]
every_command = pytest.mark.parametrize('path', list(commands()), ids=' '.join)
every_report = pytest.mark.parametrize('path', REPORTING, ids=' '.join)
every_example = pytest.mark.parametrize(
    ('path', 'line'), contract.examples(), ids=lambda item: item if isinstance(item, str) else ''
)


@pytest.fixture(scope='module')
def template(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return contract.prepare(tmp_path_factory.mktemp('contract') / 'digits')


@pytest.fixture
def project(template: Project, tmp_path: Path) -> Project:
    return contract.copied(template, tmp_path / 'digits')


def test_commands_are_found() -> None:
    assert {('run',), ('status',), ('runs', 'list')} <= set(commands()) and len(REPORTING) > 5


@every_command
def test_help_shows_an_example_of_this_very_command(path: tuple[str, ...]) -> None:
    found = manual.examples(commands()[path])
    assert found and all(f'mlops {" ".join(path)}' in line for line in found)


@every_command
def test_help_says_what_each_parameter_is(path: tuple[str, ...]) -> None:
    assert [param for param in commands()[path]['params'] if not param['help'].endswith('.')] == []


@every_example
def test_examples_work(project: Project, path: tuple[str, ...], line: str) -> None:
    done = contract.typed(project, contract.typeable(project, path, line))
    assert done.code == 0, f'$ {line}\n{done.out}{done.err}'
    assert 'Traceback' not in done.err and 'error:' not in done.err


def test_a_wrong_example_would_be_noticed(project: Project) -> None:
    """The shell's exit code is that of the last part: an error in front of a pipe shows in what jq reads."""
    for line in ('mlops runs show 9zzzz', 'mlops plan --set train.deth=12', 'mlops statsu && echo fine'):
        done = contract.typed(project, line)
        assert done.code and 'error:' in done.err
    done = contract.typed(project, contract.typeable(project, ('runs', 'list'), "mlops runs list --jsn | jq '.rows[0]'"))
    assert 'error:' in done.err


@every_report
def test_json_is_what_its_schema_says(project: Project, path: tuple[str, ...]) -> None:
    file = schema_file(path)
    assert file.exists(), f'{" ".join(path)} has --json and no docs/schemas/{file.name}'
    schema = json.loads(file.read_text())
    for line in manual.examples(commands()[path]):
        asked = contract.asking_for_json(path, contract.typeable(project, path, line))
        done = contract.typed(project, asked)
        assert done.code == 0, f'$ {asked}\n{done.out}{done.err}'
        document = json.loads(done.out)  # one document, and nothing beside it
        assert document['schema'] == f'mlops/{"-".join(path)}/v1'
        assert contract.problems(schema, document) == [], f'$ {asked}'
        assert contract.problems(schema, {**document, 'surprise': 1}), 'the schema lets anything through'


@every_report
def test_errors_are_what_their_schema_says(project: Project, path: tuple[str, ...], monkeypatch: Any, capsys: Any) -> None:
    schema = json.loads((SCHEMAS / 'error.v1.json').read_text())
    monkeypatch.chdir(project.path)
    code = app.run([*path, '--no-such-option', '--json'])
    document = json.loads(capsys.readouterr().out)
    assert code == document['code'] == 2
    assert contract.problems(schema, document) == []


def test_several_mistakes_are_one_document(project: Project) -> None:
    schema = json.loads((SCHEMAS / 'error.v1.json').read_text())
    project.write('pipeline.yaml', 'stages: {a: {cmd: 1}, b: {cdm: x}}\n')
    document = project.mlops('status', '--json', code=2).json
    assert document['more'] and document['where']['line'] == 1
    assert contract.problems(schema, document) == []
    assert contract.problems(schema, {**document, 'code': 'two'})


# Surroundings in which a command may have nothing to say, and must not fall over


def nothing_yet(project: Project) -> None:
    shutil.rmtree(project.path / '.mlops')


def no_git(project: Project) -> None:
    shutil.rmtree(project.path / '.git')


def detached(project: Project) -> None:
    project.git('checkout', '-q', '--detach', 'HEAD')


def damaged(project: Project) -> None:
    for folder in ('runs', 'stages', 'local', 'cache/results-v1'):
        for path in (project.path / '.mlops' / folder).rglob('*'):
            if path.is_file() and 'lock' not in str(path):
                path.chmod(0o600)
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def half_gone(project: Project) -> None:
    """The cache was deleted, and so were the outputs."""
    shutil.rmtree(project.path / '.mlops/cache')
    for name in ('models', 'metrics', 'plots', 'data/prepared'):
        shutil.rmtree(project.path / name)


@pytest.mark.full
@pytest.mark.parametrize('change', [nothing_yet, no_git, detached, damaged, half_gone], ids=lambda change: change.__name__)
@every_example
def test_nothing_makes_a_command_fall_over(project: Project, change: Any, path: tuple[str, ...], line: str) -> None:
    before = () if path == ('runs', 'cancel') else path  # a run that goes on would go on after the test
    asked = contract.typeable(project, before, line).partition(' | ')[0]  # what jq says is not ours
    change(project)
    done = contract.typed(project, asked)
    assert done.code != 70 and 'Traceback' not in done.err and 'this is a bug' not in done.err, f'$ {asked}\n{done.err}'
    assert not done.code or 'error:' in done.err or done.out, f'$ {asked}: not a word'
    if reports(commands()[path]):
        done = contract.typed(project, contract.asking_for_json(path, asked))
        if not done.out:  # what came before it in the example failed, and said so
            assert ' && ' in asked and 'error:' in done.err
            return
        document = json.loads(done.out)
        name = document['schema'].split('/')[1]
        assert name in ('-'.join(path), 'error'), done.out
        assert contract.problems(json.loads((SCHEMAS / f'{name}.v1.json').read_text()), document) == [], f'$ {asked}'


EVIL = '\x1b[2J\x1b]0;owned\x07'
ODD = """\
  odd:
    cmd: mkdir -p odd && cp evil.json odd/evil.json && cp evil.csv 'odd/[red] "q" 🎉.csv' && cat evil.json evil.csv
    code: [evil.json, evil.csv]
    params: [odd]
    metrics: [{odd/evil.json: {primary: accuracy}}]
    plots: ['odd/[red] "q" 🎉.csv']
    desc: "a [bold]b[/bold]"
"""


def evil(project: Project) -> None:
    """What a branch can bring: escape codes in values, in names inside files, in what stages print."""
    project.write('pipeline.yaml', contract.PIPELINE + ODD)
    project.write('params.yaml', 'train:\n  depth: 8\n  rate: 0.1\nodd: "x [red] \\u202e y"\n')
    project.write('evil.json', json.dumps({'accuracy': 0.5, EVIL: 1, 'a[b] "c"': 2}))
    project.write('evil.csv', f'{EVIL},b[1]\n1,{EVIL}\n2,x\n')
    project.mlops('run', '-q', 'odd', environ={'USER': f'ada{EVIL}', 'LOGNAME': f'ada{EVIL}'})


@pytest.mark.full
@every_example
def test_nothing_that_a_branch_brings_reaches_the_terminal(template: Project, tmp_path: Path, path: Any, line: str) -> None:
    project = contract.copied(template, tmp_path / 'evil [red] 🎉')
    before = () if path == ('runs', 'cancel') else path
    asked = contract.typeable(project, before, line).partition(' | ')[0]
    evil(project)  # after what the example needs: no model is registered of what is out of date
    for wanted in (asked, re.sub(r'train@\S+|\btrain\b|models/best\.skops', 'odd', asked)):
        done = contract.typed(project, wanted)
        assert done.code != 70, f'$ {wanted}\n{done.err}'
        assert not re.search('[\x00-\x08\x0b-\x1f\x7f-\x9f]', done.out + done.err), f'$ {wanted}\n{done.out!r}'


# The schemas themselves

FILES = sorted(SCHEMAS.glob('*.json'))


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.name)
def test_schemas_are_schemas(file: Path) -> None:
    schema = json.loads(file.read_text())
    assert schema['$schema'] == 'https://json-schema.org/draft/2020-12/schema'
    assert jsonschema_rs.meta.is_valid(schema)
    assert schema.get('title') and '$id' not in schema
    jsonschema_rs.Draft202012Validator(schema)


def test_every_schema_is_of_something_and_in_the_list() -> None:
    listed = (SCHEMAS / 'README.md').read_text()
    names = ('error', 'gc-host', 'gc-remote', 'runs-usage', 'run-events', 'run-plan', 'cost-bill', 'cost-prices-import',
             'data-contract', 'drift-baseline')
    others = {f'{name}.v1.json' for name in names}
    for file in FILES:
        assert file.name in others or file in {schema_file(path) for path in REPORTING}, f'{file.name} is of no command'
        title = json.loads(file.read_text())['title']
        assert f'| [{file.name}]({file.name}) | {title} |' in listed, 'run: python docs/generate.py'
    links = re.findall(r'\]\(([\w.-]+\.json)\)', listed)
    assert sorted(links) == [file.name for file in FILES]
