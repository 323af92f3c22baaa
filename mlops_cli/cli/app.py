"""One call of the command line: its simple forms are understood here, everything else is the command line library's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlops_cli.cli import ending
from mlops_cli.cli.catalogue import COMMANDS as COMMANDS
from mlops_cli.cli.console import prepare
from mlops_cli.cli.failures import guarded
from mlops_cli.cli.understanding import understood
from mlops_cli.core.errors import ExitCode


def run(arguments: Sequence[str]) -> int:
    """Runs one command line; its exit code."""

    def call() -> Any:
        prepare()
        found = understood(arguments)
        if found is None:
            from mlops_cli.cli.tree import app  # loads the library, which takes longer than most commands

            return app(args=list(arguments), prog_name='mlops', standalone_mode=False)
        try:
            return found()
        except KeyboardInterrupt:  # as the library has it
            return ExitCode.INTERRUPTED

    with ending.obeying():
        return ending.code(guarded(call, arguments))
