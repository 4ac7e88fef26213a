"""Checks, one for each promise: pure functions of the client's log, the event table and the effects table."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from scheduling.jobs.lifecycle import JobState, is_allowed
from tests.chaos.expectations import expected_steps
from tests.chaos.health_checks import check_health
from tests.chaos.history import (
    COMPLETED,
    DISPATCHED,
    STARTED,
    SUBMITTED,
    SUSPENDED,
    TERMINAL,
    Event,
    History,
)
from tests.chaos.plugin.processor import BEGIN, SETTLED
from tests.chaos.service_checks import (
    check_answers,
    check_attempts_on_purpose,
    check_completed,
    check_processes,
    check_usage,
)
from tests.chaos.terms import Check, Terms

# A changed cap applies from here on (a promise of its own), so earlier starts obeyed the previous one.
CAP_GRACE = timedelta(seconds=1)
# Events have the start time of their transaction, and the longest transaction is a tick under load.
LONGEST_TRANSACTION = timedelta(seconds=5)
# Events that do not change the state of a job.
STANDING_EVENTS = frozenset({"job.cancel_requested", "job.moved", "job.reprioritised"})
FAILED_ATTEMPTS = frozenset({"execution.failed", "execution.timed_out", COMPLETED})
MAX_REPORTED = 5
END_OF_TIME = datetime.max.replace(tzinfo=UTC)


def check_nothing_lost(history: History, terms: Terms) -> list[str]:
    """Check I1: accepted jobs have ended, or wait for a person."""
    faults = []
    for request in history.requests:
        for job_id in request.job_ids:
            state = history.final_state_of(job_id)
            if state is None:
                faults.append(f"job {job_id} was accepted under {request.key!r} and has no event")
            elif state not in TERMINAL and state != SUSPENDED:
                faults.append(f"job {job_id} was accepted and is still {state}")
    return faults


def check_one_job_a_key(history: History, terms: Terms) -> list[str]:
    """Check I1: a key has one job regardless of repetitions, and no job has an unknown request."""
    faults = [
        f"the key {request.key!r} was answered with {len(request.job_ids)} jobs"
        for request in history.requests
        if len(request.job_ids) > 1
    ]
    by_key = {
        event.job_id for event in history.events if event.name == SUBMITTED and event.actor.startswith("api_key:")
    }
    unknown = by_key - history.requests_by_job.keys()
    unanswered = sum(not request.is_answered for request in history.requests)
    if len(unknown) > unanswered:
        faults.append(
            f"{len(unknown)} jobs of clients are in none of their responses, of {unanswered} unanswered requests"
        )
    return faults


def check_one_completion(history: History, terms: Terms) -> list[str]:
    """Check I2: a job is completed at most once."""
    times = Counter(event.job_id for event in history.events if event.name == COMPLETED)
    return [f"job {job_id} was completed {count} times" for job_id, count in times.items() if count > 1]


def check_effects_once(history: History, terms: Terms) -> list[str]:
    """Check I2: each effect exists once if the job was completed, and at most once if it was not."""
    faults = []
    for job_id, effects in history.effects_by_job.items():
        for step, count in Counter(effect.step for effect in effects if effect.step != BEGIN).items():
            if count > 1:
                faults.append(f"job {job_id}: the effect {step!r} exists {count} times")
    for job_id, request in history.requests_by_job.items():
        done = {effect.step for effect in history.effects_by_job.get(job_id, [])} - {BEGIN}
        is_completed = history.final_state_of(job_id) == "completed"
        if is_completed and (missing := expected_steps(request.kind, request.payload) - done):
            faults.append(f"job {job_id} is completed without its effects {', '.join(sorted(missing))}")
        if not is_completed and SETTLED in done:
            faults.append(f"job {job_id} has the effect of its settlement and was not completed")
    return faults


def check_no_zombie_effects(history: History, terms: Terms) -> list[str]:
    """Check I2: after a new start of a job, no effect has an older fence."""
    faults = []
    for job_id, effects in history.effects_by_job.items():
        starts = history.starts_of(job_id)
        for effect in effects:
            if not 1 <= effect.fence <= len(starts):
                faults.append(f"job {job_id}: an effect under fence {effect.fence}, and {len(starts)} starts")
            elif effect.fence < len(starts) and effect.at >= starts[effect.fence].at:
                faults.append(f"job {job_id}: {effect.step!r} under fence {effect.fence} after its next start")
    return faults


def check_caps(history: History, terms: Terms) -> list[str]:
    """Check I3: at no start a tenant exceeds the greatest of its caps in the last second."""
    faults = []
    changes: dict[UUID, list[tuple[datetime, int]]] = defaultdict(list)
    for (_, tenant_id), (began, ended) in _runs(history).items():
        changes[tenant_id] += [(began, 1), (ended, -1)]
    for tenant_id, caps in terms.caps.items():
        running = 0
        # An end at the moment of another start makes room for it.
        for at, change in sorted(changes[tenant_id]):
            running += change
            if change > 0 and running > (cap := _cap_at(caps, at)):
                faults.append(f"tenant {tenant_id} ran {running} at {at:%H:%M:%S.%f}, and its cap was {cap}")
    return faults


def _runs(history: History) -> dict[tuple[str, UUID], tuple[datetime, datetime]]:
    """Return each message and tenant, from its start to the end of its last execution: its jobs share one slot."""
    ends = {event.execution_id: event.at for event in history.events if event.execution_id and _is_end(event)}
    runs: dict[tuple[str, UUID], tuple[datetime, datetime]] = {}
    for event in history.events:
        if event.name == STARTED:
            ended = ends.get(event.execution_id, END_OF_TIME)
            key = (str(event.data.get("message", event.execution_id)), event.tenant_id)
            began, last = runs.get(key, (event.at, ended))
            runs[key] = (min(began, event.at), max(last, ended))
    return runs


def _is_end(event: Event) -> bool:
    return event.name not in {STARTED, DISPATCHED, "job.cancel_requested"}


def _cap_at(caps: Sequence[tuple[datetime, int]], at: datetime) -> int:
    """Return the greatest cap at a moment or within CAP_GRACE before it."""
    ends = [since for since, _ in caps[1:]] + [END_OF_TIME]
    held = [cap for (since, cap), end in zip(caps, ends, strict=True) if since <= at and end > at - CAP_GRACE]
    return max(held, default=caps[0][1])


def check_transitions(history: History, terms: Terms) -> list[str]:
    """Check I7: each job changed its state by legal transitions only, and its final state did not change."""
    faults = []
    for job_id, events in history.events_by_job.items():
        left = [event for event in events if event.name not in STANDING_EVENTS]
        if left[0].name != SUBMITTED:
            faults.append(f"job {job_id} begins with {left[0].name}")
            continue
        state = left.pop(0).state
        while left:
            step = _next_step(state, left)
            if step is None:
                first = left[0]
                faults.append(
                    f"job {job_id}: {first.name} at {first.at:%H:%M:%S.%f} leads from {state} to {first.state}"
                )
                break
            left.remove(step)
            state = step.state
    return faults


def _next_step(state: str, left: Sequence[Event]) -> Event | None:
    """Return the first event that may come next; one with an earlier time may have been committed later."""
    for event in left:
        if event.at > left[0].at + LONGEST_TRANSACTION:
            break
        if is_allowed(JobState(state), JobState(event.state)) and not _waits_for_another(event, left):
            return event
    return None


def _waits_for_another(event: Event, left: Sequence[Event]) -> bool:
    """Return whether an earlier step of the same execution is still to come."""
    rank = _rank(event)
    return any(
        other.execution_id == event.execution_id and _rank(other) < rank
        for other in left
        if event.execution_id is not None
    )


def _rank(event: Event) -> int:
    return {DISPATCHED: 0, STARTED: 1}.get(event.name, 2)


def check_attempts(history: History, terms: Terms) -> list[str]:
    """Check I8: no job had more attempts than one and its retries."""
    tried = Counter(event.job_id for event in history.events if event.name in FAILED_ATTEMPTS)
    most = terms.max_retries + 1
    return [f"job {job_id} was tried {count} times, {most} at most" for job_id, count in tried.items() if count > most]


def check_nothing_early(history: History, terms: Terms) -> list[str]:
    """Check that no job began before its requested time."""
    return [
        f"job {job_id} began {(request.run_at - start.at).total_seconds():.3f} s early"
        for job_id, request in history.requests_by_job.items()
        for start in history.starts_of(job_id)
        if request.run_at is not None and start.at < request.run_at
    ]


def check_fires(history: History, terms: Terms) -> list[str]:
    """Check I11: each schedule fired once in each minute of its cron, and in no other."""
    submitted = {event.job_id: event.at for event in history.events if event.name == SUBMITTED}
    fired: dict[str, Counter[datetime]] = {label: Counter() for label in terms.fires}
    for job_id, effects in history.effects_by_job.items():
        label = effects[0].label
        if label in fired and job_id in submitted:
            fired[label][submitted[job_id].replace(second=0, microsecond=0)] += 1
    faults = []
    for label, minutes in terms.fires.items():
        for minute in sorted({*minutes, *fired[label]}):
            wanted, times = int(minute in minutes), fired[label][minute]
            if times != wanted:
                faults.append(f"schedule {label!r} fired {times} times at {minute:%H:%M}, not {wanted}")
    return faults


def check_nothing_foreign(history: History, terms: Terms) -> list[str]:
    """Check I4: no job saw a row of another tenant."""
    return [f"job {effect.job_id} saw {effect.seen} rows of other tenants" for effect in history.effects if effect.seen]


CHECKS: Mapping[str, Check] = {
    "I1 nothing lost": check_nothing_lost,
    "I1 completed": check_completed,
    "I1 one job a key": check_one_job_a_key,
    "I2 one completion": check_one_completion,
    "I2 effects once": check_effects_once,
    "I2 no zombie effects": check_no_zombie_effects,
    "I3 caps": check_caps,
    "I4 nothing foreign": check_nothing_foreign,
    "I7 transitions": check_transitions,
    "I8 attempts": check_attempts,
    "I8 attempts on purpose": check_attempts_on_purpose,
    "I11 fires": check_fires,
    "I12 answers": check_answers,
    "not early": check_nothing_early,
    "health": check_health,
    "processes": check_processes,
    "usage": check_usage,
}


def judge(history: History, terms: Terms) -> list[str]:
    """Return the violations of all checks, the first MAX_REPORTED of each, with the broken promise."""
    violations = []
    for promise, check in CHECKS.items():
        faults = check(history, terms)
        violations += [f"{promise}: {fault}" for fault in faults[:MAX_REPORTED]]
        if len(faults) > MAX_REPORTED:
            violations.append(f"{promise}: and {len(faults) - MAX_REPORTED} more")
    return violations
