"""The plan as values: what ``status``, ``plan``, ``run --dry-run`` and ``explain`` all show."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from mlops_cli.core.classes import dataclass, field
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


Metrics = tuple[tuple[str, str, float | int], ...]  # (file, dotted name, number)
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
class Surrounding:
    """One thing about an environment: ``name`` is Python, platform, GPU driver or a package; ``then`` and ``here``: its
    versions where a result was made and here, None where it is not there."""

    name: str
    then: str | None
    here: str | None


@dataclass(frozen=True, slots=True)
class Rival:
    """Another result of the same key.  ``outs8``: tells it from the others.  ``run``: the id of the run that made it, empty
    where unknown.  ``differs``: paths whose content is another.  ``metrics``: (file, name, here, there) of the numbers that
    are others, None where one has no such number.  ``tolerated``: only metrics differ, and by no more than the pipeline says
    does not matter."""

    outs8: str
    run: str = ''
    differs: tuple[str, ...] = ()
    metrics: tuple[tuple[str, str, float | int | None, float | int | None], ...] = ()
    tolerated: bool = False


@dataclass(frozen=True, slots=True)
class Blessing:
    """Who accepted the result that counts, when (UTC, ISO 8601) and why.  ``kind``: accepted (as it lay there), trusted (its
    code had changed while it ran) or chosen (of ``results`` different ones).  ``run``: the id of the run that made it."""

    who: str
    host: str
    when: str
    reason: str
    kind: str = 'accepted'
    run: str = ''
    results: int = 1
    differed: tuple[tuple[str, str, str | None, str | None, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One stage in a plan.

    ``manifest`` None while inputs are undecided (maybe) or missing (blocked).  ``outputs``: what the key is known to
    lead to, for fresh and restore.  ``source``: where a restore was learnt: pin or result.  ``origin``: who made that result,
    for people; ``run``: the id of the run that did.  ``certain``: with maybe, that it cannot end fresh.  ``notes``: sentences
    (code unknown, frozen).  ``rivals``: other results of the same key, so the stage is not deterministic.  ``accepted``: the
    result counts because somebody said so.  ``surroundings``: how the environment that a result to restore was made under
    differs from the one here."""

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
    run: str = ''
    rivals: tuple[Rival, ...] = ()
    accepted: Blessing | None = None
    surroundings: tuple[Surrounding, ...] = ()

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
