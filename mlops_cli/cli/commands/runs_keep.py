"""``mlops runs keep``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

from mlops_cli.cli import context, exits, options
from mlops_cli.cli.console import Line, one_line, out, print_json
from mlops_cli.core import layout
from mlops_cli.core.units import plural, show_size

if TYPE_CHECKING:
    from mlops_cli.records.runs import Run
    from mlops_cli.run.workbench import Workbench

EXITS = exits.line(failed='a run whose results are gone')


def command(
    runs: Annotated[list[str], options.Argument(metavar='RUN...', help='Runs: ids, or unambiguous beginnings of them.')],
    reason: Annotated[str, options.Option('--reason', '-m', metavar='TEXT', help='Why, for whoever reads the list.')] = '',
    undo: Annotated[bool, options.Option('--undo', help='Keep them no longer.')] = False,
    json: options.Json = False,
) -> int:
    """Keep runs: their results are never taken out of the cache, and everybody who has the branch sees that and why.

    Example:  mlops runs keep 7k2m --reason "the one in the paper"
    """
    from mlops_cli.cli.wiring import workbench, writing

    with workbench(tolerant=True) as bench, writing(bench):
        found = list({run.id: run for run in map(bench.runs.find, runs)}.values())
        rows = _undone(bench, found) if undo else _kept(bench, found, reason)
        bench.batch.close()
    if json:
        print_json({'schema': 'mlops/runs-keep/v1', 'rows': rows})
        return 0
    for row in rows:
        out(_line(row))
    if any(row['changed'] for row in rows) and _in_git():
        out(context.keep_it(bench.root.path, layout.ROOT))
    return 0


def _kept(bench: Workbench, found: list[Run], reason: str) -> list[dict[str, Any]]:
    from mlops_cli.core.clock import iso
    from mlops_cli.experiments.keeping import holding, keep
    from mlops_cli.records.kept import Kept
    from mlops_cli.run.person import who

    held = [holding(bench, run) for run in found]  # all of them, before anything is written
    kept, rows = Kept(bench.root), []
    for one in held:
        paths = keep(kept, bench.batch, one.run, bench.redact(reason.strip()), who(bench.root.path), iso(time.time()))
        said = [keep.reason for keep in kept.of(one.run.id) if keep.reason]
        facts = {'stages': len(one.stages), 'bytes': one.size, 'reason': said[-1] if said else ''}
        rows.append({'run': one.run.short, 'id': one.run.id, 'kept': True, 'changed': bool(paths), **facts})
    return rows


def _undone(bench: Workbench, found: list[Run]) -> list[dict[str, Any]]:
    from mlops_cli.records.kept import Kept

    kept = Kept(bench.root)
    return [{'run': run.short, 'id': run.id, 'kept': False, 'changed': bool(kept.remove(run.id))} for run in found]


def _line(row: dict[str, Any]) -> Line:
    if not row['kept']:
        word, was = ('released', '') if row['changed'] else ('unchanged', '   (was not kept)')
        return Line(f'  {word:<9} {row["run"]}{was}')
    held = f'{plural(row["stages"], "stage")}, {show_size(row["bytes"])}'
    said = f', "{one_line(row["reason"])}"' if row['reason'] else ''
    return Line(f'  {"kept" if row["changed"] else "unchanged":<9} {row["run"]}   {held}{said}')


def _in_git() -> bool:
    from mlops_cli import git

    return git.top('.') is not None
