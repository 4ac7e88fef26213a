"""A single job is stored by one statement, and is what the same job of a bulk is in each of its rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import models
from django.utils import timezone
from rest_framework.test import APIClient

from scheduling.exceptions import IdempotencyMismatchError
from scheduling.models import Job, JobDeadline, JobDue, JobEvent, JobReady, Wake
from scheduling.services.job_requests import JobRequest
from scheduling.services.submission import submit_job, submit_jobs
from tenants.context import acting_as, all_tenants, command_actor, tenant_context
from tenants.models import AuditLogEntry, Tenant
from tenants.services.audit import part_of_act
from tests.prepared_statements import seen_statements

pytestmark = pytest.mark.django_db

SOON = timezone.now() + timedelta(days=1)
# What differs between any two jobs.
OWN = {"id", "job_id", "target_id", "rank", "run_at", "created_at", "at", "after"}


def rows_of(model: type[models.Model], **of: Any) -> list[dict[str, Any]]:
    names = [field.attname for field in model._meta.local_concrete_fields if field.attname not in OWN]
    return list(model._default_manager.filter(**of).values(*names))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"payload": {"a": [1, "ü"]}, "tags": ["x", 'y",{'], "priority": 3, "max_retries": 1},
        {"run_at": SOON},
        {"run_at": SOON, "deadline": SOON + timedelta(hours=1)},
        {"deadline": SOON},
    ],
    ids=["plain", "full", "due", "due with a deadline", "deadline"],
)
def test_its_rows_are_those_of_a_bulk(acme: Tenant, options: dict[str, Any]) -> None:
    request = JobRequest("noop", **options)
    submit_jobs(tenant=acme, requests=[request] * 2)  # makes the line
    with acting_as(command_actor("test")):
        single = submit_job(tenant=acme, request=request).job
        many = [done.job for _, done in submit_jobs(tenant=acme, requests=[request] * 2).accepted]
    with tenant_context(acme):
        for model, key in ((Job, "id"), (JobReady, "job_id"), (JobDue, "job_id"), (JobDeadline, "job_id")):
            assert rows_of(model, **{key: single.pk}) == rows_of(model, **{key: many[0].pk}), model
        (event,), (other,) = rows_of(JobEvent, job_id=single.pk), rows_of(JobEvent, job_id=many[0].pk)
        assert {**event, "job_id": None} == {**other, "job_id": None}
        wakes = list(Wake.objects.order_by("waiting_delta").values("tenant_id", "entity_id", "queue_id"))
        assert wakes[0] == wakes[1] == wakes[2]
        entry = AuditLogEntry.objects.get(target_id=str(single.pk))
        assert (entry.action, entry.after) == ("job.submitted", {"jobs": 1, "kinds": ["noop"]})
        assert entry.at is not None
        assert entry.actor_kind == "command"


def test_the_job_that_is_answered_is_the_stored_one(acme: Tenant) -> None:
    submit_job(tenant=acme, request=JobRequest("noop"))
    job = submit_job(tenant=acme, request=JobRequest("noop", {"n": 1})).job
    with tenant_context(acme):
        stored = Job.objects.get(pk=job.pk)
    names = [field.attname for field in Job._meta.local_concrete_fields]
    held = {name: getattr(job, name) for name in names}
    assert held == {name: getattr(stored, name) for name in names} | {"payload_hash": held["payload_hash"]}
    assert bytes(stored.payload_hash) == bytes(held["payload_hash"])
    assert not job._state.adding


def test_it_takes_one_statement_for_all_rows(acme: Tenant) -> None:
    submit_job(tenant=acme, request=JobRequest("noop"))
    with seen_statements() as seen:
        submit_job(tenant=acme, request=JobRequest("noop"))
    assert sum("INSERT INTO" in statement for statement in seen) == 1


def test_as_a_part_of_an_act_it_writes_no_entry(acme: Tenant) -> None:
    submit_job(tenant=acme, request=JobRequest("noop"))
    with part_of_act():
        job = submit_job(tenant=acme, request=JobRequest("noop")).job
    with tenant_context(acme):
        assert JobReady.objects.filter(job_id=job.pk).exists()
        assert not AuditLogEntry.objects.filter(target_id=str(job.pk)).exists()


@pytest.mark.django_db(transaction=True)
def test_a_refusal_without_a_savepoint_leaves_nothing_of_the_transaction(acme: Tenant) -> None:
    submit_job(tenant=acme, request=JobRequest("noop", idempotency_key="k"))
    with tenant_context(acme):
        submit_job(tenant=acme, request=JobRequest("noop"))
        with pytest.raises(IdempotencyMismatchError):
            submit_job(tenant=acme, request=JobRequest("noop", {"n": 1}, idempotency_key="k"), has_savepoint=False)
    with all_tenants():
        assert Job.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_view_that_fails_after_storing_leaves_nothing(
    acme: Tenant, api_client: Callable[[Tenant], APIClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = api_client(acme)
    client.raise_request_exception = False

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("nobody expected this")

    monkeypatch.setattr("scheduling.api.views.jobs.submission_response", fail)
    assert client.post("/api/v1/jobs/", {"kind": "noop"}, format="json").status_code == 500
    with all_tenants():
        assert not Job.objects.exists()
        assert not AuditLogEntry.objects.filter(action="job.submitted").exists()
