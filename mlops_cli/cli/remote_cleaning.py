"""``mlops gc --remote``: says what of a remote nobody needs, marks it, and deletes what was marked a day ago."""

from __future__ import annotations

from typing import Any

from mlops_cli.cli.agreeing import agreed
from mlops_cli.cli.console import Line, out, print_json
from mlops_cli.cli.progress import Progress
from mlops_cli.cli.transferring import depot_of
from mlops_cli.cli.wiring import workbench, writing
from mlops_cli.core.errors import ExitCode
from mlops_cli.core.units import plural, show_seconds, show_size
from mlops_cli.run import remote_cleaning
from mlops_cli.run.remote_cleaning import Outlook
from mlops_cli.store import remote_gc
from mlops_cli.store.remote_gc import Plan

SCHEMA = 'mlops/gc-remote/v1'


def clean(remote: str, grace: float, dry_run: bool, json: bool) -> ExitCode:
    counts = ['looking', 0]

    def tell(what: str, count: int) -> None:
        counts[:] = [what, count]
        progress.step()

    with workbench() as bench, depot_of(bench, remote) as (name, depot), writing(bench, 'mlops gc --remote'):
        with Progress(lambda: f'  cleaning  {counts[1]:,} {counts[0]}') as progress:
            outlook = remote_cleaning.look(bench, depot, grace, tell)
        going = _going(outlook)
        lines = _lines(outlook, name, going)
        if dry_run or not (outlook.plan.values or going):
            return _end(json, lines, outlook, going, None, marked=False)
        question = f'Delete {plural(going, "value")}' if going else f'Mark {plural(len(outlook.plan.values), "value")}'
        agreed(question, lines, f'mlops gc --remote {name} --yes', json)
        done = None
        if going:
            with Progress(lambda: f'  cleaning  {counts[1]:,} {counts[0]}') as progress:
                outlook, done = remote_cleaning.carry_out(bench, depot, grace, remote_gc.WAIT, tell)
        elif outlook.marked is None or outlook.plan.values.keys() - outlook.marked[1].keys():
            remote_gc.mark(depot.bucket, outlook.plan)
        return _end(json, lines, outlook, going, done, marked=not going)


def _going(outlook: Outlook) -> int:
    """How many values may be deleted now."""
    if not outlook.ripe(remote_gc.WAIT) or outlook.marked is None:
        return 0
    return sum(1 for key, changed in outlook.plan.values.items() if outlook.marked[1].get(key) == changed)


def _lines(outlook: Outlook, name: str, going: int) -> list[str]:
    plan = outlook.plan
    what = f'{plural(plan.packs, "pack")} ({len(plan.repack):,} of them in part), {plural(plan.objects, "large object")}'
    lines = [
        f'{name}: nobody needs {what}, {plural(plan.results, "result")}: {show_size(plan.freed)}.'
        if plan.values else f'{name}: all of it is needed, or young.',
        f'  kept      {plan.kept:,}, of them {plan.young:,} for being young',
        f'  asked     {plural(outlook.commits, "commit")} here, {plural(outlook.clones, "clone")} that pushed',
    ]  # fmt: skip
    if outlook.old:
        clones = plural(outlook.old, 'clone')
        lines.append(f'  old       {clones} that said nothing for 90 days: what they alone relied on is not kept')
    if outlook.absent:
        lines.append(f'  unknown   {plural(outlook.absent, "folder")} that records name and whose list is nowhere')
    if outlook.marked is not None and not going:
        left = remote_gc.WAIT - (outlook.now - outlook.marked[0])
        when = f'; to be deleted in {show_seconds(left)}' if left > 0 else ''
        lines.append(f'  marked    {len(outlook.marked[1]):,}{when}')
    return lines



def _end(json: bool, lines: list[str], outlook: Outlook, going: int, done: Plan | None, *, marked: bool) -> ExitCode:
    if json:
        print_json(_document(outlook, going, done, marked))
        return ExitCode.DONE
    for line in lines:
        out(line)
    if done is not None:
        packs, objects, results = done.packs, done.objects, done.results
        text = f'{plural(packs, "pack")}, {plural(objects, "large object")}, {plural(results, "result")}'
        out(Line(f'  deleted   {text}', 'done'))
    elif marked:
        out(Line('  marked    it is deleted by a gc tomorrow or later, if nobody needs it then', 'done'))
    return ExitCode.DONE


def _document(outlook: Outlook, going: int, done: Plan | None, marked: bool) -> dict[str, Any]:
    plan = outlook.plan
    return {
        'schema': SCHEMA, 'packs': plan.packs, 'repacked': len(plan.repack), 'objects': plan.objects, 'results': plan.results,
        'bytes': plan.freed, 'kept': plan.kept, 'young': plan.young, 'clones': outlook.clones, 'clones_not_seen': outlook.old,
        'absent': outlook.absent, 'ripe': going, 'marked': marked,
        'deleted': None if done is None else {'packs': done.packs, 'objects': done.objects, 'results': done.results},
    }  # fmt: skip
