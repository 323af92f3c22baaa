"""Short words for sessions with a Project: write stages, run them, see what became of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mlops_cli.core.events import StageEnded
from mlops_cli.records import data
from mlops_cli.run.invoke import Report
from tests.support.project import Project

Stage = Mapping[str, Any]


def lay(project: Project, stages: Mapping[str, Stage], **top: Any) -> None:
    """Writes pipeline.yaml (JSON is YAML)."""
    project.write('pipeline.yaml', json.dumps({**top, 'stages': stages}, ensure_ascii=False, indent=1))


def states(report: Report) -> dict[str, str]:
    """Stage -> what became of it."""
    return {name: str(one.state) for name, one in report.settled.items()}


def run(project: Project, *stages: str, **options: Any) -> dict[str, str]:
    return states(project.run(*stages, **options))


def ended(report: Report, stage: str) -> StageEnded:
    """How a stage that ran, was restored or failed ended."""
    event = report.settled[stage].event
    assert event is not None
    return event


def failure(report: Report, stage: str) -> str:
    """Message and hint of a stage that failed."""
    event = ended(report, stage)
    assert event.state == 'failed', event
    return f'{event.message}; {event.hint}'


def printed(project: Project, report: Report, stage: str) -> str:
    """What a stage's last attempt printed."""
    return (project.path / ended(report, stage).log).read_text(errors='replace')


def track(project: Project, *paths: str) -> None:
    """As ``mlops add``, in this process; the project has a pipeline already."""
    bench = project.open()
    try:
        for path in paths:
            data.add(bench.root, path, bench.store.add_path(bench.root, path).ref, bench.batch)
    finally:
        bench.close()


def verdict(project: Project, stage: str, **environ: str) -> str:
    """What mlops would do with a stage now; ``environ`` is set for this look only."""
    before = dict(project.environ)
    project.environ.update(environ)
    try:
        return project.verdicts()[stage]
    finally:
        project.environ.clear()
        project.environ.update(before)


def reasons(project: Project, stage: str) -> list[tuple[str, str]]:
    """(kind, subject) of each reason why a stage is not fresh."""
    step = project.plan().by_name[stage]
    return [(reason.kind, reason.subject) for reason in step.reasons]


def everything(project: Project, below: str = '.mlops') -> dict[str, bytes]:
    """Path -> bytes of every file under a folder of the project, and the names of all of them in the one entry ''."""
    files = {str(path.relative_to(project.path)): path for path in sorted((project.path / below).rglob('*'))}
    found = {name: path.read_bytes() for name, path in files.items() if path.is_file() and not path.is_symlink()}
    return {**found, '': '\n'.join(files).encode('utf-8', 'surrogateescape')}
