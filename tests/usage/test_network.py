"""What processes moved over TCP: read from what the kernel of this machine says of real connections."""
from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_cli.usage import network
from mlops_cli.usage.network import Connections, Traffic, connection, inodes, messages

MB = 1_000_000
READER = 'import socket, sys\none = socket.create_connection(("127.0.0.1", int(sys.argv[1])))\nwhile one.recv(1 << 16): pass\n'


def wait_for(what: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.01)


class Sink:
    """Takes all that is sent to it."""

    def __init__(self) -> None:
        self.server = socket.create_server(('127.0.0.1', 0))
        self.port = self.server.getsockname()[1]
        self.taken = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                one, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._take, args=(one,), daemon=True).start()

    def _take(self, one: socket.socket) -> None:
        with one:
            while data := one.recv(1 << 16):
                self.taken += len(data)


@pytest.fixture
def sink() -> Iterator[Sink]:
    found = Sink()
    yield found
    found.server.close()


@pytest.fixture
def connections() -> Iterator[Connections]:
    """Those within this machine, too."""
    found = Connections(near=True)
    if found._asking is None:
        pytest.skip('this kernel tells of no connections')
    yield found
    found.close()


def sent(sink: Sink, one: socket.socket, size: int) -> None:
    before = sink.taken
    one.sendall(bytes(size))
    wait_for(lambda: sink.taken == before + size)


def looked(connections: Connections, traffic: Traffic, pid: int) -> Traffic:
    connections._fresh_until = 0.0
    traffic.rest_until = 0.0
    return connections.look(traffic, [pid])


def test_what_is_sent_and_received_is_counted(sink: Sink, connections: Connections) -> None:
    """Both ends are ours, so all counts on both sides; the kernel counts a beginning and an end as a byte each."""
    traffic = Traffic()
    with socket.create_connection(('127.0.0.1', sink.port)) as one:
        sent(sink, one, 3 * MB)
        looked(connections, traffic, os.getpid())
        assert abs(traffic.sent - 3 * MB) <= 2 and traffic.received == 3 * MB
        sent(sink, one, 2 * MB)
        looked(connections, traffic, os.getpid())
        assert abs(traffic.sent - 5 * MB) <= 2 and traffic.received == 5 * MB


def test_what_was_moved_after_the_last_look_counts_when_the_connection_is_gone(sink: Sink, connections: Connections) -> None:
    traffic = Traffic()
    one = socket.create_connection(('127.0.0.1', sink.port))
    sent(sink, one, MB)
    looked(connections, traffic, os.getpid())
    sent(sink, one, 4 * MB)
    one.close()

    def told() -> bool:
        connections._hear()
        return traffic.sent >= 5 * MB and traffic.received >= 5 * MB

    wait_for(told)
    connections.ended(traffic)
    assert traffic.sent <= 5 * MB + 4 and traffic.received <= 5 * MB + 4
    looked(connections, traffic, os.getpid())
    assert traffic.sent <= 5 * MB + 4, 'counted twice'


def test_what_a_connection_moved_that_is_closed_and_not_yet_gone(connections: Connections) -> None:
    """Its process has ended, and the other side has not yet said that all has come there."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        one, traffic = socket.create_connection(server.getsockname()), Traffic()
        end = server.accept()[0]
        looked(connections, traffic, os.getpid())
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while one.send(bytes(1 << 16)):
                pass
        held = fcntl.ioctl(one.fileno(), termios.TIOCOUTQ, bytes(4))
        assert int.from_bytes(held, sys.byteorder), 'all has come there'
        one.close()
        connections.ended(traffic)
        assert traffic.sent > 1 << 12
        end.close()


def test_connections_that_go_faster_than_we_read_of_them_hold_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Busy:
        heard = 0

        def recv(self, _size: int) -> bytes:
            self.heard += 1
            assert self.heard < 10_000
            return bytes(16)

        def close(self) -> None:
            pass

    connections, busy = Connections(near=True), Busy()
    connections.close()
    monkeypatch.setattr(connections, '_hearing', busy)
    connections._hear()
    assert busy.heard


def test_who_must_wait_for_a_processor_looks_no_less_often(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = inodes
    monkeypatch.setattr(network, 'inodes', lambda pids: (time.sleep(0.2), listed(pids))[1])
    server = socket.create_server(('127.0.0.1', 0))
    with socket.create_connection(server.getsockname()):
        traffic = looked(connections, Traffic(), os.getpid())
        assert traffic.rest_until < time.monotonic() + 10
    server.close()


def test_each_attempt_has_what_its_processes_moved(connections: Connections) -> None:
    """Beside connections of ours that it never has."""
    server = socket.create_server(('127.0.0.1', 0))
    mine, other, nobody = Traffic(), Traffic(), Traffic()
    readers, ends = [], []
    for size in (MB, 5 * MB):
        readers.append(subprocess.Popen([sys.executable, '-S', '-c', READER, str(server.getsockname()[1])]))
        ends.append(server.accept()[0])
        ends[-1].sendall(bytes(size))
    try:
        def told(traffic: Traffic, pid: int, size: int) -> bool:
            return looked(connections, traffic, pid).received == size

        wait_for(lambda: told(mine, readers[0].pid, MB))
        wait_for(lambda: told(other, readers[1].pid, 5 * MB))
        looked(connections, nobody, 1 << 22)
        assert (nobody.received, nobody.sent) == (0, 0) and mine.sent <= 2 and other.sent <= 2
    finally:
        for end in ends:
            end.close()
        for reader in readers:
            reader.wait()
        server.close()


def test_within_the_machine_nothing_goes_over_the_network(sink: Sink) -> None:
    connections, traffic = Connections(), Traffic()
    with socket.create_connection(('127.0.0.1', sink.port)) as one:
        sent(sink, one, MB)
        looked(connections, traffic, os.getpid())
    connections.close()
    assert (traffic.received, traffic.sent) == (0, 0)


def test_what_is_no_ones_is_looked_at_twice(sink: Sink, connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listing the descriptors of processes is what costs."""
    listed = []
    with socket.create_connection(('127.0.0.1', sink.port)) as one:
        sent(sink, one, 10)
        traffic = Traffic()
        looked(connections, traffic, 1 << 22)
        looked(connections, traffic, 1 << 22)
        monkeypatch.setattr(network, 'inodes', lambda pids: listed.append(1) or inodes(pids))
        names = {row.name for row in connections._rows}
        looked(connections, traffic, 1 << 22)
        assert not listed or {row.name for row in connections._rows} - names, 'something else began to connect'
        assert len(traffic.strange) >= 2


def test_a_costly_look_is_made_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    connections = Connections(near=True, clock=lambda: now[0], spent=lambda: now[0])
    asked = []

    def dump(family: int) -> list[network.Connection]:
        asked.append(now[0])
        now[0] += 0.02  # 40 ms a look, for both families
        return []

    monkeypatch.setattr(connections, '_asking', connections._asking or object())
    monkeypatch.setattr(connections, '_dump', dump)
    traffic = Traffic()
    for _ in range(100):
        connections.look(traffic, [])
        now[0] += 1.0
    assert len(asked) / 2 * 0.04 <= 0.01 * (now[0] - 100)
    assert len(asked) >= 20


def test_where_the_kernel_does_not_tell_nothing_was_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(groups: int) -> None:
        raise PermissionError(1, 'not allowed')

    monkeypatch.setattr(network, '_netlink', refuse)
    connections = Connections(near=True)
    traffic = connections.look(None, [os.getpid()])
    connections.ended(traffic)
    connections.close()
    assert (traffic.received, traffic.sent) == (0, 0)


def test_a_kernel_that_stops_telling_is_asked_no_more(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, 'BY_FAMILY', 99)  # which it does not know
    monkeypatch.setattr(network, 'DUMP', 0x5)
    traffic = connections.look(None, [os.getpid()])
    assert connections._asking is None and (traffic.received, traffic.sent) == (0, 0)
    assert connections.look(traffic, [os.getpid()]) is traffic


@given(st.binary(max_size=400))
def test_whatever_the_kernel_says(data: bytes) -> None:
    found = connection(data)
    assert found is None or (found.received >= 0 and found.sent >= 0)
    assert sum(len(body) for _, body in messages(data)) <= len(data)


def test_descriptors_of_processes_that_are_gone_or_not_ours(tmp_path: Path) -> None:
    with socket.socket() as one:
        assert os.fstat(one.fileno()).st_ino in inodes([os.getpid(), 1 << 22])
    assert inodes([]) == inodes([1 << 22]) == set()


def test_a_look_takes_little(connections: Connections) -> None:
    """A hundredth of a second of processor time, with a hundred connections beside it."""
    server = socket.create_server(('127.0.0.1', 0), backlog=128)
    ends = []
    for _ in range(100):
        ends += [socket.create_connection(server.getsockname()), server.accept()[0]]
    traffic = looked(connections, Traffic(), os.getpid())
    begin = time.process_time()
    for _ in range(10):
        looked(connections, traffic, os.getpid())
    spent = (time.process_time() - begin) / 10
    for end in (*ends, server):
        end.close()
    assert spent < 0.01, f'{spent:.4f} s'
