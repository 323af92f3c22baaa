"""``mlops fetch``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from mlops_cli.cli import exits, options
from mlops_cli.cli.routing import Routing, depot_or
from mlops_cli.cli.sharing import Sharing
from mlops_cli.cli.transferring import Paths, RemoteName, Transfer, code_of, depot_of, named, tell
from mlops_cli.cli.unsent import note_there
from mlops_cli.cli.wiring import project_relative, workbench, writing
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.paths import inside
from mlops_cli.run.remotes import outputs_here, recorded_here, tracked_here
from mlops_cli.run.workbench import Workbench
from mlops_cli.store import transfer
from mlops_cli.store.depot import Depot

EXITS = exits.line(ExitCode.UNREACHABLE, ExitCode.REFUSED, failed='something is neither here nor there')


def command(
    paths: Paths = None,
    everything: Annotated[
        bool, options.Option('--all', help='Also what earlier states of the project led to, as far as it is pinned here.')
    ] = False,
    at: Annotated[str, options.Option('--at', metavar='REV', help='What a git revision records, not the present state.')] = '',
    remote: RemoteName = '',
    json: options.Json = False,
) -> int:
    """Bring from a remote into the cache what the present state needs and is not here.  The workspace stays as it is.

    Example:  mlops fetch data/images
    """
    if at and everything:
        raise UserError('--at and --all are two things', hint='fetch for one after the other')
    with workbench(tolerant=bool(at)) as bench, depot_of(bench, remote) as (name, depot), writing(bench):
        if at:
            return _at(bench, at, paths or (), (name, remote, depot), json)
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
                if told.objects:  # else nobody was asked for anything
                    note_there(bench, routes, depot, dict(wanted))
    tell(moving, 'mlops/fetch/v1', f'Who has them sends them: mlops push --remote {name}', json, routes)
    return code_of(moving)


def _at(bench: Workbench, revision: str, paths: Sequence[str], of: tuple[str, str, Depot], json: bool) -> int:
    """``of``: the remote's name, as it was typed, what is in it.  Raises UserError for a path of which nothing is recorded."""
    from mlops_cli.run.checkout import at_revision  # which few ask for

    name, typed, depot = of
    words = [project_relative(bench.root.path, path) for path in paths]
    with at_revision(bench, revision) as other:
        recorded = recorded_here(other)
        wanted = [one for one in recorded if not words or any(inside(one[0], word) or inside(word, one[0]) for word in words)]
        for word in words:
            if not any(inside(path, word) or inside(word, path) for path, _ in wanted):
                near = did_you_mean(word, (path for path, _ in recorded), what='there are')
                raise UserError(f'nothing is recorded of {word} at {revision}', hint=near or 'nothing is recorded there at all')
        routes = Routing(other, name, bool(typed))
        moving = Transfer('fetching', 'fetched', name, depot)
        with moving as told:
            for there_name, part in routes.split(wanted):
                with depot_or(bench, there_name, name, depot) as there:
                    transfer.fetch(bench.store, there, part, told)
    tell(moving, 'mlops/fetch/v1', f'Who has them sends them: mlops push --remote {name}', json, routes)
    return code_of(moving)
