"""Jobs over HTTP: submitted, read, cancelled, retried."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from scheduling.models import Job
from tenants.context import all_tenants, tenant_context
from tenants.database.ids import uuid7
from tenants.models import AuditLogEntry, Tenant
from tests.integration.scheduling.job_helpers import Tick, submit
from tests.person import client_of


@pytest.fixture
def owner_api(acme_user: User) -> APIClient:
    """Return a client with an owner's session: payloads and approvals need a person's login."""
    return client_of(acme_user)


JOBS = "/api/v1/jobs/"
CONTRACT = set(
    "id kind state queue priority fair_key tags payload attempt max_retries progress waiting result error"  # noqa: SIM905
    " created_at run_at started_at finished_at parent batch".split()
)


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


def test_submission_returns_the_stored_job_and_its_address(owner_api: APIClient) -> None:
    run_at = (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0)
    answer = owner_api.post(
        JOBS,
        {
            "kind": "sleep",
            "payload": {"seconds": 1},
            "priority": 3,
            "run_at": run_at.isoformat(),
            "deadline": (run_at + timedelta(hours=1)).isoformat(),
            "fair_key": "ann",
            "tags": ["b", "a", "b"],
            "max_retries": 1,
        },
    )
    assert answer.status_code == 201, answer.content
    job = answer.json()
    assert set(job) >= CONTRACT - {"waiting"}
    assert (job["state"], job["queue"], job["priority"]) == ("scheduled", "tasks_team", 3)
    assert (job["fair_key"], job["tags"], job["max_retries"]) == ("ann", ["b", "a"], 1)
    assert (job["payload"], job["result"], job["error"]) == ({"seconds": 1}, None, None)
    assert datetime.fromisoformat(job["run_at"]) == run_at
    assert job["created_at"].endswith("Z")
    assert answer["Location"].endswith(f"{JOBS}{job['id']}/")
    shown = owner_api.get(answer["Location"]).json()
    assert shown.pop("waiting")["reasons"]
    assert shown == job


def test_max_retries_default_to_those_of_the_kind(acme_api: APIClient) -> None:
    assert acme_api.post(JOBS, {"kind": "noop"}).json()["max_retries"] == 3


def test_submission_is_audited_with_its_api_key(acme: Tenant, acme_api: APIClient) -> None:
    job_id = acme_api.post(JOBS, {"kind": "noop"}).json()["id"]
    with tenant_context(acme):
        entry = AuditLogEntry.objects.get(target_id=job_id)
    assert (entry.action, entry.actor_kind) == ("job.submitted", "api_key")


def test_repeated_idempotency_key_returns_the_first_job(acme: Tenant, acme_api: APIClient) -> None:
    body = {"kind": "sleep", "payload": {"seconds": 2}}
    first = acme_api.post(JOBS, body, headers={"Idempotency-Key": "order 7"})
    again = acme_api.post(JOBS, body, headers={"Idempotency-Key": "order 7"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    with tenant_context(acme):
        assert Job.objects.count() == 1


def test_repeated_unique_key_returns_the_job_that_has_it(acme: Tenant, acme_api: APIClient) -> None:
    first = acme_api.post(JOBS, {"kind": "noop", "unique_key": "order 7", "unique_until": "started"})
    again = acme_api.post(JOBS, {"kind": "noop", "payload": {"a": 1}, "unique_key": "order 7"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert (first.json()["unique_key"], first.json()["unique_until"]) == ("order 7", "started")
    body = {"jobs": [{"kind": "noop", "unique_key": "order 7"}, {"kind": "noop", "unique_key": "order 8"}]}
    bulk = acme_api.post(f"{JOBS}bulk/", body)
    assert bulk.json()["accepted"][0] == {"index": 0, "id": first.json()["id"]}
    with tenant_context(acme):
        assert Job.objects.count() == 2


def test_concurrency_key_is_shown_and_explained(acme: Tenant, acme_api: APIClient) -> None:
    answer = acme_api.post(JOBS, {"kind": "noop", "concurrency_key": "ann"})
    assert (answer.status_code, answer.json()["concurrency_key"]) == (201, "ann")
    refused = acme_api.post(JOBS, {"kind": "noop", "unique_until": "ended"})
    assert (refused.status_code, refused.json()["code"]) == (422, "option_invalid")


@pytest.mark.parametrize(
    "other",
    [
        {"kind": "sleep", "payload": {"seconds": 3}},
        {"kind": "noop", "payload": {"seconds": 2}},
        {"kind": "sleep", "payload": {"seconds": 2}, "priority": 1},
    ],
)
def test_idempotency_key_for_another_request_is_refused(acme_api: APIClient, other: dict[str, Any]) -> None:
    acme_api.post(JOBS, {"kind": "sleep", "payload": {"seconds": 2}}, headers={"Idempotency-Key": "k"})
    answer = acme_api.post(JOBS, other, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_mismatch")


def test_idempotency_key_may_be_used_by_two_tenants(acme_api: APIClient, globex_api: APIClient) -> None:
    answers = [
        client.post(JOBS, {"kind": "noop"}, headers={"Idempotency-Key": "k"}) for client in (acme_api, globex_api)
    ]
    assert [answer.status_code for answer in answers] == [201, 201]


def test_submission_to_a_full_plan_is_429_with_retry_after(acme: Tenant, acme_api: APIClient) -> None:
    with all_tenants():
        acme.plan.max_waiting_jobs = 1
        acme.plan.save()
    acme_api.post(JOBS, {"kind": "noop"})
    answer = acme_api.post(JOBS, {"kind": "noop"})
    assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
    assert int(answer["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("option", "code"),
    [
        ({"queue": "priority_pipeline"}, "queue_not_allowed"),
        ({"queue": "nowhere"}, "queue_not_allowed"),
        ({"priority": 11}, "priority_not_allowed"),
        ({"priority": -(2**63)}, "priority_not_allowed"),
        ({"max_retries": 4}, "max_retries_not_allowed"),
        ({"max_retries": 2**62}, "max_retries_not_allowed"),
    ],
)
def test_options_beyond_routing_and_plan_are_refused(acme_api: APIClient, option: dict[str, Any], code: str) -> None:
    answer = acme_api.post(JOBS, {"kind": "noop", **option})
    assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_queue_chosen_by_routing_may_be_named(acme_api: APIClient) -> None:
    assert acme_api.post(JOBS, {"kind": "noop", "queue": "tasks_team"}).status_code == 201


def test_job_list_is_newest_first_and_pages_both_ways(acme: Tenant, acme_api: APIClient) -> None:
    jobs = [str(job.id) for job in submit(acme, count=5)][::-1]
    first = acme_api.get(JOBS, {"limit": "2"}).json()
    second = acme_api.get(first["next"]).json()
    third = acme_api.get(second["next"]).json()
    walked = [row["id"] for page in (first, second, third) for row in page["results"]]
    assert walked == jobs
    assert (first["previous"], third["next"]) == (None, None)
    assert acme_api.get(third["previous"]).json()["results"] == second["results"]


def test_job_list_costs_the_same_number_of_queries_at_any_length(acme: Tenant, acme_api: APIClient) -> None:
    costs = []
    acme_api.get(JOBS)  # the first use of a key in a minute writes its time
    for more in (1, 30):
        submit(acme, count=more)
        with CaptureQueriesContext(connection) as queries:
            ids(acme_api.get(JOBS))
        costs.append(len(queries))
    assert costs[0] == costs[1]


def test_job_list_omits_large_fields(acme: Tenant, acme_api: APIClient) -> None:
    submit(acme)
    (row,) = acme_api.get(JOBS).json()["results"]
    assert not {"payload", "result", "waiting"} & set(row)


def test_each_filter_finds_only_its_jobs(acme: Tenant, acme_api: APIClient, dead_job: Job, retryable_job: Job) -> None:
    (plain,) = submit(acme)
    (tagged,) = submit(acme, kind="sleep", payload={"seconds": 0}, tags=("nightly", "big"), fair_key="bob")
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    everything = {str(job.id) for job in (dead_job, retryable_job, plain, tagged)}
    table: list[tuple[str, set[Job]]] = [
        ("state=discarded", {dead_job}),
        ("state=discarded&state=retryable", {dead_job, retryable_job}),
        ("state=available,retryable", {plain, tagged, retryable_job}),
        ("state=retryable", {retryable_job}),
        ("state=executing", set()),
        ("kind=sleep", {tagged}),
        ("kind=sleep&kind=noop&tag=nightly", {tagged, dead_job}),
        ("tag=nightly&tag=big", {tagged}),
        ("tag=nightl", set()),
        ("queue=tasks_team&tag=big", {tagged}),
        ("queue=dataset", set()),
        ("fair_key=ann", {dead_job}),
        ("fair_key=", {plain, retryable_job}),
        ("error=valueerr", {dead_job, retryable_job}),
        (f"error={dead_job.error_fingerprint}&state=discarded", {dead_job}),
        ("error=Val%25", set()),
        (f"created_after={later.replace('+', '%2B')}", set()),
    ]
    for query, expected in table:
        assert set(ids(acme_api.get(f"{JOBS}?{query}"))) == {str(job.id) for job in expected}, query
    assert set(ids(acme_api.get(JOBS, {"created_before": later}))) == everything


def test_created_after_is_inclusive_and_created_before_is_not(acme_api: APIClient, available_job: Job) -> None:
    moment = available_job.created_at.isoformat()
    assert ids(acme_api.get(JOBS, {"created_after": moment})) == [str(available_job.id)]
    assert ids(acme_api.get(JOBS, {"created_before": moment})) == []


@pytest.mark.parametrize("moment", ["1970-01-01T00:00:00Z", "1970-01-01T00:04:00+00:01", "9998-12-31T23:59:59Z"])
@pytest.mark.parametrize("name", ["created_after", "created_before"])
def test_times_at_the_limits_of_uuid7_are_answered(acme_api: APIClient, name: str, moment: str) -> None:
    assert acme_api.get(JOBS, {name: moment}).status_code == 200


def test_waiting_job_states_its_reasons_and_a_completed_one_none(
    acme: Tenant, acme_api: APIClient, retryable_job: Job, completed_job: Job
) -> None:
    (plain,) = submit(acme)
    waiting = acme_api.get(f"{JOBS}{plain.id}/").json()["waiting"]
    assert [reason["code"] for reason in waiting["reasons"]] == ["waiting_for_turn"]
    assert (waiting["position"], waiting["position_is_more"], waiting["work_ahead_seconds"]) == (1, False, 0)
    assert waiting["eta_seconds"] >= 0
    assert waiting["eta_band"]["low_seconds"] <= waiting["eta_seconds"] <= waiting["eta_band"]["high_seconds"]
    backing_off = acme_api.get(f"{JOBS}{retryable_job.id}/").json()["waiting"]["reasons"]
    assert "retry_backoff" in {reason["code"] for reason in backing_off}
    assert acme_api.get(f"{JOBS}{completed_job.id}/").json()["waiting"] is None


def test_job_without_worker_and_dispatcher_states_these_reasons(acme_api: APIClient, available_job: Job) -> None:
    reasons = acme_api.get(f"{JOBS}{available_job.id}/").json()["waiting"]["reasons"]
    assert {reason["code"] for reason in reasons} == {"no_workers", "no_dispatcher"}


def test_job_of_a_tenant_that_paused_itself_states_the_pause(acme_api: APIClient, available_job: Job) -> None:
    acme_api.post("/api/v1/tenants/me/pause/", {"reason": "moving"})
    reasons = acme_api.get(f"{JOBS}{available_job.id}/").json()["waiting"]["reasons"]
    assert ("tenant_paused", "The tenant's work is paused. moving") in {(r["code"], r["detail"]) for r in reasons}


def test_waiting_job_is_cancelled_at_once(acme_api: APIClient, available_job: Job) -> None:
    answer = acme_api.post(f"{JOBS}{available_job.id}/cancel/", {"reason": "not needed"})
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    (event,) = acme_api.get(f"{JOBS}{available_job.id}/events/").json()["results"][1:]
    assert (event["name"], event["data"]) == ("job.cancelled", {"reason": "not needed"})


def test_cancel_of_a_running_job_is_accepted(acme_api: APIClient, executing_job: Job) -> None:
    answer = acme_api.post(f"{JOBS}{executing_job.id}/cancel/")
    assert (answer.status_code, answer.json()["state"]) == (202, "executing")


def test_cancel_of_a_completed_job_is_refused(acme_api: APIClient, completed_job: Job) -> None:
    answer = acme_api.post(f"{JOBS}{completed_job.id}/cancel/")
    assert (answer.status_code, answer.json()["code"]) == (409, "invalid_transition")


def test_retry_makes_a_job_in_backoff_available(acme_api: APIClient, retryable_job: Job) -> None:
    answer = acme_api.post(f"{JOBS}{retryable_job.id}/retry/")
    assert (answer.status_code, answer.json()["state"]) == (200, "available")
    assert answer.json()["id"] == str(retryable_job.id)


@pytest.mark.parametrize("path", ["jobs/{job}/retry/", "dead-letters/{letter}/requeue/"])
def test_dead_job_is_requeued_as_a_new_job_once(acme_api: APIClient, dead_job: Job, path: str) -> None:
    (letter,) = acme_api.get("/api/v1/dead-letters/").json()["results"]
    path = "/api/v1/" + path.format(job=dead_job.id, letter=letter["id"])
    answer = acme_api.post(path)
    assert answer.status_code == 201, answer.content
    new = answer.json()
    assert (new["parent"], new["tags"], new["fair_key"]) == (str(dead_job.id), ["nightly"], "ann")
    assert answer["Location"].endswith(f"{JOBS}{new['id']}/")
    again = acme_api.post(path)
    assert (again.status_code, again.json()["code"]) == (409, "invalid_transition")
    letter = acme_api.get(f"/api/v1/dead-letters/{letter['id']}/").json()
    assert letter["requeued_job"] == new["id"]


@pytest.mark.parametrize("state", ["available", "executing", "completed"])
def test_job_that_waits_runs_or_is_completed_cannot_be_retried(
    acme_api: APIClient, request: pytest.FixtureRequest, state: str
) -> None:
    job = request.getfixturevalue(f"{state}_job")
    answer = acme_api.post(f"{JOBS}{job.id}/retry/")
    assert (answer.status_code, answer.json()["code"]) == (409, "invalid_transition")


def test_unknown_job_id_is_not_found_in_any_spelling(acme_api: APIClient, available_job: Job) -> None:
    missing: UUID = uuid7()
    spellings = [str(missing), "٠" * 36, "1", "null", f"{available_job.id}\u200b", f"{{{available_job.id}}}"]
    for spelling in spellings:
        answer = acme_api.get(f"{JOBS}{spelling}/")
        assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json"), spelling
    assert acme_api.get(f"{JOBS}{str(available_job.id).upper()}/").status_code == 200


def test_job_behind_the_tenants_cap_states_the_cap(acme: Tenant, acme_api: APIClient, worker: Any, tick: Tick) -> None:
    with all_tenants():
        Tenant.objects.filter(pk=acme.pk).update(max_concurrency=1)
    submit(acme, count=2)
    tick()
    (job_id,) = ids(acme_api.get(JOBS, {"state": "available"}))
    reasons = acme_api.get(f"{JOBS}{job_id}/").json()["waiting"]["reasons"]
    assert [reason["code"] for reason in reasons] == ["tenant_cap_reached"]
