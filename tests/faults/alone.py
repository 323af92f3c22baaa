"""A case tried in a process of its own: ``python -m tests.faults.alone`` with what to call as its argument.  From there
commands are forked (warm.py), and file systems can be mounted that nobody else sees."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from tests.faults.base import Setting, Verdict
from tests.faults.tools import REPOSITORY, Tool, mlops


def alone(setting: Setting, module: str, case: str, *, before: Sequence[str] = (), timeout: float = 3600) -> Verdict:
    """The verdict of ``inside(setting, case)`` of a module.  ``before``: words in front of the program, as of unshare.

    Raises RuntimeError where it ended otherwise."""
    tool = setting.tool
    asked = {
        'module': module,
        'case': case,
        'tool': [tool.name, tool.version, list(tool.start), dict(tool.environ)],
        'folder': str(setting.folder),
        'shared': str(setting.shared),
        'full': setting.full,
    }
    environ = mlops().environment(setting.folder / 'home')
    argv = [*before, sys.executable, '-m', 'tests.faults.alone', json.dumps(asked)]
    with subprocess.Popen(
        argv, cwd=REPOSITORY, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        finally:
            process.kill()
    try:
        found = json.loads(out)
    except ValueError:
        raise RuntimeError(f'exit {process.returncode}: {err[-2000:]}{out[-500:]}') from None
    return Verdict(found['tried'], found['bad'], found['heal'], tuple(found['notes']))


def main(argument: str) -> None:
    asked = json.loads(argument)
    name, version, start, environ = asked['tool']
    setting = Setting(Tool(name, version, tuple(start), environ), Path(asked['folder']), Path(asked['shared']), asked['full'])
    verdict = import_module(asked['module']).inside(setting, asked['case'])
    print(json.dumps(asdict(verdict)))


if __name__ == '__main__':
    main(sys.argv[1])
