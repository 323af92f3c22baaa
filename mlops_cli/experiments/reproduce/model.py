"""What reproducing came to, as values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from mlops_cli.core.classes import dataclass
from mlops_cli.core.refs import ObjectRef
from mlops_cli.experiments.trees import Counts

# ``identical``: every byte as recorded.  ``within``: only numbers of metrics differ, within the tolerance that metrics:
# declares.  ``different``: other outputs from the same inputs.  ``follows``: its inputs differ, since an earlier stage does.
# ``inputs``: its inputs differ, and no earlier stage is the cause.  ``unrecorded``: nothing to compare with.
Judgement = Literal['identical', 'within', 'different', 'follows', 'inputs', 'unrecorded', 'failed', 'skipped', 'interrupted']
GOOD = ('identical', 'within')


@dataclass(frozen=True, slots=True)
class Number:
    """One number of a file of metrics; None on a side where it is not there."""

    file: str
    name: str
    before: float | int | None
    after: float | int | None
    tolerance: float

    @property
    def within(self) -> bool:
        return self.before is not None and self.after is not None and close(self.before, self.after, self.tolerance)


def close(before: float, after: float, tolerance: float) -> bool:
    """Equal, or as near as the tolerance allows; a number and what is none are far apart."""
    if before == after or (before != before and after != after):
        return True
    return abs(after - before) <= tolerance * (1 + 1e-9)  # 0.9583 - 0.9573 is not quite 0.001


@dataclass(frozen=True, slots=True)
class Changed:
    """An output that is not what was recorded.  ``at``: the first byte that differs, from 0, and ``line`` its line, where both
    contents are here.  ``inside``: of folders.  ``names_folder``: what was made names the folder it was made in."""

    path: str
    before: ObjectRef | None
    after: ObjectRef | None
    at: int | None = None
    line: int | None = None
    inside: Counts | None = None
    names_folder: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """One stage.  ``outputs``: how many there are.  ``environment``: (name, recorded, here) of what differs, None where
    nobody recorded it.  ``inputs``: the names of what differs in its key.  ``tail``: what a failed one printed last."""

    stage: str
    verdict: Judgement
    outputs: int = 0
    changed: tuple[Changed, ...] = ()
    numbers: tuple[Number, ...] = ()
    environment: tuple[tuple[str, Any, Any], ...] | None = None
    inputs: tuple[str, ...] = ()
    seconds: float = 0.0
    recorded_seconds: float | None = None
    message: str = ''
    tail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """All of it.  ``stages``: topological."""

    stages: tuple[Judged, ...]

    @property
    def word(self) -> str:
        """Interrupted before failed before different before unrecorded; identical only if every stage is."""
        found = {one.verdict for one in self.stages}
        for word in ('interrupted', 'failed'):
            if word in found:
                return word
        if found & {'different', 'follows', 'inputs', 'skipped'}:
            return 'different'
        return 'unrecorded' if 'unrecorded' in found else 'within' if 'within' in found else 'identical'

    @property
    def first(self) -> Judged | None:
        """The first stage that is not bit for bit what was recorded."""
        return next((one for one in self.stages if one.verdict not in ('identical', 'unrecorded')), None)

    def count(self, *verdicts: str) -> int:
        return sum(one.verdict in verdicts for one in self.stages)


def folded_environment(recorded: dict[str, Any], here: dict[str, Any]) -> Sequence[tuple[str, Any, Any]]:
    """(name, recorded, here) of what differs; packages by their names."""
    one, two = _flat(recorded), _flat(here)
    return [(name, one.get(name), two.get(name)) for name in sorted(one.keys() | two.keys()) if one.get(name) != two.get(name)]


def _flat(environment: dict[str, Any]) -> dict[str, Any]:
    packages = environment.get('packages')
    rest = {name: value for name, value in environment.items() if name != 'packages'}
    return rest | ({f'package {name}': value for name, value in packages.items()} if isinstance(packages, dict) else {})
