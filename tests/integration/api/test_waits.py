"""Long polls `jobs/{id}/?wait=` and `…/wait/`, and ETags of jobs and lists: 304 if unchanged."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from scheduling.jobs.cancellation import cancel_job
from scheduling.jobs.suspension import suspend_job
from scheduling.models import Job
from tenants.access.api_keys import revoke_api_key
from tenants.access.memberships import add_member, remove_member
from tenants.context import tenant_context
from tenants.models import AuditLogEntry, Role, Tenant
from tenants.requests import long_polls
from tests.integration.api.conftest import session_of
from tests.integration.scheduling.job_helpers import submit
from tests.keys import issue_api_key

pytestmark = pytest.mark.django_db


def url(job: Job, query: str = "") -> str:
    return f"/api/v1/jobs/{job.pk}/{query}"


def cancel(job: Job) -> None:
    with tenant_context(job.tenant_id):
        cancel_job(job_id=job.pk)


def no_pause(seconds: float) -> None:
    pytest.fail("it waits")


def test_unchanged_job_is_304_until_it_changes(acme_api: APIClient, available_job: Job) -> None:
    seen = acme_api.get(url(available_job))
    same = acme_api.get(url(available_job), headers={"If-None-Match": seen.headers["ETag"]})
    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", seen.headers["ETag"])
    cancel(available_job)
    changed = acme_api.get(url(available_job), headers={"If-None-Match": seen.headers["ETag"]})
    assert (changed.status_code, changed.json()["state"]) == (200, "cancelled")
    assert changed.headers["ETag"] != seen.headers["ETag"]


def test_etag_of_a_masked_job_differs_from_the_unmasked_one(
    acme_api: APIClient, viewer_api: APIClient, available_job: Job
) -> None:
    masked = viewer_api.get(url(available_job)).headers["ETag"]
    assert acme_api.get(url(available_job), headers={"If-None-Match": masked}).status_code == 200


def test_long_poll_ends_once_the_job_changes(
    acme_api: APIClient, available_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            cancel(available_job)

    monkeypatch.setattr(long_polls.time, "sleep", pause)
    answer = acme_api.get(url(available_job, "?wait=30"))
    assert (answer.status_code, answer.json()["state"], len(pauses)) == (200, "cancelled", 2)
    assert max(pauses) <= 1


@pytest.mark.parametrize("is_tag_given", [False, True])
def test_long_poll_ends_at_its_timeout_with_304(
    acme_api: APIClient, available_job: Job, monkeypatch: pytest.MonkeyPatch, is_tag_given: bool
) -> None:
    tag = acme_api.get(url(available_job)).headers["ETag"]
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(long_polls.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(long_polls.time, "monotonic", lambda: next(clock))
    headers = {"If-None-Match": tag} if is_tag_given else {}
    answer = acme_api.get(url(available_job, "?wait=30"), headers=headers)
    assert (answer.status_code, answer.headers["ETag"]) == (304 if is_tag_given else 200, tag)


def test_long_poll_of_a_changed_or_ended_job_answers_at_once(
    acme_api: APIClient, available_job: Job, completed_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_polls.time, "sleep", no_pause)
    assert acme_api.get(url(completed_job, "?wait=30")).status_code == 200
    tag = acme_api.get(url(completed_job)).headers["ETag"]
    assert acme_api.get(url(completed_job, "?wait=30"), headers={"If-None-Match": tag}).status_code == 304
    assert acme_api.get(url(available_job, "?wait=30"), headers={"If-None-Match": '"other"'}).status_code == 200
    assert acme_api.get(url(available_job, "?wait=0")).status_code == 200


def test_wait_for_the_end_outlasts_other_changes(
    acme_api: APIClient, available_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            with tenant_context(available_job.tenant_id):
                suspend_job(job_id=available_job.pk, reason="later")
        if len(pauses) == 3:
            cancel(available_job)

    monkeypatch.setattr(long_polls.time, "sleep", pause)
    answer = acme_api.get(url(available_job, "wait/?timeout=60"))
    assert (answer.status_code, answer.json()["state"], len(pauses)) == (200, "cancelled", 3)
    assert answer.json() == acme_api.get(url(available_job)).json()


def test_wait_for_the_end_returns_the_job_at_its_timeout(
    acme_api: APIClient, available_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(long_polls.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(long_polls.time, "monotonic", lambda: next(clock))
    tag = acme_api.get(url(available_job)).headers["ETag"]
    answer = acme_api.get(url(available_job, "wait/"), headers={"If-None-Match": tag})
    assert (answer.status_code, answer.json()["state"], answer.headers["ETag"]) == (200, "available", tag)


def test_wait_for_the_end_of_an_ended_job_answers_at_once(
    acme_api: APIClient, globex_api: APIClient, available_job: Job, completed_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_polls.time, "sleep", no_pause)
    assert acme_api.get(url(completed_job, "wait/?timeout=60")).json()["state"] == "completed"
    assert acme_api.get(url(available_job, "wait/?timeout=0")).status_code == 200
    assert globex_api.get(url(available_job, "wait/?timeout=60")).status_code == 404
    assert acme_api.get(url(available_job, "wait/?timeout=61")).status_code == 422


def test_long_poll_beyond_the_limit_of_polls_answers_at_once(
    acme_api: APIClient, available_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_polls, "places", type("None_", (), {"acquire": lambda self, blocking: False})())
    monkeypatch.setattr(long_polls.time, "sleep", no_pause)
    assert acme_api.get(url(available_job, "?wait=30")).json()["state"] == "available"


@pytest.mark.parametrize("query", ["?wait=31", "?wait=-1", "?wait=x", "?wait=1&wait=2", "?x=1"])
def test_invalid_long_poll_is_422(acme_api: APIClient, available_job: Job, query: str) -> None:
    assert acme_api.get(url(available_job, query)).status_code == 422


def test_foreign_job_is_404_for_any_etag(globex_api: APIClient, available_job: Job) -> None:
    for headers in ({}, {"If-None-Match": "*"}):
        assert globex_api.get(url(available_job, "?wait=30"), headers=headers).status_code == 404


@pytest.mark.parametrize("query", ["?wait=30", "wait/"])
@pytest.mark.parametrize("how", ["revoked key", "removed member"])
def test_long_poll_is_refused_within_one_check_of_losing_the_right(
    acme: Tenant, outsider: User, available_job: Job, monkeypatch: pytest.MonkeyPatch, how: str, query: str
) -> None:
    key = issue_api_key(tenant=acme, name="leaked")
    membership = add_member(tenant=acme, user=outsider, role=Role.VIEWER)
    client = APIClient() if how == "revoked key" else session_of(outsider)
    if how == "revoked key":
        client.credentials(HTTP_AUTHORIZATION=f"Api-Key {key.token}")
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        revoke_api_key(api_key=key.key) if how == "revoked key" else remove_member(membership=membership)

    monkeypatch.setattr(long_polls.time, "sleep", pause)
    answer = client.get(url(available_job, query))
    assert (answer.status_code, len(pauses)) == (401 if how == "revoked key" else 403, 1)


def test_reveal_by_the_platform_is_audited_once_per_poll(
    staff_api: APIClient, available_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_polls.time, "sleep", lambda seconds: cancel(available_job))
    answer = staff_api.get(url(available_job, "?wait=30"))
    assert answer.json()["state"] == "cancelled"
    staff_api.get(url(available_job), headers={"If-None-Match": answer.headers["ETag"]})
    with tenant_context(available_job.tenant_id):
        assert AuditLogEntry.objects.filter(action="job.payload_revealed").count() == 1


@pytest.mark.parametrize("path", ["/api/v1/jobs/", "/api/v1/jobs/?limit=1", "/api/v1/api-keys/"])
def test_unchanged_page_is_304(acme: Tenant, acme_api: APIClient, available_job: Job, path: str) -> None:
    seen = acme_api.get(path)
    assert seen.headers["Cache-Control"] == "private, no-cache"
    same = acme_api.get(path, headers={"If-None-Match": seen.headers["ETag"]})
    assert (same.status_code, same.content) == (304, b"")
    submit(acme)
    issue_api_key(tenant=acme, name="another")
    assert acme_api.get(path, headers={"If-None-Match": seen.headers["ETag"]}).status_code == 200


def test_stream_of_the_web_server_is_refused_with_the_cure_and_no_time_to_retry(
    acme_api: APIClient, available_job: Job
) -> None:
    for address in ("/api/v1/jobs/stream/", url(available_job, "stream/")):
        refused = acme_api.get(address)
        assert (refused.status_code, refused.json()["code"]) == (503, "no_streams_here")
        assert "run_platform starts it" in refused.json()["detail"]
        assert "Retry-After" not in refused.headers
