"""What a submission is answered: the id alone for whoever prefers that, and nothing that needs no asking."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from scheduling.models import Job
from scheduling.services import storing
from tenants.context import all_tenants
from tests.integration.api.test_jobs import CONTRACT, JOBS

pytestmark = pytest.mark.django_db


def test_a_submission_is_answered_by_the_id_alone_where_that_is_preferred(acme_api: APIClient) -> None:
    headers = {"Prefer": "respond-async, Return=minimal", "Idempotency-Key": "one"}
    first, again = (acme_api.post(JOBS, {"kind": "noop"}, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert list(first.json()) == ["id"]
    assert again.json() == first.json()
    assert first["Preference-Applied"] == again["Preference-Applied"] == "return=minimal"
    assert acme_api.get(first["Location"]).json()["id"] == first.json()["id"]
    whole = acme_api.post(JOBS, {"kind": "noop"}, headers={"Prefer": "return=representation"})
    assert set(whole.json()) >= CONTRACT


def test_what_was_just_submitted_is_asked_for_no_schedule(
    acme_api: APIClient, django_assert_max_num_queries: Any
) -> None:
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
def test_what_the_database_refuses_with_the_commit_is_a_problem_too(
    acme_api: APIClient, monkeypatch: pytest.MonkeyPatch, statement: str, status: int, code: str
) -> None:
    """The view has answered by then."""
    acme_api.post(JOBS, {"kind": "noop"})
    monkeypatch.setattr(storing, "_single", lambda **_: statement)
    acme_api.raise_request_exception = False
    answer = acme_api.post(JOBS, {"kind": "noop"}, headers={"Prefer": "return=minimal"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["X-Request-ID"]
    with all_tenants():
        assert Job.objects.count() == 1
