"""foreach and matrix: which instances there are, what they are called, what they see."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_cli.pipeline.expand import identifier
from mlops_cli.pipeline.load import load
from mlops_cli.pipeline.spec import Stage, Used


def instances(folder: Path, stage: dict[str, Any], params: dict[str, Any] | None = None) -> list[Stage]:
    (folder / 'pipeline.yaml').write_text(json.dumps({'stages': {'t': stage}}))
    (folder / 'params.yaml').write_text(json.dumps(params or {}))
    return list(load(folder, environ={}).stages.values())


def commands(folder: Path, stage: dict[str, Any], params: dict[str, Any] | None = None) -> dict[str, str]:
    return {one.name: one.command.words[0] for one in instances(folder, stage, params)}


def items(folder: Path, matrix: dict[str, Any]) -> dict[str, Any]:
    return {one.name.removeprefix('t@'): dict(one.axes) for one in instances(folder, {'matrix': matrix, 'cmd': 'x'})}


def test_foreach_over_a_list(tmp_path: Path) -> None:
    found = commands(tmp_path, {'foreach': ['en', 2, 0.001, True, 'data/x y.csv'], 'do': {'cmd': 'x ${item} ${key}'}})
    assert found == {'t@en': 'x en en', 't@2': 'x 2 2', 't@0.001': 'x 0.001 0.001', 't@true': 'x true true',
                     't@data-x-y.csv': "x 'data/x y.csv' data-x-y.csv"}


def test_foreach_over_a_mapping(tmp_path: Path) -> None:
    found = commands(tmp_path, {'foreach': {'a': {'lr': 1}, 'b/c': {'lr': 2}}, 'do': {'cmd': 'x ${key} ${item.lr}'}})
    assert found == {'t@a': 'x a 1', 't@b-c': 'x b/c 2'}


def test_foreach_over_a_parameter(tmp_path: Path) -> None:
    found = commands(tmp_path, {'foreach': '${names}', 'do': {'cmd': 'x ${item}'}}, {'names': ['a', 'b']})
    assert list(found) == ['t@a', 't@b']


def test_items_hide_parameters_of_the_same_name(tmp_path: Path) -> None:
    assert commands(tmp_path, {'foreach': ['a'], 'do': {'cmd': 'x ${item}'}}, {'item': 'p'}) == {'t@a': 'x a'}


def test_matrix_in_the_order_of_its_axes(tmp_path: Path) -> None:
    stage = {'matrix': {'model': ['logistic', 'forest'], 'seed': '${seeds}'}, 'cmd': 'x ${item.model} ${item.seed}',
             'outs': ['${item.model}-${item.seed}.bin', 'sub/${key}']}
    found = instances(tmp_path, stage, {'seeds': [1, 2]})
    assert [one.name for one in found] == ['t@logistic-1', 't@logistic-2', 't@forest-1', 't@forest-2']
    assert found[3].command.words == ('x forest 2',) and found[3].group == 't'
    assert [output.path for output in found[3].outputs] == ['forest-2.bin', 'sub/forest-2']
    assert found[3].axes == {'model': 'forest', 'seed': 2}


def test_a_whole_matrix_from_a_parameter(tmp_path: Path) -> None:
    assert list(commands(tmp_path, {'matrix': '${m}', 'cmd': 'x'}, {'m': {'a': [1, 2]}})) == ['t@1', 't@2']


def test_exclude(tmp_path: Path) -> None:
    found = items(tmp_path, {'a': [1, 2, 3], 'b': ['x', 'y'], 'exclude': [{'a': 1}, {'a': 2, 'b': 'y'}, {'a': '3'}]})
    assert list(found) == ['2-x', '3-x', '3-y']


def test_include_extends_what_it_fits_and_adds_what_it_does_not(tmp_path: Path) -> None:
    found = items(tmp_path, {
        'fruit': ['apple', 'pear'], 'animal': ['cat', 'dog'],
        'include': [{'color': 'green'}, {'color': 'pink', 'animal': 'cat'}, {'fruit': 'apple', 'shape': 'circle'},
                    {'fruit': 'banana'}, {'fruit': 'banana', 'animal': 'cat'}]})
    assert found == {
        'apple-cat': {'fruit': 'apple', 'animal': 'cat', 'color': 'pink', 'shape': 'circle'},
        'apple-dog': {'fruit': 'apple', 'animal': 'dog', 'color': 'green', 'shape': 'circle'},
        'pear-cat': {'fruit': 'pear', 'animal': 'cat', 'color': 'pink'},
        'pear-dog': {'fruit': 'pear', 'animal': 'dog', 'color': 'green'},
        'banana': {'fruit': 'banana'}, 'banana-cat': {'fruit': 'banana', 'animal': 'cat'}}


def test_include_alone(tmp_path: Path) -> None:
    assert list(items(tmp_path, {'include': [{'a': 1, 'b': 2}, {'a': 3}]})) == ['1-2', '3']


@pytest.mark.parametrize(('value', 'name'), [
    ('forest', 'forest'), ('a b/c', 'a-b-c'), ('../x', '..-x'), ('-x-', 'x'), ('', 'empty'), ('größe', 'größe'),
    ('a=b+c', 'a=b+c'), ('$(rm)', 'rm'),
    (3, '3'), (-1, '-1'), (1.0, '1.0'), (1e-5, '1e-05'), (0.1, '0.1'), (True, 'true'), (None, 'null'),
    ({'name': 'big', 'depth': 9}, 'big'), ({'id': 7}, '7'),
])
def test_names_of_values(value: Any, name: str) -> None:
    assert identifier(value, 'axis') == name


def test_names_of_what_has_no_short_text() -> None:
    assert identifier({'lr': 1}, 'opt') == identifier({'lr': 1}, 'opt') != identifier({'lr': 1.0}, 'opt')
    assert identifier([1, 2], 'layers').startswith('layers-') and len(identifier([1, 2], 'layers')) == 15
    assert identifier('???', 'axis').startswith('axis-')
    long = identifier('x' * 100, 'axis')
    assert len(long) <= 48 and long != identifier('x' * 101, 'axis')


scalars = (st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
           | st.text(st.characters(exclude_categories=['Cs'])))


@given(st.recursive(scalars, lambda below: st.lists(below, max_size=3), max_leaves=4))
def test_any_value_has_a_harmless_name(value: Any) -> None:
    name = identifier(value)
    assert name and len(name) <= 60 and not set(name) & set('/ @*?[]$`"\'\\;&|<>()\n\0~#!{}')


def test_what_templates_looked_up(tmp_path: Path) -> None:
    files = {'params.yaml': 'k: [3, 9]\ntrain: {lr: 0.1, epochs: 2}\nother: 1\nroot: out\nitem: 7\n',
             'more.yaml': 'level: {deep: x}\n',
             'pipeline.yaml': 'vars: [{folder: "${root}/it", plain: 5}, more.yaml]\nstages:\n'
                              '  s:\n    matrix: {k: "${k}"}\n'
                              '    cmd: f ${train.lr} ${item.k} ${plain} ${level.deep} ${absent:-1} ${train.lr}\n'
                              '    outs: ["${folder}/${item.k}"]\n'
                              '  t:\n    cmd: g ${train}\n'
                              '  u:\n    cmd: h\n'}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    stages = load(tmp_path, environ={}).stages
    assert {(one.file, one.key, str(one.value)) for one in stages['s@9'].used} == {
        ('params.yaml', 'k', '[3, 9]'), ('params.yaml', 'train.lr', '0.1'), ('params.yaml', 'root', 'out'),
        ('more.yaml', 'level.deep', 'x')}
    assert stages['t'].used == (Used('params.yaml', 'train', {'lr': 0.1, 'epochs': 2}),)
    assert stages['u'].used == ()
