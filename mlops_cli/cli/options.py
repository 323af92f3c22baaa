"""The options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Stages = Annotated[
    list[str] | None,
    typer.Argument(metavar='[STAGE]...', help='Stages: a name, an instance, a glob, or the path of an output. Default: all.'),
]
Jobs = Annotated[
    int,
    typer.Option(
        '--jobs',
        '-j',
        metavar='N',
        min=0,
        show_default=False,
        help='Stages at once. Default: one per processor, or as config says.',
    ),
]
Json = Annotated[bool, typer.Option('--json', help='One JSON document on standard output.')]
Set = Annotated[
    list[str] | None,
    typer.Option(
        '--set',
        metavar='[FILE:]KEY=VALUE',
        help='Another value for a parameter, for a trial apart from the workspace. May be repeated.',
    ),
]
ExitCodeFlag = Annotated[bool, typer.Option('--exit-code', help='Exit 3 if something is out of date.')]
Strict = Annotated[bool, typer.Option('--strict', help='A restore counts as out of date too.')]
At = Annotated[str, typer.Option('--at', metavar='POINT', help='A git revision or a run, instead of the workspace.')]

# The two sides of a comparison (cli/comparing.py).
A = Annotated[
    str, typer.Argument(metavar='[A]', help='A git revision, a run (last: the newest), or workspace.', show_default=False)
]
B = Annotated[
    str,
    typer.Argument(
        metavar='[B]', help='The same. Default: A is HEAD, B the workspace; a trial as A comes after.', show_default=False
    ),
]
RunA = Annotated[
    str,
    typer.Argument(
        metavar='[A]',
        help='A run (last, last~1, an id), a git revision, or workspace.',
        show_default='the run before the last',
    ),
]
RunB = Annotated[
    str,
    typer.Argument(
        metavar='[B]',
        help='The same. Default: the workspace; without A the last run. A trial alone comes after it.',
        show_default=False,
    ),
]
# The columns of a plot.
X = Annotated[str, typer.Option('-x', '--x', metavar='COLUMN', help='The column for the horizontal axis.')]
Y = Annotated[list[str] | None, typer.Option('-y', '--y', metavar='COLUMN', help='A column to draw. May be repeated.')]
