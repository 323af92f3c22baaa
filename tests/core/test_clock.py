"""Times and ids as texts: four digits for every year, and nothing for a time that no clock shows."""

from __future__ import annotations

import pytest

from mlops_cli.core.clock import check_moment, check_time, from_iso, iso, run_id


def test_a_year_has_four_digits() -> None:
    assert iso(from_iso('0001-01-01T00:00:00Z')) == '0001-01-01T00:00:00Z'
    assert run_id(from_iso('0999-01-01T00:00:00Z'), bytes(8)).startswith('09990101T000000Z-')


@pytest.mark.parametrize('text', ['1970-01-01T00:00:00Z', '2026-11-20T10:15:22Z', '2223-01-01T00:00:00Z'])
def test_times_that_are_some(text: str) -> None:
    assert check_time(text) == text


@pytest.mark.parametrize(
    'text',
    ['9999-99-99T99:99:99Z', '0001-01-01T00:00:00Z', '9999-12-31T23:59:59Z', '2026-02-30T00:00:00Z', '2026-11-20', ''],
)
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(ValueError):
        check_time(text)


@pytest.mark.parametrize('value', [-1, 1e308, float('inf'), float('nan'), True, '12', None, 2**70])
def test_moments_that_are_none(value: object) -> None:
    with pytest.raises(ValueError, match='is no moment'):
        check_moment(value)
