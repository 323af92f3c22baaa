"""A baseline: how the columns of a table were distributed, as a JSON document that lies in git.

It may come from a branch that nobody trusts, so it is read strictly."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NoReturn

from mlops_cli.checks import distribution as form
from mlops_cli.checks.tables import COLUMNS
from mlops_cli.core.errors import UserError, Where

SCHEMA = 'mlops/drift-baseline/v1'
KINDS = ('number', 'category', 'text')
EDGES = 1000  # of one column, at most
LARGEST = 1 << 53  # a count


def document(of: form.Table) -> str:
    """A line for each column, so that a change of one is a line in git."""
    lines = [f' {json.dumps(name)}: {json.dumps(_told(one))}' for name, one in of.columns.items()]
    columns = ',\n'.join(lines)
    return f'{{"schema": "{SCHEMA}", "rows": {of.rows}, "columns": {{\n{columns}\n}}}}\n'


def _told(one: form.Column) -> dict[str, Any]:
    if one.kind == 'number':
        return {'kind': 'number', 'nulls': one.nulls, 'odd': one.odd, 'exact': one.exact, 'edges': list(one.edges),
                'counts': one.counts}  # fmt: skip
    if one.kind == 'category':
        return {'kind': 'category', 'nulls': one.nulls, 'other': one.other, 'counts': one.categories}
    return {'kind': 'text', 'nulls': one.nulls, 'other': one.other}


class _Reader:
    def __init__(self, file: str) -> None:
        self.file = file

    def wrong(self, said: str) -> NoReturn:
        raise UserError(
            f'no baseline of drift: {said}',
            where=Where(self.file),
            hint='mlops check drift TABLE --baseline FILE --init writes one',
        )

    def table(self, data: bytes) -> form.Table:
        try:
            whole = json.loads(data)
        except (ValueError, RecursionError):
            self.wrong('not JSON')
        if not isinstance(whole, dict) or whole.get('schema') != SCHEMA:
            self.wrong(f'"schema" is not "{SCHEMA}"')
        columns = whole.get('columns')
        if not isinstance(columns, dict) or len(columns) > COLUMNS:
            self.wrong(f'"columns" is no object of at most {COLUMNS:,}')
        return form.Table(self.count(whole, 'rows', ''), {name: self.column(name, one) for name, one in columns.items()})

    def column(self, name: str, of: Any) -> form.Column:
        if not isinstance(of, dict) or of.get('kind') not in KINDS:
            self.wrong(f'{name}: "kind" is none of {", ".join(KINDS)}')
        found = form.Column(of['kind'], self.count(of, 'nulls', name))
        if found.kind == 'number':
            found.odd = self.count(of, 'odd', name)
            if not isinstance(of.get('exact'), bool):
                self.wrong(f'{name}: "exact" is not true or false')
            found.exact = of['exact']
            found.edges = self.edges(name, of.get('edges'))
            counts = of.get('counts')
            if not isinstance(counts, list) or len(counts) != len(found.edges) + 1:
                self.wrong(f'{name}: "counts" has not one more entry than "edges"')
            found.counts = [self.number(one, f'{name}: "counts"') for one in counts]
            return found
        found.other = self.count(of, 'other', name)
        if found.kind == 'category':
            counts = of.get('counts')
            if not isinstance(counts, dict) or len(counts) > EDGES or '' in counts:
                self.wrong(f'{name}: "counts" is no object of at most {EDGES:,} categories')
            found.categories = {one: self.number(count, f'{name}: "counts"') for one, count in counts.items()}
        return found

    def edges(self, name: str, given: Any) -> tuple[float, ...]:
        if not isinstance(given, list) or len(given) > EDGES:
            self.wrong(f'{name}: "edges" is no list of at most {EDGES:,}')
        found = []
        for one in given:
            if isinstance(one, bool) or not isinstance(one, int | float) or not -1.7e308 < one < 1.7e308:
                self.wrong(f'{name}: "edges" has what is no finite number')
            found.append(float(one))
        if any(not a < math.nextafter(b, -math.inf) for a, b in pairwise(found)):
            self.wrong(f'{name}: "edges" does not rise')
        return tuple(found)

    def count(self, of: Mapping[str, Any], key: str, name: str) -> int:
        return self.number(of.get(key), f'{name}: "{key}"' if name else f'"{key}"')

    def number(self, value: Any, what: str) -> int:
        if type(value) is not int or not 0 <= value <= LARGEST:
            self.wrong(f'{what} is no count')
        return value


def read(data: bytes, file: str) -> form.Table:
    """Raises UserError."""
    return _Reader(file).table(data)
