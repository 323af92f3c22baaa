"""``mlops pull``."""

from __future__ import annotations

import os
import sys
from typing import Annotated

from mlops_cli.cli import exits, options
from mlops_cli.cli.commands import checkout
from mlops_cli.cli.console import out_lines, print_json, width
from mlops_cli.cli.routing import Routing, depot_or
from mlops_cli.cli.sharing import Sharing
from mlops_cli.cli.transferring import Paths, RemoteName, Transfer, depot_of, named
from mlops_cli.cli.unsent import note_there
from mlops_cli.cli.wiring import workbench, writing
from mlops_cli.core.errors import ExitCode
from mlops_cli.run.checkout import Outcome, Targets
from mlops_cli.run.remotes import outputs_here, tracked_here
from mlops_cli.store import transfer

EXITS = exits.line(ExitCode.UNREACHABLE, ExitCode.REFUSED, failed='something is neither here nor there, or recorded nowhere')


def command(
    paths: Paths = None,
    force: Annotated[
        bool,
        options.Option(
            '--force', '-f', help='Also over changes that are saved nowhere; they are kept under .mlops/local/rescue.'
        ),
    ] = False,
    remote: RemoteName = '',
    json: options.Json = False,
) -> int:
    """Bring what the present state needs from a remote, and put it into the workspace: fetch, then checkout.

    Example:  mlops pull
    """
    with workbench() as bench, depot_of(bench, remote) as (name, depot), writing(bench):
        words = named(bench, paths)
        routes = Routing(bench, name, bool(remote))
        moving = Transfer('fetching', 'fetched', name, depot)
        placing = checkout.Placing(bench, force)

        def bring(targets: Targets) -> Outcome | None:
            absent = [path for path in targets.wanted if not os.path.lexists(bench.root.full(path))]
            with bench.store.awaited(bench.root, absent):
                with moving as told:
                    for other, part in routes.split(targets.wanted.items()):
                        with depot_or(bench, other, name, depot) as there:
                            transfer.fetch(bench.store, there, part, told)
                return None if told.missing else placing.these(routes.there(targets))

        # Tracked data first: which outputs belong to the present state follows from it.
        every = [Targets(tracked_here(bench, words))]
        done = [bring(every[0])]
        if done[0] is not None:
            every.append(outputs_here(bench, depot, words))
            done.append(bring(every[1]))
            Sharing(bench, depot).bring(every[1].steps)
        if moving.told.objects:  # else nobody was asked for anything
            note_there(bench, routes, depot, {path: ref for one in every for path, ref in one.wanted.items()})
        targets, outcome = checkout.both(every, [one for one in done if one is not None])
        if json:
            document = moving.document('mlops/pull/v1') | routes.document()
            print_json({**document, 'checkout': checkout.document(outcome, targets)})
        else:
            moving.tell(f'Who has them sends them: mlops push --remote {name}')
            routes.tell()
            out_lines(checkout.lines(bench, outcome, targets, width(sys.stdout)))
    return ExitCode.FAILED if moving.told.missing or targets.unknown else ExitCode.DONE
