"""What changed in a long text of words, as in a command: those words, in place of both texts."""

from __future__ import annotations

from collections.abc import Sequence

from mlops_cli.core.patterns import pattern

MOST_WORDS = 400  # of a text: comparing takes time with the square of them
MOST_PLACES = 3  # beyond, both texts as a whole say more
_WORDS = pattern(r'''(?:[^\s'"]|'[^']*'|"(?:[^"\\]|\\.)*"|['"])+''')


def words(text: str) -> list[str]:
    """Its words, quoted blanks inside of them."""
    return _WORDS.findall(text)


def changed_words(before: str, after: str) -> tuple[tuple[str, str], ...]:
    """(words before, words after) of each place that differs, either may be empty; with the option in front of a value.

    Nothing where the texts have too little in common for that, or are too long."""
    old, new = words(before), words(after)
    if not old or not new or max(len(old), len(new)) > MOST_WORDS:
        return ()
    from difflib import SequenceMatcher  # where something was reworded only

    places = [place for place in SequenceMatcher(None, old, new, autojunk=False).get_opcodes() if place[0] != 'equal']
    same = len(old) - sum(place[2] - place[1] for place in places)
    if not places or len(places) > MOST_PLACES or same < max(1, len(old) // 3):
        return ()
    return tuple(_place(old, new, place) for place in places)


def _place(old: Sequence[str], new: Sequence[str], place: tuple[str, int, int, int, int]) -> tuple[str, str]:
    _, start, end, begin, stop = place
    value = not any(part[:1] and part[0].startswith('-') for part in (old[start:end], new[begin:stop]))
    if start and begin and value and old[start - 1].startswith('-') and '=' not in old[start - 1]:
        start, begin = start - 1, begin - 1
        option = old[start]
        before, after = ' '.join(old[start:end]), ' '.join(new[begin + 1 : stop])
        return before, after if after and end > start + 1 else f'{option} {after}'.strip()
    return ' '.join(old[start:end]), ' '.join(new[begin:stop])
