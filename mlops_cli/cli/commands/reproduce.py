"""``mlops reproduce``."""

from __future__ import annotations

import sys
from typing import Annotated

from mlops_cli.cli import exits, options
from mlops_cli.cli.console import out_lines, print_json, width
from mlops_cli.cli.transferring import RemoteName
from mlops_cli.core.errors import ExitCode

EXITS = exits.line(
    ExitCode.UNREACHABLE,
    ExitCode.REFUSED,
    ExitCode.LOCK_TIMEOUT,
    ExitCode.INTERRUPTED,
    ExitCode.TERMINATED,
    failed='something differs, failed, or is not recorded',
)

What = Annotated[
    str,
    options.Argument(
        metavar='[REV|RUN|MODEL]',
        help='A git revision, a run (last, an id), or a model (NAME@v3, NAME@prod).',
        show_default='HEAD',
    ),
]
Sample = Annotated[
    str, options.Option('--sample', metavar='X%', help='Only a part of the stages; the commit decides which. Default: all.')
]
Pull = Annotated[bool, options.Option('--pull', help='Bring from the remote what is needed and is not here.')]
Host = Annotated[
    str, options.Option('--host', metavar='HOST', envvar='MLOPS_HOST', help='Where all stages run; local: this machine.')
]


def command(
    what: What = '',
    share: Sample = '',
    pull: Pull = False,
    remote: RemoteName = '',
    jobs: options.Jobs = 0,
    host: Host = '',
    json: options.Json = False,
) -> int:
    """Run again what is recorded, apart from the workspace and from every cache, and compare it byte for byte.

    Example:  mlops reproduce last
    """
    from mlops_cli.cli.reproducing import Wishes, document, reproduce
    from mlops_cli.cli.screens.reproduce import reproduced_lines
    from mlops_cli.experiments.reproduce.choose import parse_share

    wishes = Wishes(what, parse_share(share), pull, remote, jobs, host)
    found = reproduce(wishes, silent=json)
    if json:
        print_json(dict(document(found)))
    else:
        out_lines(reproduced_lines(found.verdict, width(sys.stdout), {}, pull or bool(remote)))
    return found.code
