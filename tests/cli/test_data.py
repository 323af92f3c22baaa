"""``data list``, ``data show``, and what ``status`` says of tracked data, as time passes too."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest

from mlops_cli.checks.statistics import of_file
from mlops_cli.cli.quick import form, learn
from mlops_cli.core.clock import iso
from mlops_cli.fsio.paths import Root
from tests.support.project import Project

PIPELINE = """\
stages:
  count: {cmd: wc -l < data/x.csv > n.txt, deps: [data/x.csv], outs: [n.txt]}
  look: {matrix: {n: [1, 2, 3]}, cmd: 'ls images > l${item.n}.txt', deps: [images], outs: ['l${item.n}.txt']}
"""


@pytest.fixture
def one(project: Project) -> Project:
    project.write('pipeline.yaml', PIPELINE)
    project.write('data/x.csv', 'id,score,name\n1,0.5,ada\n2,,ben\n3,2.25,\n')
    project.write('rows.jsonl', '{"a": 1, "b": "x"}\n{"a": null, "c": [1]}\n')
    for number in range(12):
        project.write(f'images/{number % 3}/{number}.png', 'x' * (number + 1))
    project.write('images/notes.txt', 'y')
    project.mlops('add', 'data/x.csv', 'rows.jsonl', 'images', '--licence', 'CC0-1.0', '--desc', 'Some')
    return project


def test_what_is_tracked(one: Project) -> None:
    rows = {row['path']: row for row in one.mlops('data', 'list', '--json').json['rows']}
    assert (rows['data/x.csv']['rows'], rows['data/x.csv']['columns'], rows['data/x.csv']['used_by']) == (3, 3, ['count'])
    assert (rows['images']['files'], rows['images']['used_by']) == (13, ['look@1', 'look@2', 'look@3'])
    assert rows['rows.jsonl']['here'] == 'yes' and rows['rows.jsonl']['used_by'] == []
    one.write('data/x.csv', 'id\n')
    text = one.mlops('data').out
    assert '3 rows x 3' in text and '12 png, 1 txt' in text and 'look@*' in text and 'changed here' in text


def test_all_about_some(one: Project) -> None:
    found = one.mlops('data', 'show', 'data/x.csv', 'rows.jsonl', 'images', '--json').json['rows']
    assert [tuple(column.values()) for column in found[0]['statistics']['columns']] == [
        ('id', 'integer', 0, 1, 3), ('score', 'number', 1, 0.5, 2.25), ('name', 'text', 1, 'ada', 'ben'),
    ]  # fmt: skip
    assert [(column['name'], column['nulls']) for column in found[1]['statistics']['columns']] == [('a', 1), ('b', 1), ('c', 1)]
    assert found[2]['statistics']['suffixes'] == [
        {'suffix': 'png', 'files': 12, 'bytes': 78}, {'suffix': 'txt', 'files': 1, 'bytes': 1},
    ]  # fmt: skip
    text = one.mlops('data', 'show', 'data/x.csv').out
    assert 'CC0-1.0' in text and 'score' in text
    assert 'is not tracked' in one.mlops('data', 'show', 'nothing', code=2).err


def test_a_table_is_read_once(one: Project) -> None:
    one.mlops('data')
    kept = list((one.path / '.mlops/local/statistics').iterdir())
    assert len(kept) == 3
    for path in kept:
        path.write_text(path.read_text().replace('"rows": 3', '"rows": 777'))
    assert '777 rows' in one.mlops('data').out
    for path in kept:
        path.write_text('{"version": "mlops/statistics/v0"}')
    assert '3 rows' in one.mlops('data').out


@pytest.mark.parametrize(
    ('name', 'content'),
    [
        ('x.csv', b''), ('x.csv', b'a,b\n'), ('x.csv', b'a,b\n1\n1,2,3\n'), ('x.csv', b'\xff\xfe\n'), ('x.csv', b'"a\n' * 5),
        ('x.tsv', b'a\tb\n1\tnan\n2\tinf\n'), ('x.csv', b'a\n1_000\n' + b'9' * 400 + b'\n'), ('x.jsonl', b'[1]\n'),
        ('x.jsonl', b'{"a": NaN}\n{"a": 1e999}\n'), ('x.jsonl', b'[' * 100_000), ('x.parquet', b'PAR1'),
        ('x.csv', b'a\0b\n\x1b[2J\n'),
    ],
)  # fmt: skip
def test_no_table_makes_it_fall(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    found = of_file(name, lambda: os.open(path, os.O_RDONLY))
    assert found.kind == 'table' and len(json.dumps(found.document(), allow_nan=False)) < 4000
    assert (found.rows is None) is bool(found.problem)


def test_status_tells_what_changed_and_what_is_too_old(one: Project) -> None:
    assert one.mlops('status', '--json').json['data'] == []
    one.write('images/0/new.png', 'new')
    one.write('images/0/0.png', 'changed')
    (one.path / 'images/notes.txt').unlink()
    one.mlops('add', 'rows.jsonl', '--max-age', '30d')
    record = json.loads(one.read('.mlops/data/rows.jsonl.json'))
    one.write('.mlops/data/rows.jsonl.json', json.dumps({**record, 'checked': iso(time.time() - 40 * 86400)[:10]}))
    data = {row['path']: row for row in one.mlops('status', '--json').json['data']}
    assert (data['images']['new'], data['images']['changed'], data['images']['gone']) == (1, 1, 1)
    assert data['rows.jsonl']['overdue'] and data['rows.jsonl']['state'] == 'same'
    text = one.mlops('status').out
    assert '1 new, 1 changed, 1 gone' in text and '(mlops add rows.jsonl)' in text
    assert re.search('added 4[01] days ago, max_age 30d', text)
    one.mlops('add', 'rows.jsonl')
    assert 'max_age' not in one.mlops('status').out


def test_an_answer_holds_no_longer_than_the_data(one: Project, tmp_path: Path) -> None:
    secret = os.urandom(32)
    now = int(time.time())
    for until, holds in ((0, True), (now + 60, True), (now, False), (now - 5, False)):
        whole = form.assemble(secret, b'e' * form.DIGEST, b'f', b'p', b'', until)
        assert (form.parts_of(secret, whole) is not None) is holds
    with Root(one.path) as root:
        assert learn._until(root) == 0
    one.mlops('add', 'images', '--max-age', '12h')
    with Root(one.path) as root:
        assert now + 12 * 3600 - 1 <= learn._until(root) <= time.time() + 12 * 3600
    record = json.loads(one.read('.mlops/data/images.json'))
    one.write('.mlops/data/images.json', json.dumps({**record, 'checked': iso(now - 86400)}))
    with Root(one.path) as root:
        assert now + 3600 - 1 <= learn._until(root) <= time.time() + 3600


@pytest.mark.full
def test_time_alone_changes_the_status(one: Project) -> None:
    one.mlops('run')
    one.mlops('add', 'images', '--max-age', '60s')
    record = json.loads(one.read('.mlops/data/images.json'))
    one.write('.mlops/data/images.json', json.dumps({**record, 'checked': iso(time.time() - 50)}))
    for _ in range(3):
        time.sleep(0.3)
        assert 'max_age' not in one.mlops('status').out
    assert (one.path / form.FILE).exists()
    time.sleep(12)
    assert 'added 1 min ago, max_age 60s' in one.mlops('status').out


def test_a_folder_that_grew_says_by_what(one: Project) -> None:
    one.write('images/0/new.png', 'new')
    one.write('images/notes.txt', 'other')
    (one.path / 'images/1/1.png').unlink()
    said = one.mlops('add', 'images').out
    assert 'added     images, 13 files, ' in said and ': 1 new, 1 changed, 1 gone' in said
    assert ':' not in one.mlops('add', 'images').out


JUNK = ('images/.DS_Store', 'images/0/__pycache__/x.pyc', 'images/1/half.png~')


@pytest.mark.parametrize('way', ['add', 'import', 'in-place'])
def test_what_is_ignored_is_no_part_of_it(project: Project, tmp_path: Path, way: str) -> None:
    """The file that a desktop leaves in each folder it shows changes nothing, neither here nor for who has none."""
    project.write('pipeline.yaml', 'stages:\n  look: {cmd: ls images/* > n.txt, deps: [images], outs: [n.txt]}\n')
    words = {'add': 'add images', 'in-place': 'import --in-place images', 'import': 'import ../there images'}[way].split()
    base = tmp_path / 'there' if way == 'import' else project.path / 'images'
    for number in range(4):
        (base / f'{number % 2}').mkdir(parents=True, exist_ok=True)
        (base / f'{number % 2}/{number}.png').write_text(f'picture {number}')

    def leave(folder: Path, text: str) -> None:
        for junk in JUNK:
            place = folder / junk.removeprefix('images/')
            place.parent.mkdir(exist_ok=True)
            place.write_text(text)

    project.mlops(*words)
    bare = json.loads(project.read('.mlops/data/images.json'))['ref']
    leave(base, 'one')
    if way == 'import':
        project.mlops('import', '--force', *words[1:])
        assert [row['state'] for row in project.mlops('update', '--dry-run', '--json').json['rows']] == ['same']
        assert [row['state'] for row in project.mlops('update', '--json').json['rows']] == ['same']
    else:
        project.mlops(*words)
    assert json.loads(project.read('.mlops/data/images.json'))['ref'] == bare
    leave(project.path / 'images', 'two')
    project.mlops('run')
    project.commit('all')
    assert project.mlops('status', '--exit-code').code == 0 and project.mlops('status', '--json').json['data'] == []
    assert '0 paths' in project.mlops('checkout').out or 'same' in project.mlops('checkout').out
    assert all(project.read(junk) == 'two' for junk in JUNK)
    if way == 'in-place':
        return
    project.write('images/0/0.png', 'another')
    project.mlops('checkout', '--force', 'images')
    assert project.read('images/0/0.png') == 'picture 0' and all(project.read(junk) == 'two' for junk in JUNK)
    project.mlops('remote', 'add', 'origin', str(tmp_path / 'remote'))
    project.mlops('push')
    project.commit('remote')
    project.git('clone', '-q', str(project.path), str(tmp_path / 'two'))
    two = Project(tmp_path / 'two')
    two.mlops('--yes', 'fetch')
    (step,) = two.mlops('plan', '--json').json['stages']  # before the data is in the workspace, too
    assert step['verdict'] == 'restore' and step['key'] == project.mlops('plan', '--json').json['stages'][0]['key']
    two.mlops('pull')
    assert not any(two.exists(junk) for junk in JUNK) and two.mlops('status', '--exit-code').code == 0


def test_a_table_of_a_head_alone_has_its_columns(project: Project) -> None:
    project.write('pipeline.yaml', 'stages: {}\n')
    project.write('t.csv', 'id,name\n')
    project.write('empty.csv', '')
    project.mlops('add', 't.csv', 'empty.csv')
    said = project.mlops('data', 'list').out
    assert '0 rows x 2' in said and '0 rows x 0' in said
    (found,) = project.mlops('data', 'show', 't.csv', '--json').json['rows']
    assert [column['name'] for column in found['statistics']['columns']] == ['id', 'name']
