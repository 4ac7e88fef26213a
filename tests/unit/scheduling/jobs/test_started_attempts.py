"""The number of attempts that have started, by a job's state and its failed attempts."""

from __future__ import annotations

import pytest

from scheduling.jobs.lifecycle import JobState, started_attempts


@pytest.mark.parametrize(
    ("state", "failed", "has_started", "number"),
    [
        (JobState.AVAILABLE, 0, False, 0),
        (JobState.CANCELLED, 0, False, 0),
        (JobState.EXECUTING, 0, True, 1),
        (JobState.COMPLETED, 0, True, 1),
        # Yielded, or interrupted by a deploy, in its first attempt.
        (JobState.AVAILABLE, 0, True, 1),
        (JobState.SUSPENDED, 0, True, 1),
        (JobState.CANCELLED, 0, True, 1),
        (JobState.RETRYABLE, 1, True, 1),
        (JobState.EXECUTING, 1, True, 2),
        (JobState.COMPLETED, 3, True, 4),
        (JobState.DISCARDED, 4, True, 4),
        (JobState.QUARANTINED, 0, True, 1),
    ],
)
def test_attempts_count_from_their_start(state: JobState, failed: int, has_started: bool, number: int) -> None:
    assert started_attempts(state, failed=failed, has_started=has_started) == number
