"""Trees of branches with facts below their heads: folded, broken to the width, begun anew where they would run out of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mlops_cli.cli.console import Line, cells, clip, fill, wrap
from mlops_cli.cli.words import some

LABEL = 12  # columns of the word in front of a fact
FOLD = 3  # results of one group from which they share a branch
NAMES = 6  # files, parameters, packages that are named
LEAST = 12  # columns that a text has, however narrow the terminal
OF_ONE_RUN = ('by', 'commit')  # facts that say nothing of many runs
STATES = {None: '', True: ', the present state', False: ', no longer the present state'}
DEEP = 0.45  # of the columns that branches may take before a text


@dataclass
class Branch:
    """A branch of a drawn tree: its head, facts as (word, texts), and what hangs below it.  ``word``: the stage, which stands
    in the head; empty for a leaf.  ``lead``: what stands in front of it.  ``present``: whether the present state leads to it.
    ``count``: how many branches it stands for.  ``run``: the id of the run that made it; ``said``: what the head says of it."""

    head: str
    word: str = ''
    facts: list[tuple[str, list[str]]] = field(default_factory=list)
    below: list[Branch] = field(default_factory=list)
    lead: str = ''
    present: bool | None = None
    count: int = 1
    run: str = ''
    said: str = ''

    @property
    def bare(self) -> bool:
        """It says nothing but its head."""
        return not self.facts and not self.below


def draw(branch: Branch, columns: int) -> Iterator[Line]:
    """The lines of a tree; long texts are broken beneath themselves, and what would stand too far right begins anew below."""
    waiting = [branch]
    while waiting:
        stack = [(waiting.pop(), '', '')]
        later: list[Branch] = []
        while stack:
            one, first, rest = stack.pop()
            if one.below and cells(first) > columns * DEEP:
                later.append(one)
                one = Branch(f'{one.head} (continued below)', one.word)
            under = rest + ('│  ' if one.below else '   ')
            yield from _lines(one, first, under, columns)
            for number, child in reversed(list(enumerate(one.below))):
                last = number == len(one.below) - 1
                stack.append((child, rest + ('└─ ' if last else '├─ '), rest + ('   ' if last else '│  ')))
        waiting += reversed(later)
        if waiting:
            yield Line('')


def _lines(one: Branch, first: str, under: str, columns: int) -> Iterator[Line]:
    for number, text in enumerate(broken(one.head, columns - cells(under))):
        yield Line(f'{first if number == 0 else under}{text}', one.word if number == 0 else '')
    room = columns - cells(under) - LABEL - 1
    for word, texts in one.facts:
        rows = [row for text in fill(texts, max(room, LEAST)) for row in broken(text, room)]
        for number, row in enumerate(rows):
            yield Line(f'{under}{word if number == 0 else "":<{LABEL}} {row}'.rstrip())


def broken(text: str, columns: int) -> list[str]:
    """A text in lines of so many columns: at blanks, and words that are longer anywhere."""
    room = max(columns, LEAST)
    rows: list[str] = []
    for row in wrap(text, room):
        while cells(row) > room:
            part = clip(row, room)[:-1]
            rows.append(part)
            row = row[len(part) :]
        rows.append(row)
    return rows


def folded(branches: Sequence[Branch]) -> list[Branch]:
    """Branches of many instances or results of one stage become one, at every level."""
    tops = _siblings(branches, False)
    waiting = list(tops)
    while waiting:
        one = waiting.pop()
        one.below = _siblings(one.below, one.count > 1)
        waiting += one.below
    return tops


def _siblings(branches: Sequence[Branch], brief: bool) -> list[Branch]:
    """``brief``: they come from many branches, so not every leaf is named."""
    whole = {(branch.word, branch.lead) for branch in branches if not branch.bare}
    groups: dict[tuple[str, bool | None, str], list[Branch]] = {}
    for branch in branches:
        group = branch.word.partition('@')[0]
        if not branch.bare or not group:
            groups.setdefault((group, branch.present, '' if group else branch.head), []).append(branch)
        elif (branch.word, branch.lead) not in whole:  # as above, and not just above
            groups.setdefault((group, None, 'bare'), []).append(branch)
    found: list[Branch] = []
    leaves: list[Branch] = []
    for (group, _, _), members in groups.items():
        distinct = list({one.head: one for one in members}.values()) if members[0].bare else members
        if not group:
            leaves += distinct
        else:
            found += [_merged(group, distinct)] if len(distinct) >= FOLD else distinct
    if brief and len(leaves) > NAMES:
        leaves = [*leaves[:NAMES], Branch(f'and {len(leaves) - NAMES:,} more')]
    return found + leaves


def _merged(group: str, members: Sequence[Branch]) -> Branch:
    first = members[0]
    instances = dict.fromkeys(one.word.partition('@')[2] for one in members)
    name = group if first.word == group else f'{group}@*'
    count = str(len(members)) if len(members) == len(instances) else f'{len(members):,} results'
    head = first.head.replace(first.word, f'{name} ({count})', 1)
    runs = {one.run for one in members if one.run}
    if len(runs) > 1 and first.said:
        last = max(runs).partition('-')[2]
        head = head.replace(first.said, f'in {len(runs):,} runs, the last {last}{STATES[first.present]}', 1)
    if first.lead:
        head = head.replace(first.lead, f'{first.lead} and {len(members) - 1:,} more', 1)
    facts: dict[str, dict[str, None]] = {'instances': instances} if name != group and not first.bare else {}
    for one in members:
        for word, texts in one.facts:
            if len(runs) > 1 and word in OF_ONE_RUN:
                continue
            facts.setdefault(word, {}).update(dict.fromkeys(texts))
    below = [branch for one in members for branch in one.below]
    shown = [(word, few(list(texts), False)) for word, texts in facts.items()]
    return Branch(head, name, shown, below, first.lead, first.present, len(members))


def few(texts: Sequence[str], full: bool) -> list[str]:
    """All of them, or the first few and how many more."""
    return list(texts) if full else some(texts, NAMES)
