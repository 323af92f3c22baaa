from __future__ import annotations

import pytest

from mlops_cli.job.log import tail


@pytest.mark.parametrize(('data', 'expected'), [
    (b'', ()),
    (b'one', ('one',)),
    (b'one\n', ('one',)),
    (b'one\ntwo\nthree\nfour\n', ('two', 'three', 'four')),
    (b'one\n\n\n', ('one', '', '')),
    (b'\xff\xfe caf\xc3\xa9\n', ('\ufffd\ufffd café',)),
    (b'epoch 1\repoch 2\repoch 3\nend\r\n', ('epoch 3', 'end')),
    (b'50%\r100%\r', ('100%',)),
])
def test_tail(tmp_path, data, expected):
    (tmp_path / 'log').write_bytes(data)
    assert tail(str(tmp_path / 'log'), 3) == expected


def test_a_line_cut_at_its_begin_is_left_out(tmp_path):
    (tmp_path / 'log').write_bytes(b'x' * 1000 + b'\nlast but one\nlast\n')
    assert tail(str(tmp_path / 'log'), 10, max_bytes=30) == ('last but one', 'last')


def test_one_huge_line_shows_its_end(tmp_path):
    (tmp_path / 'log').write_bytes(b'x' * 100_000 + b'end')
    found, = tail(str(tmp_path / 'log'), 10, max_bytes=100)
    assert found == 'x' * 97 + 'end'


def test_characters_cut_in_the_middle(tmp_path):
    (tmp_path / 'log').write_bytes('😀'.encode() * 10)
    assert tail(str(tmp_path / 'log'), 1, max_bytes=6) == ('\ufffd\ufffd😀',)


def test_no_log_and_no_lines(tmp_path):
    assert tail(str(tmp_path / 'none'), 5) == ()
    (tmp_path / 'log').write_text('a\n')
    assert tail(str(tmp_path / 'log'), 0) == ()


def test_links_are_not_followed(tmp_path):
    (tmp_path / 'log').symlink_to('/etc/passwd')
    with pytest.raises(OSError, match='log'):
        tail(str(tmp_path / 'log'), 5)
