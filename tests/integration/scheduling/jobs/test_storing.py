"""Storing jobs: one statement stores one job as well as a thousand, with their rows in all tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.db import DataError, transaction
from django.utils import timezone
from rest_framework.test import APIClient

from scheduling.conf import MAX_BULK_JOBS
from scheduling.exceptions import IdempotencyMismatchError
from scheduling.jobs.fair_share_nodes import node_ids
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.storing import actor_label, store_jobs
from scheduling.jobs.submission import submit_job, submit_jobs
from scheduling.models import FairShareNode, Job, JobDeadline, JobDue, JobEvent, JobReady, Queue, Wake
from tenants.audit.service import suppress_nested_entries
from tenants.context import acting_as, all_tenants, command_actor, tenant_context
from tenants.database.ids import uuid7
from tenants.database.rows import new_row
from tenants.exceptions import ForeignTenantError, NoTenantError
from tenants.models import AuditLogEntry, Tenant
from tests.prepared_statements import seen_statements

pytestmark = pytest.mark.django_db

SOON = timezone.now() + timedelta(days=1)
ONE_KIND: dict[str, dict[str, Any]] = {
    "plain": {},
    "full": {"payload": {"a": [1, "ü"]}, "tags": ["x", 'y",{'], "priority": 3, "max_retries": 1},
    "due": {"run_at": SOON},
    "due with a deadline": {"run_at": SOON, "deadline": SOON + timedelta(hours=1)},
    "deadline": {"deadline": SOON},
    "with a key": {"fair_key": "ann"},
    "with meta": {"meta": {"order": 4711, "region": "eu"}},
}
# One bulk, so that each column differs by job, and some are empty in some jobs.
MIXED: list[dict[str, Any]] = [
    {"payload": {"n": 1}, "tags": ["NULL", "a,b", "back\\slash", "{}", "北京"], "priority": -2, "fair_key": "bob"},
    {"payload": {"n": True}, "run_at": SOON, "fair_key": "ann", "max_retries": 0},
    {"payload": {"seconds": 0}, "deadline": SOON, "idempotency_key": "k", "kind": "sleep"},
    {"run_at": SOON, "deadline": SOON + timedelta(hours=1), "tags": ["x"], "fair_key": "ann"},
    {},
]


def submit(tenant: Tenant, options: Sequence[dict[str, Any]]) -> list[Job]:
    requests = [JobRequest(**{"kind": "noop", **each}) for each in options]
    with acting_as(command_actor("test")):
        bulk = submit_jobs(tenant=tenant, requests=requests)
    assert not bulk.rejected, bulk.rejected
    return [done.job for _, done in bulk.accepted]


def line_of(job: Job) -> int:
    found: int = FairShareNode.objects.get(queue_id=job.queue_id, fair_key=job.fair_key).pk
    return found


def assert_is_stored(job: Job) -> None:
    """Assert that the row equals the returned job, and that the dependent rows match."""
    stored = Job.objects.get(pk=job.pk)
    names = [field.attname for field in Job._meta.local_concrete_fields if field.name != "payload_hash"]
    assert {name: getattr(job, name) for name in names} == {name: getattr(stored, name) for name in names}
    assert bytes(stored.payload_hash) == bytes(job.payload_hash)
    assert not job._state.adding
    place = {
        "tenant_id": job.tenant_id,
        "entity_id": line_of(job),
        "kind": job.kind,
        "rank": job.rank,
        "job_id": job.pk,
        "payload_bytes": job.payload_bytes,
        "used_us": 0,
    }
    is_due = job.state == JobState.SCHEDULED
    ready, due = JobReady.objects.filter(job_id=job.pk), JobDue.objects.filter(job_id=job.pk)
    assert list(ready.values(*place, "merge_disabled")) == ([] if is_due else [place | {"merge_disabled": False}])
    assert list(due.values(*place, "due_at")) == ([place | {"due_at": job.run_at}] if is_due else [])
    deadlines = JobDeadline.objects.filter(job_id=job.pk).values_list("tenant_id", "deadline_at")
    assert list(deadlines) == ([] if job.deadline_at is None else [(job.tenant_id, job.deadline_at)])
    (event,) = JobEvent.objects.filter(job_id=job.pk)
    assert (event.name, event.state, event.at, event.data) == ("job.submitted", job.state, job.created_at, {})
    assert (event.tenant_id, event.actor) == (job.tenant_id, actor_label(command_actor("test")))


@pytest.mark.parametrize(
    "options",
    [*([each] * count for count in (1, 3) for each in ONE_KIND.values()), MIXED],
    ids=[*(f"{count} {name}" for count in ("one", "three") for name in ONE_KIND), "mixed"],
)
def test_jobs_are_stored_with_their_dependent_rows(acme: Tenant, options: Sequence[dict[str, Any]]) -> None:
    jobs = submit(acme, options)
    with tenant_context(acme):
        for job in jobs:
            assert_is_stored(job)
        lines = Counter((job.tenant_id, line_of(job), job.queue_id) for job in jobs)
        news = Wake.objects.values_list("tenant_id", "entity_id", "queue_id", "waiting_delta", "is_bulk")
        assert sorted(news) == sorted((*line, count, False) for line, count in lines.items())
        (entry,) = AuditLogEntry.objects.filter(action="job.submitted")
        assert entry.after == {"jobs": len(jobs), "kinds": sorted({job.kind for job in jobs})}
        assert (entry.target_type, entry.target_id) == ("scheduling.job", str(jobs[0].pk) if len(jobs) == 1 else "")
        assert (entry.tenant_id, entry.actor_kind, entry.at is not None) == (acme.pk, "command", True)


def test_values_that_are_equal_in_python_stay_distinct(acme: Tenant) -> None:
    payloads = [{"n": 1}, {"n": True}, {"n": 1.0}, {"n": 1}]
    jobs = submit(acme, [{"payload": payload} for payload in payloads])
    with tenant_context(acme):
        stored = [Job.objects.get(pk=job.pk).payload["n"] for job in jobs]
    assert [(value, type(value)) for value in stored] == [(1, int), (True, bool), (1.0, float), (1, int)]


def test_events_are_in_the_order_of_the_jobs(acme: Tenant) -> None:
    jobs = submit(acme, [{"payload": {"n": number}} for number in range(20)])
    with tenant_context(acme):
        assert list(JobEvent.objects.order_by("id").values_list("job_id", flat=True)) == [job.pk for job in jobs]


@pytest.mark.parametrize("count", [1, 2, MAX_BULK_JOBS])
def test_jobs_are_stored_by_one_statement_at_any_number(acme: Tenant, count: int) -> None:
    submit(acme, [{}])
    with seen_statements() as seen:
        jobs = submit(acme, [{"payload": {"n": number}} for number in range(count)])
    assert sum("INSERT INTO" in statement for statement in seen) == 1
    with tenant_context(acme):
        assert Job.objects.count() == JobReady.objects.count() == count + 1
        assert sum(Wake.objects.values_list("waiting_delta", flat=True)) == count + 1
        assert_is_stored(jobs[-1])


def test_jobs_are_visible_in_their_own_transaction(acme: Tenant) -> None:
    """Send a single job with the COMMIT, or before the next statement."""
    with tenant_context(acme):
        job = submit_job(tenant=acme, request=JobRequest("noop", fair_key="ann")).job
        assert Job.objects.filter(pk=job.pk).exists()
        assert JobReady.objects.filter(job_id=job.pk).exists()


def test_submission_as_part_of_an_act_writes_no_entry(acme: Tenant) -> None:
    for count in (1, 2):
        with suppress_nested_entries():
            jobs = submit(acme, [{}] * count)
        with tenant_context(acme):
            assert JobReady.objects.filter(job_id__in=[job.pk for job in jobs]).count() == count
            assert not AuditLogEntry.objects.filter(action="job.submitted").exists()


def made(tenant: Tenant, **changes: Any) -> list[Job]:
    """Return two rows that no request could create."""
    now, queue = timezone.now(), Queue.objects.get(name="dataset")
    values: dict[str, Any] = {"kind": "noop", "state": "available", "rank": 1, "run_at": now, "created_at": now}
    values |= {"tenant": tenant, "queue": queue, "payload_hash": b"x" * 32}
    return [new_row(Job, id=uuid7(), **values), new_row(Job, id=uuid7(), **(values | changes))]


@pytest.mark.parametrize(
    "changes", [{"kind": "x" * 65}, {"tags": ["x" * 65]}, {"priority": 40_000}], ids=["kind", "tag", "priority"]
)
def test_value_that_does_not_fit_is_refused(acme: Tenant, changes: dict[str, Any]) -> None:
    with tenant_context(acme):
        jobs = made(acme, **changes)
        lines = node_ids(acme, {(jobs[0].queue_id, "")})
        with pytest.raises(DataError), transaction.atomic():
            store_jobs(jobs, lines=lines, event="job.submitted")
        assert not Job.objects.exists()


def test_jobs_are_stored_only_for_their_own_tenant(acme: Tenant, globex: Tenant) -> None:
    with tenant_context(acme):
        jobs = made(acme)
        lines = node_ids(acme, {(jobs[0].queue_id, "")})
    with pytest.raises(NoTenantError):
        store_jobs(jobs, lines=lines, event="job.submitted")
    with tenant_context(globex), pytest.raises(ForeignTenantError):
        store_jobs(jobs, lines=lines, event="job.submitted")


@pytest.mark.django_db(transaction=True)
def test_refusal_without_a_savepoint_rolls_back_the_transaction(acme: Tenant) -> None:
    submit_job(tenant=acme, request=JobRequest("noop", idempotency_key="k"))
    with tenant_context(acme):
        submit_job(tenant=acme, request=JobRequest("noop"))
        with pytest.raises(IdempotencyMismatchError):
            submit_job(tenant=acme, request=JobRequest("noop", {"n": 1}, idempotency_key="k"), has_savepoint=False)
    with all_tenants():
        assert Job.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_view_that_fails_after_storing_leaves_nothing(
    acme: Tenant, api_client: Callable[[Tenant], APIClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = api_client(acme)
    client.raise_request_exception = False

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("unexpected")

    monkeypatch.setattr("scheduling.jobs.api.submission_response", fail)
    assert client.post("/api/v1/jobs/", {"kind": "noop"}, format="json").status_code == 500
    with all_tenants():
        assert not Job.objects.exists()
        assert not AuditLogEntry.objects.filter(action="job.submitted").exists()
