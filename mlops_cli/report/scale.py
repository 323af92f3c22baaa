"""Where numbers stand on an axis, and how they are written there.  Shared by what is drawn for terminals and for browsers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from mlops_cli.core.classes import dataclass

TINY = 1e-290  # nothing smaller can be told apart
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Scale:
    """A range of numbers, ``low`` < ``high``, and the ticks in it.  ``place``: 0 at low, 1 at high."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def place(self, number: float) -> float:
        return (number - self.low) / (self.high - self.low)

    @property
    def labels(self) -> tuple[str, ...]:
        return tick_labels(self.ticks)


def extent(numbers: Iterable[float]) -> tuple[float, float] | None:
    """The lowest and the highest finite number; None without any."""
    low, high = math.inf, -math.inf
    for number in numbers:
        if number < low:  # false for NaN
            low = number
        if number > high:
            high = number
    return (low, high) if low <= high else None


def scale(numbers: Iterable[float], count: int = 6, *, zero: bool = False, tight: bool = False) -> Scale:
    """About ``count`` round ticks.  ``zero``: the range begins or ends at 0, as bars need.  ``tight``: the range ends where the
    numbers do, as a horizontal axis should; else at a tick."""
    low, high = extent(numbers) or (0.0, 1.0)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low < TINY:
        room = abs(low) * 0.1 if abs(low) > TINY else 1.0
        low, high = low - room, high + room
    step = _step((high - low) / max(count - 1, 1))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    if tight:
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    ticks = tuple(_clean(number * step, step) for number in range(first, last + 1))
    if tight or len(ticks) < 2:
        return Scale(low, high, ticks or (low, high))
    return Scale(ticks[0], ticks[-1], ticks)


def _step(rough: float) -> float:
    """The next round number that is not smaller."""
    power = 10.0 ** math.floor(math.log10(rough)) if rough > TINY else TINY
    return next((step * power for step in STEPS if step * power >= rough * (1 - 1e-9)), 10 * power)


def _clean(number: float, step: float) -> float:
    """0.30000000000000004 is 0.3."""
    digits = max(0, 2 - math.floor(math.log10(step))) if step > 0 else 0
    return round(number, digits) + 0.0 if digits < 300 else number


def tick_labels(ticks: Sequence[float]) -> tuple[str, ...]:
    """All with the same digits behind the point, as few as tell them apart; very large and small ones with a power of ten."""
    largest = max((abs(tick) for tick in ticks), default=0.0)
    if largest and (largest >= 1e7 or largest < 1e-4):
        return tuple('0' if tick == 0 else _short(f'{tick:.3g}') for tick in ticks)
    if largest >= 1e6 and all(float(tick).is_integer() and tick % 1e5 == 0 for tick in ticks):
        return tuple('0' if tick == 0 else f'{tick / 1e6:g}M' for tick in ticks)
    if largest >= 1e4 and all(float(tick).is_integer() and tick % 100 == 0 for tick in ticks):
        return tuple('0' if tick == 0 else f'{tick / 1000:g}k' for tick in ticks)
    for digits in range(13):
        written = [f'{tick:.{digits}f}' for tick in ticks]
        if all(math.isclose(float(text), tick, abs_tol=1e-12, rel_tol=1e-9) for text, tick in zip(written, ticks, strict=True)):
            return tuple(text.replace('-0', '0') if float(text) == 0 else text for text in written)
    return tuple(_short(f'{tick:.4g}') for tick in ticks)


def _short(text: str) -> str:
    """``1e+07`` is 1e7."""
    return text.replace('e+0', 'e').replace('e+', 'e').replace('e-0', 'e-')


def figure(number: float) -> str:
    """A number as people read it beside a chart."""
    if math.isnan(number):
        return 'NaN'
    if math.isinf(number):
        return 'inf' if number > 0 else '-inf'
    if float(number).is_integer() and abs(number) < 1e7:
        return f'{number:,.0f}'
    return _short(f'{number:.4g}')
