"""The stages of a plan that may run on any host: where each goes, and why."""

from __future__ import annotations

from mlops_cli.core.errors import UserError, UserErrors
from mlops_cli.pipeline.spec import Stage
from mlops_cli.plan.model import Plan
from mlops_cli.run.choosing import Told, together
from mlops_cli.run.choosing import refusal as none_fits
from mlops_cli.run.request import ANY, Routes, going_anywhere
from mlops_cli.run.workbench import Workbench


def unplaced(bench: Workbench, plan: Plan, routes: Routes) -> UserError | None:
    """Why stages of a plan can run nowhere, if so, as far as that is known without asking anybody."""
    stages = going_anywhere(bench, plan, routes)
    if not stages or (routes.chooser.unseen and any(routes.of(stage) == ANY for stage in stages)):
        return None
    errors = [refusal_of_all(stage, routes) for stage in stages if routes.of(stage) == ANY]
    return UserErrors(errors) if errors else None


def refusal_of_all(stage: Stage, routes: Routes) -> UserError:
    """Of one for which there is no host."""
    return none_fits(stage, routes.chooser.choice(stage))


def chosen_hosts(bench: Workbench, plan: Plan, routes: Routes) -> list[Told]:
    """Which hosts were chosen for stages that may run on any, and why."""
    return together((stage.name, routes.chooser.choice(stage)) for stage in going_anywhere(bench, plan, routes))
