"""Starts a run in a process that outlives its terminal, and tells how it began.

That process is a program of its own: a new session, deaf to HUP, nothing on its standard input.  Until the run has begun it
prints where this one prints, so that what is refused is told here; from then on it prints into the run's folder."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import mlops_cli
from mlops_cli.cli import context
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.events import RunStarted, event_document, event_of
from mlops_cli.run.request import Request

_PROGRAM = (
    'import sys; sys.path.append(sys.argv[1]); from mlops_cli.cli.live.detaching import main; '
    'sys.exit(main(int(sys.argv[2])))'
)
_HIGH = 10  # descriptors from here on are no standard streams
_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGPIPE)


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that goes on by itself.  ``pid``: of its process."""

    started: RunStarted
    pid: int


def detach(request: Request, assignments: Sequence[str], events: str) -> Begun | int:
    """Starts it; what has begun, or the exit code of a command that is over: it said why, where this one would have.

    Raises UserError if it cannot be started."""
    order = {
        'request': asdict(request),
        'assignments': list(assignments),
        'events': events,
        'globals': {'quiet': context.current.quiet, 'verbose': context.current.verbose, 'json': context.current.json},
        'started_in': context.current.started_in,
    }
    root = os.path.dirname(os.path.dirname(os.path.abspath(mlops_cli.__file__)))
    reading, writing = _pipe()
    try:
        child = subprocess.Popen(
            [sys.executable, '-P', '-c', _PROGRAM, root, str(writing), *request.command],  # the command for who lists processes
            stdin=subprocess.PIPE,
            pass_fds=(writing,),
            start_new_session=True,
        )
    except OSError as error:
        os.close(reading)
        message = f'cannot start a process on this machine: {error.strerror}'
        raise UserError(message, exit_code=ExitCode.MACHINE) from error
    finally:
        os.close(writing)
    with open(reading, 'rb') as answer:
        try:
            return _answer(child, order, answer.read)
        except KeyboardInterrupt:  # as the terminal would have done, had it not left it
            os.killpg(child.pid, signal.SIGINT)
            return child.wait()


def _pipe() -> tuple[int, int]:
    """A pipe whose ends are none of the standard streams, which may be closed."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _HIGH) for end in ends]
    for end in ends:
        os.close(end)
    return high[0], high[1]


def _answer(child: subprocess.Popen[bytes], order: Mapping[str, Any], answer: Callable[[], bytes]) -> Begun | int:
    assert child.stdin is not None
    try:
        child.stdin.write(json.dumps(order).encode())
        child.stdin.close()
    except BrokenPipeError:  # it has ended already; how, is asked below
        pass
    data = answer()  # until its end closes: it has begun, or it is over
    if data:
        document = json.loads(data)
        started = event_of(document['started'])
        assert isinstance(started, RunStarted)
        child.returncode = 0  # it is nobody's child any more: do not wait for it
        return Begun(started, document['pid'])
    return child.wait()


def main(answering: int) -> int:
    """The program of that process.  ``answering``: the descriptor that takes one document once the run has begun."""
    os.set_inheritable(answering, False)
    _fill_streams()  # before anything is opened, which would take their place
    order = json.load(sys.stdin)
    void = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(void, 0)
    os.close(void)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in _NUMBERS[:2]:  # a shell starts what is in the background deaf to them
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    from mlops_cli.cli.console import prepare
    from mlops_cli.cli.failures import guarded

    prepare()
    return guarded(lambda: _run(order, answering), ['--json'] if order['globals']['json'] else [])


def _fill_streams() -> None:
    """Standard output and error, where whoever started us had closed them, lead nowhere until the run has a file for them."""
    for number, name in ((1, 'stdout'), (2, 'stderr')):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)  # it may have that number already
        if getattr(sys, name) is None:
            stream = open(number, 'w', encoding='utf-8', errors='replace', closefd=False)  # noqa: SIM115 -- as long as the process
            setattr(sys, name, stream)


def _run(order: Mapping[str, Any], answering: int) -> int:
    from mlops_cli.cli.performing import perform_request

    context.current.quiet, context.current.verbose = order['globals']['quiet'], order['globals']['verbose']
    context.current.started_in = order['started_in']
    asked = order['request']
    request = Request(**{**asked, 'stages': tuple(asked['stages']), 'command': tuple(asked['command'])})

    def begun(event: RunStarted, printed: int) -> None:
        """Lets go of the terminal, then says so."""
        sys.stdout.flush()
        sys.stderr.flush()
        for number in (1, 2):
            os.dup2(printed, number)
        os.close(printed)
        document = {'started': event_document(event, 0.0), 'pid': os.getpid()}
        with open(answering, 'wb') as answer:
            try:
                answer.write(json.dumps(document).encode())
            except BrokenPipeError:  # who asked is gone; the run goes on
                return

    return perform_request(request, order['assignments'], order['events'], json=order['globals']['json'], begun=begun)
