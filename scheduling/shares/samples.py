"""Periodic samples of each tenant's entitlement, because it cannot be computed later for a past time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from scheduling.dispatch.leadership import try_to_lead
from scheduling.shares.demands import DemandCount, EntitledTenant
from tenants.context import all_tenants
from tenants.database.locks import LockClass
from tenants.database.prepared import execute, fetch_one
from tenants.database.sql import load_sql

SAMPLE_SECONDS = 10.0
STEP_SECONDS = 0.1
# A sample of another dispatcher that is younger makes this one unnecessary.
FRESH_SECONDS = 0.8 * SAMPLE_SECONDS
# The longest time that a sample may stand for; longer gaps are not filled.
LONGEST_GAP = timedelta(minutes=1)
# The number of greatest entitlements that are stored.
KEPT = 50

_SQL = load_sql(__file__)
_TURN = _SQL["read_turn"]
_ADD, _NOTE = _SQL["add_shares"], _SQL["note_sample"]
# The parameters of _ADD, in the order of `_rows`.
_COLUMNS = ("tenant_ids", "minutes", "queue_ids", "entitled_us", "backlogged_us", "lags_us")


class ShareSampler:
    """Duty of a dispatcher: takes a sample every SAMPLE_SECONDS, for very many tenants in steps between ticks."""

    def __init__(self) -> None:
        self._sample: Iterator[int] | None = None

    def interval_seconds(self) -> float:
        """Return the seconds until the next step: short while a sample is unfinished."""
        return SAMPLE_SECONDS if self._sample is None else STEP_SECONDS

    def take_turn(self) -> None:
        """Run the next step of the current sample, or begin a sample."""
        sample = self._sample or _take_sample()
        # A failing step ends the sample, which leaves a gap.
        self._sample = None
        if next(sample, None) is not None:
            self._sample = sample


def sample_shares() -> int:
    """Take a whole sample now; return how many rows were written."""
    return sum(_take_sample())


def _take_sample() -> Iterator[int]:
    """Add the time since the last sample to the entitlements of its minutes; yield the number of rows after each step.

    Yield nothing if another dispatcher samples now or did so a moment ago, or if the active plan serves jobs in order
    of arrival.
    """
    with all_tenants():
        span = _take_span()
        census = DemandCount(KEPT) if span else None
    if span is None or census is None:
        return
    while not census.is_over:
        yield 0
        with all_tenants():
            census.count_on()
    with all_tenants():
        rows = list(_rows(census.greatest(), *span))
        if rows:
            execute(_ADD, dict(zip(_COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))
    yield len(rows)


def _take_span() -> tuple[datetime, datetime] | None:
    """Return start and end of the time that this sample covers, or None if no sample is to be taken now."""
    if not try_to_lead(LockClass.SHARE_SAMPLE):
        return None
    turn = fetch_one(_TURN, {"fresh_seconds": FRESH_SECONDS})
    if turn is None:
        return None
    execute(_NOTE)
    return None if turn.last is None or turn.is_off else (max(turn.last, turn.now - LONGEST_GAP), turn.now)


def _rows(entitled: Sequence[EntitledTenant], since: datetime, until: datetime) -> Iterator[tuple[object, ...]]:
    for minute, length in split_by_minute(since, until):
        span_us = length // timedelta(microseconds=1)
        for row in entitled:
            waited_us = span_us if row.is_backlogged else 0
            yield row.tenant_id, minute, row.queue_id, round(row.slots * span_us), waited_us, row.lag_us


def split_by_minute(since: datetime, until: datetime) -> Iterator[tuple[datetime, timedelta]]:
    """Yield the start of each minute that overlaps [since, until), with the length of the overlap."""
    minute = since.replace(second=0, microsecond=0)
    while minute < until:
        following = minute + timedelta(minutes=1)
        yield minute, min(until, following) - max(since, minute)
        minute = following
