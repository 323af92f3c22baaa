"""From what was seen of a stage to what is to be said of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator

from mlops_cli.checks.audit.born import changed, existed
from mlops_cli.checks.audit.collect import GONE, MADE, MAYBE, RAN, READ, WROTE, Collector
from mlops_cli.checks.audit.declared import Declared
from mlops_cli.checks.audit.model import Kind, Undeclared, Unused

_CODE = ('.py', '.pyx', '.so', '.sh', '.bash', '.pl', '.r', '.jl', '.ipynb')


def undeclared(seen: Collector, began_ns: int, maker_of: Callable[[str], tuple[str, str] | None]) -> Iterator[Undeclared]:
    """Sorted by path.  ``began_ns``: when the stage did, since 1970."""
    temporary = tuple(f'{os.path.realpath(folder)}/' for folder in {tempfile.gettempdir(), '/tmp', '/var/tmp', '/dev/shm'})
    rows = []
    for real, what in seen.seen.items():
        path = seen.relative(real)
        spelled = seen.relative(seen.spelled[real]) if real in seen.spelled else None
        named = spelled if spelled is not None else path
        made = maker_of(named) if named is not None else None
        leads_to = (path or real) if named is not None and named != path else ''
        for kind in _kinds(real, what, began_ns):
            if named is not None or kind in ('read', 'code') or not real.startswith(temporary):
                rows.append(Undeclared(kind, named or real, named is None, leads_to, made[0] if made else ''))
    yield from sorted(rows, key=lambda row: (row.outside, row.path, row.kind))


def _kinds(real: str, what: int, began_ns: int) -> Iterator[Kind]:
    """What to say of a path; nothing where it is of no interest after all."""
    there = os.path.lexists(real)
    if there and os.path.isdir(real) and not os.path.islink(real):
        return
    if what & MADE:
        if there:
            yield 'write'
        return
    if what & GONE and not there:
        yield 'remove'
        return
    if what & (READ | MAYBE) and (not what & WROTE or existed(real, began_ns)):
        yield 'code' if what & RAN or real.lower().endswith(_CODE) else 'read'
    if what & WROTE and changed(real, began_ns):
        yield 'write'


def unused(seen: Collector, declared: Declared, code: frozenset[str]) -> Iterator[Unused]:
    """Dependencies of which nothing was opened."""
    for written, paths in declared.listed.items():
        if not any(_was_used(path, seen.used, declared) for path in paths):
            yield Unused(written)
    for path in declared.stage.code.paths:
        if path not in code and not _was_used(path, seen.used, declared):
            yield Unused(path, code=True)


def _was_used(path: str, used: set[str], declared: Declared) -> bool:
    if path in used or any(one.startswith(f'{path}/') for one in used):
        return True
    if path not in declared.inputs:
        return any(glob.fullmatch(one) for one in used for glob in declared.globs)
    return False
