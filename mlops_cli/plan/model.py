"""The plan as values: what ``status``, ``plan``, ``run --dry-run`` and ``explain`` all show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from mlops_cli.core.manifest import Manifest
from mlops_cli.core.refs import ObjectRef


class Verdict(StrEnum):
    """What is to become of a stage."""

    FRESH = 'fresh'  # what the workspace holds is what its key led to
    RESTORE = 'restore'  # its key is known, its outputs are stored, the workspace holds something else
    RUN = 'run'  # nothing known for its key
    MAYBE = 'maybe'  # an input comes from a stage that is run or maybe; its outputs decide
    BLOCKED = 'blocked'  # an input is missing, and nobody makes it


ReasonKind = Literal['command', 'code', 'data', 'param', 'environment', 'output', 'forced', 'never-run']


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a stage is not fresh.  ``before`` and ``after``: short values for people, None where there is none
    (a new or a removed entry, or nothing but a digest to show).  ``detail``: more, as ``function fit changed``."""

    kind: ReasonKind
    subject: str
    before: str | None = None
    after: str | None = None
    detail: str = ''


Basis = Literal['history', 'declared', 'unknown']


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds from recorded history; None is unknown, never 0."""

    low: float | None = None
    high: float | None = None
    typical: float | None = None
    basis: Basis = 'unknown'


UNKNOWN = Estimate()


@dataclass(frozen=True, slots=True)
class Step:
    """One stage in a plan.

    ``manifest`` None while inputs are undecided (maybe) or missing (blocked).  ``outputs``: what the key is known to
    lead to, for fresh and restore.  ``source``: where a restore was learnt: pin or result.  ``origin``: who made that result,
    for people.  ``certain``: with maybe, that it cannot end fresh.  ``notes``: sentences (code unknown, not
    deterministic, changed by hand)."""

    stage: str
    verdict: Verdict
    reasons: tuple[Reason, ...] = ()
    waits_for: tuple[str, ...] = ()
    manifest: Manifest | None = None
    outputs: tuple[tuple[str, ObjectRef], ...] = ()
    source: Literal['', 'pin', 'result'] = ''
    origin: str = ''
    certain: bool = False
    notes: tuple[str, ...] = ()
    changed_by_hand: tuple[str, ...] = ()
    estimate: Estimate = UNKNOWN

    @property
    def made(self) -> dict[str, ObjectRef]:
        return dict(self.outputs)


@dataclass(frozen=True, slots=True)
class Plan:
    """``steps``: topological.  ``selected``: the stages asked for and what they need, in the same order."""

    pipeline: str
    steps: tuple[Step, ...]
    edges: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def by_name(self) -> dict[str, Step]:
        return {step.stage: step for step in self.steps}

    def count(self, *verdicts: Verdict) -> int:
        return sum(step.verdict in verdicts for step in self.steps)

    @property
    def out_of_date(self) -> bool:
        return self.count(Verdict.RUN, Verdict.MAYBE, Verdict.BLOCKED) > 0
