"""`jobs/{id}/logs/` and `errors/`: pages by key, ETags, long polls, isolation between tenants."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db.models.functions import Now
from rest_framework.test import APIClient

from scheduling.execution.logs import api as view
from scheduling.execution.logs.lines import make_line
from scheduling.execution.logs.service import LogWrite, append_job_logs
from scheduling.models import Job, JobError
from tenants.access.api_keys import revoke_api_key
from tenants.access.memberships import add_member, remove_member
from tenants.access.people import deactivate_user
from tenants.context import tenant_context
from tenants.database.ids import uuid7
from tenants.models import ApiKey, Role, Tenant
from tenants.requests.long_polls import places
from tests.integration.scheduling.job_helpers import Start, Tick, fail, reload, submit
from tests.keys import issue_api_key

pytestmark = pytest.mark.django_db


def log(job: Job, *messages: str, level: str = "info") -> None:
    lines = [make_line(message, level, {"n": n}) for n, message in enumerate(messages)]
    append_job_logs([LogWrite(job.tenant_id, job.pk, uuid7(), attempt=1, lines=lines)])


def url(job: Job, query: str = "") -> str:
    return f"/api/v1/jobs/{job.pk}/logs/{query}"


def test_log_lines_come_oldest_first_page_by_page(acme_api: APIClient, available_job: Job) -> None:
    log(available_job, "one", "two", "three")
    first = acme_api.get(url(available_job, "?limit=2")).json()
    assert [line["message"] for line in first["results"]] == ["one", "two"]
    assert first["results"][0]["fields"] == {"n": 0}
    second = acme_api.get(first["next"]).json()
    assert [line["message"] for line in second["results"]] == ["three"]
    assert acme_api.get(second["next"]).json()["results"] == []


def test_level_filter_is_the_minimum_level(acme_api: APIClient, available_job: Job) -> None:
    log(available_job, "fine")
    log(available_job, "odd", level="warning")
    answer = acme_api.get(url(available_job, "?level=warning")).json()
    assert [line["message"] for line in answer["results"]] == ["odd"]


def test_unchanged_log_is_304_until_a_line_comes(acme_api: APIClient, available_job: Job) -> None:
    log(available_job, "one")
    tag = acme_api.get(url(available_job)).headers["ETag"]
    assert acme_api.get(url(available_job), HTTP_IF_NONE_MATCH=tag).status_code == 304
    log(available_job, "two")
    assert acme_api.get(url(available_job), HTTP_IF_NONE_MATCH=tag).status_code == 200


@pytest.mark.parametrize("query", ["?after=5", "?limit=0", "?limit=201", "?limit=٣", "?wait=31", "?level=loud", "?x=1"])
def test_invalid_log_query_is_422(acme_api: APIClient, available_job: Job, query: str) -> None:
    assert acme_api.get(url(available_job, query)).status_code == 422


def test_long_poll_of_a_log_answers_when_a_line_comes(
    acme_api: APIClient, available_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            log(available_job, "at last")

    monkeypatch.setattr(view.time, "sleep", pause)
    answer = acme_api.get(url(available_job, "?wait=30"))
    assert pauses == []  # the request has ended; the poll continues in the stream
    body = json.loads(b"".join(answer.streaming_content))
    assert [line["message"] for line in body["results"]] == ["at last"]
    assert len(pauses) == 2


def test_long_poll_of_a_log_ends_at_timeout_or_job_end(
    acme_api: APIClient, available_job: Job, completed_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(view.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(view.time, "monotonic", lambda: next(clock))
    body = json.loads(b"".join(acme_api.get(url(available_job, "?wait=30")).streaming_content))
    assert (body["results"], body["is_final"]) == ([], False)
    ended = acme_api.get(url(completed_job, "?wait=30"))
    assert (ended.status_code, ended.json()["is_final"]) == (200, True)


def test_long_poll_beyond_the_limit_of_polls_answers_at_once(
    acme_api: APIClient, available_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view.time, "sleep", lambda seconds: pytest.fail("it waits"))
    with ExitStack() as held:
        while places.acquire(blocking=False):
            held.callback(places.release)
        answer = acme_api.get(url(available_job, "?wait=30"))
        assert json.loads(b"".join(answer.streaming_content))["results"] == []


def test_log_download_is_the_whole_log_as_text(acme_api: APIClient, available_job: Job) -> None:
    log(available_job, "first\nline", "second")
    answer = acme_api.get(url(available_job, "download/"))
    text = b"".join(answer.streaming_content).decode()
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "info    #1 first\n    line n=0" in text
    assert text.count("\n") == 3


@pytest.mark.parametrize("path", ["", "?wait=5", "download/", "?limit=1"])
def test_log_of_a_foreign_job_is_404_on_every_route(globex_api: APIClient, available_job: Job, path: str) -> None:
    log(available_job, "secret")
    tag = {"HTTP_IF_NONE_MATCH": "*"}
    for options in ({}, tag):
        answer = globex_api.get(url(available_job, path), **options)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_tail_job_command_prints_and_follows_to_the_end(completed_job: Job) -> None:
    log(completed_job, "one", "two")
    out = io.StringIO()
    call_command("tail_job", str(completed_job.pk), "--follow", "--json", stdout=out)
    assert [json.loads(line)["message"] for line in out.getvalue().splitlines()] == ["one", "two"]
    with pytest.raises(CommandError, match="not_found"):
        call_command("tail_job", str(uuid7()))


@pytest.fixture
def errors_of(tick: Tick, start: Start) -> Callable[[Tenant, int], list[Job]]:
    """Return a function that lets `count` jobs of a tenant fail with the same error."""

    def die(tenant: Tenant, count: int) -> list[Job]:
        jobs = submit(tenant, count)
        for job in jobs:
            tick()
            fail(start, job, is_permanent=True)
        return jobs

    return die


def test_errors_are_grouped_per_tenant(
    acme: Tenant, globex: Tenant, acme_api: APIClient, globex_api: APIClient, errors_of
) -> None:
    mine = errors_of(acme, 2)
    errors_of(globex, 1)
    (group,) = acme_api.get("/api/v1/errors/").json()["results"]
    assert (group["count"], group["kinds"], group["type"]) == (2, ["noop"], "ValueError")
    assert group["job"] == str(mine[-1].pk)
    (foreign,) = globex_api.get("/api/v1/errors/").json()["results"]
    assert (foreign["count"], foreign["fingerprint"]) == (1, group["fingerprint"])
    occurrences = acme_api.get(f"/api/v1/errors/{group['fingerprint']}/").json()
    assert {each["job"] for each in occurrences["results"]} == {str(job.pk) for job in mine}
    assert all("ValueError: no" in each["traceback"] and each["dead_letter"] for each in occurrences["results"])
    with tenant_context(acme):
        assert JobError._base_manager.count() == 2


def test_traceback_needs_the_right_to_read_logs(acme: Tenant, errors_of) -> None:
    (job,) = errors_of(acme, 1)
    client = APIClient()
    token = issue_api_key(tenant=acme, name="narrow", scopes=["jobs.view"]).token
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {token}")
    (found,) = client.get(f"/api/v1/errors/{reload(job).error_fingerprint}/").json()["results"]
    assert (found["type"], found["traceback"]) == ("ValueError", "")
    assert client.get(url(job)).status_code == 403


def test_error_of_another_tenant_or_time_is_404(acme: Tenant, globex_api, acme_api, errors_of) -> None:
    (job,) = errors_of(acme, 1)
    address = f"/api/v1/errors/{reload(job).error_fingerprint}/"
    assert globex_api.get(address).status_code == 404
    assert acme_api.get(f"{address}?created_before=2020-01-01T00:00:00Z").status_code == 404


@pytest.mark.parametrize("how", ["revoked", "expired", "suspended user", "removed member"])
def test_long_poll_returns_nothing_after_the_right_is_lost(
    acme: Tenant,
    acme_user: User,
    outsider: User,
    staff: User,
    available_job: Job,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    client = APIClient()
    key = issue_api_key(tenant=acme, name="leaked")
    membership = add_member(tenant=acme, user=outsider, role=Role.VIEWER)
    if how in ("revoked", "expired"):
        client.credentials(HTTP_AUTHORIZATION=f"Api-Key {key.token}")
    else:
        client.force_login(outsider)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if how == "revoked":
            revoke_api_key(api_key=key.key)
        elif how == "expired":
            with tenant_context(acme):
                ApiKey.objects.filter(pk=key.key.pk).update(expires_at=Now())
        elif how == "suspended user":
            deactivate_user(user=outsider)
        else:
            remove_member(membership=membership)
        log(available_job, "not for you")

    monkeypatch.setattr(view.time, "sleep", pause)
    answer = client.get(url(available_job, "?wait=30"))
    body = json.loads(b"".join(answer.streaming_content))
    assert (body["results"], len(pauses)) == ([], 1)
    assert max(view.FIRST_PAUSE_SECONDS, view.LAST_PAUSE_SECONDS) <= 1
