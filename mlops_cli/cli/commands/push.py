"""``mlops push``."""

from __future__ import annotations

from typing import Annotated

from mlops_cli.cli import exits, options
from mlops_cli.cli.remote_verifying import Checked, together
from mlops_cli.cli.routing import Routing, depot_or
from mlops_cli.cli.sharing import Sharing
from mlops_cli.cli.transferring import Paths, RemoteName, Transfer, code_of, depot_of, named, tell
from mlops_cli.cli.unsent import note_sent
from mlops_cli.cli.wiring import workbench, writing
from mlops_cli.core.errors import ExitCode
from mlops_cli.run.inplace import InPlace
from mlops_cli.run.nothing_new import NothingNew
from mlops_cli.run.remote_cleaning import announce
from mlops_cli.run.remotes import explaining_of, recorded_here, results_here
from mlops_cli.run.routes import KEPT
from mlops_cli.store import transfer

SCHEMA = 'mlops/push/v1'
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
    """Send to a remote what it lacks of all that is recorded here: tracked data, and every pinned result, its outputs and log.

    May be broken off at any moment, and goes on where it was when it is called again.

    Example:  mlops push
    """
    # Not without the pipeline: it says what has to stay here.
    with workbench() as bench, depot_of(bench, remote) as (name, depot), writing(bench):
        words = named(bench, paths)
        routes = Routing(bench, name, bool(remote))
        sharing = Sharing(bench, depot)
        moving = Transfer('pushing', 'pushed', name, depot)
        everything = words is None and not (verify or repair)
        nothing_new = NothingNew(bench, bench.config.remotes[name].url, sharing.tiers.write)
        if everything and (known := nothing_new.known(depot)) is not None:
            moving.told.wanted = known['objects']
            routes.left_out |= dict.fromkeys(known['left_out'], KEPT)
            tell(moving, SCHEMA, '', json, Checked(bench, depot, []), sharing, routes)
            return ExitCode.DONE
        entries = results_here(bench, words)
        routed = routes.split([*recorded_here(bench, words), *explaining_of(bench, entries)])
        for other, _ in routed:
            with depot_or(bench, other, name, depot) as there:
                announce(bench, there, bench.config.remotes[other].url)
        looked: list[Checked] = []
        for other, wanted in routed:
            with depot_or(bench, other, name, depot) as there:
                looked.append(checked := Checked(bench, there, [ref for _, ref in wanted]))
                if repair:
                    checked.repair()
                with moving as told:
                    transfer.push(InPlace(bench), there, wanted, told)
                if verify:
                    checked.verify()
        with moving as told:
            sharing.send(entries, [*told.missing.values(), *routes.left_out])
        note_sent(bench, name, words, {*told.missing.values()})
        if everything and not told.missing:
            nothing_new.note(depot, told.wanted, routes.left_out)
    checked = together(looked)
    tell(moving, SCHEMA, 'Who has them pushes them, or mlops run makes them again.', json, checked, sharing, routes)
    return ExitCode.FAILED if checked.damaged else code_of(moving)
