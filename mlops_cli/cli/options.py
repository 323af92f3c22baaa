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
