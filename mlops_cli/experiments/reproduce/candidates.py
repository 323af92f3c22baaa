"""What is to be made again, and the commits it may have been made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlops_cli import git
from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.experiments.model import Point, StagePoint
from mlops_cli.experiments.points import find_point, run_point
from mlops_cli.git.program import run
from mlops_cli.records.runs import Run
from mlops_cli.run.workbench import Workbench

HEAD = 'HEAD'


@dataclass(frozen=True)
class Wanted:
    """``label``: as people read it.  ``commits``: where to look for it, best first; empty without git.  ``run``: None for a
    revision, of which the commit alone says what there is.  ``seed``: what a sample follows from."""

    label: str
    commits: tuple[str, ...]
    run: Run | None = None

    @property
    def seed(self) -> str:
        return self.run.id if self.run is not None else self.commits[0]

    @property
    def overlay(self) -> dict[tuple[str, str], object]:
        return {(file, key): value for file, key, value in self.run.overlay} if self.run is not None else {}


def wanted(bench: Workbench, word: str) -> Wanted:
    """``word``: a run, else a revision; '' is HEAD.  Raises UserError."""
    if not word:
        commit = git.resolve(bench.root.path, HEAD)
        return Wanted(f'{HEAD} ({commit[:7]})', (commit,))
    point = _point(bench, word)
    if point.run is None:
        return Wanted(point.label, (point.commit,))
    made = [one for one in point.run.stages if one.outs8] or point.run.fresh_stages
    if not made:
        raise UserError(
            f'run {point.run.short} led to no result, so there is nothing to reproduce',
            hint=f'mlops runs show {point.run.short} tells what became of it',
        )
    commits = dict.fromkeys([*filter(None, [point.run.commit]), *_brought_by(bench, point.run)])
    return Wanted(_label(point.run), tuple(commits), point.run)


def _point(bench: Workbench, word: str) -> Point:
    """Raises UserError, also for the workspace, which is no record of anything."""
    if word == 'workspace':
        raise UserError('the workspace is no record that could be made again', hint='mlops run --force runs its stages anew')
    return find_point(bench, word)


def _label(run: Run) -> str:
    said = ', '.join(part for part in (run.who, run.started[:10]) if part)
    return f'run {run.short}' + (f' ({said})' if said else '')


def _brought_by(bench: Workbench, run_: Run) -> Iterator[str]:
    """The commits that added the record of a run: their code is what ran, where it was not committed before."""
    path = layout.run_record(run_.id)
    arguments = ['log', '--format=%H', '--diff-filter=A', '-n', '3', '--', path]
    yield from (run(bench.root.path, arguments) or b'').decode(errors='replace').split()


def expected(bench: Workbench, run_: Run) -> Mapping[str, StagePoint]:
    """What each stage of a run led to, as far as pins and this cache tell."""
    made = {one.name for one in run_.stages if one.outs8} | {name for name, _, _ in run_.fresh_stages}
    return {name: point for name, point in run_point(bench, run_).stages.items() if name in made}


def unfit(label: str, why: str, hint: str) -> UserError:
    return UserError(f'{label} cannot be put together here: {why}', hint=hint, exit_code=ExitCode.UNREACHABLE)


