"""Plain values as YAML that a person would write.  What could be read as something else is quoted."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from mlops_cli.core.scalars import plain_scalar

WIDTH = 100
_PLAIN = re.compile(r'[A-Za-z0-9_./$(<=+-][^\n\t\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]*')
_UNSEEN = re.compile(r'[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]')
_OLD = re.compile(r'(?i)y|n|yes|no|on|off|true|false|null|~|[-+]?[0-9][0-9_:.]*|=|<<|[-+.0-9].*[0-9].*')


def scalar(value: Any, *, flow: bool = False) -> str:
    """One value in one line."""
    if isinstance(value, str):
        return value if is_plain(value, flow) else _quoted(value)
    if isinstance(value, list):
        return f'[{", ".join(scalar(one, flow=True) for one in value)}]'
    if isinstance(value, Mapping):
        return '{' + ', '.join(f'{scalar(key, flow=True)}: {scalar(one, flow=True)}' for key, one in value.items()) + '}'
    if isinstance(value, float) and not math.isfinite(value):
        return no_number(value)
    return json.dumps(value, allow_nan=False, default=str)


def no_number(value: float) -> str:
    """As YAML writes what no JSON holds; no pipeline.yaml takes it but as a text."""
    return '.nan' if math.isnan(value) else '.inf' if value > 0 else '-.inf'


def _quoted(text: str) -> str:
    return _UNSEEN.sub(lambda found: f'\\u{ord(found[0]):04x}', json.dumps(text, ensure_ascii=False))


def is_plain(text: str, flow: bool) -> bool:
    """Whether text needs no quotes, to a reader of YAML 1.1 neither."""
    if not _PLAIN.fullmatch(text) or _OLD.fullmatch(text) or text != text.strip():
        return False
    if ': ' in text or ' #' in text or text.endswith(':') or text[:2] in ('- ', '? ') or text in ('-', '---', '...'):
        return False
    if text.startswith(('---', '...')) or (flow and any(sign in text for sign in '[]{},')):
        return False
    try:
        return plain_scalar(text) == text
    except ValueError:
        return False


def _nested(value: Mapping[str, Any]) -> bool:
    return any(isinstance(below, dict | list) for below in value.values())


def block(value: Mapping[str, Any], indent: int) -> list[str]:
    """A mapping in lines, each value in one line where it fits."""
    lines: list[str] = []
    pad = ' ' * indent
    for key, one in value.items():
        name = f'{pad}{scalar(key)}:'
        short = scalar(one)
        whole = f'{name} {short}'
        if isinstance(one, Mapping) and one and (len(whole) > WIDTH or _nested(one)):
            lines += [name, *block(one, indent + 2)]
        elif isinstance(one, list) and one and (len(whole) > WIDTH or key in ('cmd', 'outs', 'metrics', 'plots')):
            lines += [name, *(f'{pad}- {scalar(item)}' for item in one)] if key != 'foreach' else [whole]
        else:
            lines.append(whole)
    return lines
