"""Checks of outcomes, attempts, responses, processes and usage."""

from __future__ import annotations

from collections import Counter

from tests.chaos.expectations import expected_failures, expected_state
from tests.chaos.history import TERMINAL, UNAVAILABLE, History
from tests.chaos.plugin.processor import SETTLED
from tests.chaos.terms import Terms

# Outcomes that count an attempt.
COUNTED = frozenset({"execution.failed", "execution.timed_out"})
FAILED_FOR_GOOD = frozenset({"discarded", "quarantined"})
HEARTBEAT_SECONDS = 20.0
# A process started at the end of the row may still be importing.
STARTING_SECONDS = 60.0
# Charges besides the work itself: its start, and a settlement that waits for a lock or a lost connection.
USAGE_OVERHEAD_SECONDS = 15.0
USAGE_ERROR_SECONDS = 0.25


def check_completed(history: History, terms: Terms) -> list[str]:
    """Return jobs whose outcome differs from that in their payload, such as unexpectedly discarded ones."""
    faults = []
    for job_id in history.events_by_job:
        state = history.final_state_of(job_id)
        if state not in TERMINAL or (state == "cancelled" and terms.may_cancel):
            continue
        request = history.requests_by_job.get(job_id)
        wanted = expected_state(request.kind, request.payload) if request else "completed"
        if state != wanted and (request or state in FAILED_FOR_GOOD):
            faults.append(f"job {job_id} should be {wanted} and is {state}")
    return faults


def check_attempts_on_purpose(history: History, terms: Terms) -> list[str]:
    """Return attempts counted for faults of the infrastructure: the payload contains the expected failures."""
    failed = Counter(event.job_id for event in history.events if event.name in COUNTED)
    faults = []
    for job_id, times in failed.items():
        request = history.requests_by_job.get(job_id)
        wanted = expected_failures(request.kind, request.payload) if request else 0
        if wanted is not None and times > wanted:
            faults.append(f"{times} attempts of job {job_id} failed, {wanted} of them on purpose")
    return faults


def check_answers(history: History, terms: Terms) -> list[str]:
    """Check I12: return responses of 500 and above other than a 503 with Retry-After."""
    replies = [
        ("the API", reply.status, reply.has_retry_after) for request in history.requests for reply in request.replies
    ]
    probes = [(probe.page, probe.status, probe.has_retry_after) for probe in history.probes]
    wrong = Counter(
        f"{page} answered {status}{'' if status != UNAVAILABLE else ' without Retry-After'}"
        for page, status, has_retry_after in [*replies, *probes]
        if status is not None and status >= 500 and not (status == UNAVAILABLE and has_retry_after)
    )
    return [f"{words}, {count} times" for words, count in wrong.items()]


def check_processes(history: History, terms: Terms) -> list[str]:
    """Return processes that ended although the row did not end them, and running ones that stopped working."""
    faults = []
    for process in history.processes:
        name = f"{process.role} {process.pid}"
        if process.status is not None:
            if not process.was_ended and process.role not in terms.may_end:
                faults.append(f"{name} ended by itself with status {process.status}")
        elif not process.has_heartbeat:
            continue
        elif process.heartbeat_age is None:
            if process.age > STARTING_SECONDS * terms.factor:
                faults.append(f"{name} runs and has never reported")
        elif process.heartbeat_age > HEARTBEAT_SECONDS * terms.factor:
            faults.append(f"{name} runs and last reported {process.heartbeat_age:.0f} s ago")
    return faults


def check_usage(history: History, terms: Terms) -> list[str]:
    """Return completed executions whose charge differs from the job's own measurement by the monotonic clock."""
    measured = {
        effect.execution_id: effect.seconds
        for effect in history.effects
        if effect.step == SETTLED and effect.seconds is not None
    }
    faults = []
    for execution in history.executions:
        if execution.outcome != "completed" or (seconds := measured.get(execution.id)) is None:
            continue
        most = seconds + USAGE_OVERHEAD_SECONDS * terms.factor
        if not seconds - USAGE_ERROR_SECONDS <= execution.charged_seconds <= most:
            faults.append(
                f"execution {execution.id} was charged {execution.charged_seconds:.2f} s, and its job measured"
                f" {seconds:.2f} s"
            )
    return faults
