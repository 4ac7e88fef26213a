"""Progress of a bulk operation: rate, share and remaining time, or None if they are unknown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from scheduling.bulk.queries import BulkProgress, progress_of
from scheduling.models import BulkOperation

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
State = BulkOperation.State


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        # No rows were processed yet.
        ({"state": State.PENDING, "started_at": None}, BulkProgress(0.0, 0.0, None, None)),
        # A quarter in ten seconds: thirty seconds remain.
        ({"seen": 250}, BulkProgress(10.0, 25.0, 0.25, 30.0)),
        # Only the end of the operation completes its share.
        ({"seen": 1_000}, BulkProgress(10.0, 100.0, 0.99, 0.0)),
        # More rows matched than were counted: the share is unknown.
        ({"seen": 250, "is_expected_capped": True}, BulkProgress(10.0, 25.0, None, None)),
        # It took four seconds, regardless of the time of the query.
        (
            {"seen": 1_000, "state": State.COMPLETED, "finished_at": BEGAN + timedelta(seconds=4)},
            BulkProgress(4.0, 250.0, 1.0, None),
        ),
        # An aborted operation has no meaningful share.
        (
            {"seen": 100, "state": State.ABORTED, "finished_at": BEGAN + timedelta(seconds=4)},
            BulkProgress(4.0, 25.0, None, None),
        ),
    ],
)
def test_progress_relates_processed_jobs_to_the_expected_count(
    operation: dict[str, object], expected: BulkProgress
) -> None:
    given = {"state": State.RUNNING, "started_at": BEGAN, "expected": 1_000, **operation}
    assert progress_of(BulkOperation(**given), BEGAN + timedelta(seconds=10)) == expected


def test_operation_aborted_before_start_has_no_progress() -> None:
    never = BulkOperation(state=State.ABORTED, started_at=None, finished_at=BEGAN, expected=5)
    assert progress_of(never, BEGAN).share is None
