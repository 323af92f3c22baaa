"""``mlops accept``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import Annotated

from mlops_cli.cli import exits, options
from mlops_cli.cli.acceptance import accept_document, up_to_date
from mlops_cli.cli.console import note, out_lines, print_json, width
from mlops_cli.cli.screens.accept import accept_lines
from mlops_cli.cli.wiring import output_words, workbench
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.plan.select import matching
from mlops_cli.records.runs import Run
from mlops_cli.run.accept import Author, Done, accept, propose
from mlops_cli.run.accept_run import accept_run, propose_run
from mlops_cli.run.person import who
from mlops_cli.run.workbench import Workbench

EXITS = exits.line(ExitCode.REFUSED)
SHORTEST = 4  # characters of a run's id: what is shorter is rather a misspelt stage


def command(
    words: Annotated[
        list[str],
        options.Argument(metavar='STAGE...|RUN', help='Stages: a name, an instance, a glob, an output. Or one run.'),
    ],
    reason: Annotated[str, options.Option('--reason', metavar='TEXT', help='Why; others read it, in plan and in git.')] = '',
    dry_run: Annotated[bool, options.Option('--dry-run', '-n', help='Show what would be recorded, record nothing.')] = False,
    json: options.Json = False,
) -> int:
    """The present code and outputs become the recorded result, without running.  Of a RUN: its results count from now on,
    those whose code changed while it ran, and those that differ from another run's.

    Example:  mlops accept train --reason 'only log messages changed'
    """
    with workbench() as bench:
        stages, run = meant(bench, output_words(bench, words))
        author = Author(who(bench.root.path), os.uname().nodename, time.time(), reason)
        if dry_run:
            done = [Done(one) for one in (propose_run(bench, run) if run else propose(bench, stages))]
        else:
            done = list(accept_run(bench, run, author, note) if run else accept(bench, stages, author, note))
        if json:
            print_json(accept_document(done, author, run.id if run else None, stages, dry_run=dry_run))
        else:
            out_lines(accept_lines(done, bench, author, run, width(sys.stdout), up_to_date(done, stages), dry_run=dry_run))
    return ExitCode.DONE


def meant(bench: Workbench, words: Sequence[str]) -> tuple[tuple[str, ...], Run | None]:
    """Stages, or the run that a single word names.  Raises UserError for what is neither."""
    names: dict[str, None] = {}
    for word in words:
        try:
            names |= dict.fromkeys(matching(bench.pipeline, word))
        except UserError as unknown:
            run = _run(bench, word, unknown)
            if len(words) > 1:
                raise UserError(
                    f'{word} is a run, and accepted by itself', hint=f'mlops accept {word} --reason ...'
                ) from unknown
            return (), run
    return tuple(names), None


def _run(bench: Workbench, word: str, unknown: UserError) -> Run:
    try:
        if len(word) < SHORTEST:
            raise unknown
        return bench.runs.find(word)
    except UserError as error:
        if 'could mean' in error.message:
            raise
        raise UserError(f'no stage, instance, output or run {word!r}', hint=unknown.hint) from error
