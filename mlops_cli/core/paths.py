"""Paths and patterns that people write: normalised, or refused with the reason.  Looks at text, never at a disk.

Every path is relative to some folder of the project, POSIX, and stays inside the project.  Errors are ValueErrors whose
text completes a sentence that starts with the path: ``"../x" leaves the project``.
"""
from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from fnmatch import translate

from mlops_cli.core.patterns import pattern

# Most paths: nothing in them can be special, so one match settles it.
_PLAIN = re.compile(r'[A-Za-z0-9_+=,@%-][A-Za-z0-9_.+=,@%-]{0,200}(?:/[A-Za-z0-9_+=,@%-][A-Za-z0-9_.+=,@%-]{0,200}){0,15}\Z')
_ONE_WORD = pattern(r'[A-Za-z0-9_./+=,@%:][A-Za-z0-9_./+=,@%:~-]*\Z')  # a pin's name has a ~, which is special only in front
_CONTROL = pattern('[\x00-\x1f\x7f-\x9f\u2028\u2029]')
_PATTERN = pattern(r'[*?\[]')
_SET = pattern(r'\[!?\]?[^\]]*\]')
_RESERVED = ('.git', '.mlops')
_SHORT_NAMES = pattern(r'(?:git|mlops)~[0-9]+\Z')  # what Windows and some network disks call them too
_COMPONENT_BYTES = 255
_PATH_BYTES = 4095


def check_path(text: str) -> str:
    """The normalised path: no ``./``, no doubled or trailing slash; the folder itself is ``.``.

    Raises ValueError with the reason: empty, absolute, ``..``, NUL or control characters, backslash, not NFC, a component
    that some file system takes for ``.git`` or ``.mlops``, too long."""
    if _PLAIN.match(text):
        return text
    if any(part == '..' for part in text.split('/')):
        raise ValueError('contains ".."')
    return join_path('.', text)


def shell_word(path: str) -> str:
    """A path as a person types it behind a command: quoted where a shell would read more into it, and never an option."""
    if _ONE_WORD.match(path):
        return path
    import shlex  # for few

    return shlex.quote(f'./{path}' if path.startswith('-') else path)


def join_path(folder: str, text: str) -> str:
    """``text`` as written in ``folder`` (``.``, or a path that is checked already), relative to the project.

    ``..`` is allowed as long as the result stays inside.  Raises ValueError as :func:`check_path` does."""
    if folder == '.' and _PLAIN.match(text):
        return text
    _check_text(text)
    parts = [] if folder == '.' else folder.split('/')
    for part in text.split('/'):
        if part == '..':
            if not parts:
                raise ValueError('leaves the project')
            parts.pop()
        elif part not in ('', '.'):
            check_component(part)
            parts.append(part)
    path = '/'.join(parts)
    if len(path) > _PATH_BYTES // 4 and len(path.encode(errors='surrogateescape')) > _PATH_BYTES:
        raise ValueError(f'is longer than {_PATH_BYTES} bytes')
    return path or '.'


def check_component(name: str) -> None:
    """One name between slashes.  Raises ValueError for what a file system may take for ``.git``, ``.mlops``, or cannot hold."""
    if len(name) > _COMPONENT_BYTES // 4 and len(name.encode(errors='surrogateescape')) > _COMPONENT_BYTES:
        raise ValueError(f'has a name of more than {_COMPONENT_BYTES} bytes')
    if name.isascii() and name[0] != '.' and '~' not in name:
        return
    folded = _fold(name)
    if folded in _RESERVED or _SHORT_NAMES.match(folded):
        owner = 'git' if 'git' in folded else 'mlops'
        raise ValueError(f'leads into .{owner}, which belongs to {owner}')


def _fold(name: str) -> str:
    """As the most forgiving file systems compare: no case, no invisible characters, no trailing dots or stream names."""
    visible = ''.join(
        character for character in name
        if unicodedata.category(character) != 'Cf' and not '\ufe00' <= character <= '\ufe0f' and character != '\u034f'
    )
    return visible.partition(':')[0].rstrip('. ').casefold()


def _check_text(text: str) -> None:
    if not text:
        raise ValueError('is empty')
    if text[0] == '/':
        raise ValueError('is absolute')
    if found := _CONTROL.search(text):
        raise ValueError(f'contains the control character U+{ord(found.group()):04X}')
    if '\\' in text:
        raise ValueError('contains a backslash; folders are separated by "/"')
    if not unicodedata.is_normalized('NFC', text):
        raise ValueError('is not in Unicode normal form C, so that another machine may not find it')


def is_pattern(text: str) -> bool:
    """Whether a dependency is a glob rather than one path."""
    return bool(_PATTERN.search(text))


def join_pattern(folder: str, text: str) -> str:
    """As :func:`join_path`, for a glob: ``*``, ``?``, ``[a-z]``, ``[!a-z]`` within a name, ``**`` for any folders.

    Raises ValueError too for an unclosed ``[`` and for ``**`` beside other characters."""
    for part in text.split('/'):
        if '**' in part and part != '**':
            raise ValueError('has "**" beside other characters; between slashes it stands alone')
        if '[' in _SET.sub('', part):
            raise ValueError('has a "[" that nothing closes')
        if '[^' in part or '[[' in part:
            raise ValueError('has "[^" or "[[", which mean one thing here and another there; "[!a-z]" is all but a to z')
    return join_path(folder, text)


def inside(path: str, folder: str) -> bool:
    """Whether ``path`` is ``folder`` or below it; ``.`` holds everything."""
    return path == folder or folder == '.' or path.startswith(folder + '/')


def ancestors(path: str) -> Iterator[str]:
    """The folders above a path, nearest first, without ``.``."""
    while (cut := path.rfind('/')) > 0:
        path = path[:cut]
        yield path


class Pattern:
    """A checked glob, taken apart for questions about paths that need not exist yet."""

    def __init__(self, text: str) -> None:
        """``text``: as :func:`join_pattern` returns it."""
        self.text = text
        self.parts = tuple(None if part == '**' else re.compile(translate(part)) for part in text.split('/'))

    def reaches(self, path: str) -> bool:
        """Whether the pattern matches ``path``, or can match something below it."""
        states = self._closure({0})
        for name in path.split('/'):
            following: set[int] = set()
            for state in states:
                if state < len(self.parts):
                    part = self.parts[state]
                    if part is None:
                        following.add(state)
                    elif part.match(name):
                        following.add(state + 1)
            states = self._closure(following)
            if not states:
                return False
        return True

    def _closure(self, states: set[int]) -> set[int]:
        found = set(states)
        for state in states:
            while state < len(self.parts) and self.parts[state] is None:
                state += 1
                found.add(state)
        return found
