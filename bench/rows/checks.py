"""Checks of a table of a million rows."""

from __future__ import annotations

from pathlib import Path

from bench.bounds import Bound, Measure, Race
from bench.measure import Contender
from bench.projects import Projects
from bench.rows.base import SLOW, Bench, Row
from bench.tools import Ours

ROWS_OF_TABLE = 1_000_000
SECONDS = 5.0  # more than to start
MEMORY = 300.0  # MiB: DuckDB may take 256 of them
MAKE = f"""
import duckdb
db = duckdb.connect()
db.execute('select setseed(0.4)')
numbers = [f'round(random() * 100 + {{at}}, 4) as x{{at}}' for at in range(7)]
whole = [f'cast(random() * {{10 ** (at + 1)}} as bigint) as n{{at}}' for at in range(5)]
words = [f"['red', 'green', 'blue', 'violet', 'black'][1 + cast(floor(random() * 5) as int)] as c{{at}}" for at in range(3)]
more = ["strftime(timestamp '2026-01-01' + interval (range) second, '%Y-%m-%dT%H:%M:%S') as moment", 'random() < 0.3 as label',
        "round(random(), 4) as prediction", "['a', 'b'][1 + cast(floor(random() * 2) as int)] as part"]
columns = ', '.join(['range as id', *numbers, *whole, *words, *more])
db.execute(f"copy (select {{columns}} from range({ROWS_OF_TABLE})) to 'table.csv' (header)")
types = "types={{'moment': 'VARCHAR'}}"
db.execute(f"copy (select * from read_csv('table.csv', {{types}})) to 'table.parquet' (format parquet)")
"""
READ = """
import duckdb
db = duckdb.connect(config={'threads': 2, 'memory_limit': '256MB'})
names = open('table.csv').readline().strip().split(',')
asked = ', '.join(f'avg({name})' if name[0] in 'xn' else f'max({name})' for name in names)
print(len(db.execute(f"select {asked} from read_csv('table.csv')").fetchone()), 'averages')
"""


def contract(moments: str) -> str:
    columns = ['id: {type: integer, nullable: false, min: 0}', f'moment: {{type: {moments}}}', 'label: {type: boolean}']
    columns += [f'x{at}: {{type: number, nullable: false, min: 0, max: 110}}' for at in range(7)]
    columns += [f'n{at}: {{type: integer, nullable: false, min: 0, max: {10 ** (at + 1)}}}' for at in range(5)]
    columns += [f'c{at}: {{type: string, values: [red, green, blue, violet, black]}}' for at in range(3)]
    columns += ['prediction: {type: number, min: 0, max: 1}', 'part: {values: [a, b]}']
    lines = ['version: 1', 'rows: {min: 1}', 'extra_columns: false', 'unique: [id]', 'columns:']
    return '\n'.join([*lines, *(f'  {one}' for one in columns)]) + '\n'


def project(projects: Projects, ours: Ours) -> Path:
    def make(folder: Path) -> None:
        projects.do((ours.python, '-c', MAKE), folder)
        for kind, moments in (('csv', 'datetime'), ('parquet', 'string')):
            (folder / f'{kind}.yaml').write_text(contract(moments))
        projects.do((ours.program, 'check', 'drift', 'table.csv', '--init', '--baseline', 'baseline.json'), folder)

    return projects.keep(ours.own('checks'), make)


def checks(bench: Bench, ours: Ours) -> Race:
    folder = project(bench.projects, ours)
    held, none = f'{ROWS_OF_TABLE:,} rows.', 'No drift in 20 columns'
    contenders = [
        bench.mlops(ours, folder, 'check', 'data', 'table.csv', '-c', 'csv.yaml', expect=held),
        bench.mlops(ours, folder, 'check', 'data', 'table.parquet', '-c', 'parquet.yaml', expect=held),
        bench.mlops(ours, folder, 'check', 'drift', 'table.csv', '-b', 'baseline.json', expect=none),
        bench.mlops(ours, folder, 'check', 'drift', 'table.parquet', '-b', 'baseline.json', expect=none),
        bench.mlops(ours, folder, 'check', 'fairness', 'table.csv', '-g', 'part', '--score', '0.5', expect='2 groups'),
    ]
    bounds = [Bound(one.name, 'mlops --version', SECONDS, Measure.BEYOND) for one in contenders]
    bounds += [Bound(one.name, '', MEMORY, Measure.MEMORY) for one in contenders]
    contenders.append(bench.mlops(ours, folder, '--version', expect='mlops'))
    if not bench.alone:
        averages = Contender('averages by DuckDB', (ours.python, '-c', READ), folder, expect='20 averages')
        bounds += [Bound(contenders[at].name, averages.name, 3) for at in (0, 2)]
        contenders.append(averages)
    return Race(tuple(contenders), tuple(bounds), apart=True)


ROWS = (Row('checks-1000000', 'a table of 1,000,000 rows and 20 columns checked', checks, SLOW),)
