"""Refusals by limits over HTTP: status, code, limit, usage, time of reset."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from django.db import connection
from rest_framework.test import APIClient

from scheduling.jobs.cancellation import cancel_here
from scheduling.jobs.retries import retry_jobs
from scheduling.limits import rate_buckets
from scheduling.limits.declared import WORKER_SECONDS
from scheduling.limits.usage import REDIS_AWAY
from scheduling.models import Job
from tenants.context import Actor, acting_as, tenant_context
from tenants.limits.declared import format_moment, month_end, month_of
from tenants.limits.service import set_tenant_limit
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import reload, submit
from tests.platform_settings import ChangePlatformSettings

pytestmark = pytest.mark.django_db

JOBS, BULK = "/api/v1/jobs/", "/api/v1/jobs/bulk/"
NOOP = {"kind": "noop"}


def allow(tenant: Tenant, **values: int) -> None:
    for key, value in values.items():
        set_tenant_limit(tenant=tenant, key=key, value=value, reason="test")


def use_worker_time(tenant: Tenant, microseconds: int) -> None:
    with tenant_context(tenant), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tenants_tenantusage AS u (tenant_id, key, period, amount) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (tenant_id, key, period) DO UPDATE SET amount = u.amount + excluded.amount",
            [tenant.pk, WORKER_SECONDS.key, month_of(datetime.now(UTC)), microseconds],
        )


def jobs_of(tenant: Tenant) -> int:
    with tenant_context(tenant):
        return Job.objects.count()


def test_submission_over_the_rate_is_429_until_the_next_token(acme: Tenant, acme_api: APIClient) -> None:
    allow(acme, submits_per_minute=2, submit_burst=1)
    first = acme_api.post(JOBS, NOOP)
    assert first.status_code == 201
    assert first.headers["RateLimit-Limit"] == "1"
    assert first.headers["RateLimit-Remaining"] == "0"
    assert 1 <= int(first.headers["RateLimit-Reset"]) <= 30
    answer = acme_api.post(JOBS, NOOP)
    assert answer.status_code == 429
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert 1 <= int(answer.headers["Retry-After"]) <= 30
    assert answer.headers["RateLimit-Remaining"] == "0"
    body = answer.json()
    assert set(body) == {"type", "title", "status", "code", "detail", "errors", "limit"}
    assert body["code"] == "rate_limited"
    limit = body["limit"]
    assert (limit["key"], limit["unit"], limit["allowed"], limit["left"]) == ("submits_per_minute", "jobs/min", 2, 0)
    assert limit["resets_at"] > format_moment(datetime.now(UTC))
    assert jobs_of(acme) == 1


def test_bulk_jobs_over_the_rate_are_rejected_with_a_reset_time(acme: Tenant, acme_api: APIClient) -> None:
    allow(acme, submits_per_minute=60, submit_burst=2)
    answer = acme_api.post(BULK, {"jobs": [NOOP] * 4})
    assert answer.status_code == 201
    assert (answer.headers["RateLimit-Limit"], answer.headers["RateLimit-Remaining"]) == ("2", "0")
    body = answer.json()
    assert [row["index"] for row in body["accepted"]] == [0, 1]
    assert [(row["index"], row["code"], row["retry_after_seconds"]) for row in body["rejected"]] == [
        (2, "rate_limited", 1),
        (3, "rate_limited", 2),
    ]
    assert {row["limit"]["key"] for row in body["rejected"]} == {"submits_per_minute"}


def test_cancel_and_retry_do_not_bypass_the_rate(
    acme: Tenant, acme_api: APIClient, staff_api: APIClient, available_job: Job
) -> None:
    allow(acme, submits_per_minute=2, submit_burst=1)
    acme_api.post(f"{JOBS}{available_job.pk}/cancel/")
    retry = f"{JOBS}{available_job.pk}/retry/"
    assert acme_api.post(retry).status_code == 201
    late = acme_api.post(retry)
    assert (late.status_code, late.json()["code"]) == (429, "rate_limited")
    assert late.json()["limit"]["key"] == "submits_per_minute"
    assert 1 <= int(late.headers["Retry-After"]) <= 30
    assert jobs_of(acme) == 2
    # Platform users are not limited by the tenant's rate.
    assert staff_api.post(retry, headers={"X-Tenant": "acme"}).status_code == 201


def test_requeued_dead_letter_costs_a_token(acme: Tenant, acme_api: APIClient, dead_job: Job) -> None:
    allow(acme, submits_per_minute=1, submit_burst=1)
    (letter,) = acme_api.get("/api/v1/dead-letters/").json()["results"]
    requeue = f"/api/v1/dead-letters/{letter['id']}/requeue/"
    assert acme_api.post(JOBS, NOOP).status_code == 201
    assert acme_api.post(requeue).json()["code"] == "rate_limited"
    assert not acme_api.get(f"/api/v1/dead-letters/{letter['id']}/").json()["requeued_at"]
    assert reload(dead_job).state == "discarded"


def test_retry_of_a_job_in_backoff_costs_no_token(acme: Tenant, acme_api: APIClient, retryable_job: Job) -> None:
    allow(acme, submits_per_minute=1, submit_burst=1)
    assert acme_api.post(JOBS, NOOP).status_code == 201
    assert acme_api.post(f"{JOBS}{retryable_job.pk}/retry/").status_code == 200


@pytest.mark.parametrize(("is_of_tenant", "replayed"), [(True, 2), (False, 3)])
def test_retry_of_many_jobs_replays_those_within_the_rate(acme: Tenant, is_of_tenant: bool, replayed: int) -> None:
    jobs = submit(acme, 3)
    allow(acme, submits_per_minute=60, submit_burst=2)
    with tenant_context(acme), acting_as(Actor(kind="user", label="ann", is_of_tenant=is_of_tenant)):
        cancel_here([job.pk for job in jobs], reason="")
        bulk = retry_jobs(job_ids=[job.pk for job in jobs])
    assert len(bulk.replayed) == replayed
    assert {error.code for error in bulk.refused.values()} <= {"rate_limited"}
    assert len(bulk.refused) == 3 - replayed


def test_repeated_idempotency_key_costs_no_token(acme: Tenant, acme_api: APIClient) -> None:
    allow(acme, submits_per_minute=1, submit_burst=1)
    first = acme_api.post(JOBS, NOOP, headers={"Idempotency-Key": "k"})
    again = acme_api.post(JOBS, NOOP, headers={"Idempotency-Key": "k"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["RateLimit-Remaining"] == "0"


def test_submission_over_max_waiting_jobs_is_429(acme: Tenant, acme_api: APIClient) -> None:
    allow(acme, max_waiting_jobs=1)
    assert acme_api.post(JOBS, NOOP).status_code == 201
    answer = acme_api.post(JOBS, NOOP)
    assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json()["limit"] == {
        "key": "max_waiting_jobs",
        "unit": "jobs",
        "allowed": 1,
        "used": 1,
        "left": 0,
        "resets_at": None,
    }


def test_submission_after_the_months_worker_time_is_429(acme: Tenant, acme_api: APIClient) -> None:
    allow(acme, worker_seconds_per_month=3)
    use_worker_time(acme, 2_999_999)
    assert acme_api.post(JOBS, NOOP).status_code == 201
    use_worker_time(acme, 500_001)
    answer = acme_api.post(JOBS, NOOP)
    now = datetime.now(UTC)
    assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
    assert answer.json()["limit"] == {
        "key": "worker_seconds_per_month",
        "unit": "s",
        "allowed": 3,
        "used": 3,
        "left": 0,
        "resets_at": format_moment(month_end(now)),
    }
    assert abs(int(answer.headers["Retry-After"]) - (month_end(now) - now).total_seconds()) < 60
    rejected = acme_api.post(BULK, {"jobs": [NOOP]}).json()["rejected"]
    assert [(row["code"], row["limit"]["key"]) for row in rejected] == [("quota_exceeded", WORKER_SECONDS.key)]


def test_bulk_over_its_size_limit_is_refused_whole(acme: Tenant, acme_api: APIClient) -> None:
    allow(acme, jobs_per_bulk=2)
    answer = acme_api.post(BULK, {"jobs": [NOOP] * 3})
    assert (answer.status_code, answer.json()["code"]) == (422, "batch_too_large")
    limit = answer.json()["limit"]
    assert (limit["key"], limit["allowed"], limit["used"], limit["left"]) == ("jobs_per_bulk", 2, 3, 0)
    assert jobs_of(acme) == 0
    assert acme_api.post(BULK, {"jobs": [NOOP] * 2}).status_code == 201


def test_other_problems_have_no_limit(acme_api: APIClient) -> None:
    assert "limit" not in acme_api.post(JOBS, {"kind": "nope"}).json()


def test_rate_is_separate_for_each_tenant(acme: Tenant, acme_api: APIClient, globex_api: APIClient) -> None:
    allow(acme, submits_per_minute=1, submit_burst=1)
    assert acme_api.post(JOBS, NOOP).status_code == 201
    assert acme_api.post(JOBS, NOOP).status_code == 429
    assert globex_api.post(JOBS, NOOP).status_code == 201


@pytest.fixture
def redis_away(change_platform_settings: ChangePlatformSettings) -> Iterator[None]:
    change_platform_settings(REDIS_URL="redis://127.0.0.1:1/0")
    rate_buckets._script.cache_clear()
    yield
    rate_buckets._script.cache_clear()
    rate_buckets._outage.__init__()  # type: ignore[misc]
    rate_buckets._local.__init__()  # type: ignore[misc]


def test_rate_without_redis_is_kept_by_the_process(acme: Tenant, acme_api: APIClient, redis_away: None) -> None:
    allow(acme, submits_per_minute=1, submit_burst=2)
    assert [acme_api.post(JOBS, NOOP).status_code for _ in range(3)] == [201, 201, 429]
    answer = acme_api.get("/api/v1/usage/")
    assert answer.status_code == 200
    assert {line["key"]: line["note"] for line in answer.json()["limits"] if line["note"]} == {
        "submit_burst": REDIS_AWAY
    }


def test_limits_have_no_note_while_redis_works(acme: Tenant, acme_api: APIClient) -> None:
    allow(acme, submits_per_minute=1, submit_burst=2)
    assert {line["note"] for line in acme_api.get("/api/v1/usage/").json()["limits"]} == {""}
