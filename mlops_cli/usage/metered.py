"""What GPUs do while attempts have them: a thread looks each second, and what it saw is added up.

In a thread, since a driver may take long to answer or never do so; whoever waits for a stage must not wait for that."""
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from mlops_cli.usage import gpu
from mlops_cli.usage.gpu import Look, Nvml
from mlops_cli.usage.series import GPU_COLUMNS, MOST

SECONDS = 1.0  # between two looks
POWER_SECONDS = 0.2  # where a card has no counter of energy, between two looks at its power
REST_FACTOR = 100  # a look that costs may cost a hundredth of a processor
PATIENCE_SECONDS = 2.0  # that the last look of an attempt may take


class Tally:
    """Of the cards of one attempt.  ``rows``: seconds since it began, and the figures of GPU_COLUMNS for each card.

    ``joules``: what they drew; ``estimated``: how much of that was added up from their power, since they have no counter."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.rows: list[tuple[float, tuple[float | None, ...]]] = []
        self.busy_seconds = self.joules = self.estimated = 0.0
        self.memory_peak: int | None = None
        self.tells_busy = self.tells_energy = False
        self.lacks_counter = False
        self._cards = [_Card() for _ in names]
        self._every, self._seen = 1, 0

    def add(self, at: float, looks: Sequence[Look], *, power_alone: bool = False, last: bool = False) -> None:
        """All cards, ``at`` so many seconds since the attempt began."""
        for card, look in zip(self._cards, looks, strict=True):
            card.add(at, look)
        self.busy_seconds = sum(card.busy_seconds for card in self._cards)
        self.joules = sum(card.counted + card.estimated for card in self._cards)
        self.estimated = sum(card.estimated for card in self._cards)
        self.tells_energy = any(card.tells_energy for card in self._cards)
        if power_alone:
            return
        self.tells_busy |= any(look.busy is not None for look in looks)
        self.lacks_counter = any(look.watts is not None and look.joules is None for look in looks)
        held = [look.memory_bytes for look in looks if look.memory_bytes is not None]
        if held:
            self.memory_peak = max(self.memory_peak or 0, sum(held))
        if last or self._seen % self._every == 0:
            figures = [card.figures(look) for card, look in zip(self._cards, looks, strict=True)]
            self.rows.append((at, tuple(figure for of_card in figures for figure in of_card)))
            if len(self.rows) > MOST:
                del self.rows[1::2]
                self._every *= 2
        self._seen += 1

    def figures(self) -> dict[str, Any]:
        """Fields of core.job.Usage; none where no card told anything."""
        found: dict[str, Any] = {}
        if self.tells_busy:
            found['gpu_seconds'] = self.busy_seconds
        if self.memory_peak is not None:
            found['gpu_memory_peak_bytes'] = self.memory_peak
        if self.tells_energy:
            found['gpu_energy_joules'] = self.joules
            if self.estimated:
                found['gpu_energy_estimated_joules'] = self.estimated
        return {'gpus': len(self.names), **found} if found else {}


class _Card:
    __slots__ = ('_busy_at', '_counter', '_power', 'busy_seconds', 'counted', 'estimated', 'tells_energy')

    def __init__(self) -> None:
        self.busy_seconds = self.counted = self.estimated = 0.0
        self.tells_energy = False
        self._busy_at: float | None = None
        self._counter: float | None = None
        self._power: tuple[float, float] | None = None  # when, watts

    def add(self, at: float, look: Look) -> None:
        if look.busy is not None:
            self.busy_seconds += look.busy * (at - (self._busy_at or 0.0))
            self._busy_at = at
        self._draw(at, look)

    def _draw(self, at: float, look: Look) -> None:
        """A counter that is less than before began anew with its driver; then, too, there is the power to go by."""
        if look.joules is not None:
            if self._counter is not None and look.joules >= self._counter:
                self.counted += look.joules - self._counter
                self.tells_energy = True
            elif self._counter is not None:
                self._estimate(at, look.watts)
            self._counter = look.joules
        elif self._counter is None:
            self._estimate(at, look.watts)
        if look.watts is not None:
            self._power = at, look.watts

    def _estimate(self, at: float, watts: float | None) -> None:
        if watts is not None and self._power is not None:
            since, before = self._power
            self.estimated += (at - since) * (before + watts) / 2
            self.tells_energy = True

    def figures(self, look: Look) -> tuple[float | None, ...]:
        tells = self._counter is not None or self._power is not None
        drawn = round(self.counted + self.estimated, 1) if tells else None
        busy, watts = (None if figure is None else round(figure, 2) for figure in (look.busy, look.watts))
        found = busy, look.memory_bytes, watts, drawn
        assert len(found) == len(GPU_COLUMNS)
        return found


class _Watched:
    def __init__(self, tally: Tally, began: float) -> None:
        self.tally, self.began = tally, began
        self.due = self.full_due = began
        self.ending = False
        self.ended = threading.Event()


class Meter:
    """``opened``: the driver; raises gpu.Failed where there is none that answers, and then nothing is measured."""

    def __init__(self, opened: Callable[[], Nvml] = gpu.opened, clock: Callable[[], float] = time.monotonic) -> None:
        self._opened, self._clock = opened, clock
        self._changed = threading.Condition()
        self._watched: dict[str, _Watched] = {}
        self._thread: threading.Thread | None = None
        self._closed = False
        self._stuck = False  # the driver did not answer in time, and has not since

    def begin(self, attempt: str, names: Sequence[str]) -> None:
        with self._changed:
            self._watched[attempt] = _Watched(Tally(names), self._clock())
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name='gpu-meter', daemon=True)
                self._thread.start()
            self._changed.notify()

    def end(self, attempt: str) -> Tally | None:
        """What was seen until now; waits for one more look, though not for long."""
        with self._changed:
            watched = self._watched.get(attempt)
            if watched is None:
                return None
            watched.ending = True
            self._changed.notify()
        self._stuck = not watched.ended.wait(0.0 if self._stuck else PATIENCE_SECONDS)
        with self._changed:
            del self._watched[attempt]
        return watched.tally

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        driver: Nvml | None = None
        with suppress(gpu.Failed):
            driver = self._opened()
        while True:
            with self._changed:
                while not self._closed and not (due := self._due()):
                    self._changed.wait(self._pause())
                if self._closed:
                    return
            for watched, ending in due:
                if driver is not None:
                    self._look(driver, watched, ending)
                    self._stuck = False
                if ending:
                    watched.ended.set()
                elif driver is None:
                    watched.due = float('inf')

    def _due(self) -> list[tuple[_Watched, bool]]:
        now = self._clock()
        open_ones = [one for one in self._watched.values() if not one.ended.is_set()]
        return [(one, one.ending) for one in open_ones if one.ending or one.due <= now]

    def _pause(self) -> float | None:
        due = min((one.due for one in self._watched.values() if not one.ended.is_set()), default=float('inf'))
        return None if due == float('inf') else max(0.0, due - self._clock())

    def _look(self, driver: Nvml, watched: _Watched, ending: bool) -> None:
        cost, now = time.thread_time(), self._clock()
        full = ending or now >= watched.full_due
        tally = watched.tally
        looks = [driver.look(name, power_alone=not full) for name in tally.names]
        tally.add(self._clock() - watched.began, looks, power_alone=not full, last=ending)
        rest = REST_FACTOR * (time.thread_time() - cost)
        if full:
            watched.full_due = now + max(SECONDS, rest)
        watched.due = min(watched.full_due, now + max(POWER_SECONDS, rest)) if tally.lacks_counter else watched.full_due
