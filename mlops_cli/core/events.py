"""What happens during a run, as values.  The areas below the command line emit them; the console listens."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops_cli.core.refs import ObjectRef


@dataclass(frozen=True, slots=True)
class RunStarted:
    """``run``: its id.  ``total``: stages that are not fresh.  ``jobs``: how many at once.

    ``restore``: those of them that come from the store; ``open``: those that may turn out fresh; ``first``: nothing is known
    of any of them.  ``cpus``, ``gpus``: what this machine has.  ``low``, ``high``: seconds that it is likely to take, None
    where there is no history.  ``trial``: the workspace is left alone."""

    run: str
    pipeline: str
    total: int
    fresh: int
    jobs: int
    restore: int = 0
    open: int = 0
    first: bool = False
    cpus: float = 0.0
    gpus: int = 0
    low: float | None = None
    high: float | None = None
    trial: bool = False


@dataclass(frozen=True, slots=True)
class StageStarted:
    stage: str
    attempt: int
    log: str
    typical_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class StageWaiting:
    """Another command holds what the stage needs.  ``holder``: who, for people; ``seconds`` waited so far."""

    stage: str
    holder: str
    seconds: float


@dataclass(frozen=True, slots=True)
class StageEnded:
    """``state``: a name of run.states.State.  ``seconds``: of this attempt, or of what a restore saved.

    ``metrics``: (file, name, number); ``message``: why it failed, in a sentence; ``tail``: the last lines it printed."""

    stage: str
    state: str
    seconds: float
    exit_code: int | None = None
    outputs: tuple[tuple[str, ObjectRef], ...] = ()
    metrics: tuple[tuple[str, str, float | int], ...] = ()
    message: str = ''
    hint: str = ''
    log: str = ''
    tail: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    usage: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth a line, about the whole run (``stage`` empty) or one stage."""

    text: str
    stage: str = ''


@dataclass(frozen=True, slots=True)
class RunEnded:
    run: str
    ended: str
    seconds: float


Event = RunStarted | StageStarted | StageWaiting | StageEnded | Note | RunEnded
