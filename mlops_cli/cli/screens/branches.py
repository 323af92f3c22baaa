"""Trees of branches with facts below their heads: folded, broken to the width, begun anew where they would run out of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mlops_cli.cli.console import Line, cells, clip, fill, wrap
from mlops_cli.cli.words import some
from mlops_cli.core.classes import dataclass, field

LABEL = 12  # columns of the word in front of a fact
FOLD = 3  # results of one group from which they share a branch
NAMES = 6  # files, parameters, packages that are named
LEAST = 12  # columns that a text has, however narrow the terminal
OF_ONE_RUN = ('by', 'commit')  # facts that say nothing of many runs
OF_EACH = ('made', 'metrics', 'took', 'not in git', 'accepted', 'suspect')  # facts that are told of each that shares a branch
WHOLE = '--full shows them'
STATES = {None: '', True: ', the present state', False: ', no longer the present state'}
DEEP = 0.45  # of the columns that branches may take before a text


@dataclass
class Branch:
    """A branch of a drawn tree: its head, facts as (word, texts), and what hangs below it.  ``word``: the stage, which stands
    in the head; empty for a leaf.  ``lead``: what stands in front of it.  ``present``: whether the present state leads to it.
    ``count``: how many branches it stands for.  ``run``: the id of the run that made it; ``said``: what the head says of it.
    ``origin``: what must be equal for branches to share one."""

    head: str
    word: str = ''
    facts: list[tuple[str, list[str]]] = field(default_factory=list)
    below: list[Branch] = field(default_factory=list)
    lead: str = ''
    present: bool | None = None
    count: int = 1
    run: str = ''
    said: str = ''
    origin: str = ''

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
    _say_once(tops)
    waiting = list(tops)
    while waiting:
        one = waiting.pop()
        one.below = _siblings(one.below, one.count > 1)
        _say_once(one.below)
        waiting += one.below
    return tops


def _say_once(branches: Sequence[Branch]) -> None:
    """What hangs below many instances of a stage, as above, hangs there once."""
    said: dict[tuple[str, tuple[str, ...]], str] = {}
    for one in branches:
        below = tuple(child.head for child in one.below)
        if below and all(child.bare and child.word for child in one.below):
            group = one.word.partition('@')[0], below
            if group in said:
                one.head, one.below = f'{one.head}, read the same as {said[group]}', []
            said.setdefault(group, one.word)


def natural(text: str) -> list[tuple[int, int, str]]:
    """Sorts numbers in names by what they are: 5, 9, 13."""
    parts = re.split(r'([0-9]+)', text)
    return [(1, int(part), part) if part.isdecimal() and part.isascii() else (0, 0, part) for part in parts]


def _siblings(branches: Sequence[Branch], brief: bool) -> list[Branch]:
    """``brief``: they come from many branches, so not every leaf is named."""
    whole = {(branch.word, branch.lead) for branch in branches if not branch.bare}
    groups: dict[tuple[str, bool | None, str, str], list[Branch]] = {}
    for branch in branches:
        group = branch.word.partition('@')[0]
        if not branch.bare or not group:
            groups.setdefault((group, branch.present, '' if group else branch.head, branch.origin), []).append(branch)
        elif (branch.word, branch.lead) not in whole:  # as above, and not just above
            groups.setdefault((group, None, 'bare', ''), []).append(branch)
    found: list[Branch] = []
    leaves: list[Branch] = []
    for (group, _, _, _), members in groups.items():
        distinct = list({one.head: one for one in members}.values()) if members[0].bare else members
        if not group:
            leaves += distinct
        else:
            found += [_merged(group, distinct)] if len(distinct) >= FOLD else distinct
    if brief and len(leaves) > NAMES:
        leaves = [*leaves[:NAMES], Branch(f'and {len(leaves) - NAMES:,} more')]
    return found + leaves


def _merged(group: str, found: Sequence[Branch]) -> Branch:
    members = sorted(found, key=lambda one: (natural(one.word), one.run))
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
    facts = [('instances', few(list(instances), False))] if name != group and not first.bare else []
    words = dict.fromkeys(word for one in members for word, _ in one.facts)
    for word in words:
        if word in OF_ONE_RUN:  # told of the first that a run made
            facts += [(word, texts) for one in members for said, texts in one.facts if said == word and len(runs) < 2]
        else:
            facts += _of_all(word, [(_label(one, members), dict(one.facts).get(word, [])) for one in members])
    below = [branch for one in members for branch in one.below]
    return Branch(head, name, facts, below, first.lead, first.present, len(members))


def _label(one: Branch, members: Sequence[Branch]) -> str:
    """What tells one of several results from the others: its instance, else its run."""
    instance, run = one.word.partition('@')[2], one.run.partition('-')[2]
    alone = instance and sum(other.word == one.word for other in members) == 1
    return instance if alone else ' '.join(text for text in (instance, f'run {run}' if run else '') if text)


def _of_all(word: str, found: Sequence[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    """A fact of many results: once where it is one for all, else of each what matters, so that nothing is told of another."""
    common = [text for text in found[0][1] if all(text in texts for _, texts in found)]
    if all(len(texts) == len(common) for _, texts in found):
        return [(word, few(common, False))]
    if word not in OF_EACH and word != 'params':
        kinds = len({tuple(texts) for _, texts in found})
        return [(word, [*few(common, False), f'{kinds} different {"ones" if not common else "sets with others"}: {WHOLE}'])]
    rows = [few(common, False)] if common else []
    own = [(label, [text for text in texts if text not in common]) for label, texts in found]
    own = [(label, texts) for label, texts in own if texts]
    rows += [[f'{label}: {", ".join(few(texts, False))}' if label else ', '.join(texts)] for label, texts in own[:NAMES]]
    if len(own) > NAMES:
        rows.append([f'{len(own) - NAMES:,} more: {WHOLE}'])
    return [(word if number == 0 else '', row) for number, row in enumerate(rows)]


def few(texts: Sequence[str], full: bool) -> list[str]:
    """All of them, or the first few and how many more."""
    return list(texts) if full else some(texts, NAMES)
