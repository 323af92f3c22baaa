"""What was asked, and which stages and wishes that means.  Needs nothing of what makes it happen, so that status is quick."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from mlops_cli.core.classes import dataclass
from mlops_cli.pipeline.spec import Stage
from mlops_cli.plan.facts import Wishes
from mlops_cli.plan.model import Plan, Verdict
from mlops_cli.plan.select import select
from mlops_cli.run.workbench import Workbench

if TYPE_CHECKING:  # and needed where a stage may run on any host
    from mlops_cli.run.choosing import Chooser
    from mlops_cli.run.watching import Watch

LOCAL = 'local'  # as the name of a host: this machine
ANY = 'any'  # the same: the cheapest of the settings that has what the stage asks for


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked of ``run``.  ``jobs`` 0: as config says, else as many as processors.  ``executor``: the name of what
    starts the stages' processes, empty for this machine.  ``host``: where all stages run, whatever they say themselves; empty:
    as they say.  ``over_budget``: budgets hold nothing up.  ``watch``: what looks on while stages run.
    ``pulled``: what the remote has was brought first."""

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
    watch: Watch | None = None
    pulled: bool = False


def chosen(bench: Workbench, request: Request) -> tuple[str, ...]:
    """The stages a request is about, topological.  Raises UserError."""
    return select(bench.pipeline, bench.edges, bench.order, request.stages, only=request.only, downstream=request.downstream)


def wishes_of(bench: Workbench, request: Request) -> Wishes:
    named = select(bench.pipeline, bench.edges, bench.order, request.stages, only=True, downstream=request.downstream)
    return Wishes(frozenset(named) if request.force else frozenset(), request.lookup, bool(bench.overlay))


class Routes:
    """Where the stages of a run go.  ``asked``: for all of them, '' as each says."""

    def __init__(self, bench: Workbench, asked: str = '') -> None:
        self._bench, self.asked = bench, asked

    def named(self, stage: Stage) -> str:
        """What it is told, which may be ANY."""
        name = self.asked or stage.host
        return '' if name == LOCAL else name

    def of(self, stage: Stage) -> str:
        """The name of the host that a stage goes to; '' for this machine, ANY where none has what it asks for."""
        name = self.named(stage)
        return name if name != ANY else self.chooser.choice(stage).host or ANY

    def is_in_pods(self, name: str) -> bool:
        """Whether each job there is in a container already."""
        host = self._bench.config.hosts.get(name)
        return host is not None and host.url.startswith('k8s://')

    @cached_property
    def chooser(self) -> Chooser:
        from mlops_cli.run.choosing import Chooser

        return Chooser(self._bench)


def going_anywhere(bench: Workbench, plan: Plan, routes: Routes) -> list[Stage]:
    """The stages that are to run on any host, as far as the plan can tell."""
    stages = [bench.pipeline.stages[step.stage] for step in plan.steps if step.verdict in (Verdict.RUN, Verdict.MAYBE)]
    return [stage for stage in stages if routes.named(stage) == ANY]


def by_host(bench: Workbench, plan: Plan, routes: Routes) -> dict[str, list[str]]:
    """Host -> the stages that are to run on it, as far as the plan can tell."""
    found: dict[str, list[str]] = {}
    for step in plan.steps:
        name = routes.of(bench.pipeline.stages[step.stage])
        if name and step.verdict in (Verdict.RUN, Verdict.MAYBE):
            found.setdefault(name, []).append(step.stage)
    return found
