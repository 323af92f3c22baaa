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


@pytest.fixture
def shared(project: Project, tmp_path: Path) -> Project:
    """Data in tmp_path/'a share', linked from data/scans."""
    for number in range(5):
        (tmp_path / f'a share/{number % 2}').mkdir(parents=True, exist_ok=True)
        (tmp_path / f'a share/{number % 2}/{number}.tif').write_text(f'scan {number}\n')
    project.write('pipeline.yaml', "stages:\n  count: {cmd: 'cat data/scans/*/* > n.txt', deps: [data/scans], outs: [n.txt]}\n")
    project.mlops('import', '--in-place', '../a share', 'data/scans')
    return project


def test_on_a_shared_disk(shared: Project, tmp_path: Path) -> None:
    assert os.readlink(shared.path / 'data/scans') == str(tmp_path / 'a share') and cached(shared) < 1000
    shared.mlops('run')
    shared.commit('all')
    assert 'scans' not in shared.git('ls-files').replace('.mlops/data/data/scans.json', '')
    assert shared.mlops('status', '--exit-code').code == 0
    assert json.loads(shared.mlops('data', 'list', '--json').out)['rows'][0]['lies_in'] == str(tmp_path / 'a share')
    (tmp_path / 'a share/0/0.tif').write_text('another\n')
    text = shared.mlops('status').out
    assert '1 changed; recorded in place' in text and 'count' in text
    shared.mlops('import', '--in-place', '../a share', 'data/')  # no: its name is another
    assert shared.exists('data/a share')


def test_on_a_shared_disk_again(shared: Project, tmp_path: Path) -> None:
    (tmp_path / 'a share/0/0.tif').write_text('another\n')
    for words in (['data/scans'], ['../a share', 'data/scans']):
        shared.mlops('import', '--in-place', *words)
        assert shared.mlops('status', '--json').json['data'] == []
    shared.mlops('run')
    assert 'another' in shared.read('n.txt')
    shared.write('params.yaml', 'n: 1\n')
    shared.write('pipeline.yaml', shared.read('pipeline.yaml').replace('outs', 'params: [n], outs'))
    shared.mlops('run', '--set', 'n=2')  # in a folder of its own


@pytest.mark.parametrize('what', ['new', 'gone', 'edited', 'below', 'another link'])
def test_what_changes_there_is_seen_by_what_was_said_before(shared: Project, tmp_path: Path, what: str) -> None:
    shared.mlops('run')
    shared.commit('all')
    quick, share = {'MLOPS_QUICK': '1'}, tmp_path / 'a share'
    end = time.monotonic() + 100  # in which nobody touches the folders above for a moment
    while not shared.exists('.mlops/local/answers-v1'):
        assert time.monotonic() < end
        time.sleep(0.1)  # what changed just now may change again unseen, so its state is not kept
        assert 'Up to date' in shared.mlops('status', environ=quick).out
    for _ in range(2):
        assert 'Up to date' in shared.mlops('status', environ=quick).out
    if what == 'another link':
        (tmp_path / 'other').mkdir()
        (shared.path / 'data/scans').unlink()
        (shared.path / 'data/scans').symlink_to(tmp_path / 'other')
        assert 'leads out of the project' in shared.mlops('status', environ=quick, code=5).err
        return
    if what in ('new', 'below'):
        (share / ('1/new.tif' if what == 'below' else 'new.tif')).write_text('new')
    else:
        place = share / '1/3.tif'
        place.unlink() if what == 'gone' else place.write_text('other')
    assert 'Stale, 1' in shared.mlops('status', environ=quick).out


def test_a_colleague_has_it_elsewhere_or_pulls(shared: Project, tmp_path: Path) -> None:
    shared.mlops('run')
    shared.mlops('remote', 'add', 'origin', str(tmp_path / 'remote'))
    shared.mlops('push')
    shared.commit('all')
    shared.git('clone', '-q', str(shared.path), str(tmp_path / 'two'))
    two = Project(tmp_path / 'two')
    assert 'mlops import --in-place WHERE data/scans' in two.mlops('status').out.replace('\n' + ' ' * 22, ' ')
    (tmp_path / 'a share').rename(tmp_path / 'mounted')
    record = two.read('.mlops/data/data/scans.json')
    two.mlops('import', '--in-place', str(tmp_path / 'mounted'), 'data/scans')
    assert two.read('.mlops/data/data/scans.json') == record and two.mlops('status', '--json').json['data'] == []
    assert 'it lies in' in ' '.join(shared.mlops('status').out.split())  # which is not there now
    shared.git('clone', '-q', str(shared.path), str(tmp_path / 'three'))
    three = Project(tmp_path / 'three')
    three.mlops('--yes', 'pull')
    assert not (three.path / 'data/scans').is_symlink() and three.read('data/scans/1/3.tif') == 'scan 3\n'


def test_nothing_is_written_there(shared: Project, tmp_path: Path) -> None:
    shared.mlops('add', 'data/scans')  # a copy in the cache, after all
    (tmp_path / 'a share/0/0.tif').write_text('another\n')
    (tmp_path / 'a share/0/2.tif').unlink()
    there = sorted((path.name, path.read_text()) for path in (tmp_path / 'a share').rglob('*.tif'))
    assert shared.mlops('checkout', 'data/scans', code=None).code
    shared.mlops('checkout', 'data/scans/0/2.tif', code=None)
    assert sorted((path.name, path.read_text()) for path in (tmp_path / 'a share').rglob('*.tif')) == there
    shared.mlops('checkout', '--force', 'data/scans')  # in place of the link
    assert sorted((path.name, path.read_text()) for path in (tmp_path / 'a share').rglob('*.tif')) == there
    assert not (shared.path / 'data/scans').is_symlink() and shared.read('data/scans/0/0.tif') == 'scan 0\n'
    links = [path for path in (shared.path / '.mlops/local/rescue').rglob('*') if path.is_symlink()]
    assert [os.readlink(link) for link in links] == [str(tmp_path / 'a share')]


def test_a_stage_that_makes_it_does_not_make_it_there(shared: Project, tmp_path: Path) -> None:
    made = 'mkdir -p data/scans/0 && echo x > data/scans/0/0.tif'
    shared.write('pipeline.yaml', f'stages:\n  make: {{cmd: {made}, outs: [data/scans]}}\n')
    shared.mlops('run', code=None)
    assert (tmp_path / 'a share/0/0.tif').read_text() == 'scan 0\n'


def test_a_branch_cannot_have_a_link_followed(shared: Project, tmp_path: Path) -> None:
    """Neither by another link, nor by a confirmation of its own."""
    (tmp_path / 'secret').mkdir()
    (tmp_path / 'secret/id_rsa').write_text('key')
    (shared.path / 'data/scans').unlink()
    (shared.path / 'data/scans').symlink_to(tmp_path / 'secret')
    assert 'leads out of the project' in shared.mlops('status', code=5).err
    (shared.path / 'data/scans').unlink()
    (shared.path / 'data/scans').symlink_to(tmp_path / 'a share')
    shared.mlops('status')
    shared.git('add', '-f', '.mlops/local/trust.json')
    assert 'leads out of the project' in shared.mlops('status', code=5).err


def test_many_files_there_are_read_by_many(shared: Project, tmp_path: Path) -> None:
    (tmp_path / 'many').mkdir()
    for number in range(2100):
        (tmp_path / f'many/{number}').write_text(str(number))
    shared.mlops('import', '--in-place', '../many', 'data/many')
    assert '2,100 files' in shared.mlops('data', 'show', 'data/many').out or shared.mlops('status', '--json').json['data'] == []
    (tmp_path / 'large.bin').write_bytes(LARGE)
    shared.mlops('import', '--in-place', '../large.bin', 'data/')
    shared.mlops('add', 'data/large.bin')
    (shared.path / 'data/large.bin').unlink()
    shared.mlops('checkout', 'data/large.bin')
    assert (shared.path / 'data/large.bin').read_bytes() == LARGE


@pytest.mark.parametrize(
    ('where', 'path', 'code', 'said'),
    [
        ('../nothing', 'data/x', 2, 'does not exist'),
        ('..', 'data/x', 5, 'the project lies in'),
        ('/', 'data/x', 5, 'the project lies in'),
        ('pipeline.yaml', 'data/x', 2, 'lies in the project'),
        ('.mlops/cache', 'data/x', 2, 'lies in the project'),
        ('s3://bucket/x', 'data/x', 2, 'a disk of this machine'),
        ('../a share', 'pipeline.yaml', 5, 'already'),
        ('../a share', 'n.txt', 2, 'made by stage'),
        ('../a share', 'data/scans/0', 2, 'lies in data/scans'),
        ('../a share', '.git/hooks', 2, '.git'),
        ('../a share', '.mlops/local/x', 2, '.mlops'),
        ('../a share', '../x', 2, '..'),
    ],
)
def test_what_is_not_linked(shared: Project, where: str, path: str, code: int, said: str) -> None:
    before = shared.read('.mlops/local/trust.json')
    assert said in shared.mlops('import', '--in-place', where, path, code=code).err
    assert shared.read('.mlops/local/trust.json') == before and not shared.exists('data/x')


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['nothing'], 'does not exist'),
        (['/etc'], ''),
        (['n.txt'], 'made by stage'),
        (['https://x/y'], 'one argument'),
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
        assert asked.wait(100)
        assert place.read(digest_of(LARGE)) == LARGE and first.result() == b'image 4\n'
