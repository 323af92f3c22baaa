"""Something done beside the command's own work.  The standard library's pools of threads take longer to load than they save."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from types import TracebackType
from typing import Generic, TypeVar

Result = TypeVar('Result')


class Beside(Generic[Result]):
    """``with Beside(call) as asked: ...; asked.result()``.  It has ended when the block has."""

    def __init__(self, call: Callable[[], Result]) -> None:
        self._call = call
        self._found: list[Result] = []
        self._error: BaseException | None = None
        self._thread = Thread(target=self._do, name='beside', daemon=True)

    def _do(self) -> None:
        try:
            self._found.append(self._call())
        except BaseException as error:  # noqa: BLE001 -- raised where the result is asked for
            self._error = error

    def __enter__(self) -> Beside[Result]:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._thread.join()

    def result(self) -> Result:
        """What the call gave, once it has; raises what it raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._found[0]
