"""Cached answers about ended jobs: visibility and expiry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from scheduling.jobs import api_reads as ended_jobs
from scheduling.jobs.cancellation import cancel_job
from scheduling.models import Job
from tenants.access.api_keys import revoke_api_key
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry, Tenant
from tests.integration.api.test_schedules import SCHEDULES, create
from tests.integration.scheduling.job_helpers import submit
from tests.keys import issue_api_key
from tests.person import client_of
from tests.prepared_statements import seen_statements

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def cleared() -> Iterator[None]:
    """Clear the cache of ended jobs before and after each test."""
    ended_jobs.clear()
    yield
    ended_jobs.clear()


def url(job: Job, query: str = "") -> str:
    return f"/api/v1/jobs/{job.pk}/{query}"


def reads_of_jobs(act: Callable[[], Any]) -> int:
    """Return how many statements of an act read a table of jobs."""
    with seen_statements() as prepared, CaptureQueriesContext(connection) as captured:
        act()
    texts = [*prepared, *(query["sql"] or "" for query in captured.captured_queries)]
    return sum("scheduling_" in text for text in texts)


def end(job: Job) -> None:
    with tenant_context(job.tenant_id):
        cancel_job(job_id=job.pk)


@pytest.mark.parametrize("query", ["", "wait/", "?wait=30"])
def test_second_read_of_an_ended_job_reads_no_job(acme_api: APIClient, completed_job: Job, query: str) -> None:
    first = acme_api.get(url(completed_job))
    assert reads_of_jobs(lambda: acme_api.get(url(completed_job, query))) == 0
    again = acme_api.get(url(completed_job, query))
    assert (again.status_code, again.json(), again.headers["ETag"]) == (200, first.json(), first.headers["ETag"])
    assert again.headers["Cache-Control"] == "private, no-cache"
    assert again.json()["waiting"] is None


def test_cached_answer_is_304_for_its_etag(acme_api: APIClient, completed_job: Job) -> None:
    tag = acme_api.get(url(completed_job)).headers["ETag"]
    same = acme_api.get(url(completed_job), headers={"If-None-Match": tag})
    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag)
    assert acme_api.get(url(completed_job), headers={"If-None-Match": '"other"'}).status_code == 200


def test_running_and_waiting_jobs_are_never_cached(acme_api: APIClient, executing_job: Job, available_job: Job) -> None:
    for job in (executing_job, available_job):
        acme_api.get(url(job))
        assert reads_of_jobs(lambda job=job: acme_api.get(url(job))) > 0
    end(available_job)
    assert acme_api.get(url(available_job)).json()["state"] == "cancelled"


def test_viewer_does_not_get_the_answer_cached_for_an_owner(
    acme_user: User, viewer_api: APIClient, completed_job: Job
) -> None:
    owner = client_of(acme_user)
    shown = [owner.get(url(completed_job)).json(), viewer_api.get(url(completed_job)).json()]
    shown += [owner.get(url(completed_job)).json(), viewer_api.get(url(completed_job)).json()]
    assert [job["is_masked"] for job in shown] == [False, True, False, True]
    assert [job["payload"] is None for job in shown] == [False, True, False, True]


def test_ended_job_of_another_tenant_is_404(acme_api: APIClient, globex_api: APIClient, completed_job: Job) -> None:
    acme_api.get(url(completed_job))
    for query in ("", "wait/"):
        for headers in ({}, {"If-None-Match": "*"}):
            assert globex_api.get(url(completed_job, query), headers=headers).status_code == 404


def test_revoked_key_is_answered_401(acme: Tenant, completed_job: Job) -> None:
    key = issue_api_key(tenant=acme, name="leaked")
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {key.token}")
    assert client.get(url(completed_job)).status_code == 200
    revoke_api_key(api_key=key.key)
    assert client.get(url(completed_job)).status_code == 401


def test_each_read_by_the_platform_is_audited(acme_user: User, staff_api: APIClient, completed_job: Job) -> None:
    client_of(acme_user).get(url(completed_job))
    for _ in range(2):
        assert staff_api.get(url(completed_job), headers={"X-Tenant": "acme"}).json()["payload"] is not None
    with tenant_context(completed_job.tenant_id):
        assert AuditLogEntry.objects.filter(action="job.payload_revealed").count() == 2


def test_pruned_job_is_404_once_its_cached_answer_has_expired(acme_api: APIClient, available_job: Job) -> None:
    end(available_job)
    acme_api.get(url(available_job))
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM scheduling_job WHERE id = %s", [available_job.pk])
    assert acme_api.get(url(available_job)).status_code == 200
    ended_jobs.clear()
    assert acme_api.get(url(available_job)).status_code == 404


def test_job_of_a_schedule_is_not_cached(acme_api: APIClient) -> None:
    schedule = create(acme_api)
    job = acme_api.post(f"{SCHEDULES}{schedule['id']}/run-now/").json()
    path = f"/api/v1/jobs/{job['id']}/"
    assert acme_api.post(f"{path}cancel/").json()["state"] == "cancelled"
    assert acme_api.get(path).json()["schedule"]["name"] == "nightly report"
    assert acme_api.patch(f"{SCHEDULES}{schedule['id']}/", {"name": "report"}).status_code == 200
    assert acme_api.get(path).json()["schedule"]["name"] == "report"


@pytest.mark.parametrize(
    ("bound", "value"), [("MAX_PAYLOAD_BYTES", 10), ("MAX_ANSWER_CHARACTERS", 100)], ids=["payload", "answer"]
)
def test_large_job_is_not_cached(
    acme: Tenant, acme_api: APIClient, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    (job,) = submit(acme, payload={"note": "longer than ten bytes"})
    end(job)
    monkeypatch.setattr(ended_jobs, bound, value)
    acme_api.get(url(job))
    assert reads_of_jobs(lambda: acme_api.get(url(job))) > 0


def test_invalid_query_for_a_cached_job_is_422(acme_api: APIClient, completed_job: Job) -> None:
    acme_api.get(url(completed_job))
    assert acme_api.get(url(completed_job, "?wait=31")).status_code == 422
