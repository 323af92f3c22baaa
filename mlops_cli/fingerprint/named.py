"""The paths that the words of a command may name.  Looks at no disk."""
from __future__ import annotations

import os

from mlops_cli.core.patterns import pattern

WORD_LIMIT = 4096  # characters; no longer word names a file
_NUMBER = pattern(r'[0-9.]+(?:[eE][+-]?[0-9]+)?\Z')


def named(text: str, folder: str) -> list[str]:
    """The absolute paths that the text of a word may name."""
    if len(text) > WORD_LIMIT:
        return []
    texts = (text, text.partition('=')[2]) if '=' in text else (text,)
    return [joined(folder, each) for each in texts if each and each[0] != '-' and not _NUMBER.match(each)]


def joined(folder: str, path: str) -> str:
    """An absolute path without ``.``, ``..`` and doubled slashes."""
    if not path or path[0] in './' or path[-1] == '/' or '/.' in path or '//' in path:
        return os.path.normpath(os.path.join(folder, path))
    return f'{folder}/{path}'
