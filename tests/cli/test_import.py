"""``import`` and ``update``: from a path and a web server into a project, its record, and another clone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import web as servers
from tests.servers.s3 import S3
from tests.support.project import Project


@pytest.fixture
def web() -> Iterator[servers.Web]:
    with servers.running() as server:
        yield server


@pytest.fixture
def one(project: Project) -> Project:
    project.write('pipeline.yaml', 'stages:\n  count: {cmd: wc -l < data/x.csv > n.txt, deps: [data/x.csv], outs: [n.txt]}\n')
    return project


def record(project: Project, path: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(project.read(f'.mlops/data/{path}.json'))
    return found


def test_from_the_web_and_again(one: Project, web: servers.Web, tmp_path: Path) -> None:
    web.files['/x.csv'] = b'a\n1\n'
    url = web.url('/x.csv')
    said = one.mlops('import', url, 'data/x.csv', '--licence', 'CC0-1.0', '--desc', 'Ones', '--max-age', '30d')
    assert f'imported  data/x.csv, 4 B, from {url}' in said.out and '.mlops/data/data/x.csv.json' in said.out
    first = record(one, 'data/x.csv')
    assert (first['licence'], first['desc'], first['max_age']) == ('CC0-1.0', 'Ones', '30d')
    assert first['source']['url'] == url and first['source']['etag'].startswith('"')  # type: ignore[index]
    one.mlops('run')
    assert one.read('n.txt').strip() == '2' and '/data/x.csv' in one.read('.gitignore')
    assert 'same' in one.mlops('update').out and record(one, 'data/x.csv') == first
    web.files['/x.csv'] = b'a\n1\n2\n'
    assert 'changed   data/x.csv' in one.mlops('update', '--dry-run').out
    assert record(one, 'data/x.csv') == first and one.read('data/x.csv') == 'a\n1\n'
    found = one.mlops('update', '--json').json['rows'][0]
    assert (found['state'], found['bytes'], found['changed']) == ('updated', 2, 1)
    assert one.read('data/x.csv') == 'a\n1\n2\n' and one.verdicts() == {'count': 'run'}
    assert record(one, 'data/x.csv')['licence'] == 'CC0-1.0'


def test_two_who_import_the_same_write_the_same(tmp_path: Path, web: servers.Web) -> None:
    web.files['/x.csv'] = b'a\n1\n'
    records = []
    for name in ('ada', 'ben'):
        project = Project(tmp_path / name)
        project.write('pipeline.yaml', 'stages: {}\n')
        project.mlops('import', web.url('/x.csv'), 'x.csv', '--max-age', '30d')
        records.append(project.read('.mlops/data/x.csv.json'))
    assert records[0] == records[1]


def test_another_clone_confirms_once(one: Project, web: servers.Web, tmp_path: Path) -> None:
    web.files['/x.csv'] = b'a\n1\n'
    one.mlops('import', web.url('/x.csv'), 'data/')
    one.commit('data')
    one.git('clone', '-q', str(one.path), str(tmp_path / 'two'))
    two = Project(tmp_path / 'two')
    asked = len(web.asked)
    refused = two.mlops('update', 'data/x.csv', code=5)
    assert 'nobody here has confirmed' in refused.err and len(web.asked) == asked
    web.files['/x.csv'] = b'a\n1\n2\n'
    two.mlops('--yes', 'update')
    assert two.read('data/x.csv') == 'a\n1\n2\n'
    two.mlops('update', 'data/x.csv')


@pytest.mark.parametrize('where', ['web', 'path'])
def test_a_clone_without_a_remote_brings_it_from_its_source(one: Project, web: servers.Web, tmp_path: Path, where: str) -> None:
    """Also where the source says that it is as it was: here it is not."""
    web.files['/x.csv'] = b'a\n1\n'
    (tmp_path / 'x.csv').write_bytes(b'a\n1\n')
    one.mlops('import', web.url('/x.csv') if where == 'web' else str(tmp_path / 'x.csv'), 'data/x.csv')
    one.commit('all')
    one.git('clone', '-q', str(one.path), str(tmp_path / 'two'))
    two = Project(tmp_path / 'two')
    assert 'mlops update data/x.csv, or mlops pull' in two.mlops('status').out
    assert 'mlops update data/x.csv from where it was imported' in two.mlops('checkout', code=1).err
    said = two.mlops('--yes', 'update')
    assert 'brought   data/x.csv' in said.out and two.read('data/x.csv') == 'a\n1\n'
    assert not two.git('status', '--porcelain')
    (two.path / 'data/x.csv').unlink()  # the cache has it
    assert two.mlops('update', '--json').json['rows'][0]['state'] == 'brought' and two.read('data/x.csv') == 'a\n1\n'
    assert two.mlops('update', '--json').json['rows'][0]['state'] == 'same'


def test_what_was_changed_here_is_not_replaced(one: Project, tmp_path: Path) -> None:
    source = tmp_path / 'x.csv'
    source.write_text('1\n')
    one.mlops('import', str(source), 'data/x.csv')
    one.write('data/x.csv', 'mine\n')
    assert 'same' in one.mlops('update').out and one.read('data/x.csv') == 'mine\n'
    source.write_text('2\n')
    refused = one.mlops('update', 'data/x.csv', code=5)
    assert 'mlops add data/x.csv keeps yours' in refused.err and one.read('data/x.csv') == 'mine\n'
    kept = one.mlops('update', '--force', 'data/x.csv', '--json').json['rows'][0]['kept']
    assert one.read('data/x.csv') == '2\n' and one.read(kept[0]) == 'mine\n'


def test_added_by_hand_it_has_no_source(one: Project, tmp_path: Path) -> None:
    (tmp_path / 'x.csv').write_text('1\n')
    one.mlops('import', str(tmp_path / 'x.csv'), 'data/x.csv', '--licence', 'CC0')
    one.mlops('add', 'data/x.csv')
    assert 'source' in record(one, 'data/x.csv')
    one.write('data/x.csv', 'mine\n')
    assert 'update leaves it alone' in one.mlops('add', 'data/x.csv').err
    assert 'source' not in record(one, 'data/x.csv') and record(one, 'data/x.csv')['licence'] == 'CC0'
    assert 'has no source' in one.mlops('update', 'data/x.csv', code=2).err


def test_a_folder_says_what_changed(one: Project, tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / 'images').mkdir(exist_ok=True)
        (tmp_path / f'images/{number}.png').write_text(f'{number}')
    one.mlops('import', '../images', 'data/images')
    (tmp_path / 'images/5.png').write_text('5')
    (tmp_path / 'images/0.png').write_text('zero')
    (tmp_path / 'images/1.png').unlink()
    assert 'updated   data/images, 5 files, 8 B: 1 new, 1 changed, 1 gone, +3 B' in one.mlops('update').out


def test_one_source_that_fails_keeps_no_other(one: Project, web: servers.Web, tmp_path: Path) -> None:
    web.files['/x.csv'] = b'1'
    one.mlops('import', web.url('/x.csv'), 'data/a.csv')
    (tmp_path / 'b.csv').write_text('1')
    one.mlops('import', '../b.csv', 'data/b.csv')
    web.files.clear()
    (tmp_path / 'b.csv').write_text('2')
    said = one.mlops('update', code=4)
    assert 'failed    data/a.csv' in said.out and 'says 404' in said.out and 'updated   data/b.csv' in said.out


@pytest.mark.parametrize(
    ('words', 'code', 'said'),
    [
        (['https://ada:secret@example.org/x.csv', 'x'], 2, 'user name or password'),
        (['http://169.254.169.254/latest/meta-data', 'x'], 5, 'clouds keep credentials'),
        (['/nowhere/at/all', 'x'], 4, 'does not exist'),
        (['https://example.org/x', '../x'], 2, ''),
        (['https://example.org/x', '.git/hooks/x'], 2, '.git'),
        (['https://example.org/x', 'n.txt'], 2, 'made by stage'),
        (['https://example.org/x', 'pipeline.yaml'], 5, 'already'),
        (['/', 'x'], 2, 'no data'),
        (['https://example.org/x', 'x', '--max-age', 'soon'], 2, '--max-age'),
        (['https://example.org/x', 'x', '--rev', 'main'], 2, '--rev'),
    ],
)  # fmt: skip
def test_refused(one: Project, words: list[str], code: int, said: str) -> None:
    refused = one.mlops('import', *words, code=code)
    assert said in refused.err and 'secret@' not in refused.err
    assert not one.exists('.mlops/data') and not one.exists('x')


def test_a_record_from_a_hostile_branch(one: Project) -> None:
    """Its url is used only by update, which a person types; other commands connect to nothing, and read no such file."""
    one.mlops('add', 'pipeline.yaml')
    found = record(one, 'pipeline.yaml')
    for url in ('file:///etc/passwd', 'http://127.0.0.1:9/x'):
        one.write('.mlops/data/pipeline.yaml.json', json.dumps({**found, 'source': {'url': url}}))
        assert one.mlops('update', 'pipeline.yaml', code=5).err.count('nobody here has confirmed') == 1
        one.mlops('status')
    one.write('.mlops/data/pipeline.yaml.json', json.dumps({**found, 'source': {'url': 'https://a:b@c/x'}}))
    assert 'damaged data record' in one.mlops('status', code=1).err


def test_of_a_large_folder_only_what_changed_is_placed(one: Project, tmp_path: Path) -> None:
    images = tmp_path / 'images'
    (images / 'in').mkdir(parents=True)
    for number in range(20):
        (images / f'in/{number}.png').write_text(f'{number}')
    one.mlops('import', '../images', 'data/images')
    kept = (one.path / 'data/images/in/3.png').stat().st_ino
    (images / 'in/new.png').write_text('new')
    (images / 'in/0.png').write_text('zero')
    (images / 'more').mkdir()
    (images / 'more/x.png').write_text('x')
    assert '2 new, 1 changed' in one.mlops('update').out
    assert (one.path / 'data/images/in/3.png').stat().st_ino == kept
    assert one.read('data/images/in/0.png') == 'zero' and one.read('data/images/more/x.png') == 'x'
    assert one.mlops('status', '--json').json['data'] == []
    (images / 'in/1.png').unlink()
    one.mlops('update')
    assert not one.exists('data/images/in/1.png') and one.mlops('status', '--json').json['data'] == []


def test_an_update_that_was_broken_off_goes_on(one: Project, tmp_path: Path) -> None:
    images = tmp_path / 'images'
    images.mkdir()
    for number in range(5):
        (images / f'{number}.png').write_text(f'{number}')
    one.mlops('import', '../images', 'data/images')
    (images / 'a.png').write_text('a')
    (images / 'b.png').write_text('b')
    one.write('data/images/a.png', 'a')  # as far as it came
    one.mlops('update', 'data/images')
    assert one.read('data/images/b.png') == 'b'
    (images / 'c.png').write_text('c')
    one.write('data/images/d.png', 'mine')
    assert 'changed at its source, and here too' in one.mlops('update', 'data/images', code=5).err


def test_a_prefix_of_a_bucket(one: Project, s3: S3) -> None:
    bucket = s3.make_bucket('import-commands')
    one.environ.update(s3.environ)

    def put(name: str, text: str) -> None:
        s3.client('s3').put_object(Bucket='import-commands', Key=name, Body=text.encode())

    put('images/a/1.png', '1')
    put('images/2.png', '2')
    one.mlops('import', f'{bucket}/images', 'images')
    assert one.read('images/a/1.png') == '1' and 'listing' in record(one, 'images')['source']  # type: ignore[operator]
    put('images/3.png', '3')
    found = one.mlops('update', '--json').json['rows'][0]
    assert (found['state'], found['new'], found['gone']) == ('updated', 1, 0) and one.read('images/3.png') == '3'
    assert one.environ['AWS_SECRET_ACCESS_KEY'] not in one.read('.mlops/data/images.json')
