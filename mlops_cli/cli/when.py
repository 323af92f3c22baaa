"""Moments as people type them: a date, a date and time, or how long ago."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from mlops_cli.core.errors import UserError
from mlops_cli.core.patterns import pattern

_AGO = pattern(r'(\d+(?:\.\d+)?)\s*(s|sec|m|min|h|hours?|d|days?|w|weeks?)', re.ASCII)
_SECONDS = {'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 604800}
_DATE = pattern(r'[0-9]{4}-[0-9]{2}-[0-9]{2}')
SUCH = 'such as 2026-11-20, 2026-11-20T10:15, 2h, 3d, 1w, today'
_WORDS = {'today': 0, 'yesterday': 1}


def moment(text: str, now: float, option: str, *, end: bool = False) -> float:
    """Seconds since 1970 of ``2026-11-20``, ``2026-11-20T10:15``, ``2h``, ``3d``, ``1w``, ``today`` or ``yesterday``; without a
    zone, times are those of this machine.  ``end``: of a date the end of that day.  Raises UserError."""
    typed = text.strip().lower()
    if not typed:
        raise UserError(f'{option} is empty: no date and no time ago', hint=SUCH)
    ago = _AGO.fullmatch(typed.removesuffix(' ago'))
    if ago:
        found_ago = now - float(ago[1]) * _SECONDS[ago[2][0]]
        if found_ago < 0:
            raise UserError(f'{option} {text[:40]!r} is no date and no time ago: it is before 1970', hint=SUCH)
        return found_ago
    try:
        if not typed.isascii():
            raise ValueError('digits are 0 to 9')
        if typed in _WORDS:
            found = datetime.fromtimestamp(now).replace(hour=0, minute=0, second=0, microsecond=0)
            found -= timedelta(days=_WORDS[typed])
        else:
            found = datetime.fromisoformat(typed.upper())
        whole_day = typed in _WORDS or _DATE.fullmatch(typed)
        if end and whole_day:
            found += timedelta(days=1)
        return found.timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise UserError(f'{option} {text[:40]!r} is no date and no time ago', hint=SUCH) from error
