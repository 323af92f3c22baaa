"""What comes after what, in which order, and how it is drawn."""
from __future__ import annotations

import time
from typing import Any

import pytest

from mlops_cli.core.errors import UserErrors, Where
from mlops_cli.pipeline import graph
from mlops_cli.pipeline.spec import Code, Command, Dep, Environment, Output, ParamRef, Pipeline, Stage


def stage(name: str, deps: list[Any] | None = None, outs: list[str] | None = None, **more: Any) -> Stage:
    kinds = {'*': 'glob', '@': 'stage'}
    made = tuple(Dep(kinds.get(text[0] if text[0] == '@' else '*' if '*' in text else '', 'path'),  # type: ignore[arg-type]
                     text.removeprefix('@')) for text in deps or [])
    return Stage(name, name.partition('@')[0], Command('shell', ('true',)), deps=made,
                 outputs=tuple(map(Output, outs or [])), where=Where('p.yaml', len(name), 3), **more)


def pipeline(*stages: Stage) -> Pipeline:
    return Pipeline('p', {one.name: one for one in stages})


@pytest.mark.parametrize(('dep', 'out', 'joined'), [
    ('data/a.csv', 'data/a.csv', True),
    ('data/a.csv', 'data', True),
    ('data', 'data/a.csv', True),
    ('data/deep/er', 'data', True),
    ('.', 'data/a.csv', True),
    ('data2', 'data', False),
    ('data', 'data2/a', False),
    ('data/*.csv', 'data/a.csv', True),
    ('data/*.csv', 'data', True),
    ('data/*.csv', 'data/a.bin', False),
    ('**/*.csv', 'x/y', True),
    ('data/**', 'other', False),
    ('@make', 'whatever', True),
])
def test_edges_by_paths(dep: str, out: str, joined: bool) -> None:
    found = graph.edges(pipeline(stage('use', [dep]), stage('make', outs=[out])))
    assert found == {'use': ('make',) if joined else (), 'make': ()}


@pytest.mark.parametrize('more', [
    {'params': (ParamRef('made.yaml', 'x'),)},
    {'code': Code(paths=('made.yaml',))},
    {'code': Code(paths=('*.yaml',))},
    {'environment': Environment('venv', 'made.yaml')},
    {'needs': ('make',)},
])
def test_edges_by_everything_a_stage_reads(more: dict[str, Any]) -> None:
    assert graph.edges(pipeline(stage('use', **more), stage('make', outs=['made.yaml'])))['use'] == ('make',)


def test_a_group_means_all_its_instances() -> None:
    found = graph.edges(pipeline(stage('t@a', outs=['a']), stage('t@b', outs=['b']), stage('u', ['@t']), stage('v', ['@t@b'])))
    assert found['u'] == ('t@a', 't@b') and found['v'] == ('t@b',)


def test_order_is_that_of_the_file_where_it_can_be() -> None:
    made = pipeline(stage('c'), stage('b', ['x']), stage('a', outs=['x']), stage('d'))
    assert graph.topological(made) == ['c', 'a', 'b', 'd']


def test_a_loop_is_named_with_places() -> None:
    made = pipeline(stage('free'), stage('a', ['c.out'], ['a.out']), stage('bb', ['a.out'], ['b.out']),
                    stage('ccc', ['b.*'], ['c.out']), stage('after', ['c.out']))
    with pytest.raises(UserErrors) as caught:
        graph.topological(made)
    assert [error.message for error in caught.value.errors] == [
        ('stages wait for each other: a (p.yaml:1:3) needs c.out of ccc, ccc (p.yaml:3:3) needs b.* of bb, '
         'bb (p.yaml:2:3) needs a.out of a')]
    assert str(caught.value.errors[0].where) == 'p.yaml:1:3'


def test_every_loop_is_named() -> None:
    made = pipeline(stage('a', needs=('b',)), stage('b', needs=('a',)), stage('c', needs=('d',)), stage('d', needs=('c',)),
                    stage('e', needs=('e',)))
    errors = graph.loops(made, graph.edges(made))
    assert [error.message for error in errors] == [
        'stages wait for each other: a (p.yaml:1:3) needs b, b (p.yaml:1:3) needs a',
        'stages wait for each other: c (p.yaml:1:3) needs d, d (p.yaml:1:3) needs c',
        'stages wait for each other: e (p.yaml:1:3) needs e']


def test_a_long_loop_is_cut_short() -> None:
    made = pipeline(*(stage(f's{n}', [f'o{(n + 1) % 100}'], [f'o{n}']) for n in range(100)))
    message, = (error.message for error in graph.loops(made, graph.edges(made)))
    assert message.count('needs') == 30 and '70 more, s99 (p.yaml:3:3) needs o0 of s0' in message


@pytest.fixture
def diamond() -> Pipeline:
    return pipeline(stage('top', outs=['t']), stage('left', ['t'], ['l']), stage('right', ['t'], ['r']),
                    stage('end', ['t', 'l', 'r']), stage('alone'))


def test_what_longer_paths_imply_is_left_out(diamond: Pipeline) -> None:
    before = graph.edges(diamond)
    assert before['end'] == ('top', 'left', 'right')
    assert graph.reduced(before)['end'] == ('left', 'right')
    with pytest.raises(ValueError, match='wait for each other'):
        graph.reduced({'a': ('b',), 'b': ('a',)})


def test_what_flows_is_named_as_it_is_declared() -> None:
    user = stage('u', ['@t', 'o/*', 'o/a'])
    made = pipeline(stage('t@a', outs=['o/a']), stage('t@b', outs=['o/b']), user, stage('v', needs=('u',)))
    assert graph.flows(made) == {('t@a', 'u'): ('o/a', 'o/*', 'all of t'), ('t@b', 'u'): ('o/*', 'all of t')}


def test_json_holds_every_edge(diamond: Pipeline) -> None:
    assert graph.document(diamond, ['top', 'end']) == {
        'schema': 'mlops/graph/v1', 'edges': [['top', 'end']],
        'nodes': [{'name': 'top', 'deps': [], 'outs': ['t']}, {'name': 'end', 'deps': ['t', 'l', 'r'], 'outs': []}]}


def test_ten_thousand_stages() -> None:
    made = pipeline(*(stage(f's{n}', [f'out/{n - 1}.csv', 'data/*.csv'], [f'out/{n}.csv']) for n in range(10_000)))
    begin = time.process_time()
    before = graph.edges(made)
    assert graph.topological(made, before)[-1] == 's9999'
    assert time.process_time() - begin < 2
