"""Run commands in turn and say what each took: A B C A B C, so that a machine that drifts hits all alike."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import BenchError

LIMIT = 900.0  # seconds; a command that takes longer is ended and left out of later rounds
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of a command.

    ``wall`` and ``cpu``: seconds, ``cpu`` of the whole process tree; ``peak``: MiB, of the largest process in it.
    ``cut``: it was ended after ``wall`` seconds, so that is a lower bound.
    """

    wall: float
    cpu: float
    peak: float
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Contender:
    """A command of a race.

    ``before``: what makes its folder ready, every time, unmeasured.  ``expect``: what its output must hold, so that no
    error message is timed as an answer.  ``ours``: it is mlops.  ``writes``: all that is dirty in memory goes to the disk
    before it starts, so that nobody waits for the writes of another.
    """

    name: str
    command: tuple[str, ...]
    cwd: Path
    before: Callable[[], None] | None = None
    expect: str = ''
    ours: bool = False
    writes: bool = False


@dataclass(slots=True)
class Timed:
    """The samples of one contender, a round each."""

    contender: Contender
    samples: list[Sample] = field(default_factory=list)

    @property
    def cut(self) -> bool:
        return any(sample.cut for sample in self.samples)


@dataclass(frozen=True, slots=True)
class Timer:
    """``environ``: what the commands see; ``output``: a file that takes what they say, made new each time."""

    environ: Mapping[str, str]
    output: Path
    limit: float = LIMIT

    def once(self, contender: Contender) -> Sample:
        """Run it once; BenchError if it fails or says something else than expected."""
        if contender.before:
            contender.before()
        if contender.writes:
            os.sync()
        with self.output.open('wb') as said:
            start = time.perf_counter()
            child = subprocess.Popen(
                contender.command,
                cwd=contender.cwd,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            watch = threading.Timer(self.limit, _end, [child.pid])
            watch.start()
            try:
                _, status, usage = os.wait4(child.pid, 0)
            except BaseException:
                _end(child.pid)
                raise
            finally:
                watch.cancel()
            wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        cut = wall >= self.limit
        if not cut:
            self._check(contender, child.returncode)
        return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / MIB, cut)

    def _check(self, contender: Contender, code: int) -> None:
        said = self.output.read_text(errors='replace')
        if code or contender.expect not in said:
            wrong = f'ended with code {code}' if code else f'did not say {contender.expect!r}'
            tail = '\n    '.join(said.splitlines()[-12:])
            raise BenchError(f'{contender.name}: {" ".join(contender.command)}\n  in {contender.cwd} {wrong}:\n    {tail}')

    def race(
        self, contenders: Sequence[Contender], rounds: int, *, warm: int = 1, told: Callable[[str], None] = lambda _: None
    ) -> list[Timed]:
        """``rounds`` rounds after ``warm`` unmeasured ones; who was cut once keeps that sample for every round."""
        timed = [Timed(contender) for contender in contenders]
        for turn in range(warm + rounds):
            for one in timed:
                if one.cut:
                    one.samples.append(one.samples[-1])
                    continue
                told(f'{"warm-up" if turn < warm else f"round {turn - warm + 1} of {rounds}"}: {one.contender.name}')
                sample = self.once(one.contender)
                if turn >= warm or sample.cut:
                    one.samples.append(sample)
        for one in timed:
            del one.samples[rounds:]
        return timed

    def private_peak(self, contender: Contender, every: float = 0.002) -> float:
        """MiB of memory of its own that it held at most, all its processes together: no page of a mapped file counts."""
        if contender.before:
            contender.before()
        with self.output.open('wb') as said:
            child = subprocess.Popen(
                contender.command, cwd=contender.cwd, env=self.environ, stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
            peak = 0
            while child.poll() is None:
                peak = max(peak, sum(map(_private, _tree(child.pid))))
                time.sleep(every)
        self._check(contender, child.returncode)
        return peak * 1024 / MIB


def _end(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _tree(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        try:
            for task in os.listdir(f'/proc/{parent}/task'):
                found += map(int, Path(f'/proc/{parent}/task/{task}/children').read_text().split())
        except OSError:
            continue  # it ended meanwhile
    return found


def _private(pid: int) -> int:
    """KiB."""
    try:
        lines = Path(f'/proc/{pid}/status').read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(('RssAnon:', 'RssShmem:')))
