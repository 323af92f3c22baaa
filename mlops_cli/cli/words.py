"""How things are said: reasons, outputs, verdicts.  Values in, text out; the same words on every screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.units import show_size
from mlops_cli.pipeline.spec import Stage
from mlops_cli.plan.model import Reason, Step, Verdict

VALUE_WIDTH = 60


def clip(text: str, width: int = VALUE_WIDTH) -> str:
    flat = ' '.join(text.split())
    return flat if len(flat) <= width else flat[: width - 1] + '…'


def reason(one: Reason) -> str:
    """``param train.lr 0.1 -> 0.01``, ``code src/features.py: function normalise changed``."""
    if one.kind == 'never-run':
        return 'never run'
    if one.kind == 'forced':
        return one.detail
    head = f'{one.kind} {one.subject}'.strip()
    if one.kind in ('param', 'environment', 'command', 'output') and (one.before is not None or one.after is not None):
        before = 'none' if one.before is None else clip(one.before)
        after = 'none' if one.after is None else clip(one.after)
        return f'{head} {before} -> {after}'
    if one.detail in ('changed', 'new', 'gone'):
        return f'{head} {one.detail}'
    return f'{head}: {one.detail}' if one.detail else f'{head} changed'


def why(step: Step) -> list[str]:
    """The lines of a plan's WHY column."""
    lines = [reason(one) for one in step.reasons]
    if step.verdict is Verdict.RESTORE:
        return [f'same key as {step.origin}' if step.origin else 'recorded before', *lines]
    if step.verdict is Verdict.MAYBE:
        names = groups(step.waits_for)
        return [*lines, f'{"after" if lines else "if an output changes of"} {names}']
    return lines


def groups(names: Iterable[str]) -> str:
    """``train`` for all of ``train@a, train@b``; at most four names."""
    short = list(dict.fromkeys(name.partition('@')[0] for name in names))
    return ', '.join(short[:4]) + (f' and {len(short) - 4} more' if len(short) > 4 else '')


def made(stage: Stage, outputs: Sequence[tuple[str, ObjectRef]], metrics: Sequence[tuple[str, str, float | int]]) -> str:
    """What a stage made, in a few words: its primary metric, else its outputs."""
    primary = {output.path: output.metric.primary for output in stage.outputs if output.metric}
    shown = [f'{name} {value:.4g}' for file, name, value in metrics if primary.get(file) == name]
    if not shown:
        shown = [f'{name} {value:.4g}' for _, name, value in metrics[:2]]
    others = [(path, ref) for path, ref in outputs if path not in {file for file, _, _ in metrics}]
    things = [f'{path}, {show_size(ref.size)}' for path, ref in others]
    if not shown or len(things) == 1:
        shown += things[:2] if not shown else things[:1]
    extra = len(things) - 2 if not metrics else 0
    return '  '.join(shown) + (f' and {extra} more' if extra > 0 else '')


def count(number: int, noun: str) -> str:
    return f'{number:,} {noun}' + ('' if number == 1 else 's')
