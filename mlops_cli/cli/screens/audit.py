"""What stages opened and did not declare.  Values in, lines out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlops_cli.checks.audit.model import Audited
from mlops_cli.checks.audit.patch import Patch
from mlops_cli.cli.console import Line, one_line, wrap
from mlops_cli.cli.words import some
from mlops_cli.core.units import plural
from mlops_cli.report.audit_report import WORDS, remark, summary

LABEL = 12  # columns of what stands before a path
ROWS = 20  # of one kind of a stage
BY = {'strace': 'strace', 'python': 'a hook in Python'}


def audited_lines(
    found: Sequence[Audited], limits: str, patch: Patch, written: Sequence[str], columns: int
) -> Iterator[Line]:
    """``limits``: what the way that was taken cannot see, '' for nothing."""
    by = BY.get(found[0].by, '') if found else ''
    for one in found:
        if one.clean and not one.unused:
            continue
        yield Line(f'{one_line(one.stage)}: {one_line(summary(one))}', one_line(one.stage))
        yield from _rows(one, columns)
        yield Line('')
    if patch.files and not written:
        yield from (Line(text) for text in one_line_each(patch.diff))
        yield Line('')
    for sentence in patch.left:
        yield from (Line(text) for text in wrap(f'by hand: {one_line(sentence)}', columns))
    clean = [one.stage for one in found if one.clean]
    if clean:
        named = 'all that they open is declared' if len(clean) > 1 else 'all that it opens is declared'
        yield from (Line(text) for text in wrap(f'{", ".join(some([one_line(name) for name in clean], 6))}: {named}', columns))
    yield from (Line(text) for text in wrap(f'{last(found)} Seen by {by}{f": {limits}" if limits else ""}.', columns))
    if written:
        yield Line(f'Written: {", ".join(map(one_line, written))}. See it: git diff')
    elif patch.files:
        yield Line('Write it into the pipeline: the same again with --write')


def one_line_each(text: str) -> Iterator[str]:
    return (one_line(line) for line in text.splitlines())


def _rows(one: Audited, columns: int) -> Iterator[Line]:
    for kind, word in WORDS.items():
        rows = [row for row in one.undeclared if row.kind == kind]
        for row in rows[:ROWS]:
            yield from _row(word, one_line(row.path + remark(row)), columns)
        if len(rows) > ROWS:
            yield from _row('', f'and {len(rows) - ROWS:,} more: --json has them', columns)
    if one.beyond:
        yield from _row('', f'and {one.beyond:,} paths that are not listed', columns)
    for dep in one.unused:
        yield from _row('not opened', one_line(dep.dep), columns)


def _row(label: str, text: str, columns: int) -> Iterator[Line]:
    for index, part in enumerate(wrap(text, max(columns - LABEL - 2, 40))):
        yield Line(f'  {"" if index else label:<{LABEL}}{part}'.rstrip())


def last(found: Sequence[Audited]) -> str:
    wrong = sum(not one.clean for one in found)
    stages = plural(len(found), 'stage')
    return f'{wrong} of {stages} open what they do not declare.' if wrong else f'{stages}, nothing undeclared.'
