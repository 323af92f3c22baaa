"""The index of what recorded results name: built from the records alone, never wrong when git takes them away and back."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from mlops_cli.core import layout
from mlops_cli.core.clock import ID_ALPHABET
from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.manifest import Entry, Manifest, absent_entry, value_entry
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.paths import Root
from mlops_cli.records.database import Database
from mlops_cli.records.lineage import NAME, TABLES, LineageIndex, Mention, RecordName, RunMention
from mlops_cli.records.pins import Pin
from mlops_cli.records.runs import Run, StageRun
from mlops_cli.store.objects import MissingObject
from mlops_cli.store.results import ResultEntry, encode
from mlops_cli.store.tree import build


def ref(text: str, kind: str = 'file') -> ObjectRef:
    return ObjectRef(digest_of(text.encode()), len(text), kind)  # type: ignore[arg-type]


def pin(read: str, made: str, *, out: str = 'out.bin', path: str = 'in.txt', ref_of: ObjectRef | None = None) -> Pin:
    entries = [
        value_entry('command', 'cmd', {'cmd': f'make {made}', 'shell': '/bin/sh -e'}),
        Entry('data', path, digest_of(read.encode())),
        Entry('code', 'src/a.py', digest_of(b'code')),
        value_entry('param', 'params.yaml:rate', 0.1),
        absent_entry('param', 'params.yaml:gone'),
    ]
    return Pin(Manifest.of(entries), ((out, ref_of or ref(made)),))


class Place:
    """A project's records, written as git would bring them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.objects: dict[Digest, bytes] = {}
        self.warned: list[str] = []
        (path / layout.STAGES).mkdir(parents=True)
        (path / layout.CACHE / layout.RESULTS).mkdir(parents=True)

    def add(self, stage: str, made: Pin) -> str:
        name = made.file_name(stage)
        (self.path / layout.STAGES / name).write_bytes(made.data)
        return name

    def add_result(self, entry: ResultEntry) -> str:
        folder = self.path / layout.CACHE / layout.RESULTS / entry.key.hex[:2]
        folder.mkdir(exist_ok=True)
        (folder / entry.file_name).write_bytes(encode(entry))
        return entry.file_name

    def add_run(self, number: int, *stages: StageRun) -> str:
        random = ''.join(ID_ALPHABET[number // 32**place % 32] for place in range(8))
        identity = f'20261120T1015{number % 60:02}Z-{random}'
        path = self.path / layout.run_record(identity)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Run(identity, '2026-11-20T10:15:22Z', 1.0, 'done', stages).encode())
        return identity

    def read(self, digest: Digest) -> bytes:
        if digest not in self.objects:
            raise MissingObject(digest)
        return self.objects[digest]

    def index(self, *, settled: bool = False, folders: Mapping[str, ObjectRef] | None = None) -> LineageIndex:
        """``settled``: as if every folder had been left alone for long."""
        database = Database(str(self.path / layout.LOCAL / NAME), TABLES, warn=self.warned.append)
        return LineageIndex(
            database,
            Root(str(self.path)),
            str(self.path / layout.CACHE),
            read=self.read,
            settled=lambda _facts: settled,
            folders=(folders or {}).values(),
        )


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield Place(tmp_path / 'project')


def test_inputs_and_outputs_are_found_by_digest_and_by_name(place: Place) -> None:
    record = RecordName('pin', place.add('make', pin('read', 'made')))
    index = place.index()
    assert index.with_digest(digest_of(b'made').hex) == [Mention(record, 'out', 'out.bin')]
    assert index.with_digest(digest_of(b'read').hex[:7]) == [Mention(record, 'data', 'in.txt')]
    assert index.with_name('src/a.py') == [Mention(record, 'code', 'src/a.py')]
    assert index.below('params.yaml:') == [Mention(record, 'param', 'params.yaml:rate')]
    assert index.with_digest(digest_of(b'nothing').hex) == []
    assert index.with_name('out') == [] and index.below('src/') == [Mention(record, 'code', 'src/a.py')]


def test_an_executable_is_found_by_its_bytes_and_as_keys_name_it(place: Place) -> None:
    tool = ref('#!/bin/sh', 'exec')
    place.add('make', pin('read', 'x', ref_of=tool))
    index = place.index()
    assert [mention.role for mention in index.with_digest(tool.digest.hex)] == ['out']
    assert [mention.role for mention in index.with_digest(tool.identity.hex)] == ['out']


def test_results_of_the_cache_count_without_a_pin(place: Place) -> None:
    made = pin('read', 'made')
    document = b'{"schema":"mlops/manifest/v1","entries":[["data","in.txt","%s"],["param","params.yaml:rate","%s",[0.1]]]}' % (
        str(digest_of(b'read')).encode(),
        str(digest_of(b'0.1')).encode(),
    )
    manifest = ObjectRef(digest_of(document), len(document), 'file')
    entry = ResultEntry(made.key, made.outputs, '2026-11-20T10:15:22Z', manifest=manifest)
    name = RecordName('result', place.add_result(entry))
    index = place.index()
    assert [mention.record for mention in index.with_digest(digest_of(b'made').hex)] == [name]
    assert index.with_digest(digest_of(b'read').hex) == []  # the list of inputs is not here
    place.objects[manifest.digest] = document
    other = place.add_result(ResultEntry(made.key, (('out.bin', ref('other')),), '2026-11-20T10:15:22Z', manifest=manifest))
    index = place.index()
    assert index.with_digest(digest_of(b'read').hex) == [Mention(RecordName('result', other), 'data', 'in.txt')]
    assert {found.name for found in index.of_key(made.key.hex[:12])} == {name.name, other}
    rows = (['data', 'in.txt', str(digest_of(b'short'))],)
    short = place.add_result(ResultEntry(made.key, (('out.bin', ref('short')),), '2026-11-20T10:15:22Z', manifest=rows))
    assert place.index().with_digest(digest_of(b'short').hex)[-1] == Mention(RecordName('result', short), 'data', 'in.txt')


def test_runs_are_told_oldest_first(place: Place) -> None:
    made = pin('read', 'made')
    later = place.add_run(7, StageRun('make', 'restored', made.key, made.outs8, 0.0))
    first = place.add_run(
        3, StageRun('make', 'done', made.key, made.outs8, 1.0, 0), StageRun('other', 'failed', made.key, '', 1.0)
    )
    assert place.index().runs_of(made.key, made.outs8) == [
        RunMention(first, 'done', 'make'),
        RunMention(later, 'restored', 'make'),
    ]


def test_runs_that_found_a_result_fresh_are_told_as_such(place: Place) -> None:
    made = pin('read', 'made')
    run = Run(
        '20261120T101522Z-7k2m9q4c', '2026-11-20T10:15:22Z', 1.0, 'done', (), 1, fresh_stages=(('m', made.key, made.outs8),)
    )
    path = place.path / layout.run_record(run.id)
    path.parent.mkdir(parents=True)
    path.write_bytes(run.encode())
    index = place.index()
    assert index.runs_of(made.key, made.outs8) == [RunMention(run.id, 'fresh', 'm')]
    assert index.last_of('m', 5) == [f'{made.key.hex[:16]}-{made.outs8}'] and index.last_of('n', 5) == []


def test_records_come_and_go_as_git_brings_and_takes_them(place: Place) -> None:
    one, two = pin('read', 'one'), pin('read', 'two')
    first, run = place.add('make', one), place.add_run(1, StageRun('make', 'done', one.key, one.outs8, 1.0, 0))
    assert len(place.index().with_name('in.txt')) == 1
    second = place.add('make', two)
    assert {mention.record.name for mention in place.index().with_name('in.txt')} == {first, second}
    kept = (place.path / layout.STAGES / first).read_bytes()
    os.unlink(place.path / layout.STAGES / first)
    record = place.path / layout.run_record(run)
    data = record.read_bytes()
    record.unlink()
    record.parent.rmdir()
    gone = place.index()
    assert [mention.record.name for mention in gone.with_name('in.txt')] == [second]
    assert gone.with_digest(digest_of(b'one').hex) == [] and gone.runs_of(one.key, one.outs8) == []
    (place.path / layout.STAGES / first).write_bytes(kept)
    record.parent.mkdir()
    record.write_bytes(data)
    back = place.index()
    assert {mention.record.name for mention in back.with_name('in.txt')} == {first, second}
    assert [found.run for found in back.runs_of(one.key, one.outs8)] == [run]


def test_folders_that_were_left_alone_are_not_listed_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.add('make', pin('read', 'one'))
    assert len(place.index(settled=True).with_name('in.txt')) == 1
    listed: list[str] = []
    from mlops_cli.records import lineage

    names_in = lineage.names_in
    monkeypatch.setattr(lineage, 'names_in', lambda root, folder: listed.append(folder) or names_in(root, folder))
    assert len(place.index(settled=True).with_name('in.txt')) == 1
    assert layout.STAGES not in listed
    place.add('make', pin('read', 'two'))
    assert len(place.index(settled=True).with_name('in.txt')) == 2
    assert layout.STAGES in listed


def test_a_damaged_record_is_told_and_found_once_it_is_mended(place: Place) -> None:
    made = pin('read', 'made')
    name = place.add('make', made)
    path = place.path / layout.STAGES / name
    path.write_bytes(made.data.replace(b'out.bin', b'out.bim'))
    place.add('make', pin('read', 'sound'))
    index = place.index(settled=True)
    assert len(index.with_name('in.txt')) == 1
    assert len(index.problems) == 1 and name in index.problems[0] and 'damaged pin' in index.problems[0]
    path.write_bytes(made.data)
    mended = place.index(settled=True)
    assert len(mended.with_name('in.txt')) == 2 and mended.problems == []


def test_files_inside_stored_folders_are_found_however_deep(place: Place) -> None:
    inner, nodes = build({'deep/er/file.txt': ref('needle'), 'other.txt': ref('hay')})
    place.objects |= nodes
    place.add('make', pin('read', '', out='data', ref_of=inner))
    index = place.index()
    found = index.holders(digest_of(b'needle'))
    assert (inner.digest, 'deep/er/file.txt') in found and index.searched_all
    assert index.holders(digest_of(b'nowhere')) == []


def test_an_executable_inside_a_folder_is_found_as_keys_name_it(place: Place) -> None:
    tool = ref('#!/bin/sh', 'exec')
    folder, nodes = build({'bin/tool': tool})
    place.objects |= nodes
    place.add('make', pin('read', '', out='data', ref_of=folder))
    index = place.index()
    assert (folder.digest, 'bin/tool') in index.holders(tool.digest)
    assert (folder.digest, 'bin/tool') in index.holders(tool.identity)


def test_tracked_folders_are_looked_into_too_and_what_is_not_here_is_told(place: Place) -> None:
    tracked, nodes = build({'a.txt': ref('needle')})
    index = place.index(folders={'raw': tracked})
    assert index.holders(digest_of(b'needle')) == [] and not index.searched_all
    place.objects |= nodes
    index = place.index(folders={'raw': tracked})
    assert index.holders(digest_of(b'needle')) == [(tracked.digest, 'a.txt')] and index.searched_all


def test_names_that_no_text_can_hold(place: Place) -> None:
    odd = 'data/\udcff "quoted" [1] \U0001f600'
    place.add('make', pin('read', 'made', path=odd))
    assert [mention.path for mention in place.index().with_name(odd)] == [odd]
    assert [mention.path for mention in place.index().below('data/')] == [odd]


def test_a_database_that_is_damaged_or_of_another_version_is_made_anew(place: Place) -> None:
    place.add('make', pin('read', 'made'))
    index = place.index()
    assert len(index.with_name('in.txt')) == 1
    file = place.path / layout.LOCAL / NAME
    file.write_bytes(b'not a database at all' * 100)
    assert len(place.index().with_name('in.txt')) == 1


def test_the_database_lost_in_the_middle_of_a_command(place: Place) -> None:
    place.add('make', pin('read', 'made'))
    index = place.index()
    assert len(index.with_name('in.txt')) == 1
    index._database.close()
    for name in os.listdir(place.path / layout.LOCAL):
        os.unlink(place.path / layout.LOCAL / name)
    assert len(index.with_name('in.txt')) == 1


def test_several_commands_that_build_it_at_once(place: Place) -> None:
    for number in range(200):
        made = pin(f'read {number}', f'made {number}')
        place.add('make', made)
        place.add_run(number, StageRun('make', 'done', made.key, made.outs8, 1.0, 0))
    together = Barrier(6)

    def ask(_number: int) -> tuple[int, int]:
        index = place.index()
        together.wait()
        made = pin('read 7', 'made 7')
        return len(index.with_name('in.txt')), len(index.runs_of(made.key, made.outs8))

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(ask, range(6))) == {(200, 1)}
    assert place.warned == []


def test_nothing_is_recorded(tmp_path: Path) -> None:
    place = Place(tmp_path / 'empty')
    (place.path / layout.STAGES).rmdir()
    index = place.index()
    assert index.with_name('in.txt') == [] and index.with_digest('abcd') == [] and index.problems == []


@pytest.mark.full
def test_ten_thousand_pins_and_runs_answer_at_once(place: Place) -> None:
    """Measured: 2 ms of 11 once built; the bound is for a busy machine."""
    for number in range(10_000):
        made = pin(f'read {number // 10}', f'made {number}')
        place.add('make', made)
        place.add_run(number, StageRun('make', 'done', made.key, made.outs8, 1.0, 0))
    place.index(settled=True).with_name('in.txt')
    begin = time.process_time()
    index = place.index(settled=True)
    found = index.with_digest(digest_of(b'made 5000').hex)
    assert len(found) == 1 and len(index.of_key(pin('read 500', 'made 5000').key.hex)) == 1
    assert time.process_time() - begin < 0.1
