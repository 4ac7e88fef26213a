"""Changes of waiting jobs: to an ended or suspended state, or back to ready.

A waiting job has a row in one of the waiting tables. Every statement locks this row before the job's own row, as the
dispatcher does, so that the two do not deadlock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from psycopg.rows import scalar_row
from psycopg.types.json import Jsonb

from scheduling import signals
from scheduling.jobs.fair_share_nodes import create_key_nodes
from scheduling.jobs.lifecycle import DEAD_STATES, JobState
from scheduling.jobs.storing import actor_label
from scheduling.models import Job
from tenants.context import current_actor
from tenants.database.ids import uuid7s
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql

# The most tries for a job that moves between two statements.
LOOKS = 5

_SQL = load_sql(__file__)
_TAKE_OUT = _SQL["end_waiting"]
_MAKE_READY = _SQL["make_ready"]
_BEFORE_SUSPENSION = (JobState.SCHEDULED, JobState.AVAILABLE, JobState.RETRYABLE)


def end_waiting(
    job_ids: Sequence[UUID],
    *,
    state: JobState,
    event: str,
    data: Mapping[str, Any] | None = None,
    error_type: str = "",
    error_message: str = "",
    error_fingerprint: str = "",
    dead_letter_reason: str = "",
) -> set[UUID]:
    """Move waiting jobs of the current tenant context to ``state`` in one statement; return the ids of those moved.

    ``state`` is ``suspended`` or terminal. ``error_message`` is a fixed text of the platform, stored in plain. Raise
    ValueError unless a dead letter's reason is given for a dead state, and only then.
    """
    if (state in DEAD_STATES) is not bool(dead_letter_reason):
        raise ValueError("A dead state requires a dead letter's reason, and only a dead state has one.")
    sources = set(_BEFORE_SUSPENSION) | (set() if state is JobState.SUSPENDED else {JobState.SUSPENDED})
    return _run(
        _TAKE_OUT,
        job_ids,
        event=event,
        data=data,
        state=state.value,
        from_states=sorted(sources),
        letter_ids=uuid7s(len(job_ids)),
        error_ids=uuid7s(len(job_ids)),
        error_type=error_type,
        error_message=error_message,
        error_fingerprint=error_fingerprint,
        dead_letter_reason=dead_letter_reason,
    )


def make_ready(
    job_ids: Sequence[UUID], *, from_states: Sequence[JobState], event: str, data: Mapping[str, Any] | None = None
) -> set[UUID]:
    """Make the jobs available that are in ``from_states``, such as suspended ones; return their ids."""
    create_key_nodes(job_ids)
    return _run(_MAKE_READY, job_ids, event=event, data=data, from_states=[state.value for state in from_states])


def retry_missed(
    act: Callable[[Sequence[UUID]], set[UUID]], job_ids: Sequence[UUID], *, states: Collection[JobState]
) -> set[UUID]:
    """Call ``act`` with the job ids, again with those in ``states`` that it missed, and return all affected ids.

    ``act`` misses a job that another transaction has locked or is moving. It is called LOOKS times at most, usually
    once.
    """
    done: set[UUID] = set()
    left: Sequence[UUID] = job_ids
    for _ in range(LOOKS):
        done |= act(left)
        missed = [job_id for job_id in left if job_id not in done]
        found = Job.objects.filter(pk__in=missed, state__in=list(states)).values_list("pk", flat=True)
        still = set(found) if missed else set()
        left = [job_id for job_id in missed if job_id in still]
        if not left:
            break
    return done


def _run(
    statement: str,
    job_ids: Sequence[UUID],
    *,
    event: str,
    data: Mapping[str, Any] | None,
    **parameters: Any,
) -> set[UUID]:
    if not job_ids:
        return set()
    actor = current_actor()
    values: dict[str, Any] = {
        "job_ids": list(job_ids),
        "event_ids": uuid7s(len(job_ids)),
        "event": event,
        "data": Jsonb(dict(data or {})),
        "actor": actor_label(actor),
        "request_id": actor.request_id,
        **parameters,
    }
    moved = set(fetch_all(statement, values, scalar_row))
    if moved:
        facts = {"event": event, "state": parameters.get("state", JobState.AVAILABLE.value), "count": len(moved)}
        transaction.on_commit(lambda: signals.waiting_jobs_moved.send(None, **facts))
    return moved
