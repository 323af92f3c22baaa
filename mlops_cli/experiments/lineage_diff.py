"""Where two chains of results part: for each pair of results, what differs of their own, and what only follows from before.

Both chains are walked from their ends at once: two results that read something at the same place are a pair.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from mlops_cli.core.classes import dataclass, replace
from mlops_cli.core.manifest import Entry, Manifest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.experiments.lineage_model import Made, Source, Target, Upstream
from mlops_cli.experiments.lineage_records import Records
from mlops_cli.plan.facts import Facts
from mlops_cli.plan.model import Reason
from mlops_cli.plan.reasons import reasons_for
from mlops_cli.records.pins import Pin
from mlops_cli.run.outlook import facts_of
from mlops_cli.store.objects import Damaged, MissingObject

# same: one result.  diverged: something of its own differs.  follows: only what it read differs.  unstable: the same key, and
# other outputs.  unknown: what one of them was made of is not recorded here.
State = Literal['same', 'diverged', 'follows', 'unstable', 'unknown']


@dataclass(frozen=True)
class Pair:
    """Two results in the same place of two chains.  ``own``: what differs that no stage before them made; ``follows``: names of
    inputs that differ because of a pair before.  ``environment``: (name, before, after) of what they ran under."""

    before: Made
    after: Made
    state: State
    own: tuple[Reason, ...] = ()
    follows: tuple[str, ...] = ()
    environment: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class LineageDiff:
    """``pairs``: those furthest upstream first.  ``alone``: (result, whether it is of the second chain) without a partner.
    ``reads``: (number of a pair, number of one that it read from)."""

    before: Target
    after: Target
    pairs: tuple[Pair, ...]
    alone: tuple[tuple[Made, bool], ...]
    notes: tuple[str, ...] = ()
    reads: tuple[tuple[int, int], ...] = ()

    @property
    def points(self) -> tuple[Pair, ...]:
        """Where the chains first part: pairs that differ by themselves."""
        return tuple(pair for pair in self.pairs if pair.state in ('diverged', 'unstable', 'unknown'))


def compare(records: Records, before: Upstream, after: Upstream) -> LineageDiff:
    """The two chains, result by result."""
    pairs = _paired(before, after)
    facts = facts_of(records.bench)
    order = _ordered(pairs)
    found = [_judged(records, facts, before, after, one, two, pairs) for one, two in order]
    place = {pair: number for number, pair in enumerate(order)}
    reads = tuple(dict.fromkeys((place[pair], place[other]) for pair in order for other in pairs[pair]))
    lefts, rights = {one for one, _ in pairs}, {two for _, two in pairs}
    alone = [(made, False) for name, made in before.results.items() if name not in lefts and name not in after.results]
    alone += [(made, True) for name, made in after.results.items() if name not in rights and name not in before.results]
    notes = tuple(dict.fromkeys((*before.notes, *after.notes)))
    return LineageDiff(before.target, after.target, tuple(found), tuple(alone), notes, reads)


Pairs = dict[tuple[str, str], list[tuple[str, str]]]


def _paired(before: Upstream, after: Upstream) -> Pairs:
    """Each pair of ids, with the pairs that it read from."""
    waiting = list(_tops(before, after))
    pairs: Pairs = {}
    while waiting:
        pair = waiting.pop()
        if pair not in pairs:
            pairs[pair] = list(_read_by(before, after, pair))
            waiting += pairs[pair]
    return pairs


def _read_by(before: Upstream, after: Upstream, pair: tuple[str, str]) -> Iterator[tuple[str, str]]:
    if pair[0] == pair[1]:
        return  # all before it is the same, too
    one, two = (
        {source.entry.name: source.makers[0] for source in chain.sources.get(name, ()) if source.makers}
        for chain, name in zip((before, after), pair, strict=True)
    )
    for name, maker in one.items():
        if name in two and maker in before.results and two[name] in after.results:
            yield maker, two[name]


def _tops(before: Upstream, after: Upstream) -> Iterator[tuple[str, str]]:
    """Of two targets with a result each, these; else those of the same stage."""
    if len(before.target.makers) == len(after.target.makers) == 1:
        yield before.target.makers[0], after.target.makers[0]
        return
    stages = {after.results[name].stage: name for name in after.target.makers}
    for name in before.target.makers:
        stage = before.results[name].stage
        if stage in stages:
            yield name, stages[stage]


def _ordered(pairs: Pairs) -> list[tuple[str, str]]:
    """Each pair after the pairs that it read from."""
    waiting = [(pair, False) for pair in reversed(list(pairs))]
    seen: set[tuple[str, str]] = set()
    order: list[tuple[str, str]] = []
    while waiting:
        pair, done = waiting.pop()
        if done:
            order.append(pair)
        elif pair not in seen:
            seen.add(pair)
            waiting.append((pair, True))
            waiting += [(other, False) for other in pairs[pair] if other not in seen]
    return order


def _judged(
    records: Records,
    facts: Facts,
    before: Upstream,
    after: Upstream,
    one: str,
    two: str,
    pairs: Pairs,
) -> Pair:
    left, right = before.results[one], after.results[two]
    surroundings = tuple(_environment(left, right))
    if one == two:
        return Pair(left, right, 'same')
    if left.manifest is None or right.manifest is None:
        return Pair(left, right, 'unknown', environment=surroundings)
    if left.key == right.key:
        return Pair(left, right, 'unstable', environment=surroundings)
    made = [{s.entry.sort_key: s for s in chain.sources.get(name, ()) if s.makers}
            for chain, name in ((before, one), (after, two))]  # fmt: skip
    explained = {key for key in made[0].keys() & made[1].keys() if (made[0][key].makers[0], made[1][key].makers[0]) in pairs}
    changes = right.manifest.changes_since(left.manifest)
    follows = tuple(change.entry.name for change in changes if change.entry.sort_key in explained)
    facts = _between(records, facts, left, right, [*made[0].values(), *made[1].values()])
    known = Pin(_without(left.manifest.entries, explained), left.outputs)
    own = reasons_for(_without(right.manifest.entries, explained), known, facts)
    state: State = 'diverged' if own else 'follows'
    return Pair(left, right, state, own, follows, surroundings)


def _without(entries: Sequence[Entry], left_out: set[tuple[str, str]]) -> Manifest:
    return Manifest.of(entry for entry in entries if entry.sort_key not in left_out)


def _between(records: Records, facts: Facts, left: Made, right: Made, sources: Sequence[Source]) -> Facts:
    """What can be asked about the sources of two results, in place of those of the workspace."""
    folders = {source.entry.name for source in sources if source.ref is not None and source.ref.kind == 'tree'}
    folders |= {path for path, ref in records.tracked.items() if ref.kind == 'tree'}
    root = records.bench.root

    def source(made: Made, path: str) -> bytes | None:
        tree = made.entry.sources if made.entry else None
        ref = records.part(tree, path) if tree is not None else None
        try:
            return records.node(ref.digest) if ref is not None and ref.kind != 'tree' else None
        except (MissingObject, Damaged):
            return None

    def stored(refs: tuple[ObjectRef, ...]) -> bool:
        return records.bench.store.has([ref.digest for ref in refs]) == {ref.digest for ref in refs}

    return replace(
        facts,
        source=lambda _key, path: source(left, path),
        present=lambda path: source(right, path),
        folder=lambda path: path in folders or os.path.isdir(root.full(path)),
        stored=stored,
        read=records.node,
    )


def _environment(left: Made, right: Made) -> Iterator[tuple[str, str, str]]:
    if left.entry is None or right.entry is None:
        return
    before, after = dict(_flat(left.environment)), dict(_flat(right.environment))
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield name, before.get(name, 'none'), after.get(name, 'none')


def _flat(environment: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in environment.items():
        if isinstance(value, Mapping):
            yield from ((str(inner), str(text)) for inner, text in value.items())
        else:
            yield name, str(value)
