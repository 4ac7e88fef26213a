"""Answers of requests that submit or change a job: the stored job, its id, or the job with its waiting reasons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from scheduling.jobs import storing
from scheduling.models import Job
from tenants.context import all_tenants
from tenants.transactions import execute_with_commit
from tests.integration.api.test_jobs import CONTRACT, JOBS
from tests.integration.api.test_schedules import SCHEDULES, create
from tests.prepared_statements import seen_statements

pytestmark = pytest.mark.django_db

# Tables that are read only for waiting reasons.
EXPLAINING = ("scheduling_queue_clock", "kind_cost")


def test_submission_with_prefer_minimal_returns_only_the_id(acme_api: APIClient) -> None:
    headers = {"Prefer": "respond-async, Return=minimal", "Idempotency-Key": "one"}
    first, again = (acme_api.post(JOBS, {"kind": "noop"}, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert list(first.json()) == ["id"]
    assert again.json() == first.json()
    assert first["Preference-Applied"] == again["Preference-Applied"] == "return=minimal"
    assert acme_api.get(first["Location"]).json()["id"] == first.json()["id"]
    whole = acme_api.post(JOBS, {"kind": "noop"}, headers={"Prefer": "return=representation"})
    assert set(whole.json()) >= CONTRACT - {"waiting"}


def explaining_statements(act: Callable[[], Any]) -> int:
    """Return how many statements of an act read data needed only for waiting reasons."""
    with seen_statements() as prepared, CaptureQueriesContext(connection) as captured:
        act()
    texts = [*prepared, *(query["sql"] or "" for query in captured.captured_queries)]
    return sum(any(table in text for table in EXPLAINING) for text in texts)


def test_submission_computes_no_waiting_reasons_unless_requested(acme_api: APIClient) -> None:
    assert explaining_statements(lambda: acme_api.post(JOBS, {"kind": "noop"})) == 0
    assert explaining_statements(lambda: acme_api.post(f"{JOBS}?include=waiting", {"kind": "noop"})) > 0


def test_included_waiting_equals_that_of_get(acme_api: APIClient) -> None:
    answer = acme_api.post(f"{JOBS}?include=waiting", {"kind": "noop"})
    job, shown = answer.json(), acme_api.get(answer["Location"]).json()
    assert set(job) == set(shown)
    assert job["waiting"]["reasons"] == shown["waiting"]["reasons"]
    assert job["waiting"]["position"] == shown["waiting"]["position"] == 1


@pytest.mark.parametrize("query", ["include=", "include=eta", "include=waiting,eta", "include=waiting&include=waiting"])
@pytest.mark.parametrize("extra", ["", "&explain=1"])
def test_submission_with_an_unknown_query_is_refused_and_stores_nothing(
    acme_api: APIClient, query: str, extra: str
) -> None:
    answer = acme_api.post(f"{JOBS}?{query}{extra}", {"kind": "noop"})
    assert (answer.status_code, answer["Content-Type"]) == (422, "application/problem+json"), answer.content
    assert acme_api.get(JOBS).json()["results"] == []


def test_cancel_returns_the_stored_job(acme_api: APIClient) -> None:
    first, second = (acme_api.post(JOBS, {"kind": "noop"})["Location"] for _ in range(2))
    assert "waiting" not in acme_api.post(f"{first}cancel/").json()
    assert acme_api.post(f"{second}cancel/?include=waiting").json()["waiting"] is None
    assert acme_api.post(f"{second}cancel/?include=eta").status_code == 422


def test_retry_returns_the_stored_job(acme_api: APIClient, retryable_job: Job) -> None:
    path = f"{JOBS}{retryable_job.id}/retry/"
    assert acme_api.post(f"{path}?wait=1").status_code == 422
    job = acme_api.post(path).json()
    assert (job["state"], "waiting" in job) == ("available", False)


@pytest.mark.parametrize("path", ["jobs/{job}/retry/", "dead-letters/{letter}/requeue/"])
@pytest.mark.parametrize(("query", "has_waiting"), [("", False), ("?include=waiting", True)])
def test_requeue_of_a_dead_job_returns_the_stored_job(
    acme_api: APIClient,
    dead_job: Job,
    path: str,
    query: str,
    has_waiting: bool,
) -> None:
    (letter,) = acme_api.get("/api/v1/dead-letters/").json()["results"]
    path = "/api/v1/" + path.format(job=dead_job.id, letter=letter["id"])
    assert acme_api.post(f"{path}?explain=1").status_code == 422
    answer = acme_api.post(path + query)
    assert answer.status_code == 201, answer.content
    assert ("waiting" in answer.json()) is has_waiting


def test_run_now_of_a_schedule_returns_the_stored_job(acme_api: APIClient) -> None:
    path = f"{SCHEDULES}{create(acme_api)['id']}/run-now/"
    assert acme_api.post(f"{path}?explain=1").status_code == 422
    assert "waiting" not in acme_api.post(path).json()
    assert acme_api.post(f"{path}?include=waiting").json()["waiting"]["reasons"]


def test_submission_reads_no_schedule(acme_api: APIClient, django_assert_max_num_queries: Any) -> None:
    acme_api.post(JOBS, {"kind": "noop"})
    with django_assert_max_num_queries(25) as asked:
        job = acme_api.post(JOBS, {"kind": "noop"}).json()
    assert job["schedule"] is None
    assert [query["sql"] for query in asked if "schedulefire" in (query["sql"] or "")] == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("statement", "status", "code"),
    [
        ("INSERT INTO scheduling_wake (queue_id) VALUES (1 / 0)", 422, "field_invalid"),
        ("INSERT INTO scheduling_wake (queue_id) VALUES (NULL)", 500, "internal_error"),
    ],
)
def test_submission_refused_at_commit_is_answered_as_a_problem(
    acme_api: APIClient, monkeypatch: pytest.MonkeyPatch, statement: str, status: int, code: str
) -> None:
    """Cover a refusal after the view has answered."""
    acme_api.post(JOBS, {"kind": "noop"})
    monkeypatch.setattr(storing, "execute_with_commit", lambda _, params: execute_with_commit(statement, params))
    acme_api.raise_request_exception = False
    answer = acme_api.post(JOBS, {"kind": "noop"}, headers={"Prefer": "return=minimal"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["X-Request-ID"]
    with all_tenants():
        assert Job.objects.count() == 1
