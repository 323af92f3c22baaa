"""The plan as a table.  Reads nothing but the plan; prints nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from mlops_cli.cli.console import Line, cells, clip, one_line, pad, wrap
from mlops_cli.cli.rows import Row, notes, rows
from mlops_cli.cli.words import Groups, fold, some
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.units import plural, show_seconds
from mlops_cli.plan.forecast import forecast
from mlops_cli.plan.model import Plan, Step, Verdict
from mlops_cli.run import causes
from mlops_cli.run.request import ANY

if TYPE_CHECKING:
    from mlops_cli.run.choosing import Told
    from mlops_cli.run.unpulled import Unpulled

WHAT = 8  # columns
TIME = 12
REASONS = 4  # of a stage, unless all are asked for
REASON_LINES = 3  # lines of one reason
ORDER = (Verdict.FRESH, Verdict.RESTORE, Verdict.RUN, Verdict.MAYBE, Verdict.BLOCKED)


@dataclass(frozen=True, slots=True)
class View:
    """How to show it.  ``jobs``: stages at once; ``machine``: where, in words; ``everything``: nothing folded or left out;
    ``unknown_code``: those of the plan's notes that are about code which could not be followed.  ``hosts``: by name, the stages
    that would run there.  ``costs``: sentences about what it will cost.  ``choices``: of hosts, for stages that
    may run on any.  ``unpulled``: what a remote may have."""

    groups: Groups
    columns: int
    jobs: int
    machine: str = 'this machine'
    everything: bool = False
    unknown_code: Collection[str] = ()
    hosts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    costs: Sequence[str] = ()
    choices: Sequence[Told] = ()
    unpulled: Unpulled | None = None


def plan_lines(plan: Plan, view: View) -> list[Line]:
    """The table, what stands in the way, and what it comes to."""
    lines = [*table(plan, view), Line('')]
    lines += blocked_lines(plan, view)
    lines += note_lines(plan, view)
    lines += summary_lines(plan, view)
    return lines


def table(plan: Plan, view: View) -> list[Line]:
    """A line per stage, or per group of instances about which there is the same to say."""
    found = rows(plan.steps, view.groups, folded=not view.everything)
    limit = max(12, view.columns * 3 // 10)
    names = min(limit, max([cells(row.name) for row in found] + [5]))
    times = [row.time for row in found]
    right = min(TIME, max(map(cells, [*times, 'TIME'])))
    widest = max([cells(line) for row in found for line in row.why] + [30])
    room = min(widest, max(20, view.columns - names - WHAT - right - 7))
    lines = [
        Line(f'  {pad("STAGE", names)}  {pad("WHAT", WHAT)} {pad("WHY", room)}  {pad("TIME", right, right=True)}'.rstrip())
    ]
    for row, time in zip(found, times, strict=True):
        lines += _row_lines(row, time, names, room, right, view)
    return lines


def _row_lines(row: Row, time: str, names: int, room: int, right: int, view: View) -> list[Line]:
    text = _reason_lines(row.why, room, view.everything)
    verdict = str(row.verdict)
    first = f'  {pad(clip(row.name, names), names)}  {pad(verdict, WHAT)} {pad(text[0] if text else "", room)}  '
    lines = [Line((first + pad(time, right, right=True)).rstrip(), verdict if verdict not in row.name else '')]
    indent = ' ' * (names + WHAT + 5)
    return lines + [Line(indent + line) for line in text[1:]]


def _reason_lines(reasons: Sequence[str], room: int, everything: bool) -> list[str]:
    found: list[str] = []
    shown = reasons if everything else reasons[:REASONS]
    for reason in shown:
        first, *more = [reason] if cells(reason) <= room else wrap(reason, room - 2)
        if not everything and len(more) >= REASON_LINES:
            more = [*more[: REASON_LINES - 2], clip(f'{more[REASON_LINES - 2]} …', room - 2)]
        found += [clip(first, room), *(f'  {clip(line, room - 2)}' for line in more)]
    if len(shown) < len(reasons):
        found.append(f'and {len(reasons) - len(shown)} more (mlops explain)')
    return found


def blocked_lines(plan: Plan, view: View) -> list[Line]:
    """What is missing, and what can be done about it."""
    missing: dict[tuple[str, str, str], list[str]] = {}
    for step in plan.steps:
        if step.verdict is Verdict.BLOCKED:
            for reason in step.reasons:
                missing.setdefault((reason.kind, reason.subject, reason.detail), []).append(step.stage)
    lines: list[Line] = []
    for (kind, subject, detail), stages in missing.items():
        needed = ', '.join(some(fold(stages, view.groups), 4))
        text = f'blocked: {needed}: {one_line(subject)}: {one_line(detail)}.  {advice(kind, subject, detail)}'
        lines += [Line(line, '' if index else 'blocked') for index, line in enumerate(wrap(text, view.columns))]
    return [*lines, Line('')] if lines else []


def advice(kind: str, subject: str, detail: str) -> str:
    """What to do about something that is missing, as a sentence."""
    text = one_line(causes.advice(kind, subject, detail))
    return f'{text[:1].upper()}{text[1:]}.'


def note_lines(plan: Plan, view: View) -> list[Line]:
    """What else is worth knowing, each sentence once, with the stages it is about."""
    lines: list[Line] = []
    for sentence, stages in notes(plan, view.groups):
        word = 'code unknown:' if sentence in view.unknown_code else 'note:'
        first, *more = wrap(f'{word} {stages}: {one_line(sentence)}', view.columns)
        lines += [Line(first, word), *(Line(f'  {text}') for text in (wrap(' '.join(more), view.columns - 2) if more else ()))]
    return [*lines, Line('')] if lines else []


def summary_lines(plan: Plan, view: View) -> list[Line]:
    """How many of what, how long, and what the cache saves."""
    parts = [f'{plan.count(verdict):,} {verdict}' for verdict in ORDER if plan.count(verdict)]
    counts = f'{", ".join(parts)}.' if parts else 'No stages.'
    runs = plan.count(Verdict.RUN, Verdict.MAYBE)
    lines = [Line(f'{counts} {plural(view.jobs, "job")} on {view.machine}.' if runs else counts)]
    for host, stages in view.hosts.items():
        if host == ANY:
            continue
        text = f'On {host}: {", ".join(some(fold(stages, view.groups), 4))}.'
        lines += map(Line, wrap(text, view.columns))
    for one in view.choices:
        names = ', '.join(some(fold(one.stages, view.groups), 4))
        host = one_line(one.choice.host)
        what = f'{host} for {names}' if host else f'Which host for {names} is decided when it runs'
        text = f'{what}: {one_line(one.choice.sentence)}.'
        lines += map(Line, wrap(text, view.columns))
    if runs:
        lines.append(Line(expected(plan, view)))
        lines += [Line(line) for text in view.costs for line in wrap(text, view.columns)]
    if view.unpulled is not None:
        text = one_line(view.unpulled.sentence)
        lines += map(Line, wrap(f'{text[:1].upper()}{text[1:]} (mlops pull).', view.columns))
    saved = sum(step.estimate.typical or 0 for step in plan.steps if step.verdict is Verdict.RESTORE)
    if saved >= 1:
        lines.append(Line(f'The cache saves {show_seconds(saved)}.'))
    if any(step.reasons for step in plan.steps):
        lines.append(Line('More behind a reason: mlops explain STAGE'))
    return lines


def expected(plan: Plan, view: View) -> str:
    """``Time about 6m10s to 7m02s.``, or what is not known."""
    unknown = [step.stage for step in plan.steps if _open(step) and step.estimate.typical is None]
    if unknown:
        return f'Time unknown: no history yet of {", ".join(some(fold(unknown, view.groups), 4))}.'
    low, high = forecast(plan, view.jobs)
    low, high = low or 0.0, high or 0.0
    if high - low <= max(0.1 * low, 0.2):
        return f'Time about {show_seconds(high)}.'
    text = f'about {show_seconds(low)} to' if low >= 0.05 else 'up to about'
    return f'Time {text} {show_seconds(high)}.'


def _open(step: Step) -> bool:
    return step.verdict in (Verdict.RUN, Verdict.MAYBE)
