"""What a submission is answered: the id alone for whoever prefers that, and nothing that needs no asking."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

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
