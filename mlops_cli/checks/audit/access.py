"""What a process did with a file, as whoever watched it tells: plain values."""

from __future__ import annotations

from typing import Literal

from mlops_cli.core.classes import dataclass

Did = Literal['read', 'write', 'make', 'update', 'maybe', 'run', 'list', 'rename', 'link', 'point', 'remove']


@dataclass(frozen=True, slots=True)
class Access:
    """``name``: absolute, as the process spelled it.  ``real``: where that led, '' where nobody said.  ``other``: the second
    name of a rename or a link; ``name`` is then the first.

    ``make``: what was there before is gone.  ``update``: read and written; ``maybe``: the same, if it was there before."""

    did: Did
    name: str
    real: str = ''
    other: str = ''


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that is over; ``begun``: one that was seen for the first time."""

    pid: int
    begun: bool = False


@dataclass(frozen=True, slots=True)
class Unseen:
    """Something that hides what is opened: io_uring."""

    what: str
