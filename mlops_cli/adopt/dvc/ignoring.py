"""What .dvcignore files say as lines of a .mlopsignore: what DVC does not see in a folder counts for nothing here either."""

from __future__ import annotations

import re

from mlops_cli.fingerprint.ignore import Ignore, parse_line

HEADER = '# As .dvcignore has it.'
_SPECIAL = re.compile(r'([*?\[\\])')


def text_of(rules: list[tuple[str, Ignore]]) -> str:
    """Empty where nothing is said.  ``rules``: (folder, what its .dvcignore says), those of folders below later."""
    lines = [_line(folder, line) for folder, ignore in rules for line in ignore.lines if parse_line(line) is not None]
    return '\n'.join([HEADER, *dict.fromkeys(lines), '']) if lines else ''


def _line(folder: str, line: str) -> str:
    """A pattern of a folder as one of the project: without a slash it stands for a name anywhere below."""
    if folder == '.':
        return line
    sign, bare = ('!', line[1:]) if line.startswith('!') else ('', line)
    inside = bare.removeprefix('/') if '/' in bare.removesuffix('/') else f'**/{bare}'
    return f'{sign}/{_SPECIAL.sub(_escaped, folder)}/{inside}'


def _escaped(found: re.Match[str]) -> str:
    return f'\\{found[0]}'
