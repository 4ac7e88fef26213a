"""Rows of the console's bar: what was measured beside what is asked of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the bar: what is measured, its limit, and the value."""

    name: str
    bar: str
    measured: str
    # None: the row has no limit.
    is_met: bool | None


def timed_row(name: str, p95: float, limit_ms: float) -> Row:
    """Return the row of a 95th percentile in milliseconds."""
    return Row(name, f"≤ {limit_ms:.0f} ms", f"{p95:.0f} ms", p95 <= limit_ms)
