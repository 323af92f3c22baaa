"""The JSON documents that other programs rely on.  Values in, plain data out; every change of shape is a new version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlops_cli.core.refs import ref_document
from mlops_cli.plan.model import Blessing, Plan, Reason, Rival, Step, Surrounding, Verdict

if TYPE_CHECKING:
    from mlops_cli.cli.standing import Working
    from mlops_cli.cli.uncommitted import Uncommitted
    from mlops_cli.run.choosing import Told
    from mlops_cli.run.expense import Outlay
    from mlops_cli.run.report import Report, Settled
    from mlops_cli.run.workbench import Workbench


def reason_document(one: Reason) -> dict[str, Any]:
    return {'kind': one.kind, 'subject': one.subject, 'before': one.before, 'after': one.after, 'detail': one.detail}


def rival_document(one: Rival) -> dict[str, Any]:
    """Another result of the same key; ``differs`` are paths, ``here`` and ``there`` the numbers of both."""
    return {
        'outputs': one.outs8,
        'run': one.run or None,
        'differs': list(one.differs),
        'metrics': [{'file': file, 'name': name, 'here': here, 'there': there} for file, name, here, there in one.metrics],
        'within_tolerance': one.tolerated,
    }


def surrounding_document(one: Surrounding) -> dict[str, Any]:
    """Something about the environment that a result was made under, and here; null where it is not there."""
    return {'name': one.name, 'recorded': one.then, 'here': one.here}


def blessing_document(one: Blessing) -> dict[str, Any]:
    """Who accepted a result, when, why, and what was different then."""
    return {
        'kind': one.kind,
        'who': one.who,
        'host': one.host,
        'when': one.when,
        'reason': one.reason,
        'run': one.run or None,
        'results': one.results,
        'differed': [reason_document(Reason(*row)) for row in one.differed],  # type: ignore[arg-type]
    }


def step_document(step: Step, cost: dict[str, Any] | None = None) -> dict[str, Any]:
    """``cost``: what it is expected to cost, where anybody says what something costs."""
    estimate = step.estimate
    found: dict[str, Any] = {
        'name': step.stage,
        'verdict': str(step.verdict),
        'from': 'cache' if step.verdict is Verdict.RESTORE else None,
        'waits_for': list(step.waits_for),
        'reasons': [reason_document(one) for one in step.reasons],
        'key': str(step.manifest.digest) if step.manifest else None,
        'estimate': {
            'seconds': estimate.typical,
            'seconds_low': estimate.low,
            'seconds_high': estimate.high,
            'cost': None,
            **(cost or {}),
            'basis': estimate.basis,
        },
        'notes': list(step.notes),
        'changed_by_hand': list(step.changed_by_hand),
        'origin': {'run': step.run or None, 'text': step.origin} if step.verdict is Verdict.RESTORE else None,
        'environment': [surrounding_document(one) for one in step.surroundings],
        'accepted': blessing_document(step.accepted) if step.accepted else None,
        'other_results': [rival_document(one) for one in step.rivals],
    }
    if step.verdict is Verdict.MAYBE:
        found['certain'] = step.certain
    return found


def plan_document(
    plan: Plan,
    command: str,
    hosts: Mapping[str, Sequence[str]] | None = None,
    outlay: Outlay | None = None,
    choices: Sequence[Told] = (),
) -> dict[str, Any]:
    """``hosts``: by name, the stages that would run there; None where that is not asked.  ``outlay``: what it is expected to
    cost.  ``choices``: of hosts, for stages that may run on any."""
    found: dict[str, Any] = {'schema': f'mlops/{command}/v1', 'pipeline': plan.pipeline}
    if outlay is None:
        found['stages'] = [step_document(step) for step in plan.steps]
    else:
        from mlops_cli.cli.screens.expense import budget_documents, expense_document, range_document

        expense = outlay.expense
        costs = {name: range_document(one, expense.currency) for name, one in expense.stages.items()}
        found['stages'] = [step_document(step, costs.get(step.stage)) for step in plan.steps]
        found['cost'] = expense_document(expense)
        found['budgets'] = budget_documents(outlay)
        found['over_budget'] = [*outlay.exceeded]
    if choices:
        found['choices'] = [
            {
                'stages': [*one.stages],
                'host': one.choice.host or None,
                'why': one.choice.why,
                'others': [{'host': name, 'why': why} for name, why in one.choice.others],
            }
            for one in choices
        ]
    return found if hosts is None else {**found, 'hosts': {name: [*stages] for name, stages in hosts.items()}}


def unpulled_document(bench: Workbench, plan: Plan) -> dict[str, Any] | None:
    """What a remote may have of what would run; None where there is nothing like that, as without remotes."""
    if not bench.config.remotes:
        return None
    from mlops_cli.run.unpulled import unpulled

    found = unpulled(bench, plan)
    return None if found is None else {'remote': found.remote or None, 'stages': [*found.stages]}


def working_document(one: Working) -> dict[str, Any]:
    from mlops_cli.core.clock import iso

    since = None if one.since is None else iso(one.since)
    return {'name': one.stage, 'since': since, 'host': one.host, 'pid': one.pid, 'said': one.said}


def uncommitted_document(one: Uncommitted) -> dict[str, Any]:
    return {'records': list(one.records), 'files': list(one.files), 'data': list(one.data), 'ignored': list(one.ignored)}


def settled_document(one: Settled, step: Step | None = None, cost: dict[str, Any] | None = None) -> dict[str, Any]:
    """``step``: what was decided about the stage, which tells of a restored result where it comes from."""
    event = one.event
    restored = step if step is not None and str(one.state) == 'restored' else None
    others = restored.rivals if restored else one.rivals
    return {
        'name': one.stage,
        'state': str(one.state),
        'seconds': round(one.seconds, 3),
        'exit_code': one.exit_code,
        'usage': dict(one.usage),
        'cost': cost or {},
        'log': event.log if event else '',
        'outputs': [ref_document(path, ref) for path, ref in one.outputs],
        'metrics': {f'{file}:{name}': value for file, name, value in event.metrics} if event else {},
        'message': event.message if event else '',
        'notes': list(event.notes) if event else [],
        'origin': {'run': restored.run or None, 'text': restored.origin} if restored else None,
        'environment': [surrounding_document(each) for each in restored.surroundings] if restored else [],
        'accepted': blessing_document(restored.accepted) if restored and restored.accepted else None,
        'other_results': [rival_document(each) for each in others],
    }


def run_document(report: Report) -> dict[str, Any]:
    costs, total = _costs(report)
    return {
        'schema': 'mlops/run/v1',
        'run': report.run.id if report.run else None,
        'ended': report.ended,
        'stages': [
            settled_document(one, report.steps.get(one.stage), costs.get(one.stage)) for one in report.settled.values()
        ],
        'seconds': round(report.seconds, 3),
        'saved_seconds': round(report.saved_seconds, 3),
        'cost': total,
        'refused': report.refused or None,
        'record': report.record,
    }


def _costs(report: Report) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    if not report.costs:
        return {}, {}
    from mlops_cli.cli.screens.costs import cost_document, total_document

    return {name: cost_document(one) for name, one in report.costs.items()}, total_document(report.costs.values())
