"""The program behind bench/profile: in which part of the program the time of the most used commands goes."""

from __future__ import annotations

import argparse
import pstats
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import report
from bench.errors import BenchError
from bench.measure import Contender, Sample, Timer
from bench.places import Places, default_folder
from bench.program import environment
from bench.projects import Projects
from bench.rows.history import project as of_runs
from bench.tools import Ours, Tools

STAGES = 1000
ROUNDS = 7
PROFILES = 3
LEAST = 0.03  # share of a part that is named
CODE = """
import cProfile, sys
from mlops_cli import __main__
out, *sys.argv[1:] = sys.argv[1:]
profile = cProfile.Profile()
profile.enable()
try:
    __main__.main()
except SystemExit as end:
    code = end.code
finally:
    profile.disable()
profile.dump_stats(out)
sys.exit(code)
"""
LOADING, QUICK, LIBRARY = 'loading', 'looking for changes', 'library'

Function = tuple[str, int, str]  # file, line, name, as pstats has them
Shares = dict[str, float]


@dataclass(frozen=True, slots=True)
class Profiled:
    """``start``: seconds that Python takes to start; ``shares``: part of the program -> its share of the rest."""

    contender: Contender
    samples: list[Sample]
    start: float
    shares: Shares


def part_of(function: Function) -> str:
    """The part of the program that a function belongs to; empty for what belongs to whoever calls it."""
    file, _, name = function
    if 'importlib' in file or name == '<module>':
        return LOADING
    _, found, below = file.partition('/mlops_cli/')
    if not found:
        return ''
    if below.startswith('cli/quick/'):
        return QUICK
    return below.partition('/')[0] if '/' in below else 'cli'


def shares(stats: dict[Function, tuple[int, int, float, float, dict[Function, Any]]]) -> Shares:
    """Of each part, with the time of library functions and built-in ones given to those that call them.

    ``stats``: of pstats: calls, calls again, seconds in the function itself, seconds with all it calls, callers likewise."""
    known: defaultdict[str, float] = defaultdict(float)
    waiting = {function: seconds for function, (_, _, seconds, _, _) in stats.items()}
    for _ in range(12):  # as deep as libraries call each other; what is still with one then stays there
        ahead: defaultdict[Function, float] = defaultdict(float)
        for function, seconds in waiting.items():
            callers = stats[function][4] if function in stats else {}
            weights = {caller: max(times[3], 1e-9) for caller, times in callers.items() if caller != function}
            if part := part_of(function):
                known[part] += seconds
            elif not weights:
                known[LIBRARY] += seconds
            for caller, weight in weights.items() if not part_of(function) else ():
                ahead[caller] += seconds * weight / sum(weights.values())
        waiting = ahead
    known[LIBRARY] += sum(waiting.values())
    total = sum(known.values())
    return {part: seconds / total for part, seconds in sorted(known.items(), key=lambda item: -item[1])}


def profiled(timer: Timer, ours: Ours, contender: Contender, places: Places) -> Profiled:
    """Timed as it is, then watched."""
    bare = Contender('python', (ours.python, '-c', 'pass'), contender.cwd)
    timer.once(contender)
    samples, starts = [], []
    for _ in range(ROUNDS):
        samples.append(timer.once(contender))
        starts.append(timer.once(bare).wall)
    found: defaultdict[str, float] = defaultdict(float)
    out = places.folder / 'profile'
    for _ in range(PROFILES):
        timer.once(replace(contender, command=(ours.python, '-c', CODE, str(out), *contender.command[1:])))
        stats: Any = pstats.Stats(str(out))
        for part, share in shares(stats.stats).items():
            found[part] += share / PROFILES
    return Profiled(contender, samples, statistics.median(starts), dict(found))


def commands(ours: Ours, projects: Projects, places: Places) -> list[Callable[[], Contender]]:
    """The most used ones, each in the state it is mostly used in."""
    edited = [0]

    def built(purpose: str) -> Path:
        return projects.built(ours, STAGES, purpose)

    def edit(folder: Path, number: int) -> Callable[[], None]:
        def change() -> None:
            edited[0] += 1
            folder.joinpath(f'src/{number}.txt').write_text(f'changed {time.time_ns()} {edited[0]}\n')

        return change

    def one(name: str, folder: Path, expect: str, before: Callable[[], None] | None = None, writes: bool = False) -> Contender:
        words = name.partition(',')[0].split()
        return Contender(name, (ours.program, *words), folder, before, expect, True, writes)

    def after_edit(name: str, purpose: str, number: int, expect: str, writes: bool = False) -> Contender:
        folder = built(purpose)
        projects.do((ours.program, 'status'), folder)
        return one(name, folder, expect, edit(folder, number), writes)

    def nothing_placed() -> Contender:
        folder = built('restore')
        return one('checkout, outputs away', folder, 'placed', lambda: places.put_aside(folder / 'out'), True)

    return [
        lambda: one('status, nothing to do', built('built'), 'Up to date'),
        lambda: after_edit('status, one source edited', 'changed', STAGES // 2, 'run'),
        lambda: after_edit('plan, one source edited', 'changed', STAGES // 2, '1 run'),
        lambda: after_edit('run, one source edited', 'edited', STAGES - 1, '1 done', True),
        nothing_placed,
        lambda: one('runs list, of 10,000', of_runs(projects, ours), 'RUN'),
    ]


def row(one: Profiled) -> tuple[str, ...]:
    wall, cpu = (statistics.median(getattr(sample, name) for sample in one.samples) for name in ('wall', 'cpu'))
    parts = ', '.join(f'{part} {share:.0%}' for part, share in one.shares.items() if share >= LEAST)
    return f'`{one.contender.name}`', report.seconds(wall), report.seconds(cpu), report.seconds(one.start), parts


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog='bench/profile', description='Where the time of the most used commands goes.')
    parser.add_argument('--commit', default='HEAD', help='of mlops; default: HEAD')
    asked = parser.parse_args(words)
    try:
        places = Places(default_folder())
        environ = environment(places.folder)
        tools = Tools(places, environ)
        projects = Projects(places, tools, environ, lambda text: print(f'  ({text})', file=sys.stderr))
        ours, timer = tools.ours(asked.commit), Timer(environ, places.folder / 'said.txt')
        found = [row(profiled(timer, ours, make(), places)) for make in commands(ours, projects, places)]
    except BenchError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(f'mlops {ours.commit}. {report.machine(places.folder)}.\n')
    heads = ('command', 'wall', 'processor', "of it Python's start", 'where the rest goes')
    print('\n'.join(report.markdown_table(heads, found)))
    places.remove_old()
    return 0
