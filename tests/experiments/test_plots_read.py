"""Plot files read as tables and pictures, and refused with their place."""

from __future__ import annotations

import math
import struct
import zlib

import pytest

from mlops_cli.core.errors import UserError
from mlops_cli.experiments import plots_read
from mlops_cli.experiments.plots_read import drawable, read_picture, read_table


def png(width: int, height: int) -> bytes:
    """A real picture of one colour, or for huge sizes at least a real head of one."""
    rows = zlib.compress(b''.join(b'\0' + b'\x40' * width for _ in range(height))) if width * height < 10_000 else b''

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    head = chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0))
    return b'\x89PNG\r\n\x1a\n' + head + chunk(b'IDAT', rows) + chunk(b'IEND', b'')


@pytest.mark.parametrize(
    ('data', 'path'),
    [
        (b'step,loss\n1,0.5\n2,0.25\n', 'p.csv'),
        (b'\xef\xbb\xbfstep,loss\r\n1,0.5\r\n\r\n2,0.25\r\n', 'p.csv'),
        (b'step\tloss\n1\t0.5\n2\t0.25', 'p.TSV'),
        (b'step\tloss\n1\t0.5\n2\t0.25', 'p.csv'),
        (b'step;loss\n1;0.5\n2;0.25\n', 'p.csv'),
        (b'\xef\xbb\xbf\r\nstep;loss\r\n1; 0,5\r\n2;0,25\r\n', 'p.csv'),
        (b'step;loss\r1;5e-1\r2;,25e0\r', 'p.csv'),
        (b'[{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]', 'p.json'),
        (b'{"title": "x", "train": {"rows": [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]}}', 'p.json'),
        (b'{"step": [1, 2], "loss": [0.5, 0.25], "note": "x"}', 'p.json'),
        (b'{"step": 1, "loss": 0.5}\n\n{"step": 2, "loss": 0.25}\n', 'p.jsonl'),
    ],
)
def test_every_kind_of_file_is_the_same_table(data: bytes, path: str) -> None:
    found = read_table(data, path)
    assert found.rows == 2 and dict(found.columns) == {'step': (1.0, 2.0), 'loss': (0.5, 0.25)}


def test_what_cells_hold() -> None:
    found = read_table(b'a,b,c,d,e,f\n1,nan, inf,,x y,1_000\n', 'p.csv').columns
    assert found['a'] == (1.0,) and found['c'] == (math.inf,) and found['d'] == (None,) and found['e'] == ('x y',)
    assert isinstance(found['b'][0], float) and math.isnan(found['b'][0])
    assert found['f'] == ('1_000',)  # a number for Python alone
    rows = read_table(b'[{"a": NaN, "b": true, "c": {"d": 1, "e": [2]}}, {"a": -Infinity}]', 'p.json').columns
    assert list(rows) == ['a', 'b', 'c.d'] and rows['b'] == ('true', None) and rows['c.d'] == (1.0, None)


def test_quoted_cells_hold_anything() -> None:
    found = read_table(b'name,n\n"a, ""b""\nc",1\n', 'p.csv').columns
    assert found['name'] == ('a, "b"\nc',)


@pytest.mark.parametrize(
    ('data', 'columns'),
    [
        (b'a,b;c\n1,2\n', {'a': (1.0,), 'b;c': (2.0,)}),  # as many of both: commas
        (b'"a,b",c;d\n1,2\n', {'a,b': (1.0,), 'c;d': (2.0,)}),
        (b'a;"b, c, d"\n1;2\n', {'a': (1.0,), 'b, c, d': (2.0,)}),
        (b'a\n1\n', {'a': (1.0,)}),
        (b'a\tb;c\td\n1\t2\t3\n', {'a': (1.0,), 'b;c': (2.0,), 'd': (3.0,)}),
    ],
)
def test_the_separator_is_what_gives_the_header_most_columns(data: bytes, columns: dict[str, tuple[float, ...]]) -> None:
    assert dict(read_table(data, 'p.csv').columns) == columns


def test_a_decimal_comma_counts_where_all_of_a_column_have_it() -> None:
    found = read_table(b'a;b;c;d;e\n1,5;1,5;1,5;1.234,5;nan\n;2.5;x;2;1,5\n-2;3;;3;INF\n', 'p.csv').columns
    assert found['a'] == (1.5, None, -2.0)
    assert found['b'] == ('1,5', 2.5, 3.0) and found['c'] == ('1,5', 'x', None) and found['d'] == ('1.234,5', 2.0, 3.0)
    assert [str(one) for one in found['e']] == ['nan', '1.5', 'inf']
    assert read_table(b'a\tb\n1,5\t2\n', 'p.tsv').columns['a'] == ('1,5',)  # thousands, as likely
    bare = read_table(b'1,5;2,5;3,5\n4;5,0;6\n', 'p.csv', header=False).columns
    assert dict(bare) == {'0': (1.5, 4.0), '1': (2.5, 5.0), '2': (3.5, 6.0)}
    assert list(read_table(b'1;2,3;4,5;6\n', 'p.csv', header=False).columns) == ['0', '1', '2', '3']


def test_without_a_header_columns_are_counted() -> None:
    assert dict(read_table(b'1,2\n3,4\n', 'p.csv', header=False).columns) == {'0': (1.0, 3.0), '1': (2.0, 4.0)}


def test_the_list_that_has_the_columns_is_meant() -> None:
    data = b'{"roc": [{"fpr": 0, "tpr": 0}], "calibration": [{"p": 1}, {"p": 2}]}'
    assert list(read_table(data, 'p.json').columns) == ['p']
    assert list(read_table(data, 'p.json', wanted=['fpr']).columns) == ['fpr', 'tpr']


@pytest.mark.parametrize(
    ('data', 'path', 'line', 'words'),
    [
        (b'', 'p.csv', 0, 'the file is empty'),
        (b'a,b\n', 'p.csv', 0, 'a header and no rows'),
        (b'a,b\n1,2\n3\n', 'p.csv', 3, 'a row has 1 cell, the first row has 2'),
        (b'a;b\n1;2\n3\n', 'p.csv', 3, 'a row has 1 cell, the first row has 2'),
        (b'a,a\n1,2\n', 'p.csv', 1, "two columns are called 'a'"),
        (b'a,b\n1,"2\n', 'p.csv', 2, 'not CSV'),
        (b'a,b\n1,\xff\n', 'p.csv', 2, 'not UTF-8'),
        (b'a\n"' + b'x' * 200_000 + b'"\n', 'p.csv', 2, 'not CSV: field larger'),
        (b'[1, 2', 'p.json', 1, 'not JSON'),
        (b'{"a": 1}', 'p.json', 0, 'no list of objects in it'),
        (b'[{"a": 1}, 2]', 'p.json', 0, 'no list of objects in it'),
        (b'{"a": 1}\n{"a"\n', 'p.jsonl', 2, 'not JSON'),
        (b'{"a": 1}\n[2]\n', 'p.jsonl', 0, 'row 2 is no object'),
        (b'\n', 'p.jsonl', 0, 'no rows in it'),
        (b'[' * 5000, 'p.json', 1, ''),
    ],
)
def test_what_is_no_table_is_told_with_its_line(data: bytes, path: str, line: int, words: str) -> None:
    with pytest.raises(UserError) as told:
        read_table(data, path)
    assert words in told.value.message
    assert told.value.where is not None and told.value.where.line == line


def test_a_huge_file_is_refused_by_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots_read, 'LIMIT', 100)
    with pytest.raises(UserError, match='too large for a plot'):
        read_table(b'a\n' + b'1\n' * 100, 'p.csv')
    with pytest.raises(UserError, match='too large to show'):
        read_picture(png(4, 4) + b'\0' * 100, 'p.png')


@pytest.mark.parametrize('path', ['p.csv', 'p.jsonl'])
def test_so_many_rows_are_refused(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots_read, 'ROWS', 3)
    with pytest.raises(UserError, match='more than 3 rows, too large for a plot'):
        read_table((b'a\n' if path == 'p.csv' else b'') + b'{"a":1}\n' * 5, path)


def test_only_so_many_columns_are_looked_at() -> None:
    names = ','.join(f'c{number}' for number in range(2000))
    assert len(read_table(f'{names}\n{",".join("1" * 2000)}\n'.encode(), 'p.csv').columns) == plots_read.COLUMNS


def test_numbers_that_cannot_be_drawn() -> None:
    assert drawable(1.5) == 1.5
    assert all(math.isnan(drawable(one)) for one in (math.inf, -math.inf, math.nan, None, 'x', 1.7e308))


# Pictures


@pytest.mark.parametrize(
    ('data', 'path', 'media', 'size'),
    [
        (png(8, 4), 'p.png', 'image/png', (8, 4)),
        (b'\xff\xd8\xff\xe0\0\4ab\xff\xc0\0\x0b\x08\0\x04\0\x08', 'p.jpg', 'image/jpeg', (8, 4)),
        (b'GIF89a\x08\0\x04\0', 'p.gif', 'image/gif', (8, 4)),
        (b'RIFF\0\0\0\0WEBPVP8 ', 'p.webp', 'image/webp', None),
        (b'<?xml version="1.0"?>\n<!-- x -->\n<svg xmlns="http://www.w3.org/2000/svg"/>', 'p.svg', 'image/svg+xml', None),
        (b'<s:svg xmlns:s="http://www.w3.org/2000/svg"/>', 'p.svg', 'image/svg+xml', None),
    ],
)
def test_pictures(data: bytes, path: str, media: str, size: tuple[int, int] | None) -> None:
    found = read_picture(data, path)
    assert (found.media, found.size, found.data) == (media, size, data)


@pytest.mark.parametrize('path', ['p.png', 'p.jpg', 'p.jpeg', 'p.gif', 'p.webp', 'p.svg'])
@pytest.mark.parametrize('data', [b'', b'hello', b'<html><script>alert(1)</script></html>', b'\x89PNG\r\n\x1a\n'])
def test_what_is_not_what_its_name_says(path: str, data: bytes) -> None:
    with pytest.raises(UserError, match=r'named \.\w+, but it holds no'):
        read_picture(data, path)


def test_pictures_that_would_fill_a_browser() -> None:
    with pytest.raises(UserError, match='40,000 x 40,000 pixels'):
        read_picture(png(40_000, 40_000), 'p.png')
    with pytest.raises(UserError, match='pixels'):
        read_picture(png(0, 5), 'p.png')
