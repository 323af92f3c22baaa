"""A Snakefile.  Snakemake knows files by their times and removes what a rule makes before it runs; mlops knows better, so what
rules make are marks, and gone when the last rule has run."""
from __future__ import annotations

import math
from collections.abc import Sequence

from mlops_cli.adopt.engines.tasks import Task
from mlops_cli.core import layout

FILE = 'Snakefile'
MARKS = f'{layout.LOCAL}/snakemake'
HEAD = '''\
# Written by mlops export snakemake.  Snakemake says when and where a stage runs; whether it has to is for mlops: what is up to
# date, or in the cache, takes a moment.  Again: snakemake --cores all

'''


def text(_name: str, tasks: Sequence[Task]) -> str:
    """The file."""
    parts = [HEAD, *(f'{event}:\n    shell({f"rm -rf {MARKS}"!r})\n\n' for event in ('onsuccess', 'onerror'))]
    parts += ['rule all:\n    input:\n', *(f'        {_mark(task.name)},\n' for task in tasks), '    default_target: True\n']
    for task in tasks:
        parts.append(f'\nrule {task.name}:\n')
        if task.after:
            parts += ['    input:\n', *(f'        {_mark(name)},\n' for name in task.after)]
        parts.append(f'    output: touch({_mark(task.name)})\n')
        needs = task.stage.resources
        parts.append(f'    threads: {max(1, math.ceil(needs.cpus))}\n')
        if asked := ', '.join([
            *([f'mem_mb={math.ceil(needs.memory_bytes / 1e6)}'] if needs.memory_bytes else []),
            *([f'gpu={needs.gpus}'] if needs.gpus else []),
        ]):
            parts.append(f'    resources: {asked}\n')
        parts.append(f'    shell: {" ".join(task.words)!r}\n')
    return ''.join(parts)


def _mark(name: str) -> str:
    return repr(f'{MARKS}/{name}')
