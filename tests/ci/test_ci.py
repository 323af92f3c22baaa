"""Workflows that are written, and the comment on a pull request: what it says, where it goes, that nothing breaks out of it."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_cli.ci.comment import markdown, marker
from mlops_cli.ci.platform import base_of, place_of, upsert
from mlops_cli.ci.workflows import Wanted, workflow
from mlops_cli.core.errors import UserError
from mlops_cli.records.models import Fact, Person
from mlops_cli.report.markdown import foreign
from tests.support.project import Project

HOSTILE = [
    '@everyone', '<img src=x onerror=alert(1)>', '</code><script>', '[x](javascript:alert(1))', '![](https://evil/x.png)',
    'https://evil.example', 'www.evil.example', '`code`', '| a | b |', 'a\n/close', '\n# title', '<!-- mlops ci report -->',
    '::error::pwned', '##[error]x', '&#64;user', '**bold**', '#1', 'GH-1', 'user/repo#1', '\u202eevil', '\x1b[31mred',
    'a\u200bb', '</details>', '$(touch pwned)', '~~x~~', '%0A::set-output', '<a href="//evil">', '\ud800', '"\'', '\\', '!5',
    '~label', ':smile:',
]  # fmt: skip
PIPELINE = """\
version: 1
name: sums
stages:
  train:
    matrix: {seed: [1, 2]}
    cmd: 'echo "{\\"accuracy\\": 0.9${item.seed}${rate}}" > m-${item.seed}.json'
    params: [rate, note]
    metrics: [{'m-${item.seed}.json': {primary: accuracy, goals: {accuracy: max}}}]
  gate:
    cmd: mlops gate "m-1.json:accuracy >= 0.5"
    deps: [m-1.json]
"""


def document(text: str) -> dict[str, Any]:
    """A report in which a branch chose whatever it can."""
    row = dict.fromkeys(('name', 'stage', 'path', 'before', 'after', 'status', 'goal'), text) | {'verdict': 'worse'}
    approval: dict[str, Any] = {key: [text] for key in ('approved', 'approvers', 'refusals')}
    approval |= {'model': text, 'version': text, 'alias': text, 'needed': 2}
    return {
        'schema': 'mlops/ci-report/v1', 'project': text, 'before': text, 'commit': text, 'same_stages': text,
        'run': {'id': text, 'ended': text, 'seconds': text, 'fresh': text, 'saved_seconds': text,
                'stages': [{'stage': text, 'state': text, 'seconds': text}, text],
                'cost': {'amounts': {text: 1.0}, 'unknown': text}},
        'stages': [row], 'metrics': [row | {'before': 1.0, 'after': 2.0, 'instances': 2, 'counts': {'better': text}}, text],
        'params': [row], 'commands': [row], 'code': [row], 'data': [row | {'files': [text]}], 'environment': [row],
        'gates': [{'stage': text, 'expression': text, 'passed': text}], 'approvals': [approval],
    }  # fmt: skip


@pytest.mark.parametrize('text', HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_breaks_out(text: str) -> None:
    shown = foreign(text)
    assert re.fullmatch(r'<code>(?:[\w \ufffd]|&#\d+;)*</code>', shown), shown
    if text.isprintable() and text.isascii():
        assert html.unescape(shown[6:-7]) == text, 'nothing of it is lost'
    whole = markdown(document(text))
    rest = re.sub(r'<code>(?:[\w \ufffd\u2026]|&#\d+;)*</code>', '', whole)
    assert whole.startswith(marker(document(text)) + '\n')
    for tag in ('<details>', '</details>', '<summary>', '</summary>', marker(document(text))):
        rest = rest.replace(tag, '')
    assert not re.search(r'[<>@`\[\]\\]|https?:|www|::|##\[|\x1b|&#', rest), rest
    assert not any(line.startswith(('/', '::')) for line in whole.splitlines())


@pytest.mark.parametrize('value', [None, [], 'x', 7, {'stages': 7}, {'cost': []}])
def test_a_report_of_another_form_is_shown_as_far_as_it_goes(value: Any) -> None:
    assert markdown({'schema': 'mlops/ci-report/v1', 'run': value, 'metrics': value, 'gates': value}).startswith('<!-- ')


def test_a_file_of_unknown_size_is_not_an_empty_row() -> None:
    """A dependency that git tracks."""
    row = {'path': 'params.json', 'size_before': None, 'size_after': None, 'files': None}
    text = html.unescape(markdown({'schema': 'mlops/ci-report/v1', 'data': [row]}))
    assert '| <code>params.json</code> |  | changed |' in text


def test_a_refusal_is_not_hidden_behind_approvals() -> None:
    one = {'model': 'digits', 'version': 'v1', 'alias': 'prod', 'needed': 1, 'approved': ['Ben'], 'approvers': []}
    text = markdown({'schema': 'mlops/ci-report/v1', 'approvals': [one | {'refusals': ['gate FAILED', 'bad signature']}]})
    assert '1 of 1' in text and '**refused**' in text and 'gate FAILED' in text and 'bad signature' in text
    text = markdown({'schema': 'mlops/ci-report/v1', 'approvals': [one | {'refusals': []}]})
    assert '1 of 1' in text and 'refused' not in text


def test_no_comment_is_too_long() -> None:
    rows = [{'name': 'x' * 500, 'stage': '@' * 500, 'verdict': 'worse', 'before': 1.0, 'after': 2.0} for _ in range(5000)]
    text = markdown({'project': '@' * 9000, 'before': '', 'metrics': rows, 'params': rows, 'stages': rows, 'run': None})
    assert len(text) < 65_536 and 'and 4,980 more' in text


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = Project(tmp_path / 'project')
    found.write('pipeline.yaml', PIPELINE)
    found.write('params.yaml', 'rate: 1\nnote: plain\n')
    found.init_git()
    found.mlops('run', '-q')
    found.commit('start')
    found.git('update-ref', 'refs/remotes/origin/main', 'HEAD')
    found.git('checkout', '-q', '-b', 'better')
    found.write('params.yaml', 'rate: 3\nnote: "@everyone <b>|"\n')
    found.mlops('run', '-q')
    found.commit('better')
    return found


def test_a_pull_request_of_github(project: Project, tmp_path: Path) -> None:
    summary = tmp_path / 'summary.md'
    summary.write_text('before\n')
    environ = {'GITHUB_ACTIONS': 'true', 'GITHUB_BASE_REF': 'main', 'GITHUB_STEP_SUMMARY': str(summary)}
    done = project.mlops('ci', 'report', environ=environ)
    lines = done.out.splitlines()
    assert '**3 ran**' in done.out and 'origin&#47;main' in lines[1]
    (row,) = [line for line in lines if '<code>accuracy</code>' in line]
    assert '\u2191' in row and 'mean of 2' in row and '0.916 (0.911 to 0.921)' in row.replace('0.9160', '0.916')
    assert '| 2 better |' in row and '+0.002' in row
    assert 'rate</code> | <code>1</code> | <code>3</code>' in done.out
    assert '* gate <code>gate</code>: ' in done.out and ': passed' in done.out
    assert '@everyone' not in done.out and '<b>' not in done.out
    assert summary.read_text() == 'before\n' + done.out
    found = project.mlops('ci', 'report', '--json', environ=environ).json
    project.write('report.json', json.dumps(found))
    again = project.mlops('ci', 'report', '--from', 'project/report.json', cwd='..', environ={})
    assert again.out == done.out, 'another job, which has no project, says the same'


def test_policies_that_cannot_be_read_are_told(project: Project) -> None:
    project.git('switch', '-q', 'main')
    project.write('.mlops/config.yaml', 'models: {digits: {prod: {aprovals: 1}}}\n')
    project.commit('a mistake')
    project.git('update-ref', 'refs/remotes/origin/main', 'HEAD')
    project.git('switch', '-q', 'better')
    assert project.mlops('ci', 'report', '--base', 'main', '--json').json['approvals'] == [], 'there is no model'
    fact = Fact('tag', 'digits', None, Person('Ada'), '2026-11-20T10:00:00Z', text='x')
    project.write(fact.file, fact.encoded)
    (row,) = project.mlops('ci', 'report', '--base', 'main', '--json').json['approvals']
    assert row['model'] == '' and 'aprovals' in row['refusals'][0]


def test_what_is_no_report(project: Project) -> None:
    for text in ('[', '{}', '7', '{"schema": "mlops/ci-report/v2"}'):
        project.write('report.json', text)
        said = project.mlops('ci', 'report', '--from', 'report.json', code=2).err
        assert 'report.json' in said and 'hint:' in said
    assert 'nothing.json' in project.mlops('ci', 'report', '--from', 'nothing.json', code=2).err
    assert 'no job of GitHub or GitLab' in project.mlops('ci', 'report', '--post', code=2).err


class Forge(HTTPServer):
    """Keeps comments as GitHub and GitLab do.  ``theirs``: numbers of comments that somebody else wrote."""

    def __init__(self) -> None:
        super().__init__(('127.0.0.1', 0), Handler)
        self.comments: dict[int, str] = {}
        self.theirs: set[int] = set()
        self.seen: list[tuple[str, str, str]] = []
        self.leads_to = ''
        self.knows_me = True

    @property
    def url(self) -> str:
        return f'http://127.0.0.1:{self.server_port}'


class Handler(BaseHTTPRequestHandler):
    server: Forge

    def log_message(self, *_: Any) -> None:
        pass

    def who(self, number: int) -> dict[str, Any]:
        return {'id': 4, 'type': 'User'} if number in self.server.theirs else {'id': 9, 'type': 'Bot'}

    def handle_one(self) -> None:
        forge = self.server
        token = self.headers.get('Authorization') or self.headers.get('PRIVATE-TOKEN') or ''
        forge.seen.append((self.command, self.path, token))
        body = json.loads(self.rfile.read(int(self.headers.get('Content-Length') or 0)) or b'{}')
        if forge.leads_to:
            self.send_response(302)
            self.send_header('Location', forge.leads_to)
            self.end_headers()
            return
        status, answer = 200, None
        if self.command == 'GET' and self.path == '/user':
            status, answer = (200, {'id': 9}) if forge.knows_me else (403, {})
        elif self.command == 'GET':
            page = int(self.path.rpartition('page=')[2])
            every = [
                {'id': number, 'body': text, 'user': (who := self.who(number)), 'author': who}
                for number, text in forge.comments.items()
            ]
            answer = every[(page - 1) * 100 : page * 100]
        elif self.command == 'POST':
            forge.comments[len(forge.comments) + 1] = body['body']
            status, answer = 201, {}
        else:
            number = int(self.path.rpartition('/')[2])  # who may write comments may change those of others
            forge.comments[number] = body['body']
            answer = {}
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = do_PUT = handle_one


@pytest.fixture
def forge() -> Iterator[Forge]:
    with Forge() as found:
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield found
        found.shutdown()


def environ_of(kind: str, forge: Forge, tmp_path: Path) -> dict[str, str]:
    if kind == 'gitlab':
        return {
            'GITLAB_CI': 'true', 'CI_API_V4_URL': forge.url, 'CI_PROJECT_ID': '7', 'CI_MERGE_REQUEST_IID': '5',
            'MLOPS_GITLAB_TOKEN': 'secret',
        }  # fmt: skip
    event = tmp_path / 'event.json'
    event.write_text('{"number": 5}')
    return {
        'GITHUB_ACTIONS': 'true', 'GITHUB_API_URL': forge.url, 'GITHUB_REPOSITORY': 'a/b', 'GITHUB_EVENT_PATH': str(event),
        'GITHUB_TOKEN': 'secret',
    }  # fmt: skip


@pytest.mark.parametrize(('kind', 'knows_me'), [('github', True), ('github', False), ('gitlab', True)])
def test_there_is_one_comment(kind: str, knows_me: bool, forge: Forge, tmp_path: Path) -> None:
    forge.knows_me = knows_me
    place = place_of(environ_of(kind, forge, tmp_path))
    forge.comments = {number: f'comment {number}' for number in range(1, 151)}
    forge.comments[3] = '<!-- mark --> of somebody else'
    forge.theirs = {3}
    assert upsert(place, '<!-- mark -->', '<!-- mark -->\none') == 'written' and forge.comments[151] == '<!-- mark -->\none'
    assert upsert(place, '<!-- mark -->', '<!-- mark -->\ntwo') == 'updated' and forge.comments[151] == '<!-- mark -->\ntwo'
    assert len(forge.comments) == 151 and forge.comments[3] == '<!-- mark --> of somebody else'
    assert all('secret' in token for _, _, token in forge.seen)


def test_the_whole_way(project: Project, forge: Forge, tmp_path: Path) -> None:
    environ = {**environ_of('github', forge, tmp_path), 'GITHUB_BASE_REF': 'main'}
    environ |= {'GITHUB_STEP_SUMMARY': str(tmp_path / 'summary.md')}
    project.mlops('ci', 'report', '--post', environ=environ)
    project.mlops('ci', 'report', '--post', environ=environ)
    assert not (tmp_path / 'summary.md').exists(), 'the job that prints it shows it'
    assert list(forge.comments) == [1] and 'accuracy' in forge.comments[1]


def test_a_token_goes_nowhere_else(forge: Forge, tmp_path: Path) -> None:
    with Forge() as other:
        thread = threading.Thread(target=other.serve_forever, daemon=True)
        thread.start()
        forge.leads_to = other.url
        with pytest.raises(UserError, match='302'):
            upsert(place_of(environ_of('github', forge, tmp_path)), 'x', 'x')
        other.shutdown()
    assert other.seen == []
    for url in ('http://api.github.com', 'file:///etc/passwd', '', 'ftp://x'):
        with pytest.raises(UserError, match='no address of an API'):
            place_of({**environ_of('github', forge, tmp_path), 'GITHUB_API_URL': url})


def test_what_is_no_pull_request(forge: Forge, tmp_path: Path) -> None:
    (tmp_path / 'none.json').write_text('{"number": "5; rm"}')
    for more in ({'GITHUB_EVENT_PATH': str(tmp_path / 'none.json')}, {'GITHUB_TOKEN': ''}):
        with pytest.raises(UserError):
            place_of(environ_of('github', forge, tmp_path) | more)
    assert base_of({'GITHUB_BASE_REF': 'main'}) == '', 'a variable alone is no job of GitHub'


@pytest.mark.parametrize('wanted', [Wanted(), Wanted('trunk', 'requirements.txt', True, 'services/reco')])
def test_what_pull_requests_may_do(wanted: Wanted) -> None:
    """They read the trusted cache and do not write it; what runs their code has no token, what has one runs none of it."""
    found = yaml.safe_load(workflow('github', wanted))
    assert found['permissions'] == {'contents': 'read'} and 'permissions' not in found['jobs']['run']
    steps = found['jobs']['run']['steps']
    saving = [step for step in steps if step.get('uses', '').startswith(('actions/cache/save', 'actions/cache@'))]
    assert [step['if'] for step in saving] == ["always() && github.event_name == 'push'"]
    assert not any('token' in json.dumps(step) for step in steps) and steps[0]['with']['persist-credentials'] is False
    comment = found['jobs']['comment']
    assert comment['permissions'] == {'pull-requests': 'write'} and 'checkout' not in json.dumps(comment)
    assert 'mlops run' not in json.dumps(comment) and 'pull_request_target' not in workflow('github', wanted)
    found = yaml.safe_load(workflow('gitlab', wanted))
    assert found['mlops-merge-request']['cache']['policy'] == 'pull'
    assert found['mlops']['rules'] == [{'if': '$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH'}]
    if wanted.folder != '.':
        assert 'mlops ci report --json > ../../report.json' in found['mlops-merge-request']['script']
    comment = found['mlops-comment']
    assert 'mlops run' not in json.dumps(comment) and comment['variables'] == {'GIT_STRATEGY': 'none'}


@pytest.mark.parametrize('name', ['a b', '$(x)', '${{ x }}', '"', "it's", '-x', 'a\nb'])
def test_names_that_a_workflow_would_misread(name: str) -> None:
    with pytest.raises(ValueError, match='characters'):
        workflow('github', Wanted(folder=name))


@pytest.mark.parametrize('service', ['github', 'gitlab'])
def test_a_workflow_is_written_once(project: Project, service: str) -> None:
    first = project.mlops('ci', 'init', service, '--json').json
    text = project.read(first['path'])
    assert first['state'] == 'written' and project.mlops('ci', 'init', service, '--json').json['state'] == 'same'
    project.write(first['path'], 'mine: true\n')
    assert 'is there already' in project.mlops('ci', 'init', service, code=5).err
    assert project.read(first['path']) == 'mine: true\n'
    project.mlops('ci', 'init', service, '--force')
    assert project.read(first['path']) == text
    assert 'github and gitlab' in project.mlops('ci', 'init', 'jenkins', code=2).err


@pytest.mark.full
@pytest.mark.parametrize(('service', 'schema'), [('github', 'vendor.github-workflows'), ('gitlab', 'vendor.gitlab-ci')])
def test_workflows_are_what_the_services_take(service: str, schema: str, tmp_path: Path) -> None:
    """By their published schemas, which come with check-jsonschema."""
    program = shutil.which('check-jsonschema', path=f'{os.path.dirname(sys.executable)}:{os.environ["PATH"]}')
    assert program is not None, 'it belongs to the test extra'
    for number, wanted in enumerate([Wanted(), Wanted('trunk', 'requirements.txt', True, 'services/reco')]):
        file = tmp_path / f'{number}.yml'
        file.write_text(workflow(service, wanted))
        transform = ['--data-transform', 'gitlab-ci'] if service == 'gitlab' else []
        command = [program, '--builtin-schema', schema, *transform, str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
