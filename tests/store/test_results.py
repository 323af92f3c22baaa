"""result-v1: exact bytes, strict reading, and what a look-up finds."""
from __future__ import annotations

import dataclasses
import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_cli.core.digest import digest_of
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.durable import Batch
from mlops_cli.store.results import (
    ResultEntry,
    Results,
    choose,
    decode,
    encode,
    environment_digest,
    outputs_digest,
)

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'formats' / 'results.md'
KEY = digest_of(b'key')
MODEL = ObjectRef(digest_of(b'model'), 5, 'file')
DATA = ObjectRef(digest_of(b'mlops tree-v1\n'), 0, 'tree')
ROWS = (['data', 'raw.csv', str(MODEL.digest)], ['param', 'params.yaml:lr', str(digest_of(b'ini')), 0.1])
FULL = ResultEntry(
    key=KEY, outputs=(('data', DATA), ('model.bin', MODEL)), created='2026-11-20T10:15:22Z', seconds=11.25,
    metrics={'metrics.json': {'accuracy': 0.97}}, log=MODEL, manifest=ROWS, sources=DATA, environment={'python': '3.11.7'},
    origin={'user': 'ada', 'ci': False}, usage={'wall_seconds': 11.2}, code_bytes=(('src/train.py', digest_of(b'code')),),
    discovered=(('config.ini', digest_of(b'ini')),), suspect=False)
EMPTY = ResultEntry(key=KEY, outputs=(), created='2026-11-20T10:15:22Z')


@pytest.fixture
def results(tmp_path: Path) -> Iterator[Results]:
    (tmp_path / 'cache/results-v1').mkdir(parents=True)
    made = Results(tmp_path / 'cache', Batch('none'), report=lambda path, problem: REPORTED.append((path, problem)))
    REPORTED.clear()
    yield made
    made.close()


REPORTED: list[tuple[str, str]] = []


def flush(results: Results) -> None:
    results._batch.flush()


# The format

def test_every_flipped_bit_shows() -> None:
    data = encode(FULL)
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError):
            decode(bytes(damaged))


def test_an_entry_from_before_there_was_a_check_is_read() -> None:
    lines = encode(FULL).split(b'\n')
    assert lines[1].startswith(b' "check"')
    assert decode(b'\n'.join(lines[:1] + lines[2:])) == FULL


def test_the_page_has_a_vector_that_holds() -> None:
    text = PAGE.read_text()
    found = re.search(r'`results-v1/(..)/(\S+)`:\n\n```json\n(.*?)```', text, re.DOTALL)
    assert found
    entry = decode(found[3].encode())
    assert encode(entry) == found[3].encode()
    assert entry == FULL
    assert (found[1], found[2]) == (KEY.hex[:2], entry.file_name)
    assert f'`{outputs_digest(entry.outputs)}`' in text
    assert f'`{environment_digest(entry.environment)}`' in text


@pytest.mark.parametrize('entry', [FULL, EMPTY, dataclasses.replace(FULL, suspect=True)])
def test_what_is_written_is_read_back(entry: ResultEntry) -> None:
    assert decode(encode(entry)) == entry
    assert set(json.loads(encode(entry))) == {field.name for field in dataclasses.fields(ResultEntry)} | {'schema', 'check'}


def test_the_name_says_key_and_outputs_and_only_these() -> None:
    same = dataclasses.replace(FULL, seconds=99.0, environment={'python': '3.12.1'}, metrics={}, created='2027')
    assert same.file_name == FULL.file_name == f'{KEY.hex}-{outputs_digest(FULL.outputs).hex[:8]}.json'
    assert dataclasses.replace(FULL, outputs=FULL.outputs[1:]).entry8 != FULL.entry8
    assert outputs_digest(reversed(FULL.outputs)) == FULL.outputs_digest
    executable = (('data', DATA), ('model.bin', dataclasses.replace(MODEL, kind='exec')))
    assert outputs_digest(executable) != FULL.outputs_digest
    assert dataclasses.replace(FULL, suspect=True).file_name != FULL.file_name


def broken() -> Iterator[tuple[str, bytes]]:
    whole = json.loads(encode(FULL))
    yield 'a check that is no first line', json.dumps(whole).encode()
    del whole['check']
    yield 'nothing', b''
    yield 'cut short', encode(FULL)[:-20]
    yield 'zeros', bytes(len(encode(FULL)))
    yield 'not UTF-8', b'\xff' + encode(FULL)
    yield 'a list', b'[]'
    yield 'deep', b'[' * 100_000
    yield 'NaN', encode(FULL).replace(b'11.25', b'NaN')
    yield 'infinity', encode(FULL).replace(b'11.25', b'1e999')
    for field in whole:
        yield f'without {field}', json.dumps({name: value for name, value in whole.items() if name != field}).encode()
        yield f'{field} a number', json.dumps({**whole, field: 7 if field != 'seconds' else -1}).encode()
        yield f'{field} true', json.dumps({**whole, field: True if field != 'suspect' else 1}).encode()
    yield 'one field more', json.dumps({**whole, 'cost': 1}).encode()
    yield 'a later version', json.dumps({**whole, 'schema': 'mlops/result/v2'}).encode()
    for field in ('outputs', 'code_bytes', 'discovered'):
        yield f'{field} twice', json.dumps({**whole, field: whole[field] * 2}).encode()
        yield f'{field} of an odd shape', json.dumps({**whole, field: [['a', 'b', 'c', 'd', 'e']]}).encode()
        yield f'{field} without a path', json.dumps({**whole, field: [[]]}).encode()
    yield 'outputs out of order', json.dumps({**whole, 'outputs': whole['outputs'][::-1]}).encode()


@pytest.mark.parametrize('data', [pytest.param(data, id=name) for name, data in broken()])
def test_everything_else_is_a_miss_that_is_reported(results: Results, tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ValueError, match=r'.'):
        decode(data)
    folder = tmp_path / 'cache/results-v1' / KEY.hex[:2]
    folder.mkdir()
    (folder / FULL.file_name).write_bytes(data)
    assert results.lookup(KEY) == ()
    assert [path for path, _ in REPORTED] == [f'results-v1/{KEY.hex[:2]}/{FULL.file_name}']
    assert list(results.all()) == []
    results.put(FULL)
    flush(results)
    assert results.lookup(KEY) == (FULL,), 'a sound one takes its place'


@given(st.binary(max_size=300))
def test_no_bytes_make_it_do_anything_but_refuse(data: bytes) -> None:
    with pytest.raises(ValueError, match=r'.'):
        decode(data)


def test_an_entry_under_another_name_is_a_miss(results: Results, tmp_path: Path) -> None:
    folder = tmp_path / 'cache/results-v1' / KEY.hex[:2]
    folder.mkdir()
    (folder / f'{KEY.hex}-00000000.json').write_bytes(encode(FULL))
    (folder / f'{digest_of(b"other").hex}-{FULL.entry8}.json').write_bytes(encode(FULL))
    (folder / f'{KEY.hex}-{FULL.entry8}-suspect.json').write_bytes(encode(FULL))
    assert results.lookup(KEY) == ()
    assert len(REPORTED) == 2


def test_links_and_folders_in_the_place_of_entries_are_misses(results: Results, tmp_path: Path) -> None:
    folder = tmp_path / 'cache/results-v1' / KEY.hex[:2]
    folder.mkdir()
    (tmp_path / 'elsewhere').write_bytes(encode(FULL))
    (folder / FULL.file_name).symlink_to(tmp_path / 'elsewhere')
    (folder / EMPTY.file_name).mkdir()
    assert results.lookup(KEY) == ()
    assert len(REPORTED) == 2


# Looking up

def test_an_entry_is_found_before_and_after_it_has_its_name(results: Results) -> None:
    assert results.lookup(KEY) == ()
    results.put(FULL)
    results.put(EMPTY)
    waiting = results.lookup(KEY)
    assert set(map(id, waiting)) == {id(FULL), id(EMPTY)}
    flush(results)
    assert results.lookup(KEY) == waiting
    assert results.lookup(digest_of(b'other')) == ()
    assert set(map(encode, results.all())) == {encode(FULL), encode(EMPTY)}


def test_of_equal_outputs_the_first_is_kept(results: Results) -> None:
    later = dataclasses.replace(FULL, created='2027-01-01T00:00:00Z', seconds=1.0)
    results.put(FULL)
    results.put(later)
    flush(results)
    results.put(later)
    flush(results)
    assert results.lookup(KEY) == (FULL,)
    suspect = dataclasses.replace(FULL, suspect=True)
    results.put(suspect)
    flush(results)
    assert results.lookup(KEY) == (suspect, FULL)


def test_a_batch_that_fails_is_a_miss(results: Results) -> None:
    results.put(FULL)
    results._batch.discard()
    assert [entry for entry in results.lookup(KEY) if entry is not FULL] == []


def test_entries_are_read_only_files(results: Results, tmp_path: Path) -> None:
    results.put(FULL)
    flush(results)
    path = tmp_path / 'cache/results-v1' / KEY.hex[:2] / FULL.file_name
    assert path.stat().st_mode & 0o777 == 0o444
    assert not os.listdir(tmp_path / 'cache/tmp')


def test_many_threads_put_and_look_up(results: Results) -> None:
    entries = [dataclasses.replace(EMPTY, key=digest_of(b'%d' % n)) for n in range(60)]
    failures: list[ResultEntry] = []

    def work(part: list[ResultEntry]) -> None:
        for entry in part:
            results.put(entry)
            if results.lookup(entry.key) != (entry,):
                failures.append(entry)
            results._batch.flush_if_due(7)

    threads = [threading.Thread(target=work, args=(entries[n::3],)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    flush(results)
    assert not failures
    assert {entry.key for entry in results.all()} == {entry.key for entry in entries}


# Choosing

def made(outputs: str, created: str, environment: str = 'here', *, suspect: bool = False) -> ResultEntry:
    ref = ObjectRef(digest_of(outputs.encode()), 1, 'file')
    return ResultEntry(key=KEY, outputs=(('out', ref),), created=created, environment={'python': environment}, suspect=suspect)


EARLY, LATE, AWAY = made('early', '2026-01-02'), made('late', '2026-01-03'), made('away', '2026-01-01', 'there')
HERE = EARLY.environment_digest


def test_the_pinned_then_the_same_environment_then_the_earliest() -> None:
    every = (LATE, EARLY, AWAY)
    assert choose(every, pinned={AWAY.entry8}, environment=HERE) is AWAY
    assert choose(every, pinned={LATE.entry8, AWAY.entry8}, environment=HERE) is LATE
    assert choose(every, environment=HERE) is EARLY
    assert choose(every) is AWAY
    assert choose(every, pinned={'00000000'}, environment=HERE) is EARLY
    assert choose(()) is None


def test_a_suspect_result_is_never_chosen() -> None:
    suspect = made('suspect', '2020', suspect=True)
    assert choose((suspect, LATE), pinned={suspect.entry8}, environment=HERE) is LATE
    assert choose((suspect,)) is None


@given(st.permutations([EARLY, LATE, AWAY, made('late', '2026-01-02'), made('suspect', '2020', suspect=True)]))
def test_the_choice_does_not_depend_on_the_order(entries: list[ResultEntry]) -> None:
    assert choose(entries, environment=HERE) == choose(sorted(entries, key=lambda e: (e.created, e.entry8)), environment=HERE)
