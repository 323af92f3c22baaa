"""The tasks that another engine is to have: one for each instance of a stage."""
from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from keyword import iskeyword

from mlops_cli.core.classes import dataclass
from mlops_cli.pipeline.spec import Pipeline, Stage

_OTHER = re.compile(r'[^A-Za-z0-9]+')
_MEANT = frozenset({'all', 'rule', 'checkpoint', 'module', 'use', 'config', 'workflow', 'rules'})


@dataclass(frozen=True, slots=True)
class Task:
    """``name``: unique, as the engine takes names.  ``after``: names of tasks."""

    name: str
    stage: Stage
    after: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """What it runs.  Names of stages need no quotes anywhere."""
        return ('mlops', 'run', '--only', self.stage.name)


def tasks(
    pipeline: Pipeline, order: Sequence[str], edges: Mapping[str, Sequence[str]], named: Callable[[str], str]
) -> list[Task]:
    """``order``: of all stages, what is needed first; ``edges``: stage -> those it needs.  ``named``: a name as the engine
    takes it; where two are the same, the later one gets a number."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for stage in order:
        name = base = named(stage)
        number = 2
        while name in taken:
            name, number = f'{base}{named("-")}{number}', number + 1
        taken.add(name)
        names[stage] = name
    return [Task(names[stage], pipeline.stages[stage], tuple(names[one] for one in edges.get(stage, ()))) for stage in order]


def identifier(name: str) -> str:
    """As Python takes names, and none that means something to it or to an engine."""
    found = _OTHER.sub('_', name)
    if iskeyword(found) or found in _MEANT:
        return f'{found}_'
    return f'_{found}' if found[:1].isdigit() else found


def label(name: str) -> str:
    """As DNS takes labels (RFC 1123), with room for a number."""
    return _OTHER.sub('-', name).strip('-').lower()[:50].strip('-') or '-'


def to_check(found: Sequence[Task]) -> Iterator[tuple[str, str]]:
    """(stage, what somebody has to see to) where the engine runs it elsewhere than here."""
    for task in found:
        if variables := sorted({*task.stage.env, *task.stage.secrets}):
            yield task.stage.name, f'it needs {", ".join(variables)} in its environment there'
        if task.stage.host:
            yield task.stage.name, f'it goes on to run on {task.stage.host}, as pipeline.yaml says'
