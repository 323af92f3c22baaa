"""A run that died: what it leaves, without waiting for one."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mlops_cli.core import layout
from mlops_cli.fsio.journal import Journal
from mlops_cli.fsio.paths import Root
from mlops_cli.run import aside
from tests.support.project import Project

RUN = '20261120T101522Z-7k2m9q4c'


def die(project: Project, stage: str, outputs: Sequence[str], run: str = RUN) -> None:
    """As a run is left that was killed while the stage ran: its outputs aside, its journal free."""
    attempt = f'{run.partition("-")[2]}-{stage}-1'
    journal = Journal(os.path.join(project.path, layout.JOURNAL), run)
    journal.append({'do': 'run', 'run': run, 'started': '2026-11-20T10:15:22Z', 'command': ['mlops', 'run'], 'set': []})
    journal.append(
        {'do': 'begin', 'attempt': attempt, 'stage': stage, 'run': run, 'outputs': [*outputs], 'links': [], 'kind': 'run'}
    )
    with Root(str(project.path)) as root:
        aside.move(root, attempt, outputs)
    journal.close(remove=False)
