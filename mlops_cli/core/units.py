"""Sizes and times: parsed from what people write, printed as people read."""
from __future__ import annotations

_SIZE = r'\s*(\d+(?:\.\d+)?)\s*([kKMGTP]?)(i?)(B?)\s*\Z'
_DURATION = r'\s*'.join(rf'(?:(\d+(?:\.\d+)?)\s*{unit})?' for unit in ('d', 'h', 'm(?:in)?', 's')) + r'\Z'
_STEPS = ' kMGTP'


def parse_size(text: str | int | float) -> int:
    """Bytes: ``2GiB`` and ``2G`` are 2 * 1024**3, ``2GB`` is 2 * 1000**3.  Raises ValueError."""
    import re  # here, since what is answered at once needs no more of this module than words

    if isinstance(text, int | float):
        return int(text)
    found = re.match(_SIZE, str(text))
    if not found:
        raise ValueError(f'not a size: {text!r}')
    number, prefix, binary, byte = found.groups()
    base = 1000 if byte and not binary else 1024
    return round(float(number) * float(base) ** _STEPS.index(prefix.replace('K', 'k') or ' '))


LEAST_MEMORY = 1 << 20  # bytes: of less somebody forgot the unit


def forgotten_unit(name: str, text: str | int | float) -> tuple[str, str] | None:
    """Of an amount of memory that can only be meant otherwise, what is wrong and a hint.  Raises ValueError as parse_size."""
    size = parse_size(text)
    if size >= LEAST_MEMORY:
        return None
    written = str(text)[:40]
    hint = f'did you mean {written}GiB?' if written.isdigit() and size else 'write it with its unit, such as 8GiB'
    return f'{name} of {size} bytes, which is too little for anything', hint


def parse_duration(text: str | int | float) -> float:
    """Seconds: ``90``, ``90s``, ``1h30m``, ``2d``.  Raises ValueError."""
    import re

    if isinstance(text, int | float):
        return float(text)
    stripped = text.strip()
    if re.fullmatch(r'\d+(\.\d+)?', stripped):
        return float(stripped)
    found = re.match(_DURATION, stripped)
    if not stripped or not found:
        raise ValueError(f'not a duration: {text!r}')
    return sum(float(part) * unit for part, unit in zip(found.groups(), (86400, 3600, 60, 1), strict=True) if part)


def show_size(size: float) -> str:
    """``310 kB``, ``2.1 GB``: decimal, as disks and clouds count."""
    if size < 1000:
        return f'{size:.0f} B'
    units = iter(('kB', 'MB', 'GB', 'TB', 'PB'))
    unit = ''
    while size >= 999.5 and (following := next(units, '')):
        size, unit = size / 1000, following
    return f'{size:.1f} {unit}' if size < 9.95 else f'{size:.0f} {unit}'


def show_joules(joules: float) -> str:
    """``950 J``, ``4.2 kJ``, ``3.6 MJ`` (one kilowatt hour)."""
    unit = 'J'
    for larger in ('kJ', 'MJ', 'GJ'):
        if joules >= 999.5:
            joules, unit = joules / 1000, larger
    return f'{joules:.1f} {unit}' if joules < 9.95 else f'{joules:.0f} {unit}'


def show_seconds(seconds: float) -> str:
    """``0.4s``, ``11.3s``, ``2m05s``, ``3h12m``, ``2d04h``."""
    if seconds < 99.95:
        return f'{seconds:.1f}s' if seconds >= 0.095 else f'{seconds:.2f}s'
    whole = round(seconds)
    if whole < 3600:
        return f'{whole // 60}m{whole % 60:02}s'
    if whole < 86400:
        return f'{whole // 3600}h{whole % 3600 // 60:02}m'
    return f'{whole // 86400}d{whole % 86400 // 3600:02}h'


def plural(count: int, noun: str, many: str = '') -> str:
    """``1 stage``, ``2 stages``."""
    return f'{count:,} {noun}' if count == 1 else f'{count:,} {many or noun + "s"}'


def show_money(amount: float, currency: str) -> str:
    """``12.30 EUR``; what is less than a hundredth with one digit."""
    return f'{amount:,.2f} {currency}' if amount >= 0.005 or not amount else f'{amount:.1g} {currency}'


def show_number(figure: float | int) -> str:
    """A metric, as many digits as people read."""
    if isinstance(figure, int):
        return f'{figure:,}'
    return f'{figure:,.0f}' if 1e4 <= abs(figure) < 1e15 else f'{figure:.4g}'


def show_change(change: float | int) -> str:
    """``+0.0028``, ``-117``, ``0``."""
    if change == 0:
        return '0'
    text = show_number(change) if isinstance(change, int) or abs(change) >= 1e4 else f'{change:.3g}'
    return text if change < 0 else f'+{text}'


def show_both(before: float | int, after: float | int) -> tuple[str, str]:
    """Two numbers, with as many digits as their difference needs to be seen."""
    one, two = show_number(before), show_number(after)
    return (f'{before:.8g}', f'{after:.8g}') if one == two and before != after else (one, two)


def ago(seconds: float) -> str:
    """``just now``, ``5 min ago``, ``2 h ago``, ``3 days ago``."""
    if seconds < 60:
        return 'just now'
    if seconds < 5400:
        return f'{round(seconds / 60)} min ago'
    if seconds < 129_600:
        return f'{round(seconds / 3600)} h ago'
    return f'{plural(round(seconds / 86400), "day")} ago'
