"""Where the logs of stages are, on this machine."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_cli.core import layout
from mlops_cli.fsio.paths import Root
from mlops_cli.run.attempt import log_path

ATTEMPTS = 100  # of a stage in one run, at most


def runs_with_logs(root: Root) -> list[str]:
    """Ids of the runs that have logs here, newest first; running ones too."""
    if root.stat(layout.LOGS) is None:
        return []
    return sorted((entry.name for entry in root.scandir(layout.LOGS) if entry.is_dir()), reverse=True)


def logs_of(root: Root, run: str, stage: str) -> Iterator[str]:
    """Project-relative paths of what a stage printed in a run, an attempt each, the first one first."""
    for number in range(1, ATTEMPTS + 1):
        path = log_path(run, stage, number)
        if root.stat(path) is None:
            return
        yield path


def newest_log(root: Root, stage: str) -> str | None:
    """The log of the last attempt that was begun."""
    for run in runs_with_logs(root):
        if found := list(logs_of(root, run, stage)):
            return found[-1]
    return None
