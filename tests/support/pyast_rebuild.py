"""The canonical text of Python code read back into a tree: what shows that nothing was lost on the way."""
from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

_FIELD = re.compile(r''' (\w+)(?:(:)(\d+)|=(b?'(?:[^'\\]|\\.)*'|b?"(?:[^"\\]|\\.)*"|[^ ]+))?''')
_SIGNATURE = re.compile(r'(\w+)([*?]?) (\w+)[,)]')


def rebuild(text: str) -> ast.Module:
    """The tree of a canonical text, every node at line 1, no type comments.  Raises if the text is not of the format."""
    lines = iter(text.splitlines())
    tree = _node(lines)
    assert isinstance(tree, ast.Module)
    assert all(line.startswith('TypeComment ') for line in lines)
    return ast.fix_missing_locations(tree)


def _node(lines: Iterator[str]) -> Any:
    line = next(lines)
    name = re.match(r'[A-Za-z]*', line).group()  # type: ignore[union-attr]
    kind = getattr(ast, name, None)
    if name in ('None', 'True', 'False', 'Ellipsis', '') or kind is None:
        return _value(line)
    node = kind()
    for of, optional, field in _SIGNATURE.findall(kind.__doc__ or ''):
        if field not in ('ctx', 'kind'):
            setattr(node, field, [] if optional == '*' else 0 if of == 'int' else None)
    if name == 'FormattedValue':
        node.conversion = -1
    fields = _FIELD.findall(line, len(name))
    assert len(name) + sum(len(found.group()) for found in _FIELD.finditer(line, len(name))) == len(line), line
    for field, many, count, value in fields:
        setattr(node, field, [_node(lines) for _ in range(int(count))] if many else _value(value) if value else _node(lines))
    if name == 'JoinedStr':
        node.values = [ast.Constant(value=value) if isinstance(value, str) else value for value in node.values]
    return node


def _value(text: str) -> Any:
    if text.startswith(('0x', '-0x', 'inf')):
        number = text.removesuffix('j')
        value = float.fromhex(number) if 'p' in text or number == 'inf' else int(text, 16)
        return complex(0, value) if text.endswith('j') else value
    if text[:1].isupper() and text not in ('None', 'True', 'False', 'Ellipsis'):
        return getattr(ast, text)()
    return ast.literal_eval('...' if text == 'Ellipsis' else text)
