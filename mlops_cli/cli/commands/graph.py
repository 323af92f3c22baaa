"""``mlops graph``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

from mlops_cli.cli import exits, options
from mlops_cli.cli.console import out_lines, print_json, width
from mlops_cli.cli.screens.graph import graph_lines
from mlops_cli.cli.wiring import output_words, workbench
from mlops_cli.pipeline import graph
from mlops_cli.pipeline.spec import Pipeline
from mlops_cli.plan.facts import Wishes
from mlops_cli.plan.select import select
from mlops_cli.report import dag_page, dag_svg, dag_text
from mlops_cli.report.dag import Drawing
from mlops_cli.report.stage_graph import STATES, made_by, stage_drawing, summary
from mlops_cli.run.outlook import look
from mlops_cli.run.workbench import Workbench

EXITS = exits.line()


class Format(StrEnum):
    TEXT = 'text'
    MERMAID = 'mermaid'
    DOT = 'dot'
    SVG = 'svg'
    HTML = 'html'
    JSON = 'json'


def command(
    stages: options.Stages = None,
    form: Annotated[Format, options.Option('--format', help='How to draw it.')] = Format.TEXT,
    instances: Annotated[bool, options.Option('--instances', help='Each instance on its own.')] = False,
    data: Annotated[bool, options.Option('--data', help='Data that no stage makes, too.')] = False,
    status: Annotated[bool, options.Option('--status', help='With what a run would do.')] = False,
    json: options.Json = False,
) -> int:
    """The stages and what flows between them, from what comes first down; a line leads from a stage to what reads it.

    The last line says what the marks mean; beside a stage with instances stands how many it has.

    Example:  mlops graph --format mermaid > docs/pipeline.mmd
    """
    with workbench() as bench:
        names = select(bench.pipeline, bench.edges, bench.order, output_words(bench, stages or ()))
        states = _states(bench, names) if status else None
        if json or form is Format.JSON:
            print_json(_document(bench.pipeline, names, states))
            return 0
        tracked = list(bench.describer.tracked.records) if data else None
        drawing = stage_drawing(
            bench.pipeline,
            bench.edges,
            names,
            instances=instances,
            states=states,
            tracked=tracked,
            notes=form is not Format.TEXT,
        )
        lines = _shown(bench.pipeline, names, drawing, form, summary(names, states))
        out_lines(lines, foreign=form is not Format.TEXT)
    return 0


def _states(bench: Workbench, names: Sequence[str]) -> dict[str, str]:
    """Stage -> what a run of these stages would do with it."""
    return {step.stage: str(step.verdict) for step in look(bench, names, Wishes()).plan.steps}


def _document(pipeline: Pipeline, names: Sequence[str], states: Mapping[str, str] | None) -> dict[str, Any]:
    found = graph.document(pipeline, names)
    if states is not None:
        found['nodes'] = [{**node, 'verdict': states[node['name']]} for node in found['nodes']]
    return found


def _shown(pipeline: Pipeline, names: Sequence[str], drawing: Drawing, form: Format, said: str) -> Any:
    if form is Format.MERMAID:
        return dag_text.mermaid(drawing).splitlines()
    if form is Format.DOT:
        return dag_text.dot(drawing).splitlines()
    if form is Format.SVG:
        return dag_svg.svg(drawing, alone=True).splitlines()
    if form is Format.HTML:
        return dag_page.dag_page(drawing, [said], STATES).splitlines()
    wanted = set(names)
    members = {f'{group}@*': [one for one in of if one in wanted] for group, of in pipeline.groups.items()}
    members |= {name: [name] for name in names}
    made = {node.id: made_by([pipeline.stages[one] for one in members.get(node.id, ())]) for node in drawing.nodes}
    return graph_lines(drawing, made, width(sys.stdout))
