"""Ports that servers of tests are told."""

from __future__ import annotations

import socket

import pytest

from tests.servers.ports import reserved


def test_a_server_listens_there_and_nobody_else_is_given_it() -> None:
    with reserved(3) as ports, socket.socket() as other:
        assert len({*ports}) == 3
        with pytest.raises(OSError, match='in use'):
            other.bind(('127.0.0.1', ports[0]))
        with socket.create_server(('127.0.0.1', ports[0])), socket.create_connection(('127.0.0.1', ports[0]), 60):
            pass
