"""Submission: what is accepted and what is refused, each with its named error."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from scheduling.exceptions import (
    IdempotencyInFlightError,
    IdempotencyMismatchError,
    KindUnknownError,
    OptionInvalidError,
    PayloadInvalidError,
    PayloadTooLargeError,
    PriorityNotAllowedError,
    QueueNotAllowedError,
    QuotaExceededError,
    RetriesNotAllowedError,
)
from scheduling.fleet.workers import Registration
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.routing.conditions import failing_condition
from scheduling.jobs.routing.service import Routes
from scheduling.jobs.submission import submit_job, submit_jobs
from scheduling.jobs.tenant_queue import TenantIsolatedTaskQueue
from scheduling.models import Job, JobEvent, Queue, RoutingRule
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry, Plan, Tenant
from tests.integration.scheduling.job_helpers import Tick, in_flight, submit
from tests.platform_settings import ChangePlatformSettings

pytestmark = pytest.mark.django_db

DEEP: dict[str, Any] = {}
for _ in range(2_000):
    DEEP = {"a": DEEP}


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"kind": "nope"}, KindUnknownError),
        ({"kind": "sleep", "payload": {"seconds": "long"}}, PayloadInvalidError),
        ({"kind": "sleep", "payload": {}}, PayloadInvalidError),
        ({"payload": {"a": "\0"}}, PayloadInvalidError),
        ({"payload": {"a": "\ud800"}}, PayloadInvalidError),
        ({"payload": {"a": float("nan")}}, PayloadInvalidError),
        ({"payload": {"a": object()}}, PayloadInvalidError),
        ({"payload": DEEP}, PayloadInvalidError),
        ({"payload": {"a": "x" * 300_000}}, PayloadTooLargeError),
        ({"priority": 11}, PriorityNotAllowedError),
        ({"priority": -11}, PriorityNotAllowedError),
        ({"max_retries": 4}, RetriesNotAllowedError),
        ({"max_retries": -1}, RetriesNotAllowedError),
        ({"queue": "priority_pipeline"}, QueueNotAllowedError),
        ({"queue": "no-such-queue"}, QueueNotAllowedError),
        ({"tags": ["x"] * 21}, OptionInvalidError),
        ({"tags": ["x" * 65]}, OptionInvalidError),
        ({"tags": ["a\u202eb"]}, OptionInvalidError),
        ({"idempotency_key": "k" * 201}, OptionInvalidError),
        ({"run_at": datetime(2030, 1, 1)}, OptionInvalidError),  # noqa: DTZ001 - a time without a zone is the point
        ({"deadline": timezone.now() - timedelta(seconds=1)}, OptionInvalidError),
    ],
)
def test_invalid_request_is_refused_with_its_error(
    acme: Tenant, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        submit_job(tenant=acme, request=JobRequest(**{"kind": "noop", **options}))
    with tenant_context(acme):
        assert not Job.objects.exists()


def test_diagnostic_kind_is_unknown_unless_enabled(
    acme: Tenant, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(DIAGNOSTIC_KINDS=False)
    with pytest.raises(KindUnknownError):
        submit_job(tenant=acme, request=JobRequest("crash"))
    change_platform_settings(DIAGNOSTIC_KINDS=True)
    assert submit_job(tenant=acme, request=JobRequest("crash")).created


def test_repeated_key_with_another_payload_is_a_mismatch(acme: Tenant) -> None:
    submit_job(tenant=acme, request=JobRequest("noop", {"n": 1}, idempotency_key="k"))
    with pytest.raises(IdempotencyMismatchError):
        submit_job(tenant=acme, request=JobRequest("noop", {"n": 2}, idempotency_key="k"))


def test_idempotency_key_of_another_tenant_is_another_job(acme: Tenant, globex: Tenant) -> None:
    request = JobRequest("noop", idempotency_key="k")
    assert submit_job(tenant=acme, request=request).job != submit_job(tenant=globex, request=request).job


@pytest.mark.django_db(transaction=True)
def test_concurrent_submissions_with_one_key_create_one_job(acme: Tenant) -> None:
    def attempt(_: int) -> bool | None:
        try:
            return submit_job(tenant=acme, request=JobRequest("noop", idempotency_key="k")).created
        except IdempotencyInFlightError:
            return None
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(attempt, range(50)))
    assert answers.count(True) == 1
    with tenant_context(acme):
        assert Job.objects.count() == 1


def test_bulk_accepts_valid_jobs_and_names_the_rest(acme: Tenant) -> None:
    requests = [JobRequest("noop"), JobRequest("nope"), JobRequest("noop", priority=99), JobRequest("noop")]
    bulk = submit_jobs(tenant=acme, requests=requests)
    assert [index for index, _ in bulk.accepted] == [0, 3]
    assert [(index, error.code) for index, error in bulk.rejected] == [
        (1, "kind_unknown"),
        (2, "priority_not_allowed"),
    ]


def test_waiting_jobs_are_limited_by_the_plan(acme: Tenant, tick: Tick) -> None:
    with all_tenants():
        Plan.objects.filter(pk=acme.plan_id).update(max_waiting_jobs=3)
    with tenant_context(acme):
        tenant = Tenant.objects.select_related("plan").get(pk=acme.pk)
    submit(tenant, 2)
    tick()  # folded into the entity, and still counted
    bulk = submit_jobs(tenant=tenant, requests=[JobRequest("noop")] * 2)
    assert (len(bulk.accepted), len(bulk.rejected)) == (1, 1)
    with pytest.raises(QuotaExceededError) as refusal:
        submit_job(tenant=tenant, request=JobRequest("noop"))
    assert refusal.value.retry_after_seconds


def test_submission_stores_events_and_one_audit_entry(acme: Tenant) -> None:
    submit(acme, 3)
    with tenant_context(acme):
        assert JobEvent.objects.filter(name="job.submitted").count() == 3
        assert AuditLogEntry.objects.filter(action="job.submitted").count() == 1


def test_priority_orders_a_tenants_own_jobs(acme: Tenant, tick: Tick, worker: Registration) -> None:
    submit(acme, 6)
    urgent = submit(acme, 1, priority=5)
    tick()
    assert urgent[0].pk in {job.pk for job in in_flight()}


@pytest.mark.parametrize(
    ("condition", "payload", "expected"),
    [
        (None, {}, True),
        ({"field": "pages", "op": "gt", "value": 100}, {"pages": 101}, True),
        ({"field": "pages", "op": "gt", "value": 100}, {"pages": 100}, False),
        ({"field": "pages", "op": "gt", "value": 100}, {"pages": "many"}, False),  # not comparable
        ({"field": "pages", "op": "gt", "value": 100}, {}, False),  # missing
        ({"field": "a.b", "op": "eq", "value": 1}, {"a": {"b": 1}}, True),
        ({"field": "a.b", "op": "eq", "value": 1}, {"a": 5}, False),
        ({"field": "lang", "op": "in", "value": ["en", "zh"]}, {"lang": "zh"}, True),
        ({"field": "lang", "op": "exists", "value": False}, {}, True),
    ],
)
def test_routing_condition_is_evaluated(condition: Any, payload: dict[str, Any], expected: bool) -> None:
    assert (failing_condition(condition, payload) is None) is expected


@pytest.mark.parametrize(
    ("kind", "tier", "requested", "queue"),
    [
        ("document_indexing", "sandbox", None, "dataset"),
        ("rag_pipeline", "sandbox", None, "pipeline"),
        ("rag_pipeline", "sandbox", "priority_pipeline", "priority_pipeline"),
        ("rag_pipeline", "professional", None, "priority_pipeline"),
        ("workflow_execution", "team", None, "workflow_team"),
        ("workflow_storage", "team", None, "workflow_storage"),
        ("noop", "sandbox", None, "tasks_sandbox"),
    ],
)
def test_initial_rules_route_by_kind_and_tier(kind: str, tier: str, requested: str | None, queue: str) -> None:
    assert Routes.load(tier).queue_for(kind, {}, requested).name == queue


def test_operators_rule_precedes_the_others(acme: Tenant) -> None:
    with all_tenants():
        RoutingRule.objects.create(
            position=1,
            kind="noop",
            queue=Queue.objects.get(name="pipeline"),
            condition={"field": "big", "op": "eq", "value": True},
        )
    assert submit(acme, payload={"big": True})[0].queue.name == "pipeline"
    assert submit(acme)[0].queue.name == "tasks_team"


def test_tenant_task_queue_pushes_peeks_and_pulls(acme: Tenant, tick: Tick, worker: Registration) -> None:
    queue = TenantIsolatedTaskQueue(acme, "noop")
    first, second = (queue.push_task({"n": n}).job for n in range(2))
    submit(acme, kind="sleep", payload={"seconds": 0})
    tick_free = worker.slots
    assert queue.depth() == 2
    assert [job.pk for job in queue.peek()] == [first.pk, second.pk]
    assert queue.oldest_age() is not None
    assert queue.pull_tasks(1) == 1
    assert [job.pk for job in in_flight()] == [first.pk]
    assert queue.depth() == 1
    assert tick().dispatched == 2 <= tick_free
