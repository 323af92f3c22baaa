"""``mlops push``."""

from __future__ import annotations

from typing import Annotated

from mlops_cli.cli import exits, options
from mlops_cli.cli.remote_verifying import Checked
from mlops_cli.cli.transferring import Paths, RemoteName, Transfer, code_of, depot_of, named, tell
from mlops_cli.cli.wiring import workbench, writing
from mlops_cli.core.errors import ExitCode
from mlops_cli.run.remotes import recorded_here
from mlops_cli.store import transfer

EXITS = exits.line(ExitCode.UNREACHABLE, ExitCode.REFUSED, failed='something is neither here nor there')


def command(
    paths: Paths = None,
    verify: Annotated[
        bool, options.Option('--verify', help='Then read all of that back, and compare it with its names.')
    ] = False,
    repair: Annotated[
        bool, options.Option('--repair', help='First read all that the remote holds; what is damaged is replaced.')
    ] = False,
    remote: RemoteName = '',
    json: options.Json = False,
) -> int:
    """Send to a remote what it lacks of all that is recorded here: tracked data, and the outputs of every pinned result.

    May be broken off at any moment, and goes on where it was when it is called again.

    Example:  mlops push
    """
    with workbench(tolerant=True) as bench, depot_of(bench, remote) as (name, depot), writing(bench):
        wanted = recorded_here(bench, named(bench, paths))
        moving = Transfer('pushing', 'pushed', name, depot)
        checked = Checked(bench, depot, [ref for _, ref in wanted])
        if repair:
            checked.repair()
        with moving as told:
            transfer.push(bench.store, depot, wanted, told)
        if verify:
            checked.verify()
    tell(moving, 'mlops/push/v1', 'Who has them pushes them, or mlops run makes them again.', json, checked)
    return ExitCode.FAILED if checked.damaged else code_of(moving)
