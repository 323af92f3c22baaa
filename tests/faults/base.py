"""What a row of the table is: cases that are tried one by one, each with a verdict."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.tools import Tool

HEAL_SECONDS = 2.0


class Bad(enum.StrEnum):
    """What may not happen, in the order of the table.

    LOST: bytes of the user, or that a command said it had stored, are nowhere any more.  CORRUPT: bytes other than those
    recorded were served, or the store holds damage that it does not notice.  WRONG: a wrong answer: success that was none, an
    old state called fresh, a stage run twice at once, an error without a message, a traceback.  ESCAPED: something was read,
    written or run that lies outside.  LEAKED: a secret where it can be read, a process, lock or temporary left behind.  STUCK:
    the next command did not go through by itself, or needed more than two seconds more than it does otherwise."""

    LOST = 'lost'
    CORRUPT = 'corrupt'
    WRONG = 'wrong'
    ESCAPED = 'escaped'
    LEAKED = 'leaked'
    STUCK = 'stuck'


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one case, or a batch of them, ended.

    ``tried``: how many single trials it stands for.  ``bad``: how many of them ended in which way.  ``heal``: the most
    seconds that the command after the fault took beyond what it takes otherwise.  ``notes``: what went wrong, for people, and
    how to have it again."""

    tried: int = 1
    bad: Mapping[str, int] = field(default_factory=dict)
    heal: float = 0.0
    notes: tuple[str, ...] = ()


class Trial:
    """Collects a verdict: ``trial.bad(Bad.LOST, 'data/a.csv after a kill before rename 3')``."""

    def __init__(self) -> None:
        self.tried = 0
        self._bad: dict[str, int] = {}
        self.heal = 0.0
        self._notes: list[str] = []

    def bad(self, kind: Bad, note: str) -> None:
        self._bad[kind.value] = self._bad.get(kind.value, 0) + 1
        self._notes.append(f'{kind.value}: {note}')

    def healed(self, seconds: float, note: str = '') -> None:
        """A command after a fault took so much longer than otherwise; more than HEAL_SECONDS is bad."""
        self.heal = max(self.heal, seconds)
        if seconds > HEAL_SECONDS:
            self.bad(Bad.STUCK, f'{seconds:.1f} s to heal {note}')

    def verdict(self) -> Verdict:
        return Verdict(max(1, self.tried), dict(self._bad), self.heal, tuple(self._notes))


@dataclass(frozen=True, slots=True)
class Setting:
    """What a row is run with.

    ``tool``: whose commands.  ``folder``: an empty folder of the case's own.  ``shared``: one for the row and tool, kept
    between cases: a world that is made once and copied goes there.  ``full``: all counts, or the few of the fast tier."""

    tool: Tool
    folder: Path
    shared: Path
    full: bool


@dataclass(frozen=True, slots=True)
class Row:
    """``name``: as F1; ``title``: what is done, for the table.

    ``cases``: their names, the same each time for the same tool and tier; may try commands in ``setting.folder`` to count.
    ``run``: tries one case.  ``goal``: the counts that it is meant to reach, in words.  ``tools``: whose commands it fits.
    ``lacks``: why it cannot be run on this machine, or ''."""

    name: str
    title: str
    goal: str
    cases: Callable[[Setting], Sequence[str]]
    run: Callable[[Setting, str], Verdict]
    tools: tuple[str, ...] = ('mlops',)
    lacks: Callable[[], str] = lambda: ''
