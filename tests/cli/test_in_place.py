"""``import --in-place``: digests now, no copy until push; every other command knows that the cache has none."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlops_cli.core.digest import digest_of
from mlops_cli.run.inplace import InPlace
from mlops_cli.store.objects import Damaged
from mlops_cli.store.packs import SMALL
from tests.support.project import Project

LARGE = os.urandom(SMALL + 1000)


@pytest.fixture
def one(project: Project) -> Project:
    project.write('pipeline.yaml', 'stages:\n  count: {cmd: ls images > n.txt, deps: [images], outs: [n.txt]}\n')
    for number in range(5):
        project.write(f'images/{number % 2}/{number}.png', f'image {number}\n')
    project.write('images/large.bin', LARGE)
    project.mlops('import', '--in-place', 'images', '--licence', 'CC0')
    return project


def cached(project: Project) -> int:
    return sum(path.stat().st_size for path in (project.path / '.mlops/cache/objects-v1').rglob('*') if path.is_file())


def test_no_copy_and_nothing_is_wrong(one: Project) -> None:
    record = json.loads(one.read('.mlops/data/images.json'))
    assert record['in_place'] is True and record['licence'] == 'CC0' and 'source' not in record
    assert 0 < cached(one) < 1000  # the lists of the folders
    assert one.mlops('status', '--json').json['data'] == []
    one.mlops('run')
    assert one.mlops('status', '--exit-code').code == 0
    assert one.mlops('verify').code == 0
    assert one.mlops('checkout').code == 0
    one.commit('all')
    one.mlops('gc', '--grace', '0')
    assert one.mlops('status', '--json').json['data'] == [] and 'in place' in one.mlops('data', 'show', 'images').out
    assert 'damaged' not in one.mlops('doctor', code=None).out


def test_a_trial_has_its_input(one: Project) -> None:
    one.write('params.yaml', 'n: 1\n')
    one.write('pipeline.yaml', 'stages:\n  count: {cmd: ls images > n.txt, deps: [images], params: [n], outs: [n.txt]}\n')
    one.mlops('run')
    one.mlops('run', '--set', 'n=2')


def test_what_changed_and_what_is_gone(one: Project) -> None:
    one.write('images/0/new.png', 'new')
    one.write('images/0/0.png', 'other')
    text = one.mlops('status').out
    assert '1 new, 1 changed; recorded in place' in text and 'mlops import --in-place images' in text
    assert 'not in this cache' in one.mlops('checkout', 'images', code=None).err
    one.mlops('import', '--in-place', 'images')
    assert one.mlops('status', '--json').json['data'] == [] and cached(one) < 2000
    assert json.loads(one.read('.mlops/data/images.json'))['licence'] == 'CC0'
    one.mlops('add', 'images')
    assert 'in_place' not in json.loads(one.read('.mlops/data/images.json')) and cached(one) > SMALL


def test_a_push_reads_where_it_lies(one: Project, tmp_path: Path) -> None:
    one.mlops('remote', 'add', 'origin', str(tmp_path / 'remote'))
    before = cached(one)
    assert one.mlops('push', '--verify', '--json').json['missing'] == []
    assert cached(one) == before
    one.commit('all')
    one.git('clone', '-q', str(one.path), str(tmp_path / 'two'))
    two = Project(tmp_path / 'two')
    two.mlops('--yes', 'pull', 'images')
    assert (two.path / 'images/large.bin').read_bytes() == LARGE and two.read('images/1/3.png') == 'image 3\n'
    assert two.mlops('status', '--json').json['data'] == []


@pytest.mark.parametrize('path', ['images/1/3.png', 'images/large.bin'])
def test_what_is_no_longer_that_is_not_sent(one: Project, tmp_path: Path, path: str) -> None:
    one.mlops('remote', 'add', 'origin', str(tmp_path / 'remote'))
    content = bytearray((one.path / path).read_bytes())
    content[0] ^= 1
    one.write(path, bytes(content))
    said = one.mlops('push', code=1)
    assert 'missing   images: 1 object' in said.out and (one.path / path).read_bytes() == content
    name = digest_of(bytes(content)).hex
    assert not [found for found in (tmp_path / 'remote').rglob('*') if name[2:] in found.name]
    (one.path / path).unlink()
    assert 'missing' in one.mlops('push', code=1).out


def test_what_is_written_to_while_it_is_sent(one: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was sent under the name may be something else: it is taken back."""
    from mlops_cli.run.remotes import recorded_here
    from mlops_cli.store.bucket import FolderBucket
    from mlops_cli.store.depot import Depot
    from mlops_cli.store.transfer import Told, push

    class Forgetful:
        def get(self, pack: object) -> None: ...
        def put(self, pack: object, data: bytes) -> None: ...

    depot = Depot(FolderBucket(str(tmp_path / 'remote')), Forgetful())  # type: ignore[arg-type]
    bench = one.open()
    put = depot.put_large

    def slow(*arguments: object) -> None:
        put(*arguments)  # type: ignore[arg-type]
        one.write('images/large.bin', LARGE[::-1])

    monkeypatch.setattr(depot, 'put_large', slow)
    try:
        told = Told()
        push(InPlace(bench), depot, recorded_here(bench), told)
        assert set(told.missing) == {digest_of(LARGE)}
        assert not [found for found in (tmp_path / 'remote').rglob('*') if digest_of(LARGE).hex[2:] == found.name]
        with pytest.raises(Damaged):
            InPlace(bench).read(digest_of(LARGE))
    finally:
        bench.close()


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['nothing'], 'does not exist'),
        (['/etc'], ''),
        (['n.txt'], 'made by stage'),
        (['https://x/y', 'z'], 'one argument'),
        ([], 'one argument'),
    ],
)
def test_refused(one: Project, words: list[str], said: str) -> None:
    assert said in one.mlops('import', '--in-place', *words, code=2).err


def test_threads_that_ask_at_once_all_find_what_there_is(one: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first to ask has looked at one file only when the second asks."""
    from mlops_cli.run import inplace

    files, asked = inplace._files, threading.Event()

    def slow(*arguments: object) -> Iterator[object]:
        for found in files(*arguments):  # type: ignore[arg-type]
            yield found
            asked.set()
            time.sleep(0.02)

    monkeypatch.setattr(inplace, '_files', slow)
    place = InPlace(one.open())
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(place.read, digest_of(b'image 4\n'))
        assert asked.wait(10)
        assert place.read(digest_of(LARGE)) == LARGE and first.result() == b'image 4\n'
