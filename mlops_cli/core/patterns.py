"""Regular expressions that are compiled when one is first used: of the hundred in the modules of a command few are."""

from __future__ import annotations

import re
from typing import Any, AnyStr, cast


class _Pattern:
    """Stands for the compiled one: each of its methods is fetched once, and is an attribute here from then on."""

    def __init__(self, text: str | bytes, flags: int) -> None:
        self._said: Any = text, flags

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__'):
            raise AttributeError(name)
        found = self.__dict__[name] = getattr(re.compile(*self._said), name)
        return found


def pattern(text: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """As re.compile(), but a mistake in it is found when it is used.  For its methods only, not for functions of :mod:`re`."""
    return cast('re.Pattern[AnyStr]', _Pattern(text, flags))


# The interpreter of a host: no option, and no word that a shell would take for more.
INTERPRETER = pattern(r'(?:~?/)?[A-Za-z0-9_][A-Za-z0-9_.+-]*(?:/[A-Za-z0-9_.+-]+)*')
