"""What is worth knowing of a result, in sentences: who accepted it, under what it was made, what else its inputs led to.

Names and reasons stand in them as they were recorded, on one line; whoever prints them makes them safe for a terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlops_cli.core.classes import dataclass
from mlops_cli.core.units import plural
from mlops_cli.plan.model import Blessing, Rival, Step, Surrounding

NOT_DETERMINISTIC = 'not deterministic'  # how what is said of several results begins

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
        'trusted': f'trusted by {who} on {when}, though its code or inputs changed while it ran',
        'chosen': f'chosen by {who} on {when}, of {plural(one.results, "result")}',
    }.get(one.kind, f'accepted by {who} on {when}')
    return on_one_line(f'{how}: {one.reason}')


@dataclass(frozen=True, slots=True)
class Rivalry:
    """A stage whose inputs led to more than one result.  ``run``: the id of the run that made the one which is here."""

    stage: str
    run: str
    rivals: tuple[Rival, ...]


def rivalries(found: Iterable[Rivalry]) -> list[tuple[str, list[str]]]:
    """(sentence, stages it is about): which results the same inputs led to, how they differ, and what to do.

    Instances of one stage whose results come from the same runs share a sentence: there is the same to do about them."""
    alike: dict[object, list[Rivalry]] = {}
    for one in found:
        runs = tuple(sorted(rival.run for rival in one.rivals))
        tolerated = all(rival.tolerated for rival in one.rivals)
        alike.setdefault((one.stage.partition('@')[0], one.run, runs, tolerated), []).append(one)
    return [(_rivalry(members), [one.stage for one in members]) for members in alike.values()]


def _rivalry(members: Sequence[Rivalry]) -> str:
    first, rivals = members[0], members[0].rivals
    several, each = (True, ' each') if len(members) > 1 else (False, '')
    every = plural(len(rivals) + 1, 'result') + each
    if all(one.tolerated for one in rivals):
        return f'{every} are recorded for the same inputs; they differ in metrics alone, within their tolerance'
    measured = {file for one in rivals for file, *_ in one.metrics}
    paths = list(dict.fromkeys(path for one in rivals for path in one.differs if path not in measured))
    differ = ', '.join(some([*map(apart, numbers_apart(rivals)), *paths], NAMED))
    differ = f', as in {differ}' if several else f' in {differ}'
    others = ', '.join(some(list(dict.fromkeys(run_name(one.run) for one in rivals)), 3))
    there = 'the others' if several or len(rivals) > 1 else 'the other'
    choice = first.run.partition('-')[2] or first.stage
    return on_one_line(
        f'{NOT_DETERMINISTIC}: the same inputs led to {every}, which differ{differ}; {run_name(first.run)} made '
        f'{"the ones" if several else "the one"} here, {others} {there}. Fix what is random (a seed), or choose '
        f'{"these" if several else "this one"}: mlops accept {choice} --reason TEXT'
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
    """What is worth knowing of a step beside its verdict, the reasons for it, and other results."""
    return [*step.notes, *([blessing(step.accepted)] if step.accepted is not None else [])]


def rivalry_of(step: Step) -> list[Rivalry]:
    return [Rivalry(step.stage, step.run, step.rivals)] if step.rivals else []
