"""The near name, for hints."""
from __future__ import annotations

from collections.abc import Iterable

SHOWN = 8  # names listed when none is near


def did_you_mean(name: str, names: Iterable[str], *, what: str = 'names here') -> str:
    """``did you mean learning_rate?``, else the names there are, else nothing.  ``what``: how to call the list."""
    from difflib import get_close_matches  # for mistakes only

    known = sorted(set(names))
    folded = {known_name.casefold(): known_name for known_name in known}
    if near := get_close_matches(name.casefold(), folded, n=1, cutoff=0.6):
        return f'did you mean {folded[near[0]]}?'
    if not known:
        return ''
    more = f' and {len(known) - SHOWN} more' if len(known) > SHOWN else ''
    return f'{what}: {", ".join(known[:SHOWN])}{more}'
