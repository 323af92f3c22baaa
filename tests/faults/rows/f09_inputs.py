"""F9: what a stage reads is changed while it runs, for good or for a moment, or what it made right after it has ended.

Whatever is done, afterwards each state of the inputs gives what it has to give: a result that was made from something else must
not stand under its key.  What that is, is worked out here from the files, as a clean project would make it.

What others write to outputs while the stage runs, or within a tick of the clock after it has ended, cannot be told from what it
wrote itself, so that begins a little later."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.faults.base import Bad, Row, Setting, Trial, Verdict
from tests.faults.tools import Tool, git

TRIALS = 5  # in a case
SEEN = 0.015  # seconds until an idle machine has seen that a process ended, and a tick of its clock
SCRIPT = """\
echo $$ > ../began.new; mv ../began.new ../began
{ cat data/one.txt; sleep 0.015; cat set/*.txt; sleep 0.015; cat set/sub/*.txt; sleep 0.015; . ./lib.sh
  sleep 0.015; grep rate params.yaml; sleep 0.015; cat made/up.txt; } > out.txt
mkdir outs; cp out.txt outs/x
"""
_DEPS = {
    'mlops': 'deps: [data/one.txt, set, made]\n    code: [lib.sh, work.sh]',
    'dvc': 'deps: [data/one.txt, set, made, lib.sh, work.sh]',
}
PIPELINE = """\
stages:
  up: {{cmd: 'mkdir -p made && sed s/^/up-/ seed.txt > made/up.txt', deps: [seed.txt], outs: [made]}}
  work:
    cmd: sh work.sh
    {deps}
    params: [rate]
    outs: [out.txt, outs]
"""
INPUTS = ('data/one.txt', 'set/a.txt', 'set/sub/b.txt', 'lib.sh', 'params.yaml', 'made/up.txt')
TARGETS = (*INPUTS, 'a new member', 'a member less')
FORMS = ('for good', 'for a moment')
OUTPUTS = ('out.txt', 'outs/x')


def text_of(path: str, value: str) -> str:
    match path:
        case 'lib.sh':
            return f'echo {value}\n'
        case 'params.yaml':
            return f'rate: {value}\n'
        case 'made/up.txt':
            return f'up-{value}\n'
        case _:
            return f'{value}\n'


# Ways to write a file


def in_place(path: Path, text: str) -> None:
    path.write_text(text)


def with_its_time(path: Path, text: str) -> None:
    facts = path.stat()
    path.write_text(text)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def renamed_over(path: Path, text: str) -> None:
    """From beside the project, with the times of what it replaces."""
    facts = path.stat()
    beside = path.parents[len(path.parts) - 1 - path.parts.index('project')] / 'beside'
    beside.write_text(text)
    os.utime(beside, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    os.replace(beside, path)


WAYS: tuple[Callable[[Path, str], None], ...] = (in_place, with_its_time, renamed_over)


class World:
    """A project of two stages.  ``values``: path -> what is in it, of the inputs; always those that it began with."""

    def __init__(self, tool: Tool, folder: Path) -> None:
        self.tool, self.folder = tool, folder / 'project'
        (self.folder / 'set/sub').mkdir(parents=True)
        (self.folder / 'data').mkdir()
        file = 'dvc.yaml' if tool.name == 'dvc' else 'pipeline.yaml'
        (self.folder / file).write_text(PIPELINE.format(deps=_DEPS[tool.name]))
        (self.folder / 'work.sh').write_text(SCRIPT)
        git(self.folder, 'init', '-q')
        if tool.name == 'dvc':
            tool.do(self.folder, 'init', '-q', code=0)
        self.command = 'repro' if tool.name == 'dvc' else 'run'

    def write(self, value: str) -> None:
        """All inputs, so that nothing of them was there before."""
        for path in INPUTS:
            target = self.folder / ('seed.txt' if path == 'made/up.txt' else path)
            target.write_text(text_of('seed.txt' if path == 'made/up.txt' else path, f'{value}{INPUTS.index(path)}'))
        for path in (self.folder / 'set').glob('new*'):
            path.unlink()

    def wanted(self) -> str:
        """What the inputs that are there now give."""
        members = [*sorted(self.folder.glob('set/*.txt')), *sorted(self.folder.glob('set/sub/*.txt'))]
        parts = [self.folder / 'data/one.txt', *members]
        made = ''.join(path.read_text() for path in parts) + (self.folder / 'lib.sh').read_text().removeprefix('echo ')
        return made + (self.folder / 'params.yaml').read_text() + 'up-' + (self.folder / 'seed.txt').read_text()

    def run_while(self, do: Callable[[int], None]) -> int:
        """A run, and that with the pid of the stage's process as soon as it works; its exit code."""
        began = self.folder.parent / 'began'
        began.unlink(missing_ok=True)
        argv, environ = self.tool.argv(self.command), self.tool.environment(Path(f'{self.folder}-home'))
        with subprocess.Popen(argv, cwd=self.folder, env=environ, stdout=-3, stderr=-3, stdin=-3) as process:
            over = threading.Event()

            def other() -> None:
                while not began.exists() and not over.wait(0.001):
                    pass
                if began.exists():
                    do(int(began.read_text()))

            thread = threading.Thread(target=other)
            thread.start()
            try:
                process.wait(60)
            finally:
                over.set()
                process.kill()
                thread.join()
        return process.returncode

    def judge(self, trial: Trial, note: str) -> None:
        """A run now gives what the inputs that are there now give."""
        wanted = self.wanted()
        done = self.tool.do(self.folder, self.command)
        if done.code:
            trial.bad(Bad.STUCK, f'{note}: {done.said}')
            return
        for path in OUTPUTS:
            target = self.folder / path
            if not target.is_file() or target.read_text() != wanted:
                found = target.read_text() if target.is_file() else 'nothing'
                trial.bad(Bad.WRONG, f'{note}: {path} is {found.split()} where {wanted.split()} is right')
                return


class Change:
    """One change of what is read, or of what was made."""

    def __init__(self, world: World, target: str, form: str, chance: random.Random) -> None:
        self.root, self.target, self.form = world.folder, target, form
        self.way, self.back_way = chance.choice(WAYS), chance.choice(WAYS)
        self.after, self.lasts = chance.uniform(0, 0.12), chance.uniform(0.001, 0.08)

    def __str__(self) -> str:
        ways = f'{self.way.__name__}, {self.back_way.__name__}, after {self.after * 1000:.0f} ms for {self.lasts * 1000:.0f}'
        return f'{self.target} {self.form} by {ways}'

    def __call__(self, pid: int) -> None:
        if self.target in OUTPUTS:
            while _lives(pid):
                time.sleep(0.0005)
            time.sleep(SEEN + self.lasts / 4)
            if (self.root / self.target).is_file():
                self.way(self.root / self.target, 'not what the stage made\n')
            return
        time.sleep(self.after)
        back = self.do()
        if self.form == 'for a moment':
            time.sleep(self.lasts)
            back()

    def do(self) -> Callable[[], None]:
        """Returns what takes it back."""
        new, member = self.root / 'set/new.txt', self.root / 'set/sub/b.txt'
        match self.target:
            case 'a new member':
                new.write_text('new\n')
                return new.unlink
            case 'a member less':
                aside = self.root.parent / 'aside'
                member.rename(aside)
                return lambda: aside.rename(member) and None
        path = self.root / self.target
        before = path.read_text()
        self.way(path, text_of(self.target, 'other'))
        return lambda: self.back_way(path, before)


def _lives(pid: int) -> bool:
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


def cases(setting: Setting) -> Sequence[str]:
    """Each thing that can be done gets as many trials as any other."""
    if setting.tool.name == 'dvc':
        return [str(number) for number in range(4 if setting.full else 1)]
    return [str(number) for number in range(100 if setting.full else 1)]


def kinds() -> list[tuple[str, str]]:
    return [*((target, form) for target in TARGETS for form in FORMS), *((path, 'after it was made') for path in OUTPUTS)]


def run(setting: Setting, case: str) -> Verdict:
    trial = Trial()
    world = World(setting.tool, setting.folder)
    number = int(case)
    chance = random.Random(case)
    some = kinds()
    count = TRIALS if setting.full else 2
    for at in range(count):
        target, form = some[(number * TRIALS + at * (1 if setting.full else 11)) % len(some)]
        world.write(f'{case}-{at}-')
        if not at:
            world.tool.do(world.folder, world.command, 'up', code=0)
        change = Change(world, target, form, chance)
        world.run_while(change)
        trial.tried += 1
        note = f'trial {at} of case {case}, {change}'
        world.judge(trial, f'{note}, then')
        world.write(f'{case}-{at}-')
        (world.folder / 'set/sub/b.txt').write_text(text_of('', f'{case}-{at}-2'))
        world.judge(trial, f'{note}, then as before')
    return trial.verdict()


ROWS = (
    Row(
        'F9',
        'data, code, parameters, members of folders and what other stages made are changed while a stage runs, for good or '
        'for a moment; outputs right after',
        '500 trials: no result stands for inputs that it was not made from',
        cases,
        run,
        ('mlops', 'dvc'),
    ),
)
