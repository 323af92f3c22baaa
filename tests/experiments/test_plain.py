"""Values as plain data and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlops_cli.experiments.model import StagePoint
from mlops_cli.experiments.plain import from_plain, to_plain
from mlops_cli.pipeline.load import load
from mlops_cli.pipeline.spec import Pipeline

EVERYTHING = """\
version: 1
name: all
stages:
  one:
    matrix: {kind: [a, b], rate: [0.1, 2]}
    argv: [python, -c, pass]
    deps: [in.txt, 'x/*.txt']
    params: [rate]
    outs: [{'out-${item.kind}-${item.rate}': {persist: true, desc: A thing}}]
    metrics: [{'m-${item.kind}-${item.rate}.json': {primary: f1, goals: {f1: max}, tolerance: {f1: 0.1}}}]
    plots: [{'p-${item.kind}-${item.rate}.csv': {x: a, y: b}}]
    env: [HOME]
    timeout: 1h
    retry: 3
    resources: {cpus: 2, memory: 2GB}
    meta: {owner: [ada, 3, null, {deep: true}]}
"""


def test_a_pipeline_comes_back_as_it_was(tmp_path: Path) -> None:
    (tmp_path / 'pipeline.yaml').write_text(EVERYTHING)
    pipeline = load(tmp_path, environ={'HOME': '/root'})
    assert len(pipeline.stages) == 4
    text = json.dumps(to_plain(pipeline))
    assert from_plain(Pipeline, json.loads(text)) == pipeline


@pytest.mark.parametrize(
    'value', [7, None, [], {'stage': 3, 'state': 'x'}, {'unknown': 1}, {'stage': 'a', 'state': 'b', 'metrics': [['x', 'y']]}]
)
def test_what_does_not_fit_is_refused(value: object) -> None:
    with pytest.raises((TypeError, KeyError, ValueError, AttributeError)):
        from_plain(StagePoint, value)
