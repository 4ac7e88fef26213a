"""Everything about jobs that can be wrong, by its code, with what repairing it does."""

from __future__ import annotations

from scheduling.services.consistency.registry import FaultKind

PLACE_WITHOUT_JOB = FaultKind(
    "place_without_job", "A place among what waits belongs to no job.", "Removes the place; nothing could run from it."
)
PLACE_OF_ANOTHER_STATE = FaultKind(
    "place_of_another_state",
    "A job stands in a place that is not one of its state: an ended one still waits, one that runs is ready as well.",
    "Removes the place; the job keeps its state, and the place of its state.",
)
PLACE_IN_WRONG_LINE = FaultKind(
    "place_in_wrong_line",
    "A job waits in the line of another tenant, queue, key or rank than its own.",
    "Moves it to its own line.",
)
JOB_NOWHERE = FaultKind(
    "job_nowhere",
    "A job waits in no place, so that nothing will ever start it.",
    "Puts it where its state waits; one that waited for a time now lost is due at once.",
)
JOB_IN_TWO_PLACES = FaultKind(
    "job_in_two_places",
    "A job stands in two places and would run twice.",
    "Keeps the place of its state, ready before set aside, and removes the other.",
)
JOB_WITHOUT_EXECUTION = FaultKind(
    "job_without_execution",
    "A job is dispatched or executing, and no execution of it is in flight.",
    "Makes it available again, at its last checkpoint; no attempt is burned.",
)
EXECUTION_ASTRAY = FaultKind(
    "execution_astray",
    "An execution is in flight whose job is gone, has ended or waits.",
    "Closes the execution and charges it up to its worker's last heartbeat; its worker's writes change nothing more.",
)
EXECUTION_PHASE_DIFFERS = FaultKind(
    "execution_phase_differs",
    "A job is executing though its execution was not begun, or dispatched though it was.",
    "Makes the job executing if its execution has begun; else hands it back as available.",
)
FENCE_DIFFERS = FaultKind(
    "fence_differs",
    "The fence of a job is not that of its execution in flight.",
    "Raises the lower one; a worker whose fence was below writes nothing more, and the sweep rescues its job.",
)
LEASE_LONG_PAST = FaultKind(
    "lease_long_past",
    "A worker's lease ran out minutes ago, and no sweep has taken its job back.",
    "Rescues it as the sweep does after any crash.",
)
ATTEMPTS_OVER = FaultKind("attempts_over", "A job has used more attempts than it may.")
DEAD_LETTER_MISSING = FaultKind(
    "dead_letter_missing",
    "A discarded or quarantined job has no dead letter.",
    "Writes the letter from the job's error and the reason that its history tells.",
)
DEAD_LETTER_UNFOUNDED = FaultKind("dead_letter_unfounded", "A job has a dead letter and is not dead.")
DEADLINE_MISSING = FaultKind(
    "deadline_missing",
    "A job has a deadline that nobody keeps.",
    "Writes it where the sweep looks; one that has passed discards the job.",
)
DEADLINE_OF_ENDED_JOB = FaultKind(
    "deadline_of_ended_job", "A deadline is kept for a job that has ended.", "Removes it."
)
BATCH_SHORT = FaultKind("batch_short", "A batch has fewer jobs than it was made with, those kept no longer counted.")
BATCH_OVER = FaultKind(
    "batch_over", "A batch says fewer jobs than it has.", "Writes the number of its jobs, those kept no longer counted."
)
_BATCH_RECOUNT = "Writes what is recounted, and has a dispatcher look whether the batch is over."
BATCH_COUNTER = FaultKind("batch_counter", "A batch counts other than what has ended of its jobs.", _BATCH_RECOUNT)
BATCH_UNENDED = FaultKind(
    "batch_unended", "A batch is closed, all its jobs have ended, and it has not.", _BATCH_RECOUNT
)
HISTORY_MISSING = FaultKind("history_missing", "A job has no history, though it is too young to have lost it.")
HISTORY_DIFFERS = FaultKind("history_differs", "A job is in a state that its history does not lead to.")
HISTORY_ILLEGAL = FaultKind("history_illegal", "A job's history takes a step that no job may take.")
ENDED_TWICE = FaultKind("ended_twice", "A job's history ends more than once.")
JOB_LOST = FaultKind("job_lost", "A job was accepted within the last day, has not ended, and is gone.")
CHARGE_WITHOUT_EXECUTION = FaultKind("charge_without_execution", "A charge's execution is neither ended nor in flight.")
LOG_WITHOUT_JOB = FaultKind("log_without_job", "Lines of a log belong to a job that is gone.")
HISTORY_WITHOUT_TENANT = FaultKind("history_without_tenant", "History belongs to a tenant that is gone.")
