"""Where two things part, as lines.  Values in, lines out."""

from __future__ import annotations

from mlops_cli.cli.console import Line, one_line
from mlops_cli.cli.screens.branches import broken, few
from mlops_cli.cli.screens.lineage import MOST, note_lines
from mlops_cli.cli.words import reason, value
from mlops_cli.experiments.lineage_diff import LineageDiff, Pair
from mlops_cli.report.lineage_facts import maker_facts


def diff_lines(found: LineageDiff, columns: int, *, full: bool = False) -> list[Line]:
    """``full``: pairs that are the same or only follow, one by one."""
    lines = [Line(text) for target in (found.before, found.after) for text in broken(one_line(target.title), columns)]
    said = dict.fromkeys((*found.before.said, *found.after.said))
    lines += [Line(f'  {row}') for text in said for row in broken(one_line(text), columns - 2)]
    if not found.pairs and not found.alone:
        return [*lines, Line('Nothing recorded here made either of them, so there is nothing to compare.')]
    points = found.points
    if found.pairs and not points and not found.alone:
        lines.append(Line('The same: every result before them is the same.'))
    for pair in points:
        lines += [Line(''), *_pair_lines(pair, columns, full)]
    rest = [pair for pair in found.pairs if pair.state == 'follows']
    if rest:
        lines.append(Line(''))
        names = few([one_line(pair.after.name) for pair in rest], full)
        lines += [Line(text) for text in broken(f'Differ only in what they read: {", ".join(names)}', columns)]
    same = [pair for pair in found.pairs if pair.state == 'same']
    if same and points:
        names = few([one_line(pair.after.name) for pair in same], full)
        lines += [Line(text) for text in broken(f'The same: {", ".join(names)}', columns)]
    for later in (False, True):
        names = [one_line(made.name) for made, second in found.alone if second == later]
        if names:
            where = f'Only before {"the second" if later else "the first"}'
            lines += [Line(text) for text in broken(f'{where}: {", ".join(few(names, full))}', columns)]
    return lines + note_lines(found.notes, columns)


def _pair_lines(pair: Pair, columns: int, full: bool) -> list[Line]:
    one, two = one_line(pair.before.name), one_line(pair.after.name)
    said: set[str] = set()
    names = one if one == two else f'{one} and {two}'
    lines = [Line(text) for text in broken(f'{names} part here', columns)]
    for sign, made in (('-', pair.before), ('+', pair.after)):
        run = f'run {made.maker.short}' if made.maker.short else 'made by nobody recorded here'
        told = ', '.join([run, *(maker_facts(made) if made.maker.run not in said else ())])
        said.add(made.maker.run)
        lines += [Line(f'  {sign} {text}') for text in broken(one_line(told), columns - 4)]
    texts = [reason(own) for own in pair.own]
    if pair.state == 'unstable':
        texts.append('the same key, and other outputs: the stage is not deterministic, or its environment matters')
    if pair.state == 'unknown':
        texts.append('what one of them was made of is not recorded here')
    for text in few(texts, full) if len(texts) > MOST else texts:
        lines += [Line(f'  {row}' if number == 0 else f'      {row}') for number, row in enumerate(broken(text, columns - 6))]
    if pair.follows:
        names = ', '.join(few([one_line(name) for name in pair.follows], full))
        lines += [Line(f'  {row}') for row in broken(f'and, because of stages before it: {names}', columns - 2)]
    shown = [f'{one_line(name)} {value(before)} -> {value(after)}' for name, before, after in pair.environment]
    if shown:
        lines += [Line(f'  {row}') for row in broken(f'made under: {", ".join(few(shown, full))}', columns - 2)]
    return lines
