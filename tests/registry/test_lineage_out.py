"""What lineage hands to other tools: signed provenance that is checked again, and events of OpenLineage."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.cli.lineage_export import repository_of
from mlops_cli.core import dsse
from mlops_cli.core.digest import digest_of
from tests.registry.conftest import Person


@pytest.fixture
def key(ada: Person, tmp_path: Path) -> Path:
    """Ada's, listed on the default branch."""
    made = tmp_path / 'key'
    subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', str(made)], check=True)
    public = made.with_suffix('.pub').read_text().split()
    ada.write('.mlops/trust', f'ada@example.org namespaces="mlops-model" {public[0]} {public[1]}\n')
    ada.commit('trust')
    ada.git('push', '-q', 'origin', 'HEAD:main')
    ada.git('fetch', '-q')
    return made


def test_a_signed_statement_is_exported_and_verified(ada: Person, key: Path) -> None:
    ada.models('register')
    ada.do('lineage', 'export', 'digits@v1', '--key', str(key), '-o', 'digits.intoto.json')
    good = ada.do('lineage', 'verify', 'digits.intoto.json', '--json').json
    assert good['good'] and good['signed_by'] == ['ada@example.org']
    assert [one['name'] for one in good['subjects']] == ['best.bin'] and good['made']['stage'] == 'train'
    ada.models('get', 'digits@v1', 'out')
    said = ada.do('lineage', 'verify', 'digits.intoto.json', 'out/best.bin').out
    assert 'signed    by ada@example.org' in said and '1 file, by sha256' in said and 'made      by train in run' in said

    statement = json.loads(base64.b64decode(json.loads(ada.read('digits.intoto.json'))['payload']))
    sha256 = hashlib.sha256((ada.path / 'best.bin').read_bytes()).hexdigest()
    assert statement['subject'][0]['digest']['sha256'] == sha256
    build = statement['predicate']['buildDefinition']
    inputs = {one['name']: one for one in build['resolvedDependencies']}
    assert {'in.csv', 'train.sh'} == inputs.keys()  # run before there was a commit
    assert inputs['in.csv']['digest'] == {'blake3': str(digest_of(b'a,1\n').hex)}
    assert [one['stage'] for one in build['internalParameters']['stages']] == ['train', 'prepare']
    assert [one['name'] for one in statement['predicate']['runDetails']['byproducts']] == ['best.json', 'data']


def test_what_was_tampered_with_is_told(ada: Person, key: Path, tmp_path: Path) -> None:
    ada.models('register')
    ada.do('lineage', 'export', 'digits@v1', '--key', str(key), '-o', 'a.json')
    envelope = json.loads(ada.read('a.json'))

    def verified(name: str, *more: str) -> dict[str, Any]:
        found: dict[str, Any] = ada.do('lineage', 'verify', name, *more, '--json', code=None).json
        return found

    ada.write('other.bin', 'something else')
    found = verified('a.json', 'other.bin')
    assert not found['good'] and found['signed_by'] and 'its sha256 is' in found['subjects'][0]['problem']
    assert 'cannot be read' in verified('a.json', 'nowhere.bin')['subjects'][0]['problem']

    statement = json.loads(base64.b64decode(envelope['payload']))
    statement['predicate']['buildDefinition']['externalParameters']['command'] = 'rm -rf /'
    ada.write('b.json', json.dumps({**envelope, 'payload': base64.b64encode(json.dumps(statement).encode()).decode()}))
    assert 'none of the keys' in verified('b.json')['problem']

    subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', str(tmp_path / 'strange')], check=True)
    ada.do('lineage', 'export', 'digits@v1', '--key', str(tmp_path / 'strange'), '-o', 'c.json')
    assert 'none of the keys' in verified('c.json')['problem']
    signature = base64.b64decode(envelope['signatures'][0]['sig'])
    ada.write(
        'd.json', json.dumps({**envelope, 'signatures': [{'keyid': '', 'sig': base64.b64encode(signature[:-60]).decode()}]})
    )
    assert 'none of the keys' in verified('d.json')['problem']

    ada.do('lineage', 'export', 'digits@v1', '-o', 'bare.json')
    assert 'nobody signed it' in verified('bare.json')['problem']
    assert verified('bare.json', '--unsigned')['good']
    ada.write('wrong.json', json.dumps({**envelope, 'payloadType': 'text/plain'}))
    assert 'no in-toto statement' in ada.do('lineage', 'verify', 'wrong.json', code=2).err
    ada.write('wrong.json', '{"_type": 3}')
    assert 'no in-toto statement' in ada.do('lineage', 'verify', 'wrong.json', code=2).err


def test_of_a_folder_each_file_counts_and_a_file_too_many_is_told(ada: Person, key: Path) -> None:
    pipeline = ada.read('pipeline.yaml') + (
        '  split:\n    cmd: mkdir -p parts/b && cp in.csv parts/a && cp in.csv parts/b/c\n'
        '    deps: [in.csv]\n    outs: [parts]\n'
    )
    ada.write('pipeline.yaml', pipeline)
    ada.do('run', '-q', 'split')
    ada.do('lineage', 'export', 'parts', '--key', str(key), '-o', 'a.json')
    assert ada.do('lineage', 'verify', 'a.json', 'parts', '--json').json['good']
    (ada.path / 'parts').rename(ada.path / 'moved')
    assert len(ada.do('lineage', 'verify', 'a.json', 'moved', '--json').json['subjects']) == 2
    ada.write('moved/b/more', 'x')
    said = ada.do('lineage', 'verify', 'a.json', 'moved', code=1).out
    assert 'b/more: the statement does not name it' in said
    (ada.path / 'moved/a').unlink()
    assert 'cannot be read' in ada.do('lineage', 'verify', 'a.json', 'moved', code=1).out


def test_what_nobody_made_has_no_provenance(ada: Person) -> None:
    assert 'no recorded stage made it' in ada.do('lineage', 'export', 'in.csv', code=1).err
    assert 'not signed' in ada.do('lineage', 'export', 'best.bin', '--format', 'openlineage', '--sign', code=2).err
    assert 'of OpenLineage' in ada.do('lineage', 'export', 'best.bin', '--namespace', 'x', code=2).err


def events(person: Person, *words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in person.do('lineage', 'export', *words, '--format', 'openlineage').out.splitlines()]


def test_events_tell_each_stage_with_what_it_read_and_made(ada: Person) -> None:
    found = events(ada, 'best.bin', '--namespace', 'team')
    assert [(one['eventType'], one['job']['name']) for one in found if one['eventType'] == 'COMPLETE'] == [
        ('COMPLETE', 'digits.prepare'), ('COMPLETE', 'digits.train'),
    ]  # fmt: skip
    assert len(found) == 4 and all(one['job']['namespace'] == 'team' for one in found)
    prepare, train = (one for one in found if one['eventType'] == 'COMPLETE')
    assert [one['name'] for one in prepare['outputs']] == ['data'] == [one['name'] for one in train['inputs']]
    assert [one['name'] for one in prepare['inputs']] == ['in.csv']
    assert prepare['outputs'][0]['facets']['version'] == train['inputs'][0]['facets']['version']
    schema = prepare['inputs'][0]['facets'].get('schema', {'fields': [{'name': 'a'}, {'name': '1'}]})
    assert [one['name'] for one in schema['fields']] == ['a', '1']
    assert events(ada, 'best.bin', '--namespace', 'team') == found  # the same, so that sending twice tells nothing new


def test_a_run_that_failed_is_told_as_failed(ada: Person) -> None:
    ada.write('params.yaml', 'score: 40\n')
    ada.do('run', '-q', code=1)
    found = events(ada, 'last')
    kinds = {(one['eventType'], one['job']['name']) for one in found}
    assert {('FAIL', 'digits'), ('FAIL', 'digits.validate'), ('COMPLETE', 'digits.train')} <= kinds
    failed = next(one for one in found if one['eventType'] == 'FAIL' and one['job']['name'] == 'digits.validate')
    assert failed['run']['facets']['errorMessage']['message'] == 'validate failed: exit code 1'
    whole = next(one for one in found if one['job']['name'] == 'digits')
    assert failed['run']['facets']['parent']['run']['runId'] == whole['run']['runId']
    times = [one['eventTime'] for one in found]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ('said', 'address'),
    [
        ('https://ada:secret@example.org/team/repo.git', 'https://example.org/team/repo.git'),
        ('https://token@example.org/team/repo.git', 'https://example.org/team/repo.git'),
        ('git@example.org:team/repo.git', 'ssh://example.org/team/repo.git'),
        ('ssh://git@example.org:2222/team/repo.git', 'ssh://example.org:2222/team/repo.git'),
        ('/srv/git/repo.git', ''),
        ('file:///srv/git/repo.git', ''),
        ('https://a@b@example.org/x', ''),
        ('../hub.git', ''),
    ],
)
def test_no_user_and_no_password_of_origin_gets_out(ada: Person, said: str, address: str) -> None:
    ada.git('remote', 'set-url', 'origin', said)
    assert repository_of(str(ada.path)) == address


@pytest.fixture
def collector() -> Iterator[tuple[str, list[Any]]]:
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers['Content-Length']))
            got.append((self.path, self.headers.get('Authorization'), json.loads(body)))
            self.send_response(302 if self.path == '/moved' else 500 if self.path == '/broken' else 201)
            self.send_header('Location', '/elsewhere')
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(('127.0.0.1', 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}', got
    server.shutdown()
    thread.join()
    server.server_close()


def test_events_are_sent_only_where_somebody_says(
    ada: Person, collector: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, got = collector
    monkeypatch.setenv('OPENLINEAGE_API_KEY', 'k1')
    export = ('lineage', 'export', 'best.bin', '--format', 'openlineage', '--send')
    assert '4 events' in ada.do(*export, f'{url}/api/v1/lineage').out
    assert [path for path, _, _ in got] == ['/api/v1/lineage'] * 4 and {key for _, key, _ in got} == {'Bearer k1'}
    assert [event for _, _, event in got] == events(ada, 'best.bin')
    got.clear()
    assert 'answered 302; 0 of 4' in ada.do(*export, f'{url}/moved', code=4).err
    assert 'answered 500' in ada.do(*export, f'{url}/broken', code=4).err
    assert [path for path, _, _ in got] == ['/moved', '/broken']
    assert 'without TLS' in ada.do(*export, 'http://example.org/x', code=2).err
    assert 'no address' in ada.do(*export, 'ftp://example.org/x', code=2).err


def test_what_is_signed_is_what_dsse_says() -> None:
    """The example of DSSE's protocol."""
    assert dsse.signed_part('http://example.com/HelloWorld', b'hello world') == (
        b'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
    )


@pytest.mark.parametrize(
    'found',
    [None, [], {}, {'payloadType': 'x', 'payload': 'a', 'signatures': []},
     {'payloadType': 'x', 'payload': '', 'signatures': [3]},
     {'payloadType': 3, 'payload': '', 'signatures': []}, {'payloadType': 'x', 'payload': '', 'signatures': [{'sig': 3}]},
     {'payloadType': 'x', 'payload': '', 'signatures': [{'sig': 'YQ==', 'keyid': 3}]},
     {'payloadType': 'x', 'payload': 'YQ==', 'signatures': [{'sig': 'YQ=='}] * 17}],
)  # fmt: skip
def test_what_is_no_envelope_is_refused(found: Any) -> None:
    with pytest.raises(ValueError):
        dsse.read(found)
