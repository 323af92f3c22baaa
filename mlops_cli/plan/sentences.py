"""What is worth knowing of a result, in sentences: who accepted it, under what it was made, what else its inputs led to.

Names and reasons stand in them as they were recorded, on one line; whoever prints them makes them safe for a terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlops_cli.core.units import plural
from mlops_cli.plan.model import Blessing, Rival, Step, Surrounding

SURROUNDINGS = 3  # differences between environments that are named in a line
NAMED = 4  # differences between results that are

Apart = tuple[str, float | int | None, float | int | None]


def some(names: Sequence[str], most: int) -> list[str]:
    return [*names[:most], *([f'{len(names) - most} more'] if len(names) > most else [])]


def on_one_line(text: str) -> str:
    return ' '.join(text.split())


def run_name(run: str) -> str:
    """``run 7k2m9q4c``, of an id."""
    return f'run {run.partition("-")[2]}' if run else 'an unknown run'


def surrounding(one: Surrounding) -> str:
    """``Python 3.12.1, here 3.11.7``: what a result was made under, and what is here instead."""
    return on_one_line(f'{one.name} {one.then or "none"}, here {one.here or "none"}')


def made_under(step: Step) -> str:
    """``Python 3.12.1, here 3.11.7; numpy 2.1, here 2.2``; nothing for the same environment."""
    return '; '.join(some(list(map(surrounding, step.surroundings)), SURROUNDINGS))


def restored_from(step: Step) -> str:
    """``same key as run 6hx2aa (ben, gpu1; Python 3.12.1, here 3.11.7)``."""
    text = f'same key as {on_one_line(step.origin)}' if step.origin else 'recorded before'
    if under := made_under(step):
        text = f'{text[:-1]}; {under})' if text.endswith(')') else f'{text} ({under})'
    return text


def blessing(one: Blessing) -> str:
    """``accepted by ada on 2026-11-20: only log messages changed``."""
    who, when = one.who or 'somebody', one.when[:10]
    how = {
        'trusted': f'trusted by {who} on {when}, though its code changed while it ran',
        'chosen': f'chosen by {who} on {when}, of {plural(one.results, "result")}',
    }.get(one.kind, f'accepted by {who} on {when}')
    return on_one_line(f'{how}: {one.reason}')


def rivalry(stage: str, run: str, rivals: Sequence[Rival]) -> str:
    """Which results the same inputs led to, how they differ, and what to do; nothing where there is one.

    ``run``: the id of the run that made the result which is here."""
    if not rivals:
        return ''
    every = plural(len(rivals) + 1, 'result')
    if all(one.tolerated for one in rivals):
        return f'{every} are recorded for the same inputs; they differ in metrics alone, within their tolerance'
    paths = list(dict.fromkeys(path for one in rivals for path in one.differs))
    differ = ', '.join(some([*paths, *map(apart, numbers_apart(rivals))], NAMED))
    others = ', '.join(some(list(dict.fromkeys(run_name(one.run) for one in rivals)), 3))
    choice = run.partition('-')[2] or stage
    return on_one_line(
        f'not deterministic: the same inputs led to {every}, which differ in {differ}; {run_name(run)} made the one here, '
        f'{others} the other{"s" if len(rivals) > 1 else ""}. Fix what is random (a seed), or choose this one: '
        f'mlops accept {choice} --reason TEXT'
    )


def numbers_apart(rivals: Iterable[Rival]) -> list[Apart]:
    """(name, here, there) of the metrics in which results differ, each name once."""
    found: dict[str, Apart] = {}
    for one in rivals:
        for _, name, here, there in one.metrics:
            found.setdefault(name, (name, here, there))
    return list(found.values())


def apart(one: Apart) -> str:
    """``accuracy (0.9694, 0.9667)``, with as many digits as it takes to see the difference."""
    name, *both = one
    shown = ['none' if figure is None else f'{figure:.4g}' for figure in both]
    if shown[0] == shown[1]:
        shown = ['none' if figure is None else repr(figure) for figure in both]
    return f'{name} ({", ".join(shown)})'


def sentences(step: Step) -> list[str]:
    """What is worth knowing of a step beside its verdict and the reasons for it."""
    said = [*step.notes]
    if step.accepted is not None:
        said.append(blessing(step.accepted))
    if text := rivalry(step.stage, step.run, step.rivals):
        said.append(text)
    return said
