"""TOML within limits, each mistake with its place."""
from __future__ import annotations

import time

import pytest

from mlops_cli.core.strictoml import TomlError, loads


def test_what_is_right_is_read() -> None:
    text = 'a.b = 1.5\n[c."d.e"]\nf = ["' + 'x.' * 200 + '", {g = 1}]\n[[h]]\n'
    assert loads(text.encode())['c']['d.e']['f'][1] == {'g': 1}


@pytest.mark.parametrize(
    ('text', 'message', 'line', 'column'),
    [
        (b'a = 1\nb = "\xff"\n', 'not UTF-8', 2, 6),
        (b'a = 1\nb = \n', 'Invalid value', 2, 5),
        (b'a = 1\nb = "x', 'Unterminated string, and there the file ends', 2, 7),
        (b'a = 1\n' + b'a.' * 20_000 + b'b = 1\n', 'a key of more than 64 parts', 2, 1),
        (b'[' + b'a . ' * 20_000 + b'b]\n', 'a key of more than 64 parts', 1, 1),
        (b'x = {' + b'"a".' * 20_000 + b'b = 1}\n', 'a key of more than 64 parts', 1, 1),
        (b'a = ' + b'[' * 50_000, 'too deeply nested', 0, 0),
        (b'a = 1\nb = [1,\n ' + b'9' * 100_000 + b']', 'Exceeds the limit', 3, 2),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_at_once(text: bytes, message: str, line: int, column: int) -> None:
    began = time.process_time()
    with pytest.raises(TomlError, match=message) as caught:
        loads(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert time.process_time() - began < 1
