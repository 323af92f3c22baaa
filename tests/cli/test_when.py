"""Moments as people type them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mlops_cli.cli.when import moment
from mlops_cli.core.errors import UserError

NOW = datetime(2026, 11, 21, 12, 30).timestamp()  # of this machine's zone, as people mean it


def at(*parts: int) -> float:
    return datetime(*parts).timestamp()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ('text', 'found'),
    [
        ('2h', NOW - 7200),
        ('1.5h', NOW - 5400),
        ('90 min ago', NOW - 5400),
        ('3d', NOW - 259_200),
        ('1w', NOW - 604_800),
        ('0s', NOW),
        ('2026-11-20', at(2026, 11, 20)),
        ('2026-11-20T10:15', at(2026, 11, 20, 10, 15)),
        ('2026-11-20 10:15:30', at(2026, 11, 20, 10, 15, 30)),
        ('2026-11-20T10:15:00Z', datetime(2026, 11, 20, 10, 15, tzinfo=UTC).timestamp()),
        ('today', at(2026, 11, 21)),
        ('Yesterday', at(2026, 11, 20)),
    ],
)
def test_what_is_understood(text: str, found: float) -> None:
    assert moment(text, NOW, '--since') == found


@pytest.mark.parametrize(('text', 'found'), [('2026-11-20', at(2026, 11, 21)), ('2026-11-20T10:15', at(2026, 11, 20, 10, 15))])
def test_until_a_date_means_to_its_end(text: str, found: float) -> None:
    assert moment(text, NOW, '--until', end=True) == found


@pytest.mark.parametrize(
    'text',
    [
        *('', 'soon', '2026-13-01', '2026-02-30', '5x', '-3d', '1e400d', '2026-11-20T25:00', '99999999999d'),
        *('\u0663d', '\u0662\u0660\u0662\u0666-11-20'),  # digits, and none that others could read back
    ],
)
def test_what_is_not(text: str) -> None:
    with pytest.raises(UserError, match='no date and no time ago'):
        moment(text, NOW, '--since')
