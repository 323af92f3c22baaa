"""What a row may cost beside its peers, and whether it does."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from enum import Enum

from bench.measure import Contender, Timed


class Measure(Enum):
    RATIO = 'ratio'  # seconds of the subject / seconds of the reference / scale
    BEYOND = 'beyond'  # seconds of the subject - seconds of the reference
    MEMORY = 'memory'  # MiB, no reference


@dataclass(frozen=True, slots=True)
class Bound:
    """``subject`` and ``reference``: names of contenders.  ``most``: in the unit of ``measure``.

    ``scale``: how many times more work the subject has, so that a ratio of 1 means time in proportion to work.
    """

    subject: str
    reference: str
    most: float
    measure: Measure = Measure.RATIO
    scale: float = 1.0

    @property
    def text(self) -> str:
        match self.measure:
            case Measure.BEYOND:
                return f'+{self.most * 1000:.0f} ms'
            case Measure.MEMORY:
                return f'{self.most:.0f} MiB'
        return f'1/{1 / self.most:.0f}' if self.most < 0.6 else f'{self.most:g}x'


@dataclass(frozen=True, slots=True)
class Race:
    """``private``: contenders whose own memory is watched in a run of its own, because their peak counts mapped files.
    ``apart``: what it holds is bounded here, not by the row ``memory``.  ``close``: ends what the row has started."""

    contenders: tuple[Contender, ...]
    bounds: tuple[Bound, ...]
    private: tuple[str, ...] = ()
    _: KW_ONLY
    apart: bool = False
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Finding:
    """A bound, and what was found.

    ``subject`` and ``reference``: medians, seconds (MiB for memory; None: no such peer).  ``medians``: the bound's measure
    of the two medians.  ``paired``, ``low``, ``high``: median, least and most of its values in each round.
    ``over_cut``: the reference was ended early, so that its figure is a lower bound and a ratio to it an upper one.
    """

    row: str
    bound: Bound
    subject: float
    reference: float | None = None
    medians: float | None = None
    paired: float | None = None
    low: float = 0.0
    high: float = 0.0
    over_cut: bool = False

    @property
    def within(self) -> bool | None:
        """None: not known, for lack of the peer."""
        return None if self.paired is None else self.paired <= self.bound.most

    @property
    def verdict(self) -> str:
        return {True: 'within', False: 'OVER', None: 'no peer'}[self.within]


def judge(row: str, race: Race, timed: Sequence[Timed], private: Mapping[str, float]) -> list[Finding]:
    """A finding for each bound, in their order.  ``private``: MiB of those whose own memory was watched."""
    walls = {one.contender.name: [sample.wall for sample in one.samples] for one in timed}
    peaks = {one.contender.name: max(sample.peak for sample in one.samples) for one in timed}
    cut = {one.contender.name for one in timed if one.cut}
    found = []
    for bound in race.bounds:
        if bound.measure is Measure.MEMORY:
            held = private.get(bound.subject) or peaks[bound.subject]
            found.append(Finding(row, bound, held, None, held, held, held, held))
            continue
        subject = walls[bound.subject]
        reference = walls.get(bound.reference)
        if reference is None:
            found.append(Finding(row, bound, statistics.median(subject)))
            continue
        pairs = [_value(bound, ours, theirs) for ours, theirs in zip(subject, reference, strict=True)]
        middles = statistics.median(subject), statistics.median(reference)
        found.append(
            Finding(
                row,
                bound,
                *middles,
                _value(bound, *middles),
                statistics.median(pairs),
                min(pairs),
                max(pairs),
                bound.reference in cut,
            )
        )
    return found


def _value(bound: Bound, subject: float, reference: float) -> float:
    return subject - reference if bound.measure is Measure.BEYOND else subject / reference / bound.scale
