"""The runs that are not over, and those that died, as lists of runs tell them.  Values in, lines and documents out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mlops_cli.cli.console import Line, one_line, wrap

if TYPE_CHECKING:
    from mlops_cli.run.killed import Killed
    from mlops_cli.run.live import Live

NAMED = 3  # stages


def going_on_lines(runs: Iterable[Live]) -> list[Line]:
    """``Going on: 3hsrbtbk, 2 of 6 stages, now train@1   (mlops runs attach 3hsrbtbk)``."""
    return [Line(f'Going on: {_what(one)}   (mlops runs attach {one_line(one.short)})') for one in runs]


def _what(one: Live) -> str:
    names = [one_line(doing.stage) + (' (waiting)' if doing.waits else '') for doing in one.stages]
    more = f' and {len(names) - NAMED} more' if len(names) > NAMED else ''
    now = f', now {", ".join(names[:NAMED])}{more}' if names else ''
    return f'{one_line(one.short)}, {one.ended:,} of {one.total:,} stages{now}'


def died_lines(runs: Iterable[Killed], columns: int) -> list[Line]:
    """``Run 3hsrbtbk died here while train ran: the next mlops run puts its outputs back``."""
    return [Line(text) for one in runs for text in wrap(_death(one), columns)]


def _death(one: Killed) -> str:
    names = [one_line(stage) for stage, _ in one.stages]
    more = f' and {len(names) - NAMED} more' if len(names) > NAMED else ''
    during = f' while {", ".join(names[:NAMED])}{more} ran' if names else ''
    then = 'puts its outputs back' if one.puts_back else 'records that'
    return f'Run {one_line(one.short)} died here{during}: the next mlops run {then}'


def died_documents(runs: Iterable[Killed]) -> list[dict[str, Any]]:
    """A flat object per run."""
    return [{'run': one.short, 'id': one.run, 'stages': [stage for stage, _ in one.stages]} for one in runs]


def live_documents(runs: Iterable[Live]) -> list[dict[str, Any]]:
    """A flat object per run."""
    from mlops_cli.core.clock import iso

    return [
        {
            'run': one.short,
            'id': one.run,
            'started': iso(one.since),
            'who': one.who,
            'host': one.host,
            'pid': one.pid,
            'detached': one.detached,
            'ended_stages': one.ended,
            'all_stages': one.total,
            'stages': [doing.stage for doing in one.stages],
        }
        for one in runs
    ]
