"""Work that is done beside other work."""

from __future__ import annotations

import threading

import pytest

from mlops_cli.cli.beside import Beside


def test_both_go_on_at_once() -> None:
    met = threading.Barrier(2, timeout=100)
    with Beside(lambda: met.wait() is not None) as asked:
        met.wait()
        assert asked.result() is True
    assert asked.result() is True


def test_what_it_raises_is_raised_where_it_is_asked_for() -> None:
    def fail() -> int:
        raise ValueError('no')

    with Beside(fail) as asked, pytest.raises(ValueError, match='no'):
        asked.result()


def test_it_has_ended_when_the_block_has_even_by_an_error() -> None:
    go, done = threading.Event(), threading.Event()

    def slow() -> None:
        go.wait(100)
        done.set()

    def broken() -> None:
        with Beside(slow):
            go.set()
            raise KeyError('mine')

    with pytest.raises(KeyError):
        broken()
    assert done.is_set()
