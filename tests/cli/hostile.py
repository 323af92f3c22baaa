"""Two hundred texts that mean harm to whoever prints them."""

from __future__ import annotations

import unicodedata

CONTROLS = [chr(code) for code in (*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0))]
DIRECTIONS = [chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)]
INVISIBLE = [
    chr(code)
    for code in (0xAD, 0x34F, 0x115F, 0x1160, 0x180E, 0x200B, 0x200C, 0x200D, 0x2028, 0x2029, 0x2060, 0x2061, 0x2063, 0x3164)
] + [chr(code) for code in (0xFEFF, 0xFFA0, 0xFFF9, 0xFFFA, 0xFFFB, 0xE0001, 0xE0041, 0xE007F, 0xE0100, 0x1D173, 0x1BCA0)]
SEQUENCES = [
    '\x1b[2J',
    '\x1b[31mred\x1b[0m',
    '\x1b[1A\x1b[2K',
    '\x1b]0;title\x07',
    '\x1b]52;c;ZXZpbA==\x07',
    '\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\',
    '\x1bP+q544e\x1b\\',
    '\x1b_G\x1b\\',
    '\x1b[6n',
    '\x1bc',
    '\x1b[?1049h',
    '\x9b2J',
    '\x9d0;title\x9c',
    '\x1b[201~',
    '\r\nerror: forged',
    'a\rb',
    '\b\b\b\bfalse',
    '\x1b',
    '\x1b[',
    '\x1b]',
    '\udc80lone',
    '\ud800',
    '\x00nul',
]
MARKUP = ['[bold]x[/bold]', '[red', '%s%n{0}', "';--", '$(reboot)', '`reboot`', '\\x1b[2J', '\\', '"', "'", '<b>', '&amp;']
HOSTILE = [
    *(f'a{c}b' for c in CONTROLS),
    *(f'train{c}lave' for c in DIRECTIONS),
    *(f'mod{c}el' for c in INVISIBLE),
    *(f'x {text} y' for text in SEQUENCES),
    *(f'a{c}\x1b[2J{c}' for c in DIRECTIONS),
    *(f'{c}[31mx{c}' for c in INVISIBLE),
    *MARKUP,
    *(text * 50 for text in SEQUENCES),
    '数' * 500,
    '🎉' * 300,
    'e' + '\u0301' * 200,
    '\u202e'.join('reversed'),
    ' ' * 300,
    'a' * 5000,
]
assert len(HOSTILE) >= 200


def harmless(text: str) -> bool:
    """Nothing in it acts, reorders or hides."""
    return not any(
        (unicodedata.category(c) in ('Cc', 'Cs') and c not in '\t\n')
        or unicodedata.bidirectional(c) in ('LRE', 'RLE', 'LRO', 'RLO', 'PDF', 'LRI', 'RLI', 'FSI', 'PDI')
        or c in DIRECTIONS
        or c in INVISIBLE
        for c in text
    )
