"""What Python code means, as digests: format pyast-v1 (docs/formats/pyast.md).  The text that is hashed is made in
pyast_text; here are its digest and the words for what changed.  Reads no file."""
from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.fingerprint.parsing import ALONE, SOURCE_LIMIT

if TYPE_CHECKING:
    from mlops_cli.fingerprint.pyast_text import Section

PREFIX = b'mlops pyast-v1\n'

_NAMELESS = {'imports': 'imports', 'module': 'module-level code', 'docstring': 'docstring of the module'}


def meaning(source: bytes, *, docstrings: bool = True) -> Digest | None:
    """The digest of what a Python file says: comments, layout and line numbers do not count, docstrings do unless told.

    None: this interpreter cannot parse it, or it is too large for that, and its bytes must count instead."""
    text = serialise(source, docstrings=docstrings)
    return None if text is None else digest_of(PREFIX + text)


def parts(source: bytes, *, docstrings: bool = True) -> dict[str, Digest]:
    """The meaning of each part, by name, in order of first appearance: ``normalise``, ``Net`` (a class less its methods
    and inner classes), ``Net.forward``, ``LEARNING_RATE`` (a top-level assignment to one name), ``<imports>``,
    ``<docstring>``, and ``<module>`` for the rest.  Parts of one name are taken together.  Empty where the file cannot
    be parsed."""
    found = sections(source, docstrings=docstrings) or []
    return {section.name: digest_of(PREFIX + section.text) for section in found}


def changed_parts(before: bytes, after: bytes, *, docstrings: bool = True) -> tuple[str, ...]:
    """Phrases such as ``function normalise changed``, in order of position; what is gone stands where it stood.

    Empty where both mean the same, and where one of them cannot be parsed."""
    old, new = sections(before, docstrings=docstrings), sections(after, docstrings=docstrings)
    if old is None or new is None:
        return ()
    was, now = ({section.name: section for section in found} for found in (old, new))
    bare_was, bare_now = ({section.name: section.text for section in sections(source, docstrings=False) or ()}
                          for source in (before, after))
    phrases = []
    for name in _in_order(old, new):
        one, two = was.get(name), now.get(name)
        holder = name.rpartition('.')[0]
        if (one and two and one.text == two.text) or (holder and (holder in was) != (holder in now)):
            continue  # what came or went with its class is not said again
        section = two or one
        assert section is not None
        if bare_was.get(name) == bare_now.get(name):
            phrases.append(_phrase(section, 'docstring'))
        else:
            phrases.append(_phrase(section, 'changed' if one and two else 'added' if two else 'removed'))
    if not phrases and serialise(before, docstrings=docstrings) != serialise(after, docstrings=docstrings):
        return ('order of definitions changed',)
    return tuple(phrases)


def serialise(source: bytes, *, docstrings: bool) -> bytes | None:
    from mlops_cli.fingerprint import pyast_text  # loads Python's parser: what has no code to read need not wait for it

    if len(source) > SOURCE_LIMIT:
        return None
    with ALONE:
        return pyast_text.serialise(source, docstrings=docstrings)


def sections(source: bytes, *, docstrings: bool) -> list[Section] | None:
    from mlops_cli.fingerprint import pyast_text  # as above

    if len(source) > SOURCE_LIMIT:
        return None
    with ALONE:
        return pyast_text.sections(source, docstrings=docstrings)


def _in_order(old: list[Section], new: list[Section]) -> list[str]:
    """All names in the order of the new text; a name that is gone comes after the one it used to follow."""
    names = [section.name for section in new]
    present = set(names)
    previous = -1
    for section in old:
        if section.name in present:
            previous = names.index(section.name)
        else:
            previous += 1
            names.insert(previous, section.name)
    return names


def _phrase(section: Section, verb: str) -> str:
    if section.kind in _NAMELESS:
        return f'{_NAMELESS[section.kind]} changed'
    subject = f'{section.kind} {section.name}'
    return f'docstring of {subject} changed' if verb == 'docstring' else f'{subject} {verb}'
