"""A thread that flushes a Batch whenever that is due, so that nobody who adds to it waits for the medium."""
from __future__ import annotations

import threading
from types import TracebackType

from mlops_cli.fsio.durable import MAX_AGE_SECONDS, MAX_FILES, Batch


class Flusher:
    """Flushes ``batch`` in a thread of its own from now until close.

    An error there is raised by the next call of the batch, or by close.  As a context manager it closes, or after an exception
    stops the thread and leaves what waits to the batch's owner."""

    def __init__(self, batch: Batch, max_files: int = MAX_FILES, max_age_seconds: float = MAX_AGE_SECONDS) -> None:
        self._batch = batch
        self._limits = (max_files, max_age_seconds)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name='flusher', daemon=True)
        self._thread.start()

    def __enter__(self) -> Flusher:
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.stop()

    def _work(self) -> None:
        while True:
            self._batch.wait_until_due(*self._limits, self._stopped.is_set)
            if self._stopped.is_set():
                return
            try:
                self._batch.flush()
            except BaseException:  # noqa: BLE001 - the batch keeps it and raises it at its next call
                return

    def stop(self) -> None:
        """End the thread after the flush it may be in; nothing more is flushed.  Twice does no harm."""
        self._stopped.set()
        self._batch.wake()
        self._thread.join()

    def close(self) -> None:
        """Stop, then flush what is left and make its names durable.  Raises OSError, also of an earlier flush."""
        self.stop()
        self._batch.close()
