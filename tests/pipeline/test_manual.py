"""The reference page is current, complete, and what it shows is valid."""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.pipeline.load import load, schema
from mlops_cli.pipeline.manual import page
from mlops_cli.yamlfile import read

PAGE = Path(__file__).parent.parent.parent / 'docs' / 'pipeline.md'


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(schema()), 'run: python docs/generate.py'


def described(about: Any, path: str = '') -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(path, schema) of every key that a schema names."""
    if isinstance(about, Mapping):
        for key, below in about.items():
            if key == 'properties':
                for name, one in below.items():
                    yield f'{path}.{name}', one
            if key not in ('examples', 'default'):
                yield from described(below, f'{path}.{key}')
    elif isinstance(about, list):
        for number, below in enumerate(about):
            yield from described(below, f'{path}.{number}')


@pytest.mark.parametrize(('path', 'about'), list(described(schema())), ids=[path for path, _ in described(schema())])
def test_every_key_is_described(path: str, about: Mapping[str, Any]) -> None:
    assert about['title'] and about['description'].endswith('.') and about['examples']
    assert f'`{path.rpartition(".")[2]}`' in PAGE.read_text()


def test_every_form_says_what_it_expects() -> None:
    def forms(about: Any) -> Iterator[Mapping[str, Any]]:
        if isinstance(about, Mapping):
            if 'type' in about or 'anyOf' in about or 'enum' in about or 'const' in about:
                yield about
            for key, below in about.items():
                if key not in ('examples', 'default', 'if'):
                    yield from forms(below)
        elif isinstance(about, list):
            for below in about:
                yield from forms(below)
    missing = [form for form in forms(schema()) if 'expects' not in form and form.get('type') != 'array']
    assert not missing


def test_blocks_of_the_page_are_yaml(tmp_path: Path) -> None:
    blocks = re.findall(r'```yaml\n(.*?)```', PAGE.read_text(), re.DOTALL)
    (tmp_path / 'pipeline.yaml').write_text(blocks[0])
    assert len(load(tmp_path, environ={}).stages) == 5
    for block in blocks[1:]:
        for line in block.splitlines():
            assert isinstance(read(line.encode(), 'block').value, dict)
