"""Names of tasks, and what each engine's file says of them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

from mlops_cli.adopt.engines import airflow, argo, snakemake
from mlops_cli.adopt.engines.tasks import identifier, label, tasks, to_check
from mlops_cli.pipeline import graph
from mlops_cli.pipeline.load import load
from mlops_cli.pipeline.spec import Pipeline

PIPELINE = """\
stages:
  import: {cmd: make in, outs: [in.txt], env: [TOKENS], secrets: [KEY]}
  train:
    matrix: {model: [a.b, a-b, a_b]}
    cmd: train ${item.model}
    deps: [in.txt]
    outs: ['${item.model}.bin']
    resources: {cpus: 1.5, memory: 2GiB, gpus: 2}
  3rd: {cmd: 'true', needs: [train], host: gpu1}
"""


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    (tmp_path / 'pipeline.yaml').write_text(PIPELINE)
    return load(tmp_path, environ={})


def test_names_are_the_engines_own_and_all_different(pipeline: Pipeline) -> None:
    order, edges = list(graph.topological(pipeline, graph.edges(pipeline))), graph.edges(pipeline)
    found = tasks(pipeline, order, edges, identifier)
    assert [task.name for task in found] == ['import_', 'train_a_b', 'train_a_b_2', 'train_a_b_3', '_3rd']
    assert all(task.name.isidentifier() for task in found) and found[-1].after == ('train_a_b', 'train_a_b_2', 'train_a_b_3')
    assert [task.name for task in tasks(pipeline, order, edges, label)] == [
        'import', 'train-a-b', 'train-a-b-2', 'train-a-b-3', '3rd']  # fmt: skip
    assert dict(to_check(found)) == {
        'import': 'it needs KEY, TOKENS in its environment there', '3rd': 'it goes on to run on gpu1, as pipeline.yaml says',
    }  # fmt: skip


def test_what_the_files_say(pipeline: Pipeline) -> None:
    order, edges = list(graph.topological(pipeline, graph.edges(pipeline))), graph.edges(pipeline)
    named = tasks(pipeline, order, edges, identifier)
    rules = snakemake.text('p', named)
    assert "    shell: 'mlops run --only train@a.b'\n" in rules and 'threads: 2' in rules and 'mem_mb=2148, gpu=2' in rules
    ast.parse(airflow.text("it's {{ p }}", named))
    workflow = yaml.safe_load(argo.text('My {pipeline}', tasks(pipeline, order, edges, label), 'ml:3', 'data'))
    assert workflow['metadata'] == {'generateName': 'my-pipeline-'}
    templates = {one['name']: one for one in workflow['spec']['templates']}
    assert templates['stage-train-a-b-2']['container']['command'] == ['mlops', 'run', '--only', 'train@a-b']
    assert templates['stage-train-a-b']['container']['resources'] == {
        'requests': {'cpu': '1500m', 'memory': '2147483648'}, 'limits': {'memory': '2147483648', 'nvidia.com/gpu': '2'},
    }  # fmt: skip


@pytest.mark.parametrize('text', ['\U0010ffff', '\U0001f389 x', '\x7f', '\x85', '\\ud83d\\ude00', '"', "'", '\\',
    'a: b', '- x', '\n', '', '#', '{x}', '*x', '&x', '!x', '\u2028', '\ufeff', '1', 'null', '~', ' x'])
def test_a_workflow_means_what_was_said(pipeline: Pipeline, text: str) -> None:
    """YAML has no pairs of surrogates, as JSON has."""
    spec = yaml.safe_load(argo.text(text, tasks(pipeline, list(pipeline.stages), {}, label), text, text))['spec']
    assert spec['templates'][1]['container']['image'] == text
    assert spec['volumes'][0]['persistentVolumeClaim'] == {'claimName': text}
