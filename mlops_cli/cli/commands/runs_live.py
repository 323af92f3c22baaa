"""``mlops runs attach`` and ``cancel``: runs that go on, of this terminal or another.  What they do is in cli/live/."""

from __future__ import annotations

from typing import Annotated

from mlops_cli.cli import exits, options
from mlops_cli.cli.folder import Folder
from mlops_cli.core.errors import ExitCode

Which = Annotated[
    str, options.Argument(metavar='[RUN]', help='A run, or the beginning of its id. Default: the only one that goes on.')
]

attach_epilog = exits.line(ExitCode.INTERRUPTED, ExitCode.TERMINATED, failed='a stage failed, or the run died')
cancel_epilog = exits.line(ExitCode.REFUSED, ExitCode.INTERRUPTED)


def attach(run: Which = '', json: options.Json = False) -> int:
    """Show a run that goes on, until it ends; its exit code. Ctrl-C leaves the run alone. Of one that is over: its end.

    Example:  mlops run --detach && mlops runs attach
    """
    from mlops_cli.cli.live import attending

    return attending.attach(run, json=json)


def cancel(
    run: Which = '',
    now: Annotated[
        bool, options.Option('--now', help='End its stages at once, without the time they have to end well.')
    ] = False,
    json: options.Json = False,
) -> int:
    """Stop a run that goes on, as Ctrl-C would, and wait until it has ended. What is done stays.

    Example:  mlops runs cancel 7k2m
    """
    from mlops_cli.cli.live import attending

    return attending.cancel(run, now=now, json=json)


def register(app: Folder) -> None:
    """Adds both commands to the group ``runs``."""
    app.command('attach', epilog=attach_epilog)(attach)
    app.command('cancel', epilog=cancel_epilog)(cancel)
