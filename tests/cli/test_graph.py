"""``mlops graph``: the same stages in every form, folded and not, with states and data."""

from __future__ import annotations

import json
import os
import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.cli import app
from mlops_cli.cli.console import cells
from mlops_cli.cli.screens.graph import graph_lines
from mlops_cli.pipeline import graph
from mlops_cli.pipeline.spec import Command, Dep, Output, Pipeline, Stage
from mlops_cli.report.dag import Drawing, Node
from mlops_cli.report.stage_graph import made_by, stage_drawing, summary
from tests.cli.contract import problems
from tests.cli.hostile import HOSTILE, harmless
from tests.report.test_dag_text import check_mermaid
from tests.support.project import Project

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / 'docs' / 'schemas' / 'graph.v1.json'
PICTURE = ROOT / 'docs' / 'pictures' / 'digits-graph.svg'
EXAMPLE = ROOT / 'examples' / 'digits'
PIPELINE = """\
version: 1
name: p
stages:
  prepare:
    cmd: mkdir -p data && cp raw/a.csv data/a.csv
    deps: [raw, notes.txt]
    outs: [data]
  train:
    matrix: {n: [1, 2, 3]}
    cmd: cat data/a.csv > m${item.n}.bin
    deps: [data/a.csv]
    outs: ['m${item.n}.bin']
  select:
    cmd: cat m1.bin > best.bin
    deps: [{stage: train}]
    outs: [best.bin]
  evaluate:
    cmd: cat best.bin data/a.csv > e.txt
    deps: [best.bin, 'data/*.csv']
    outs: [e.txt]
  validate:
    cmd: test -s best.bin
    deps: [best.bin]
"""
Typed = Callable[..., str]


@pytest.fixture
def typed(project: Project, capfd: Any, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """What a command line prints, in this process."""
    project.write('pipeline.yaml', PIPELINE)
    project.write('raw/a.csv', 'a\n')
    project.write('notes.txt', 'x\n')
    for name, value in project.environ.items():
        monkeypatch.setenv(name, value)

    def call(*words: str, columns: int = 100, code: int = 0, cwd: str = '.') -> str:
        monkeypatch.setenv('COLUMNS', str(columns))
        monkeypatch.chdir(project.path / cwd)
        ended = app.run(words)
        found = capfd.readouterr()
        assert ended == code, found
        return str(found.out)

    return call


def test_lanes(typed: Typed) -> None:
    assert typed('graph').splitlines() == [
        '○  prepare  → data',
        '│',
        '●  train@* (3)  → m*.bin',
        '│',
        '○  select  → best.bin',
        '├─╮',
        '│ ○  evaluate  → e.txt',
        '○  validate',
        '',
        '○ a stage, ● a stage with instances',
    ]


def test_marks_in_the_c_locale(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('LC_ALL', 'C')
    lines = typed('graph').splitlines()
    assert lines[:3] == ['o  prepare  > data', '|', '@  train@* (3)  > m*.bin'] and lines[-1].startswith('o a stage, @')
    assert typed('graph', '--help').isascii() and typed('graph').isascii()


def test_instances_on_their_own(typed: Typed) -> None:
    lines = typed('graph', '--instances').splitlines()
    assert [line for line in lines if 'train' in line] == [
        '│ ○  train@1  → m1.bin',
        '│ │ ○  train@2  → m2.bin',
        '○ │ │  train@3  → m3.bin',
    ]
    assert '├─┴─╯' in lines


def test_only_what_is_named(typed: Typed) -> None:
    assert typed('graph', 'train@2').splitlines() == ['○  prepare  → data', '│', '○  train@2  → m2.bin']
    assert typed('graph', 'train@1', 'train@3').splitlines()[2] == '●  train@* (2 of 3)  → m*.bin'


def test_with_what_a_run_would_do(typed: Typed, project: Project) -> None:
    assert typed('graph', '--status').splitlines()[:3] == ['○  prepare  run  → data', '│', '●  train@* (3)  run  → m*.bin']
    project.run()
    (project.path / 'm2.bin').unlink()
    lines = typed('graph', '--status').splitlines()
    assert lines[0] == '○  prepare  fresh  → data' and lines[2] == '●  train@* (3)  1 restore, 2 fresh  → m*.bin'
    shutil.rmtree(project.path / 'raw')
    lines = typed('graph', '--status').splitlines()
    assert '○  prepare  blocked  → data' in lines
    verdicts = {node['name']: node['verdict'] for node in json.loads(typed('graph', '--json', '--status'))['nodes']}
    assert set(verdicts.values()) == {'blocked'}


def test_data_that_no_stage_makes(typed: Typed, project: Project) -> None:
    project.mlops('add', 'raw')
    lines = typed('graph', '--data').splitlines()
    assert lines[:4] == ['□  raw', '│ □  notes.txt', '├─╯', '○  prepare  → data']
    labels, _ = check_mermaid(typed('graph', '--data', '--format', 'mermaid'))
    assert {'raw', 'notes.txt'} <= set(labels.values())


def test_every_form_has_the_same_nodes_and_edges(typed: Typed) -> None:
    labels, edges = check_mermaid(typed('graph', '--format', 'mermaid'))
    assert [label.partition('<br/>')[0] for label in labels.values()] == [
        'prepare',
        'train@* (3)',
        'select',
        'evaluate',
        'validate',
    ]
    assert len(edges) == 4  # that evaluate reads data, too, is implied
    dot = typed('graph', '--format', 'dot')
    assert dot.count('[label=') == 5 and dot.count('->') == 4
    tree = ElementTree.fromstring(typed('graph', '--format', 'svg'))
    classes = [element.get('class', '') for element in tree.iter()]
    assert sum(name.startswith('box') for name in classes) == 5 and classes.count('wire') == 4
    html = typed('graph', '--format', 'html', '--status')
    assert html.count('<article') == 5 and 'it has to run' in html and '5 stages' not in html and '7 stages: ' in html


def test_json_is_what_its_schema_says(typed: Typed) -> None:
    for words in (['--json'], ['--format', 'json'], ['--json', '--status']):
        found = json.loads(typed('graph', *words))
        assert problems(json.loads(SCHEMA.read_text()), found) == []
    assert ['prepare', 'evaluate'] in found['edges'] and len(found['nodes']) == 7
    assert found['nodes'][4]['deps'] == [{'stage': 'train'}]


@pytest.mark.parametrize('columns', [40, 80, 200])
def test_lines_keep_to_the_width(typed: Typed, columns: int) -> None:
    for words in ([], ['--instances'], ['--status', '--data']):
        assert max(cells(line) for line in typed('graph', *words, columns=columns).splitlines()) <= columns


def test_too_many_lanes_become_a_tree(typed: Typed, project: Project) -> None:
    project.write('pipeline.yaml', PIPELINE.replace('[1, 2, 3]', str(list(range(40)))).replace('m1.bin', 'm7.bin'))
    out = typed('graph', '--instances', columns=80)
    assert '├─ train@0' in out and 'also after train@0, train@1, train@2 and 36 more' in out
    assert max(cells(line) for line in out.splitlines()) <= 80


# Drawings of pipelines, as values


def stage(name: str, deps: tuple[str, ...] = (), outs: tuple[str, ...] = (), **more: Any) -> Stage:
    made = tuple(Dep('stage' if dep.startswith('@') else 'path', dep.removeprefix('@')) for dep in deps)
    return Stage(name, name.partition('@')[0], Command('shell', ('true',)), deps=made, outputs=tuple(map(Output, outs)), **more)


def drawn(*stages: Stage, **more: Any) -> Drawing:
    pipeline = Pipeline('p', {one.name: one for one in stages})
    return stage_drawing(pipeline, graph.edges(pipeline), list(pipeline.stages), **more)


def test_instances_that_wait_for_each_other_are_not_folded() -> None:
    found = drawn(stage('day@1', (), ('d1',)), stage('day@2', ('d1',), ('d2',)), stage('end', ('d2',)))
    assert [node.label for node in found.nodes] == ['day@1', 'day@2', 'end']
    crossed = drawn(
        stage('a@1', (), ('a1',)),
        stage('b@1', ('a1',), ('b1',)),
        stage('a@2', ('b1',), ('a2',)),
        stage('b@2', ('a2',), ('b2',)),
    )
    assert len(crossed.nodes) == 4 and len(crossed.pairs()) == 3


def test_an_edge_says_what_flows() -> None:
    found = drawn(stage('make', (), ('x/a', 'x/b')), stage('use', ('x/a', 'x/b')), stage('wait', ('@make',)))
    assert {(edge.source, edge.target): edge.label for edge in found.edges} == {
        ('make', 'use'): 'x/a, x/b',
        ('make', 'wait'): 'all of make',
    }


def test_what_instances_make_in_few_words() -> None:
    assert made_by([stage('t@1', (), ('m/1.bin', 'log'))]) == ['m/1.bin', 'log']
    assert made_by([stage('t@1', (), ('m/a-1.bin',)), stage('t@2', (), ('m/b-1.bin',))]) == ['m/*-1.bin']
    assert made_by([stage('t@1', (), ('aa',)), stage('t@2', (), ('aaa',))]) == ['aa*']
    assert made_by([stage('t@1', (), ('x',)), stage('t@2', (), ('x', 'y'))]) == ['x', 'y']


def test_details_are_cut_short() -> None:
    many = drawn(*(stage(f't@{n}', (f'in/{n}',), (f'out/{n}',)) for n in range(200)))
    (node,) = many.nodes
    assert node.count == 200 and node.label == 't@* (200)'
    assert all(len(text) < 2000 for _, text in node.details)
    assert ('makes', 'out/*') in node.details


def test_the_summary() -> None:
    assert summary(['a'], None) == '1 stage.'
    assert summary(['a', 'b', 'c'], {'a': 'fresh', 'b': 'run', 'c': 'fresh'}) == '3 stages: 1 run, 2 fresh.'


@pytest.mark.parametrize('text', HOSTILE[::5] + HOSTILE[-6:])
def test_names_act_on_no_terminal(text: str) -> None:
    nodes = (Node('a', text, note=text), Node('b', text, 'data'))
    lines = graph_lines(Drawing(text, nodes), {'a': [text]}, 80)
    assert all(harmless(line.text) and '\n' not in line.text for line in lines)
    assert not any(re.search('[\x00-\x1f]', line.text) for line in lines)


def test_a_thousand_stages_at_once(typed: Typed, project: Project) -> None:
    text = ''.join(f'  s{n}: {{cmd: "true", deps: [o{max(0, n - n % 7 - 1)}], outs: [o{n}]}}\n' for n in range(1, 1000))
    project.write('pipeline.yaml', f'version: 1\nstages:\n  s0: {{cmd: "true", outs: [o0]}}\n{text}')
    assert len(typed('graph').splitlines()) >= 1000
    assert typed('graph', '--format', 'html').count('<article') == 1000


def test_the_picture_in_the_documentation_is_what_the_tool_draws(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / 'digits', ignore=shutil.ignore_patterns('.mlops', 'data', 'models'))
    now = Project(tmp_path / 'digits').mlops('graph', '--instances', '--format', 'svg').out
    if os.environ.get('MLOPS_PIN'):
        PICTURE.write_text(now)
    assert now == PICTURE.read_text()
