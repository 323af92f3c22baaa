"""Looks on while stages run: each process of a stage is started under strace, or with a hook where that cannot be, and what
those write is read as it comes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Mapping

from mlops_cli.checks.audit import hook, strace
from mlops_cli.checks.audit.collect import Collector
from mlops_cli.checks.audit.declared import Declared, declared_by
from mlops_cli.checks.audit.findings import undeclared, unused
from mlops_cli.checks.audit.model import Audited
from mlops_cli.checks.audit.surroundings import Surroundings
from mlops_cli.core.classes import replace
from mlops_cli.core.digest import Digest
from mlops_cli.core.job import Process
from mlops_cli.fingerprint.stage import Draft
from mlops_cli.fsio.programs import find_program
from mlops_cli.run.discovered import Discovered
from mlops_cli.run.workbench import Workbench

SHOWN = 1_000  # findings of a stage that are kept
DISCOVERED = 1_000  # inputs that a result holds; of more than that none is held
PATIENCE = 5.0  # seconds for the last of what was written, once the stage is over
_CHUNK = 1 << 16


def find_strace(environ: Mapping[str, str]) -> tuple[str, str]:
    """Its path, or why it cannot be used."""
    if sys.platform != 'linux':
        return '', 'strace is of Linux'
    if not (path := find_program('strace', environ.get('PATH'))):
        return '', 'strace is not installed'
    words = [path, *strace.options('/dev/null'), find_program('true') or '/bin/true']
    try:
        done = subprocess.run(words, capture_output=True, check=False, timeout=30, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        return '', f'strace cannot be started: {error}'
    if done.returncode:
        said = done.stderr.decode(errors='replace').strip().splitlines()
        return '', f'strace may not look on here: {said[-1] if said else f"exit {done.returncode}"}'
    return path, ''


class Trace:
    """Of one attempt: what is written of it, from a pipe, in a thread of its own."""

    def __init__(self, draft: Draft, declared: Declared, collector: Collector, parser: strace.Parser | hook.Parser) -> None:
        self.draft, self.declared, self.collector = draft, declared, collector
        self.began_ns = time.time_ns()
        self._parser = parser
        self._fifo = ''
        self._open()
        self._rest = b''
        self.found: Audited | None = None
        self.cut = ''  # why not all was read
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _open(self) -> None:
        """A pipe that has a name: others open it by that."""
        folder = f'/proc/{os.getpid()}/fd'
        if os.path.isdir(folder):
            self._read, self._write = os.pipe()
            self.output = f'{folder}/{self._write}'
            return
        self._fifo = tempfile.mkdtemp(prefix='mlops-audit-')
        self.output = f'{self._fifo}/trace'
        os.mkfifo(self.output, 0o600)
        self._read = os.open(self.output, os.O_RDONLY | os.O_NONBLOCK)
        self._write = os.open(self.output, os.O_WRONLY)
        os.set_blocking(self._read, True)

    @property
    def unclear(self) -> int:
        return self._parser.unclear

    def _follow(self) -> None:
        try:
            while data := os.read(self._read, _CHUNK):
                *lines, self._rest = (self._rest + data).split(b'\n')
                for line in lines:
                    self.collector.take(self._parser.line(line))
                if len(self._rest) > strace.LINE_LIMIT:
                    self._rest = b''
                    self._parser.unclear += 1
        except Exception as error:  # noqa: BLE001  # whatever it was, the stage must not wait for us; and it is told
            self.cut = f'{type(error).__name__}: {error}'
            while os.read(self._read, _CHUNK):
                pass

    def end(self) -> None:
        """All processes of the attempt are gone: what is left is read."""
        if self._write < 0:
            return
        os.close(self._write)
        self._write = -1
        if self._fifo:
            shutil.rmtree(self._fifo, ignore_errors=True)
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            self.cut = self.cut or 'something still writes to the trace'
            return
        os.close(self._read)


class Tracer:
    """What a run is watched by; holds one trace for each attempt."""

    def __init__(self, bench: Workbench, program: str, names: Collection[str]) -> None:
        """``program``: strace; '' where it cannot look on.  ``names``: the stages that are looked at."""
        self._names = frozenset(names)
        self._bench = bench
        self._program = program
        self._traces: dict[str, Trace] = {}
        files = frozenset(bench.pipeline.files)
        self._files = files - {ref.file for stage in bench.pipeline.stages.values() for ref in stage.params}
        self.by = 'strace' if program else 'python'
        self._silent = 'strace said nothing' if program else 'no Python took up the hook'
        self.limits = '' if program else hook.LIMITS

    def around(
        self, attempt: str, draft: Draft, directory: str, processes: tuple[Process, ...], environment: dict[str, str]
    ) -> tuple[Process, ...]:
        if draft.stage.name not in self._names:
            return processes
        declared = declared_by(draft, self._bench.describer.shared_folders)
        root = self._bench.root.path
        around = Surroundings(root, environment, self._files - {'params.yaml'})
        parser = strace.Parser(directory) if self._program else hook.Parser()
        trace = Trace(draft, declared, Collector(root, declared, around), parser)
        self._traces[attempt] = trace
        if not self._program:
            environment |= hook.environment(trace.output, environment.get('PYTHONPATH', ''))
            return processes
        return tuple(Process((self._program, *strace.options(trace.output), *one.argv)) for one in processes)

    def discovered(self, attempt: str) -> tuple[tuple[str, Digest], ...] | None:
        trace = self._traces.get(attempt)
        if trace is None:
            return None
        found = self.audited(trace)
        inside = (one for one in found.undeclared if not one.outside and one.kind in ('read', 'code') and not one.maker)
        identity = Discovered(self._bench.results, self._bench.workspace).identity
        paths = sorted({one.path for one in inside})[: DISCOVERED + 1]
        held = tuple((path, digest) for path in paths if (digest := identity(path)) is not None)
        return held if len(held) <= DISCOVERED else ()

    def audited(self, trace: Trace) -> Audited:
        """What was seen; ends the trace."""
        name = trace.draft.stage.name
        if trace.found is not None:
            return trace.found
        trace.end()
        seen = trace.collector
        every = list(undeclared(seen, trace.began_ns, self._bench.describer.maker_of))
        why = trace.cut
        if not why and (seen.first or not seen.processes):
            why = 'strace was ended before the stage was' if seen.processes else self._silent
        if not why and seen.unseen:
            why = 'it opens files by io_uring, which cannot be looked at'
        if not why and trace.unclear:
            why = f'{trace.unclear} lines of strace were not understood'
        found = Audited(
            name,
            self.by,
            tuple(every[:SHOWN]),
            tuple(unused(seen, trace.declared, frozenset(trace.draft.code))),
            len(seen.used),
            seen.processes,
            not why,
            why,
            seen.beyond + max(0, len(every) - SHOWN),
        )
        trace.found = found
        return found

    def results(self, states: Mapping[str, tuple[str, str]]) -> tuple[Audited, ...]:
        """Of each stage that was started, in the order of the graph.
        ``states``: stage -> how it ended and what was said of that."""
        started = {trace.draft.stage.name: trace for trace in self._traces.values()}  # the last attempt of each
        last = {name: started[name] for name in self._bench.order if name in started}
        return tuple(
            replace(self.audited(trace), state=states.get(name, ('', ''))[0], message=states.get(name, ('', ''))[1])
            for name, trace in last.items()
        )


