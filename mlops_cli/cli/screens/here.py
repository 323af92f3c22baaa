"""What to do next, in a handful of lines.  Values in, lines out."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mlops_cli.adopt.surroundings import Surroundings
from mlops_cli.cli.console import Line, cells, clip, one_line, pad
from mlops_cli.cli.context import typed
from mlops_cli.cli.going_on import died_lines
from mlops_cli.cli.standing import NO_WAY_BACK, NOT_HERE, NOWHERE, Working, ended_at
from mlops_cli.cli.uncommitted import NOTHING, Uncommitted
from mlops_cli.cli.words import ago, state_word
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.units import plural
from mlops_cli.plan.model import Plan, Verdict
from mlops_cli.records.runs import Run
from mlops_cli.run.killed import Killed

if TYPE_CHECKING:
    from mlops_cli.run.unpulled import Unpulled

ALL = 'mlops -h lists all commands.'
WIDEST = 44  # columns of a command that still stand side by side with what it is for


@dataclass(frozen=True, slots=True)
class Here:
    """``branch`` None where git has no answer, for the reason ``no_git``; empty on no branch.  ``data``: tracked paths that are
    not as their records say, and how they differ.  ``died``: runs of which nothing is undone yet.  ``unread``: records of
    runs after the last one that cannot be read.  ``unpulled``: what a remote may have.
    ``folder``: the project's, where the user does not stand in it."""

    now: float
    plan: Plan
    branch: str | None = None
    no_git: str = ''
    last: Run | None = None
    running: tuple[Working, ...] = ()
    uncommitted: Uncommitted = NOTHING
    data: Mapping[str, str] = field(default_factory=dict)
    died: tuple[Killed, ...] = ()
    unread: int = 0
    unpulled: Unpulled | None = None
    folder: str = ''


def outside_lines(folder: str, here: Surroundings, bare: bool, columns: int) -> list[Line]:
    """Where there is no project.  ``bare``: it is a bare repository."""
    steps: list[tuple[str, str]] = []
    if bare:
        steps.append(('git worktree add ../work', 'this is a bare repository, which has no files: go there'))
    dvc = any(tool == 'DVC' for _, tool in here.tools)
    if dvc:
        steps.append(('mlops adopt dvc', 'take over what is here, with what dvc.lock records; nothing is run'))
    if here.scripts:
        script = one_line(shlex.quote(here.scripts[0]))
        steps.append((f'mlops init --script {script}', 'a first stage for what is here; it is read, not run'))
    if not here.scripts and not dvc and not bare:
        steps.append(('mlops init', 'a project here that runs as it is'))
    steps.append(('mlops init --list', 'what else to begin with'))
    return [Line(f'No project here: no pipeline.yaml in {one_line(folder)} or above it.'), *_steps(steps, columns), Line(ALL)]


def here_lines(here: Here, columns: int) -> list[Line]:
    """Where there is one: how it stands, and the commands that fit that."""
    # while something runs, what is out of date or not committed is about to change
    steps = _running(here) or [*_failed(here), *_stale(here), *_unsaved(here)]
    if not steps:
        steps = [
            ('mlops run --set KEY=VALUE', 'try another value, apart from your files'),
            ('mlops metrics show', 'the numbers it came to'),
            ('mlops runs list', 'what has run'),
        ]
    return [Line(_standing(here)), *died_lines(here.died, columns), *_steps(steps[:7], columns), Line(ALL)]


def _standing(here: Here) -> str:
    name, count = one_line(here.plan.pipeline), plural(len(here.plan.steps), 'stage')
    where = f'branch {one_line(here.branch)}' if here.branch else 'on no branch'
    if here.branch is None:
        where = one_line(here.no_git)
    if here.last is None:
        return f'{name}: {count}, {"no record of a run can be read" if here.unread else "none has run yet"}; {where}.'
    ended = '' if here.last.ended == 'done' else f', {state_word(here.last.ended)}'
    last = f'last run {here.last.short} {ago(here.now - ended_at(here.last))}{ended}'
    fresh = 'all up to date' if all(step.verdict is Verdict.FRESH for step in here.plan.steps) else ''
    return f'{name}: {count}{", " if fresh else ""}{fresh}; {where}; {last}.'


def _running(here: Here) -> list[tuple[str, str]]:
    if not here.running:
        return []
    first = one_line(shlex.quote(here.running[0].stage))
    more = f' and {plural(len(here.running) - 1, "other stage")}' if len(here.running) > 1 else ''
    steps = [(f'mlops logs {first} --follow', f'watch what runs now: {one_line(here.running[0].stage)}{more}')]
    for run in dict.fromkeys(one_line(one.run) for one in here.running if one.run):
        steps += [(f'mlops runs attach {run}', 'follow that run here'), (f'mlops runs cancel {run}', 'stop it')]
    return steps


def _failed(here: Here) -> list[tuple[str, str]]:
    if here.last is None or here.last.ended not in ('failed', 'killed', 'interrupted'):
        return []
    stale = {step.stage for step in here.plan.steps if step.verdict in (Verdict.RUN, Verdict.MAYBE)}
    failed = [one.name for one in here.last.stages if one.state == 'failed' and one.name in stale]
    if not failed:
        return []
    more = f', as {plural(len(failed) - 1, "other")}' if len(failed) > 1 else ''
    return [(f'mlops logs {one_line(shlex.quote(failed[0]))}', f'why {one_line(failed[0])} failed in the last run{more}')]


def _stale(here: Here) -> list[tuple[str, str]]:
    def count(*verdicts: Verdict) -> int:
        return sum(step.verdict in verdicts for step in here.plan.steps)

    steps = []
    if blocked := count(Verdict.BLOCKED):
        steps.append(('mlops status', f'{plural(blocked, "stage")} cannot run: something is missing'))
    if here.unpulled is not None:
        steps.append(('mlops pull', one_line(here.unpulled.sentence)))
    stale, restore = count(Verdict.RUN, Verdict.MAYBE), count(Verdict.RESTORE)
    if here.last is None and not here.unread and stale == len(here.plan.steps):
        steps.append(('mlops run', f'run {"it" if stale == 1 else "all of it"}'))
    elif stale:
        steps.append(('mlops plan', f'{plural(stale, "stage")} out of date: which, and why'))
        steps.append(('mlops run', 'bring them up to date'))
    elif restore:
        steps.append(('mlops checkout', f'{plural(restore, "stage")} can be restored, nothing has to run'))
    if by_hand := [path for step in here.plan.steps for path in step.changed_by_hand]:
        steps.append(('mlops status', f'{plural(len(by_hand), "output")} changed by hand'))
    if here.data:
        steps.append(_data(*next(iter(here.data.items())), one_line(typed('mlops', here.folder))))
    return list(dict(steps).items())


def _data(name: str, text: str, mlops: str) -> tuple[str, str]:
    path = one_line(shlex.quote(name))
    if text.startswith(NOWHERE):
        return 'mlops status', f'{one_line(name)} is {one_line(text)}'
    if text == NOT_HERE:
        return f'{mlops} checkout {path}', 'tracked data is not here: bring it back'
    back = '' if text.endswith(NO_WAY_BACK) else f'; or back: {mlops} checkout {path}'
    return f'{mlops} add {path}', f'tracked data changed: keep it{back}'


def _unsaved(here: Here) -> list[tuple[str, str]]:
    if here.branch is None:
        return [('git init', 'so that what is recorded has a history')] if here.no_git == 'not in a git repository' else [
            ('mlops doctor', one_line(here.no_git))
        ]
    lacking = here.uncommitted
    if here.last is None or not lacking.to_add:
        return []
    adding = ' '.join(one_line(shlex.quote(path)) for path in lacking.to_add)
    what = [plural(len(lacking.records), 'record')] if lacking.records else []
    what += [plural(len(lacking.files), 'file')] if lacking.files else []
    git = one_line(typed('git', here.folder))
    return [(f'{git} add {adding} && {git} commit', f'{" and ".join(what)} not committed')]


def _steps(steps: Sequence[tuple[str, str]], columns: int) -> list[Line]:
    """``  command      what it is for``; what it is for on a line of its own where there is no room."""
    widest = max([cells(command) for command, _ in steps if cells(command) <= WIDEST], default=0)
    lines = []
    for command, about in steps:
        if cells(command) <= widest and 4 + widest + cells(about) <= columns:
            lines.append(Line(f'  {pad(command, widest)}  {about}'.rstrip()))
        else:
            lines.append(Line(f'  {command}'))
            lines += [Line(f'      {clip(about, columns - 6)}')] if about else []
    return lines
