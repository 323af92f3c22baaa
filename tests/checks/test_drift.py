"""Columns against a baseline: by DuckDB and by reading rows alike, and as scipy says."""

from __future__ import annotations

import json
import math
import os
import random
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest

from mlops_cli.checks import baseline, contract, distribution, drift, drifting, sql_table
from mlops_cli.core.errors import UserError
from tests.support.project import Project

needs_duckdb = pytest.mark.skipif(find_spec('duckdb') is None, reason='needs duckdb')


def opened(path: str) -> int:
    return os.open(path, os.O_RDONLY)


def made(path: Path, rows: int, shift: float, seed: int) -> dict[str, list[str]]:
    """``x``: numbers; ``few``: of six; ``c``: categories; ``gap``: half without a value if shifted; ``odd``: some are words;
    ``word``: texts."""
    chance = random.Random(seed)
    words = 'aabc' if not shift else 'abbccd'
    columns = {
        'x': [f'{chance.gauss(shift, 1):.5f}' for _ in range(rows)],
        'few': [str(chance.randrange(6)) for _ in range(rows)],
        'c': [chance.choice(words) for _ in range(rows)],
        'gap': ['' if chance.random() < 0.1 + shift / 2 else f'{chance.random():.3f}' for _ in range(rows)],
        'odd': [chance.choice(('nan', '1_0', ' 2', *map(str, range(90)))) for _ in range(rows)],
        'word': [f'{chance.random()}-{at}' for at in range(rows)],
    }
    path.write_text(','.join(columns) + '\n' + ''.join(','.join(row) + '\n' for row in zip(*columns.values(), strict=True)))
    return columns


def compared(before: Path, now: Path, limits: drift.Limits = drift.Limits()) -> dict[str, drift.Compared]:  # noqa: B008
    table = drifting.baseline(str(before), opened, lambda _: None, [], [])
    measured, _ = drifting.measured(str(now), table.columns, opened, lambda _: None)
    numbers = [name for name, one in table.columns.items() if one.kind == 'number']
    exact = drifting.exact_distances(str(before), str(now), numbers, opened)
    return {one.name: one for one in drift.compare(table, measured, limits, exact=exact).columns}


def test_as_scipy_says(tmp_path: Path) -> None:
    pytest.importorskip('scipy')
    from scipy.stats import chi2_contingency, ks_2samp

    before, now = made(tmp_path / 'a.csv', 900, 0.0, 1), made(tmp_path / 'b.csv', 700, 0.6, 2)
    found = compared(tmp_path / 'a.csv', tmp_path / 'b.csv')
    for name in ('x', 'few', 'gap'):
        first, second = ([float(cell) for cell in side[name] if cell] for side in (before, now))
        wanted = ks_2samp(first, second)
        assert found[name].ks == pytest.approx(wanted.statistic, abs=1e-9) and found[name].ks_exact
        assert found[name].ks_p == pytest.approx(wanted.pvalue, abs=1e-9)
    for name in ('x', 'few', 'c', 'gap', 'odd'):
        pairs = [(a, b) for _, a, b in found[name].bins]
        table = chi2_contingency(list(zip(*pairs, strict=True)), correction=False)
        assert (found[name].chi_square, found[name].chi_square_p) == pytest.approx((table.statistic, table.pvalue), abs=1e-9)
        shares = [(max(a / 900, 1e-4), max(b / 700, 1e-4)) for a, b in pairs]
        assert found[name].psi == pytest.approx(sum((b - a) * math.log(b / a) for a, b in shares), abs=1e-9)
        assert [sum(side) for side in zip(*pairs, strict=True)] == [900, 700]
    assert {name for name, one in found.items() if one.drifted} == {'x', 'c', 'gap'}
    assert found['c'].bins == [(one, before['c'].count(one), now['c'].count(one)) for one in 'abc'] + [
        ('other', 0, now['c'].count('d'))
    ]  # fmt: skip


def test_bins_are_those_of_the_values(tmp_path: Path) -> None:
    before, now = made(tmp_path / 'a.csv', 1000, 0.0, 3), made(tmp_path / 'b.csv', 500, 0.5, 4)
    bins = compared(tmp_path / 'a.csv', tmp_path / 'b.csv')['x'].bins
    assert len(bins) == drift.PSI_BINS and all(80 <= count <= 120 for _, count, _ in bins)
    edges = [-math.inf, *(float(name.split()[-1]) for name, _, _ in bins[:-1]), math.inf]
    for side, at in ((before, 1), (now, 2)):
        numbers = [float(f'{float(cell):.6g}') for cell in side['x']]
        assert [one[at] for one in bins] == [sum(low < n <= high for n in numbers) for low, high in pairwise(edges)]


@needs_duckdb
def test_both_ways_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb

    paths = [tmp_path / 'a.csv', tmp_path / 'b.csv']
    made(paths[0], 900, 0.0, 5)
    made(paths[1], 700, 0.6, 6)
    monkeypatch.setattr(distribution, 'SAMPLE', 256)
    by_rows = compared(*paths)
    table = drifting.baseline(str(paths[0]), opened, lambda _: None, [], [])
    monkeypatch.setattr(sql_table, 'SMALL', 0)
    assert drifting.baseline(str(paths[0]), opened, lambda _: None, [], []) == table
    assert compared(*paths) == by_rows
    (tmp_path / 'c.jsonl').write_text('{"x": 0.5, "c": "a", "gap": NaN}\n{"x": "0.5", "few": true}\n')
    found, names = drifting.measured(str(tmp_path / 'c.jsonl'), table.columns, opened, lambda _: None)
    assert (found.rows, names, found.columns['x'].odd, found.columns['gap'].nulls) == (2, ['x', 'c', 'gap', 'few'], 1, 2)
    parquet = tmp_path / 'a.parquet'
    duckdb.execute(f"COPY (SELECT * FROM read_csv('{paths[0]}', types={{'odd': 'VARCHAR'}})) TO '{parquet}' (FORMAT parquet)")
    typed = drifting.baseline(str(parquet), opened, lambda _: None, [], [])
    assert {name: one for name, one in typed.columns.items() if name != 'odd'} == {
        name: one for name, one in table.columns.items() if name != 'odd'
    }


@needs_duckdb
def test_names_and_kinds_of_parquet(tmp_path: Path) -> None:
    import duckdb

    path = tmp_path / 'h.parquet'
    duckdb.execute(
        'COPY (SELECT range % 7 AS "a\"\"b{c}\'", [\'{x}\'\'"\', \'y;--\'][1 + range % 2] AS "{}", range * 1.5 AS "row", '
        "range::DECIMAL(9,2) AS v0, [range] AS l, {'a': range} AS s, DATE '2026-01-01' + range::INT AS g0, 'x'::BLOB AS b, "
        "CASE WHEN range % 3 = 0 THEN 'nan'::DOUBLE WHEN range % 3 = 1 THEN 'inf'::DOUBLE ELSE 1 END AS odd "
        f"FROM range(300)) TO '{path}'"
    )
    found = compared(path, path)
    assert list(found) == ['a"b{c}\'', '{}', 'row', 'v0', 'l', 's', 'g0', 'b', 'odd']
    assert all(one.psi == 0 and not one.drifted for one in found.values())
    kinds = [found[name].kind for name in ('a"b{c}\'', '{}', 'row', 'v0', 'g0')]
    assert kinds == ['number', 'category', 'number', 'number', 'category']
    assert found['{}'].bins == [('y;--', 150, 150), ("{x}'\"", 150, 150)] and found['odd'].missing_now == 1 / 3


def test_a_baseline_is_read_as_it_was_written(tmp_path: Path) -> None:
    import jsonschema_rs

    made(tmp_path / 'a.csv', 300, 0.0, 7)
    table = drifting.baseline(str(tmp_path / 'a.csv'), opened, lambda _: None, [], [])
    text = baseline.document(table)
    assert baseline.read(text.encode(), 'b') == table and len(text.splitlines()) == len(table.columns) + 2
    schema = json.loads((Path(__file__).parents[2] / 'docs/schemas/drift-baseline.v1.json').read_text())
    says = jsonschema_rs.Draft202012Validator(schema)
    assert says.is_valid(json.loads(text))


@pytest.mark.parametrize('text', [
    '', '[]', '{"schema": "mlops/drift-baseline/v1"}', '{"a": ' * 100_000,
    *(f'{{"schema": "mlops/drift-baseline/v1", "rows": 1, "columns": {{"x": {one}}}}}' for one in (
        '3', '{"kind": "word"}', '{"kind": "text", "nulls": -1, "other": 0}', '{"kind": "text", "nulls": true, "other": 0}',
        '{"kind": "number", "nulls": 0, "odd": 0, "exact": false, "edges": [2, 1], "counts": [0, 0, 0]}',
        '{"kind": "number", "nulls": 0, "odd": 0, "exact": false, "edges": [NaN], "counts": [0, 0]}',
        '{"kind": "number", "nulls": 0, "odd": 0, "exact": false, "edges": [1], "counts": [0]}',
        '{"kind": "number", "nulls": 0, "odd": 0, "exact": 1, "edges": [1e999], "counts": [0, 0]}',
        '{"kind": "category", "nulls": 0, "other": 0, "counts": {"a": 1.5}}',
        '{"kind": "category", "nulls": 0, "other": 0, "counts": {"": 1}}',
    )),
])  # fmt: skip
def test_a_baseline_is_read_strictly(text: str) -> None:
    with pytest.raises(UserError, match='no baseline of drift'):
        baseline.read(text.encode(), 'b.json')


def test_large_and_no_chance(tmp_path: Path) -> None:
    made(tmp_path / 'a.csv', 2000, 0.0, 8)
    made(tmp_path / 'few.csv', 25, 0.0, 9)
    assert not any(one.drifted for one in compared(tmp_path / 'a.csv', tmp_path / 'few.csv').values())
    made(tmp_path / 'b.csv', 2000, 0.2, 10)
    found = compared(tmp_path / 'a.csv', tmp_path / 'b.csv')['x']
    assert not found.drifted and found.corrected_p is not None and found.corrected_p < 1e-3  # sure, and small
    assert compared(tmp_path / 'a.csv', tmp_path / 'b.csv', drift.Limits(psi=0.01))['x'].drifted
    assert compared(tmp_path / 'a.csv', tmp_path / 'b.csv', drift.Limits(ks=0.05))['x'].drifted


def test_nothing_to_compare(tmp_path: Path) -> None:
    made(tmp_path / 'a.csv', 50, 0.0, 11)
    (tmp_path / 'none.csv').write_text('x,few\n')
    found = compared(tmp_path / 'a.csv', tmp_path / 'none.csv')
    assert found['x'].problem == 'one of the tables has no rows' and not found['x'].drifted
    assert found['c'].problem == 'the column is not there' and found['c'].drifted
    assert not any(one.drifted for one in compared(tmp_path / 'none.csv', tmp_path / 'a.csv').values())


def test_as_it_is_typed(tmp_path: Path) -> None:
    project = Project(tmp_path)
    evil = '<b>|\x1b[2J'
    made(project.path / 'a.csv', 400, 0.0, 12)
    made(project.path / 'b.csv', 400, 1.0, 13)
    for name in ('a.csv', 'b.csv'):
        project.write(name, (project.path / name).read_text().replace('few,c,', f'few,{evil},'))
    words = ('check', 'drift', 'b.csv', '--baseline', 'a.json')
    assert 'Wrote a.json: 6 columns, 400 rows.' in project.mlops('check', 'drift', 'a.csv', '-b', 'a.json', '--init').out
    assert 'is there already' in project.mlops('check', 'drift', 'a.csv', '-b', 'a.json', '--init', code=5).err
    assert project.mlops('check', 'drift', 'a.csv', '-b', 'a.json').out.startswith('No drift in 6 columns.')
    failed = project.mlops(*words, '-t', 'few', '-o', 'r/a.html', '-o', 'a.md', '-o', 'a.json.json', code=1)
    assert failed.out.startswith('FAILED    covariate shift: 3 of 5 columns drifted.') and '\x1b' not in failed.out
    page, text = (project.path / 'r/a.html').read_text(), (project.path / 'a.md').read_text()
    assert page.count('<figure>') == 6 and '<b>' not in page + text and '\x1b' not in page + text
    label = project.mlops(*words, '--target', 'x', '--column', 'x', '--json', code=1).json
    assert label['label_shift'] and not label['covariate_shift'] and [one['name'] for one in label['columns']] == ['x']
    assert project.mlops(*words, '--ignore', 'x', '--ignore', evil, '--ignore', 'gap').out.startswith('No drift in 3 columns.')
    assert project.mlops('check', 'drift', 'b.csv', '-b', 'a.csv', '--json', code=1).json['columns'][0]['ks_exact']
    for wrong in (('--alpha', '2'), ('--max-psi', '-1'), ('--correction', 'x'), ('-t', 'y'), ('--column', 'y')):
        project.mlops(*words, *wrong, code=2)


def test_limits_of_a_contract(tmp_path: Path) -> None:
    project = Project(tmp_path)
    made(project.path / 'a.csv', 2000, 0.0, 8)
    made(project.path / 'b.csv', 2000, 0.2, 10)
    project.mlops('check', 'drift', 'a.csv', '-b', 'a.json', '--init', '--ignore', 'word')
    words = ('check', 'drift', 'b.csv', '-b', 'a.json', '--json')

    def drifted(contract: str, *more: str) -> set[str]:
        project.write('c.yaml', f'version: 1\n{contract}\n')
        found = project.mlops(*words, '-c', 'c.yaml', *more, code=None)
        columns = found.json['columns']
        assert found.code == int(any(one['drifted'] for one in columns)) and found.json['contract'] == 'c.yaml'
        return {one['name'] for one in columns if one['drifted']}

    assert drifted('') == {'c'}
    assert drifted('drift: {max_psi: 0.01}') == {'x', 'c', 'gap'}
    assert drifted('drift: {max_psi: 0.01}', '--max-psi', '0.2') == {'c'}  # what is typed counts before that
    assert drifted('columns: {x: {drift: {max_psi: 0.01}}}', '--max-psi', '100') == {'x'}  # but not before a column's own
    assert drifted('columns: {x: {drift: {max_ks: 0.05}}, c: {drift: false}}') == {'x'}
    low = 'x: {drift: {max_psi: 0.01, alpha: 1e-300}}, c: {drift: false}, gap: {drift: {max_psi: 0.01}}'
    assert drifted(f'columns: {{{low}}}') == {'gap'}
    assert drifted('columns: {none: {drift: false}, gap: {}}', '--column', 'x') == set()
    project.write('c.yaml', 'version: 1\ncolumns: {xx: {drift: {max_psi: 1}}, c: {drift: false}}\n')
    said = project.mlops(*words, '-c', 'c.yaml', code=2).json
    assert "limits of drift for a column 'xx', which a.json does not have" in said['message']
    project.mlops(*words, '-c', 'c.yaml', '--ignore', 'xx')
    project.write('c.yaml', 'version: 1\ncolumns: {c: {drift: {max_ks: 0.1}}}\n')
    said = project.mlops(*words, '-c', 'c.yaml', code=2).json
    assert "c.yaml has max_ks for 'c', whose values in a.json are no numbers" in said['message']
    project.mlops(*words, '-c', 'c.yaml', '--ignore', 'c')
    project.write('c.yaml', 'version: 1\ncolumns: {x: {drift: {max_psi: 0.01}}, c: {drift: false}}\n')
    project.mlops('check', 'drift', 'a.csv', '-b', 'new.json', '--init', '-c', 'c.yaml')
    assert set(json.loads(project.read('new.json'))['columns']) == {'x', 'few', 'gap', 'odd', 'word'}
    told = project.mlops(*words[:-1], '-c', 'c.yaml', '-o', 'r.md', code=1).out
    assert '  x is held to psi 0.01, alpha 0.05, as c.yaml says' in told
    assert '| limits |' in project.read('r.md') and 'psi 0.01, alpha 0.05 |' in project.read('r.md')
    assert 'holds to c.yaml' in project.mlops('check', 'data', 'b.csv', '-c', 'c.yaml').out  # to which drift is nothing


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('drift: 3', 'a mapping is expected'),
        ('drift: {psi: 1}', 'drift.psi is unknown'),
        ('drift: {max_psi: -1}', 'from 0'),
        ('drift: {max_psi: .nan}', 'is not a number that can be compared'),
        ('drift: {max_psi: .inf}', 'is not a number that can be compared'),
        ('drift: {max_ks: 1.5}', 'from 0 to 1'),
        ('drift: {max_ks: true}', 'a number is expected'),
        ('drift: {alpha: 0}', 'a probability'),
        ('drift: {correction: bonferoni}', 'is no correction'),
        ('columns: {x: {drift: true}}', 'limits, or false'),
        ('columns: {x: {drift: }}', 'limits, or false'),
        ('columns: {x: {drift: {correction: none}}}', 'columns.x.drift.correction is unknown'),
        ('columns: {x: {drift: {alpha: [1]}}}', 'a number is expected'),
    ],
)
def test_limits_are_read_strictly(text: str, said: str) -> None:
    import jsonschema_rs
    import yaml

    with pytest.raises(UserError, match=r'c\.yaml:2') as wrong:
        contract.read(f'version: 1\n{text}\n'.encode(), 'c.yaml')
    assert said in str(wrong.value)
    schema = json.loads((Path(__file__).parents[2] / 'docs/schemas/data-contract.v1.json').read_text())
    if '.nan' not in text and '.inf' not in text:
        value = yaml.safe_load(f'version: 1\n{text}')
        assert not jsonschema_rs.Draft202012Validator(schema).is_valid(value)


def test_alpha_of_one_asks_nothing_of_chance(tmp_path: Path) -> None:
    for name, most in (('a.csv', 14), ('b.csv', 9)):
        rows = (','.join('a' if at < most else 'b' for _ in range(12)) for at in range(20))
        (tmp_path / name).write_text('\n'.join((','.join(f'c{at}' for at in range(12)), *rows)))
    found = compared(tmp_path / 'a.csv', tmp_path / 'b.csv', drift.Limits(alpha=0.99))['c3']
    assert found.psi is not None and found.psi > 0.2 and found.corrected_p == 1.0 and not found.drifted
    assert compared(tmp_path / 'a.csv', tmp_path / 'b.csv', drift.Limits(alpha=1.0))['c3'].drifted


def test_what_compares_nothing_passes_no_gate(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write('a.csv', 'x,y\n' + '1,a\n' * 50)
    project.write('none.csv', 'x,y\n')
    project.write('empty.json', '{"schema": "mlops/drift-baseline/v1", "rows": 0, "columns": {}}')
    project.write('c.yaml', 'version: 1\ncolumns: {x: {drift: false}, y: {drift: false}}\n')
    for words in (('none.csv', '-b', 'a.csv'), ('a.csv', '-b', 'none.csv'), ('a.csv', '-b', 'empty.json'),
                  ('a.csv', '-b', 'a.csv', '-c', 'c.yaml')):  # fmt: skip
        said = project.mlops('check', 'drift', *words, code=1)
        assert said.out.startswith('FAILED    nothing could be compared. '), words
    found = project.mlops('check', 'drift', 'none.csv', '-b', 'a.csv', '--json', code=1).json
    assert not found['passed'] and not found['columns'][0]['drifted'] and found['columns'][0]['problem']
    assert '--contract names no file' in project.mlops('check', 'drift', 'a.csv', '-b', 'a.csv', '-c', '', code=2).err
    project.write('long.csv', f'x,y,{"z" * 3000}\n1,a,1\n')
    told = project.mlops('check', 'drift', 'long.csv', '-b', 'a.csv', code=None).out
    assert 'not in the baseline: zzz' in told and max(map(len, told.splitlines())) < 150
