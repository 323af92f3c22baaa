"""``run --pull``: before anything is decided, what the present state needs comes from the remote."""

from __future__ import annotations

from mlops_cli.cli import context
from mlops_cli.cli.commands.checkout import Placing
from mlops_cli.cli.console import Line, one_line, say
from mlops_cli.cli.routing import Routing, depot_or
from mlops_cli.cli.sharing import Sharing
from mlops_cli.cli.transferring import Transfer, depot_of
from mlops_cli.cli.unsent import note_there
from mlops_cli.cli.wiring import workbench, writing
from mlops_cli.core.units import plural, show_seconds, show_size
from mlops_cli.run.checkout import Targets
from mlops_cli.run.remotes import outputs_here, tracked_here
from mlops_cli.store import transfer


def pull_first() -> None:
    """Contents into the cache, where the run finds them; tracked data that is not here into the workspace, too.  What the
    remote lacks is left to the run.  Raises UserError, Unreachable, OSError."""
    with workbench() as bench, depot_of(bench, '') as (name, depot), writing(bench):
        moving = Transfer('fetching', 'fetched', name, depot)
        with moving as told:
            tracked = tracked_here(bench)
            absent = {path: ref for path, ref in tracked.items() if bench.root.stat(path) is None}
            with bench.store.awaited(bench.root, absent):
                transfer.fetch(bench.store, depot, tracked.items(), told)
                there = {path: ref for path, ref in absent.items() if not bench.store.missing([ref])}
                placed = Placing(bench).these(Targets(there)).placed if there else ()
            present, routes = outputs_here(bench, depot), Routing(bench, name, False)
            for other, part in routes.split(present.wanted.items()):
                with depot_or(bench, other, name, depot) as away:
                    transfer.fetch(bench.store, away, part, told)
            Sharing(bench, depot).bring(present.steps)
            if told.objects:  # else nobody was asked for anything
                note_there(bench, routes, depot, {**tracked, **present.wanted})
    if told.objects and not context.current.quiet:
        said = f'{plural(told.objects, "object")}, {show_size(told.size)} in {show_seconds(moving.seconds)}'
        say(Line(f'  fetched   {said} from {name}', 'done'))
    for path in placed if not context.current.quiet else ():
        say(Line(f'  placed    {one_line(path)}', 'placed'))
