"""``mlops graph``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from mlops_cli.cli import exits, options
from mlops_cli.cli.console import out, print_json
from mlops_cli.cli.wiring import output_words, workbench
from mlops_cli.pipeline import graph
from mlops_cli.plan.select import select

EXITS = exits.line()


class Format(StrEnum):
    TEXT = 'text'
    MERMAID = 'mermaid'
    DOT = 'dot'
    JSON = 'json'


def command(
    stages: options.Stages = None,
    form: Annotated[Format, typer.Option('--format', help='How to draw it.')] = Format.TEXT,
    json: options.Json = False,
) -> int:
    """The stages and what flows between them.

    Example:  mlops graph --format mermaid > docs/pipeline.mmd
    """
    with workbench() as bench:
        names = select(bench.pipeline, bench.edges, bench.order, output_words(bench, stages or ()))
        if json or form is Format.JSON:
            print_json(graph.document(bench.pipeline, names))
        else:
            for line in graph.render(bench.pipeline, str(form), names).splitlines():
                out(line)
    return 0
