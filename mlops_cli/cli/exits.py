"""What a command's exit codes mean, as its help says it.  The codes themselves are core.errors.ExitCode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_cli.core.errors import ExitCode

if TYPE_CHECKING:
    from mlops_cli.plan.model import Plan

MEANING = {
    ExitCode.DONE: 'done',
    ExitCode.FAILED: 'failed',
    ExitCode.WRONG_INPUT: 'wrong input',
    ExitCode.OUT_OF_DATE: 'out of date (--exit-code)',
    ExitCode.UNREACHABLE: 'unreachable',
    ExitCode.REFUSED: 'refused to protect you',
    ExitCode.MACHINE: 'this machine failed',
    ExitCode.LOCK_TIMEOUT: 'timed out on a lock',
    ExitCode.BUG: 'a bug of ours',
    ExitCode.HUNG_UP: 'its terminal went away',
    ExitCode.INTERRUPTED: 'interrupted',
    ExitCode.TERMINATED: 'terminated',
}
ALWAYS = (ExitCode.WRONG_INPUT, ExitCode.MACHINE)  # whatever the command

# Of several causes in one command, the first of these counts.
PRECEDENCE = (
    ExitCode.INTERRUPTED,
    ExitCode.TERMINATED,
    ExitCode.HUNG_UP,
    ExitCode.REFUSED,
    ExitCode.MACHINE,
    ExitCode.FAILED,
    ExitCode.UNREACHABLE,
)


def line(*codes: ExitCode, failed: str = '') -> str:
    """``Exit codes: 0 done, 1 a stage failed, 2 wrong input, ...``.  ``failed``: what 1 means here."""
    meant = {code: MEANING[code] for code in sorted({ExitCode.DONE, *codes, *ALWAYS})}
    if failed:
        meant[ExitCode.FAILED] = failed
    return f'Exit codes: {", ".join(f"{int(code)} {meant[code]}" for code in sorted(meant))}.'


def of_plan(plan: Plan, asked: bool, strict: bool) -> ExitCode:
    """``asked``: --exit-code; ``strict``: --strict."""
    stale = plan.out_of_date or (strict and any(step.verdict == 'restore' for step in plan.steps))
    return ExitCode.OUT_OF_DATE if asked and stale else ExitCode.DONE


def first(codes: list[ExitCode]) -> ExitCode:
    """The one of several that the process ends with."""
    return next((code for code in PRECEDENCE if code in codes), codes[0])
