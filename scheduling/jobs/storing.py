"""Inserts of new jobs: one statement stores 1 to 1,000 jobs of one tenant.

It writes the jobs, their waiting rows, their deadlines and first events, the wakes for the dispatcher and the audit
entry. With a statement for each table, the round trips to the server would be most of the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models.fields import NOT_PROVIDED
from psycopg import sql
from psycopg.types.json import Jsonb

from scheduling.controls.holds import record_holds, suspend_failing
from scheduling.controls.queries import controls_at
from scheduling.controls.rules import Checkpoint
from scheduling.jobs.fair_share_nodes import Line
from scheduling.jobs.filters.rows import as_uuid
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.meta.models import MAX_FOUND_CHARACTERS
from scheduling.models import Job
from scheduling.tracing import trace_id_of
from tenants.audit.service import INSERT_ENTRY, AuditTarget, entry_parameters
from tenants.context import Actor, claim_for_scope, current_actor, require_scope
from tenants.database.ids import uuid7s
from tenants.database.prepared import prepared_cursor
from tenants.database.rows import array_literal, note_inserted
from tenants.encryption.fields import sealed_field
from tenants.transactions import execute_with_commit

SYSTEM_ACTOR = "system"


def actor_label(actor: Actor) -> str:
    """Return the actor as the history stores it: ``kind:label``, or ``system``."""
    return SYSTEM_ACTOR if actor.kind == "system" else f"{actor.kind}:{actor.label or actor.id}"[:200]


# The columns of a job that its submission sets; the others have their defaults.
_DECIDED: Final = (
    "id",
    "tenant_id",
    "kind",
    "queue_id",
    "state",
    "priority",
    "rank",
    "fair_key",
    "concurrency_key",
    "unique_key",
    "unique_until",
    "tags",
    "meta",
    "payload",
    "payload_bytes",
    "payload_hash",
    "idempotency_key",
    "max_retries",
    "run_at",
    "deadline_at",
    "traceparent",
    "trace_id",
    "created_at",
    "parent_id",
    "batch_id",
)
_PLACE = "tenant_id, entity_id, kind, rank, job_id, payload_bytes"
_PLACED = "tenant_id, entity_id, kind, rank, id, payload_bytes"
_READY = f"""
    INSERT INTO scheduling_job_ready ({_PLACE}) SELECT {_PLACED} FROM given
    WHERE state = '{JobState.AVAILABLE}' AND concurrency_key IS NULL
"""  # noqa: S608 - constants
# Ticks admit jobs with a concurrency key, so that a key's backlog is never among the ready jobs.
_PARKED = f"""
    INSERT INTO scheduling_job_held ({_PLACE}, concurrency_key, gate)
    SELECT {_PLACED}, concurrency_key, 'cap ' || queue_id FROM given
    WHERE state = '{JobState.AVAILABLE}' AND concurrency_key IS NOT NULL
"""  # noqa: S608 - constants
_KEY_NEWS = f"""
    INSERT INTO scheduling_concurrency_key_news (tenant_id, kind, concurrency_key, ended)
    SELECT DISTINCT tenant_id, kind, concurrency_key, 0 FROM given
    WHERE state = '{JobState.AVAILABLE}' AND concurrency_key IS NOT NULL
"""  # noqa: S608 - constants
_DUE = f"""
    INSERT INTO scheduling_job_due (due_at, {_PLACE})
    SELECT run_at, {_PLACED} FROM given WHERE state = '{JobState.SCHEDULED}'
"""  # noqa: S608 - constants
_DEADLINE = """
    INSERT INTO scheduling_job_deadline (job_id, tenant_id, deadline_at)
    SELECT id, tenant_id, deadline_at FROM given WHERE deadline_at IS NOT NULL
"""
_META = f"""
    INSERT INTO scheduling_job_meta (tenant_id, job_id, name, value)
    SELECT g.tenant_id, g.id, m.key, m.value #>> '{{}}' FROM given g, jsonb_each(g.meta) m
    WHERE jsonb_typeof(m.value) IN ('string', 'number', 'boolean')
        AND length(m.value #>> '{{}}') <= {MAX_FOUND_CHARACTERS}
"""  # noqa: S608 - constants
_SUBJECT = """
    INSERT INTO scheduling_job_subject (job_id, tenant_id, subject)
    SELECT id, tenant_id, subject FROM given WHERE subject IS NOT NULL
"""
_EVENT = """
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, at, name, state, actor, request_id, data)
    SELECT event_id, tenant_id, id, created_at, %(event)s::varchar, state, %(actor)s::varchar, %(request_id)s::varchar,
        '{}'::jsonb
    FROM given
"""
_EVENT_WITH_FACTS = _EVENT.replace("'{}'::jsonb", "facts")
_SUSPENDED = f"""
    INSERT INTO scheduling_job_suspended (job_id, tenant_id)
    SELECT id, tenant_id FROM given WHERE state = '{JobState.SUSPENDED}'
"""  # noqa: S608 - constants
_WAKE = f"""
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    SELECT tenant_id, entity_id, queue_id, count(*) FROM given WHERE state <> '{JobState.SUSPENDED}' GROUP BY 1, 2, 3
"""  # noqa: S608 - constants
# Columns whose values are converted for the driver.
_MADE: Final = frozenset({"state", "tags", "meta", "payload", "trace_id"})
_NO_META: Final = Jsonb({})
# Optional parts of the statement beside the jobs and the wakes.
_KEYED: Final = {"parked": _PARKED, "key_news": _KEY_NEWS}
_ALWAYS: Final = {"event": _EVENT, "event_with_facts": _EVENT_WITH_FACTS, "entry": INSERT_ENTRY}
_PARTS: Final = (
    {"ready": _READY, "due": _DUE, "deadline": _DEADLINE, "meta_members": _META, "subjects": _SUBJECT}
    | {"suspended": _SUSPENDED}
    | _ALWAYS
    | _KEYED
)
# Texts differ by which columns are shared by all jobs.
_MOST_TEXTS: Final = 256


def store_jobs(
    jobs: Sequence[Job],
    *,
    lines: Mapping[Line, int],
    event: str,
    facts: Mapping[UUID, Mapping[str, str]] = MappingProxyType({}),
) -> None:
    """Store new jobs of one tenant, their waiting rows and wakes, and an event and an audit entry named ``event``.

    ``lines`` has the fair-share node of each (queue id, fair key) of the jobs, and ``facts`` the data of the events of
    jobs that have any, which is not encrypted. Jobs that fail a control are stored as suspended. For a single job that
    fails none the statement is only sent with the transaction's COMMIT or the next statement, and database errors are
    raised there.
    """
    scope = require_scope()
    for job in jobs:
        claim_for_scope(job, scope)
    controls = controls_at(Checkpoint.SUBMISSION)
    failures = suspend_failing(jobs, controls) if controls is not None else []
    actor = current_actor()
    entry = entry_parameters(action=event, target=_audit_target(jobs), after=_audit_summary(jobs))
    columns = _columns(jobs, lines)
    if facts:
        columns["facts"] = [Jsonb(dict(facts.get(job.pk, {}))) for job in jobs]
    arrays = frozenset(name for name, values in columns.items() if not _is_shared(values))
    parameters = {name: values if name in arrays else values[0] for name, values in columns.items()} | {
        "event": event,
        "actor": actor_label(actor),
        "request_id": actor.request_id,
        **(entry or {}),
    }
    statement = _statement(arrays, _parts_of(jobs, has_entry=entry is not None, has_facts=bool(facts)))
    if len(jobs) == 1:
        execute_with_commit(statement, parameters)
    else:
        with prepared_cursor() as cursor:
            cursor.execute(statement, parameters)
    for job in jobs:
        note_inserted(job)
    if failures:
        record_holds(failures)


def _columns(jobs: Sequence[Job], lines: Mapping[Line, int]) -> dict[str, list[Any]]:
    """Return the values of each column of ``given``, in the order of the jobs, converted for the driver."""
    columns = {name: [job.__dict__[attribute] for job in jobs] for name, attribute in _attributes().items()}
    payload = sealed_field(Job, "payload")
    sealed = [payload.pre_save(job, add=True) for job in jobs]
    # Equal payloads may differ in JSON, such as 1 and true: only the same object is shared.
    distinct = {id(value): value for value in sealed}
    written = {key: payload.get_db_prep_save(value, connection) for key, value in distinct.items()}
    return columns | {
        "state": [str(job.state) for job in jobs],
        "tags": [array_literal(job.tags) for job in jobs],
        "meta": [Jsonb(job.meta) if job.meta else _NO_META for job in jobs],
        "payload": [written[id(value)] for value in sealed],
        "trace_id": [as_uuid(trace_id_of(job.traceparent) or "") for job in jobs],
        "entity_id": [lines[job.queue_id, job.fair_key] for job in jobs],
        "event_id": uuid7s(len(jobs)),
        "subject": [job.subject for job in jobs],
    }


def _is_shared(values: Sequence[Any]) -> bool:
    """Return whether all jobs have the same value, which is then written once."""
    first = values[0]
    return all(value is first or value == first for value in values)


def _parts_of(jobs: Sequence[Job], *, has_entry: bool, has_facts: bool) -> frozenset[str]:
    states = {str(job.state) for job in jobs}
    is_keyed = {job.concurrency_key is not None for job in jobs if job.state == JobState.AVAILABLE}
    is_present = {
        "ready": False in is_keyed,
        **dict.fromkeys(_KEYED, True in is_keyed),
        "due": JobState.SCHEDULED in states,
        "suspended": JobState.SUSPENDED in states,
        "deadline": any(job.deadline_at is not None for job in jobs),
        "meta_members": any(job.meta for job in jobs),
        "subjects": any(job.subject for job in jobs),
        "event": not has_facts,
        "event_with_facts": has_facts,
        "entry": has_entry,
    }
    return frozenset(name for name in _PARTS if is_present[name])


@lru_cache(maxsize=_MOST_TEXTS)
def _statement(arrays: frozenset[str], parts: frozenset[str]) -> str:
    present = {name: text for name, text in _PARTS.items() if name in parts}
    texts = {"given": _given(arrays, has_facts="event_with_facts" in parts), "job": _job_statement()} | present
    return f"WITH {', '.join(f'{name} AS ({text})' for name, text in texts.items())} {_WAKE}"


def _given(arrays: frozenset[str], *, has_facts: bool) -> str:
    """Return the rows of all jobs: columns that differ by job are arrays, the others single values."""
    types = {**_types(), "facts": "jsonb"} if has_facts else _types()
    names = [name for name in types if name in arrays]
    selected = ", ".join(
        f"v.{name}" if name in arrays else f"%({name})s::{type_name} AS {name}" for name, type_name in types.items()
    )
    if not names:
        return f"SELECT {selected}"
    unnested = ", ".join(f"%({name})s::{types[name]}[]" for name in names)
    return f"SELECT {selected} FROM unnest({unnested}) AS v ({', '.join(names)})"  # noqa: S608 - constants


def _job_statement() -> str:
    """Return the insert of the jobs: common values are constants in the text, defaults are left to the table."""
    decided = {name: name for name in _DECIDED} | {"tags": "tags::text[]"}
    constants = {
        str(field.column): sql.Literal(field.get_db_prep_save(field.get_default(), connection)).as_string()
        for field in Job._meta.local_concrete_fields
        if field.column not in decided and not field.null and field.db_default is NOT_PROVIDED
    }
    names, values = ", ".join(decided | constants), ", ".join((decided | constants).values())
    return f"INSERT INTO scheduling_job ({names}) SELECT {values} FROM given"  # noqa: S608 - constants


@cache
def _attributes() -> Mapping[str, str]:
    """Return the attribute of a job for each column that is written unchanged."""
    plain = set(_DECIDED) - _MADE
    return {str(field.column): field.attname for field in Job._meta.local_concrete_fields if field.column in plain}


@cache
def _types() -> Mapping[str, str]:
    """Return the type of each column of ``given``, without its length.

    A cast to a length would silently cut a longer text, where storing it raises an error.
    """
    types = {
        str(field.column): str(field.db_type(connection)).partition("(")[0]
        for field in Job._meta.local_concrete_fields
        if field.column in _DECIDED
    }
    # Arrays of arrays must have one length, so tags are passed as text.
    return types | {"tags": "text", "entity_id": "bigint", "event_id": "uuid", "subject": "uuid"}


def _audit_target(jobs: Sequence[Job]) -> AuditTarget:
    label = Job._meta.label_lower
    return AuditTarget(label, str(jobs[0].pk), jobs[0].tenant_id) if len(jobs) == 1 else AuditTarget(label)


def _audit_summary(jobs: Sequence[Job]) -> dict[str, Any]:
    return {"jobs": len(jobs), "kinds": sorted({job.kind for job in jobs})}
