"""``mlops audit``, from the words that were typed to what is shown: stages run under somebody's eyes, and what those saw."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from mlops_cli.checks.audit.model import Audited
from mlops_cli.checks.audit.patch import Patch, patch_of, write_patch
from mlops_cli.checks.audit.tracing import Tracer, find_strace
from mlops_cli.cli.console import Line, one_line, out_lines, print_json, say, width
from mlops_cli.cli.data_checks import refuse_outputs, write_made
from mlops_cli.cli.performing import perform
from mlops_cli.cli.screens.audit import BY, audited_lines, last
from mlops_cli.cli.screens.run import RunScreen
from mlops_cli.cli.wiring import output_words, workbench
from mlops_cli.core.classes import replace
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.plan.select import select
from mlops_cli.report.audit_report import AuditReport, html, markdown
from mlops_cli.report.stage_graph import stage_drawing
from mlops_cli.run.report import Report
from mlops_cli.run.request import Request, Routes
from mlops_cli.run.workbench import Workbench


def audit(
    stages: Sequence[str], jobs: int, command: Sequence[str], outputs: Sequence[str], *, write: bool, json: bool
) -> int:
    """Runs them and shows what was found; the exit code.  Raises UserError, OSError."""
    refuse_outputs(outputs)
    with workbench() as bench:
        words = output_words(bench, tuple(stages))
        request = Request(words, jobs, force=True, keep_going=True, isolate='none', command=tuple(command))
        names = _audited(bench, request)
        tracer = _tracer(bench, names)
        reports: list[Report] = []

        def then(report: Report, screen: RunScreen) -> None:
            reports.append(report)
            if not json and report.exit_code != ExitCode.DONE:
                screen.finish(report)

        code = perform(bench, replace(request, watch=tracer), silent=json, then=then)
        found = tracer.results(_states(reports[0]))
        patch = patch_of(bench.root, bench.pipeline, found)
        written = write_patch(bench.root, patch) if write and patch.files else ()
        document = audit_document(found, tracer, patch, written)
        if json:
            print_json(document)
        else:
            out_lines(audited_lines(found, tracer.limits, patch, written, width(sys.stdout)))
        if outputs:
            _write(outputs, document, _report(bench, found, tracer, patch))
    return code or (ExitCode.DONE if all(one.clean for one in found) else ExitCode.FAILED)


def _report(bench: Workbench, found: Sequence[Audited], tracer: Tracer, patch: Patch) -> AuditReport:
    names = [one.stage for one in found]
    stages = stage_drawing(bench.pipeline, bench.edges, names, instances=True)
    limits = f': {tracer.limits}' if tracer.limits else ''
    verdict = f'{last(found)} Seen by {BY.get(tracer.by, tracer.by)}{limits}.'
    return AuditReport(f'Audit of {bench.pipeline.name}', verdict, found, stages, patch.diff, patch.left)


def _write(outputs: Sequence[str], document: dict[str, Any], report: AuditReport) -> None:
    write_made(outputs, document, {'.html': lambda: html(report), '.md': lambda: markdown(report)})


def _audited(bench: Workbench, request: Request) -> tuple[str, ...]:
    """The stages that are looked at.  Raises UserError for one that runs elsewhere, or where there is none."""
    routes = Routes(bench)
    names = select(bench.pipeline, bench.edges, bench.order, request.stages, only=True)
    elsewhere = [name for name in names if routes.named(bench.pipeline.stages[name])]
    here = tuple(name for name in names if not bench.pipeline.stages[name].frozen and name not in elsewhere)
    if request.stages and elsewhere:
        stage = bench.pipeline.stages[elsewhere[0]]
        raise UserError(
            f'stage {stage.name} runs on {stage.host}, and what is opened can be seen on this machine only',
            where=stage.places.get('host', stage.where),
            hint='take its host out while you audit it, or name other stages',
        )
    if not here:
        raise UserError('there is no stage to audit here', hint='frozen stages and those of other machines are left out')
    for name in elsewhere:
        say(Line(f'note: {one_line(name)} runs on {one_line(bench.pipeline.stages[name].host)} and is left out', 'note:'))
    return here


def _tracer(bench: Workbench, names: tuple[str, ...]) -> Tracer:
    program, why = find_strace(bench.environ)
    if not program:
        say(Line(f'note: {why}; each Python of a stage tells what it opens instead', 'note:'))
    return Tracer(bench, program, names)


def _states(report: Report) -> dict[str, tuple[str, str]]:
    return {name: (str(one.state), one.event.message if one.event is not None else '') for name, one in report.settled.items()}


def audit_document(found: Sequence[Audited], tracer: Tracer, patch: Patch, written: Sequence[str]) -> dict[str, Any]:
    return {
        'schema': 'mlops/audit/v1',
        'clean': all(one.clean for one in found),
        'by': tracer.by,
        'limits': tracer.limits,
        'stages': [_stage_document(one) for one in found],
        'patch': patch.diff,
        'by_hand': list(patch.left),
        'written': list(written),
    }


def _stage_document(one: Audited) -> dict[str, Any]:
    return {
        'stage': one.stage,
        'state': one.state,
        'clean': one.clean,
        'whole': one.whole,
        'why': one.why,
        'processes': one.processes,
        'beyond': one.beyond,
        'undeclared': [
            {'kind': row.kind, 'path': row.path, 'outside': row.outside, 'leads_to': row.leads_to, 'maker': row.maker}
            for row in one.undeclared
        ],
        'unused': [{'dep': row.dep, 'list': 'code' if row.code else 'deps'} for row in one.unused],
    }
