"""The states of a job and their allowed transitions, as data."""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """The states of a job; docs/concepts/job_lifecycle.md draws the same table."""

    SCHEDULED = "scheduled"
    AVAILABLE = "available"
    DISPATCHED = "dispatched"
    EXECUTING = "executing"
    RETRYABLE = "retryable"
    SUSPENDED = "suspended"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DISCARDED = "discarded"
    QUARANTINED = "quarantined"


TERMINAL_STATES = frozenset({JobState.COMPLETED, JobState.CANCELLED, JobState.DISCARDED, JobState.QUARANTINED})
DEAD_STATES = frozenset({JobState.DISCARDED, JobState.QUARANTINED})
REPLAYABLE_STATES = DEAD_STATES | {JobState.CANCELLED}
IN_FLIGHT_STATES = frozenset({JobState.DISPATCHED, JobState.EXECUTING})
WAITING_STATES = frozenset({JobState.SCHEDULED, JobState.AVAILABLE, JobState.RETRYABLE})
# The last attempt runs, or has ended without an error of the job's own.
_UNFAILED_STATES = frozenset({JobState.EXECUTING, JobState.COMPLETED, JobState.QUARANTINED})

ALLOWED_TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.SCHEDULED: frozenset({JobState.AVAILABLE, JobState.SUSPENDED, JobState.CANCELLED, JobState.DISCARDED}),
    JobState.AVAILABLE: frozenset({JobState.DISPATCHED, JobState.SUSPENDED, JobState.CANCELLED, JobState.DISCARDED}),
    # Back to available: publishing failed, or no worker started the message.
    JobState.DISPATCHED: frozenset({JobState.EXECUTING, JobState.AVAILABLE, JobState.CANCELLED, JobState.DISCARDED}),
    # Back to available: yielded, shut down, returned before its turn in a message, or rescued after a crash. Scheduled
    # and suspended: it snoozed, or suspended itself.
    JobState.EXECUTING: frozenset(
        {
            JobState.COMPLETED,
            JobState.RETRYABLE,
            JobState.AVAILABLE,
            JobState.SCHEDULED,
            JobState.SUSPENDED,
            JobState.CANCELLED,
            JobState.DISCARDED,
            JobState.QUARANTINED,
        }
    ),
    JobState.RETRYABLE: frozenset({JobState.AVAILABLE, JobState.SUSPENDED, JobState.CANCELLED, JobState.DISCARDED}),
    JobState.SUSPENDED: frozenset({JobState.AVAILABLE, JobState.CANCELLED, JobState.DISCARDED}),
    JobState.COMPLETED: frozenset(),
    JobState.CANCELLED: frozenset(),
    JobState.DISCARDED: frozenset(),
    JobState.QUARANTINED: frozenset(),
}


def started_attempts(state: str, *, failed: int, has_started: bool) -> int:
    """Return how many attempts of a job have started: those that failed, and the one that runs or ended otherwise.

    An attempt that was interrupted without the job's fault, such as by a deploy, is the same attempt when it starts
    again. Until then it counts only if none has failed before.
    """
    return max(failed + (state in _UNFAILED_STATES), int(has_started))


def is_allowed(before: JobState, after: JobState) -> bool:
    """Return whether a job may change from ``before`` to ``after`` in one step."""
    return after in ALLOWED_TRANSITIONS[before]
