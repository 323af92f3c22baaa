"""What was accepted, or would be.  Values in, lines out."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mlops_cli.cli import context
from mlops_cli.cli.console import Line, cells, clip, one_line, pad, wrap
from mlops_cli.cli.screens.run import to_keep
from mlops_cli.cli.screens.run_lines import keep_it
from mlops_cli.cli.words import fitting, fold, made, reason, some
from mlops_cli.core.units import plural
from mlops_cli.plan.model import Rival
from mlops_cli.plan.sentences import run_name
from mlops_cli.records.runs import Run
from mlops_cli.run.accept import CHOSEN, TRUSTED, Author, Done, Proposal
from mlops_cli.run.workbench import Workbench

NAMES = 40  # columns for names, at most
WORD = 9
REASONS = 4  # differences that are named
MANY = 5  # instances of a stage beyond which they share a line


def accept_lines(
    done: Sequence[Done],
    bench: Workbench,
    author: Author,
    run: Run | None,
    columns: int,
    fresh: Sequence[str] = (),
    *,
    dry_run: bool = False,
) -> list[Line]:
    """A line for each stage with what is below it, what it comes to, and what git has to be told.  ``fresh``: stages that
    were named and had nothing to accept."""
    names = min(NAMES, max((cells(one_line(one.proposal.stage)) for one in done), default=0))
    lines: list[Line] = []
    for likes in _alike(done):
        lines += _stage(likes[0].proposal, bench, names, columns) if len(likes) == 1 else _several(likes, bench, names, columns)
    if fresh:
        listed = ', '.join(some(fold(fresh, bench.pipeline.groups), REASONS))
        lines += [Line(clip(f'  {"fresh":<{WORD}} {listed}: nothing to accept', columns), 'fresh')]
    if not done:
        return [*lines, *_wrapped('All of it is recorded already, for the same reason.', columns), *_keep(bench)]
    subject = f'{plural(len(done), "stage")} of run {run.short}' if run else plural(len(done), 'stage')
    if dry_run:
        return [*lines, *_wrapped(f'{subject} would be recorded so. Nothing was changed.', columns)]
    verb = 'is' if len(done) == 1 else 'are'
    lines += _wrapped(f'{subject} {verb} recorded so, by {one_line(author.who)}: {one_line(author.reason.strip())}', columns)
    if other := _elsewhere(bench, done):
        lines += _wrapped(f'The workspace holds another {other}: mlops run puts the accepted one there.', columns)
    return [*lines, *_keep(bench)]


def _elsewhere(bench: Workbench, done: Sequence[Done]) -> str:
    """An output of which the workspace holds something else than what counts from now on for what it has now."""
    for one in done:
        if one.proposal.kind == CHOSEN and one.proposal.stage in bench.pipeline.stages:
            for path, ref in one.proposal.outputs:
                if (held := bench.workspace.ref(path, ignore=False)) is not None and held != ref:
                    return one_line(path)
    return ''


def _stage(one: Proposal, bench: Workbench, names: int, columns: int) -> list[Line]:
    head = f'  {one.kind:<{WORD}} {pad(clip(one_line(one.stage), names), names)}  '
    stage = bench.pipeline.stages.get(one.stage)
    parts = made(stage, one.outputs, one.metrics, None, bench.store) if stage and not _absent(one, bench) else []
    if not one.outputs:
        parts = ['no outputs: its command counts as having run']
    text = fitting(parts, max(columns - cells(head), 20))
    lines = [Line((head + text).rstrip(), one.kind)]
    for said in _said(one, bench):
        room = max(columns - WORD - 3, 30)
        lines += [Line(f'{"":<{WORD + 3}}{line}') for line in wrap(said, room)]
    return lines


def _alike(done: Sequence[Done]) -> list[list[Done]]:
    """Many instances of one stage share a line, unless all is to be shown."""
    found: dict[tuple[str, str], list[Done]] = {}
    for one in done:
        found.setdefault((one.proposal.stage.partition('@')[0], one.proposal.kind), []).append(one)
    many = [likes for likes in found.values() if len(likes) > MANY and not context.current.verbose]
    firsts = {id(likes[0]): likes for likes in many}
    rest = {id(one) for likes in many for one in likes[1:]}
    return [firsts.get(id(one), [one]) for one in done if id(one) not in rest]


def _several(likes: Sequence[Done], bench: Workbench, names: int, columns: int) -> list[Line]:
    first = likes[0].proposal
    name = ', '.join(fold([one.proposal.stage for one in likes], bench.pipeline.groups))
    head = f'  {first.kind:<{WORD}} {pad(clip(name, names), names)}  {plural(len(likes), "instance")}'
    room = max(columns - WORD - 3, 30)
    said = [line for text in _said(first, bench) for line in wrap(text, room)]
    more = [f'and the like for the others ({len(likes) - 1:,})'] if said else []
    return [Line(clip(head, columns), first.kind), *(Line(f'{"":<{WORD + 3}}{line}') for line in [*said, *more])]


def _absent(one: Proposal, bench: Workbench) -> bool:
    """A folder's files can be counted only where its nodes are."""
    return bool(bench.store.missing([ref for _, ref in one.outputs if ref.kind == 'tree']))


def _said(one: Proposal, bench: Workbench) -> list[str]:
    if one.kind == TRUSTED:
        return [f'of {_run(one.run)}, for the code that it started with (the state now: mlops plan {one_line(one.stage)})']
    said = [f'differs: {", ".join(some(list(map(reason, one.differs)), REASONS))}'] if one.differs else []
    for other in one.instead[:REASONS]:
        said.append(f'instead of {_other(other)}')
    if one.kind == CHOSEN and one.run:
        said.append(f'made by {_run(one.run)}')
    if one.kind == CHOSEN and bench.store.missing([ref for _, ref in one.outputs]):
        said.append('its outputs are not in this cache')
    return said


def _run(identity: str) -> str:
    return one_line(run_name(identity))


def _other(other: Rival) -> str:
    differs = f', which differs in {", ".join(some(list(map(one_line, other.differs)), 3))}' if other.differs else ''
    whose = f"{_run(other.run)}'s result" if other.run else f'the result {other.outs8}'
    return f'{whose}{differs}'


def _keep(bench: Workbench) -> list[Line]:
    paths = to_keep(bench).to_add
    here = context.current.started_in == os.path.realpath(bench.root.path)
    return [Line(keep_it('' if here else bench.root.path, paths))] if paths else []


def _wrapped(text: str, columns: int) -> list[Line]:
    return [Line(line) for line in wrap(text, columns)]
