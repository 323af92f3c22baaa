"""Globs of dependencies as regular expressions over whole paths, agreeing with what Workspace.glob finds."""

from __future__ import annotations

from mlops_cli.core.patterns import pattern
from mlops_cli.fingerprint.ignore import translate

WILD = pattern(r'[*?\[]')


def is_glob(text: str) -> bool:
    return WILD.search(text) is not None


def glob_pattern(pattern: str) -> str:
    """``**`` stands for any folders, also none; ``*``, ``?`` and ``[..]`` stay within a name and do not match a leading dot.

    Of a part that git's syntax cannot read nothing matches."""
    parts = pattern.split('/')
    expression = ''
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == '**':
            expression += r'(?:(?!\.)[^/]+/)*' + (r'(?!\.)[^/]+' if last else '')
            continue
        one = translate(part)
        hidden = '' if part.startswith('.') else r'(?!\.)'
        expression += hidden + ('(?!)' if one is None else one) + ('' if last else '/')
    return expression
