"""The only door to the terminal.  Standard output is data, standard error is talk; nothing that came from a file, a name or
a stage reaches the terminal with a control character in it."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from typing import Any, TextIO

from mlops_cli.core.events import Event, Note

# C0 and C1 controls, bidirectional overrides, zero-width and other invisible formatting characters.
_UNSAFE = re.compile(
    '[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]'
)


def safe(text: str) -> str:
    """Text with everything replaced that a terminal or a CI log could take for an instruction."""
    return _UNSAFE.sub('\ufffd', text).encode('utf-8', 'replace').decode()


def one_line(text: str) -> str:
    return safe(text.replace('\n', '⏎').replace('\t', ' '))


def out(text: str = '') -> None:
    """A line of data."""
    print(safe(text), file=sys.stdout)


def say(text: str = '') -> None:
    """A line of talk."""
    print(safe(text), file=sys.stderr, flush=True)


def note(event: Event) -> None:
    """Shows the notes among events, for commands that have no screen of their own."""
    if isinstance(event, Note):
        say(f'note: {event.stage}: {event.text}' if event.stage else f'note: {event.text}')


def print_json(document: dict[str, Any]) -> None:
    """The one JSON document of a ``--json`` command."""
    json.dump(document, sys.stdout, ensure_ascii=True, indent=1, default=str)
    sys.stdout.write('\n')
    sys.stdout.flush()


def width(stream: TextIO | None = None) -> int:
    """Columns to fill: the terminal's, or 100 where there is none."""
    stream = stream or sys.stdout
    if os.environ.get('COLUMNS', '').isdigit():
        return max(40, int(os.environ['COLUMNS']))
    return max(40, shutil.get_terminal_size((100, 24)).columns) if stream.isatty() else 100


def colour(stream: TextIO | None = None) -> bool:
    """Colour is wanted: a terminal, no NO_COLOR, not a dumb one."""
    stream = stream or sys.stdout
    return stream.isatty() and 'NO_COLOR' not in os.environ and os.environ.get('TERM') != 'dumb'
