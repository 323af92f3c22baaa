"""What spares most projects the library that checks schemas: it says the same, or nothing."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_cli import yamlfile
from mlops_cli.pipeline import load, surely
from mlops_cli.pipeline.surely import Checker

HERE = Path(__file__)
EXAMPLES = sorted((HERE.parents[2] / 'examples').rglob('pipeline.yaml'))
CASES = HERE.with_name('broken.txt').read_text().split('=== ')[1:]
BROKEN = [case.partition('\n>>>\n')[0].partition('\n')[2] for case in CASES]
GOOD = {
    'version': 1,
    'name': 'digits',
    'vars': [{'depth': 3}],
    'stages': {
        'prepare': {'cmd': 'python a.py\n', 'deps': ['raw', {'stage': 'get'}], 'outs': ['data', {'big': {'cache': False}}]},
        'train': {
            'matrix': {'depth': [1, 2], 'exclude': [{'depth': 1}]},
            'cmd': ['echo a', 'python train.py ${depth}'],
            'params': ['lr', {'conf.toml': ['seed']}],
            'metrics': [{'m.json': {'primary': 'loss', 'goals': {'loss': 'min'}}}],
            'resources': {'cpus': 1.5, 'memory': '4 GB', 'licence': 1},
            'retry': {'max': 2, 'causes': ['oom']},
            'timeout': '1h30m',
            'frozen': False,
        },
        'each': {'foreach': ['a', 'b'], 'do': {'argv': ['cp', '${item}', 'x']}},
    },
}


def says(schema: Any, value: Any) -> bool | None:
    """Whether a value is valid; None: it does not say."""
    try:
        return Checker(schema, 1_000_000)._holds(schema, value)
    except surely._Unsure:
        return None


def schemas() -> list[Any]:
    return [load._schema(True), load._schema(False)]


def documents() -> list[Any]:
    texts = [*BROKEN, *(path.read_text() for path in EXAMPLES)]
    found = [yamlfile.examine(text.encode(), 'pipeline.yaml')[0] for text in texts]
    return [GOOD, *(one.value for one in found if one is not None and isinstance(one.value, dict))]


def test_it_says_of_files_what_the_library_says() -> None:
    told = set()
    for schema in schemas():
        library = jsonschema_rs.Draft202012Validator(schema)
        for document in documents():
            told.add(said := says(schema, document))
            assert said in (None, library.is_valid(document)), document
    assert {True, False} <= told


def test_right_files_need_no_library() -> None:
    assert len(EXAMPLES) > 3
    for path in EXAMPLES:
        value = yamlfile.read(path.read_bytes(), 'pipeline.yaml').value
        assert Checker(load.schema(), load.STEPS).surely(value), path
    assert Checker(load.schema(), load.STEPS).surely({**GOOD, 'stages': {**GOOD['stages'], 'train': {'cmd': 'x'}}})


def test_every_keyword_of_the_schema_is_known() -> None:
    known = surely._RULES.keys() | surely._ANNOTATIONS

    def look(schema: Any) -> None:
        if not isinstance(schema, dict):
            return
        assert schema.keys() <= known
        for keyword in ('properties', '$defs'):
            for below in schema.get(keyword, {}).values():
                look(below)
        for keyword in ('additionalProperties', 'propertyNames', 'items', 'if', 'then', 'else'):
            look(schema.get(keyword))
        for keyword in ('anyOf', 'oneOf'):
            for below in schema.get(keyword, []):
                look(below)

    look(load.schema())


@pytest.mark.parametrize(
    ('schema', 'value'),
    [
        ({'type': 'integer'}, 1.0),
        ({'const': 1}, True),
        ({'const': 1}, 1.0),
        ({'enum': ['a', 0]}, False),
        ({'pattern': '^a$'}, 'a\n'),
        ({'pattern': r'\S'}, '\u2003'),
        ({'pattern': r'\S'}, '\x1c'),
        ({'format': 'date'}, 'x'),
    ],
    ids=str,
)
def test_what_may_be_told_differently_is_left_to_the_library(schema: Any, value: Any) -> None:
    assert says(schema, value) is None and not Checker(schema, 100).surely(value)


def test_it_gives_up_after_so_many_steps() -> None:
    checker = Checker(load.schema(), 50)
    assert not checker.surely(GOOD) and not checker.surely({'stages': {}})


def paths(value: Any) -> list[tuple[Any, Any]]:
    """(what holds it, its key) of every value in a document."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, below in entries for place in ((value, key), *paths(below))]


VALUES: Any = [
    *(None, True, False, 0, 1, -1, 2.5, 1e300, 2**63, '', ' ', 'a', 'a b', '${x}', 'x\n', 'é', '4 GB', '1h', 'min', 'oom'),
    *([], ['a'], [1], ['${x}'], [['a']], [{}], {}, {'a': 'b'}, {'stage': 'a'}, {'max': 1}, {'cmd': 'x'}, {'1': []}),
]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, len(VALUES) - 1), st.integers(0, 10)), min_size=1, max_size=4),
    st.booleans(),
)
def test_it_says_of_anything_what_the_library_says(changes: list[tuple[int, int, int]], templates: bool) -> None:
    document = copy.deepcopy(GOOD)
    for place, value, how in changes:
        if not (found := paths(document)):
            break
        holder, key = found[place % len(found)]
        if how == 0:
            del holder[key]
        elif how == 1 and isinstance(holder, dict):
            holder[('cmd', 'outs', 'deps', 'other', 'é', 'max', 'a-b')[value % 7]] = copy.deepcopy(VALUES[value])
        else:
            holder[key] = copy.deepcopy(VALUES[value])
    schema = load._schema(templates)
    assert says(schema, document) in (None, jsonschema_rs.is_valid(schema, document)), json.dumps(document)
