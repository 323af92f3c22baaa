"""The explanation of one stage, for people: what changed first, then what did not, then which code was found.  Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile

from mlops_cli.cli.console import Line, cells, clip, one_line, pad, wrap
from mlops_cli.cli.explanation import Explanation, Row
from mlops_cli.cli.words import COMMAND_WIDTH, Groups, command_words, count, fitting, fold, kind_word, reason, some, value, why
from mlops_cli.core import layout
from mlops_cli.core.manifest import EntryKind
from mlops_cli.plan.model import Reason, Verdict
from mlops_cli.plan.sentences import blessing, numbers_apart, run_name

KIND = 12  # columns
NAMES = 36
NARROW = 24
SHOWN = 14  # unchanged components that are listed where nothing changed
FILES = 6  # found files that are named
SURROUNDINGS = 6  # of an environment, and differences at an acceptance
MARKS = {'same': ' ', 'changed': '~', 'new': '+', 'gone': '-'}
SENTENCES = {
    Verdict.FRESH: 'the workspace holds what this key led to',
    Verdict.RESTORE: 'the store has what this key led to, the workspace holds something else',
    Verdict.RUN: 'nothing usable is recorded for this key',
    Verdict.MAYBE: 'its key is known once the stages before it are settled',
    Verdict.BLOCKED: 'an input is missing',
}

SURE = 'nothing recorded of it can be used, whatever the stages before it make'


def explain_lines(one: Explanation, groups: Groups, columns: int, *, everything: bool = False) -> list[Line]:
    """``everything``: unchanged components too, one by one, and every file."""
    step = one.step
    sentence = SURE if step.verdict is Verdict.RUN and step.waits_for else SENTENCES[step.verdict]
    head = wrap(f'{one_line(step.stage)}: {step.verdict}, {sentence}', columns)
    lines = [Line(text, '' if index else str(step.verdict)) for index, text in enumerate(head)]
    lines += _head(one, groups, columns)
    names = min(NAMES if columns >= 100 else NARROW, max([cells(one_line(row.name)) for row in one.rows], default=0))
    lines += _changes(one, columns, names, everything)
    lines += _same(one, columns, names, everything)
    lines += _code(one, columns, everything)
    lines += _results(one, columns)
    lines += _surroundings(one, columns, everything)
    lines += _accepted(one, columns, everything)
    return lines


def _head(one: Explanation, groups: Groups, columns: int) -> list[Line]:
    step = one.step
    texts = [f'key {step.manifest.digest.hex[:16]}'] if step.manifest else []
    if step.waits_for:
        texts.append(f'waits for {", ".join(some(fold(step.waits_for, groups), 6))}')
    if step.verdict is Verdict.RESTORE and step.origin:
        texts.append(f'made by {one_line(step.origin)}')
    if step.verdict in (Verdict.RUN, Verdict.BLOCKED) and not one.compared_with:
        texts += why(step)
    if one.compared_with:
        state = 'the state that the workspace holds' if one.held else 'the nearest state that is recorded'
        texts.append(f'compared with {state}, key {one.compared_with[7:23]}')
    texts += [note for note in step.notes if note not in one.unknown]
    return [Line(f'  {line}') for text in texts for line in wrap(one_line(text), columns - 2)]


def _changes(one: Explanation, columns: int, names: int, everything: bool) -> list[Line]:
    """In the words of the plan where there is a state to compare with; a change of digests alone says little."""
    if not one.compared_with:
        return []
    changed = [row for row in one.rows if row.state != 'same']
    if not changed:
        text = 'nothing of its own differs' if one.step.verdict is Verdict.MAYBE else 'nothing differs but the outputs'
        return [Line(f'  {text}: {", ".join(map(reason, one.step.reasons))}'.rstrip(': '))]
    lines = [Line('Changed')]
    reasons = list(one.changes) if one.step.manifest else []
    for row in changed:
        mine = [text for _ in range(_belonging(row, reasons)) for text in _details(row, reasons.pop(0))]
        lines += _change_lines(row, mine, columns, names) if mine else [_row_line(row, columns, names, everything)]
    return lines


def _belonging(row: Row, reasons: Sequence[Reason]) -> int:
    """How many of the reasons, which come in the order of the rows, are about a row: of a mapping, its leaves."""
    if row.kind != 'param':
        return int(bool(reasons) and reasons[0].kind == row.kind)
    name = _short_name(row)
    return sum(1 for _ in takewhile(lambda one: one.kind == 'param' and f'{one.subject}.'.startswith(f'{name}.'), reasons))


def _short_name(row: Row) -> str:
    return row.name.removeprefix(f'{layout.PARAMS_FILE}:')


def _details(row: Row, one: Reason) -> list[str]:
    """Of a command: the words that differ, then all of it."""
    if one.kind != 'command' or one.before is None or one.after is None:
        return [_detail(row, one)]
    words = command_words(one.before, one.after)
    if not words:
        return [_detail(row, one)]
    return [words, f'was {value(one.before, COMMAND_WIDTH)}', f'is  {value(one.after, COMMAND_WIDTH)}']


def _detail(row: Row, one: Reason) -> str:
    leaf = one.subject[len(_short_name(row)) + 1 :] if row.kind == 'param' else ''
    if one.detail:
        return one_line(one.detail)
    before, after = ('none' if text is None else value(text) for text in (one.before, one.after))
    return f'{one_line(leaf)} {before} -> {after}'.strip()


def _change_lines(row: Row, details: Sequence[str], columns: int, names: int) -> list[Line]:
    name = one_line(row.name)
    head = f'  {MARKS[row.state]} {pad(kind_word(row.kind, row.name), KIND)} {pad(name, names)}  '
    room = columns - cells(head)
    texts = [line for text in details for line in ([text] if cells(text) <= room else wrap(text, max(room, 24)))]
    if cells(name) > names:
        return [Line(head.rstrip()), *(Line(f'{"":<{KIND + 6}}{text}') for text in texts)]
    return [Line(f'{"" if index else head:<{cells(head)}}{text}') for index, text in enumerate(texts)]


def _same(one: Explanation, columns: int, names: int, everything: bool) -> list[Line]:
    rows = [row for row in one.rows if row.state == 'same']
    changed = len(rows) < len(one.rows)
    names = max([names, *(min(NARROW, cells(one_line(path))) for path in one.undecided)])
    undecided = [
        Line(f'  ? {pad("data", KIND)} {pad(clip(one_line(path), names), names)}  made by a stage that is not settled')
        for path in one.undecided
    ]
    if not rows:
        return undecided
    counted = ', '.join(_nouns(kind, number) for kind, number in Counter(row.kind for row in rows).items())
    if changed and not everything:
        return [*map(Line, wrap(f'Unchanged: {counted} (mlops explain -v shows them)', columns)), *undecided]
    shown = rows if everything or len(rows) <= SHOWN else rows[:SHOWN]
    lines = [*map(Line, wrap(f'{"Unchanged" if changed else "Made of"}: {counted}', columns))]
    lines += [_row_line(row, columns, names, everything) for row in shown]
    if len(shown) < len(rows):
        lines.append(Line(f'    and {len(rows) - len(shown):,} more (mlops explain -v)'))
    return lines + undecided


def _nouns(kind: EntryKind, number: int) -> str:
    """``1 command``, ``3 code files``."""
    many = {'code': 'code files', 'data': 'data', 'environment': 'environment values'}.get(kind, f'{kind}s')
    return f'{number:,} {many if number != 1 else many.removesuffix("s")}'


def _row_line(row: Row, columns: int, names: int, everything: bool) -> Line:
    name = one_line(row.name)
    head = f'  {MARKS[row.state]} {pad(row.kind, KIND)} {pad(name if everything else clip(name, names), names)}  '
    before, after = _short(row, row.before), _short(row, row.after)
    text = f'{before} -> {after}' if row.state == 'changed' else before if row.state == 'gone' else after
    return Line((head + (text if everything else clip(text, max(20, columns - cells(head))))).rstrip())


def _short(row: Row, text: str | None) -> str:
    """A component's value as people write it."""
    if text is None:
        return 'none'
    if text == 'absent':
        return 'absent'
    if text.startswith('blake3:'):
        return text[7:15]
    found = json.loads(text)
    if row.kind == 'command' and isinstance(found, dict):
        shown = found.get('cmd') or ' '.join(found.get('argv', ()))
        return value(shown + (f' (in {found["wdir"]})' if 'wdir' in found else ''), 100)
    if row.kind == 'output' and isinstance(found, dict):
        return 'kept when it starts (persist)' if found.get('persist') else ''
    if row.kind == 'environment' and row.name.startswith('secret:'):
        return 'a secret: its name counts, never its value'
    if row.kind in ('data', 'code') and isinstance(found, dict):
        return 'which files it means'
    return value(found if isinstance(found, str) else text, 100)


def _results(one: Explanation, columns: int) -> list[Line]:
    """What else the same inputs led to, result by result, and what can be done about it."""
    step = one.step
    if not step.rivals:
        return []
    lines = [Line(f'Not deterministic: the same inputs led to {count(len(step.rivals) + 1, "result")}', 'Not deterministic')]
    here = [f'{one_line(name)} {_figure(now)}' for name, now, _ in numbers_apart(step.rivals)]
    rows = [('here', run_name(step.run), here)]
    for other in step.rivals:
        numbers = [f'{one_line(name)} {_figure(there)}' for _, name, _, there in other.metrics]
        measured = {file for file, *_ in other.metrics}
        numbers += [f'another {one_line(path)}' for path in other.differs if path not in measured]
        rows.append(('also', run_name(other.run), numbers))
    widest = max(cells(name) for _, name, _ in rows)
    for word, name, parts in rows:
        head = f'    {word:<{KIND}} {pad(one_line(name), widest)}  '
        lines.append(Line((head + fitting(parts, max(columns - cells(head), 20))).rstrip()))
    if all(other.tolerated for other in step.rivals):
        return [*lines, *_indented('within the tolerance that metrics: declares', columns)]
    choice = step.run.partition('-')[2] or 'RUN'
    advice = f'fix what is random (a seed); or choose one: mlops accept {one_line(choice)} --reason TEXT; '
    return [*lines, *_indented(advice + 'or declare how far metrics may differ (tolerance, under metrics)', columns)]


def _figure(number: float | int | None) -> str:
    return 'none' if number is None else repr(number)


def _indented(text: str, columns: int) -> list[Line]:
    return [Line(f'    {line}') for line in wrap(text, max(columns - 4, 30))]


def _surroundings(one: Explanation, columns: int, everything: bool) -> list[Line]:
    """Under what else a result to restore was made."""
    found = one.step.surroundings
    if not found:
        return []
    shown = found if everything else found[:SURROUNDINGS]
    names = max(cells(one_line(each.name)) for each in shown)
    lines = [Line('Made in another environment')]
    for each in shown:
        then, here = one_line(each.then or 'none'), one_line(each.here or 'none')
        lines.append(Line(clip(f'    {pad(one_line(each.name), max(names, KIND))} {then}, here {here}', columns)))
    if len(shown) < len(found):
        lines.append(Line(f'    and {len(found) - len(shown):,} more (mlops explain -v)'))
    return lines


def _accepted(one: Explanation, columns: int, everything: bool) -> list[Line]:
    """Who made the result count, and what was different then."""
    accepted = one.step.accepted
    if accepted is None:
        return []
    lines = [Line('Accepted'), *_indented(one_line(blessing(accepted)), columns)]
    lines += _indented(f'on {one_line(accepted.host)}; {one_line(run_name(accepted.run))} made it', columns)
    texts = [reason(Reason(*row)) for row in accepted.differed]  # type: ignore[arg-type]
    shown = texts if everything else some(texts, SURROUNDINGS)
    return [*lines, *(line for text in shown for line in _indented(f'differed then: {text}', columns))]


def _code(one: Explanation, columns: int, everything: bool) -> list[Line]:
    texts: list[tuple[str, str]] = []
    if one.python:
        texts.append(('python', one_line(one.python)))
    if one.files:
        names = [one_line(path) for path in one.files]
        listed = ', '.join(names if everything else some(names, FILES))
        texts.append(('code', f'{count(len(names), "file")}: {listed}'))
    if one.modules:
        texts.append(('imports', ', '.join(map(one_line, one.modules if everything else some(list(one.modules), 10)))))
    texts += [('code unknown', one_line(sentence)) for sentence in one.unknown]
    lines = []
    for name, text in texts:
        room = max(columns - KIND - 5, 30)
        for index, line in enumerate(wrap(text, room)):
            lines.append(Line(f'    {pad("" if index else name, KIND)} {line}', '' if index else name))
    return [Line('Found'), *lines] if lines else []
