"""Opens the project that a command is about and hands each function what it needs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from mlops_cli.cli import context
from mlops_cli.cli.console import Line, say
from mlops_cli.cli.finding import project_folder
from mlops_cli.cli.quick import compare, settle
from mlops_cli.cli.quick.learn import learning
from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.paths import Root
from mlops_cli.pipeline.around import around
from mlops_cli.pipeline.spec import Pipeline
from mlops_cli.records import data
from mlops_cli.records.config import Config, load_config
from mlops_cli.run.workbench import Workbench, open_workbench

if TYPE_CHECKING:
    from mlops_cli.fsio.locks import LockFile


FOLLOWS = b'# mlops follows DVC: '  # how such a pipeline begins


@dataclass(frozen=True)
class Project:
    """``folder``: absolute path of the project's root."""

    folder: str
    config: Config


def open_project(folder: str = '') -> Project:
    folder = folder or project_folder()
    with Root(folder) as root:
        return Project(folder, load_config(root, os.environ))


def _tell_around(folder: str) -> None:
    """A pipeline that another one includes is a project of its own as seen from here, with results of its own."""
    file = around(folder)[1]
    if file and not (context.current.quiet or context.current.json):
        import shlex

        outer = os.path.relpath(os.path.dirname(file))
        file = os.path.relpath(file)
        say(Line(f'note: {file} includes this pipeline; from here it is another project, with results of its own', 'note:'))
        say(f'      as part of that one: mlops -C {shlex.quote(outer)} ...')


@contextmanager
def workbench(assignments: Sequence[str] = (), *, tolerant: bool = False, learns: bool = False) -> Iterator[Workbench]:
    """The project around the current folder, open.  ``assignments``: the ``--set`` options.  ``tolerant``: what is asked for
    does not need the pipeline, which may be half written just now: it is empty then, and that is told.  ``learns``: what the
    command says may be kept, to be said at once the next time.

    Raises UserError, OSError."""
    folder = project_folder()
    with learning(folder) if learns else nullcontext(), _opened(folder, assignments, tolerant, learns) as bench:
        yield bench


@contextmanager
def _opened(folder: str, assignments: Sequence[str], tolerant: bool, learns: bool) -> Iterator[Workbench]:
    project = open_project(folder)
    _tell_around(project.folder)
    overlay = {}
    if assignments:
        from mlops_cli.fingerprint.params import parse_assignments

        with Root(project.folder) as root:
            overlay = parse_assignments(root, assignments)

    def opened(pipeline: Pipeline | None = None) -> Workbench:
        return open_workbench(
            project.folder,
            project.config,
            dict(os.environ),
            overlay=overlay,
            warn=lambda text: say(f'note: {text}'),
            pipeline=pipeline,
            verified=compare.verified_in(project.folder),
            settled=lambda pins: settle.read(folder, project.config.cache, pins) if learns and not overlay else None,
            relearns=compare.learns,
        )

    try:
        _require_current(project.folder)
        bench = opened()
    except UserError as error:
        if not tolerant or error.exit_code != ExitCode.WRONG_INPUT:
            raise
        say(Line(f'note: without what the pipeline says: {str(error).partition(chr(10))[0]}', 'note:'))
        bench = opened(Pipeline(os.path.basename(project.folder), {}))
    try:
        yield bench
    finally:
        bench.close()


def _require_current(folder: str) -> None:
    """A pipeline that follows another tool's has to be as that is now.  Raises UserError."""
    with Root(folder) as root:
        try:
            fd = root.open(layout.PIPELINE_FILE)
            try:
                begins = os.read(fd, len(FOLLOWS))
            finally:
                os.close(fd)
        except (OSError, UserError):
            return  # whoever loads it says what is wrong
        if begins == FOLLOWS:
            from mlops_cli.adopt.dvc.following import LIMIT, require_current
            from mlops_cli.fsio.atomic import read_file

            require_current(root, read_file(root, layout.PIPELINE_FILE, LIMIT))


def project_relative(root: str, word: str) -> str:
    """A path as the user typed it, from the project's root.  Raises UserError for one outside."""
    from mlops_cli.core.paths import check_path

    path = os.path.relpath(os.path.join(os.getcwd(), word), root).replace(os.sep, '/')
    if path.split('/')[0] == '..':
        raise UserError(f'{word} is outside of the project', hint=f'paths are inside the project, {root}')
    try:
        return check_path(path)
    except ValueError as error:
        raise UserError(f'{word}: {error}', hint=f'paths are inside the project, {root}') from error


@contextmanager
def writing(bench: Workbench, command: str = 'mlops') -> Iterator[LockFile]:
    """What a command that writes does first: folders made, what killed commands left healed.  The locks of the cache."""
    from mlops_cli.cli.console import note
    from mlops_cli.run.heal import begin_writing
    from mlops_cli.run.person import who

    with begin_writing(bench, note, lambda: who(bench.root.path), os.uname().nodename, command=command) as locks:
        yield locks


def output_words(bench: Workbench, words: Sequence[str]) -> tuple[str, ...]:
    """Stages and paths as the user typed them, paths from where the user stands; paths come back from the root."""
    if os.path.realpath(os.getcwd()) == os.path.realpath(bench.root.path):
        return tuple(words)
    known = {*bench.pipeline.stages, *bench.pipeline.groups}
    return tuple(word if word in known else _from_root(bench, word) for word in words)


def _from_root(bench: Workbench, word: str) -> str:
    """The path that a word means here, if it is one that the project knows; else the word."""
    path = os.path.relpath(os.path.join(os.getcwd(), word), bench.root.path).replace(os.sep, '/')
    paths = {output.path for stage in bench.pipeline.stages.values() for output in stage.outputs}
    return path if path in paths or path in data.tracked(bench.root) else word
