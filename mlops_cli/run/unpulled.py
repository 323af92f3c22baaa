"""Stages whose results are recorded while their outputs are not on this machine: a remote may have them, as in a new clone.
Asks no network."""

from __future__ import annotations

from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import UserError
from mlops_cli.core.units import plural
from mlops_cli.plan.model import Plan, Step, Verdict
from mlops_cli.plan.planner import ABSENT, NOT_STORED
from mlops_cli.run.routes import kept_here
from mlops_cli.run.workbench import Workbench

NAMED = 3  # stages in a sentence


@dataclass(frozen=True, slots=True)
class Unpulled:
    """``remote``: the usual one, empty where none is.  ``stages``: would run for nothing but their outputs."""

    remote: str
    stages: tuple[str, ...]

    @property
    def outputs(self) -> str:
        """``outputs of prepare, train``."""
        few = len(self.stages) <= NAMED
        return f'outputs of {", ".join(self.stages) if few else plural(len(self.stages), "stage")}'

    @property
    def where(self) -> str:
        return f'the remote {self.remote}' if self.remote else 'a remote'

    @property
    def sentence(self) -> str:
        return f'{self.outputs} are recorded, but not here; {self.where} may have them'


def unpulled(bench: Workbench, plan: Plan) -> Unpulled | None:
    """None where there is no remote, or nothing that one could spare a run."""
    if not bench.config.remotes:
        return None
    stays = kept_here(bench.pipeline)
    stages = tuple(step.stage for step in plan.steps if _only_away(step, stays))
    if not stages:
        return None
    from mlops_cli.run.remotes import chosen  # for few: it brings a lot along

    try:
        return Unpulled(chosen(bench.config.remotes, ''), stages)
    except UserError:
        return Unpulled('', stages)


def _only_away(step: Step, stays: frozenset[str]) -> bool:
    return step.verdict is Verdict.RUN and bool(step.reasons) and all(
        one.kind == 'output' and one.detail in (ABSENT, NOT_STORED) and one.subject not in stays for one in step.reasons
    )
