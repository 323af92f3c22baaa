"""What starts jobs in place of a host itself: the form in which the far end asks an engine such as Slurm or Ray.

What an engine says is a view of all its jobs; where it says nothing, nothing is concluded of a job."""
from __future__ import annotations

import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from mlops_cli.core.classes import dataclass
from mlops_cli.core.job import Ending

LOOK_SECONDS = 1.5  # between two questions to an engine, however many jobs and who asks
SILENT_SECONDS = 5.0  # before one that did not answer is asked again
_PLAIN = re.compile(r'[^A-Za-z0-9_.=+-]')
_TOKEN = re.compile(r'[0-9a-f]{16}')


class Silent(Exception):
    """It does not answer; it may a little later."""


class Refused(Exception):
    """It does not take a job.  ``lacking``: it has not what is asked for."""

    def __init__(self, said: str, lacking: bool) -> None:
        super().__init__(said)
        self.lacking = lacking


class Row(NamedTuple):
    """A job as its engine has it.  ``state``: in the engine's words.  ``active``: whether it waits or runs.  ``hopeless``: why
    it would wait for ever, '' where it would not; ``waits``: why it waits, '' where it runs."""

    number: int
    state: str
    name: str
    active: bool
    hopeless: str = ''
    waits: str = ''


class View(NamedTuple):
    """All jobs of this user at a moment, which is of time.monotonic().  ``since``: when the engine began, as it says; '' where
    it never gives a number twice."""

    taken: float
    rows: Mapping[int, Row]
    since: str = ''

    def find(self, name: str, number: int = 0) -> Row | None:
        """By its name: an engine that lost what it had not written down yet may give a number to another job.  ``number``: of
        which it should be, where that is known; else the first one counts that goes on."""
        row = self.rows.get(number)
        if row is not None and row.name == name:
            return row
        found = [row for row in self.rows.values() if row.name == name]
        return min(found, key=lambda row: (not row.active, row.number), default=None)


def job_name(stage: str, token: str) -> str:
    """By which it is found again, whatever became of the answer to its submission; a person sees whose stage it is."""
    return f'{_PLAIN.sub("_", stage)[:60]}.{token}'


def number_of(name: str) -> int:
    """As which the far end knows a job of :func:`job_name`: its token's; 0 for one of somebody else's."""
    token = name.rpartition('.')[2]
    return int(token, 16) if _TOKEN.fullmatch(token) else 0


@dataclass(frozen=True)
class Handing:
    """A job to be handed in.  ``folder``: of the host; ``output``: absolute path of the file that takes what the engine and our
    own process say; ``told``: docs/formats/host.md; ``program``: our own, for the node."""

    name: str
    folder: str
    output: str
    told: Mapping[str, Any]
    program: Sequence[str]


@dataclass(frozen=True)
class Verdict:
    """Of a job that has not said how it ended.  ``code``: whose fault it is, as in job/hosted.py.  ``quotes``: whether its last
    words tell more."""

    ending: Ending
    code: int
    message: str
    quotes: bool = False


class Engine(ABC):
    """One of a cluster; any thread may ask.  All raise Silent where it does not answer, UserError where it cannot be asked."""

    title = ''
    hint = ''  # where it does not answer

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._view: View | None = None
        self._silent_since = self._silent_at = 0.0

    @abstractmethod
    def use(self, asked: Mapping[str, Any]) -> None:
        """What the host's settings say of it: ``path``, ``submit``."""

    def requests(self) -> Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]]:
        """What else can be asked over the connection, by its name: for one that has to ask back."""
        return {}

    @abstractmethod
    def facts(self, submit: Sequence[str]) -> dict[str, Any]:
        """What jobs of a host may get.  Raises Unreachable in place of Silent."""

    @abstractmethod
    def check(self, submit: Sequence[str]) -> None:
        """Whether a job of nothing could run.  Raises Unreachable with what mends it."""

    def view(self) -> View:
        """Not older than a moment."""
        with self._lock:
            now = time.monotonic()
            if self._silent_since and now - self._silent_at < SILENT_SECONDS:
                raise Silent('it does not answer')
            if self._view is None or now - self._view.taken >= LOOK_SECONDS:
                try:
                    self._view = self.looked()
                    self._silent_since = 0.0
                except Silent:
                    self._silent_at = time.monotonic()
                    self._silent_since = self._silent_since or now
                    raise
            return self._view

    @abstractmethod
    def looked(self) -> View:
        """A new view."""

    def silent_seconds(self) -> float:
        """For how long it has not answered."""
        return time.monotonic() - self._silent_since if self._silent_since else 0.0

    def forget_view(self) -> None:
        """The next look is a new one."""
        with self._lock:
            self._view = None

    @abstractmethod
    def submit(self, handing: Handing) -> int:
        """The job's number.  Silent: nobody knows whether it was taken.  Raises Refused."""

    def accounted(self, _number: int) -> Row | None:
        """Of a job that no view has any more, what accounts know of it, if there are any."""
        return None

    @abstractmethod
    def end(self, number: int) -> None:
        """Takes it out of the queue, or ends it where it runs."""

    def wake(self, number: int) -> None:  # noqa: B027
        """Makes the process on the node look whether it is still wanted; it does so by itself now and then."""

    @abstractmethod
    def verdict(self, number: int, state: str, said: str) -> Verdict:
        """``state``: in which the engine has ended it, '' where it has no more of it.  ``said``: what was said on the node."""
