"""What two sets of data share."""

from __future__ import annotations

import os
import random
from importlib.util import find_spec
from pathlib import Path

import pytest

from mlops_cli.checks import overlap
from mlops_cli.core.errors import UserError
from tests.support.project import Project


def opened(path: str) -> int:
    return os.open(path, os.O_RDONLY)


def compared(a: Path, b: Path, *keys: str) -> overlap.Overlap:
    return overlap.of_tables(str(a), str(b), keys, opened, lambda _: None)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_by_key_across_kinds_of_tables(tmp_path: Path) -> None:
    a = write(tmp_path / 'a.csv', 'id,x\n1,one\n1,two\n2,two\n,none\n')
    b = write(tmp_path / 'b.jsonl', '{"id": 1}\n{"id": 3, "x": "two"}\n{"id": 1}\n{"x": null}\n')
    found = compared(a, b, 'id')
    assert (found.keys, found.a, found.b, found.of_a, found.of_b) == (1, 2, 2, 4, 4)
    assert (found.without_a, found.without_b) == (1, 1) and found.examples == [('1', 'row 1', 'row 1')]
    assert compared(a, b, 'x').examples == [('two', 'row 2', 'row 2')]
    assert compared(a, b, 'id', 'x').keys == 0


def test_whole_rows(tmp_path: Path) -> None:
    a = write(tmp_path / 'a.csv', 'id,x\n1,one\n2,two\n')
    assert compared(a, write(tmp_path / 'b.tsv', 'x\tid\ntwo\t2\n')).examples == [('2, two', 'row 2', 'row 1')]
    with pytest.raises(UserError, match="such as 'x'"):
        compared(a, write(tmp_path / 'c.csv', 'id,y\n1,one\n'))
    with pytest.raises(UserError, match="no column 'nothing'"):
        compared(a, a, 'nothing')


def test_parts_on_disk_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(1)
    sides = [[chance.randrange(5000) for _ in range(3000)] for _ in range(2)]
    paths = [write(tmp_path / f'{at}.csv', 'id\n' + ''.join(f'{one}\n' for one in side)) for at, side in enumerate(sides)]
    both = set(sides[0]) & set(sides[1])
    for held in (overlap.HELD, 1000):
        monkeypatch.setattr(overlap, 'HELD', held)
        found = compared(paths[0], paths[1], 'id')
        assert found.keys == len(both)
        assert (found.a, found.b) == tuple(sum(one in both for one in side) for side in sides)
        first = next(at for at, one in enumerate(sides[0]) if one in both)
        assert found.examples[0][:2] == (str(sides[0][first]), f'row {first + 1:,}')


@pytest.mark.skipif(find_spec('duckdb') is None, reason="needs pip install 'mlops-cli[sql]'")
def test_parquet(tmp_path: Path) -> None:
    import duckdb

    path = tmp_path / "it's.parquet"
    target = str(path).replace("'", "''")
    duckdb.connect().execute(f"COPY (SELECT range AS id, 'x' AS \"a {{b}}\" FROM range(100)) TO '{target}'")
    found = compared(write(tmp_path / 'a.csv', 'id\n7\n700\n'), path, 'id')
    assert (found.keys, found.of_b) == (1, 100)


@pytest.fixture
def split(project: Project) -> Project:
    project.write('pipeline.yaml', 'stages: {}\n')
    files = {'a/1.png': 'one', 'a/in/2.png': 'two', 'a/e': '', 'b/1.jpg': 'other', 'b/x.png': 'two', 'b/e2': ''}
    for name, text in files.items():
        project.write(name, text)
    return project


@pytest.mark.parametrize(
    ('by', 'pair'), [('content', ('a/in/2.png', 'b/x.png')), ('stem', ('a/1.png', 'b/1.jpg')), ('name', None)]
)
@pytest.mark.parametrize('tracked', [False, True])
def test_folders(split: Project, by: str, pair: tuple[str, str] | None, tracked: bool) -> None:
    if tracked:
        split.mlops('add', 'a', 'b')
    found = split.mlops('check', 'overlap', 'a', 'b', '--by', by, '--json', code=1 if pair else 0).json
    assert [(one['a'], one['b']) for one in found['examples']] == ([pair] if pair else [])
    assert (found['of_a'], found['of_b'], found['passed']) == (3, 3, pair is None)


@pytest.mark.parametrize(
    ('words', 'code', 'said'),
    [
        (['a', 'a/1.png'], 2, 'one is a folder'), (['a', 'b', '--key', 'x'], 2, '--key is of tables'),
        (['a', 'nothing'], 2, 'not exist'),
        (['a/1.png', 'b/1.jpg'], 2, 'no table'), (['a', 'b', '--by', 'size'], 2, 'none of'), (['a', 'out'], 5, 'leads out'),
        (['x.csv', 'out.csv'], 5, 'leads out'),
    ],
)  # fmt: skip
def test_refused(split: Project, words: list[str], code: int, said: str) -> None:
    (split.path / 'out').symlink_to('/etc')
    (split.path / 'out.csv').symlink_to('/etc/passwd')
    split.write('x.csv', 'a\n1\n')
    assert said in split.mlops('check', 'overlap', *words, code=code).err
