"""Tables and their contracts: what is broken is counted, by DuckDB and by reading rows alike."""

from __future__ import annotations

import json
import os
import random
from importlib.util import find_spec
from pathlib import Path

import pytest

from mlops_cli.checks import checking, contract, holding, holding_sql, profile, sql_table, tables
from mlops_cli.core.errors import UserError, UserErrors

NOW = 1_800_000_000.0  # January 2027
CONTRACT = """\
version: 1
rows: {min: 2, max: 1000}
unique: [id, [id, c]]
extra_columns: false
columns:
  id: {type: integer, nullable: false, min: 0, max: 10, values: [1, 2, 3]}
  x: {type: number, max: 5, max_null_share: 0.2}
  c: {values: [a, b, "12"], pattern: '[a-z].?|12'}
  when: {type: datetime, max_age: 7d, min: '2020-01-01'}
  day: {type: date, required: false, max: 2026-01-01}
  b: {type: boolean}
"""
TEXTS = [
    '1', '2', '-1', '+3', '1.0', '1.', '.5', '1e3', '1e999', 'nan', 'inf', '1_0', ' 1', '', '', 'a', 'b', 'ab', 'a\nb', 'A', '12',  # noqa: E501
    '007', '٣', 'true', 'FALSE', 'tRUE', '2024-01-01', '2024-02-30', '0000-01-01', '2024-01-01T10:00', '2024-01-01 10:00:00+02:00',  # noqa: E501
    '2024-01-01 24:00', '2024-01-01T00:00:60', '2019-12-31T23:30-01:00', '2019-12-31T23:30:00.5Z', '2027-01-14T00:00Z', 'é',
    '9' * 30, 'say ""so""', "it's", '%', '{x}', '\x1b[31m',
]  # fmt: skip


def opened(path: str) -> int:
    return os.open(path, os.O_RDONLY)


def checked(path: Path, text: str = CONTRACT) -> holding.Held:
    return checking.check(contract.read(text.encode(), 'c.yaml'), str(path), opened, NOW, lambda _: None)


def broken(found: holding.Held) -> dict[tuple[str, str], int]:
    return {(rule.column, rule.rule): rule.broken for rule in found.broken}


@pytest.mark.skipif(find_spec('duckdb') is None, reason='needs duckdb')
def test_both_ways_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(7)
    monkeypatch.setattr(sql_table, 'SMALL', 0)
    names = ['id', 'x', 'c', 'when', 'day', 'b']
    for number in range(4):
        rows = [[chance.choice(TEXTS) for _ in names] for _ in range(200)]
        text = '\n'.join(
            ','.join(f'"{cell}"' if number % 2 or '\n' in cell or '"' in cell else cell for cell in row) for row in rows
        )
        path = tmp_path / f'{number}.csv'
        path.write_text(f'{",".join(names)}\n{text}\n')
        form = contract.read(CONTRACT.encode(), 'c.yaml')
        counted = holding_sql.counted(form, str(path), opened)
        assert counted is not None
        by_sql = holding.judged(form, *counted, NOW)
        with monkeypatch.context() as patch:
            patch.setattr(holding_sql, 'counted', lambda *_: None)
            by_rows = checked(path)
        assert by_sql == by_rows
        assert len(by_rows.broken) > 8


def test_what_is_counted(tmp_path: Path) -> None:
    path = tmp_path / 't.jsonl'
    rows = [{'id': 1, 'x': 2.5, 'c': 'a', 'when': '2027-01-14', 'b': True}, {'id': 1.5, 'x': float('nan'), 'c': 12, 'b': 1},
            {'id': '2', 'x': '3', 'c': ['a'], 'b': 'true', 'more': 1}, {'id': 1, 'x': 10**400, 'c': 'a'}]  # fmt: skip
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
    assert broken(checked(path)) == {
        ('', 'extra_columns'): 1, ('id', 'type'): 2, ('id', 'values'): 1, ('x', 'type'): 2, ('x', 'max'): 1, ('c', 'values'): 1,
        ('c', 'pattern'): 1, ('when', 'type'): 1, ('when', 'max_age'): 1, ('b', 'type'): 2, ('id', 'unique'): 1,
        ('id, c', 'unique'): 1,
    }  # fmt: skip
    examples = {rule.rule: rule.examples for rule in checked(path).broken if rule.column == 'id'}
    assert examples['type'] == [(2, '1.5'), (3, '2')] and examples['unique'] == [(1, '1')]


@pytest.mark.skipif(find_spec('duckdb') is None, reason='needs duckdb')
def test_parquet(tmp_path: Path) -> None:
    import duckdb

    path = tmp_path / 't.parquet'
    duckdb.execute(
        "COPY (SELECT * FROM (VALUES (1, 2.5::DOUBLE, 'a', TIMESTAMP '2027-01-14', DATE '2027-01-01', true), "
        "(11, 'nan'::DOUBLE, '', NULL, NULL, NULL), (1, 9, 'Z', NULL, NULL, NULL)) t(id, x, c, \"when\", day, b)) "
        f"TO '{path}' (FORMAT parquet)"
    )
    assert broken(checked(path)) == {
        ('id', 'max'): 1, ('id', 'values'): 1, ('x', 'type'): 1, ('x', 'max'): 1, ('c', 'values'): 1, ('c', 'pattern'): 1,
        ('day', 'max'): 1, ('id', 'unique'): 1,
    }  # fmt: skip


def test_a_table_without_rows_or_columns(tmp_path: Path) -> None:
    (tmp_path / 'a.csv').write_text('id,c\n')
    (tmp_path / 'b.csv').write_text('')
    text = 'version: 1\nrows: {min: 1}\nunique: [id, no]\ncolumns: {id: {type: integer, nullable: false}}\n'
    assert broken(checked(tmp_path / 'a.csv', text)) == {('', 'rows min'): 1, ('no', 'unique'): 1}
    assert ('id', 'required') in broken(checked(tmp_path / 'b.csv', text))
    (tmp_path / 'c.csv').write_text('id,id\n1,2\n')
    with pytest.raises(UserError, match='two columns'):
        checked(tmp_path / 'c.csv', text)


def test_rows_hidden_behind_blank_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / 't.csv'
    path.write_text('id,x\n1,1\n' + '\n' * 3 * tables.PIECE + '2,-500\n1,oops\n' + '\n' * 3 * tables.PIECE)
    text = 'version: 1\nunique: [id]\ncolumns: {x: {type: integer, min: 0}}\n'
    assert broken(checked(path, text)) == {('x', 'type'): 1, ('x', 'min'): 1, ('id', 'unique'): 1}


@pytest.mark.parametrize('small', [0, sql_table.SMALL])
def test_cells_beyond_the_header_hide_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: int) -> None:
    monkeypatch.setattr(sql_table, 'SMALL', small)
    path = tmp_path / 't.csv'
    text = 'version: 1\nextra_columns: false\ncolumns: {id: {type: integer}, age: {type: integer, min: 0}}\n'
    path.write_text('id,age\n1,30\n\n2,31,junk,-7\n')
    with pytest.raises(UserError, match='row 2 has 4 cells under 2 names') as caught:
        checked(path, text)
    assert caught.value.exit_code == 1
    path.write_text('id,age\n1,30,,\n2\n')  # as spreadsheets write it
    assert not checked(path, text).broken


def test_many_columns_and_huge_cells(tmp_path: Path) -> None:
    path = tmp_path / 'wide.csv'
    path.write_text(','.join(f'c{at}' for at in range(2000)) + '\n' + ','.join(['1'] * 1999) + ',' + 'z' * 2_000_000 + '\n')
    text = 'version: 1\ncolumns:\n' + ''.join(f'  c{at}: {{type: integer, min: 0}}\n' for at in range(2000))
    found = checked(path, text)
    assert broken(found) == {('c1999', 'type'): 1} and len(found.broken[0].examples[0][1]) == holding.CLIPPED


@pytest.mark.parametrize(('text', 'places'), [
    ('rows: {mn: 1}\n', ['1:1', '1:8']),
    ('version: 1\nunique: [3, [a, a]]\n', ['2:10', '2:13']),
    ('version: 1\nunique: [a, [b, c], [a], [c, b]]\n', ['2:21', '2:26']),
    ('version: 1\nunique: [' + ', '.join(f'a{at:03}' for at in range(102)) + ']\n', ['2:610']),
    ('version: 1\ncolumns:\n  a: {type: whole}\n  b: {pattern: "(a"}\n  c: {min: 1}\n  d: {nullable: false, max_null_share: 1}\n',  # noqa: E501
     ['3:13', '4:16', '5:12', '6:7']),
    ('version: 1\ncolumns: {a: {type: date, max_age: soon, min: 3}}\n', ['2:36', '2:47']),
    ('version: 1\ncolumns: {a: {values: [[1]], type: integer, max: x}}\n', ['2:24', '2:50']),
    ('version: 2\n', ['1:10']), ('[]\n', ['1:1']), ('', ['1:1']),
])  # fmt: skip
def test_mistakes_have_places(text: str, places: list[str]) -> None:
    with pytest.raises(UserErrors) as caught:
        contract.read(text.encode(), 'c.yaml')
    assert sorted(str(one.where).removeprefix('c.yaml:') for one in caught.value.errors) == places


def test_of_many_mistakes_a_hundred_are_told() -> None:
    with pytest.raises(UserErrors) as caught:
        contract.read(b'{' + b', '.join(b'"k%d": 1' % number for number in range(40_000)) + b'}', 'c.yaml')
    assert len(caught.value.errors) == 101 and 'more mistakes' in caught.value.errors[-1].message


def test_the_schema_agrees() -> None:
    import jsonschema_rs

    from mlops_cli.yamlfile import read

    schema = json.loads((Path(__file__).parents[2] / 'docs/schemas/data-contract.v1.json').read_text())
    says = jsonschema_rs.Draft202012Validator(schema)
    assert says.is_valid(read(CONTRACT.encode(), 'c').value)
    for text in ('rows: {}\n', 'version: 1\ncolumns: {a: {type: whole}}\n', 'version: 1\nunique: [3]\n', 'version: 1\nmore: 1\n',  # noqa: E501
                 'version: 1\ncolumns: {a: {min: 1}}\n', 'version: 1\ncolumns: {a: {nullable: true, max_null_share: 1}}\n'):  # fmt: skip  # noqa: E501
        assert not says.is_valid(read(text.encode(), 'c').value)
        with pytest.raises(UserErrors):
            contract.read(text.encode(), 'c')


def test_a_contract_made_from_a_table_holds(tmp_path: Path) -> None:
    path = tmp_path / 't.csv'
    tail = '1,{},2'
    rows = [f'{at},{at / 7},{"ab"[at % 2]},2024-01-{at % 28 + 1:02},{"" if at % 9 else "x"},{tail.format("👍👎"[at % 2])}'
            for at in range(100)]  # fmt: skip
    path.write_text(f'id,"x: {{#",c,day,few,\x1b[31m,😀,{"z" * 3000}\n' + '\n'.join(rows) + '\n')
    count, profiles = profile.of(str(path), opened, lambda _: None)
    text = profile.as_contract(profiles, count)
    assert not checked(path, text).broken
    columns = contract.read(text.encode(), 'c').columns
    assert [column.type for column in columns.values()] == [
        'integer',
        'number',
        'string',
        'date',
        'string',
        'string',
        'integer',
    ]  # and nothing of the one with an escape in its name
    assert columns['😀'].values == {'👍', '👎'}
    assert columns['c'].values == {'a', 'b'} and columns['few'].nulls == 0.88
