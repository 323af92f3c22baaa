"""The program: tries what it is asked to, says what it found, writes the table."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
import traceback
import zlib
from collections.abc import Sequence
from pathlib import Path

from tests.faults import table
from tests.faults.base import Bad, Row, Setting, Verdict
from tests.faults.results import Results, default_folder
from tests.faults.rows import all_rows
from tests.faults.tools import Tool, Unavailable, tool

USAGE = """What was tried before, on the same code, is not tried again: end it at any moment, and go on later.
Ends with 1 if anything bad was found, with 2 if a case could not be tried."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser('tests/faults/run', description=__doc__, epilog=USAGE)
    parser.add_argument('rows', nargs='*', metavar='ROW', help='such as F1 or S3; default: all')
    parser.add_argument('--list', action='store_true', help='which rows there are')
    parser.add_argument('--table', action='store_true', help='write the table in docs/guarantees.md from what was tried')
    parser.add_argument('--tool', choices=['mlops', 'dvc', 'both'], default='both')
    parser.add_argument('--fast', action='store_true', help='the few cases that are tried at every change')
    parser.add_argument('--shard', default='1/1', metavar='N/T', help='only the N-th of T parts of the cases')
    parser.add_argument('--minutes', type=float, default=30, help='stop to begin cases after so long; default 30')
    parser.add_argument('--last-first', action='store_true', help='from the end: what counting older code did not come to')
    parser.add_argument('--case', metavar='NAME', help='this one, again, with what it printed')
    asked = parser.parse_args(arguments)
    if asked.list:
        for row in all_rows():
            print(f'{row.name:<12} {" ".join(row.tools):<10} {row.title}; {row.goal}')
        return 0
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):  # what is tried inherits these; nohup and & ignore them
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    folder = default_folder()
    if asked.table and not asked.rows:
        table.write(folder)
        return 0
    names = ['mlops', 'dvc'] if asked.tool == 'both' else [asked.tool]
    part, of = (int(word) for word in asked.shard.split('/'))
    session = Session(folder, not asked.fast, time.monotonic() + 60 * asked.minutes, asked.last_first)
    for row in all_rows(asked.rows):
        for name in names:
            if name in row.tools:
                session.row(row, name, part, of, asked.case)
    if asked.table:
        table.write(folder)
    return session.code


def _number(case: str) -> int:
    return zlib.crc32(case.encode())


class Session:
    """One call of the program.  ``until``: when to begin no more cases, monotonic."""

    def __init__(self, folder: Path, full: bool, until: float, last_first: bool = False) -> None:
        self.folder, self.full, self.until, self.last_first = folder, full, until, last_first
        self.results = Results(folder)
        self.code = 0

    def row(self, row: Row, name: str, part: int, of: int, only: str | None) -> None:
        if why := row.lacks():
            print(f'{row.name:<12} {name:<6} not run: {why}')
            return
        try:
            who = tool(name, self.folder)
        except Unavailable as error:
            print(f'{row.name:<12} {name:<6} not run: {error}')
            return
        done = self.results.of(row, who, self.full).verdicts
        cases = self._cases(row, who)
        order = sorted(cases, key=_number, reverse=self.last_first)  # so that a part of them has some of each kind
        mine = [case for case in order if _number(case) % of == part - 1]  # by name: one case more moves no other
        if only:
            mine, done = [case for case in cases if case == only], {}
        for case in mine:
            if case not in done:
                if time.monotonic() > self.until:
                    break
                done[case] = self._try(row, who, case, len(cases))
        self._say(row, who, [done[case] for case in mine if case in done], len(mine))

    def _setting(self, row: Row, who: Tool, case: str) -> Setting:
        base = self.folder / 'work' / f'{row.name}-{who.name}'
        shared = base / 'shared'
        shared.mkdir(parents=True, exist_ok=True)
        own = base / f'case-{abs(hash(case)) % 10**12}'
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir()
        return Setting(who, own, shared, self.full)

    def _cases(self, row: Row, who: Tool) -> Sequence[str]:
        setting = self._setting(row, who, 'cases')
        cases = row.cases(setting)
        shutil.rmtree(setting.folder, ignore_errors=True)
        return cases

    def _try(self, row: Row, who: Tool, case: str, cases: int) -> Verdict:
        setting = self._setting(row, who, case)
        try:
            verdict = row.run(setting, case)
        except Exception:  # noqa: BLE001 -- told, and the next case is tried
            self.code = 2
            print(f'{row.name} {who.name} {case!r} could not be tried:\n{traceback.format_exc()}', file=sys.stderr)
            return Verdict(0, notes=('could not be tried',))
        finally:
            shutil.rmtree(setting.folder, ignore_errors=True)
        self.results.add(row, who, self.full, case, verdict, cases)
        for note in verdict.notes if who.name == 'mlops' else ():
            print(f'{row.name} {who.name} {case!r}: {note}', file=sys.stderr)
        if who.name == 'mlops' and verdict.bad:
            self.code = max(self.code, 1)
        return verdict

    def _say(self, row: Row, who: Tool, verdicts: Sequence[Verdict], of: int) -> None:
        counts = {kind: sum(one.bad.get(kind.value, 0) for one in verdicts) for kind in Bad}
        bad = ', '.join(f'{count} {kind.value}' for kind, count in counts.items() if count) or 'nothing bad'
        part = '' if len(verdicts) == of else f' ({len(verdicts)} of {of} cases so far)'
        heal = max((one.heal for one in verdicts), default=0.0)
        tried = sum(one.tried for one in verdicts)
        print(f'{row.name:<12} {who.name:<6} {tried:>6,} tried{part}: {bad}; heals in {heal:.2f} s')
