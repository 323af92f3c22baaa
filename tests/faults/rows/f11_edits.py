"""F11: people edit, add, compute, switch branches and check out, commands are killed: no byte of theirs is ever gone.

A case is a range of seeds; a seed is a sequence of steps, the same each time.  What goes wrong is told with the fewest steps
that still make it go wrong.  For DVC the same, without what it says of itself that it destroys (``checkout --force``, and what
was written by hand into an output that it makes anew), and with edits that replace a file which is a link into its cache,
as editors do."""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.faults.base import Bad, Row, Setting, Trial, Verdict
from tests.faults.edits_judge import Act, Played, Problem
from tests.faults.edits_world import DATA, MODES, OUTS, PLACES, SIDES, STAGE_OF, Side, copied

SEQUENCES = {'mlops': 5000, 'dvc': 150}
FAST = {'mlops': 8, 'dvc': 2}
BATCH = {'mlops': 25, 'dvc': 2}
TRIES = 60  # sequences played to shorten one
HOWS = ('over', 'append', 'replace', 'same', 'same, with its times')


def plan(seed: int, tool: str) -> tuple[str, bool, list[Act]]:
    """(way of linking, whether the cache is shared, steps)."""
    dice = random.Random(f'edits {seed}')
    mode, shared = dice.choice(MODES), dice.random() < 0.4
    return mode, shared, [_act(dice, tool, 1000 * seed + step) for step in range(dice.randint(6, 16))]


def _act(dice: random.Random, tool: str, number: int) -> Act:
    tree = int(dice.random() < 0.2)
    kind = dice.choices(
        ['do', 'edit', 'delete', 'copy', 'move', 'block', 'link', 'commit', 'switch', 'worktree'],
        [48, 28, 6, 4, 2, 2, 1, 3, 4, 2],
    )[0]
    if kind == 'do':
        return _command(dice, tool, tree, number)
    if kind == 'edit':
        return Act(kind, (dice.choice(PLACES), dice.choice(HOWS)), tree, number, large=dice.random() < 0.03)
    words: tuple[str, ...] = {
        'delete': (dice.choice([*PLACES, *DATA, *OUTS]),),
        'copy': (dice.choice(PLACES), dice.choice(['data/set/extra', 'd/mine', 'd/sub/mine', 'out/mine'])),
        'move': (dice.choice(PLACES), dice.choice(['data/set/3', 'data/one.csv', 'out/a', 'd/mine', 'last.txt'])),
        'block': (dice.choice([*DATA, *OUTS, 'd/sub']),),
        'link': (dice.choice(['data/one.csv', 'data/set/link', 'd/x', 'last.txt']),),
        'switch': (dice.choice(['main', 'other']),),
    }.get(kind, ())
    return Act(kind, words, tree, number)


def _command(dice: random.Random, tool: str, tree: int, number: int) -> Act:
    verb = dice.choices(['checkout', 'run', 'add', 'accept', 'gc', 'status', 'verify', 'plan'], [41, 25, 15, 5, 5, 4, 3, 2])[0]
    if tool == 'dvc' and verb in ('verify', 'plan', 'gc'):
        verb = 'checkout'
    words = [verb]
    if verb == 'add':
        words += dice.sample(DATA, dice.choice([1, 1, 2]))
    elif verb == 'accept':
        words += [dice.choice(['files', 'folder', 'last']), *(['--reason', 'they said so'] if tool == 'mlops' else [])]
    elif verb == 'checkout':
        words += dice.sample([*DATA, *OUTS], dice.choice([0, 0, 0, 1, 2]))
        if tool == 'mlops':
            words += ['--force'] if dice.random() < 0.4 else []
            words += ['--clean'] if dice.random() < 0.15 else []
            words += ['--at', dice.choice(['main', 'other', 'HEAD'])] if dice.random() < 0.3 else []
            words += ['--json'] if dice.random() < 0.7 else []
    elif verb == 'gc':
        words += dice.choice([['--grace', '0', '--yes']] * 3 + [['--undo']])
    elif verb == 'run' and dice.random() < 0.2:
        words += [dice.choice([*STAGE_OF.values()])]
    most = {'checkout': 250, 'run': 400, 'add': 60, 'accept': 60, 'gc': 60}.get(verb, 0)
    kill = int(math.exp(dice.uniform(0, math.log(most)))) if most and dice.random() < 0.14 else 0
    meanwhile = None
    if most and not kill and tool == 'mlops' and dice.random() < 0.15:
        at = int(math.exp(dice.uniform(0, math.log(most))))
        meanwhile = (at, dice.choice(PLACES), dice.choice(HOWS), number + 500)
    return Act('do', tuple(words), tree, number, kill=kill, meanwhile=meanwhile)


def played(setting: Setting, folder: Path, mode: str, shared: bool, acts: Sequence[Act]) -> list[Problem]:
    side = laid(setting, folder, mode, shared)
    try:
        return Played(side).play(acts)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def laid(setting: Setting, folder: Path, mode: str, shared: bool) -> Side:
    folder.mkdir(parents=True)
    side = SIDES[setting.tool.name](setting.tool, folder, mode, shared)
    copied(side, setting.shared)
    return side


def shortest(setting: Setting, mode: str, shared: bool, acts: list[Act], kind: Bad) -> tuple[list[Act], str]:
    """The fewest steps found that still end in a problem of this kind, and what it says."""
    text, tries, size = '', 0, max(1, len(acts) // 2)
    while size and tries < TRIES:
        at = 0
        while at < len(acts) and tries < TRIES:
            fewer = [*acts[:at], *acts[at + size :]]
            tries += 1
            found = [one for one in played(setting, setting.folder / f'less-{tries}', mode, shared, fewer) if one.kind == kind]
            if found:
                acts, text = fewer[: found[0].step + 1], found[0].text
            else:
                at += size
        size //= 2
    for number, act in enumerate(acts):  # what is left, as plain as can be
        for plain in (replace(act, kill=0), replace(act, meanwhile=None)):
            fewer = [*acts[:number], plain, *acts[number + 1 :]]
            if plain != act and any(
                one.kind == kind for one in played(setting, setting.folder / f'plain-{number}', mode, shared, fewer)
            ):
                acts = fewer
    return acts, text


def cases(setting: Setting) -> list[str]:
    of = (SEQUENCES if setting.full else FAST)[setting.tool.name]
    batch = BATCH[setting.tool.name]
    return [f'seeds {first} to {min(of, first + batch) - 1}' for first in range(0, of, batch)]


def run(setting: Setting, case: str) -> Verdict:
    _, first, _, last = case.split()
    trial = Trial()
    for seed in range(int(first), int(last) + 1):
        trial.tried += 1
        mode, shared, acts = plan(seed, setting.tool.name)
        found = played(setting, setting.folder / f'seed-{seed}', mode, shared, acts)
        for kind in dict.fromkeys(one.kind for one in found):
            text = next(one.text for one in found if one.kind == kind)
            steps = acts
            if setting.tool.name == 'mlops':
                steps, short = shortest(setting, mode, shared, acts, kind)
                text = short or text
            links = f'{mode}{", shared cache" if shared else ""}'
            trial.bad(kind, f'seed {seed} ({links}): {text}; steps: {"; ".join(map(str, steps))}')
    return trial.verdict()


ROWS = (
    Row(
        'F11',
        'files edited, added, computed, checked out, moved, deleted in any order; branches, kills, all ways of linking',
        '5,000 sequences of 6 to 16 steps',
        cases,
        run,
        tools=('mlops', 'dvc'),
    ),
)
