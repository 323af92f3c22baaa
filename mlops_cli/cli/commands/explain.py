"""``mlops explain``."""

from __future__ import annotations

from typing import Annotated

import typer

from mlops_cli.cli import options
from mlops_cli.cli.console import one_line, out, print_json
from mlops_cli.cli.documents import step_document
from mlops_cli.cli.wiring import workbench
from mlops_cli.cli.words import clip, reason
from mlops_cli.core.manifest import ABSENT, Entry
from mlops_cli.plan.facts import Known, Wishes
from mlops_cli.plan.model import Step
from mlops_cli.plan.reasons import nearest
from mlops_cli.plan.select import matching, select
from mlops_cli.run.outlook import look
from mlops_cli.run.workbench import Workbench


def command(
    stage: Annotated[str, typer.Argument(metavar='STAGE', help='A stage, an instance, or the path of an output.')],
    assignments: options.Set = None,
    json: options.Json = False,
) -> int:
    """Every component of a stage's key, with the value before and after.

    Example:  mlops explain train@forest-1
    """
    with workbench(assignments or ()) as bench:
        names = matching(bench.pipeline, stage)
        plan = look(bench, select(bench.pipeline, bench.edges, bench.order, names), Wishes(trial=bool(bench.overlay))).plan
        found = [_explained(bench, plan.by_name[name]) for name in names]
    if json:
        print_json({'schema': 'mlops/explain/v1', 'stages': found})
    else:
        for one in found:
            _show(one)
    return 0


def _explained(bench: Workbench, step: Step) -> dict[str, object]:
    draft = bench.drafts[step.stage]
    history = bench.pins.of_stage(step.stage)
    entries = step.manifest.entries if step.manifest else tuple(sorted(draft.entries, key=lambda entry: entry.sort_key))
    same = [pin for pin in history if step.manifest and pin.key == step.manifest.digest]
    old: Known | None = (
        same[0] if same else nearest(step.manifest, history) if step.manifest else (history[-1] if history else None)
    )
    before = {entry.sort_key: entry for entry in old.manifest.entries} if old else {}
    rows = [_row(entry, before.get(entry.sort_key), bool(old)) for entry in entries]
    known = {entry.sort_key for entry in entries} | {('data', hole.path) for hole in draft.holes}
    rows += [_row(None, entry, True) for key, entry in before.items() if key not in known]
    return {
        **step_document(step),
        'entries': rows,
        'unknown_code': list(draft.unknown),
        'undecided': [hole.path for hole in draft.holes] if step.manifest is None else [],
        'python': draft.found.python if draft.found else None,
        'compared_with': str(old.manifest.digest) if old else None,
        'words': [reason(one) for one in step.reasons],
    }


def _row(entry: Entry | None, before: Entry | None, compared: bool) -> dict[str, object]:
    one = entry or before
    assert one is not None
    state = 'same'
    if compared and before is None:
        state = 'new'
    elif entry is None:
        state = 'gone'
    elif before is not None and before.digest != entry.digest:
        state = 'changed'
    return {'kind': one.kind, 'name': one.name, 'state': state, 'before': _value(before), 'after': _value(entry)}


def _value(entry: Entry | None) -> str | None:
    if entry is None:
        return None
    if entry.digest == ABSENT:
        return 'absent'
    return entry.value if entry.value is not None else str(entry.digest)


def _show(one: dict[str, object]) -> None:
    out(f'{one_line(str(one["name"]))}: {one["verdict"]}' + (f'   key {str(one["key"])[7:23]}' if one['key'] else ''))
    rows: list[dict[str, str | None]] = one['entries']  # type: ignore[assignment]
    for row in rows:
        mark = {'same': ' ', 'changed': '~', 'new': '+', 'gone': '-'}[str(row['state'])]
        before, after = _short(row['before']), _short(row['after'])
        value = f'{before} -> {after}' if row['state'] == 'changed' else before if row['state'] == 'gone' else after
        out(f'  {mark} {row["kind"]:<12} {one_line(str(row["name"])):<36} {value}')
    for path in one['undecided']:  # type: ignore[attr-defined]
        out(f'  ? {"data":<12} {one_line(path):<36} made by a stage that is not settled')
    for sentence in one['unknown_code']:  # type: ignore[attr-defined]
        out(f'  ! code unknown: {one_line(sentence)}')
    for sentence in one['notes']:  # type: ignore[attr-defined]
        out(f'  note: {one_line(sentence)}')


def _short(value: str | None) -> str:
    if value is None:
        return 'none'
    return value[:15] if value.startswith('blake3:') else clip(one_line(value), 100)
