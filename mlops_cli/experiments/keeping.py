"""Whether a run can be kept: what it led to must still be here, or keeping it would promise what nobody has."""

from __future__ import annotations

from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.experiments.points import run_point
from mlops_cli.fsio.durable import Batch
from mlops_cli.records.kept import Keep, Kept
from mlops_cli.records.runs import Run
from mlops_cli.run.workbench import Workbench

NAMED = 4  # stages in a sentence


@dataclass(frozen=True, slots=True)
class Holding:
    """What a kept run holds.  ``size``: bytes of its outputs, each content once."""

    run: Run
    stages: tuple[str, ...]
    size: int


def holding(bench: Workbench, run: Run) -> Holding:
    """Raises UserError (exit 1) for a run that led to nothing, or whose results are gone."""
    point = run_point(bench, run)
    results = {one.name for one in run.stages if one.outs8} | {name for name, _, _ in run.fresh_stages}
    if not results:
        raise UserError(
            f'run {run.short} led to no result, so there is nothing to keep',
            hint=f'mlops runs show {run.short} tells what became of it',
            exit_code=ExitCode.FAILED,
        )
    held = [point.stages[name] for name in point.stages if name in results]
    unknown = [one.stage for one in held if one.manifest is None and not one.outputs]
    gone = unknown + [one.stage for one in held if bench.store.missing(one.outputs.values())]
    if gone:
        more = f' and {len(gone) - NAMED} more' if len(gone) > NAMED else ''
        raise UserError(
            f'run {run.short} cannot be kept: this cache does not have all that {", ".join(gone[:NAMED])}{more} made',
            hint=_bring_back(run),
            exit_code=ExitCode.FAILED,
        )
    refs: dict[ObjectRef, None] = {ref: None for one in held for ref in one.outputs.values()}
    return Holding(run, tuple(one.stage for one in held), sum(ref.size for ref in refs))


def _bring_back(run: Run) -> str:
    again = f'mlops runs apply {run.short}, which makes it again' if run.overlay else 'make that state again (mlops run)'
    return f'mlops fetch --all brings it from a remote that has it; or {again}'


def keep(kept: Kept, batch: Batch, run: Run, reason: str, who: str, when: str) -> tuple[str, ...]:
    """Keeps it; the paths that were written.  None where it is kept already, with this reason or none being given; another
    reason takes the place of the old.  Durable when the batch is.  Raises UserError, OSError."""
    known = kept.of(run.id)
    if known and (not reason or any(one.reason == reason for one in known)):
        return ()
    path = kept.add(Keep(run.id, reason, who, when), batch)
    batch.flush()  # the new one stands before the old go
    _without(kept, run.id, path)
    return (path,)


def _without(kept: Kept, run_id: str, but: str) -> None:
    for path in kept.files().get(run_id, ()):
        if path != but:
            kept.root.unlink(path)

