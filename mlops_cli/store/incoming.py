"""Objects that arrive from elsewhere: small ones, where there are many, through staging folders, all others one by one.

A file that waits in ``tmp/`` for its name is made, synced, linked and unlinked; one in a staging folder is made, and synced and
named with all that are beside it.
"""
from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from types import TracebackType

from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.fsio.durable import OBJECTS
from mlops_cli.store.ingest import level_of
from mlops_cli.store.local import LocalStore
from mlops_cli.store.objects import Chunks, Damaged
from mlops_cli.store.shelf import SMALL
from mlops_cli.store.staging import Stage, Writer

ENOUGH = 500  # objects from which up to 256 folders more are made up for
GROUP = 32_768  # objects that are made durable together
AGE_SECONDS = 2.0  # of what has no name yet, and would have to come again


class Incoming:
    """``expected``: how many objects.  As a context manager: at its end all but what waits in the store's batch is durable and
    named, also after an error; what the last two seconds brought is gone if they cannot be, or somebody stopped it."""

    def __init__(self, local: LocalStore, expected: int) -> None:
        self._local, self._many = local, expected >= ENOUGH
        self._held = ExitStack()
        self._stage: Stage | None = None
        self._writer: Writer | None = None
        self._count = 0
        self._since = 0.0

    def __enter__(self) -> Incoming:
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        with self._held:
            if kind is None:
                self._name()
            elif issubclass(kind, Exception) and self._writer is not None and not self._writer.half:
                with suppress(OSError, UserError):  # there is another error to tell
                    self._name()

    def put(self, digest: Digest, size: int, chunks: Chunks) -> None:
        """Raises Damaged where the bytes are not what the digest says, OSError."""
        if not self._many or size > SMALL:
            self._local.put([(digest, chunks)])
            return
        data = b''.join(chunks)
        if digest_of(data) != digest:
            raise Damaged(digest, f'its {len(data)} bytes hash to something else', 'what was sent')
        # What looks like a node gets its name after all that is none; and what has the name and is damaged is put aside there.
        if level_of(data) != OBJECTS or not self._staged().put(digest.hex, data):
            self._local.put([(digest, (data,))])
            return
        self._count += 1

    def _staged(self) -> Writer:
        if self._writer is None:
            self._stage = self._held.enter_context(Stage(self._local))
            self._writer = Writer(self._stage.fd, self._local.root.fd)
            self._held.callback(self._writer.close)
            self._since = time.monotonic()
        return self._writer

    def flush_if_due(self) -> None:
        """Raises OSError."""
        self._local.batch.flush_if_due()
        if self._stage is None:
            return
        if self._count >= GROUP or time.monotonic() - self._since >= AGE_SECONDS:
            self._name()
        else:
            self._stage.begin(self._count)

    def _name(self) -> None:
        stage, writer, count = self._stage, self._writer, self._count
        self._stage = self._writer = None  # first: an error of the medium is told once, and who syncs again hears of none
        self._count = 0
        if stage is not None and writer is not None:
            writer.close()
            stage.settle(count)
            stage.place(count)
        self._held.close()
