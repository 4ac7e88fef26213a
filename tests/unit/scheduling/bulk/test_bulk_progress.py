"""How far a bulk operation is: rate, share and what is left, and silence where nobody can tell."""

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
        # Nobody has gone on with it.
        ({"state": State.PENDING, "started_at": None}, BulkProgress(0.0, 0.0, None, None)),
        # A quarter in ten seconds: thirty more.
        ({"seen": 250}, BulkProgress(10.0, 25.0, 0.25, 30.0)),
        # Only the end says that it is all.
        ({"seen": 1_000}, BulkProgress(10.0, 100.0, 0.99, 0.0)),
        # More have matched than were counted: no share of an unknown whole.
        ({"seen": 250, "is_expected_capped": True}, BulkProgress(10.0, 25.0, None, None)),
        # It took four seconds, whenever somebody looks.
        (
            {"seen": 1_000, "state": State.COMPLETED, "finished_at": BEGAN + timedelta(seconds=4)},
            BulkProgress(4.0, 250.0, 1.0, None),
        ),
        # What was ended before its end has no share that would mean anything.
        (
            {"seen": 100, "state": State.ABORTED, "finished_at": BEGAN + timedelta(seconds=4)},
            BulkProgress(4.0, 25.0, None, None),
        ),
    ],
)
def test_progress_is_what_is_seen_of_what_was_expected(operation: dict[str, object], expected: BulkProgress) -> None:
    given = {"state": State.RUNNING, "started_at": BEGAN, "expected": 1_000, **operation}
    assert progress_of(BulkOperation(**given), BEGAN + timedelta(seconds=10)) == expected


def test_one_that_was_aborted_before_it_began_has_no_progress_to_tell() -> None:
    never = BulkOperation(state=State.ABORTED, started_at=None, finished_at=BEGAN, expected=5)
    assert progress_of(never, BEGAN).share is None
