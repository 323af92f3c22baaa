"""Ports of the loopback interface for servers that have to be told theirs."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def reserved(count: int) -> Iterator[list[int]]:
    """So many, which nobody else on this machine is given until the end of the block: other tests look for free ones too.

    A server may listen there all the same, if it takes ports that others have just left (SO_REUSEADDR), as most do."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(('127.0.0.1', 0))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        yield [one.getsockname()[1] for one in sockets]
