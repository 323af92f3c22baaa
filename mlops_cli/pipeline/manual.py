"""The reference page of pipeline.yaml as Markdown, made from the schema, so that it cannot say anything else."""
from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mlops_cli.core.errors import UserError
from mlops_cli.yamlfile import read

_INTRODUCTION = """\
# pipeline.yaml

<!-- Written by docs/generate.py from pipeline.schema.yaml: edit that. -->

A pipeline is a file of stages. Each stage is a command with what it reads and what it makes; `mlops run` brings them up to
date, in parallel where nothing stands against it, and runs nothing twice.

```yaml
# yaml-language-server: $schema=pipeline.schema.yaml
stages:
  prepare:
    cmd: python src/prepare.py
    deps: [data/digits.csv]
    params: [prepare]
    outs: [data/prepared]
  train:
    matrix: {model: [logistic, forest], seed: [1, 2]}
    cmd: python -m digits.train --model ${item.model} --seed ${item.seed}
    deps: [data/prepared]
    params: [train]
    outs: ["models/${item.model}-${item.seed}.skops"]
```

The first line gives editors completion and checks while you type. The format is YAML 1.2: `no` and `on` are text, `1e-4` is a
number, and what readers of YAML disagree about is refused with a hint. All mistakes are told at once, each with file, line and
column. `${...}` can stand in any value of a stage, and in paths that are keys: see [Templates](templating.md).
"""
_CLOSING = """\
## What is checked
Beside the form of every key, before anything runs:

* each output has one maker, and no output lies inside another one;
* no stage depends on what it makes itself, and no stages wait for each other; the whole loop is named;
* stages that are named exist, and outputs differ between the instances of a stage;
* paths stay inside the project, and out of `.git` and `.mlops`.

Words mean what they mean in dvc.yaml wherever both have them.
"""


def page(schema: Mapping[str, Any]) -> str:
    """The page; ``schema``: what load.schema() returns."""
    parts = [_INTRODUCTION, _section(schema, schema, 'The file', 2, own='stages')]
    stage = schema['$defs']['stage']
    parts.append(f'## A stage\n{stage["description"]}\n\n{_overview(schema, stage)}')
    parts += [_key(schema, key, about) for key, about in stage['properties'].items()]
    parts.append(_section(schema, schema['$defs']['foreach'], 'Stages from a list: `foreach` and `do`', 2))
    return '\n'.join([*parts, _CLOSING])


def _overview(schema: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    rows = [f'| [`{key}`](#{_anchor(key)}) | {_cell(_expects(schema, one))} | {_default(one)} |'
            for key, one in about['properties'].items()]
    return '\n'.join(['| key | takes | default |', '|---|---|---|', *rows]) + '\n'


def _anchor(key: str) -> str:
    return key.lower()


def _key(schema: Mapping[str, Any], key: str, about: Mapping[str, Any]) -> str:
    """The entry of one key of a stage, with the keys below it."""
    lines = [f'### {key}', _sentence(about['description']), '', f'Takes {_expects(schema, about)}.'
             + (f' Default: {_default(about)}.' if 'default' in about else ''), '']
    lines += ['```yaml', *(_example(key, example) for example in about['examples']), '```', '']
    for below in _objects(schema, about):
        lines += [_table(schema, below), '']
    return '\n'.join(lines)


def _section(schema: Mapping[str, Any], about: Mapping[str, Any], title: str, level: int, own: str = '') -> str:
    """``own``: a key that is described elsewhere in full."""
    lines = [f'{"#" * level} {title}', _sentence(about['description']), '', _table(schema, about, own), '']
    return '\n'.join(lines)


def _table(schema: Mapping[str, Any], about: Mapping[str, Any], own: str = '') -> str:
    """The keys of a mapping, each with what it takes, its default, what it does and an example."""
    rows = ['| key | takes | default | meaning |', '|---|---|---|---|']
    entries = list(about.get('properties', {}).items())
    if isinstance(more := about.get('additionalProperties'), Mapping) and 'title' in (more := _found(schema, more)) and not own:
        entries.append((f'({more["title"].lower()})', more))
    for key, one in entries:
        example = next(iter(one.get('examples', ())), None)
        shown = f' `{_example(key, example)}`' if example is not None and not key.startswith('(') and key != own else ''
        name = key if key.startswith('(') else f'`{key}`'
        meaning = _cell(_sentence(one['description']) + shown)
        rows.append(f'| {name} | {_cell(_expects(schema, one))} | {_default(one)} | {meaning} |')
    return '\n'.join(rows)


def _objects(schema: Mapping[str, Any], about: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The mappings with known keys that may stand in a value."""
    about = _found(schema, about)
    if 'properties' in about:
        yield about
        return
    for branch in about.get('anyOf', ()):
        yield from _objects(schema, branch)
    for key in ('items', 'additionalProperties'):
        if isinstance(about.get(key), Mapping):
            yield from _objects(schema, about[key])


def _found(schema: Mapping[str, Any], about: Mapping[str, Any]) -> Mapping[str, Any]:
    """With what it refers to."""
    if '$ref' not in about:
        return about
    target = schema['$defs'][about['$ref'].rpartition('/')[2]]
    return {**_found(schema, target), **{key: value for key, value in about.items() if key != '$ref'}}


def _expects(schema: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    return str(_found(schema, about)['expects'])


def _default(about: Mapping[str, Any]) -> str:
    return f'`{_flow(about["default"])}`' if 'default' in about else ''


def _sentence(text: str) -> str:
    return ' '.join(text.split())


def _cell(text: str) -> str:
    return text.replace('|', '\\|')


def _example(key: str, value: Any) -> str:
    """``key: value`` in one line, text unquoted where YAML allows."""
    plain = isinstance(value, str) and _reads_back(f'{key}: {value}', {key: value})
    return f'{key}: {value if plain else _flow(value)}'


def _flow(value: Any) -> str:
    if isinstance(value, str):
        return value if _reads_back(f'[{value}]', [value]) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return '{' + ', '.join(f'{_flow(key)}: {_flow(below)}' for key, below in value.items()) + '}'
    if isinstance(value, list):
        return '[' + ', '.join(map(_flow, value)) + ']'
    return json.dumps(value)


def _reads_back(text: str, value: Any) -> bool:
    try:
        return bool(read(text.encode(), 'example').value == value)
    except UserError:
        return False
