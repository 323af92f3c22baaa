"""Settings as a table: value and origin, and what each overrides.  Values in, lines out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from mlops_cli.cli.console import Line, one_line
from mlops_cli.cli.tables import Column, table
from mlops_cli.core.canonical import canonical
from mlops_cli.core.classes import dataclass
from mlops_cli.core.units import plural
from mlops_cli.records.config import Setting
from mlops_cli.records.destinations import Host, Remote
from mlops_cli.records.policies import ModelPolicies


@dataclass(frozen=True, slots=True)
class Row:
    """``settings``: all values of one setting, the one that counts first.  ``unconfirmed``: it leads out, came with git, and
    nobody here has confirmed it."""

    settings: tuple[Setting, ...]
    unconfirmed: bool = False

    @property
    def value(self) -> Setting:
        return self.settings[0]

    @property
    def origin(self) -> str:
        return origin(self.value)


def origin(setting: Setting) -> str:
    """``default``, ``MLOPS_JOBS``, ``.mlops/config.yaml:3``; the home is ``~``."""
    return home_short(f'{setting.where.file}:{setting.where.line}' if setting.where else setting.source)


def home_short(path: str) -> str:
    """The home as ``~``."""
    home = os.path.expanduser('~')
    return f'~{path[len(home) :]}' if path.startswith(f'{home}/') else path


def shown_of(setting: Setting) -> str:
    """With what a value means that says so only to who knows: ``0 (one per processor: 2)``."""
    text = shown(setting.value)
    return f'{text} (one per processor: {os.cpu_count() or 1})' if setting.name == 'jobs' and setting.value == 0 else text


def shown(value: Any) -> str:
    """A value in one line, as ``config set`` takes it."""
    if isinstance(value, Remote | Host):
        return one_line(value.leads_to)
    if isinstance(value, ModelPolicies):
        return one_line(canonical(value.to_json()))
    if isinstance(value, tuple | list):
        return one_line(', '.join(map(str, value)))
    return one_line(str(value))


def list_lines(rows: Sequence[Row], columns: int, *, everything: bool = False) -> list[Line]:
    head = (Column('SETTING'), Column('VALUE', least=12), Column('FROM', least=12), Column('', optional=True))
    cells: list[tuple[str, str, str, str]] = []
    for row in rows:
        word = 'not confirmed yet' if row.unconfirmed else ''
        cells.append((one_line(row.value.name), shown_of(row.value), one_line(row.origin), word))
        if everything:
            cells += [('  overrides', shown(one.value), one_line(origin(one)), '') for one in row.settings[1:]]
    lines = [Line(line) for line in table(head, cells, columns)]
    waiting = [row.value.name for row in rows if row.unconfirmed]
    if waiting:
        what = plural(len(waiting), 'entry', 'entries')
        lines += [
            Line(''),
            Line(f'{what} came with git; nothing goes there before: mlops config confirm {one_line(waiting[0])}'),
        ]
    return lines
