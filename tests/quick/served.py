"""Command lines, run one after the other in forks of a process that has loaded the program already: as good as a process of
its own each, at a tenth of the time.

A request is a line of JSON: arguments, cwd, environ, and how: ``whole`` (as the console script does it), ``answer`` (only what
is answered at once; code None where the long way has to be gone) or ``traced`` (whole, and which paths Python code touched)."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Answer:
    """``code`` None: not answered at once, which only ``answer`` leaves at that.  ``at_once``: the long way was not gone.
    ``settled``: stages that were not decided anew on the long way."""

    code: int | None
    out: str
    err: str
    at_once: bool
    touched: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()


class Served:
    """The process that is asked.  ``large``: names from which a project counts as large; None: as it is."""

    def __init__(self, large: int | None = None) -> None:
        arguments = [sys.executable, os.path.abspath(__file__), *([] if large is None else [str(large)])]
        root = str(Path(__file__).parents[2])
        self._process = subprocess.Popen(arguments, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, arguments: Sequence[str], cwd: str, environ: Mapping[str, str], how: str = 'whole') -> Answer:
        assert self._process.stdin is not None and self._process.stdout is not None
        request = json.dumps({'arguments': list(arguments), 'cwd': cwd, 'environ': dict(environ), 'how': how})
        self._process.stdin.write(request.encode() + b'\n')
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, 'the process that was asked is gone'
        found = json.loads(line)
        lists = tuple(found['touched']), tuple(found['settled'])
        return Answer(found['code'], found['out'], found['err'], found['at_once'], *lists)

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def _load() -> None:
    """Everything that a command may import, so that no fork has to."""
    import importlib
    import pkgutil

    import mlops_cli

    parts = ('cli', 'core', 'fsio', 'git', 'fingerprint', 'pipeline', 'plan', 'records', 'run', 'store', 'executors', 'job')
    for part in parts:
        package = importlib.import_module(f'mlops_cli.{part}')
        for module in pkgutil.walk_packages(package.__path__, f'{package.__name__}.'):
            importlib.import_module(module.name)
    assert mlops_cli.__version__
    if len(sys.argv) > 1:
        from mlops_cli.cli.quick import compare

        compare.LARGE = int(sys.argv[1])


def _serve() -> None:
    _load()
    talk = os.fdopen(os.dup(1), 'wb')
    for line in sys.stdin.buffer:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as notes:
            child = os.fork()
            if not child:
                _child(json.loads(line), out.fileno(), err.fileno(), notes.fileno())
            status = os.waitpid(child, 0)[1]
            texts = []
            for file in (out, err, notes):
                file.seek(0)
                texts.append(file.read().decode(errors='backslashreplace'))
        noted = json.loads(texts[2] or '{}')
        code = None if noted.get('unanswered') else os.waitstatus_to_exitcode(status)
        reply = {'code': code, 'out': texts[0], 'err': texts[1], 'at_once': not noted.get('long')}
        lists = {name: noted.get(name, []) for name in ('touched', 'settled')}
        talk.write(json.dumps({**reply, **lists}).encode() + b'\n')
        talk.flush()


def _child(request: Mapping[str, Any], out: int, err: int, notes: int) -> None:
    """Never returns."""
    code, noted = 99, {}
    signal.alarm(60)  # nothing may wait for ever
    try:
        for number, fd in ((1, out), (2, err)):
            os.dup2(fd, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.clear()
        os.environ.update(request['environ'])
        os.chdir(request['cwd'])
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, 'w', closefd=False)), encoding='utf-8')
        sys.stderr = io.TextIOWrapper(
            io.FileIO(2, 'w', closefd=False),
            encoding='utf-8',
            errors='backslashreplace',
            write_through=True,  # type: ignore[arg-type]
        )
        sys.argv = ['mlops', *request['arguments']]
        code = _call(request['how'], request['arguments'], noted)
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001 - told to who asks, whatever it is
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os.write(notes, json.dumps(noted).encode(errors='backslashreplace'))
        os._exit(code)


def _call(how: str, arguments: Sequence[str], noted: dict[str, Any]) -> int:
    from mlops_cli.cli import app
    from mlops_cli.cli.quick.answer import answer

    if how == 'answer':
        code = answer(list(arguments))
        noted['unanswered'] = code is None
        return code or 0
    long = app.run

    def noting(words: Sequence[str]) -> int:
        noted['long'] = True
        return long(words)

    app.run = noting  # type: ignore[assignment]
    from mlops_cli.run import outlook

    plan_of = outlook.make_plan

    def counting(*args: Any, **named: Any) -> Any:
        plan, known = plan_of(*args, **named), named.get('settled') or {}
        noted['settled'] = [step.stage for step in plan.steps if step.stage in known and step is known[step.stage]]
        return plan

    outlook.make_plan = counting  # type: ignore[assignment]
    touched: set[str] = set()
    if how == 'traced':
        from tests.quick import traced

        traced.install(touched)
    try:
        from mlops_cli.__main__ import main

        main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        noted['touched'] = sorted(touched)
    return 0


if __name__ == '__main__':
    sys.path.insert(0, str(Path(__file__).parents[2]))
    _serve()
