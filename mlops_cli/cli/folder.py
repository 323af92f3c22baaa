"""A command that holds commands, such as ``runs``: which there are, as plain values (cli/groups.py tells the library)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

Function = TypeVar('Function', bound=Callable[..., Any])


class Held(NamedTuple):
    """``epilog``: what stands below its help."""

    function: Callable[..., Any]
    epilog: str


class Folder:
    """``helps``: alone, it shows its help.  ``otherwise``: the command that is meant by a word that is none.

    ``alone``: what it does alone, if it does not help."""

    def __init__(self, help: str, *, helps: bool = True, otherwise: str = '') -> None:  # noqa: A002 -- as everywhere
        self.help, self.helps, self.otherwise = help, helps, otherwise
        self.commands: dict[str, Held] = {}
        self.alone: Callable[[], int] | None = None

    def command(self, name: str, *, epilog: str) -> Callable[[Function], Function]:
        """Takes the decorated function for the command of that name."""

        def taken(function: Function) -> Function:
            self.commands[name] = Held(function, epilog)
            return function

        return taken
