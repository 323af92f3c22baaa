"""What a pull request changed, as plain data: ``mlops/ci-report/v1``.  Runs nothing, asks no network."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from statistics import fmean
from typing import Any

from mlops_cli.ci.comment import SCHEMA
from mlops_cli.core import layout
from mlops_cli.core.errors import UserError
from mlops_cli.experiments.compare import Difference, compare
from mlops_cli.experiments.metrics import Change
from mlops_cli.experiments.model import UNKNOWN, Point
from mlops_cli.experiments.told import tell
from mlops_cli.records.files import read_small
from mlops_cli.records.model_files import Model, Models
from mlops_cli.records.models import Version
from mlops_cli.records.runs import Run
from mlops_cli.registry.court import court_of
from mlops_cli.registry.policy import policies_of
from mlops_cli.registry.signing import LIMIT, Trunk, policies_in
from mlops_cli.run.workbench import Workbench

LOOKED_AT = 50  # newest run records
GATE = 'mlops gate '
MOST_MODELS = 20


def gather(bench: Workbench, before: Point, after: Point) -> dict[str, Any]:
    """``before``: where the pull request began; ``after``: the workspace.  Raises UserError, OSError."""
    found = compare(bench, before, after)
    run = _last_run(bench)
    return {
        'schema': SCHEMA,
        'project': bench.pipeline.name,
        'before': before.label,
        'commit': after.commit,
        'run': _run(bench, run) if run is not None else None,
        'stages': [{'stage': one.stage, 'status': one.status} for one in found.stages if one.status != 'same'],
        'same_stages': sum(one.status == 'same' for one in found.stages),
        'metrics': _metrics(bench, found),
        'params': [{'name': one.name, 'before': one.before, 'after': one.after} for one in found.params],
        'commands': [{'name': one.name, 'before': one.before, 'after': one.after} for one in found.commands],
        'code': [
            {'path': one.path, 'status': one.status, 'added': one.added, 'removed': one.removed} for one in found.code
        ],
        'data': [
            {
                'path': one.path,
                'size_before': one.size_before,
                'size_after': one.size_after,
                'files': [one.inside.added, one.inside.changed, one.inside.removed] if one.inside is not None else None,
            }
            for one in found.data
        ],
        'environment': [{'name': one.name, 'before': one.before, 'after': one.after} for one in found.environment],
        'gates': list(_gates(bench, after)),
        'approvals': list(_approvals(bench)),
    }


def _last_run(bench: Workbench) -> Run | None:
    for run_id in islice(bench.runs.ids(), LOOKED_AT):
        with suppress(FileNotFoundError, UserError):
            run = bench.runs.get(run_id)
            if not run.overlay:
                return run
    return None


def _run(bench: Workbench, run: Run) -> dict[str, Any]:
    told = tell(bench, run)
    amounts: dict[str, float] = {}
    costs = [cost for cost in told.costs if cost is not None]
    for cost in costs:
        for currency, amount in cost.amounts.items():
            amounts[currency] = amounts.get(currency, 0.0) + amount
    return {
        'id': run.id,
        'ended': run.ended,
        'seconds': run.seconds,
        'saved_seconds': run.saved_seconds,
        'fresh': run.fresh,
        'stages': [{'stage': one.name, 'state': one.state, 'seconds': one.seconds} for one in run.stages],
        'cost': {
            'amounts': amounts,
            'unknown': sum(not cost.known for cost in costs),
            'gpu_hours': sum(cost.gpu_hours for cost in costs),
        },
    }


def _metrics(bench: Workbench, found: Difference) -> list[dict[str, Any]]:
    """Numbers of instances of a stage together, by their mean, with the least and the most."""
    groups: dict[tuple[str, str], list[Change]] = {}
    for row in found.metrics.rows:
        stage = bench.pipeline.stages.get(row.stage)
        groups.setdefault((stage.group if stage is not None else row.stage.partition('@')[0], row.name), []).append(row)
    return [_metric(stage, name, rows) for (stage, name), rows in groups.items()]


def _metric(stage: str, name: str, rows: Sequence[Change]) -> dict[str, Any]:
    before = [row.before for row in rows if row.before is not None]
    after = [row.after for row in rows if row.after is not None]
    verdicts = [row.verdict for row in rows]
    kinds = ('worse', 'better', 'changed', 'new', 'gone', 'within')
    return {
        'stage': stage,
        'name': name,
        'primary': any(row.primary for row in rows),
        'goal': rows[0].goal,
        'instances': len(rows),
        'before': fmean(before) if before else None,
        'after': fmean(after) if after else None,
        'spread_before': [min(before), max(before)] if len(before) > 1 else None,
        'spread_after': [min(after), max(after)] if len(after) > 1 else None,
        'verdict': next((kind for kind in kinds if kind in verdicts), 'same'),
        'counts': {kind: verdicts.count(kind) for kind in ('better', 'worse')},
    }


def _gates(bench: Workbench, after: Point) -> Iterator[dict[str, Any]]:
    for name, stage in bench.pipeline.stages.items():
        texts = [text for text in map(str.strip, stage.command.words) if text.startswith(GATE)]
        if texts:
            point = after.stages.get(name)
            passed = point is not None and point.state != UNKNOWN
            yield {'stage': name, 'expression': texts[0].removeprefix(GATE), 'passed': passed}


def _approvals(bench: Workbench) -> Iterator[dict[str, Any]]:
    """Of the latest version of each model: who has to agree before it may hold an alias, and what else keeps it from that.
    Policies that cannot be read are told, for nobody knows what they ask."""
    models = list(Models(bench.root).all.values())[:MOST_MODELS]
    if not models:
        return
    trunk = Trunk(bench.root)
    aliases: set[str] = set()
    try:
        with suppress(FileNotFoundError):
            entries = policies_in(read_small(bench.root, layout.CONFIG, LIMIT))
            aliases |= {alias for one in entries.values() for alias in one.aliases}
        aliases |= {alias for one in trunk.policies.values() for alias in one.aliases}
    except UserError as error:
        yield _row(refusals=[f'what policies ask is not known: {error.message}'])
        return
    for model in models if aliases else ():
        if model.numbered:
            version = max(model.numbered, key=lambda one: one.number)
            used = {one.alias for one in model.facts.values() if one.alias}  # for policies of patterns
            for alias in sorted(used | {one for one in aliases if not set(one) & {'*', '?'}}):
                yield from _asked(bench, trunk, model, version, alias)


def _asked(bench: Workbench, trunk: Trunk, model: Model, version: Version, alias: str) -> Iterator[dict[str, Any]]:
    try:
        policies = policies_of(bench.root, trunk, model.name, alias)
        if not policies:
            return
        found = court_of(bench.root, model, trunk, time.time()).judge(version, alias)
    except UserError as error:
        yield _row(model.name, version.label, alias, refusals=[error.message])
        return
    yield _row(
        model.name, version.label, alias, found.needed, [one.who.name for one in found.approvals],
        sorted({one for policy in policies for one in policy.approvers}), [one.text for one in found.refusals],
    )  # fmt: skip


def _row(
    model: str = '', version: str = '', alias: str = '', needed: int = 0, approved: Sequence[str] = (),
    approvers: Sequence[str] = (), refusals: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    return {
        'model': model, 'version': version, 'alias': alias, 'needed': needed, 'approved': list(approved),
        'approvers': list(approvers), 'refusals': list(refusals),
    }  # fmt: skip
