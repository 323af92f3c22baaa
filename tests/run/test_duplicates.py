"""What is there more than once: found by content, read no more than needed, gone on with after a break."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core.digest import digest_of
from mlops_cli.fsio.paths import Root
from mlops_cli.run import duplicates
from mlops_cli.run.duplicates import HEAD, Outcome, Place, Told
from mlops_cli.store.bucket import FolderBucket
from mlops_cli.store.depot import Depot
from mlops_cli.store.packs import SMALL


class Counting(FolderBucket):
    """Says what was read of it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self.read: list[tuple[str, int]] = []
        self.most = 1 << 60

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        if len(self.read) >= self.most:
            raise KeyboardInterrupt
        data = super().get(key, start, end)
        self.read.append((key, len(data)))
        return data


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / 'project').mkdir()
    with Root(str(tmp_path / 'project')) as found:
        yield found


def bucket(folder: Path, files: dict[str, bytes]) -> Counting:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return Counting(folder)


def search(root: Root, *places: Place, least: int = 1, most: int = 20, told: Told | None = None) -> Outcome:
    return duplicates.search(root, places, least, most, told or Told())


def of(source: Counting, name: str = 'b', price: float | None = None) -> Place:
    return Place(name, source.where, source, price)


def copies(outcome: Outcome) -> list[list[str]]:
    return [[f'{copy.place}:{copy.key}' for copy in group.copies] for group in outcome.groups]


def test_by_content_not_by_name_or_size(root: Root, tmp_path: Path) -> None:
    large = random.Random(1).randbytes(3 * HEAD)
    near = large[:-1] + bytes([large[-1] ^ 1])
    source = bucket(tmp_path / 'b', {
        'a/one.bin': large, 'b/two.bin': large, 'near.bin': near, 'other.bin': os.urandom(3 * HEAD), 'alone.bin': b'x' * 999,
        'small': b'same', 'small too': b'same', 'not': b'diff', 'empty': b'', 'empty too': b'',
    })  # fmt: skip
    outcome = search(root, of(source))
    assert copies(outcome) == [['b:a/one.bin', 'b:b/two.bin'], ['b:small', 'b:small too']]
    assert (outcome.bytes, outcome.copies, outcome.files) == (3 * HEAD + 4, 2, 10)
    read = [key for key, _ in source.read]
    assert 'alone.bin' not in read and 'empty' not in read
    assert [size for key, size in source.read if key == 'other.bin'] == [HEAD]  # differs at once


def test_the_second_time_nothing_is_read(root: Root, tmp_path: Path) -> None:
    source = bucket(tmp_path / 'b', dict.fromkeys(('1', '2', '3'), b'same' * HEAD))
    first = search(root, of(source))
    source.read.clear()
    assert copies(search(root, of(source))) == copies(first) and source.read == []
    (tmp_path / 'b/2').write_bytes(b'else' * HEAD)
    (tmp_path / 'b/3').unlink()
    assert search(root, of(source)).groups == []
    assert {key for key, _ in source.read} == {'2'}


def test_a_search_that_was_broken_off_goes_on(root: Root, tmp_path: Path) -> None:
    source = bucket(tmp_path / 'b', {str(number): b'%04d' % (number // 2) * 50 for number in range(200)})
    source.most = 120
    with pytest.raises(KeyboardInterrupt):
        search(root, of(source))
    source.most = 1 << 60
    source.read.clear()
    outcome = search(root, of(source), most=1000)
    assert outcome.found == len(outcome.groups) == 100
    assert len(source.read) <= 110  # what was under way when it broke off is read again


def test_a_remote_of_ours_is_not_read(root: Root, tmp_path: Path) -> None:
    small, large = b'small' * 100, b'large' * SMALL
    depot = Depot(FolderBucket(str(tmp_path / 'remote')))
    depot.put([(digest_of(data), iter([data])) for data in (small, large)])
    depot.look_again()
    source = bucket(tmp_path / 'b', {'x/large': large, 'y': b'other' * SMALL, 'small.txt': small})
    outcome = search(root, Place('origin', depot.where, depot), of(source))
    assert sorted(sorted(copy.place for copy in group.copies) for group in outcome.groups) == [['b', 'origin']] * 2
    assert {copy.content for group in outcome.groups for copy in group.copies} == {
        '', digest_of(small).hex, digest_of(large).hex
    }  # fmt: skip


def test_what_it_costs(root: Root, tmp_path: Path) -> None:
    data = b'd' * 1_000_000
    dear, cheap = bucket(tmp_path / 'dear', {'1': data}), bucket(tmp_path / 'cheap', {'1': data, '2': data})
    outcome = search(root, of(dear, 'dear', 0.5), of(cheap, 'cheap', 0.02))
    assert outcome.saving == pytest.approx(2 * 0.02 * 1e-3)
    assert search(root, of(dear, 'dear', 0.5), of(cheap, 'cheap')).saving is None


def test_limits(root: Root, tmp_path: Path) -> None:
    source = bucket(tmp_path / 'b', {f'{size}-{copy}': b'x' * size for size in (10, 20, 30) for copy in (1, 2)})
    assert copies(search(root, of(source), least=20, most=1)) == [['b:30-1', 'b:30-2']]
    outcome = search(root, of(source), least=20, most=1)
    assert (outcome.found, outcome.small) == (2, 2)


def test_what_goes_meanwhile_counts_no_more(root: Root, tmp_path: Path) -> None:
    files = dict.fromkeys(('1', '2', '3'), b'same' * 9)
    source = bucket(tmp_path / 'b', files)
    listed = list(source.list(''))
    (tmp_path / 'b/3').unlink()
    (tmp_path / 'b/2').write_bytes(b'short')
    source.list = lambda folder: iter(listed)  # type: ignore[method-assign]
    told = Told()
    assert search(root, of(source), told=told).groups == [] and told.changed == 2


def test_a_damaged_memory_is_made_again(root: Root, tmp_path: Path) -> None:
    source = bucket(tmp_path / 'b', {'1': b'same', '2': b'same'})
    search(root, of(source))
    (tmp_path / 'project' / duplicates.FILE).write_bytes(b'no database' * 1000)
    assert copies(search(root, of(source))) == [['b:1', 'b:2']]


def test_names_of_any_bytes(root: Root, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / 'b')
    os.mkdir(folder)
    for name in (b'\xff', b'a\nb', b"it's [red]x"):
        with open(os.path.join(folder, name), 'wb') as file:
            file.write(b'same')
    assert copies(search(root, of(Counting(tmp_path / 'b'))))[0] == ['b:a\nb', "b:it's [red]x", 'b:\\xff']


def test_many_of_one_size_take_no_longer_than_others(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them against each other would be millions of looks."""
    files = {f'{number}': number.to_bytes(4, 'big') * (HEAD // 4 + 1) for number in range(3000)}
    source = bucket(tmp_path / 'b', {**files, 'again': files['7']})
    told = Told()
    outcome = search(root, of(source), told=told)
    assert outcome.found == 1 and copies(outcome) == [['b:7', 'b:again']]
    assert told.read == 3001 * HEAD + 2 * (HEAD + 4)
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return steps > 1000  # thousands of instructions of SQLite: some 300 for each file

    usual = sqlite3.connect

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        table = usual(*arguments, **options)
        table.set_progress_handler(step, 1000)
        return table

    monkeypatch.setattr(sqlite3, 'connect', connect)
    assert search(root, of(source)).found == 1
    assert steps > 10
