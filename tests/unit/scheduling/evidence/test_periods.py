"""Periods of evidence schedules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from scheduling.evidence.rules import last_period


@pytest.mark.parametrize(
    ("months", "now", "since", "until"),
    [
        (1, datetime(2026, 3, 31, 23, 59, tzinfo=UTC), (2026, 2), (2026, 3)),
        (1, datetime(2026, 1, 1, tzinfo=UTC), (2025, 12), (2026, 1)),
        (3, datetime(2026, 3, 31, tzinfo=UTC), (2025, 10), (2026, 1)),
        (3, datetime(2026, 12, 1, tzinfo=UTC), (2026, 7), (2026, 10)),
        (3, datetime(2026, 4, 1, tzinfo=UTC), (2026, 1), (2026, 4)),
        # It is still December in UTC.
        (1, datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=3))), (2025, 11), (2025, 12)),
    ],
)
def test_last_period_is_whole_and_over(
    months: int, now: datetime, since: tuple[int, int], until: tuple[int, int]
) -> None:
    assert last_period(months, now) == (datetime(*since, 1, tzinfo=UTC), datetime(*until, 1, tzinfo=UTC))
