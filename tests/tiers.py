"""Which tests the quick tier leaves out: the slowest, by what they took when all were timed.

    python -m tests.tiers LOG   of a run with --durations=0 -vv, writes slow.txt anew
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

LIST = Path(__file__).with_name('slow.txt')
SECONDS = 330.0  # that the tests of the quick tier may take, one after the other: two of them run at once
LINE = re.compile(r'^ *([0-9.]+)s (?:call|setup|teardown) +(\S+?::\w+(?:::\w+)*)')


@cache
def slow() -> frozenset[str]:
    """Functions, as ``tests/store/test_tree.py::test_walk``."""
    return frozenset(LIST.read_text(encoding='utf-8').split())


def name_of(item: pytest.Item) -> str:
    return item.nodeid.partition('[')[0]


def chosen(log: str, most: float = SECONDS) -> list[str]:
    """Of the functions in a report of durations the slowest, until the others take no longer than ``most`` seconds."""
    took: Counter[str] = Counter()
    for line in log.splitlines():
        if found := LINE.match(line):
            took[found[2]] += float(found[1])  # type: ignore[assignment]
    left = sum(took.values())
    found_slow = []
    for name, seconds in took.most_common():
        if left <= most:
            break
        left -= seconds
        found_slow.append(name)
    return sorted(found_slow)


if __name__ == '__main__':
    LIST.write_text(''.join(f'{name}\n' for name in chosen(Path(sys.argv[1]).read_text(encoding='utf-8'))), encoding='utf-8')
