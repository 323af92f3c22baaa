"""Opens what is known about runs, quickly, and also where the pipeline cannot be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from mlops_cli.cli.console import Line, say
from mlops_cli.cli.finding import project_folder
from mlops_cli.cli.progress import Progress
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import UserError
from mlops_cli.experiments.past import open_history
from mlops_cli.fsio.paths import Root
from mlops_cli.pipeline.kept import load
from mlops_cli.pipeline.spec import Pipeline
from mlops_cli.records.config import Config, load_config
from mlops_cli.records.history import History
from mlops_cli.records.kept import Kept


@dataclass(frozen=True)
class Opened:
    """``pipeline`` None where it cannot be read: then nobody knows what its metrics mean."""

    root: Root
    history: History
    pipeline: Pipeline | None
    kept: Kept
    config: Config


@contextmanager
def history() -> Iterator[Opened]:
    """The history of the project around the current folder.  Raises UserError, OSError."""
    folder = project_folder()
    with ExitStack() as stack:
        root = stack.enter_context(Root(folder))
        reading = _Reading()
        shown = stack.enter_context(Progress(reading.text))

        def progress(what: str, done: int, every: int) -> None:
            reading.words = f'reading {what} for the first time: {done:,} of {every:,}'
            shown.step()

        config = load_config(root, os.environ)
        found = open_history(root, config, os.environ, progress)
        stack.callback(found.database.close)
        yield Opened(root, found, _pipeline(folder), Kept(root), config)


class _Reading:
    words = ''

    def text(self) -> str:
        return self.words


def _pipeline(folder: str) -> Pipeline | None:
    try:
        return load(folder, environ=dict(os.environ))
    except UserError as error:
        say(Line(f'note: the pipeline cannot be read, so nothing is known about its metrics: {error}', 'note:'))
        return None
