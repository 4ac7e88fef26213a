"""Moving waiting jobs: out of where they wait, or to where they can be picked.

Every statement here locks a job's waiting row before the job's own row, as the dispatcher
does, so that the two never wait for each other in a ring.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from psycopg.types.json import Jsonb

from scheduling import signals
from scheduling.lifecycle import DEAD_STATES, JobState
from scheduling.models import Job
from scheduling.services.events import actor_label
from scheduling.services.lines import open_key_lines
from tenants.context import current_actor
from tenants.ids import uuid7s

# A job that changes its place or hands between two statements is found on the next look.
LOOKS = 5

# A suspended job waits in no line, and that of its key may be gone. One that was resumed while this waited for its row
# waits in a line again: it is left for the next look, or its row there would stay for ever.
_TAKE_OUT = """
WITH wanted AS (
    SELECT ids.n, j.id AS job_id, j.rank, j.tenant_id, j.queue_id, j.kind, e.id AS entity_id,
        j.state = 'suspended' AS is_suspended
    FROM unnest(%(job_ids)s::uuid[]) WITH ORDINALITY AS ids(id, n)
        JOIN scheduling_job j ON j.id = ids.id
        LEFT JOIN scheduling_schedulingentity e
            ON e.tenant_id = j.tenant_id AND e.queue_id = j.queue_id AND e.fair_key = j.fair_key
), ready AS (
    DELETE FROM scheduling_job_ready r USING wanted w
    WHERE r.entity_id = w.entity_id AND r.rank = w.rank AND r.job_id = w.job_id RETURNING r.job_id
), due AS (
    DELETE FROM scheduling_job_due d USING wanted w WHERE d.job_id = w.job_id AND d.entity_id = w.entity_id
    RETURNING d.job_id
), held AS (
    DELETE FROM scheduling_job_held h USING wanted w WHERE h.job_id = w.job_id AND h.entity_id = w.entity_id
    RETURNING h.job_id
), gone AS (
    SELECT job_id, 1 AS was_waiting FROM ready UNION ALL SELECT job_id, 1 FROM due
    UNION ALL SELECT job_id, 1 FROM held UNION ALL SELECT job_id, 0 FROM wanted WHERE is_suspended
), job AS (
    UPDATE scheduling_job j SET state = %(state)s,
        finished_at = CASE WHEN %(state)s <> 'suspended' THEN now() END,
        error_type = coalesce(nullif(%(error_type)s, ''), j.error_type),
        error_message = coalesce(nullif(%(error_message)s, ''), j.error_message),
        error_fingerprint = coalesce(nullif(%(error_fingerprint)s, ''), j.error_fingerprint)
    FROM gone g JOIN wanted w USING (job_id)
    WHERE j.id = g.job_id AND j.state = ANY(%(from_states)s) AND j.queue_id = w.queue_id
      AND (g.was_waiting = 1 OR j.state = 'suspended')
    RETURNING j.id, j.tenant_id, j.queue_id, j.kind, j.batch_id, w.entity_id, w.n, g.was_waiting
), deadline AS (
    DELETE FROM scheduling_job_deadline d USING job j WHERE d.job_id = j.id AND %(state)s <> 'suspended'
), suspended AS (
    -- One that the version before has resumed stands there still.
    INSERT INTO scheduling_job_suspended (job_id, tenant_id)
    SELECT id, tenant_id FROM job WHERE %(state)s = 'suspended' ON CONFLICT DO NOTHING
), not_suspended AS (
    DELETE FROM scheduling_job_suspended s USING job j WHERE s.job_id = j.id AND j.was_waiting = 0
), batch_news AS (
    INSERT INTO scheduling_batch_news (tenant_id, batch_id, state)
    SELECT tenant_id, batch_id, %(state)s FROM job WHERE batch_id IS NOT NULL AND %(state)s <> 'suspended'
), wake AS (
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    SELECT tenant_id, entity_id, queue_id, -sum(was_waiting) FROM job WHERE was_waiting > 0 GROUP BY 1, 2, 3
), event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT (%(event_ids)s::uuid[])[n], tenant_id, id, NULL, statement_timestamp(), %(event)s, %(state)s, %(actor)s,
        %(request_id)s, %(data)s
    FROM job
), dead_letter AS (
    INSERT INTO scheduling_deadletter (id, tenant_id, job_id, kind, reason, error_type, error_message,
        error_fingerprint, created_at)
    SELECT (%(letter_ids)s::uuid[])[n], tenant_id, id, kind, %(dead_letter_reason)s, %(error_type)s,
        %(error_message)s, %(error_fingerprint)s, now()
    FROM job WHERE %(dead_letter_reason)s <> ''
), error AS (
    INSERT INTO scheduling_joberror (id, tenant_id, job_id, kind, error_type, error_message, error_fingerprint, at)
    SELECT (%(error_ids)s::uuid[])[n], tenant_id, id, kind, %(error_type)s, left(%(error_message)s, 500),
        %(error_fingerprint)s, now()
    FROM job WHERE %(error_type)s <> ''
), tally AS (
    INSERT INTO scheduling_tally (tenant_id, queue_id, kind, outcome, is_dead, measured_us, ended_at)
    SELECT tenant_id, queue_id, kind, '', true, 0, now() FROM job WHERE %(dead_letter_reason)s <> ''
)
SELECT id FROM job
"""
_MAKE_READY = """
WITH wanted AS (
    SELECT ids.n, j.id AS job_id, j.rank, j.tenant_id, j.queue_id, j.kind, e.id AS entity_id,
        j.state = 'suspended' AS is_suspended
    FROM unnest(%(job_ids)s::uuid[]) WITH ORDINALITY AS ids(id, n)
        JOIN scheduling_job j ON j.id = ids.id
        JOIN scheduling_schedulingentity e
            ON e.tenant_id = j.tenant_id AND e.queue_id = j.queue_id AND e.fair_key = j.fair_key
), due AS (
    DELETE FROM scheduling_job_due d USING wanted w WHERE d.job_id = w.job_id AND d.entity_id = w.entity_id
    RETURNING d.job_id
), gone AS (
    SELECT job_id, 0 AS joins FROM due UNION ALL SELECT job_id, 1 FROM wanted WHERE is_suspended
), job AS (
    UPDATE scheduling_job j SET state = 'available'
    FROM gone g JOIN wanted w USING (job_id)
    WHERE j.id = g.job_id AND j.state = ANY(%(from_states)s) AND j.queue_id = w.queue_id
      AND (g.joins = 0 OR j.state = 'suspended')
    RETURNING j.id, j.tenant_id, j.queue_id, j.kind, j.rank, j.payload_bytes, j.used_us, j.travels_alone, w.entity_id,
        w.n, g.joins
), ready AS (
    INSERT INTO scheduling_job_ready (tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us, travels_alone)
    SELECT tenant_id, entity_id, rank, id, kind, payload_bytes, used_us, travels_alone FROM job
), not_suspended AS (
    DELETE FROM scheduling_job_suspended s USING job j WHERE s.job_id = j.id AND j.joins = 1
), wake AS (
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    SELECT tenant_id, entity_id, queue_id, sum(joins) FROM job GROUP BY 1, 2, 3
), event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT (%(event_ids)s::uuid[])[n], tenant_id, id, NULL, statement_timestamp(), %(event)s, 'available', %(actor)s,
        %(request_id)s, %(data)s
    FROM job
)
SELECT id FROM job
"""
_BEFORE_SUSPENSION = (JobState.SCHEDULED, JobState.AVAILABLE, JobState.RETRYABLE)


def take_out(
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
    """Move waiting jobs of the scope to ``state``, one statement; those that were waiting.

    ``state`` is ``suspended`` or terminal; a dead one comes with its dead letter's reason.
    """
    if (state in DEAD_STATES) is not bool(dead_letter_reason):
        raise ValueError("A dead state and its dead letter's reason go together.")
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
    """Make jobs of the scope available now that back off or are suspended; those that were."""
    open_key_lines(job_ids)
    return _run(_MAKE_READY, job_ids, event=event, data=data, from_states=[state.value for state in from_states])


def look_again(
    act: Callable[[Sequence[UUID]], set[UUID]], job_ids: Sequence[UUID], *, states: Collection[JobState]
) -> set[UUID]:
    """Act on the jobs, and on those that it missed though they are in ``states``; those that it was done to.

    A move of the backlog, a tick or a person may have had them in hand. Rarely more than one look.
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
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        moved = {job_id for (job_id,) in cursor.fetchall()}
    if moved:
        facts = {"event": event, "state": parameters.get("state", JobState.AVAILABLE.value), "count": len(moved)}
        transaction.on_commit(lambda: signals.waiting_jobs_moved.send(None, **facts))
    return moved
