"""GPUs are handed out: to one attempt at a time, or as far as memory goes; waited for, and never half of what was asked for."""
from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from mlops_cli.core.errors import UserError
from mlops_cli.fsio.locks import sharing
from mlops_cli.fsio.paths import Root
from mlops_cli.job import desk
from mlops_cli.job.desk import Desk, Held, held
from mlops_cli.usage.gpu import Card, Load
from tests.support.processes import begun

GIB = 1 << 30
CARDS = [Card(f'GPU-{number}/..', 'A', 16 * GIB, 16 * GIB) for number in range(3)]


def there() -> list[Card]:
    return CARDS


def alone() -> None:
    """For who waits as long as it takes."""


def at(folder: Path, loads: dict[str, Load] | None = None, cards: list[Card] = CARDS) -> Desk:
    """A desk of a process of its own, as far as locks go."""
    return Desk(Root(folder), cards, lambda *_: loads if loads is not None else {})


def names(held: Held | None) -> str:
    return 'none' if held is None else ''.join(name[4] for name in held.names)


def test_each_is_given_once_and_comes_back(tmp_path: Path) -> None:
    with held(Root(tmp_path), 2, None, alone, there) as first:
        assert first.names == ('GPU-0/..', 'GPU-1/..')
        with held(Root(tmp_path), 1, None, alone, there) as second:
            assert second.names == ('GPU-2/..',)
            with pytest.raises(desk.Unwanted), held(Root(tmp_path), 1, None, lambda: b'end', there):
                pytest.fail('there is none left')
    with held(Root(tmp_path), 3, None, alone, there) as all_of_them:
        assert len(all_of_them.names) == 3
    with held(Root(tmp_path), 0, None, alone, lambda: pytest.fail('nobody asked')) as none:
        assert none == Held()
    assert [file.name for file in (tmp_path / desk.FOLDER).iterdir()] == [desk.TURN]


def test_what_can_never_be_had_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='4 GPUs are asked for, and there are 3'), held(Root(tmp_path), 4, None, alone, there):
        pass
    with pytest.raises(UserError, match='1 GPU is asked for, and there are none'), held(Root(tmp_path), 1, None, alone, list):
        pass
    message = '1 GPU with 21 GB of memory is asked for, and there are A with 17 GB, A with 17 GB, A with 17 GB'
    with pytest.raises(UserError, match=message), held(Root(tmp_path), 1, 20 * GIB, alone, there):
        pass


def test_two_desks_of_one_folder(tmp_path: Path) -> None:
    one, two = at(tmp_path), at(tmp_path)
    assert names(one.take('a', 2, None)) == '01' and names(two.take('b', 1, None)) == '2'
    assert one.take('c', 1, None) is None and one.waits_for_others
    one.close()  # its process has ended
    assert names(two.take('d', 2, None)) == '01'
    two.give_back('d')
    two.give_back('d')
    assert two.take('e', 3, None) is None and not two.waits_for_others, 'what it lacks is here'
    two.give_back('b')
    assert names(two.take('e', 3, None)) == '012'
    two.close()


def test_who_waits_for_what_others_have_is_next(tmp_path: Path) -> None:
    one, two = at(tmp_path), at(tmp_path)
    one.take('a', 1, None)
    assert two.take('all', 3, None) is None
    assert one.take('b', 1, None) is None and one.waits_for_others and two.take('c', 1, None) is None
    one.give_back('a')
    time.sleep(desk.TICK)
    assert names(two.take('all', 3, None)) == '012'
    two.give_back('all')
    assert names(one.take('b', 1, None)) == '0'
    one.close()
    two.close()


def test_many_that_wait_ask_little_and_one_of_them_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = at(tmp_path), at(tmp_path)
    looks: list[bool] = []
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(desk, 'time', SimpleNamespace(monotonic=lambda: clock.now))
    promised = Desk._promised
    monkeypatch.setattr(Desk, '_promised', lambda self: looks.append(self is one) or promised(self))
    for who in 'abc':
        one.take(who, 1, None)
    for _ in range(30):
        clock.now += desk.TICK / 10
        for who in range(100):
            assert one.take(str(who), 1, None) is None and not one.waits_for_others, 'for what is here'
    assert len(looks) <= 3 + 4
    told = set()
    for _ in range(10):
        for who in range(100):
            assert two.take(str(who), 1, None) is None
            told |= {who} if two.waits_for_others else set()
    assert told == {0}
    one.close()
    assert names(two.take('0', 1, None)) == 'none', 'it has just looked'
    clock.now += desk.TICK
    assert names(two.take('0', 1, None)) == '0'
    two.close()


def test_as_long_as_anything_of_an_attempt_lives_its_cards_are_taken(tmp_path: Path) -> None:
    """The runner is killed; the process that sees to the attempt has the file locked, too, and is about to end it."""
    one, two = at(tmp_path, cards=CARDS[:1]), at(tmp_path, cards=CARDS[:1])
    given = one.take('a', 1, None)
    assert given is not None
    supervisor = os.open(given.files[0], os.O_RDWR)
    fcntl.fcntl(supervisor, *sharing())
    one.close()
    assert two.take('b', 1, None) is None and two.waits_for_others
    os.close(supervisor)
    time.sleep(desk.TICK)
    assert names(two.take('b', 1, None)) == '0'
    two.close()


def test_shares_go_as_far_as_memory_does_and_leave_whole_cards_whole(tmp_path: Path) -> None:
    one = at(tmp_path)
    assert [names(one.take(who, 1, 7 * GIB)) for who in 'abc'] == ['0', '0', '1']
    assert names(one.take('d', 1, 9 * GIB)) == '1' and names(one.take('e', 1, None)) == '2'
    assert one.take('f', 1, 3 * GIB) is None and not one.waits_for_others
    assert names(one.take('g', 1, 2 * GIB)) == '0', 'the two that are left of the first'
    one.give_back('a')
    assert names(one.take('f', 1, 7 * GIB)) == '0' and one.take('h', 1, None) is None
    for who in 'bfg':
        one.give_back(who)
    assert names(one.take('h', 1, None)) == '0'
    one.close()


def test_what_others_use_is_not_promised(tmp_path: Path) -> None:
    mine = begun('sleep', '60', env={'MLOPS_ATTEMPT': 'x'})
    other = os.getpid()
    try:
        loads: dict[str, Load] = {}
        one = at(tmp_path, loads, CARDS[:1])
        (uuid,) = (card.uuid for card in CARDS[:1])
        assert names(one.take('a', 1, 4 * GIB)) == '0'
        for load, fits in (
            (Load(4 * GIB, ((mine.pid, 4 * GIB),)), 12),  # as was promised
            (Load(6 * GIB, ((mine.pid, 6 * GIB),)), 10),  # more than it asked for
            (Load(3 * GIB, ((mine.pid, GIB), (other, 2 * GIB))), 10),
            (Load(9 * GIB), 8),  # nobody tells whose: 4 are promised, and 1 may be the driver's own
            (Load(None), 12),
        ):
            loads[uuid] = load
            assert one.take('b', 1, (fits * GIB) + 1) is None, load
            time.sleep(desk.TICK)
            assert names(one.take('b', 1, fits * GIB)) == '0', load
            one.give_back('b')
        loads[uuid] = Load(16 * GIB, ((other, 16 * GIB),))
        assert one.take('c', 1, GIB) is None and not one.waits_for_others
        one.give_back('a')
        assert one.take('c', 1, GIB) is None and one.waits_for_others, 'nothing of ours runs'
        one.close()
    finally:
        mine.kill()
        mine.wait()


def test_whole_cards_that_others_use_least_come_first(tmp_path: Path) -> None:
    loads = {CARDS[0].uuid: Load(3 * GIB, ((1, 3 * GIB),)), CARDS[1].uuid: Load(GIB, ((1, GIB),))}
    one = at(tmp_path, loads)
    assert [names(one.take(who, 1, None)) for who in 'abc'] == ['2', '1', '0']
    one.close()


def test_a_card_that_does_not_tell_its_memory_is_given_as_a_whole(tmp_path: Path) -> None:
    one = at(tmp_path, cards=[Card('GPU-7')])
    assert names(one.take('a', 1, GIB)) == '7' and one.take('b', 1, GIB) is None
    one.close()


def test_a_folder_of_the_users_own(tmp_path: Path) -> None:
    for environ, folder in (
        ({'HOME': str(tmp_path / 'home')}, tmp_path / 'home/.cache/mlops'),
        ({'HOME': str(tmp_path), 'XDG_CACHE_HOME': str(tmp_path / 'own')}, tmp_path / 'own/mlops'),
        ({'HOME': '/proc/nowhere'}, tmp_path / 'else'),
        ({}, tmp_path / 'else'),
    ):
        (tmp_path / 'else').mkdir(exist_ok=True)
        with desk.own_folder(environ, str(tmp_path / 'else')) as root:
            assert root.path == str(folder)


def test_who_waits_gets_it_and_two_that_want_all_do_not_block_each_other(tmp_path: Path) -> None:
    had: list[tuple[str, ...]] = []
    most = [0, 0]
    counting = threading.Lock()

    def work(count: int) -> None:
        with held(Root(tmp_path), count, None, alone, there) as given:
            with counting:
                most[0] += count
                most[1] = max(most)
                had.append(given.names)
            time.sleep(0.05)
            with counting:
                most[0] -= count

    threads = [threading.Thread(target=work, args=(count,)) for count in (2, 2, 1, 3, 1, 2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(120)
    assert sorted(map(len, had)) == [1, 1, 2, 2, 2, 3] and most[1] <= 3


def test_who_wants_several_is_not_overtaken_for_ever(tmp_path: Path) -> None:
    stop = threading.Event()

    def again_and_again() -> None:
        while not stop.is_set():
            with suppress(desk.Unwanted), held(Root(tmp_path), 1, None, lambda: b'end' if stop.is_set() else None, there):
                time.sleep(0.1)

    threads = [threading.Thread(target=again_and_again) for _ in range(5)]
    for one in threads:
        one.start()
    try:
        end = time.monotonic() + 120
        with held(Root(tmp_path), 3, None, lambda: b'end' if time.monotonic() > end else None, there) as given:
            assert len(given.names) == 3
    finally:
        stop.set()
        for one in threads:
            one.join()


