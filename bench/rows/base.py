"""What every row is made of."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.bounds import Race
from bench.measure import Contender
from bench.places import Places
from bench.projects import Projects
from bench.server import Server
from bench.tools import Ours, Tool, Tools

SLOW = 3  # rounds, where a command takes many seconds


@dataclass(frozen=True, slots=True)
class Bench:
    """What a row may use.  ``alone``: ours is compared with itself, so that no peer need be made ready."""

    places: Places
    tools: Tools
    projects: Projects
    alone: bool = False
    _servers: list[Server] = field(default_factory=list)

    def server(self) -> Server:
        """Of S3; one for all who ask before :meth:`close_server`, as two commits of ours are compared by the same."""
        if not self._servers:
            self._servers.append(Server(self.places, self.tools))
        return self._servers[0]

    def close_server(self) -> None:
        """Once more does no harm."""
        while self._servers:
            self._servers.pop().close()

    def mlops(
        self,
        ours: Ours,
        folder: Path,
        *words: str,
        name: str = '',
        expect: str = '',
        before: Callable[[], None] | None = None,
        writes: bool = False,
    ) -> Contender:
        return Contender(name or f'mlops {" ".join(words)}', (ours.program, *words), folder, before, expect, True, writes)

    def peers(self, *names: str) -> list[Tool]:
        """Those of them that can be had; the others are told of at the end."""
        if self.alone:
            return []
        return [tool for name in names if (tool := self.tools.get(name))]


@dataclass(frozen=True, slots=True)
class Row:
    """``work``: for people.  ``race``: makes it all ready.  ``rounds``: how many, if nobody says; behind ``warm`` that do not
    count."""

    name: str
    work: str
    race: Callable[[Bench, Ours], Race]
    rounds: int = 5
    warm: int = 1


def read_all(folder: Path) -> None:
    """Have the system hold what is in these files, of which it may have let go since the last round."""
    for path, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(path, name), 'rb', buffering=0) as file:
                while file.read(1 << 20):
                    pass
