"""The two kinds of failure: UserError is expected and told in a sentence; every other exception is a bug of ours."""
from __future__ import annotations

from enum import IntEnum


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
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


class Where:
    """A place in a file a person wrote; line and column count from 1, 0 means the whole file.  Never changed.

    Every entry of a pipeline has one, so it is two words: line and column are one number."""

    __slots__ = ('_place', 'file')
    __match_args__ = ('file', 'line', 'column')
    SHIFT = 25  # bits of a column

    def __init__(self, file: str, line: int = 0, column: int = 0) -> None:
        self.file = file
        self._place = ((line - 1) << self.SHIFT) + column - 1

    @classmethod
    def at(cls, file: str, place: int) -> Where:
        """``place``: line << SHIFT | column, both from 0."""
        where = cls.__new__(cls)
        where.file, where._place = file, place
        return where

    @property
    def place(self) -> int:
        """As ``at`` takes it."""
        return self._place

    @property
    def line(self) -> int:
        return ((self._place + 1) >> self.SHIFT) + 1

    @property
    def column(self) -> int:
        return (self._place + 1) & ((1 << self.SHIFT) - 1)

    def __eq__(self, other: object) -> bool:
        return self._place == other._place and self.file == other.file if isinstance(other, Where) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.file, self._place))

    def __lt__(self, other: Where) -> bool:
        return (self.file, self._place) < (other.file, other._place)

    def __gt__(self, other: Where) -> bool:
        return other < self

    def __le__(self, other: Where) -> bool:
        return not other < self

    def __ge__(self, other: Where) -> bool:
        return not self < other

    def __repr__(self) -> str:
        return f'Where(file={self.file!r}, line={self.line}, column={self.column})'

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
