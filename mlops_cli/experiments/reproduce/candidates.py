"""What is to be made again, and the commits it may have been made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlops_cli import git
from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass, replace
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.experiments.model import Point, StagePoint
from mlops_cli.experiments.points import find_point, recorded, run_point
from mlops_cli.git.program import run
from mlops_cli.records.models import Version
from mlops_cli.records.runs import Run
from mlops_cli.run.workbench import Workbench

HEAD = 'HEAD'


Row = tuple[str, Digest, str]  # stage, key, first digits of its outputs


@dataclass(frozen=True)
class Wanted:
    """``label``: as people read it.  ``commits``: where to look for it, best first; empty without git.  ``seed``: what a sample
    follows from, and ``seeded``: how that is called.  ``rows``: the results that are meant; None for a revision, of which the
    commit alone says what there is.  ``run``: the record of the run that made them, where there is one.  ``model``: (path,
    content) of a model, which its own stage made."""

    label: str
    commits: tuple[str, ...]
    seed: str
    seeded: str
    rows: tuple[Row, ...] | None = None
    run: Run | None = None
    model: tuple[str, ObjectRef] | None = None

    @property
    def overlay(self) -> dict[tuple[str, str], object]:
        return {(file, key): value for file, key, value in self.run.overlay} if self.run is not None else {}


def wanted(bench: Workbench, word: str) -> Wanted:
    """``word``: a run, else a revision; '' is HEAD.  Raises UserError."""
    if not word:
        return _revision(f'{HEAD}', git.resolve(bench.root.path, HEAD))
    point = _point(bench, word)
    if point.run is None:
        return _revision('', point.commit, point.label)
    rows = rows_of(point.run)
    if not rows:
        raise UserError(
            f'run {point.run.short} led to no result, so there is nothing to reproduce',
            hint=f'mlops runs show {point.run.short} tells what became of it',
        )
    return Wanted(
        _label(point.run), _commits(bench, point.run), point.run.id, f'run {point.run.short}', rows, point.run
    )


def _revision(name: str, commit: str, label: str = '') -> Wanted:
    return Wanted(label or f'{name} ({commit[:7]})', (commit,), commit, f'commit {commit[:7]}')


def wanted_model(bench: Workbench, version: Version, shown: str) -> Wanted:
    """The results that led to a version of a model, as it was registered with them.  ``shown``: what people call it."""
    run_ = bench.runs.get(version.made['run']) if version.made.get('run') in set(bench.runs.ids()) else None
    commits = [*(_commits(bench, run_) if run_ is not None else ()), version.made.get('commit', ''), version.commit]
    label = f'model {shown}'
    return Wanted(
        label,
        tuple(commit for commit in dict.fromkeys(commits) if commit and _is_here(bench, commit)),
        version.id,
        label,
        tuple(version.results),
        run_,
        (version.path, version.ref),
    )


def _is_here(bench: Workbench, commit: str) -> bool:
    try:
        return git.resolve(bench.root.path, commit) == commit
    except UserError:
        return False


def rows_of(run_: Run) -> tuple[Row, ...]:
    """Of a run: what it made, and what was fresh."""
    made = {one.name: (one.name, one.key, one.outs8) for one in run_.stages if one.key is not None and one.outs8}
    fresh = {name: (name, key, outs8) for name, key, outs8 in run_.fresh_stages}
    return tuple((fresh | made).values())


def _commits(bench: Workbench, run_: Run) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*filter(None, [run_.commit]), *_brought_by(bench, run_)]))


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


def expected(bench: Workbench, what: Wanted) -> Mapping[str, StagePoint]:
    """What each stage led to, as far as pins and this cache tell."""
    known = run_point(bench, what.run).stages if what.run is not None else {}
    found: dict[str, StagePoint] = {}
    for name, key, outs8 in what.rows or ():
        point = known.get(name)
        found[name] = point if point is not None and point.key == key else recorded(bench, StagePoint(name, 'done', key), outs8)
    own = what.rows[0][0] if what.rows else ''
    if what.model is not None and own and found[own].outputs:
        path, ref = what.model
        if found[own].outputs.get(path) != ref:
            raise UserError(
                f'{what.label} is not what its result has at {path}: somebody changed one of them by hand',
                hint='mlops models verify; git log -- .mlops/models shows who',
                exit_code=ExitCode.FAILED,
            )
    elif what.model is not None and own:
        # The file says what it was, whatever became of pins and cache.
        found[own] = replace(found[own], outputs=dict([what.model]))
    return found


def unfit(label: str, why: str, hint: str) -> UserError:
    return UserError(f'{label} cannot be put together here: {why}', hint=hint, exit_code=ExitCode.UNREACHABLE)


