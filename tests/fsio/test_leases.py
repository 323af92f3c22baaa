"""Leases, where the file system has no locks: whose are dead, by two clocks; who lost theirs finds out before giving names."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_cli.core.errors import ExitCode
from mlops_cli.fsio import leases, ops
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.leases import DEAD_SECONDS, Leases, LostLease, Who
from mlops_cli.fsio.temporaries import owner, start_time

OLD = DEAD_SECONDS + 60


def host(name: str, clock: Callable[[], float] = time.time, own: str = 'aaaaaaaa-1-1') -> Who:
    return Who(name, f'boot of {name}', own, clock)


def aged(folder: Path, seconds: float) -> None:
    """As if the server had seen nothing of it for so long."""
    for path in folder.iterdir():
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))


def test_alone_and_shared(tmp_path: Path) -> None:
    one, two = Leases(str(tmp_path / 'l'), host('one')), Leases(str(tmp_path / 'l'), host('two'))
    assert one.try_take(7, exclusive=True) and not two.try_take(7, exclusive=True) and not two.try_take(7, exclusive=False)
    assert two.try_take(8, exclusive=True) and two.is_taken(7) and one.is_taken(8)
    one.release(7)
    assert not two.is_taken(7)
    assert one.try_take(7, exclusive=False) and two.try_take(7, exclusive=False)
    three = Leases(str(tmp_path / 'l'), host('three'))
    assert not three.try_take(7, exclusive=True)
    for held in (one, two):
        held.check()
        held.release(7)
    assert three.try_take(7, exclusive=True)
    for held in (one, two, three):
        held.release_all()
    assert ops.fences == []


@pytest.mark.parametrize('mode', [True, False])
def test_dead_is_what_neither_clock_has_seen(tmp_path: Path, mode: bool) -> None:
    folder, stamp = tmp_path / 'l', time.time()
    old = Leases(str(folder), host('old', lambda: stamp - OLD))
    assert old.try_take(1, exclusive=mode)
    right = Leases(str(folder), host('new'))
    assert not right.try_take(1, exclusive=True)  # its stamp is old: its clock may be behind
    aged(folder, OLD)
    wrong = Leases(str(folder), host('new', lambda: stamp - OLD))
    assert not wrong.try_take(1, exclusive=True)  # the server saw nothing for long: its clock may have jumped
    assert right.try_take(1, exclusive=True)
    with pytest.raises(LostLease) as caught:
        old.check()
    assert caught.value.exit_code == ExitCode.MACHINE
    right.check()
    old.renew()
    right.check()
    for held in (old, right, wrong):
        held.release_all()
    assert Leases(str(folder), host('new')).is_taken(1) is False


def test_who_shares_goes_past_a_dead_one_that_may_wake_up(tmp_path: Path) -> None:
    stamp = time.time()
    old = Leases(str(tmp_path / 'l'), host('old', lambda: stamp - OLD))
    assert old.try_take(1, exclusive=True)
    aged(tmp_path / 'l', OLD)
    new = Leases(str(tmp_path / 'l'), host('new'))
    assert new.try_take(1, exclusive=False)
    with pytest.raises(LostLease):
        old.check()
    old.release_all()
    new.check()
    new.release_all()


def test_of_this_machine_one_knows_at_once(tmp_path: Path) -> None:
    boot8, pid, start = owner().split('-')
    assert start_time(int(pid)) is not None
    dead, alive = (Leases(str(tmp_path / name), host('here', own=own)) for name, own in (
        ('dead', f'{boot8}-{2**22 + 1}-{start}'), ('alive', owner()),
    ))  # fmt: skip
    for held in (dead, alive):
        assert held.try_take(1, exclusive=True)
    after = Leases(str(tmp_path / 'dead'), host('here', own=owner()))
    assert after.try_take(1, exclusive=True)
    assert not Leases(str(tmp_path / 'alive'), host('here', own=owner())).try_take(1, exclusive=True)
    assert not Leases(str(tmp_path / 'dead'), host('elsewhere')).try_take(1, exclusive=True)
    for held in (alive, dead, after):
        held.release_all()


def test_who_cannot_renew_gives_no_more_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Leases(str(tmp_path / 'l'), host('one'))
    assert held.try_take(1, exclusive=True)
    (tmp_path / 'new').write_bytes(b'x')
    monkeypatch.setattr(leases, 'SAFE_SECONDS', -1.0)
    batch = Batch('none')
    batch.add(str(tmp_path / 'new'), str(tmp_path / 'named'), 0, replace=True)
    with pytest.raises(LostLease):
        batch.close()
    assert not (tmp_path / 'named').exists()
    held.release_all()
    assert ops.fences == []


def test_a_lease_is_renewed_while_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, 'BEAT_SECONDS', 0.02)
    held = Leases(str(tmp_path / 'l'), host('one'))
    assert held.try_take(1, exclusive=True)
    aged(tmp_path / 'l', OLD)
    [path] = (tmp_path / 'l').iterdir()
    end = time.monotonic() + 60
    while path.stat().st_mtime < time.time() - 60 and time.monotonic() < end:
        time.sleep(0.01)
    assert path.stat().st_mtime > time.time() - 60
    held.release_all()


@pytest.mark.parametrize('text', ['', '{', '[1]', '{"stamp": "x"}', '\0' * 512])
def test_one_that_is_half_written_is_somebodys_for_long(tmp_path: Path, text: str) -> None:
    one, two = Leases(str(tmp_path / 'l'), host('one')), Leases(str(tmp_path / 'l'), host('two'))
    assert one.try_take(1, exclusive=True)
    [path] = (tmp_path / 'l').iterdir()
    path.write_text(text)
    assert not two.try_take(1, exclusive=True)
    aged(tmp_path / 'l', OLD)
    assert not two.try_take(1, exclusive=True)
    aged(tmp_path / 'l', OLD)
    assert two.try_take(1, exclusive=True)
    with pytest.raises(LostLease):
        one.check()
    one.release_all()
    two.release_all()
