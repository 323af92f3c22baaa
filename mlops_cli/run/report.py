"""What came of a run, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.errors import ExitCode
from mlops_cli.run.states import State

if TYPE_CHECKING:
    from mlops_cli.core.events import StageEnded
    from mlops_cli.core.refs import ObjectRef
    from mlops_cli.plan.model import Plan, Rival, Step
    from mlops_cli.records.runs import Run
    from mlops_cli.usage.cost import Cost


@dataclass(frozen=True, slots=True)
class Settled:
    """``outputs``: what the stage made, empty unless it is good.  ``rivals``: other results of the same key."""

    stage: str
    state: State
    seconds: float
    outputs: tuple[tuple[str, ObjectRef], ...] = ()
    event: StageEnded | None = None
    entry8: str = ''
    usage: Mapping[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    pin: str = ''
    rivals: tuple[Rival, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it.  ``run`` None: there was nothing to do.  ``saved_seconds``: what restored stages once took.
    ``stopped_by``: the number of the signal that it was stopped by, 0 for that of Ctrl-C.  ``costs``: of the stages that ran,
    where anybody says what something costs.  ``refused``: why it stopped before it was done, of its own accord."""

    plan: Plan
    settled: Mapping[str, Settled]
    seconds: float
    run: Run | None = None
    saved_seconds: float = 0.0
    ended: str = 'done'
    pins: tuple[str, ...] = ()
    record: str = ''
    ignored: tuple[str, ...] = ()
    steps: Mapping[str, Step] = field(default_factory=dict)
    stopped_by: int = 0
    costs: Mapping[str, Cost] = field(default_factory=dict)
    refused: str = ''

    def count(self, *states: State) -> int:
        return sum(one.state in states for one in self.settled.values())

    @property
    def exit_code(self) -> ExitCode:
        """Of several causes: interruption first, then a budget, then a stage that failed, then one whose host failed, then one
        that could not be started."""
        if self.ended == 'interrupted':
            return stopped_code(self.stopped_by)
        if self.refused:
            return ExitCode.REFUSED
        failed = [one for one in self.settled.values() if one.state is State.FAILED]
        if not failed:
            return ExitCode.DONE
        if any(not one.event or not (one.event.blocked or one.event.unreachable) for one in failed):
            return ExitCode.FAILED
        return ExitCode.UNREACHABLE if any(one.event and one.event.unreachable for one in failed) else ExitCode.WRONG_INPUT


def stopped_code(number: int) -> ExitCode:
    """The exit code of what a signal stopped."""
    return {1: ExitCode.HUNG_UP, 15: ExitCode.TERMINATED}.get(number, ExitCode.INTERRUPTED)
