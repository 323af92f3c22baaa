"""What ``mlops gc`` says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlops_cli.cli.console import Line, one_line
from mlops_cli.core.units import plural, show_seconds, show_size

if TYPE_CHECKING:
    from mlops_cli.run.cleaning import Done, Outlook, Wish
    from mlops_cli.run.stalepins import StalePins
    from mlops_cli.store.gc import Undone

NAMED = 8
WORDS = {
    'workspace': 'what lies here: pins, data, outputs',
    'history': 'commits of branches, tags, stash, reflogs',
    'runs': 'runs that are kept, or of the last 30 days',
    'other projects': 'other projects that use this cache',
    'recent results': 'results younger than the grace',
}


def _things(objects: int, results: int, size: int) -> str:
    found = [plural(objects, 'object')] if objects or not results else []
    found += [plural(results, 'result')] if results else []
    return f'{" and ".join(found)}, {show_size(size)}'


def outlook_lines(outlook: Outlook, wish: Wish) -> Iterator[Line]:
    """What would go, and for whom the rest is kept."""
    plan = outlook.plan
    if plan.objects or plan.results:
        yield Line(f'  not needed  {_things(len(plan.objects), len(plan.results), plan.size)}')
    if plan.old:
        yield Line(f'  trash       {plural(len(plan.old), "folder")} a day old or more: to be deleted for good')
    if plan.back:
        yield Line(f'  wanted      {plural(len(plan.back), "file")} in the trash: to be put back')
    going = sum(size for _, size in plan.objects)
    yield Line(f'  kept        {_things(outlook.stock[0] - len(plan.objects), 0, outlook.stock[1] - going)}')
    rows = [(count, size, WORDS[holder]) for holder, (count, size) in outlook.held.items() if count and holder in WORDS]
    count, size = plan.young
    if count:
        rows.append((count, size, f'nothing needs it, but it was used in the last {show_seconds(wish.grace) or "moment"}'))
    for count, size, words in rows:
        yield Line(f'    {show_size(size):>10}  {count:>8,}  {words}')
    yield from _why(outlook, wish)


def _why(outlook: Outlook, wish: Wish) -> Iterator[Line]:
    """Where nothing can go: what holds it, and how to let go."""
    plan = outlook.plan
    if outlook.writers:
        who = plural(outlook.writers, 'other command')
        yield Line(f'note: {who} write now, so all is spared that was used since a day before they began', 'note:')
    if outlook.absent:
        lacks = plural(outlook.absent, 'recorded folder')
        yield Line(f'note: this cache does not have {lacks}, nor does it know what was in them', 'note:')
    if plan.objects or plan.results:
        return
    if not outlook.stock[0]:
        yield Line('Nothing to throw away: the cache is empty.')
        return
    ways = []
    if plan.young[0]:
        ways.append('--grace 1d spares only what was used in the last day')
    if outlook.held.get('history', (0, 0))[0] and wish.since is None:
        ways.append('--since 180d lets go of what only older commits name')
    yield Line(f'Nothing to throw away{": " + "; ".join(ways) if ways else ": all of it is needed"}.')


def question(outlook: Outlook) -> str:
    plan = outlook.plan
    parts = []
    if plan.objects or plan.results:
        parts.append(f'move {_things(len(plan.objects), len(plan.results), plan.size)} to the trash')
    if plan.old:
        parts.append(f'delete {plural(len(plan.old), "folder")} of the trash for good')
    if plan.back:
        parts.append(f'put {plural(len(plan.back), "file")} back from the trash')
    text = ', '.join(parts)
    return f'{text[:1].upper()}{text[1:]}?'


def done_lines(done: Done) -> Iterator[Line]:
    swept = done.swept
    if done.back:
        yield Line(f'Put {plural(done.back, "file")} back from the trash, which something needs again.')
    folders, _, size = done.deleted
    if folders:
        yield Line(f'Deleted {plural(folders, "folder")} of the trash for good: {show_size(size)} freed.', 'Deleted')
    if swept.stamp:
        yield Line(
            f'Moved {_things(swept.objects, swept.results, swept.bytes)} to the trash. In a day another mlops gc deletes it; '
            'mlops gc --undo puts it back.',
            'Moved',
        )


def document(outlook: Outlook, done: Done | None, dry_run: bool) -> dict[str, Any]:
    plan = outlook.plan
    count, size = outlook.stock
    swept = None if done is None else done.swept
    return {
        'dry_run': dry_run,
        'objects': count,
        'bytes': size,
        'unneeded': {'objects': len(plan.objects), 'results': len(plan.results), 'bytes': plan.size},
        'held': [{'by': name, 'objects': one, 'bytes': of} for name, (one, of) in outlook.held.items()],
        'young': {'objects': plan.young[0], 'bytes': plan.young[1]},
        'records': outlook.records,
        'commits': outlook.commits,
        'projects': list(outlook.projects),
        'writers': outlook.writers,
        'trash': list(outlook.trash),
        'moved': None
        if swept is None
        else {
            'trash': swept.stamp,
            'objects': swept.objects,
            'results': swept.results,
            'bytes': swept.bytes,
            'spared': swept.spared,
        },
        'put_back': 0 if done is None else done.back,
        'deleted': {'folders': 0, 'files': 0, 'bytes': 0}
        if done is None
        else dict(zip(('folders', 'files', 'bytes'), done.deleted, strict=True)),
    }


def undone_lines(undone: Undone) -> Iterator[Line]:
    if not undone.stamp:
        yield Line('The trash is empty: nothing to put back.')
        return
    yield Line(f'Put {plural(undone.files, "file")}, {show_size(undone.bytes)}, back from trash/{undone.stamp}.')
    if undone.taken:
        more = f' and {len(undone.taken) - NAMED} more' if len(undone.taken) > NAMED else ''
        yield Line(f'still in the trash, since something else has their place: {", ".join(undone.taken[:NAMED])}{more}')


def undone_document(undone: Undone) -> dict[str, Any]:
    return {'undone': undone.stamp, 'files': undone.files, 'bytes': undone.bytes, 'taken': undone.taken}


# Pins


def pins_lines(found: StalePins, *, removed: bool) -> Iterator[Line]:
    for stage, names in list(found.by_stage.items())[:NAMED]:
        yield Line(f'  {"removed" if removed else "unneeded":<9} {plural(len(names), "pin")} of {one_line(stage)}')
    if len(found.by_stage) > NAMED:
        yield Line(f'  and of {plural(len(found.by_stage) - NAMED, "more stage", "more stages")}')
    for stage, why in list(found.unsure.items())[:NAMED]:
        yield Line(f'  kept      all pins of {one_line(stage)}: {one_line(why)}')
    if not found.stale:
        yield Line(f'No pin to remove: the pipeline computes, or may compute, all {plural(found.total, "pin")}.')
        return
    kept = found.total - len(found.stale)
    verb = 'Removed' if removed else 'Would remove'
    stale = plural(len(found.stale), 'pin')
    yield Line(f'{verb} {stale}, kept {kept:,}. They stay in the history of git, and so does their data.')
    if removed:
        yield Line('Keep it: git add .mlops/stages && git commit')


def pins_question(found: StalePins) -> str:
    return f'Remove {plural(len(found.stale), "pin file")} that no stage of this pipeline computes any more?'


def pins_document(found: StalePins, removed: tuple[str, ...]) -> dict[str, Any]:
    return {
        'pins': found.total,
        'stale': list(found.stale),
        'removed': list(removed),
        'unsure': [{'stage': stage, 'why': why} for stage, why in found.unsure.items()],
    }
