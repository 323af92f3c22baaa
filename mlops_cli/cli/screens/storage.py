"""What ``mlops storage`` says."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mlops_cli.cli.console import Line, one_line
from mlops_cli.cli.tables import Column, table
from mlops_cli.core.classes import dataclass
from mlops_cli.core.units import ago, plural, show_money, show_size
from mlops_cli.run.space import DATA, GB, GONE, NOBODY, PROJECT, RUNS, STAGE

if TYPE_CHECKING:
    from mlops_cli.run.duplicates import Outcome
    from mlops_cli.run.space import Part, Space

MOST = 20  # parts in the table; --json has all
WORDS = {GONE: 'outputs no stage has now', RUNS: 'logs, code, older records', NOBODY: 'nothing names it'}


@dataclass(frozen=True, slots=True)
class Price:
    """``amount``: of a GB for a month; None: nobody has said."""

    amount: float | None
    currency: str

    def of(self, size: float) -> float | None:
        return None if self.amount is None else self.amount * size / GB

    def text(self, size: float) -> str:
        cost = self.of(size)
        return '' if cost is None else show_money(cost, self.currency)


def name_of(part: Part) -> str:
    if part.kind == PROJECT:
        return f'project {part.name}'
    model = f' (model {part.model})' if part.model else ''
    return f'{part.name}{model}' if part.kind in (DATA, STAGE) else WORDS[part.kind]


def space_lines(space: Space, where: str, price: Price, columns: int) -> Iterator[Line]:
    cost = price.text(space.bytes)
    each = f', {cost} a month' if cost else ''
    yield Line(f'{one_line(where)}: {plural(space.objects, "object")}, {show_size(space.bytes)}{each}')
    if space.parts:
        yield Line('')
        yield from map(Line, _table(space.parts, price, columns))
    if space.ages:
        yield Line('')
        yield Line(f'  last used: {", ".join(_ages(space))}')
    if space.beside:
        yield Line(f'  beside:    {", ".join(f"{show_size(size)} in {path}" for path, size in space.beside)}')
    for note in space.notes:
        yield Line(f'note: {one_line(note)}', 'note:')
    if space.absent:
        lacks = plural(space.absent, 'recorded folder')
        yield Line(f'note: what is in {lacks} is not known here; mlops fetch --all brings it', 'note:')


def _ages(space: Space) -> Iterator[str]:
    last = 0
    for days, count, size in space.ages:
        if count:
            yield f'{show_size(size)} {f"in the last {days} days" if days else f"longer than {last} days ago"}'
        last = days or last


def _table(parts: Sequence[Part], price: Price, columns: int) -> list[str]:
    largest = sorted(parts, key=lambda part: -part.bytes)
    head = (
        Column('WHAT', least=20), Column('SIZE', right=True), Column('NOW', right=True, optional=True),
        Column('OLDER', right=True, optional=True), Column('VERSIONS', right=True, optional=True),
        Column('OBJECTS', right=True, optional=True), Column('A MONTH', right=True, optional=True),
        Column('LAST USED', optional=True),
    )  # fmt: skip
    rows = [_row(part, price) for part in largest[:MOST]]
    if rest := largest[MOST:]:
        size, objects = sum(part.bytes for part in rest), sum(part.objects for part in rest)
        rows.append((f'{len(rest)} more', show_size(size), '', '', '', f'{objects:,}', price.text(size), ''))
    return table(head, rows, columns)


def _row(part: Part, price: Price) -> tuple[str, ...]:
    versioned = part.kind in (DATA, STAGE)
    return (
        one_line(name_of(part)), show_size(part.bytes), show_size(part.now) if versioned else '',
        show_size(part.bytes - part.now) if versioned else '', f'{part.versions:,}' if versioned else '', f'{part.objects:,}',
        price.text(part.bytes), ago(max(0.0, time.time() - part.touched)) if part.touched else '',
    )  # fmt: skip


def space_document(space: Space, place: str, where: str, price: Price) -> dict[str, Any]:
    return {
        'place': place,
        'where': where,
        'objects': space.objects,
        'bytes': space.bytes,
        'price': price.amount,
        'currency': price.currency,
        'cost': price.of(space.bytes),
        'rows': [
            {
                'kind': part.kind, 'name': part.name, 'model': part.model, 'objects': part.objects, 'bytes': part.bytes,
                'now': part.now, 'versions': part.versions, 'touched': part.touched or None, 'cost': price.of(part.bytes),
            }
            for part in space.parts
        ],
        'ages': [{'days': days or None, 'objects': count, 'bytes': size} for days, count, size in space.ages],
        'beside': [{'path': path, 'bytes': size} for path, size in space.beside],
        'absent': space.absent,
        'notes': list(space.notes),
    }  # fmt: skip


# Duplicates

SHOWN = 4  # copies of a content


def duplicate_lines(outcome: Outcome, currency: str, everything: bool) -> Iterator[Line]:
    small = f', {outcome.small:,} of them too small to count (--min-size)' if outcome.small else ''
    looked = f'{plural(outcome.files, "file")}, {show_size(outcome.size)} looked at{small}'
    if not outcome.found:
        yield Line(f'No duplicates: {looked}.')
        return
    for group in outcome.groups:
        cost = '' if group.saving is None else f', {show_money(group.saving, currency)} a month'
        yield Line(f'{show_size(group.spare)} to spare{cost}: {group.count:,} copies of {show_size(group.size)}')
        shown = group.copies if everything else group.copies[:SHOWN]
        yield from (Line(f'    {one_line(copy.place)}  {one_line(copy.key)}') for copy in shown)
        if group.count > len(shown):
            yield Line(f'    and {group.count - len(shown):,} more')
    if outcome.found > len(outcome.groups):
        yield Line(f'and {plural(outcome.found - len(outcome.groups), "content")} more that are there twice (--limit)')
    yield Line('')
    cost = '' if outcome.saving is None else f', {show_money(outcome.saving, currency)} a month'
    spare = f'{plural(outcome.copies, "copy", "copies")} to spare of {plural(outcome.found, "content")}'
    yield Line(f'{spare}: {show_size(outcome.bytes)}{cost}. {looked}.')


def duplicate_document(outcome: Outcome, currency: str, changed: int) -> dict[str, Any]:
    return {
        'files': outcome.files,
        'bytes': outcome.size,
        'small': outcome.small,
        'found': outcome.found,
        'copies': outcome.copies,
        'spare': outcome.bytes,
        'saving': outcome.saving,
        'currency': currency,
        'changed': changed,
        'rows': [
            {
                'size': group.size, 'count': group.count, 'spare': group.spare, 'saving': group.saving,
                'copies': [{'place': copy.place, 'key': copy.key} for copy in group.copies],
            }
            for group in outcome.groups
        ],
    }  # fmt: skip
