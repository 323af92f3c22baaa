"""How things are said: reasons, names, outputs, times.  Values in, text out; the same words on every screen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from mlops_cli.cli.console import cells, clip, one_line
from mlops_cli.cli.stateword import state_word as state_word
from mlops_cli.core.sources import is_source
from mlops_cli.core.units import ago as ago
from mlops_cli.core.units import plural, show_number, show_seconds, show_size
from mlops_cli.core.worddiff import changed_words
from mlops_cli.plan.model import Estimate, Reason, Step, Verdict
from mlops_cli.plan.sentences import restored_from
from mlops_cli.store.tree import decode

if TYPE_CHECKING:
    from mlops_cli.core.digest import Digest
    from mlops_cli.core.events import StageProgress
    from mlops_cli.core.refs import ObjectRef
    from mlops_cli.pipeline.spec import Command, Stage

VALUE_WIDTH = 60  # columns of a value
COMMAND_WIDTH = 4000  # columns of a command where all of it is asked for
BRIEF = 40  # columns of two commands that are shown as a whole
FOLD = 3  # instances of a group from which they may share a line
SHORT = 0.1  # seconds below which nobody cares
COUNTED = 20_000  # files of a folder that are worth counting
NODE_LIMIT = 2 << 20  # bytes of a folder's node that are worth reading for that

Groups = Mapping[str, tuple[str, ...]]
Metrics = Sequence[tuple[str, str, float | int]]


class Nodes(Protocol):
    """As much of a store as counting files needs."""

    def read(self, digest: Digest) -> bytes: ...


def value(text: str, columns: int = VALUE_WIDTH) -> str:
    """A value in the middle of a line."""
    return clip(' '.join(one_line(text).split()), columns)


def count(number: int, noun: str) -> str:
    return plural(number, noun)


def reason(one: Reason, *, whole: bool = False) -> str:
    """``param train.lr 0.1 -> 0.01``, ``command --epochs 20 -> 30``, ``code src/features.py: function normalise changed``.

    ``whole``: all of a command."""
    if one.kind == 'never-run':
        return 'no result yet'  # which it may have been run for, and failed
    if one.kind == 'forced':
        return one.detail
    head = f'{kind_word(one.kind, one.subject)} {one_line(one.subject)}'.strip()
    if one.kind == 'command' and not whole and (words := command_words(one.before, one.after)):
        return f'{head} {words}'
    if one.kind == 'output' and (one.before is None) != (one.after is None):
        return f'{head} is {"newly" if one.before is None else "no longer"} declared'
    if one.kind in ('param', 'environment', 'command', 'output') and (one.before is not None or one.after is not None):
        columns = COMMAND_WIDTH if whole and one.kind == 'command' else VALUE_WIDTH
        before = 'none' if one.before is None else value(one.before, columns)
        after = 'none' if one.after is None else value(one.after, columns)
        return f'{head} {before} -> {after}'
    if one.detail in ('changed', 'new', 'gone'):
        return f'{head} {one.detail}'
    return f'{head}: {one_line(one.detail)}' if one.detail else f'{head} changed'


def kind_word(kind: str, path: str) -> str:
    """``file`` for what a command names that is no source: in keys both are code."""
    return 'file' if kind == 'code' and not is_source(path) else kind


def command_words(before: object, after: object) -> str:
    """``--epochs 20 -> 30``: the words of a command that differ; nothing where only the whole of both can tell."""
    if not isinstance(before, str) or not isinstance(after, str) or cells(before) + cells(after) <= BRIEF:
        return ''
    said = []
    for old, new in changed_words(before, after):
        both = f'{value(old)} -> {value(new)}'
        said.append(both if old and new else f'with {value(new)}' if new else f'without {value(old)}')
    return ', '.join(said)


def why(step: Step, *, whole: bool = False) -> list[str]:
    """The sentences of a plan's WHY column.  ``whole``: as of :func:`reason`."""
    lines = [reason(one, whole=whole) for one in step.reasons]
    if step.verdict in (Verdict.FRESH, Verdict.RUN):
        return lines
    if step.verdict is Verdict.RESTORE:
        return [one_line(restored_from(step)), *lines]
    waits = ', '.join(some(list(dict.fromkeys(one_line(name.partition('@')[0]) for name in step.waits_for)), 4))
    if step.verdict is Verdict.MAYBE:
        return [*lines, f'then after {waits}' if lines else f'if an output of {waits} changes']
    if step.verdict is Verdict.BLOCKED and not lines:
        return [f'waits for {waits}']
    return lines


def fold(names: Iterable[str], groups: Groups) -> list[str]:
    """``train@*`` for all instances of train, ``train@* (3 of 4)`` for many of them, else the names themselves."""
    by_group: dict[str, list[str]] = {}
    for name in names:
        by_group.setdefault(name.partition('@')[0], []).append(name)
    return [text for group, members in by_group.items() for text in _folded(group, members, groups)]


def _folded(group: str, members: Sequence[str], groups: Groups) -> list[str]:
    every = len(groups.get(group, members))
    if len(members) < min(FOLD, every) or (every == 1 and members == [group]):
        return [one_line(name) for name in members]
    return [one_line(f'{group}@*' if len(members) == every else f'{group}@* ({len(members)} of {every})')]


def both_groups(one: Groups, two: Groups) -> Groups:
    """The instances of either of two pipelines, so that what both have is counted once."""
    return {name: tuple(dict.fromkeys((*one.get(name, ()), *two.get(name, ())))) for name in (*one, *two)}


def some(names: Sequence[str], most: int) -> list[str]:
    return [*names[:most], *([f'{len(names) - most} more'] if len(names) > most else [])]


def number(figure: float | int) -> str:
    """A metric, as many digits as people read."""
    return show_number(figure)


def metric(name: str, now: float | int, before: float | int | None, *, primary: bool = True) -> str:
    """``accuracy 0.9694 (was 0.9667)``; that it is as it was is only worth saying of a primary one."""
    same = ' (unchanged)' if primary else ''
    was = '' if before is None else same if before == now else f' (was {number(before)})'
    return f'{one_line(name)} {number(now)}{was}'


def shown_metrics(stage: Stage, metrics: Metrics) -> list[tuple[str, str, float | int]]:
    """The primary metrics; without any, the first two there are."""
    primary = {output.path: output.metric.primary for output in stage.outputs if output.metric}
    return [one for one in metrics if primary.get(one[0]) == one[1]] or list(metrics[:2])


def output(path: str, ref: ObjectRef, store: Nodes | None = None) -> str:
    """``data/prepared, 2 files, 1.1 MB``."""
    files = file_count(ref, store.read) if store is not None and ref.kind == 'tree' else None
    counted = f'{plural(files, "file")}, ' if files is not None else ''
    return f'{one_line(path)}, {counted}{show_size(ref.size)}'


def file_count(ref: ObjectRef, read: Callable[[Digest], bytes]) -> int | None:
    """How many files a folder holds; None where counting them would take long."""
    files, folders = 0, [ref.digest]
    while folders:
        node = read(folders.pop())
        if len(node) > NODE_LIMIT:
            return None
        for entry in decode(node):
            if entry.kind == 'dir' and entry.digest is not None:
                folders.append(entry.digest)
            else:
                files += 1
        if files > COUNTED or len(folders) > COUNTED:
            return None
    return files


def made(
    stage: Stage,
    outputs: Sequence[tuple[str, ObjectRef]],
    metrics: Metrics,
    before: Mapping[tuple[str, str], float | int] | None = None,
    store: Nodes | None = None,
) -> list[str]:
    """What a stage made, in a few words each: its metrics with their values before, then its outputs."""
    known = before or {}
    primary = {(output.path, output.metric.primary) for output in stage.outputs if output.metric}
    words = [
        metric(name, now, known.get((file, name)), primary=(file, name) in primary)
        for file, name, now in shown_metrics(stage, metrics)
    ]
    measured = {file for file, _, _ in metrics}
    things = [(path, ref) for path, ref in outputs if path not in measured]
    most = 1 if words else 2
    words += [output(path, ref, store) for path, ref in things[:most]]
    return words + ([f'and {len(things) - most} more'] if len(things) > most else [])


def fitting(parts: Sequence[str], columns: int | None) -> str:
    """As many of the parts, from the first, as there is room for; ``columns`` None: all."""
    text = ''
    for part in parts:
        longer = f'{text}  {part}' if text else part
        if columns is not None and cells(longer) > columns:
            return f'{text} …' if text and cells(text) + 2 <= columns else text or clip(part, columns)
        text = longer
    return text


def command_line(command: Command) -> str:
    """What a stage runs, as one would type it."""
    if command.kind == 'argv':
        import shlex

        text = shlex.join(command.words)
    else:
        text = ' && '.join(word.strip() for word in command.words)
    return one_line(text)


def span(low: float | None, high: float | None, typical: float | None) -> str:
    """``~6.1s``, ``4.2s-7.9s``, or nothing where nothing is known."""
    if typical is None or low is None or high is None:
        return ''
    if high < SHORT:
        return f'<{SHORT}s'
    if high - low <= max(0.25 * low, 0.3):
        return f'~{show_seconds(typical)}'
    return f'{show_seconds(max(low, SHORT))}-{show_seconds(high)}'


def estimate(one: Estimate) -> str:
    return span(one.low, one.high, one.typical)


def clock(seconds: float) -> str:
    """``0:03``, ``12:05``, ``1:02:03``: time that runs."""
    whole = int(seconds)
    head = f'{whole // 3600}:{whole % 3600 // 60:02}' if whole >= 3600 else str(whole // 60)
    return f'{head}:{whole % 60:02}'


def minutes(seconds: float) -> str:
    """``12m``, ``3h05m``: time that ran, for lines that come once a minute."""
    whole = round(seconds / 60)
    return f'{whole // 60}h{whole % 60:02}m' if whole >= 60 else f'{whole}m'


def progress_words(one: StageProgress, most: int = 5) -> list[str]:
    """``epoch 7 of 40``, ``loss 0.412``: how far a stage says it is, what counts first."""
    parts: list[str] = []
    for name, figure in one.figures[:most]:
        text = value(figure, 24) if isinstance(figure, str) else number(_whole(figure))
        total = f' of {number(_whole(one.total))}' if not parts and one.total is not None and figure == one.done else ''
        parts.append(f'{value(name, 24)} {text}{total}')
    return parts


def remaining(one: StageProgress, since: float, first: tuple[float, float] | None, now: float) -> float | None:
    """Seconds until ``done`` is ``total``, at the speed so far.  ``since``: when the stage began; ``first``: (when, how far) it
    was first seen to be; ``now``: when it said this; None where that cannot be told."""
    if one.done is None or one.total is None or one.total <= 0:
        return None
    if first is not None and one.done > first[1]:
        return max(0.0, (now - first[0]) / (one.done - first[1]) * (one.total - one.done))
    return max(0.0, (now - since) / one.done * (one.total - one.done)) if one.done > 0 else None


def _whole(figure: float | int) -> float | int:
    """``7`` for 7.0: counters come as either."""
    return int(figure) if isinstance(figure, float) and figure.is_integer() and abs(figure) < 1e15 else figure
