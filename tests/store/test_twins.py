"""A large file that comes for a workspace is written there at once, and never taken for what it is not."""

from __future__ import annotations

import errno
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from mlops_cli.core.digest import digest_of
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio import direct, ops, pieces
from mlops_cli.fsio.durable import Batch, Durability
from mlops_cli.fsio.paths import Root
from mlops_cli.store import partial, twins
from mlops_cli.store.local import LocalStore
from mlops_cli.store.objects import Damaged

WHOLE = os.urandom((5 << 20) + 123)  # no multiple of anything
NAME = digest_of(WHOLE)
REF = ObjectRef(NAME, len(WHOLE), 'file')
STEP = 300_000


class Broken(Exception):
    """The network is gone."""


class World:
    def __init__(self, folder: Path, durability: Durability = 'none') -> None:
        self.path = folder / 'project'
        self.local = self.path / '.mlops/local'
        self.local.mkdir(parents=True)
        self.root = Root(self.path)
        self.store = LocalStore(self.path / '.mlops/cache', batch=Batch(durability))

    def bring(self, data: bytes = WHOLE, until: int = len(WHOLE)) -> list[int]:
        """Where it was begun each time."""
        asked = []

        def rest(start: int) -> Generator[bytes, None, None]:
            asked.append(start)
            for at in range(start, len(data), STEP):
                if at >= until:
                    raise Broken
                yield data[at : at + STEP]

        try:
            partial.bring(self.store, NAME, len(WHOLE), rest, lambda _: None, True)
        finally:
            self.store.batch.flush()
        return asked

    def twins(self) -> list[Path]:
        return [path for path in self.local.iterdir() if path.is_file()]

    def place(self, kind: Literal['file', 'exec'] = 'file') -> os.stat_result:
        self.store.materialise(ObjectRef(NAME, len(WHOLE), kind), self.root, 'out/model.bin')
        assert (self.path / 'out/model.bin').read_bytes() == WHOLE
        return (self.path / 'out/model.bin').stat()


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, 'BLOCK', 1 << 20)
    monkeypatch.setattr(twins, 'SPARE', 0)
    monkeypatch.setattr(ops, 'reflink', lambda _source, _target: False)  # else there is nothing to gain


@pytest.fixture(params=['none', 'batch'])  # not past memory, and, where the disk has that, past memory
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(tmp_path, request.param)
    with made.store.awaited(made.root, ['out/model.bin']):
        yield made
    assert not made.twins()
    assert made.store.read(NAME) == WHOLE  # however it came
    made.store.close()
    made.root.close()


def test_what_came_is_what_is_placed(world: World) -> None:
    world.bring()
    (twin,) = world.twins()
    made = twin.stat()
    facts = world.place()
    assert facts.st_ino == made.st_ino and facts.st_mode == made.st_mode and not world.twins()


def test_it_is_placed_once(world: World) -> None:
    world.bring()
    first = world.place()
    (world.path / 'out/model.bin').write_bytes(b'changed')
    (world.path / 'out/model.bin').unlink()
    assert world.place() and first.st_nlink == 1


@pytest.mark.parametrize('change', ['written', 'linked', 'gone', 'replaced'])
def test_what_somebody_changed_is_not_placed(world: World, change: str) -> None:
    world.bring()
    (twin,) = world.twins()
    if change == 'written':
        with twin.open('r+b') as file:
            file.write(b'x')
    elif change == 'linked':
        os.link(twin, world.path / 'other')
    else:
        twin.unlink()
        if change == 'replaced':
            twin.write_bytes(WHOLE[:-1] + b'x')
    world.place()


def test_a_program_is_copied(world: World) -> None:
    world.bring()
    assert world.place('exec').st_mode & 0o100


def test_what_is_damaged_on_the_way_leaves_none(world: World) -> None:
    with pytest.raises(Damaged):
        world.bring(WHOLE[:-1] + bytes([WHOLE[-1] ^ 1]))
    assert not world.twins() and not world.store.has([NAME])
    world.bring()
    world.place()


def test_what_is_broken_off_goes_on_without(world: World) -> None:
    with pytest.raises(Broken):
        world.bring(until=3 * STEP)
    assert not world.twins()
    assert world.bring() == [3 * STEP]  # all that came is there, whatever waited to be written
    assert not world.twins()
    world.place()


def test_no_room_for_it_is_no_failure(world: World) -> None:
    def full(operation: str, details: dict[str, Any]) -> None:
        if operation == 'write' and '/.mlops/local/' in details['path'] and details['offset'] > 2 << 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with ops.inject(full):
        world.bring()
    assert not world.twins()
    world.place()


def test_none_where_both_would_not_fit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twins, 'SPARE', 1 << 60)
    world.bring()
    assert not world.twins()


def test_none_where_blocks_are_shared(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, 'reflink', lambda _source, _target: True)
    world.bring()
    assert not world.twins()


def test_none_where_files_are_links(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.store.links = ('reflink', 'hardlink', 'copy')
    with world.store.awaited(world.root, ['out/model.bin']):
        assert world.store.twins is None
        world.bring()
        assert not world.twins()


def test_pieces_are_small_and_all_there(tmp_path: Path) -> None:
    sizes = []

    def seen(operation: str, details: dict[str, Any]) -> None:
        if operation == 'write':
            sizes.append(len(details['data']))

    for part in (b'', b'x', WHOLE[: pieces.PIECE], WHOLE[: pieces.PIECE + 1], WHOLE, memoryview(WHOLE)):
        sizes.clear()
        fd = ops.open_new(str(tmp_path / 'file'))
        try:
            with ops.record(seen):
                pieces.write(fd, part)
        finally:
            os.close(fd)
        assert (tmp_path / 'file').read_bytes() == part and sum(sizes) == len(part) and max(sizes) <= pieces.PIECE
        (tmp_path / 'file').unlink()
