"""What was asked, and which stages and wishes that means.  Needs nothing of what makes it happen, so that status is quick."""

from __future__ import annotations

from mlops_cli.core.classes import dataclass
from mlops_cli.pipeline.spec import Stage
from mlops_cli.plan.facts import Wishes
from mlops_cli.plan.model import Plan, Verdict
from mlops_cli.plan.select import select
from mlops_cli.run.workbench import Workbench

LOCAL = 'local'  # as the name of a host: this machine


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked of ``run``.  ``jobs`` 0: as config says, else as many as processors.  ``executor``: the name of what
    starts the stages' processes, empty for this machine.  ``host``: where all stages run, whatever they say themselves; empty:
    as they say.  ``over_budget``: budgets hold nothing up."""

    stages: tuple[str, ...] = ()
    jobs: int = 0
    force: bool = False
    lookup: bool = True
    keep_going: bool = False
    only: bool = False
    downstream: bool = False
    isolate: str = ''
    lock_timeout: float | None = None
    command: tuple[str, ...] = ()
    executor: str = ''
    host: str = ''
    over_budget: bool = False


def chosen(bench: Workbench, request: Request) -> tuple[str, ...]:
    """The stages a request is about, topological.  Raises UserError."""
    return select(bench.pipeline, bench.edges, bench.order, request.stages, only=request.only, downstream=request.downstream)


def wishes_of(bench: Workbench, request: Request) -> Wishes:
    named = select(bench.pipeline, bench.edges, bench.order, request.stages, only=True, downstream=request.downstream)
    return Wishes(frozenset(named) if request.force else frozenset(), request.lookup, bool(bench.overlay))


def host_of(stage: Stage, asked: str) -> str:
    """The name of the host that a stage goes to; '' for this machine.  ``asked``: for all stages of the run, or ''."""
    name = asked or stage.host
    return '' if name == LOCAL else name


def by_host(bench: Workbench, plan: Plan, asked: str) -> dict[str, list[str]]:
    """Host -> the stages that are to run on it, as far as the plan can tell."""
    found: dict[str, list[str]] = {}
    for step in plan.steps:
        name = host_of(bench.pipeline.stages[step.stage], asked)
        if name and step.verdict in (Verdict.RUN, Verdict.MAYBE):
            found.setdefault(name, []).append(step.stage)
    return found
