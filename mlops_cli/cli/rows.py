"""Steps that are told in one line, since there is the same to say about them.  Values in, values out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlops_cli.cli.words import Groups, estimate, fold, span, why
from mlops_cli.plan.model import Plan, Step, Verdict


@dataclass(frozen=True, slots=True)
class Row:
    """``steps``: instances of one stage with the same verdict and the same reasons, or a single one."""

    name: str
    steps: tuple[Step, ...]

    @property
    def verdict(self) -> Verdict:
        return self.steps[0].verdict

    @property
    def why(self) -> list[str]:
        return why(self.steps[0])

    @property
    def time(self) -> str:
        """How long it took before; of several, how many times how long."""
        if self.verdict in (Verdict.FRESH, Verdict.BLOCKED):
            return ''
        if len(self.steps) == 1:
            return estimate(self.steps[0].estimate)
        known = sorted(step.estimate.typical for step in self.steps if step.estimate.typical is not None)
        middle = known[len(known) // 2] if known else None
        return f'{len(self.steps)} x {span(middle, middle, middle)}' if known else ''


def rows(steps: Iterable[Step], groups: Groups, *, folded: bool = True) -> list[Row]:
    """In the order of the steps; a folded row stands where the first of its steps would."""
    buckets: dict[tuple[object, ...], list[Step]] = {}
    for step in steps:
        group = step.stage.partition('@')[0] if folded else step.stage
        buckets.setdefault((group, step.verdict, tuple(why(step))), []).append(step)
    return [row for members in buckets.values() for row in _rows_of(members, groups)]


def _rows_of(members: Sequence[Step], groups: Groups) -> list[Row]:
    names = fold([step.stage for step in members], groups)
    if len(names) == 1:
        return [Row(names[0], tuple(members))]
    return [Row(name, (step,)) for name, step in zip(names, members, strict=True)]


def notes(plan: Plan, groups: Groups) -> list[tuple[str, str]]:
    """(sentence, stages it is about), each sentence once."""
    about: dict[str, list[str]] = {}
    for step in plan.steps:
        for sentence in step.notes:
            about.setdefault(sentence, []).append(step.stage)
    return [(sentence, ', '.join(fold(names, groups))) for sentence, names in about.items()]
