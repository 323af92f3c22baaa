"""What a stage is told of the models that its gates name: what they name, and little else."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_cli.fingerprint.gated import models_in, told_of
from mlops_cli.pipeline.spec import Command

METRICS = {
    'best.json': {'acc': 0.9, 'loss': 0.1, 'layers.0': 64, 'mAP@0.5:0.95': 0.4, 'recall@k/macro': 0.7},
    'runs/1/m.json': {'acc': 0.91, 'f1': 0.5}, 'runs/2/m.json': {'acc': 0.92, 'f1': 0.6}, 'a b.json': {'x': 1},
}  # fmt: skip
TOLD = {'version': 'digits v1', 'metrics': METRICS}


def told(cmd: str) -> Any:
    command = Command('shell', (cmd,))
    assert models_in(command) == ('digits@prod',)
    return told_of(command, 'digits@prod', TOLD)['metrics']


@pytest.mark.parametrize(('cmd', 'names'), [
    ('mlops gate "best.json:loss > 1 or best.json:acc >= digits@prod/best.json:acc"', {'best.json': ['acc']}),
    ('mlops gate "mean(digits@prod/runs/*/m.json:f1) > 0"', {'runs/1/m.json': ['f1'], 'runs/2/m.json': ['f1']}),
    ('mlops gate "best.json:x > -digits@prod/best.json:loss"', {'best.json': ['loss']}),  # what is subtracted
    ("mlops gate 'digits@prod/best.json:layers[0] == 64'", {'best.json': ['layers.0']}),
    ("mlops gate 'digits@prod/best.json:\"mAP@0.5:0.95\" > 0'", {'best.json': ['mAP@0.5:0.95']}),
    ('mlops gate "digits@prod/best.json:\\"mAP@0.5:0.95\\" > 0"', {'best.json': ['mAP@0.5:0.95']}),
    ("mlops gate 'digits@prod/best.json:recall@k/macro > 0'", {'best.json': ['recall@k/macro']}),
    ('mlops gate "digits@prod/"best.json:loss" < 1"', {'best.json': ['loss']}),
    ('mlops gate "digits@prod/a b.json:x > 0"', {'a b.json': ['x']}),
    ('mlops gate "digits@prod/runs/1/m.json:acc > 0 and digits@prod/best.json:acc > 0"',
     {'best.json': ['acc'], 'runs/1/m.json': ['acc']}),
    ('mlops gate "digits@prod/runs/1/m.json:$KEY > 0"', {'runs/1/m.json': ['acc', 'f1']}),  # the shell says which
    ('F=best.json; mlops gate "digits@prod/$F:acc > 0"', {'best.json': ['acc'], 'runs/1/m.json': ['acc'],
                                                           'runs/2/m.json': ['acc'], 'a b.json': ['x']}),
    ('mlops gate "digits@prod/runs/1/m.json:f2 > 0"', {'runs/1/m.json': ['acc', 'f1']}),  # for a hint
    ('mlops gate "digits@prod/best.jsn:acc > 0"', {key: [] for key in METRICS}),
])  # fmt: skip
def test_what_the_command_names_is_told(cmd: str, names: dict[str, list[str]]) -> None:
    found = told(cmd)
    assert {file: sorted(numbers) for file, numbers in found.items()} == names
    assert all(METRICS[file][key] == value for file, numbers in found.items() for key, value in numbers.items())  # type: ignore[index]


def test_of_what_is_not_there_only_some_is_told_for_hints() -> None:
    many = {'metrics': {'m.json': {f'class{at}': at for at in range(5000)}}}
    command = Command('shell', ('mlops gate "digits@prod/m.json:clas > 0"',))
    assert len(told_of(command, 'digits@prod', many)['metrics']['m.json']) == 100
    assert told_of(command, 'digits@prod', {'absent': 'no model'}) == {'absent': 'no model'}
