"""The journal: what was in flight is found again, a live one is left alone."""
from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core.errors import UserError
from mlops_cli.fsio import journal, ops
from mlops_cli.fsio.journal import Journal, decode, encode, leftovers
from mlops_cli.fsio.paths import Root


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / 'journal')


def left(folder: str) -> dict[str, list[dict[str, Any]]]:
    return {found.name: found.records for found in leftovers(folder)}


def test_records_come_back_in_order_once_the_owner_is_gone(folder: str) -> None:
    records: list[dict[str, Any]] = [{'do': 'begin', 'stage': 'träin', 'name': 'x\udcff'},
                                     {'do': 'swap', 'paths': ['a', 'b']}, {}]
    mine = Journal(folder, 'run-1')
    for record in records:
        mine.append(record, sync=record == {})
    assert left(folder) == {}
    mine.close(remove=False)
    mine.close()
    assert left(folder) == {'run-1': records}
    for found in leftovers(folder):
        assert (found.damaged, found.path) == (0, f'{folder}/run-1.jsonl')
        found.remove()
    assert os.listdir(folder) == []
    assert left(folder) == left(f'{folder}/absent') == {}


def test_the_page_shows_a_line_as_it_is_written() -> None:
    page = (Path(__file__).resolve().parents[2] / 'docs/formats/journal.md').read_text()
    assert encode({'stage': 'train', 'do': 'begin'}).decode() in page


def test_ending_well_removes_it_and_an_exception_keeps_it(folder: str) -> None:
    with Journal(folder, 'good') as mine:
        mine.append({'a': 1})
    with pytest.raises(ZeroDivisionError), Journal(folder, 'bad') as mine:
        mine.append({'a': 1})
        _ = 1 / 0
    assert left(folder) == {'bad': [{'a': 1}]}


def test_it_is_private(folder: str) -> None:
    with Journal(folder, 'x'):
        assert os.stat(folder).st_mode & 0o777 == 0o700
        assert os.stat(f'{folder}/x.jsonl').st_mode & 0o777 == 0o600


@pytest.mark.parametrize('name', ['', 'a/b', '../x'])
def test_a_name_is_one_component(folder: str, name: str) -> None:
    with pytest.raises(ValueError):
        Journal(folder, name)


def test_a_taken_name_and_a_linked_folder_are_refused(folder: str, tmp_path: Path) -> None:
    with Journal(folder, 'x'), pytest.raises(FileExistsError):
        Journal(folder, 'x')
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'link').symlink_to('elsewhere')
    with Root(tmp_path) as root, pytest.raises(UserError):
        Journal(root.sub('link', create=True), 'x')
    (Path(folder) / 'evil.jsonl').symlink_to('/etc/hostname')
    with pytest.raises(UserError, match='symbolic link'):
        left(folder)


RECORDS = [{'n': number, 'text': 'x' * number} for number in range(5)]
WHOLE = b''.join(encode(record) for record in RECORDS)


def test_a_torn_end_loses_only_the_torn_record() -> None:
    for cut in range(len(WHOLE) + 1):
        records, damaged = decode(WHOLE[:cut])
        complete = WHOLE[:cut].count(b'\n')
        assert records == RECORDS[:complete]
        assert damaged == (not WHOLE[:cut].endswith(b'\n') and cut > 0)


def test_no_changed_byte_goes_unnoticed() -> None:
    for position in range(len(WHOLE)):
        data = bytearray(WHOLE)
        data[position] ^= 0x10
        records, damaged = decode(bytes(data))
        assert damaged >= 1
        assert all(record in RECORDS for record in records)
        assert len(records) >= 3  # at most the line and, where it ran into it, the next


@pytest.mark.parametrize('data', [b'\0' * 4096, b'\xff\xfe', b'00000000 {}\n', b'\n\n', encode({'a': 1})[:-1] + b'\0\0\n',
                                  b'%08x [1]\n' % 0x5dc1f2a6])
def test_garbage_is_no_record(data: bytes) -> None:
    assert decode(data)[0] == []


def test_a_forked_child_does_not_keep_it_alive(folder: str) -> None:
    program = """
import os, sys, time
from mlops_cli.fsio.journal import Journal
mine = Journal(sys.argv[1], 'parent')
mine.append({'do': 'begin'})
ready, told = os.pipe()
child = os.fork()
if child == 0:
    os.write(told, b'!')  # what is done in a forked child is done by now
    time.sleep(60)
os.read(ready, 1)
print(child, flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, '-c', program, folder], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        assert left(folder) == {}
        process.kill()
        process.wait()
        assert left(folder) == {'parent': [{'do': 'begin'}]}
    finally:
        os.kill(child, 9)
        process.stdout.close()


def test_a_claimed_one_is_claimed_once(folder: str) -> None:
    for number in range(20):
        Journal(folder, f'j{number}').close(remove=False)
        with open(f'{folder}/j{number}.jsonl', 'ab') as file:
            file.write(encode({'n': number}))
    taken: list[str] = []

    def work() -> None:
        for found in leftovers(folder):
            taken.append(found.name)
            time.sleep(0.001)
            found.remove()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(f'j{number}' for number in range(20))
    assert os.listdir(folder) == []


def test_an_empty_one_says_nothing_and_is_removed(folder: str) -> None:
    Journal(folder, 'x').close(remove=False)
    assert left(folder) == {}
    assert os.listdir(folder) == []


def test_a_new_one_survives_those_who_look_for_leftovers(folder: str) -> None:
    os.mkdir(folder)
    stop = threading.Event()
    seen: list[str] = []

    def look() -> None:
        while not stop.is_set():
            seen.extend(found.name for found in leftovers(folder))

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(300):
            with Journal(folder, f'j{number}') as mine:
                mine.append({'n': number})
                assert os.path.exists(mine.path)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert seen == []
    assert os.listdir(folder) == []


def test_a_journal_nobody_can_have_written_is_refused(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, 'MAX_BYTES', 100)
    os.mkdir(folder)
    (Path(folder) / 'x.jsonl').write_bytes(b'x' * 101)
    with pytest.raises(UserError, match='larger than 100 bytes'):
        left(folder)


def test_after_a_failed_append_the_rest_is_whole(folder: str) -> None:
    mine = Journal(folder, 'x')
    mine.append({'n': 0})

    def tear(operation: str, details: dict[str, Any]) -> None:
        if operation == 'write':
            os.write(details['fd'], details['data'][:7])
            raise OSError(28, 'No space left on device')
        if operation == 'truncate':
            raise OSError(5, 'Input/output error')

    with ops.inject(tear), pytest.raises(OSError, match='No space left'):
        mine.append({'n': 1})
    mine.append({'n': 2})
    mine.append({'n': 3})
    mine.close(remove=False)
    [found] = leftovers(folder)
    assert (found.records, found.damaged) == ([{'n': 0}, {'n': 2}, {'n': 3}], 1)


def test_below_a_root_no_link_is_followed_to_a_journal_elsewhere(tmp_path: Path) -> None:
    theirs = tmp_path / 'theirs'
    Journal(str(theirs), 'killed').close(remove=False)
    (tmp_path / 'mine/local').mkdir(parents=True)
    (tmp_path / 'mine/local/journal').symlink_to(theirs)
    with Root(tmp_path / 'mine') as root:
        with pytest.raises(UserError, match='symbolic link'):
            Journal('local/journal', 'x', root=root)
        with pytest.raises(UserError, match='symbolic link'):
            list(leftovers('local/journal', root=root))
        assert [path.name for path in theirs.iterdir()] == ['killed.jsonl']
        Journal('local/other/deep', 'x', root=root).close(remove=False)
        assert list(leftovers('local/absent', root=root)) == []
    assert (tmp_path / 'mine/local/other/deep/x.jsonl').exists()


def test_a_line_that_is_too_deep_is_no_record() -> None:
    text = b'{"a":' + b'[' * 200_000 + b']' * 200_000 + b'}'
    assert decode(b'%08x %s\n' % (journal.zlib.crc32(text), text)) == ([], 1)
