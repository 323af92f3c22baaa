"""``mlops gc --pins``: pins that no stage of the present pipeline leads to, taken out of the folder that everybody lists.

They stay in git's history, and so does what they name.  A stage that is not up to date keeps all of its own: what it will
lead to is not known yet, and one of them may be it.
"""

from __future__ import annotations

from collections.abc import Mapping

from mlops_cli import git
from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.git.trunk import default_branch
from mlops_cli.plan.facts import Wishes
from mlops_cli.plan.model import Step, Verdict
from mlops_cli.records.pins import is_pin
from mlops_cli.run.outlook import look
from mlops_cli.run.workbench import Workbench

_KEY16 = slice(-len('0123456789abcdef-01234567.json'), -len('-01234567.json'))


@dataclass(frozen=True, slots=True)
class StalePins:
    """``stale``: names of files.  ``by_stage``: the same, by what stands before the key.  ``unsure``: stage -> why it keeps all
    of its pins."""

    total: int
    stale: tuple[str, ...]
    by_stage: Mapping[str, tuple[str, ...]]
    unsure: Mapping[str, str]


def find(bench: Workbench) -> StalePins:
    """Raises UserError (exit 5) off the default branch, and where git does not have all pins."""
    _refuse(bench)
    plan = look(bench, bench.order, Wishes()).plan
    names = sorted(name for name in bench.pins.names() if is_pin(name))
    computed = {step.manifest.digest.hex[:16] for step in plan.steps if step.manifest is not None}
    unsure = {step.stage: why for step in plan.steps if (why := _doubt(step))}
    spared = {name for stage in unsure for name in bench.pins.names_of_stage(stage)}
    stale = tuple(name for name in names if name not in spared and name[_KEY16] not in computed)
    by_stage: dict[str, tuple[str, ...]] = {}
    for name in stale:
        slug = name.partition('~')[0]
        by_stage[slug] = (*by_stage.get(slug, ()), name)
    return StalePins(len(names), stale, by_stage, unsure)


def _doubt(step: Step) -> str:
    """Why a stage keeps all of its pins; empty if its pins are those of its key."""
    if step.verdict in (Verdict.FRESH, Verdict.RESTORE) and step.manifest is not None:
        return ''
    if step.verdict is Verdict.RUN:
        return 'it is out of date'
    if step.verdict is Verdict.BLOCKED:
        return 'an input is missing'
    return 'what it depends on is out of date'


def _refuse(bench: Workbench) -> None:
    root = bench.root.path
    head = git.head(root)
    if head is None or not head.commit:
        raise UserError(
            'without git, pins that are removed are gone', hint='git init, and commit them', exit_code=ExitCode.REFUSED
        )
    trunk = default_branch(root)
    if trunk is None or head.branch != trunk.name:
        where = f'this is {head.branch}' if head.branch else 'this is no branch at all'
        branch = trunk.name if trunk else 'which is not known here'
        raise UserError(
            f'pins are removed on the default branch only, {branch}; {where}',
            hint=f'git switch {branch}' if trunk else 'git commit',
            exit_code=ExitCode.REFUSED,
        )
    if changed := git.changed(root, [layout.STAGES]):
        raise UserError(
            f'{changed[0]} is not committed, so git could not bring it back', hint='git add .mlops/stages && git commit',
            exit_code=ExitCode.REFUSED,
        )


def remove(bench: Workbench, found: StalePins) -> tuple[str, ...]:
    """Removes the files; their paths.  Raises OSError."""
    paths = tuple(f'{layout.STAGES}/{name}' for name in found.stale)
    for path in paths:
        bench.root.unlink(path)
    bench.pins.refresh()
    return paths
