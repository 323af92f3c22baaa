"""Steps that are told in one line, since there is the same to say about them.  Values in, values out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from mlops_cli.cli.console import one_line
from mlops_cli.cli.words import Groups, estimate, fold, span, why
from mlops_cli.core.classes import dataclass
from mlops_cli.plan.model import Plan, Step, Verdict
from mlops_cli.plan.sentences import rivalries, rivalry_of, sentences

MANY = 5  # lines about one stage from which a likeness is enough to share one


@dataclass(frozen=True, slots=True)
class Row:
    """``steps``: instances of one stage with the same verdict and the same reasons, or a single one.  ``alike``: the reasons
    are of the same kind only, and those of the first stand for all.  ``whole``: all of a command."""

    name: str
    steps: tuple[Step, ...]
    alike: bool = False
    whole: bool = False

    @property
    def verdict(self) -> Verdict:
        return self.steps[0].verdict

    @property
    def why(self) -> list[str]:
        more = [f'and the like for the others ({len(self.steps) - 1:,})'] if self.alike else []
        return [*why(self.steps[0], whole=self.whole), *more]

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
    members = list(steps)
    if not folded:
        return [Row(one_line(step.stage), (step,), whole=True) for step in members]
    strict = _buckets(members, lambda step: tuple(why(step)))
    crowded = Counter(_group(bucket[0]) for bucket in strict)
    found: list[tuple[Step, Row]] = []
    loose = _buckets([bucket[0] for bucket in strict if crowded[_group(bucket[0])] > MANY], _shape)
    whole = {bucket[0].stage: bucket for bucket in strict}
    for firsts in loose:
        if len(firsts) > MANY:
            every = tuple(step for first in firsts for step in whole.pop(first.stage))
            found.append((firsts[0], Row(', '.join(fold([step.stage for step in every], groups)), every, alike=True)))
    found += [(row.steps[0], row) for bucket in whole.values() for row in _rows_of(bucket, groups)]
    place = {step.stage: index for index, step in enumerate(members)}
    return [row for _, row in sorted(found, key=lambda item: place[item[0].stage])]


def _group(step: Step) -> str:
    return step.stage.partition('@')[0]


def _buckets(steps: Iterable[Step], likeness: Callable[[Step], object]) -> list[list[Step]]:
    """Instances of one stage with the same verdict and likeness, in the order of the first of each."""
    found: dict[tuple[object, ...], list[Step]] = {}
    for step in steps:
        found.setdefault((_group(step), step.verdict, likeness(step)), []).append(step)
    return list(found.values())


def _shape(step: Step) -> object:
    """What reasons have in common that differ only in what is each instance's own."""
    return tuple(
        (one.kind, one.subject, one.before, one.after, one.detail)
        if one.kind in ('param', 'code', 'environment')
        else (one.kind, one.detail)
        for one in step.reasons
    )


def _rows_of(members: Sequence[Step], groups: Groups) -> list[Row]:
    names = fold([step.stage for step in members], groups)
    if len(names) == 1:
        return [Row(names[0], tuple(members))]
    return [Row(name, (step,)) for name, step in zip(names, members, strict=True)]


def notes(plan: Plan, groups: Groups) -> list[tuple[str, str]]:
    """(sentence, stages it is about), each sentence once."""
    about: dict[str, list[str]] = {}
    for step in plan.steps:
        for sentence in sentences(step):
            about.setdefault(sentence, []).append(step.stage)
    about |= dict(rivalries(one for step in plan.steps for one in rivalry_of(step)))
    return [(sentence, ', '.join(fold(names, groups))) for sentence, names in about.items()]
