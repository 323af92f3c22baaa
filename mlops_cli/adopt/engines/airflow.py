"""A DAG for Airflow 3, or 2 from 2.4 on."""
from __future__ import annotations

from collections.abc import Sequence

from mlops_cli.adopt.engines.tasks import Task

HEAD = '''\
# Written by mlops export airflow.  Airflow says when and where a stage runs; whether it has to is for mlops: what is up
# to date, or in the cache, takes a moment.  MLOPS_PROJECT: the folder of the project, where that is not the one of this file.
import os

try:
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.sdk import DAG
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.operators.bash import BashOperator

PROJECT = os.environ.get('MLOPS_PROJECT') or os.path.dirname(os.path.abspath(__file__))

'''


def text(name: str, tasks: Sequence[Task]) -> str:
    """The file.  ``name``: of the pipeline."""
    lines = [HEAD, f'with DAG({name!r}, schedule=None, catchup=False):\n']
    lines.append('    task = {\n        name: BashOperator(task_id=name, bash_command=command, cwd=PROJECT, append_env=True)\n')
    lines.append('        for name, command in {\n')
    # The blank at the end: a command that ends like the name of a file would be looked for as one.
    commands = {task.name: ' '.join([*task.words, '']) for task in tasks}
    lines += [f'            {task!r}: {command!r},\n' for task, command in commands.items()]
    lines.append('        }.items()\n    }\n')
    lines += [f'    task[{before!r}] >> task[{task.name!r}]\n' for task in tasks for before in task.after]
    return ''.join(lines)
