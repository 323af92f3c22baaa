"""The plan as a table, and the status as a page; both are read off the same Plan."""

from __future__ import annotations

import os

from mlops_cli.cli.console import one_line, out, width
from mlops_cli.cli.words import clip, count, groups, why
from mlops_cli.core.units import show_seconds
from mlops_cli.plan.forecast import forecast
from mlops_cli.plan.model import Plan, Verdict
from mlops_cli.run.workbench import Workbench


def show_plan(plan: Plan, bench: Workbench, jobs: int = 0) -> None:
    """The plan, a stage a line, and its reasons."""
    names = max([len(step.stage) for step in plan.steps] + [5])
    room = max(20, width() - names - 24)
    out(f'  {"STAGE":<{names}}  {"WHAT":<8} {"WHY":<{room}} {"TIME":>8}')
    for step in plan.steps:
        lines = [clip(one_line(line), room) for line in why(step)] or ['']
        seconds = step.estimate.typical
        time = '' if step.verdict is Verdict.FRESH or seconds is None else show_seconds(seconds)
        out(f'  {one_line(step.stage):<{names}}  {step.verdict:<8} {lines[0]:<{room}} {time:>8}'.rstrip())
        for line in lines[1:]:
            out(f'  {"":<{names}}  {"":<8} {line}')
        for note in step.notes:
            out(f'  {"":<{names}}  {"":<8} note: {one_line(note)}')
    out()
    parts = [f'{plan.count(verdict)} {verdict}' for verdict in Verdict if plan.count(verdict)]
    out(f'{", ".join(parts)}.')
    low, high = forecast(plan, jobs or bench.config.jobs or os.cpu_count() or 1)
    if high:
        out(f'Time {show_seconds(low or 0)} to {show_seconds(high)}.' if low != high else f'Time {show_seconds(high)}.')
    if plan.out_of_date:
        out('More behind a reason: mlops explain STAGE')


def show_status(plan: Plan, bench: Workbench) -> None:
    """What is out of date, and why."""
    stale = [step for step in plan.steps if step.verdict is Verdict.RUN]
    restore = [step for step in plan.steps if step.verdict is Verdict.RESTORE]
    maybe = [step for step in plan.steps if step.verdict is Verdict.MAYBE]
    blocked = [step for step in plan.steps if step.verdict is Verdict.BLOCKED]
    fresh = [step for step in plan.steps if step.verdict is Verdict.FRESH]
    if len(fresh) == len(plan.steps):
        out(f'Up to date: {count(len(fresh), "stage")}.')
    for title, steps in (('Stale', stale), ('Can be restored', restore), ('Blocked', blocked)):
        if steps:
            out(f'{title}, {len(steps)}')
            for step in steps:
                lines = [one_line(line) for line in why(step)] or ['']
                out(f'  {one_line(step.stage):<20}  {lines[0]}')
                for line in lines[1:]:
                    out(f'  {"":<20}  {line}')
    if maybe:
        out(f'Downstream, {len(maybe)}  {groups(step.stage for step in maybe)}')
    if fresh and len(fresh) != len(plan.steps):
        out(f'Fresh, {len(fresh)}  {groups(step.stage for step in fresh)}')
    for step in plan.steps:
        for note in step.notes:
            out(f'note: {one_line(step.stage)}: {one_line(note)}')
    del bench
