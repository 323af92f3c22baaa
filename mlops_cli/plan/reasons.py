"""Why a stage is not fresh, in values before and after.  Reads the same entries as the key."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from mlops_cli.core.errors import UserError
from mlops_cli.core.manifest import ABSENT, Change, Entry, Manifest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint.parsing import SOURCES
from mlops_cli.fingerprint.stage import Draft
from mlops_cli.plan.facts import Facts, Known, Seen
from mlops_cli.plan.model import Reason
from mlops_cli.store.tree import diff

NEVER_RUN = Reason('never-run', '', detail='never run')
DEFAULT_PARAMS = 'params.yaml:'
SHOWN = 60  # characters of a value
FOUND = 'seen by an audit, and not declared'
PARTS = 3  # changed functions named per file
Held = Callable[[str], ObjectRef | None]


def nearest(manifest: Manifest, history: Iterable[Known], held: Held = lambda _: None) -> Known | None:
    """The earlier state that differs in the fewest entries; of several, the one whose outputs the workspace holds."""
    return min(
        history,
        key=lambda old: (
            len(manifest.changes_since(old.manifest)),
            not all(held(path) == ref for path, ref in old.outputs),
            str(old.manifest.digest),
        ),
        default=None,
    )


def held_state(manifest: Manifest, history: Iterable[Known], held: Held) -> Known | None:
    """Another state than this one, whose outputs the workspace holds; the nearest of several."""
    others = [
        old
        for old in history
        if old.manifest.digest != manifest.digest and old.outputs and all(held(path) == ref for path, ref in old.outputs)
    ]
    return nearest(manifest, others)


def reasons_for(manifest: Manifest, old: Known, facts: Facts) -> tuple[Reason, ...]:
    """One or more reasons for each entry that differs from an earlier state."""
    return tuple(reason for change in manifest.changes_since(old.manifest) for reason in _explain(change, old, facts))


def static_reasons(draft: Draft, history: tuple[Known, ...], facts: Facts) -> tuple[Reason, ...]:
    """Reasons of a stage whose inputs from other stages are still undecided: those entries are left out."""
    open_paths = {hole.path for hole in draft.holes} | {hole.output for hole in draft.holes}
    open_entries = {(hole.kind, hole.entry_name) for hole in draft.holes}

    def settled(entries: Iterable[Entry]) -> Manifest:
        return Manifest.of(
            entry
            for entry in entries
            if entry.sort_key not in open_entries and not (entry.kind in ('data', 'code') and _inside(entry.name, open_paths))
        )

    mine = settled(draft.entries)
    best = min(history, key=lambda old: len(mine.changes_since(settled(old.manifest.entries))), default=None)
    if best is None:
        return (NEVER_RUN,)
    changes = mine.changes_since(settled(best.manifest.entries))
    return tuple(reason for change in changes for reason in _explain(change, best, facts))


def _inside(name: str, folders: set[str]) -> bool:
    return name in folders or any(name.startswith(folder + '/') for folder in folders)


def _explain(change: Change, old: Known, facts: Facts) -> Iterator[Reason]:
    entry = change.entry
    if entry.kind == 'code':
        yield _code(change, old, facts)
    elif entry.kind == 'param':
        yield from _param(change)
    elif entry.kind == 'data':
        yield _data(change, facts)
    else:
        before, after = _shown(change.before), _shown(change.after)
        subject = entry.name.removeprefix('secret:')
        yield Reason(entry.kind, '' if entry.kind == 'command' else subject, before, after)


def _value(entry: Entry | None) -> Any:
    return json.loads(entry.value) if entry is not None and entry.value is not None else None


def _shown(entry: Entry | None) -> str | None:
    if entry is None:
        return None
    if entry.digest == ABSENT:
        return 'absent'
    if entry.value is None:
        return entry.digest.short
    value = json.loads(entry.value)
    if entry.kind == 'command' and isinstance(value, dict):
        text = value.get('cmd') or ' '.join(value.get('argv', ()))
        return text + (f' (in {value["wdir"]})' if 'wdir' in value else '')
    return value if isinstance(value, str) else entry.value


def _param(change: Change) -> Iterator[Reason]:
    """A mapping that changed is told by the leaves that differ."""
    name = change.entry.name.removeprefix(DEFAULT_PARAMS)
    before, after = _value(change.before), _value(change.after)
    if isinstance(before, dict) and isinstance(after, dict):
        for key, old, new in _leaves(before, after):
            yield Reason('param', f'{name}.{key}', old, new)
        return
    yield Reason('param', name, _shown(change.before), _shown(change.after))


_NOTHING = object()


def _leaves(before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[str, str | None, str | None]]:
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key, _NOTHING), after.get(key, _NOTHING)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from ((f'{key}.{rest}', one, two) for rest, one, two in _leaves(old, new))
        elif json.dumps(old, default=str) != json.dumps(new, default=str):
            yield key, _json(old), _json(new)


def _json(value: object) -> str | None:
    return None if value is _NOTHING else json.dumps(value, ensure_ascii=False)


def _code(change: Change, old: Known, facts: Facts) -> Reason:
    path = change.entry.name
    if change.before is None or change.before.digest == ABSENT:
        return Reason('code', path, None, change.entry.digest.short, 'new')
    if change.after is None or change.after.digest == ABSENT:
        return Reason('code', path, change.before.digest.short, None, 'gone')
    detail = 'changed'
    if path.endswith(SOURCES):
        from mlops_cli.fingerprint.sources import changed_parts

        before, after = facts.source(old.manifest.digest, path), facts.present(path)
        if before is not None and after is not None and (parts := changed_parts(path, before, after)):
            more = f' and {len(parts) - PARTS} more' if len(parts) > PARTS else ''
            detail = ', '.join(parts[:PARTS]) + more
    return Reason('code', path, change.before.digest.short, change.after.digest.short, detail)


def _data(change: Change, facts: Facts) -> Reason:
    path = change.entry.name
    if change.before is None or change.before.digest == ABSENT:
        return Reason('data', path, None, change.entry.digest.short, 'new')
    if change.after is None or change.after.digest == ABSENT:
        return Reason('data', path, change.before.digest.short, None, 'gone')
    return Reason(
        'data', path, change.before.digest.short, change.after.digest.short, _files_changed(change, facts) or 'changed'
    )


def _files_changed(change: Change, facts: Facts) -> str:
    """``3 files changed, 1 new`` for folders whose nodes are known, else nothing."""
    assert change.before is not None and change.after is not None
    before, after = (ObjectRef(entry.digest, 0, 'tree') for entry in (change.before, change.after))
    if not facts.folder(change.entry.name):
        return ''
    counts = {'changed': 0, 'new': 0, 'gone': 0}
    try:
        for _, one, two in diff(before, after, facts.read):
            counts['new' if one is None else 'gone' if two is None else 'changed'] += 1
    except (OSError, ValueError, KeyError, UserError):
        return ''
    return ', '.join(f'{count:,} {word}' for word, count in counts.items() if count)


def discovered_reasons(seen: Iterable[Seen]) -> tuple[Reason, ...]:
    """Of inputs that nobody declares, and that are not what they were."""
    return tuple(
        Reason(
            'code' if one.path.endswith('.py') else 'data',
            one.path,
            one.before.short,
            one.now.short if one.now is not None else None,
            FOUND,
        )
        for one in seen
        if one.now != one.before
    )


def discovered_notes(seen: Sequence[Seen]) -> tuple[str, ...]:
    """What makes a stage depend on more than is declared."""
    if not seen:
        return ()
    names = ', '.join(one.path for one in seen[:PARTS]) + (f' and {len(seen) - PARTS} more' if len(seen) > PARTS else '')
    return (f'also depends on what an audit saw and nobody declares: {names}',)
