"""Put off while much is made, and on again afterwards, whatever happened."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from mlops_cli.core import collector
from mlops_cli.core.collector import collector_again, without_collector


@pytest.fixture(autouse=True)
def on() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def test_within_it_is_off_and_only_the_outermost_ends_that() -> None:
    with without_collector():
        with without_collector():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_after_an_error_it_is_on() -> None:
    with pytest.raises(ValueError, match='x'), without_collector():
        raise ValueError('x')
    assert gc.isenabled()


def test_what_lasts_has_it_again() -> None:
    with without_collector():
        collector_again()
        assert gc.isenabled()
    assert gc.isenabled()


def test_who_has_it_off_keeps_it_off() -> None:
    gc.disable()
    with without_collector():
        pass
    assert not gc.isenabled()


@pytest.mark.parametrize('alone', [False, True])
def test_only_a_process_of_one_command_keeps_all_for_ever(monkeypatch: pytest.MonkeyPatch, alone: bool) -> None:
    monkeypatch.setattr(collector, 'alone', alone)
    gc.unfreeze()  # what another test has kept so may go meanwhile, and be counted no more
    before = gc.get_freeze_count()
    try:
        with without_collector():
            made: list[object] = [[] for _ in range(10)]
            assert gc.get_freeze_count() == before
        assert (gc.get_freeze_count() > before + len(made)) == alone and gc.isenabled()
    finally:
        gc.unfreeze()
