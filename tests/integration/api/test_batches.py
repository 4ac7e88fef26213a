"""Batches over the API and in the console: created, filled, closed, read, cancelled."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from scheduling.jobs.batches.firing import fire_batches
from scheduling.jobs.batches.folding import fold_batches
from scheduling.models import Batch, Job
from tenants.context import all_tenants
from tests.integration.api.test_access import API, assert_problem
from tests.integration.scheduling.job_helpers import Start, Tick, complete, fail
from tests.person import client_of


@pytest.fixture
def acme_api(acme_user: User) -> APIClient:
    """Return a client with an owner's session: payloads and approvals need a person's login."""
    return client_of(acme_user)


BATCHES = API + "batches/"


def make(api: APIClient, jobs: int = 2, **body: Any) -> dict[str, Any]:
    answer = api.post(BATCHES, {"label": "nightly", "jobs": [{"kind": "noop"}] * jobs, **body})
    assert answer.status_code == 201, answer.content
    assert answer["Location"].endswith(f"/batches/{answer.json()['id']}/")
    return dict(answer.json())


def jobs_of(batch: dict[str, Any]) -> list[Job]:
    with all_tenants():
        return list(Job.objects.filter(batch_id=batch["id"]).order_by("id"))


def test_batch_with_jobs_is_closed_and_read_until_it_ends(acme_api: APIClient, tick: Tick, start: Start) -> None:
    batch = make(acme_api, on_completion={"job": {"kind": "noop", "summary_as": "batch"}})
    assert (batch["state"], batch["total"], batch["kind"], batch["states"]) == ("running", 2, "noop", {"available": 2})
    assert batch["on_completion"]["kind"] == "noop"
    tick()
    good, bad = jobs_of(batch)
    complete(start, good)
    fail(start, bad, is_permanent=True)
    fold_batches()
    fire_batches()
    detail = acme_api.get(BATCHES + batch["id"] + "/").json()
    assert (detail["state"], detail["ended"], detail["completed"], detail["failed"]) == ("failed", 2, 1, 1)
    assert detail["errors"] == [
        {"type": "ValueError", "fingerprint": detail["errors"][0]["fingerprint"], "message": "no", "jobs": 1}
    ]
    assert detail["states"] == {"completed": 1, "discarded": 1}
    done = acme_api.get(API + f"jobs/{detail['on_completion']['job']}/").json()
    assert done["payload"]["batch"]["failed"] == 1
    listed = acme_api.get(BATCHES).json()["results"]
    assert [(row["id"], row["state"]) for row in listed] == [(batch["id"], "failed")]


def test_open_batch_is_filled_and_closed(acme_api: APIClient) -> None:
    batch = make(acme_api, 0)
    assert batch["state"] == "open"
    path = BATCHES + batch["id"] + "/"
    answer = acme_api.post(path + "jobs/", {"jobs": [{"kind": "noop"}, {"kind": "nope"}, {"kind": 7}]})
    assert answer.status_code == 201
    assert [row["index"] for row in answer.json()["accepted"]] == [0]
    assert [(row["index"], row["code"]) for row in answer.json()["rejected"]] == [(1, "kind_unknown"), (2, "invalid")]
    answer = acme_api.post(API + "jobs/bulk/", {"jobs": [{"kind": "noop"}], "batch": batch["id"]})
    assert len(answer.json()["accepted"]) == 1
    listed = acme_api.get(path + "jobs/").json()["results"]
    assert [row["batch"] for row in listed] == [batch["id"]] * 2
    assert acme_api.post(path + "close/", {}).json()["state"] == "running"
    assert_problem(acme_api.post(path + "jobs/", {"jobs": [{"kind": "noop"}]}), 409, "batch_closed")
    answer = acme_api.post(API + "jobs/bulk/", {"jobs": [{"kind": "noop"}], "batch": batch["id"]})
    assert_problem(answer, 409, "batch_closed")


def test_cancelling_a_batch_cancels_its_jobs(acme_api: APIClient) -> None:
    batch = make(acme_api, 3, closed=False)
    answer = acme_api.post(BATCHES + batch["id"] + "/cancel/", {"reason": "a mistake"})
    assert (answer.status_code, answer.json()["state"], answer.json()["cancel_reason"]) == (
        202,
        "cancelling",
        "a mistake",
    )
    fold_batches()
    assert acme_api.get(BATCHES + batch["id"] + "/").json()["state"] == "cancelled"
    assert {job.state for job in jobs_of(batch)} == {"cancelled"}
    assert_problem(acme_api.post(BATCHES + batch["id"] + "/cancel/", {}), 409, "batch_ended")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid"),
        ({"label": "x", "jobs": [{"kind": "nope"}]}, "kind_unknown"),
        ({"label": "x", "jobs": [{}]}, "invalid"),
        ({"label": "x", "jobs": {}}, "invalid"),
        ({"label": "x", "on_completion": {}}, "invalid"),
        ({"label": "x", "on_completion": {"job": {"kind": "noop"}, "webhook": str(uuid4())}}, "invalid"),
        ({"label": "x", "on_completion": {"job": {"kind": "nope"}}}, "kind_unknown"),
        ({"label": "x", "on_completion": {"job": {"kind": "sleep", "payload": {"seconds": "x"}}}}, "payload_invalid"),
        ({"label": "x", "on_completion": {"webhook": "x"}}, "invalid"),
        ({"label": "x", "then": 1}, "invalid"),
    ],
)
def test_invalid_batch_is_refused_and_stores_nothing(acme_api: APIClient, body: dict[str, Any], code: str) -> None:
    assert_problem(acme_api.post(BATCHES, body), 422, code)
    with all_tenants():
        assert not Batch.objects.exists()
        assert not Job.objects.exists()


def test_bulk_request_with_an_invalid_batch_is_refused(acme_api: APIClient) -> None:
    jobs = [{"kind": "noop"}]
    assert_problem(acme_api.post(API + "jobs/bulk/", {"jobs": jobs, "batch": "x"}), 422, "field_invalid")
    assert_problem(acme_api.post(API + "jobs/bulk/", {"jobs": jobs, "batch": str(uuid4())}), 404, "not_found")
    assert_problem(acme_api.post(API + "jobs/bulk/", {"jobs": jobs, "more": 1}), 422, "field_invalid")


def test_batch_of_another_tenant_is_not_found(acme_api: APIClient, globex_api: APIClient) -> None:
    path = BATCHES + make(acme_api, closed=False)["id"] + "/"
    for answer in (
        globex_api.get(path),
        globex_api.get(path + "jobs/"),
        globex_api.post(path + "jobs/", {"jobs": [{"kind": "noop"}]}),
        globex_api.post(path + "close/", {}),
        globex_api.post(path + "cancel/", {}),
    ):
        assert_problem(answer, 404, "not_found")


def test_console_shows_and_cancels_a_batch(
    acme_api: APIClient, client: Client, acme_user: User, tick: Tick, start: Start
) -> None:
    batch = make(acme_api, 2, closed=False, on_completion={"job": {"kind": "noop"}})
    tick()
    fail(start, jobs_of(batch)[0], is_permanent=True)
    fold_batches()
    client.force_login(acme_user)
    page = client.get(reverse("admin:scheduling_batch_change", args=[batch["id"]])).content.decode()
    for words in ("1 of 2 ended", "1 × ", "ValueError", "A job of the kind noop will be submitted.", "Cancel", "Close"):
        assert words in page
    listed = client.get(reverse("admin:scheduling_batch_changelist")).content.decode()
    assert "1 of 2 ended" in listed
