"""What runs now, for the moving part of the run screen.  Listens to events, makes lines; draws nothing, asks no clock."""

from __future__ import annotations

from collections.abc import Mapping

from mlops_cli.cli.console import Line, cells, clip, one_line, pad, plain
from mlops_cli.cli.words import clock, minutes, progress_words, remaining
from mlops_cli.core.classes import dataclass, field, replace
from mlops_cli.core.events import (
    Event,
    RunStarted,
    StageEnded,
    StageProgress,
    StageQueued,
    StageRetried,
    StageStarted,
    StageWaiting,
)
from mlops_cli.core.units import show_seconds
from mlops_cli.run.states import State

BAR = 10  # columns
LONG = 2.0  # seconds from which a stage's last line is worth showing
NAMES = 28  # columns for names, at most


@dataclass(frozen=True, slots=True)
class Running:
    """``since``: on the screen's clock.  ``typical``: seconds it took before.  ``log``: project-relative path.
    ``progress``: how far it says it is, since ``told``; ``first``: (when, how far) it was when that was first seen.
    ``queued``: why it does not run yet, where it was handed over; ``since`` is when that began then."""

    stage: str
    since: float
    typical: float | None
    log: str
    progress: StageProgress | None = None
    told: float = 0.0
    first: tuple[float, float] | None = None
    queued: str = ''

    def whole(self) -> float | None:
        """Seconds it will have taken in the end, by its progress or else by its history; None where neither tells."""
        one = self.progress
        if one is None or one.done is None or one.total is None:
            return self.typical
        left = remaining(one, self.since, self.first, self.told)
        return self.typical if left is None else self.told - self.since + left


@dataclass
class Board:
    """``total``: stages that were not fresh when the run began; ``ended``: those of them that came to an end."""

    total: int = 0
    ended: int = 0
    failed: int = 0
    running: dict[str, Running] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)

    def listen(self, event: Event, now: float) -> None:
        """``now``: seconds on the screen's clock."""
        match event:
            case RunStarted():
                self.total = event.total
            case StageStarted():
                self.waiting.pop(event.stage, None)
                self.running[event.stage] = Running(event.stage, now, event.typical_seconds, event.log)
            case StageProgress():
                if (one := self.running.get(event.stage)) is not None:
                    first = one.first or (None if event.done is None else (now, event.done))
                    self.running[event.stage] = replace(one, progress=event, told=now, first=first)
            case StageQueued():
                if (one := self.running.get(event.stage)) is not None:
                    since = now - event.seconds if event.reason else now
                    self.running[event.stage] = replace(one, since=since, queued=event.reason)
            case StageRetried():
                self.running.pop(event.stage, None)
            case StageWaiting():
                self.waiting[event.stage] = event.holder
            case StageEnded():
                self.waiting.pop(event.stage, None)
                self.running.pop(event.stage, None)
                self.ended += 1
                self.failed += event.state == State.FAILED
            case _:
                pass

    def long_ones(self, now: float) -> list[Running]:
        """Those that run for a while, so that what they print is worth reading."""
        return [one for one in self.running.values() if now - one.since >= LONG and not one.queued]

    def lines(self, now: float, columns: int, rows: int, last: Mapping[str, str], names: int = 0) -> list[Line]:
        """The moving part.  ``rows``: lines there is room for; ``last``: stage -> the last line it printed; ``names``: columns
        for names, as in the lines above it."""
        if not self.running and not self.waiting:
            return []
        room = max(1, min(len(self.running), rows - 2))
        shown = list(self.running.values())[: room if len(self.running) <= room else room - 1]
        names = min(NAMES, max([names, *(cells(one_line(one.stage)) for one in shown)]))
        found = [self._line(one, now, columns, names, last.get(one.stage, '')) for one in shown]
        if len(shown) < len(self.running):
            found.append(Line(clip(f'  {"":<9} and {len(self.running) - len(shown)} more', columns)))
        return [*found, Line(clip(self.counts(), columns))]

    def _line(self, one: Running, now: float, columns: int, names: int, said: str) -> Line:
        passed, whole = now - one.since, one.whole()
        if one.queued:
            text = f'  {"waiting":<9} {pad(clip(one_line(one.stage), names), names)} {clock(passed):>7}  {one_line(one.queued)}'
            return Line(clip(text, columns))
        text = f'  {"running":<9} {pad(clip(one_line(one.stage), names), names)} {clock(passed):>7}'
        said = '  '.join(progress_words(one.progress)) if one.progress else one_line(plain(said)).strip()
        if whole is not None and whole >= 1:
            text += f' of ~{clock(whole)}'
            drawn = f' {bar(passed / whole)}'
            # how far it says it is tells more than the bar
            text += '' if one.progress and cells(text + drawn + said) + 2 > columns else drawn
        elif one.typical is None and one.progress is None and passed >= LONG:
            text += '  no history yet'
        return Line(clip(f'{text}  {said}'.rstrip(), columns))

    def counts(self) -> str:
        """``2 of 8 done, 2 running, 4 waiting``."""
        running = sum(not one.queued for one in self.running.values())
        left = max(0, self.total - self.ended - running)
        parts = [f'{self.ended - self.failed:,} of {self.total:,} done']
        parts += [f'{self.failed} failed'] if self.failed else []
        parts += [f'{running} running'] if running else []
        parts += [f'{left:,} waiting'] if left else []
        return '  ' + ', '.join(parts)

    def heartbeat(self, now: float) -> str:
        """``running train@x 12m of ~20m, train@y 3m; 2 of 8 done``: for logs, where nothing can move."""
        running = [one for one in self.running.values() if not one.queued]
        queued = [one for one in self.running.values() if one.queued]
        parts = []
        for word, ones in (('running', running), ('waiting', queued)):
            if ones:
                more = f' and {len(ones) - 4} more' if len(ones) > 4 else ''
                parts.append(f'{word} {", ".join(self._heard(one, now) for one in ones[:4])}{more}')
        return f'{"; ".join(parts)};{self.counts()[1:]}' if parts else ''

    @staticmethod
    def _heard(one: Running, now: float) -> str:
        if one.queued:
            return f'{one_line(one.stage)} {minutes(now - one.since)} ({one_line(one.queued)})'
        whole = one.whole()
        about = f' of ~{show_seconds(whole)}' if whole is not None and whole >= 60 else ''
        said = f' ({", ".join(progress_words(one.progress)[:3])})' if one.progress else ''
        return f'{one_line(one.stage)} {minutes(now - one.since)}{about}{said}'


def bar(share: float) -> str:
    """``[######....]``: how much of the usual time has passed; never full before the end."""
    filled = min(BAR - 1, int(max(0.0, share) * BAR))
    return f'[{"#" * filled}{"." * (BAR - filled)}]'
