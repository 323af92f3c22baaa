"""What a stage's key is made of, beside the state it is compared with.  Facts; screens/explain.py makes words of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mlops_cli.core.classes import dataclass
from mlops_cli.core.manifest import ABSENT, KINDS, Entry, EntryKind
from mlops_cli.fingerprint.stage import Draft
from mlops_cli.plan.facts import Known
from mlops_cli.plan.model import Reason, Step, Verdict
from mlops_cli.plan.reasons import Held, held_state, nearest, reasons_for
from mlops_cli.records.pins import Pin
from mlops_cli.run.outlook import facts_of
from mlops_cli.run.workbench import Workbench

RowState = Literal['same', 'changed', 'new', 'gone']


@dataclass(frozen=True, slots=True)
class Row:
    """One component.  ``before``, ``after``: its value as JSON, or ``blake3:...`` where only the digest is known."""

    kind: EntryKind
    name: str
    state: RowState
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """``changes``: what differs, in people's values.  ``compared_with``: the key of the other state; ``held``: the workspace
    holds that state's outputs.  ``undecided``: inputs that another stage has yet to make.  ``python``: the interpreter;
    ``files``: code that was found; ``modules``: installed ones that it imports; ``command``: what was followed."""

    step: Step
    rows: tuple[Row, ...]
    changes: tuple[Reason, ...] = ()
    compared_with: str | None = None
    held: bool = False
    unknown: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    python: str | None = None
    files: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()


def explanation(bench: Workbench, step: Step) -> Explanation:
    """Of a fresh stage there is nothing to compare; of a restore, what the workspace holds; else the nearest state."""
    draft = bench.drafts[step.stage]
    facts = facts_of(bench)
    history = bench.pins.of_stage(step.stage)
    other = _other(step, history, facts.held)
    rows = _rows(step, draft, other)
    changes = reasons_for(step.manifest, other, facts) if step.manifest and other else step.reasons
    held = other is not None and bool(other.outputs) and all(facts.held(path) == ref for path, ref in other.outputs)
    found = draft.found
    return Explanation(
        step,
        rows,
        changes,
        str(other.manifest.digest) if other else None,
        held,
        draft.unknown,
        tuple(hole.path.partition('::')[0] for hole in draft.holes) if step.manifest is None else (),
        found.python if found else None,
        tuple(sorted(draft.code)),
        found.distributions if found else (),
    )


def _other(step: Step, history: Sequence[Pin], held: Held) -> Known | None:
    if step.verdict is Verdict.FRESH or not history:
        return None
    if step.manifest is None:
        return history[-1]
    others = [pin for pin in history if pin.key != step.manifest.digest]
    return held_state(step.manifest, history, held) or nearest(step.manifest, others, held)


def _rows(step: Step, draft: Draft, other: Known | None) -> tuple[Row, ...]:
    entries = step.manifest.entries if step.manifest else draft.entries
    before = {entry.sort_key: entry for entry in other.manifest.entries} if other else {}
    rows = [_row(entry, before.get(entry.sort_key), compared=other is not None) for entry in entries]
    known = {entry.sort_key for entry in entries}
    open_paths = tuple(hole.path for hole in draft.holes) if step.manifest is None else ()
    rows += [
        _row(None, entry, compared=True)
        for key, entry in before.items()
        if key not in known and not (entry.kind == 'data' and entry.name.startswith(open_paths))
    ]
    order = {kind: number for number, kind in enumerate(KINDS)}
    return tuple(sorted(rows, key=lambda row: (row.state == 'same', order[row.kind], row.name)))


def _row(entry: Entry | None, before: Entry | None, *, compared: bool) -> Row:
    one = entry or before
    assert one is not None
    state: RowState = 'same'
    if entry is None:
        state = 'gone'
    elif before is None:
        state = 'new' if compared else 'same'
    elif before.digest != entry.digest:
        state = 'changed'
    return Row(one.kind, one.name, state, _value(before), _value(entry))


def _value(entry: Entry | None) -> str | None:
    if entry is None:
        return None
    if entry.digest == ABSENT:
        return 'absent'
    return entry.value if entry.value is not None else str(entry.digest)
