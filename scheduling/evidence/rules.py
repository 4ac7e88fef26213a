"""Pure rules of evidence schedules."""

from __future__ import annotations

from datetime import UTC, datetime


def last_period(months: int, now: datetime) -> tuple[datetime, datetime]:
    """Return the bounds of the last whole period of 1 or 3 months before a time, in UTC."""
    today = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    until = today.replace(month=today.month - (today.month - 1) % months)
    begun = until.year * 12 + until.month - 1 - months
    return until.replace(year=begun // 12, month=begun % 12 + 1), until
