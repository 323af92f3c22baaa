"""The report as one comment in Markdown.  Values in, text out; nothing in the values is believed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlops_cli.core.digest import digest_of
from mlops_cli.core.units import plural, show_change, show_money, show_number, show_seconds, show_size
from mlops_cli.report.markdown import folded, foreign, table

SCHEMA = 'mlops/ci-report/v1'
REFUSALS = 5  # of one alias
ROWS = 20  # of a table
LIMIT = 60_000  # characters: GitHub takes 65,536
VERDICTS = {
    'better': 'better', 'worse': '**worse**', 'within': 'within tolerance', 'changed': 'changed', 'new': 'new',
    'gone': '**gone**', 'same': 'the same',
}  # fmt: skip
STATES = {'done': 'ran', 'restored': 'restored', 'failed': '**failed**', 'skipped': 'skipped', 'interrupted': 'interrupted'}
GOALS = {'max': '\u2191', 'min': '\u2193'}


def marker(document: Mapping[str, Any]) -> str:
    """By which the comment of a project is found again; no text of a project is in it."""
    return f'<!-- mlops ci report {digest_of(str(document.get("project", "")).encode("utf-8", "replace")).hex[:16]} -->'


def markdown(document: Mapping[str, Any]) -> str:
    """One comment; the first line is the marker."""
    blocks = [
        _run(document.get('run')),
        _metrics(document),
        _stages(document),
        _inputs(document),
        _gates(document),
        _approvals(document),
    ]
    title = f'### mlops: {foreign(document.get("project", ""))} against {foreign(document.get("before", ""))}'
    lines = [marker(document), title]
    cut = False
    for block in blocks:
        made = list(block)
        if made and sum(map(len, lines)) + sum(map(len, made)) > LIMIT:
            cut = True
        elif made:
            lines += ['', *made]
    return '\n'.join([*lines, *(['', 'More than one comment holds: `mlops ci report` shows all.'] if cut else []), ''])


def _rows(document: Any, name: str) -> list[Mapping[str, Any]]:
    """Those entries of a list that are objects: the document may come from a job that ran what a branch says."""
    found = document.get(name) if isinstance(document, Mapping) else None
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 else None


def _shown(value: Any) -> str:
    figure = _number(value)
    return '' if figure is None else show_number(figure)


def _seconds(value: Any) -> str:
    return show_seconds(max(_number(value) or 0.0, 0.0))


def _run(run: Any) -> Iterator[str]:
    if not isinstance(run, Mapping):
        yield 'No run is recorded here.'
        return
    stages = _rows(run, 'stages')
    states = [str(one.get('state')) for one in stages]
    parts = [f'{states.count(state)} {word}' for state, word in STATES.items() if state in states]
    fresh = _number(run.get('fresh')) or 0
    parts += [f'{int(fresh)} up to date'] if fresh else []
    yield f'**{", ".join(parts) or "Nothing to do"}** in {_seconds(run.get("seconds"))}, run {foreign(run.get("id", ""))}.'
    yield from _cost(run)
    rows = [
        [foreign(one.get('stage', '')), STATES.get(str(one.get('state')), ''), _seconds(one.get('seconds'))]
        for one in sorted(stages, key=lambda one: one.get('state') not in ('failed', 'interrupted'))
    ]
    yield from folded(f'{plural(len(rows), "stage")} of this run', _cut(table(['stage', '', 'time:'], rows[:ROWS]), len(rows)))


def _cost(run: Mapping[str, Any]) -> Iterator[str]:
    cost = run.get('cost')
    said = []
    if isinstance(cost, Mapping):
        amounts = cost.get('amounts')
        for currency, amount in sorted(amounts.items()) if isinstance(amounts, Mapping) else ():
            plain = currency if isinstance(currency, str) and len(currency) == 3 and currency.isalpha() else 'USD'
            said.append(show_money(_number(amount) or 0.0, plain))
        if said and _number(cost.get('unknown')):
            said.append(f'and what is not known of {plural(int(_number(cost.get("unknown")) or 0), "stage")}')
    saved = _number(run.get('saved_seconds')) or 0.0
    text = [f'Cost: {", ".join(said)}.'] if said else []
    text += [f'The cache saved {show_seconds(saved)}.'] if saved >= 1 else []
    if text:
        yield ''
        yield ' '.join(text)
        yield ''


def _metrics(document: Mapping[str, Any]) -> Iterator[str]:
    every = _rows(document, 'metrics')
    moved = [one for one in every if one.get('verdict') != 'same']
    shown = sorted(moved or [one for one in every if one.get('primary')], key=lambda one: not one.get('primary'))
    if not every:
        return
    if shown:
        yield from _cut(table(['metric', 'of', 'before:', 'after:', 'change:', ''], map(_metric, shown[:ROWS])), len(shown))
    else:
        yield f'{plural(len(every), "number")} of metrics, all the same.'


def _metric(one: Mapping[str, Any]) -> list[str]:
    before, after = _number(one.get('before')), _number(one.get('after'))
    change = show_change(after - before) if before is not None and after is not None and after != before else ''
    count = _number(one.get('instances')) or 1
    of = foreign(one.get('stage', '')) + (f', mean of {int(count)}' if count > 1 else '')
    goal = GOALS.get(str(one.get('goal')), '')
    counts = one.get('counts')
    verdict = VERDICTS.get(str(one.get('verdict')), '')
    if count > 1 and isinstance(counts, Mapping):
        told = [f'{int(_number(counts.get(word)) or 0)} {word}' for word in ('better', 'worse') if _number(counts.get(word))]
        verdict = ', '.join(told) or verdict
    name = f'{foreign(one.get("name", ""))} {goal}'.strip()
    return [name, of, _spread(one, 'before'), _spread(one, 'after'), change, verdict]


def _spread(one: Mapping[str, Any], side: str) -> str:
    spread = one.get(f'spread_{side}')
    mean = _shown(one.get(side))
    if isinstance(spread, list) and len(spread) == 2 and None not in map(_number, spread) and spread[0] != spread[1]:
        return f'{mean} ({_shown(spread[0])} to {_shown(spread[1])})'
    return mean


def _stages(document: Mapping[str, Any]) -> Iterator[str]:
    words = {'changed': 'other result', 'added': 'new', 'removed': 'gone', 'unknown': 'not known'}
    changed = _rows(document, 'stages')
    rows = [[foreign(one.get('stage', '')), words.get(str(one.get('status')), '')] for one in changed]
    if rows:
        lines = _cut(table(['stage', ''], rows[:ROWS]), len(rows))
        same = int(_number(document.get('same_stages')) or 0)
        yield from folded(f'{plural(len(rows), "stage")} differ, {same} have the same result', lines)


def _inputs(document: Mapping[str, Any]) -> Iterator[str]:
    lines: list[str] = []
    told: list[str] = []
    for name, rows in (
        ('parameter', [_value(one) for one in _rows(document, 'params')]),
        ('code file', [_code(one) for one in _rows(document, 'code')]),
        ('data set', [_data(one) for one in _rows(document, 'data')]),
        ('command', [_value(one) for one in _rows(document, 'commands')]),
        ('package or platform', [_value(one) for one in _rows(document, 'environment')]),
    ):
        if rows:
            many = 'packages or platforms' if name.startswith('package') else ''
            told.append(plural(len(rows), name, many))
            lines += ['', *_cut(table([name, 'before', 'after'], rows[:ROWS]), len(rows))]
    if told:
        yield from folded(f'What went in: {", ".join(told)}', lines)


def _value(one: Mapping[str, Any]) -> list[str]:
    sides = ['' if one.get(side) is None else foreign(one[side], 60) for side in ('before', 'after')]
    return [foreign(one.get('name', '')), *sides]


def _code(one: Mapping[str, Any]) -> list[str]:
    added, removed = _number(one.get('added')), _number(one.get('removed'))
    status = {'added': 'new', 'removed': 'gone'}.get(str(one.get('status')), 'changed')
    lines = ['' if removed is None else f'-{int(removed)} lines', status if added is None else f'+{int(added)} lines']
    return [foreign(one.get('path', '')), *lines]


def _data(one: Mapping[str, Any]) -> list[str]:
    known = [_number(one.get(side)) for side in ('size_before', 'size_after')]
    sizes = ['' if size is None else show_size(size) for size in known]
    files = one.get('files')
    if not any(sizes):
        sizes[1] = 'changed'
    if isinstance(files, list) and len(files) == 3 and None not in map(_number, files):
        sizes[1] += f' ({int(files[0])} files new, {int(files[1])} changed, {int(files[2])} gone)'
    return [foreign(one.get('path', '')), *sizes]


def _gates(document: Mapping[str, Any]) -> Iterator[str]:
    rows = _rows(document, 'gates')
    for one in rows[:ROWS]:
        word = 'passed' if one.get('passed') is True else '**not passed**'
        yield f'* gate {foreign(one.get("stage", ""))}: {foreign(one.get("expression", ""))}: {word}'


def _approvals(document: Mapping[str, Any]) -> Iterator[str]:
    for one in _rows(document, 'approvals')[:ROWS]:
        needed, approved = int(_number(one.get('needed')) or 0), one.get('approved')
        given = len(approved) if isinstance(approved, list) else 0
        what = f'{foreign(one.get("model", ""))} {foreign(one.get("version", ""))} as {foreign(one.get("alias", ""))}'
        who = one.get('approvers')
        named = ', '.join(foreign(name) for name in who[:5]) if isinstance(who, list) and who else 'anybody but its author'
        refusals = one.get('refusals')
        wrong = refusals[:REFUSALS] if isinstance(refusals, list) else []
        if not one.get('model'):
            what = 'models'
        if needed:
            yield f'* approval of {what}: {given} of {needed}, by {named}{", **refused**" if wrong else ""}'
        for refusal in wrong:
            yield f'{"  " if needed else ""}* {what}: {foreign(refusal)}'
        if not needed and not wrong:
            yield f'* {what}: allowed'


def _cut(lines: list[str], count: int) -> list[str]:
    return lines + (['', f'and {count - ROWS:,} more'] if count > ROWS else [])
