"""Where the logs of stages are, on this machine.  Says nothing about what is in them."""

from __future__ import annotations

import os
import stat

from mlops_cli.core import layout
from mlops_cli.core.errors import UserError
from mlops_cli.fsio import locks, ops
from mlops_cli.fsio.journal import SUFFIX
from mlops_cli.fsio.paths import Root
from mlops_cli.job.log import tail_of
from mlops_cli.records.pins import slug

LAST_BYTES = 4096
ATTEMPTS = 100  # of a stage in one run, at most


def log_path(run: str, stage: str, number: int = 1) -> str:
    """Project-relative path of what an attempt prints."""
    return f'{layout.LOGS}/{run}/{slug(stage)}{"" if number == 1 else f".{number}"}.log'


class RunLogs:
    """The folder of one run's logs, held open while the run lasts.  ``kept_nothing``: that the store has what a stage that
    prints nothing printed, and was told in this run that it is wanted."""

    def __init__(self, root: Root, run: str) -> None:
        self._root, self._run = root, run
        self._folder: Root | None = None
        self.kept_nothing = False

    def prepare(self) -> None:
        """Makes the folder, if absent, again if somebody has removed it.  Raises OSError, UserError."""
        if self._folder is not None and not os.fstat(self._folder.fd).st_nlink:
            self.close()
        if self._folder is None:
            self._folder = self._root.sub(f'{layout.LOGS}/{self._run}', create=True, mode=0o700)

    def stat(self, path: str) -> os.stat_result | None:
        """lstat of a log by its project-relative path; None where there is none in the folder of the run."""
        folder, _, name = path.rpartition('/')
        if self._folder is None or folder != f'{layout.LOGS}/{self._run}':
            return None
        return self._folder.stat(name)

    def close(self) -> None:
        """Lets go of the folder; twice does no harm."""
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.close()


def runs_with_logs(root: Root) -> list[str]:
    """Ids of the runs that have logs here, newest first; running ones too."""
    if root.stat(layout.LOGS) is None:
        return []
    return sorted((entry.name for entry in root.scandir(layout.LOGS) if entry.is_dir()), reverse=True)


def logs_of(root: Root, run: str, stage: str) -> tuple[str, ...]:
    """Project-relative paths of what a stage printed in a run, an attempt each, the first one first."""
    found = []
    for number in range(1, ATTEMPTS + 1):
        path = log_path(run, stage, number)
        if root.stat(path) is None:
            break
        found.append(path)
    return tuple(found)


def newest_log(root: Root, stage: str) -> tuple[str, str] | None:
    """(run, path of the log) of the last attempt that was begun."""
    for run in runs_with_logs(root):
        if found := logs_of(root, run, stage):
            return run, found[-1]
    return None


def last_line(root: Root, path: str, max_bytes: int = LAST_BYTES) -> str:
    """The last line of a log inside the project, as it is; '' where there is none, or none that can be read."""
    try:
        fd = root.open(path, os.O_RDONLY)
    except (OSError, UserError):
        return ''
    if not stat.S_ISREG(ops.fstat(fd).st_mode):
        os.close(fd)
        return ''
    try:
        return ''.join(tail_of(fd, 1, max_bytes))
    except OSError:
        return ''


def is_going_on(root: Root, run: str) -> bool:
    """Whether a run is under way: its journal is there, and somebody holds it."""
    try:
        fd = root.open(f'{layout.JOURNAL}/{run}{SUFFIX}', os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        return locks.is_locked(fd)
    finally:
        os.close(fd)
