"""A Workflow for Argo.  The project lies on a volume that all pods share."""
from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from mlops_cli.adopt.engines.tasks import Task, label

HEAD = '''\
# Written by mlops export argo.  Argo says when and where a stage runs; whether it has to is for mlops: what is up to date,
# or in the cache, takes a moment.  argo submit THIS
'''
FOLDER = '/project'
_PLAIN = re.compile(r'[A-Za-z/][A-Za-z0-9/_.@-]*')  # what needs no quotes, unless it is one of:
_WORDS = frozenset({'true', 'false', 'null', 'yes', 'no', 'on', 'off', 'y', 'n'})


def _quoted(item: Any) -> str:
    """As JSON has it, but for characters that YAML writes in another way: those beyond U+FFFF are no pairs there."""
    if not isinstance(item, str):
        return json.dumps(item)
    return f'"{"".join(map(_escaped, item))}"'


def _escaped(one: str) -> str:
    code = ord(one)
    return f'\\U{code:08x}' if code > 0xFFFF else '\\x7f' if code == 0x7F else json.dumps(one)[1:-1]


def text(name: str, tasks: Sequence[Task], image: str, claim: str) -> str:
    """The file.  ``name``: of the pipeline.  ``image``: with what the stages need, and mlops; ``claim``: of the volume with the
    project."""
    graph = [{'name': task.name, 'template': f'stage-{task.name}', **({'dependencies': [*task.after]} if task.after else {})}
             for task in tasks]
    workflow = {
        'apiVersion': 'argoproj.io/v1alpha1',
        'kind': 'Workflow',
        'metadata': {'generateName': f'{label(name).strip("-") or "mlops"}-'},
        'spec': {
            'entrypoint': 'pipeline',
            'volumes': [{'name': 'project', 'persistentVolumeClaim': {'claimName': claim}}],
            'templates': [{'name': 'pipeline', 'dag': {'tasks': graph}}, *(_template(task, image) for task in tasks)],
        },
    }
    return HEAD + ''.join(f'{line}\n' for line in _yaml(workflow))


def _template(task: Task, image: str) -> dict[str, Any]:
    needs = task.stage.resources
    requests: dict[str, Any] = {'cpu': f'{round(needs.cpus * 1000)}m'}
    limits: dict[str, Any] = {}
    if needs.memory_bytes:
        requests['memory'] = limits['memory'] = str(needs.memory_bytes)
    if needs.gpus:
        limits['nvidia.com/gpu'] = str(needs.gpus)
    return {
        'name': f'stage-{task.name}',
        'container': {
            'image': image,
            'command': [*task.words],
            'workingDir': FOLDER,
            'volumeMounts': [{'name': 'project', 'mountPath': FOLDER}],
            'resources': {'requests': requests, **({'limits': limits} if limits else {})},
        },
    }


def _yaml(value: Any) -> Iterator[str]:
    """The lines of a mapping or list."""
    for key, item in value.items() if isinstance(value, dict) else ((None, item) for item in value):
        start = f'{key}:' if key is not None else '-'
        if isinstance(item, dict | list) and item:
            lines = list(_yaml(item))
            if key is None:
                yield f'- {lines[0]}'
                yield from (f'  {line}' for line in lines[1:])
            else:
                yield start
                yield from (f'  {line}' for line in lines)
        else:
            plain = isinstance(item, str) and _PLAIN.fullmatch(item) and item.lower() not in _WORDS
            yield f'{start} {item if plain else _quoted(item)}'
