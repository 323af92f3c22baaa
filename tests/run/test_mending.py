"""``mlops verify`` on a damaged cache: healed from other copies here; of the rest it is said who needs it, what brings it."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.project import Project

PIPELINE = """\
stages:
  make: {cmd: mkdir d; cp data/x d/x; echo made > d/y; echo said, deps: [data], outs: [d]}
  last: {cmd: cat d/y k.py > out.txt, deps: [d], code: [k.py], params: [n], outs: [out.txt]}
"""


@pytest.fixture
def made(project: Project) -> Project:
    project.init_git()
    project.write('pipeline.yaml', PIPELINE)
    project.write('params.yaml', 'n: 1\n')
    project.write('k.py', 'k = 1\n')
    project.write('data/x', 'tracked\n')
    project.write('data/sub/z', 'tracked too\n')
    project.mlops('add', 'data')
    project.mlops('run')
    return project


def objects(project: Project, cache: str = '.mlops/cache') -> dict[str, Path]:
    """Digest -> path."""
    found = (path for path in (project.path / cache / 'objects-v1').rglob('*') if path.is_file())
    return {f'blake3:{path.parent.name}{path.name}': path for path in found}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes() or b'\0')
    content[0] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def verified(project: Project, *words: str, code: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = project.mlops('verify', '--json', *words, code=code).json
    return found


def holding(project: Project, text: bytes) -> tuple[str, Path]:
    return next((digest, path) for digest, path in objects(project).items() if path.read_bytes() == text)


def test_all_that_the_workspace_and_the_records_still_have_is_healed(made: Project) -> None:
    before = {digest: path.read_bytes() for digest, path in objects(made).items()}
    for path in objects(made).values():
        flip(path)
    found = verified(made)
    assert {row['digest'] for row in found['damaged']} == set(before)
    assert {row['digest']: row['healed_from'] for row in found['damaged'] if row['healed_from'] is None} == {}
    assert found['healed'] == len(before) and found['records'] == []
    assert {digest: path.read_bytes() for digest, path in objects(made).items()} == before
    assert verified(made, code=0)['damaged'] == []
    assert made.mlops('run').code == 0 and made.mlops('logs', 'make').out.endswith('said\n')


def test_only_looking_heals_nothing(made: Project) -> None:
    digest, path = holding(made, b'tracked\n')
    flip(path)
    (row,) = verified(made, '--no-heal')['damaged']
    assert row['digest'] == digest and row['healed_from'] is None and not path.exists()
    assert set(row['data']) == {'data'} and set(row['stages']) == {'make'}


def test_a_stage_that_makes_it_again_is_named_and_does(made: Project) -> None:
    _, path = holding(made, b'made\n')
    flip(path)
    shutil.rmtree(made.path / 'd')
    found = verified(made)
    (row,) = found['damaged']
    assert row['healed_from'] is None and row['stages'] == ['make'] and row['data'] == []
    flip(holding(made, b'made\nk = 1\n')[1])
    said = made.mlops('verify', code=1).out
    assert 'healed from out.txt' in said
    made.mlops('run')
    assert path.read_bytes() == b'made\n' and verified(made, code=0)['damaged'] == []


def test_tracked_data_that_is_nowhere_is_named(made: Project) -> None:
    flip(holding(made, b'tracked too\n')[1])
    shutil.rmtree(made.path / 'data')
    said = made.mlops('verify', code=1).out
    assert 'no copy is here, and tracked data needs it: data' in said
    assert 'To have data again: put a sound copy there, then mlops add' in said
    made.write('data/x', 'tracked\n')
    made.write('data/sub/z', 'tracked too\n')
    made.mlops('add', 'data')
    assert verified(made, code=0)['damaged'] == []


def test_an_edited_file_is_no_copy(made: Project) -> None:
    flip(holding(made, b'tracked too\n')[1])
    made.write('data/sub/z', 'tracked tow\n')
    (row,) = verified(made)['damaged']
    assert row['healed_from'] is None and row['data'] == ['data']


def test_what_was_put_aside_earlier_and_is_sound(made: Project) -> None:
    digest, path = holding(made, b'tracked too\n')
    shutil.rmtree(made.path / 'data')
    aside = made.path / '.mlops/cache/tmp/quarantine' / f'{digest.removeprefix("blake3:")}-x-1'
    aside.parent.mkdir(exist_ok=True)
    shutil.copy(path, aside)
    flip(path)
    (row,) = verified(made)['damaged']
    assert row['healed_from'] == 'what was put aside earlier'
    made.mlops('checkout', 'data')
    assert made.read('data/sub/z') == 'tracked too\n'


def test_the_cache_of_another_worktree(made: Project) -> None:
    made.commit('all')
    other = Project(made.path.parent / 'other')
    other.path.rmdir()
    made.git('worktree', 'add', '-q', str(other.path), '-b', 'other')
    shutil.copytree(made.path / '.mlops/cache', other.path / '.mlops/cache')
    flip(holding(made, b'tracked too\n')[1])
    shutil.rmtree(made.path / 'data')
    (row,) = verified(made)['damaged']
    assert row['healed_from'] == f'the cache {other.path}/.mlops/cache'


@pytest.mark.parametrize('what', ['link', 'folder', 'pipe', 'empty', 'gone'])
def test_whatever_stands_in_its_place(made: Project, what: str) -> None:
    digest, path = holding(made, b'tracked too\n')
    path.unlink()
    match what:
        case 'link':
            path.symlink_to(made.path / 'data/sub/z')
        case 'folder':
            (path / 'x').mkdir(parents=True)
        case 'pipe':
            os.mkfifo(path)
        case 'empty':
            path.touch()
    rows = verified(made, code=0 if what == 'gone' else 1)['damaged']
    assert [(row['digest'], row['healed_from']) for row in rows] == ([] if what == 'gone' else [(digest, 'data/sub/z')])
    assert path.is_file() == (what != 'gone') and not path.is_symlink()


def test_damaged_results_are_put_aside_and_pins_are_named(made: Project) -> None:
    made.commit('all')
    entry = next(path for path in (made.path / '.mlops/cache/results-v1').rglob('*.json'))
    pin = next((made.path / '.mlops/stages').glob('last~*'))
    for path in (entry, pin):
        flip(path)
    found = verified(made)['records']
    named = [Path(row['path']).name for row in found]
    assert named == [entry.name, pin.name] and not entry.exists()
    made.git('checkout', '-q', '--', '.mlops')
    assert verified(made, code=0)['records'] == []
    made.mlops('run')


def test_a_damaged_data_record_ends_it_and_is_named(made: Project) -> None:
    flip(made.path / '.mlops/data/data.json')
    assert '.mlops/data/data.json' in made.mlops('verify', code=1).err


@pytest.mark.parametrize('what', ['folder', 'pipe', 'link'])
def test_a_result_replaced_by_something_else_is_in_nobodys_way(made: Project, what: str) -> None:
    for entry in list((made.path / '.mlops/cache/results-v1').rglob('*.json')):
        entry.unlink()
        match what:
            case 'folder':
                (entry / 'x').mkdir(parents=True)
            case 'pipe':
                os.mkfifo(entry)
            case _:
                entry.symlink_to('/etc/passwd')
    made.mlops('run', '--force', 'make', 'last')
    assert verified(made, code=0)['records'] == []


def test_a_pipeline_that_is_half_written_is_in_nobodys_way(made: Project) -> None:
    flip(holding(made, b'tracked too\n')[1])
    made.write('pipeline.yaml', 'stages: [\n')
    (row,) = verified(made)['damaged']
    assert row['healed_from'] == 'data/sub/z'


def test_a_result_that_the_disk_does_not_give_stays_where_it_is(
    made: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be as good as ever at the next try; what is damaged is put aside."""
    from mlops_cli.cli import app
    from mlops_cli.store import results

    good, bad = sorted(path for path in (made.path / '.mlops/cache/results-v1').rglob('*') if path.is_file())
    bad.chmod(0o644)
    bad.write_bytes(b'x')
    read = results.read_file

    def fails(root: Any, rel: str, limit: int) -> bytes:
        if rel.endswith(good.name):
            raise OSError(errno.EIO, os.strerror(errno.EIO), rel)
        return read(root, rel, limit)

    monkeypatch.setattr(results, 'read_file', fails)
    monkeypatch.chdir(made.path)
    for name, value in made.environ.items():
        monkeypatch.setenv(name, value)
    assert app.run(['verify']) == 1
    said = capsys.readouterr().out
    assert f'  unreadable results-v1/{good.parent.name}/{good.name}: it cannot be read: Input/output error' in said
    assert 'What could not be read was left where it is' in said and 'Damaged results were put aside' in said
    assert good.exists() and not bad.exists()
