"""The world as facts for the planner, and the plan made of them: one for status, plan, explain and run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from mlops_cli.core.classes import dataclass
from mlops_cli.core.collector import without_collector
from mlops_cli.core.digest import Digest
from mlops_cli.fingerprint.environment import environment_of
from mlops_cli.fingerprint.stage import Draft, read_file
from mlops_cli.plan.facts import Computed, Facts, Known, Wishes
from mlops_cli.plan.forecast import estimate
from mlops_cli.plan.model import UNKNOWN, Estimate, Plan, Step, Verdict
from mlops_cli.plan.planner import make_plan
from mlops_cli.records.metrics import recorded
from mlops_cli.records.runs import Run
from mlops_cli.run.placed import Earlier, earlier, placed
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.objects import Damaged, MissingObject
from mlops_cli.store.results import ResultEntry
from mlops_cli.store.tree import find

if TYPE_CHECKING:
    from mlops_cli.run.discovered import Discovered

FEW = 300  # results in a cache that are worth reading to know that none of them is of use
HISTORY_RUNS = 50  # run records read for estimates


@dataclass(frozen=True)
class Outlook:
    """A plan, and the facts it was made of."""

    plan: Plan
    facts: Facts
    wishes: Wishes


def facts_of(bench: Workbench) -> Facts:
    """What the planner may ask, answered from the project.  Nothing is asked before the planner asks it."""
    history = _History(bench)
    discovered = _discovered(bench)
    places: dict[str, Mapping[str, Any]] = {}

    def results(key: Digest) -> tuple[Computed, ...]:
        if bench.elsewhere is not None:
            bench.elsewhere.bring(key)
        entries = [entry for entry in bench.results.lookup(key) if not entry.suspect]
        entries = [*discovered.counting(key, entries)] if discovered else entries
        entries.sort(key=lambda entry: (entry.created, entry.entry8))
        return tuple(map(_computed, entries))

    def surroundings(stage: str) -> Mapping[str, Any]:
        if stage not in places:
            places[stage] = environment_of(bench.drafts[stage].found, bench.environ)
        return places[stage]

    def source(key: Digest, path: str) -> bytes | None:
        for entry in bench.results.lookup(key):
            if entry.sources is not None and not bench.store.missing([entry.sources]):
                ref = find(entry.sources, path, bench.store.read)
                if ref is not None:
                    return bench.store.read(ref.digest)
        return None

    @cache
    def kept(stage: str) -> Earlier | None:
        one = placed(bench, stage)
        return earlier(bench, one) if one is not None else None

    def past(stage: str) -> tuple[Known, ...]:
        pins = bench.pins.of_stage(stage)
        one = placed(bench, stage)
        if one is None or any(pin.key == one.key and dict(pin.outputs) == dict(one.outputs) for pin in pins):
            return pins
        found = kept(stage)
        return pins if found is None else (*pins, found)

    return Facts(
        pins=(lambda key: discovered.counting(key, bench.pins.of_key(key))) if discovered else bench.pins.of_key,
        results=results,
        history=past,
        held=lambda path: bench.workspace.ref(path, ignore=False),
        stored=lambda refs: not bench.store.missing(refs),
        read=_Reader(bench).read,
        source=source,
        present=lambda path: read_file(bench.workspace, path) if bench.workspace.ref(path) is not None else None,
        folder=lambda path: os.path.isdir(bench.root.full(path)),
        estimate=history.estimate,
        accepted=bench.accepted.of_key,
        surroundings=surroundings,
        maker=history.maker,
        placed=lambda stage: placed(bench, stage),
        restorable=_Shelves(bench).restorable if bench.elsewhere is None else lambda _: True,
        **({'seen': discovered.seen} if discovered else {}),
    )


def _discovered(bench: Workbench) -> Discovered | None:
    """What audits saw, where there was any."""
    if not bench.results.discovered():
        return None
    from mlops_cli.run.discovered import Discovered

    return Discovered(bench.results, bench.workspace)


class _Shelves:
    """Which outputs the cache has results of, where it has few enough to look at each; read when first asked for."""

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench

    @cached_property
    def entries(self) -> tuple[ResultEntry, ...] | None:
        if self.bench.results.more_than(FEW):
            return None
        return tuple(entry for entry in self.bench.results.all() if not entry.suspect)

    def restorable(self, outputs: frozenset[str]) -> bool:
        if self.entries is None:
            return True
        alike = (entry for entry in self.entries if {path for path, _ in entry.outputs} == outputs)
        return any(not self.bench.store.missing([ref for _, ref in entry.outputs]) for entry in alike)


class _Reader:
    """Objects by digest, from the store; what it has lost but the workspace's outputs still hold, from these."""

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench
        self.held: dict[Digest, Callable[[], bytes]] | None = None

    def read(self, digest: Digest) -> bytes:
        """Raises MissingObject, Damaged."""
        try:
            return self.bench.store.read(digest)
        except (MissingObject, Damaged):
            if (node := self.bench.workspace.node(digest)) is not None:
                return node
            if self.held is None:
                self.held = dict(self._outputs())
            if digest not in self.held:
                raise
            return self.held[digest]()

    def _outputs(self) -> Iterator[tuple[Digest, Callable[[], bytes]]]:
        workspace = self.bench.workspace
        for path in self.bench.describer.makers:
            ref = workspace.ref(path, ignore=False)
            if ref is not None and ref.kind != 'tree':
                yield ref.digest, partial(read_file, workspace, path)
            for digest, node in workspace.nodes(path, ignore=False).items():
                yield digest, partial(bytes, node)


def _computed(entry: ResultEntry) -> Computed:
    numbers = recorded(entry.metrics, [path for path, _ in entry.outputs])
    run = str(entry.origin.get('run', ''))
    return Computed(entry.outputs, _origin(entry), dict(entry.code_bytes), entry.environment, run, numbers)


def _origin(entry: ResultEntry) -> str:
    run = str(entry.origin.get('run', '')).partition('-')[2]
    who = ', '.join(str(entry.origin[name]) for name in ('who', 'host') if entry.origin.get(name))
    if not run and entry.origin.get('accepted'):
        return f'what {who or "somebody"} accepted'
    return f'run {run}' + (f' ({who})' if who else '') if run else who


class _History:
    """What the newest run records tell; read when first asked for."""

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        return tuple(islice(self.bench.runs.newest(), HISTORY_RUNS))

    @cached_property
    def seconds(self) -> Mapping[str, Sequence[float]]:
        return self.bench.runs.durations(HISTORY_RUNS)

    def estimate(self, stage: str) -> Estimate:
        return estimate(self.seconds[stage]) if stage in self.seconds else UNKNOWN

    def maker(self, key: Digest, outs8: str) -> str:
        """The newest run that led from a key to these outputs, empty where none is among those read."""
        rows = ((run.id, one) for run in self.runs for one in run.stages if one.outs8 == outs8 and one.state == 'done')
        return next((run for run, one in rows if one.key == key), '')


def _as_decided(_draft: Draft, step: Step) -> Step:
    return step


def look(
    bench: Workbench, stages: Sequence[str], wishes: Wishes, seen: Callable[[Draft, Step], Step] = _as_decided
) -> Outlook:
    """Plans the stages (topological), with what the project knows now.  ``seen``: as ``make_plan`` has it.

    Raises UserError."""
    facts = facts_of(bench)
    with without_collector(), bench.pins.reading(), bench.workspace.looking():
        settled = bench.settled if wishes == Wishes() and seen is _as_decided else None
        make = partial(make_plan, bench.pipeline.name, order=stages, edges=bench.edges, facts=facts, wishes=wishes, seen=seen)
        plan = make(bench.drafts, settled=settled or {}, touched=settled.touched if settled else ())
        if settled and bench.relearns and all(step.verdict is Verdict.FRESH for step in plan.steps):
            bench.unsettle()
            plan = make(bench.drafts)
    return Outlook(plan, facts, wishes)
