"""GPUs of a host: each for one job at a time, waited for, and never half of what was asked for."""
from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core.errors import UserError
from mlops_cli.fsio.paths import Root
from mlops_cli.job import cards

ALIKE = {'name': 'A', 'memory_bytes': 1, 'free_bytes': 1}
CARDS: list[dict[str, Any]] = [{'uuid': f'GPU-{number}/..', **ALIKE} for number in range(3)]


def there() -> list[dict[str, Any]]:
    return CARDS


def test_each_is_given_once_and_comes_back(tmp_path: Path) -> None:
    with Root(tmp_path) as one, Root(tmp_path) as two:
        with cards.held(one, 2, lambda: None, there) as first:
            assert first == ('GPU-0/..', 'GPU-1/..')
            with cards.held(two, 1, lambda: None, there) as second:
                assert second == ('GPU-2/..',)
                with pytest.raises(cards.Unwanted), cards.held(one, 1, lambda: b'end', there):
                    pytest.fail('there is none left')
        with cards.held(two, 3, lambda: None, there) as all_of_them:
            assert len(all_of_them) == 3
        with pytest.raises(UserError, match='4 GPUs are asked for, and there are 3'), cards.held(one, 4, lambda: None, there):
            pass
        with cards.held(one, 0, lambda: None, lambda: pytest.fail('nobody asked')) as none:
            assert none == ()


def test_who_waits_gets_it_and_two_that_want_all_do_not_block_each_other(tmp_path: Path) -> None:
    had: list[tuple[str, ...]] = []
    most = [0, 0]

    def work(count: int) -> None:
        with Root(tmp_path) as root, cards.held(root, count, lambda: None, there) as names:
            most[0] += count
            most[1] = max(most)
            had.append(names)
            time.sleep(0.05)
            most[0] -= count

    threads = [threading.Thread(target=work, args=(count,)) for count in (2, 2, 1, 3, 1, 2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    assert sorted(map(len, had)) == [1, 1, 2, 2, 2, 3] and most[1] <= 3


def test_who_wants_several_is_not_overtaken_for_ever(tmp_path: Path) -> None:
    stop = threading.Event()

    def again_and_again() -> None:
        with Root(tmp_path) as root:
            while not stop.is_set():
                with suppress(cards.Unwanted), cards.held(root, 1, lambda: b'end' if stop.is_set() else None, there):
                    time.sleep(0.1)

    threads = [threading.Thread(target=again_and_again) for _ in range(5)]
    for one in threads:
        one.start()
    try:
        with Root(tmp_path) as root:
            end = time.monotonic() + 30
            with cards.held(root, 3, lambda: b'end' if time.monotonic() > end else None, there) as names:
                assert len(names) == 3
    finally:
        stop.set()
        for one in threads:
            one.join()


def test_what_the_driver_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / 'nvidia-smi'
    said = ('GPU-aa, NVIDIA H200, with a comma, 1000, 900', 'junk', 'GPU-bb, X, [N/A], 3')
    program.write_text('#!/bin/sh\n' + ''.join(f'echo "{line}"\n' for line in said))
    program.chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path), prepend=':')
    card, other = cards.listed()
    assert other == {'uuid': 'GPU-bb', 'name': 'X', 'memory_bytes': None, 'free_bytes': 3 << 20}
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '1')
    assert cards.listed() == [other]
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', 'GPU-bb,GPU-aa')
    assert len(cards.listed()) == 2
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    assert cards.listed() == []
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES')
    assert card == {'uuid': 'GPU-aa', 'name': 'NVIDIA H200, with a comma', 'memory_bytes': 1000 << 20, 'free_bytes': 900 << 20}
    program.write_text('#!/bin/sh\necho "NVML: Driver/library version mismatch"; exit 18\n')
    with pytest.raises(UserError, match='ended with 18: NVML: Driver'):
        cards.listed()
    monkeypatch.setenv('PATH', str(tmp_path / 'empty'))
    assert cards.listed() == []
