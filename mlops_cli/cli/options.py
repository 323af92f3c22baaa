"""How commands declare what they take, and the options that several share.

The declarations are plain values: cli/understanding.py reads simple command lines by them alone, and cli/groups.py tells them
to the command line library where it is needed."""

from __future__ import annotations

from typing import Annotated, Any


class Declared:
    """What the library is to be told about a parameter, in its words.  ``names``: of an option, as they are typed."""

    __slots__ = ('names', 'said')

    def __init__(self, *names: str, **said: Any) -> None:
        self.names, self.said = names, said


class Option(Declared):
    __slots__ = ()


class Argument(Declared):
    __slots__ = ()


Stages = Annotated[
    list[str] | None,
    Argument(metavar='[STAGE]...', help='Stages: a name, an instance, a glob, or the path of an output. Default: all.'),
]
Jobs = Annotated[
    int,
    Option(
        '--jobs',
        '-j',
        metavar='N',
        min=0,
        show_default=False,
        help='Stages at once. Default: one per processor, or as config says.',
    ),
]
Json = Annotated[bool, Option('--json', help='One JSON document on standard output.')]
Set = Annotated[
    list[str] | None,
    Option(
        '--set',
        metavar='[FILE:]KEY=VALUE',
        help='Another value for a parameter, for a trial apart from the workspace. May be repeated.',
    ),
]
ExitCodeFlag = Annotated[bool, Option('--exit-code', help='Exit 3 if something is out of date.')]
Strict = Annotated[bool, Option('--strict', help='A restore counts as out of date too.')]
At = Annotated[str, Option('--at', metavar='POINT', help='A git revision or a run, instead of the workspace.')]

# The two sides of a comparison (cli/comparing.py).
A = Annotated[
    str, Argument(metavar='[A]', help='A git revision, a run (last: the newest), or workspace.', show_default=False)
]
B = Annotated[
    str,
    Argument(
        metavar='[B]', help='The same. Default: A is HEAD, B the workspace; a trial as A comes after.', show_default=False
    ),
]
RunA = Annotated[
    str,
    Argument(
        metavar='[A]',
        help='A run (last, last~1, an id), a git revision, or workspace.',
        show_default='the run before the last',
    ),
]
RunB = Annotated[
    str,
    Argument(
        metavar='[B]',
        help='The same. Default: the workspace; without A the last run. A trial alone comes after it.',
        show_default=False,
    ),
]
# The columns of a plot.
X = Annotated[str, Option('-x', '--x', metavar='COLUMN', help='The column for the horizontal axis.')]
Y = Annotated[list[str] | None, Option('-y', '--y', metavar='COLUMN', help='A column to draw. May be repeated.')]
