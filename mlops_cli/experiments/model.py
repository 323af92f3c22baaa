"""A named state of the project, as values: what it is made of, and what was recorded for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.digest import Digest
from mlops_cli.core.manifest import Manifest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.pipeline.spec import Pipeline
from mlops_cli.records.runs import Run

Metrics = tuple[tuple[str, str, float | int], ...]
UNKNOWN = 'unknown'
RECORDED = 'recorded'
WORKSPACE = 'workspace'


@dataclass(frozen=True)
class StagePoint:
    """One stage in such a state.

    ``state``: ``recorded``, ``unknown`` (nothing is recorded for this state), or of a run the state the stage ended in.
    ``key`` and ``manifest``: None where they cannot be told.  ``metrics``: (file, name, number).  ``seconds``: what the
    result took.  ``usage``, ``environment``, ``origin``: as the result has them; empty where this cache lacks it.
    ``sources``: tree of the code, parameter and pipeline files.  ``partial``: where the manifest cannot be told, what is
    known of it: all but what other stages make.  ``refused``: file of metrics -> why it holds none."""

    stage: str
    state: str
    key: Digest | None = None
    manifest: Manifest | None = None
    outputs: Mapping[str, ObjectRef] = field(default_factory=dict)
    metrics: Metrics = ()
    seconds: float | None = None
    usage: Mapping[str, float] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    sources: ObjectRef | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)
    partial: Manifest | None = None
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Point:
    """``label``: ``workspace``, ``main (1a2b3c4)``, ``run 7k2m9q4c``.  ``pipeline``: as it is at that state; of a run, the
    present one.  ``commit``: empty where none is known.  ``absent``: how many stages of a run are not in its record."""

    label: str
    kind: Literal['workspace', 'revision', 'run']
    stages: Mapping[str, StagePoint]
    pipeline: Pipeline
    run: Run | None = None
    commit: str = ''
    absent: int = 0
