"""``mlops fetch``."""

from __future__ import annotations

from typing import Annotated

from mlops_cli.cli import exits, options
from mlops_cli.cli.routing import Routing, depot_or
from mlops_cli.cli.sharing import Sharing
from mlops_cli.cli.transferring import Paths, RemoteName, Transfer, code_of, depot_of, named, tell
from mlops_cli.cli.wiring import workbench, writing
from mlops_cli.core.errors import ExitCode
from mlops_cli.run.remotes import outputs_here, recorded_here, tracked_here
from mlops_cli.store import transfer

EXITS = exits.line(ExitCode.UNREACHABLE, ExitCode.REFUSED, failed='something is neither here nor there')


def command(
    paths: Paths = None,
    everything: Annotated[
        bool, options.Option('--all', help='Also what earlier states of the project led to, as far as it is pinned here.')
    ] = False,
    remote: RemoteName = '',
    json: options.Json = False,
) -> int:
    """Bring from a remote into the cache what the present state needs and is not here.  The workspace stays as it is.

    Example:  mlops fetch data/images
    """
    with workbench() as bench, depot_of(bench, remote) as (name, depot), writing(bench):
        words = named(bench, paths)
        routes = Routing(bench, name, bool(remote))
        moving = Transfer('fetching', 'fetched', name, depot)
        with moving as told:
            if everything:
                wanted = recorded_here(bench, words)
            else:
                present = outputs_here(bench, depot, words)
                wanted = [*tracked_here(bench, words).items(), *present.wanted.items()]
            for other, part in routes.split(wanted):
                with depot_or(bench, other, name, depot) as there:
                    transfer.fetch(bench.store, there, part, told)
            if not everything:
                Sharing(bench, depot).bring(present.steps)
    tell(moving, 'mlops/fetch/v1', f'Who has them sends them: mlops push --remote {name}', json, routes)
    return code_of(moving)
