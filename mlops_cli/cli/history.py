"""Runs that were, with the metrics and outputs that their records lead to.  Facts; screens/runs.py makes lines of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mlops_cli.core import layout
from mlops_cli.pipeline.spec import Pipeline
from mlops_cli.records.pins import Pin
from mlops_cli.records.runs import Run, StageRun
from mlops_cli.run.workbench import Workbench

STATES = ('done', 'restored', 'failed', 'skipped', 'interrupted')
StageMetrics = tuple[tuple[str, str, str, float], ...]


@dataclass(frozen=True, slots=True)
class Past:
    """``metrics``: (stage, file, name, number).  ``sizes``: stage -> bytes of its outputs, as far as a pin is here."""

    run: Run
    metrics: StageMetrics
    sizes: Mapping[str, int]


def past(bench: Workbench, run: Run) -> Past:
    """Of a trial the metrics stand in its record, of any other run in the pins."""
    pins = {stage.name: pin for stage in run.stages if (pin := _pin(bench, stage)) is not None}
    metrics = run.metrics or tuple((name, *metric) for name, pin in pins.items() for metric in pin.metrics)
    return Past(run, tuple(metrics), {name: sum(ref.size for _, ref in pin.outputs) for name, pin in pins.items()})


def _pin(bench: Workbench, stage: StageRun) -> Pin | None:
    if stage.key is None or not stage.outs8:
        return None
    return next((pin for pin in bench.pins.of_key(stage.key) if pin.outs8 == stage.outs8), None)


def primary(pipeline: Pipeline, one: Past) -> dict[str, float]:
    """Primary metric -> its value in the run: of the last stage that has it, and of its instances the best one."""
    found: dict[str, float] = {}
    last: dict[str, str] = {}
    for stage, file, name, number in one.metrics:
        spec = pipeline.stages.get(stage)
        metric = next((o.metric for o in spec.outputs if o.path == file and o.metric), None) if spec else None
        if spec is None or metric is None or metric.primary != name:
            continue
        better = min if metric.goals.get(name) == 'min' else max
        found[name] = better(found[name], number) if last.get(name) == spec.group else number
        last[name] = spec.group
    return found


def counts(run: Run) -> dict[str, int]:
    """State -> how many stages."""
    states = [stage.state for stage in run.stages]
    return {state: states.count(state) for state in STATES}


def row(run: Run, metrics: Mapping[str, float]) -> dict[str, Any]:
    """A flat object for ``--json``."""
    return {
        'run': run.short,
        'id': run.id,
        'started': run.started,
        'ended': run.ended,
        'seconds': run.seconds,
        'who': run.who,
        'host': run.host,
        'branch': run.branch,
        'commit': run.commit,
        'trial': bool(run.overlay),
        'fresh': run.fresh,
        **counts(run),
        'saved_seconds': run.saved_seconds,
        'cpu_seconds': round(sum(stage.usage.get('cpu_seconds', 0) for stage in run.stages), 3),
        **{f'metric.{name}': number for name, number in metrics.items()},
    }


def assignments(overlay: Iterable[tuple[str, str, Any]]) -> list[str]:
    """``train.depth=12``, of another file than params.yaml with its name."""
    return [f'{key}={value}' if file == layout.PARAMS_FILE else f'{file}:{key}={value}' for file, key, value in overlay]
