"""``import --query``: over sqlite by the standard library, over DuckDB and ADBC where they are installed."""

from __future__ import annotations

import json
import sqlite3
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.project import Project

ADBC = find_spec('adbc_driver_sqlite') is None or find_spec('pyarrow') is None


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / 'the s3cret-place.sqlite'
    with sqlite3.connect(path) as db:
        db.execute('CREATE TABLE people (id INTEGER, name TEXT, score REAL, photo BLOB)')
        db.executemany('INSERT INTO people VALUES (?, ?, ?, ?)', [(2, 'ben, "b"', None, b'\x01'), (1, 'ada', 0.5, None)])
    db.close()
    return path


@pytest.fixture
def one(project: Project, database: Path) -> Project:
    project.write('pipeline.yaml', 'stages: {}\n')
    project.write('q.sql', 'SELECT id, name, score, photo FROM people ORDER BY id -- last\n')
    project.environ['DSN'] = f'sqlite:{database}'
    return project


def test_the_result_is_pinned(one: Project, database: Path) -> None:
    said = one.mlops('import', '--query', 'q.sql', '--connection', 'env:DSN', 'people.csv')
    assert one.read('people.csv') == 'id,name,score,photo\n1,ada,0.5,\n2,"ben, ""b""",,01\n'
    record = one.read('.mlops/data/people.csv.json')
    assert json.loads(record)['source']['query'] == 'q.sql' and 's3cret' not in record + said.out + said.err
    assert 'same' in one.mlops('update').out and one.read('.mlops/data/people.csv.json') == record
    with sqlite3.connect(database) as db:
        db.execute("INSERT INTO people VALUES (3, 'cy', 1, NULL)")
    db.close()
    assert 'unknown' in one.mlops('update', '--dry-run').out
    assert 'updated   people.csv' in one.mlops('update').out and one.read('people.csv').endswith('3,cy,1.0,\n')
    one.mlops('import', '--query', 'q.sql', '--connection', 'env:DSN', 'people.jsonl')
    assert json.loads(one.read('people.jsonl').splitlines()[1]) == {'id': 2, 'name': 'ben, "b"', 'score': None, 'photo': '01'}


def test_a_query_that_changed_is_confirmed_again(one: Project) -> None:
    one.mlops('import', '--query', 'q.sql', '--connection', 'env:DSN', 'people.csv')
    one.write('q.sql', 'SELECT 1 AS one')
    assert 'the query q.sql over env:DSN' in one.mlops('update', 'people.csv', code=5).err
    one.mlops('--yes', 'update', 'people.csv')
    assert one.read('people.csv') == 'one\n1\n'


@pytest.mark.parametrize(
    ('words', 'query', 'dsn', 'code', 'said'),
    [
        (['x.csv'], 'SELECT * FROM nobody', None, 4, 'nobody'),
        (['x.csv'], 'INSERT INTO people VALUES (9, 9, 9, 9)', None, 4, 'readonly'),
        (['x.csv'], 'SELECT 1 AS a, 2 AS a', None, 2, 'one name'),
        (['x.csv'], 'SELECT 1; SELECT 2', None, 4, 'q.sql'),
        (['x.csv'], 'SELECT 1', 'sqlite:/nowhere/s3cret.db', 4, 'q.sql'),
        (['x.csv'], 'SELECT 1', 'oracle://ada:s3cret@host/db', 2, 'begins with nothing'),
        (['x.csv'], 'SELECT 1', '', 2, 'DSN is not set'),
        (['x.xls'], 'SELECT 1', None, 2, '.parquet'),
        (['x.parquet'], 'SELECT 1', None, 2, '.csv'),
        (['https://x/y', 'x.csv'], 'SELECT 1', None, 2, 'one argument'),
        ([], 'SELECT 1', None, 2, 'one argument'),
    ],
)
def test_refused(one: Project, words: list[str], query: str, dsn: str | None, code: int, said: str) -> None:
    one.write('q.sql', query)
    environ = {} if dsn is None else {'DSN': dsn}
    refused = one.mlops('import', '--query', 'q.sql', '--connection', 'env:DSN', *words, code=code, environ=environ)
    assert said in refused.err and 's3cret' not in refused.err and not one.exists('.mlops/data')
    assert [path.name for path in one.path.iterdir() if path.name.startswith('x.')] == []


def test_a_connection_is_a_variable(one: Project) -> None:
    refused = one.mlops('import', '--query', 'q.sql', '--connection', 'postgresql://ada:s3cret@h/d', 'x.csv', code=2)
    assert 'env:NAME' in refused.err and 's3cret' not in refused.err
    assert '--query' in one.mlops('import', '--connection', 'env:DSN', 'x.csv', code=2).err


def test_a_query_from_a_branch_is_not_run(one: Project, tmp_path: Path) -> None:
    one.mlops('import', '--query', 'q.sql', '--connection', 'env:DSN', 'people.csv')
    one.commit('all')
    one.git('clone', '-q', str(one.path), str(tmp_path / 'two'))
    two = Project(tmp_path / 'two', {'DSN': one.environ['DSN']})
    assert 'nobody here has confirmed' in two.mlops('update', 'people.csv', code=5).err
    assert not two.exists('people.csv')


@pytest.mark.skipif(find_spec('duckdb') is None, reason="needs pip install 'mlops-cli[sql]'")
@pytest.mark.parametrize('kind', ['csv', *(pytest.param(one, marks=pytest.mark.full) for one in ('tsv', 'jsonl')), 'parquet'])
def test_over_files_by_duckdb(one: Project, kind: str) -> None:
    for number in range(3):
        one.write(f'parts/{number}.csv', f'id,x\n{number},{number / 2}\n')
    one.write('q.sql', "SET threads = 2;\nSELECT * FROM 'parts/*.csv' ORDER BY id;  -- all\n")
    one.mlops('import', '--query', 'q.sql', f'all.{kind}')
    first = (one.path / f'all.{kind}').read_bytes()
    assert 'same' in one.mlops('update').out
    one.mlops('import', '--query', 'q.sql', f'again.{kind}')
    assert (one.path / f'again.{kind}').read_bytes() == first
    if kind == 'csv':
        assert first == b'id,x\n0,0.0\n1,0.5\n2,1.0\n'
    assert '3 rows x 2' in one.mlops('data').out


@pytest.mark.skipif(find_spec('duckdb') is not None, reason='duckdb is installed')
def test_what_is_not_installed_is_named(one: Project) -> None:
    assert "mlops-cli[sql]" in one.mlops('import', '--query', 'q.sql', 'x.csv', code=6).err


@pytest.mark.full
@pytest.mark.skipif(ADBC, reason='needs adbc-driver-sqlite and pyarrow, which are 170 MB and no part of the tests\' extra')
@pytest.mark.parametrize('kind', ['csv', 'jsonl', 'parquet'])
def test_over_adbc(one: Project, database: Path, kind: str) -> None:
    one.environ['DSN'] = f'adbc+sqlite:{database}'
    one.write('q.sql', 'SELECT id, name, score FROM people ORDER BY id')
    one.mlops('import', '--query', 'q.sql', '--connection', 'env:DSN', f'people.{kind}')
    assert 'same' in one.mlops('update').out
    if kind == 'csv':
        assert one.read('people.csv') == 'id,name,score\n1,ada,0.5\n2,"ben, ""b""",\n'
