"""The two kinds of failure: UserError is expected and told in a sentence; every other exception is a bug of ours."""
from __future__ import annotations

from enum import IntEnum

from mlops_cli.core.classes import dataclass


class ExitCode(IntEnum):
    """The contract of docs/exit-codes.md."""

    DONE = 0
    FAILED = 1
    WRONG_INPUT = 2
    OUT_OF_DATE = 3
    UNREACHABLE = 4
    REFUSED = 5
    MACHINE = 6
    LOCK_TIMEOUT = 11
    BUG = 70
    INTERRUPTED = 130
    TERMINATED = 143


@dataclass(frozen=True, slots=True, order=True)
class Where:
    """A place in a file a person wrote; line and column count from 1, 0 means the whole file."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f'{self.file}:{self.line}:{self.column}' if self.line else self.file


class UserError(Exception):
    """Something the user can mend: one sentence what, where it is, and what to do next."""

    def __init__(self, message: str, *, hint: str = '', where: Where | None = None,
                 exit_code: ExitCode = ExitCode.WRONG_INPUT) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where
        self.exit_code = exit_code

    def __str__(self) -> str:
        return f'{self.where}: {self.message}' if self.where else self.message


class UserErrors(UserError):
    """Several at once, as all the mistakes of a pipeline file."""

    def __init__(self, errors: list[UserError]) -> None:
        assert errors
        first = errors[0]
        super().__init__(first.message, hint=first.hint, where=first.where, exit_code=first.exit_code)
        self.errors = tuple(errors)

    def __str__(self) -> str:
        return '\n'.join(str(error) for error in self.errors)
