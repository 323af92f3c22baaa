"""What words of a command line mean as paths: tracked data, outputs, or all outputs of stages."""

from __future__ import annotations

from collections.abc import Sequence

from mlops_cli.plan.select import matching
from mlops_cli.records import data
from mlops_cli.run.workbench import Workbench


def named_paths(bench: Workbench, words: Sequence[str]) -> list[str] | None:
    """None where nothing is named, which means all; of a stage without outputs there is none.  Raises UserError."""
    if not words:
        return None
    tracked = data.tracked(bench.root)
    outputs = {output.path for stage in bench.pipeline.stages.values() for output in stage.outputs}
    found: list[str] = []
    for word in words:
        path = word.removeprefix('./').rstrip('/')
        if path in tracked or path in outputs:
            found.append(path)
        else:
            found += [output.path for name in matching(bench.pipeline, word) for output in bench.pipeline.stages[name].outputs]
    return found
