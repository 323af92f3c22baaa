"""Processes that a test starts to be looked at."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

SECONDS = 60.0


def begun(*words: str, **options: Any) -> subprocess.Popen[bytes]:
    """A process of which the system shows its words, its environment (which must not be empty) and its memory.

    ``Popen`` returns in the middle of the exec: half of all processes showed none of these in the first moment."""
    process = subprocess.Popen(words, **options)
    until = time.monotonic() + SECONDS
    while not all(_shown(process.pid)):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.002)
    return process


def _shown(pid: int) -> tuple[bool, ...]:
    folder = Path(f'/proc/{pid}')
    pages = int((folder / 'stat').read_bytes().rpartition(b')')[2].split()[21])
    return (folder / 'cmdline').read_bytes() != b'', (folder / 'environ').read_bytes() != b'', pages > 0
