"""What is counted of processes that a daemon started, as those of a container of docker are: here by a process of our own."""
from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops_cli.core.job import Job, Outcome, Process, Usage
from mlops_cli.job import gauge
from mlops_cli.usage.cgroup import group_of
from mlops_cli.usage.network import Connections
from mlops_cli.usage.series import SUFFIX, decode, network_at

READER = 'import socket, sys\none = socket.create_connection(("127.0.0.1", int(sys.argv[1])))\nwhile one.recv(1 << 16): pass\n'


def test_what_it_moves_over_the_network_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within this machine, which counts only here."""
    monkeypatch.setattr(gauge, 'Connections', lambda: Connections(near=True))
    monkeypatch.setattr(gauge, 'EARLY_SECONDS', 0.0)
    monkeypatch.setattr(gauge, 'SAMPLE_SECONDS', 0.3)
    server = socket.create_server(('127.0.0.1', 0))
    reader = subprocess.Popen([sys.executable, '-S', '-c', READER, str(server.getsockname()[1])])
    end, _ = server.accept()
    try:
        if group_of(reader.pid) is None:
            pytest.skip('this machine tells nothing of control groups')
        watched = gauge.Gauge(lambda: 0 if reader.poll() is not None else reader.pid)
        job = Job('a', 'stage', str(tmp_path), '.', (Process(('true',)),), {}, str(tmp_path / 'log'))
        with watched:
            while len(watched._series.rows) < 2 or not watched._traffic.received:
                end.sendall(b'x')
                time.sleep(0.01)
            end.sendall(bytes(3_000_000))  # before the next look
            end.close()
            reader.wait()
        outcome = watched.ended(job, Outcome('a', 'exited', 0, Usage(1.0, 0.0)))
    finally:
        reader.kill()
        reader.wait()
        server.close()
    received = outcome.usage.network_received_bytes
    assert received is not None and received >= 3_000_000
    rows = decode((tmp_path / f'log{SUFFIX}').read_bytes())
    at = network_at(rows)
    assert at is not None and rows[-1][at] == received
