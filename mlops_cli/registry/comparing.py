"""What differs between two versions.  Values in, rows out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlops_cli.records.models import Version

Row = dict[str, Any]


def compare(before: Version, after: Version) -> list[Row]:
    """``kind``, ``name``, ``before``, ``after`` (None where there is none), and of numbers ``change``; what people ask first
    comes first."""
    sides = [before, after]
    rows: list[Row] = []
    if before.ref.digest != after.ref.digest:
        rows.append(_row('model', after.path, str(before.ref.digest), str(after.ref.digest)))
    rows += _differing('metric', *({f'{file}:{name}': value for file, name, value in one.metrics} for one in sides))
    rows += _differing('param', *(dict(one.params) for one in sides))
    rows += _differing('data', *({path: str(digest) for path, digest in one.data} for one in sides))
    rows += _differing('code', *({path: str(digest) for path, digest in one.code} for one in sides))
    rows += _differing('command', *(dict(one.commands) for one in sides))
    rows += _differing('under', *(_flat(one.environment) for one in sides))
    rows += _differing('usage', *({'seconds': one.seconds, **one.usage} for one in sides))
    rows += _differing('passed', *(dict.fromkeys(one.checks, 'passed') for one in sides))
    return rows


def _flat(environment: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in environment.items() if name != 'packages'}
    packages = environment.get('packages')
    return found | (packages if isinstance(packages, dict) else {})


def _differing(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Row]:
    for name in sorted({*before, *after}):
        one, two = before.get(name), after.get(name)
        if one != two or type(one) is not type(two):
            yield _row(kind, name, one, two)


def _row(kind: str, name: str, before: Any, after: Any) -> Row:
    row: Row = {'kind': kind, 'name': name, 'before': before, 'after': after}
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in (before, after)):
        row['change'] = after - before
    return row
