"""Takes the output of an attempt that knows secrets: out of a pipe, redacted, into its log.

Attempts without secrets never come here; they write their log themselves."""
from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mlops_cli.core.secrets import Redactor

CHUNK_BYTES = 1 << 16  # a pipe's worth; between two of them other attempts have their turn

_idle: dict[frozenset[tuple[str, str]], list[Redactor]] = {}  # making one takes longer than many stages


class Filter:
    """``writer``: for the processes.  ``reader``: readable when :meth:`pump` has work.  Takes over ``log``, a descriptor."""

    def __init__(self, log: int, secrets: dict[str, str]) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.problem = ''
        self._log = log
        self._secrets = secrets
        self._redactor: Redactor | None = None

    def pump(self) -> bool:
        """Takes what is there, up to CHUNK_BYTES; False if there was nothing."""
        try:
            data = os.read(self.reader, CHUNK_BYTES)
        except BlockingIOError:
            return False
        self.put(data)
        return bool(data)

    def put(self, data: bytes) -> None:
        if self._redactor is None:
            self._redactor = _borrow(self._secrets)
        self._write(self._redactor.feed(data))

    def finish(self) -> None:
        """Takes the rest, closes all three descriptors.  What still writes into the pipe then gets SIGPIPE."""
        while self.pump():
            pass
        if self._redactor is not None:
            self._write(self._redactor.finish())
            _idle[frozenset(self._secrets.items())].append(self._redactor)
        for descriptor in (self.reader, self.writer, self._log):
            os.close(descriptor)

    def _write(self, data: bytes) -> None:
        """A log that cannot be written must not stop the stage: the rest of its output is dropped, and that is told."""
        view = memoryview(data)
        try:
            while view and not self.problem:
                view = view[os.write(self._log, view):]
        except OSError as error:
            self.problem = f'its log is not whole: {error.strerror}'


def _borrow(secrets: dict[str, str]) -> Redactor:
    """A redactor for these secrets, one that is free if there is one."""
    from mlops_cli.core.secrets import Redactor  # 30 ms: only when the first byte comes, while the stage goes on

    free = _idle.setdefault(frozenset(secrets.items()), [])
    return free.pop() if free else Redactor(secrets)
