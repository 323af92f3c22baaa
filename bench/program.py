"""The program: what bench/run is asked, done row by row."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import report, server
from bench.bounds import Bound, Finding, Measure, judge
from bench.errors import BenchError
from bench.measure import Timed, Timer
from bench.places import Places, default_folder
from bench.projects import Projects
from bench.rows import ROWS, Bench, Row
from bench.tools import Ours, Tools

MEMORY = 'memory'
MEMORY_WORK = 'the most that any command of ours above held'
MOST_MEMORY = 150.0  # MiB
USAGE = 'What is not committed is not measured.  Ends with 1 if a bound is passed, with 2 if a row could not be timed.'


@dataclass(slots=True)
class Session:
    """One call of the program, and what it found so far."""

    bench: Bench
    timer: Timer
    ours: Ours
    rounds: int
    findings: list[Finding] = field(default_factory=list)
    timed: list[tuple[str, list[Timed]]] = field(default_factory=list)
    private: dict[str, float] = field(default_factory=dict)  # row: MiB
    apart: set[str] = field(default_factory=set)  # rows that bound their memory themselves
    failed: list[str] = field(default_factory=list)

    def told(self, text: str) -> None:
        if sys.stderr.isatty():
            print(f'\r\x1b[K  {text}', end='', file=sys.stderr, flush=True)

    def clear(self) -> None:
        if sys.stderr.isatty():
            print('\r\x1b[K', end='', file=sys.stderr, flush=True)

    def row(self, row: Row) -> None:
        """Time it, judge it, say it, write it down."""
        race = row.race(self.bench, self.ours)
        try:
            timed = self.timer.race(race.contenders, self.rounds or row.rounds, warm=row.warm, told=self.told)
            watched = {one.name: one for one in race.contenders if one.name in race.private}
            private = {name: self.timer.private_peak(one) for name, one in watched.items()}
        finally:
            race.close()
        self.clear()
        findings = judge(row.name, race, timed, private)
        self.findings += findings
        self.timed.append((row.name, timed))
        if race.apart:
            self.apart.add(row.name)
        if private:
            self.private[row.name] = max(private.values())
        _write(report.text_table(report.FIGURE_HEADS, report.figures(timed)))
        _write(report.text_table(report.FINDING_HEADS, [report.cells(one) for one in findings]))
        self._log(row.name, timed, findings)

    def memory(self) -> None:
        """Over all rows so far; where a big file is mapped, memory of its own counts, not pages of the file."""
        peaks = [
            (self.private.get(name) or max(sample.peak for sample in one.samples), f'{one.contender.name} ({name})')
            for name, timed in self.timed
            if name not in self.apart
            for one in timed
            if one.contender.ours
        ]
        if not peaks:
            raise BenchError('it is read off the other rows: name them too')
        peak, who = max(peaks)
        bound = Bound(who, '', MOST_MEMORY, Measure.MEMORY)
        finding = Finding(MEMORY, bound, peak, None, peak, peak, peak, peak)
        self.findings.append(finding)
        _write(report.text_table(report.FINDING_HEADS, [report.cells(finding)]))

    def compare(self, row: Row, other: Ours) -> None:
        """The same work by two commits of ours, in turn; how long the first takes in terms of the second."""
        races = [(ours, row.race(self.bench, ours)) for ours in (self.ours, other)]
        sides = [
            [replace(one, name=f'{one.name} @{ours.commit}') for one in race.contenders if one.ours] for ours, race in races
        ]
        pairs = list(zip(*sides, strict=True))
        try:
            every = [one for pair in pairs for one in pair]
            timed = self.timer.race(every, self.rounds or row.rounds, warm=row.warm, told=self.told)
        finally:
            for _, race in races:
                race.close()
        self.clear()
        _write(report.text_table(report.FIGURE_HEADS, report.figures(timed)))
        for first, second in zip(timed[::2], timed[1::2], strict=True):
            ratios = [a.wall / b.wall for a, b in zip(first.samples, second.samples, strict=True)]
            name = first.contender.name.rpartition(' @')[0]
            spread = f'{min(ratios):.2f}..{max(ratios):.2f}'
            print(
                f'  {name}: {self.ours.commit} takes {statistics.median(ratios):.2f}x of {other.commit}  [{spread}]', flush=True
            )
        self._log(f'{row.name} against', timed, [])

    def _log(self, row: str, timed: Sequence[Timed], findings: Sequence[Finding]) -> None:
        document = {
            'time': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
            'commit': self.ours.commit,
            'row': row,
            'machine': report.machine(self.bench.places.folder),
            'load': os.getloadavg()[0],
            'samples': {
                one.contender.name: [[sample.wall, sample.cpu, sample.peak] for sample in one.samples] for one in timed
            },
            'verdicts': [[*report.cells(one)] for one in findings],
        }
        with self.bench.places.raw.open('a') as file:
            file.write(json.dumps(document) + '\n')


def _write(lines: Sequence[str]) -> None:
    if lines:
        print('\n'.join(lines), flush=True)


def environment(folder: Path) -> dict[str, str]:
    """What all commands see: nothing of the caller's own settings."""
    return {
        'PATH': '/usr/local/bin:/usr/bin:/bin',
        'HOME': str(folder / 'home'),
        'LC_ALL': 'C.UTF-8',
        'TZ': 'UTC',
        'GIT_CONFIG_GLOBAL': '/dev/null',
        'GIT_CONFIG_SYSTEM': '/dev/null',
        'DVC_NO_ANALYTICS': '1',
        'DVC_SITE_CACHE_DIR': str(folder / 'home/dvc-site'),
        'MLFLOW_DISABLE_TELEMETRY': 'true',
        'DO_NOT_TRACK': '1',
        **server.ENVIRON,
    }


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='bench/run', description='Time mlops beside its peers, in turn, on the same work.', epilog=USAGE
    )
    parser.add_argument('rows', nargs='*', metavar='NAME', help='only these rows; all if none')
    parser.add_argument('--rounds', type=int, default=0, metavar='N', help="rounds of every row, instead of each row's own")
    parser.add_argument('--list', action='store_true', help='say which rows there are')
    parser.add_argument('--commit', default='HEAD', help='of mlops, to measure; default: HEAD')
    parser.add_argument('--against', metavar='COMMIT', help='another commit to compare it with, instead of the peers')
    asked = parser.parse_args(words)
    names = [row.name for row in ROWS] + [MEMORY]
    for name in asked.rows:
        if name not in names:
            parser.error(f'no row {name}; there are {", ".join(names)}')
    return asked


def main(words: Sequence[str] | None = None) -> int:
    asked = arguments(words)
    if asked.list:
        rows = [(row.name, row.work) for row in ROWS]
        _write(report.text_table(('row', 'work'), [*rows, (MEMORY, MEMORY_WORK)]))
        return 0
    try:
        return _main(asked)
    except BenchError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('\nStopped; work that was made is kept.', file=sys.stderr)
        return 130


def _main(asked: argparse.Namespace) -> int:
    places = Places(default_folder())
    environ = environment(places.folder)
    tools = Tools(places, environ)
    projects = Projects(places, tools, environ, lambda text: print(f'  ({text})', flush=True))
    ours = tools.ours(asked.commit)
    bench = Bench(places, tools, projects, alone=bool(asked.against))
    session = Session(bench, Timer(environ, places.folder / 'said.txt'), ours, asked.rounds)
    other = tools.ours(asked.against, 'against') if asked.against else None
    about = f'mlops {ours.commit}. {report.machine(places.folder)}.'
    print(about, flush=True)
    for row in ROWS:
        if asked.rows and row.name not in asked.rows:
            continue
        print(f'\n{row.name}: {row.work}', flush=True)
        try:
            session.compare(row, other) if other else session.row(row)
        except BenchError as error:
            session.clear()
            session.failed.append(row.name)
            print(f'  NOT TIMED: {error}', flush=True)
    if not other:
        _finish(session, asked, about)
    print('\nRemoving old trees', flush=True)
    places.remove_old()
    return 2 if session.failed else int(any(finding.within is False for finding in session.findings))


def _finish(session: Session, asked: argparse.Namespace, about: str) -> None:
    if not asked.rows or MEMORY in asked.rows:
        print(f'\n{MEMORY}: {MEMORY_WORK}', flush=True)
        try:
            session.memory()
        except BenchError as error:
            session.failed.append(MEMORY)
            print(f'  NOT TIMED: {error}', flush=True)
    tools = session.bench.tools
    print('\nPeers: ' + ('; '.join(tool.version for tool in tools.found) or 'none'))
    for name, reason in tools.absent.items():
        print(f'NOT TO BE HAD: {name}: {reason}')
    over = [finding for finding in session.findings if finding.within is False]
    print(f'{len(session.findings)} bounds: {sum(one.within is True for one in session.findings)} within, {len(over)} over.')
    if not asked.rows and not session.failed:
        works = [*((row.name, row.work) for row in ROWS), (MEMORY, MEMORY_WORK)]
        report.write_readme(works, session.findings, session.timed, tools, about)
        print(f'Written: {report.README}')
