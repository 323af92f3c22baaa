"""What is written as YAML is read back as it was, by the project's own reader and as DVC reads it."""

from __future__ import annotations

import random

import pytest

from mlops_cli import yamlfile
from mlops_cli.adopt.dvc import emit, yaml12

TEXTS = [
    '', ' ', 'a', 'a b', 'a: b', 'a:', ':b', '- x', '-', '--x', '# c', 'a #b', 'a#b', 'yes', 'No', 'on', 'null', '~',
    'true', '1', '-1', '1e3', '0x1', '012', '1_000', '1:30', '.5', '.inf', '2020-01-01', '=', '<<', '...', '---',
    '? a', '&a', '*a', '!t', '%d', '@x', '`x`', '{a}', '[b]', 'a, b', 'a]', "it's", '"q"', 'a\nb', 'a\tb', '\\',
    '\xe9', '\u2028', '\ufeff', '${x}', '\\${x}', '$(ls)', '(a)', 'a:b', 'http://x/y?z=1&w', '|', '>', 'x' * 300,
    'echo "a" > b && c | d', 'E', '1.2.3', '0o7', '+1', 'y', 'n', "'",
]  # fmt: skip


@pytest.mark.parametrize('seed', range(20))
def test_what_is_written_is_read_back(seed: int) -> None:
    rng = random.Random(seed)

    def value(depth: int) -> object:
        kind = rng.random()
        if depth > 3 or kind < 0.6:
            return rng.choice([*TEXTS, 1, -2, 0.5, 1e-7, 1e20, True, False, None])
        if kind < 0.8:
            return [value(depth + 1) for _ in range(rng.randint(0, 4))]
        return {rng.choice(TEXTS): value(depth + 1) for _ in range(rng.randint(0, 4))}

    document = {f'k{number}': value(0) for number in range(12)} | {'cmd': rng.sample(TEXTS, 3), 'outs': [{'a b': {'x': 'y'}}]}
    data = '\n'.join([*emit.block(document, 0), '']).encode()
    assert yamlfile.read(data, 'f').value == document
    assert yaml12.read(data, 'f').value == document


@pytest.mark.parametrize('text', TEXTS)
def test_each_text_alone(text: str) -> None:
    for data in (emit.scalar(text).encode(), f'[{emit.scalar(text, flow=True)}]'.encode()):
        found = yamlfile.read(data, 'f').value
        assert (found if isinstance(found, str) else found[0]) == text
