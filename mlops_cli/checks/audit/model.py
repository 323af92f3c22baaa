"""What an audit found, as values."""

from __future__ import annotations

from typing import Literal

from mlops_cli.core.classes import dataclass, field

Kind = Literal['read', 'code', 'write', 'remove']


@dataclass(frozen=True, slots=True)
class Undeclared:
    """``path``: from the project's root; absolute where ``outside``.  ``leads_to``: where a link led.  ``maker``: the
    stage that makes it, '' if none does.  ``code``: a module, a library or a program."""

    kind: Kind
    path: str
    outside: bool = False
    leads_to: str = ''
    maker: str = ''


@dataclass(frozen=True, slots=True)
class Unused:
    """A dependency that was not opened, as it is written."""

    dep: str
    code: bool = False


@dataclass(frozen=True)
class Audited:
    """Of one stage.  ``by``: strace or python.  ``whole`` False: not all of it was seen, and ``why``.  ``beyond``: how many
    paths there were that are not listed."""

    stage: str
    by: str
    undeclared: tuple[Undeclared, ...] = ()
    unused: tuple[Unused, ...] = ()
    opened: int = 0
    processes: int = 0
    whole: bool = True
    why: str = ''
    beyond: int = 0
    state: str = 'done'
    message: str = ''
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def clean(self) -> bool:
        return self.whole and self.state in ('done', '') and not self.undeclared and not self.beyond
